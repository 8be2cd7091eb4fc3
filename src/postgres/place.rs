//! The data directory: where it is, and that the server's user can get there.

use std::ffi::OsString;
use std::fs::{DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use super::{Account, Error};

/// `DATA_DIR` where it is not set: `$XDG_DATA_HOME/maildt`, else `~/.local/share/maildt`; as root `/var/lib/maildt`.
pub fn default_data_dir() -> Result<PathBuf, Error> {
    default_for(geteuid().is_root(), std::env::var_os("XDG_DATA_HOME"), std::env::var_os("HOME"))
        .ok_or(Error::NoHome)
}

/// A relative path in either variable is ignored, as the XDG Base Directory Specification asks.
fn default_for(root: bool, xdg_data_home: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    if root {
        return Some(PathBuf::from("/var/lib/maildt"));
    }
    let absolute = |value: Option<OsString>| value.map(PathBuf::from).filter(|path| path.is_absolute());
    let data_home =
        absolute(xdg_data_home).or_else(|| absolute(home).map(|home| home.join(".local/share")))?;
    Some(data_home.join("maildt"))
}

pub(super) fn path_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Path { action, path: path.to_owned(), source }
}

/// An existing data directory, by its real path.
#[derive(Clone, Debug)]
pub(super) struct DataDir {
    path: PathBuf,
    pgdata: PathBuf,
}

impl DataDir {
    pub fn open(path: &Path, account: &Account) -> Result<Self, Error> {
        if !path.exists() {
            let parents = path.parent().unwrap_or(Path::new("/"));
            std::fs::create_dir_all(parents).map_err(path_error("create", parents))?;
            DirBuilder::new().mode(0o700).recursive(true).create(path).map_err(path_error("create", path))?;
        }
        let path = path.canonicalize().map_err(path_error("open", path))?;
        let this = Self { pgdata: path.join("pgdata"), path };
        this.let_in(account)?;
        Ok(this)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn pgdata(&self) -> &Path {
        &self.pgdata
    }

    /// The uid that the cluster belongs to, if there is a cluster.
    pub fn cluster_owner(&self) -> Result<Option<u32>, Error> {
        match std::fs::metadata(self.pgdata.join("PG_VERSION")) {
            Ok(_) => {
                let pgdata = std::fs::metadata(&self.pgdata).map_err(path_error("look at", &self.pgdata))?;
                Ok(Some(pgdata.uid()))
            }
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
            // Somebody else's cluster hides its inside from us; its directory still tells whose it is.
            Err(err) => match std::fs::metadata(&self.pgdata) {
                Ok(pgdata) if pgdata.uid() != geteuid().as_raw() => Ok(Some(pgdata.uid())),
                _ => Err(path_error("read", &self.pgdata.join("PG_VERSION"))(err)),
            },
        }
    }

    /// As root, lets the server's user pass through a directory that is closed to everybody: it gets the group's right to
    /// enter, nobody else gets anything. Directories above are not ours to change.
    fn let_in(&self, account: &Account) -> Result<(), Error> {
        let Account::Other { uid, gid, .. } = account else { return Ok(()) };
        let meta = std::fs::metadata(&self.path).map_err(path_error("look at", &self.path))?;
        let mode = meta.mode();
        if may_enter(&meta, uid.as_raw(), gid.as_raw()) || meta.uid() != 0 || mode & 0o070 != 0 {
            return Ok(());
        }
        chown(&self.path, None, Some(gid.as_raw()))
            .map_err(path_error("open for PostgreSQL's user", &self.path))?;
        std::fs::set_permissions(&self.path, Permissions::from_mode((mode & 0o7777) | 0o010))
            .map_err(path_error("open for PostgreSQL's user", &self.path))
    }

    /// Why a program could not be started. The kernel only says "permission denied", so the directory at fault is looked for.
    pub fn spawn_error(&self, program: &Path, account: &Account, source: io::Error) -> Error {
        if source.kind() == io::ErrorKind::PermissionDenied {
            let closed = closed_to(&self.path, account).or_else(|| closed_to(program.parent()?, account));
            if let Some(closed) = closed {
                return Error::Unreachable { data_dir: self.path.clone(), closed, user: account.name() };
            }
        }
        Error::Run { program: program.to_owned(), user: account.name(), source }
    }

    /// Makes a directory for the server's user alone. It must not exist yet.
    pub fn make_private(path: &Path, account: &Account) -> io::Result<()> {
        DirBuilder::new().mode(0o700).create(path)?;
        Self::give(path, account)
    }

    /// Hands a path over to the server's user.
    pub fn give(path: &Path, account: &Account) -> io::Result<()> {
        match account {
            Account::Ourselves => Ok(()),
            Account::Other { uid, gid, .. } => chown(path, Some(uid.as_raw()), Some(gid.as_raw())),
        }
    }
}

/// The outermost directory on the way to `path` (itself included) that `account` may not enter.
fn closed_to(path: &Path, account: &Account) -> Option<PathBuf> {
    let (uid, gid) = match account {
        Account::Ourselves => (geteuid().as_raw(), nix::unistd::getegid().as_raw()),
        Account::Other { uid, gid, .. } => (uid.as_raw(), gid.as_raw()),
    };
    let mut ancestors: Vec<&Path> = path.ancestors().collect();
    ancestors.reverse();
    ancestors
        .into_iter()
        .find(|dir| std::fs::metadata(dir).is_ok_and(|meta| !may_enter(&meta, uid, gid)))
        .map(Path::to_owned)
}

fn may_enter(meta: &Metadata, uid: u32, gid: u32) -> bool {
    let bit = match meta {
        _ if meta.uid() == uid => 0o100,
        _ if meta.gid() == gid => 0o010,
        _ => 0o001,
    };
    meta.mode() & bit != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_xdg_and_root_has_its_own_place() {
        let var = |text: &str| Some(OsString::from(text));
        for (root, xdg, home, expected) in [
            (true, var("/x"), var("/root"), Some("/var/lib/maildt")),
            (false, var("/x"), var("/home/a"), Some("/x/maildt")),
            (false, None, var("/home/a"), Some("/home/a/.local/share/maildt")),
            (false, var("relative"), var("/home/a"), Some("/home/a/.local/share/maildt")),
            (false, var(""), None, None),
        ] {
            assert_eq!(default_for(root, xdg, home), expected.map(PathBuf::from));
        }
    }
}
