//! What an earlier run has left: a server without a master, sessions without a server, a lock file without either.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::time::{Instant, sleep};

use super::{Error, path_error};

/// How long the sessions of a dead server have to notice it by themselves.
const NOTICE: Duration = Duration::from_millis(500);
/// How long a process may take to go after a signal that it cannot or should not refuse.
const FORCED: Duration = Duration::from_secs(3);

/// Stops every server process that works in `pgdata` and removes a lock file that would block the next server. To be called
/// by the holder of the data directory's lock, when no server of its own runs.
pub(super) async fn clear(pgdata: &Path, limit: Duration) -> Result<(), Error> {
    if !Path::new("/proc/self/stat").exists() {
        // Without procfs nothing is known about other processes; the new server checks its lock file itself.
        return Ok(());
    }
    let Ok(cluster) = ClusterId::of(pgdata) else { return Ok(()) };
    let alive = cluster.processes();
    if let Some(pid) = alive.first().copied() {
        if let Some(postmaster) = postmaster(pgdata).filter(|pid| alive.contains(pid)) {
            tracing::warn!(pid = postmaster, "stopping a private PostgreSQL that an earlier run has left");
            let gone = cluster.ends(postmaster, Signal::SIGINT, limit).await
                || cluster.ends(postmaster, Signal::SIGQUIT, FORCED).await;
            if !gone {
                tracing::warn!(pid = postmaster, "it does not stop, killing it");
            }
        } else {
            tracing::warn!(pid, "waiting for the last processes of a dead private PostgreSQL");
            cluster.empties(NOTICE, |_| ()).await;
        }
        // Without their postmaster they can do no more good: what was committed is in the write-ahead log.
        if !cluster.empties(FORCED, send(Signal::SIGKILL)).await {
            return Err(Error::Leftover(cluster.processes().first().copied().unwrap_or(pid)));
        }
    }
    remove_lock_file(pgdata)
}

/// The pid in the first line of `postmaster.pid`.
fn postmaster(pgdata: &Path) -> Option<i32> {
    let text = std::fs::read_to_string(pgdata.join("postmaster.pid")).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// PostgreSQL takes the file for stale only if no process has its pid. A zombie that nobody reaps and an unrelated process
/// with the same number have it. No process of the cluster lives here, so the file may go.
fn remove_lock_file(pgdata: &Path) -> Result<(), Error> {
    let path = pgdata.join("postmaster.pid");
    let postmaster = postmaster(pgdata);
    let taken = postmaster.is_some_and(|pid| Path::new("/proc").join(pid.to_string()).exists());
    if taken {
        tracing::warn!(pid = postmaster, "removing the lock file of a dead private PostgreSQL");
        std::fs::remove_file(&path).map_err(path_error("remove", &path))?;
    }
    Ok(())
}

/// What tells the processes of a cluster from those of another: every server process works in its data directory, `initdb`
/// in the one above.
struct ClusterId {
    /// Device and inode.
    directory: (u64, u64),
    parent: Option<(u64, u64)>,
    /// For where working directories cannot be read (root without `CAP_SYS_PTRACE`, as in containers).
    title: String,
    argument: Vec<u8>,
}

/// Shown in the title of every process of the cluster.
pub(super) fn cluster_name(pgdata: &Path) -> std::io::Result<String> {
    let meta = std::fs::metadata(pgdata)?;
    Ok(format!("maildt {:x}-{:x}", meta.dev(), meta.ino()))
}

impl ClusterId {
    fn of(pgdata: &Path) -> std::io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let meta = std::fs::metadata(pgdata)?;
        Ok(Self {
            directory: (meta.dev(), meta.ino()),
            parent: pgdata
                .parent()
                .and_then(|parent| std::fs::metadata(parent).ok())
                .map(|parent| (parent.dev(), parent.ino())),
            title: format!("postgres: {}: ", cluster_name(pgdata)?),
            argument: [b"\0-D\0", pgdata.as_os_str().as_bytes(), b"\0"].concat(),
        })
    }

    /// The living processes of the cluster.
    fn processes(&self) -> Vec<i32> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| self.has(*pid))
            .collect()
    }

    fn has(&self, pid: i32) -> bool {
        let process = Path::new("/proc").join(pid.to_string());
        if !std::fs::read_to_string(process.join("stat")).is_ok_and(|stat| is_living_server(&stat)) {
            return false;
        }
        let told =
            |by: &dyn Fn(&[u8]) -> bool| std::fs::read(process.join("cmdline")).is_ok_and(|line| by(&line));
        let by_argument = |line: &[u8]| line.windows(self.argument.len()).any(|part| part == self.argument);
        match std::fs::metadata(process.join("cwd")).map(|cwd| (cwd.dev(), cwd.ino())) {
            Ok(cwd) if cwd == self.directory => true,
            // A path alone proves nothing: in a container it may be another directory.
            Ok(cwd) => self.parent == Some(cwd) && told(&by_argument),
            Err(err) if err.kind() == ErrorKind::PermissionDenied => {
                told(&|line| line.starts_with(self.title.as_bytes()) || by_argument(line))
            }
            Err(_) => false,
        }
    }

    /// Signals the postmaster and waits until no process of the cluster lives. False: some do.
    async fn ends(&self, postmaster: i32, signal: Signal, limit: Duration) -> bool {
        if self.has(postmaster) {
            send(signal)(postmaster);
        }
        self.empties(limit, |_| ()).await
    }

    /// Waits until no process of the cluster lives, doing `each` to those found on every look. False: some do.
    async fn empties(&self, limit: Duration, each: impl Fn(i32)) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            let alive = self.processes();
            if alive.is_empty() {
                return true;
            }
            alive.into_iter().for_each(&each);
            if Instant::now() >= deadline {
                return false;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

fn send(signal: Signal) -> impl Fn(i32) {
    // Refused only when the process has gone meanwhile, or is not ours: then it is still there after the limit.
    move |pid| {
        kill(Pid::from_raw(pid), signal).ok();
    }
}

/// By `/proc/PID/stat` (proc(5)): the command is in parentheses and may hold any character, the state follows.
fn is_living_server(stat: &str) -> bool {
    let Some((before, after)) = stat.rsplit_once(") ") else { return false };
    let command = before.split_once('(').map(|(_, command)| command);
    matches!(command, Some("postgres" | "postmaster" | "initdb")) && !after.starts_with(['Z', 'X', 'x'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zombie_and_another_program_are_no_living_server() {
        for (stat, living) in [
            ("12 (postgres) S 1 12", true),
            ("12 (postmaster) T 1 12", true),
            ("12 (postgres) Z 1 12", false),
            ("12 (bash) S 1 12", false),
            ("12 (a (postgres) ) S 1 12", false),
            ("", false),
        ] {
            assert_eq!(is_living_server(stat), living, "{stat}");
        }
    }
}
