//! The directory of the unix socket. It is the only protection of the server, which asks for no password: it belongs to the
//! server's user and nobody else may enter.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::{geteuid, mkdtemp};

use super::{Account, DataDir, Error, Plan, path_error, settings};

/// Bytes of a socket's path, without the closing NUL (`sun_path` in unix(7)).
const LONGEST: usize = 107;

/// Names the directory that was made elsewhere.
const RECORD: &str = "socket-directory";

#[derive(Debug)]
pub(super) struct SocketDir {
    path: PathBuf,
    /// Not below the data directory: made for this run only.
    short: bool,
}

/// Where a short directory can be made: for root `/run`, else what the session offers; then `/tmp`.
pub(super) fn short_dirs(xdg_runtime_dir: Option<OsString>) -> Vec<PathBuf> {
    let own = if geteuid().is_root() {
        Some(PathBuf::from("/run"))
    } else {
        xdg_runtime_dir.map(PathBuf::from).filter(|path| path.is_absolute())
    };
    own.into_iter().chain([PathBuf::from("/tmp")]).collect()
}

/// Where the server of a running MailDT has its socket.
pub(super) fn of_running(data_dir: &Path) -> PathBuf {
    let wanted = data_dir.join("run");
    if fits(&wanted) {
        return wanted;
    }
    std::fs::read_to_string(data_dir.join(RECORD)).map_or(wanted, PathBuf::from)
}

impl SocketDir {
    pub fn open(data_dir: &DataDir, plan: &Plan) -> Result<Self, Error> {
        let wanted = data_dir.path().join("run");
        if fits(&wanted) {
            let dir = Self { path: wanted, short: false };
            dir.renew(&plan.account)?;
            return Ok(dir);
        }
        let record = data_dir.path().join(RECORD);
        if let Ok(earlier) = std::fs::read_to_string(&record) {
            Self { path: PathBuf::from(earlier), short: true }.remove();
        }
        // A new name each time: in /tmp a foreseeable one could be taken by somebody else first.
        let made = plan.short_dirs.iter().find_map(|parent| {
            let path = mkdtemp(&parent.join("maildt-XXXXXX")).ok()?;
            let given = fits(&path) && DataDir::give(&path, &plan.account).is_ok();
            if !given {
                std::fs::remove_dir(&path).ok();
            }
            given.then_some(path)
        });
        let path = made.ok_or_else(|| Error::NoSocketDir {
            wanted,
            tried: plan.short_dirs.iter().map(|dir| dir.display().to_string()).collect::<Vec<_>>().join(", "),
        })?;
        std::fs::write(&record, path.as_os_str().as_bytes()).map_err(path_error("write", &record))?;
        Ok(Self { path, short: true })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An empty directory at the same path, for the server's user alone. To be called when no server runs: a dead one's
    /// socket would stand in the way, since its lock file may name a process that exists.
    pub fn renew(&self, account: &Account) -> Result<(), Error> {
        self.clear();
        match DataDir::make_private(&self.path, account) {
            Ok(()) => Ok(()),
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => self.take_over(account),
            Err(err) => Err(path_error("create", &self.path)(err)),
        }
    }

    /// A directory that could not be removed serves if it is really the server's own and closed.
    fn take_over(&self, account: &Account) -> Result<(), Error> {
        let meta = std::fs::symlink_metadata(&self.path).map_err(path_error("look at", &self.path))?;
        if meta.is_dir() && meta.uid() == account.uid().as_raw() && meta.mode() & 0o7777 == 0o700 {
            return Ok(());
        }
        let reason = "it is there already and not a directory of PostgreSQL's user alone";
        Err(path_error("use", &self.path)(std::io::Error::other(reason)))
    }

    /// Removes the socket, its lock file and the directory; other files stay, and then so does the directory.
    fn clear(&self) {
        let socket = format!(".s.PGSQL.{}", settings::PORT);
        for name in [format!("{socket}.lock"), socket] {
            std::fs::remove_file(self.path.join(name)).ok();
        }
        std::fs::remove_dir(&self.path).ok();
    }

    /// Leaves nothing behind outside of the data directory.
    pub fn remove(&self) {
        if self.short {
            self.clear();
        }
    }
}

fn fits(dir: &Path) -> bool {
    dir.join(format!(".s.PGSQL.{}", settings::PORT)).as_os_str().as_bytes().len() <= LONGEST
}
