//! The private PostgreSQL of the embedded default.
//!
//! Without `DATABASE_URL` MailDT runs a server of its own from the binaries on the machine, below `DATA_DIR`:
//!
//! | path | is |
//! |---|---|
//! | `lock` | held by the one MailDT that uses the directory, and naming its pid |
//! | `pgdata` | the cluster; appears complete, by a rename, or not at all |
//! | `run` | the unix socket, for its owner only; elsewhere when this path is too long for a socket |
//! | `postgres.log` | what the server has to say, bounded |
//!
//! The server outlives a crash of ours. The next start does not adopt such an orphan but stops it and starts its own: that
//! costs a fraction of a second, gives the settings of this version and leaves one way to watch a server instead of two.

mod account;
mod binaries;
mod cluster;
mod leftovers;
mod lock;
mod log;
mod place;
mod settings;
mod socket;

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_util::sync::CancellationToken;

pub use account::Account;
pub use binaries::bin_directories;
pub use place::default_data_dir;

use binaries::Binaries;
use lock::DirectoryLock;
use log::ServerLog;
use place::{DataDir, path_error};
use socket::SocketDir;

/// User and database of the private server.
const NAME: &str = "maildt";

/// How often the size of the server's log is looked at.
const LOG_CHECK: Duration = Duration::from_mins(1);

/// What a private server is made from. Everything that depends on the machine is a field.
#[derive(Clone, Debug)]
pub struct Plan {
    pub data_dir: PathBuf,
    /// Directories in which `initdb` and `postgres` are looked for, the preferred first.
    pub binaries: Vec<PathBuf>,
    /// The user the server runs as.
    pub account: Account,
    /// Where a socket directory is made when the path below `data_dir` is too long, the preferred first.
    pub short_dirs: Vec<PathBuf>,
    /// How long a server may take until it answers; recovery after a crash is part of it.
    pub ready: Duration,
    /// How long an orderly shutdown may take before it is forced. Forced means recovery at the next start, no loss.
    pub stop: Duration,
}

impl Plan {
    /// The plan for this machine and this user.
    pub fn new(data_dir: PathBuf) -> Result<Self, Error> {
        Ok(Self {
            data_dir,
            binaries: bin_directories(std::env::var_os("PATH").as_deref()),
            account: Account::of_this_process()?,
            short_dirs: socket::short_dirs(std::env::var_os("XDG_RUNTIME_DIR")),
            ready: Duration::from_mins(2),
            stop: Duration::from_secs(6),
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL server on this machine (initdb, postgres): install it (Debian, Ubuntu: `apt install postgresql`; \
         Fedora, RHEL: `dnf install postgresql-server`; Alpine: `apk add postgresql`; Arch: `pacman -S postgresql`; \
         macOS: `brew install postgresql`) or set DATABASE_URL"
    )]
    NoServer,
    #[error(
        "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor a user `nobody` to run it as: \
         `useradd --system postgres`, or run MailDT as another user, or set DATABASE_URL"
    )]
    NoAccount,
    #[error("DATA_DIR is not set and there is no HOME to put it in: set DATA_DIR or DATABASE_URL")]
    NoHome,
    #[error(
        "DATA_DIR {}: PostgreSQL runs as user {user}, which may not enter {}: allow it (`chmod o+x {}`) or set DATA_DIR to \
         another directory", .data_dir.display(), .closed.display(), .closed.display()
    )]
    Unreachable { data_dir: PathBuf, closed: PathBuf, user: String },
    #[error("DATA_DIR {} is in use by another MailDT{holder}: stop that one, or set another DATA_DIR", .data_dir.display())]
    InUse { data_dir: PathBuf, holder: Holder },
    #[error(
        "DATA_DIR: {} was written by PostgreSQL {found}, but here is only PostgreSQL {installed}: install PostgreSQL {found} \
         and MailDT uses it; {upgrade}", .pgdata.display()
    )]
    OtherMajor { pgdata: PathBuf, found: u32, installed: String, upgrade: String },
    #[error("DATA_DIR: {} is not a PostgreSQL data directory (no PG_VERSION): move it away", .0.display())]
    Foreign(PathBuf),
    #[error(
        "DATA_DIR: {} belongs to uid {owner}, but PostgreSQL would run as {user} (uid {uid}): start MailDT as that owner, or \
         `chown -R {user} {}`", .pgdata.display(), .pgdata.display()
    )]
    Owner { pgdata: PathBuf, owner: u32, user: String, uid: u32 },
    #[error("DATA_DIR: cannot {action} {}: {source}", .path.display())]
    Path { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("cannot run {} as user {user}: {source}", .program.display())]
    Run { program: PathBuf, user: String, source: std::io::Error },
    #[error("DATA_DIR: no directory for PostgreSQL's socket: {} is too long for one and none of {tried} can be used", .wanted.display())]
    NoSocketDir { wanted: PathBuf, tried: String },
    #[error("initdb could not create the private database in {}: {output}", .path.display())]
    Init { path: PathBuf, output: String },
    #[error("the private PostgreSQL ended while starting ({status}): {log}")]
    Start { status: ExitStatus, log: String },
    #[error("the private PostgreSQL does not answer ({reason}): {log}")]
    NotReady { reason: String, log: String },
    #[error("process {0} of an earlier private PostgreSQL cannot be stopped")]
    Leftover(i32),
}

impl Error {
    /// True when trying again is of no use before somebody has changed the machine or a setting.
    pub fn needs_operator(&self) -> bool {
        if let Self::Path { source, .. } = self {
            return source.kind() != std::io::ErrorKind::StorageFull;
        }
        matches!(
            self,
            Self::NoServer
                | Self::NoAccount
                | Self::NoHome
                | Self::Unreachable { .. }
                | Self::OtherMajor { .. }
                | Self::Foreign(_)
                | Self::Owner { .. }
                | Self::NoSocketDir { .. }
        )
    }
}

/// The process that holds a `DATA_DIR`, as far as known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(pub Option<u32>);

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (pid {pid})"))
    }
}

/// A running private server. Dropped without [`Private::stop`] the server runs on and the next start takes it over.
#[derive(Debug)]
pub struct Private {
    plan: Plan,
    data_dir: DataDir,
    binaries: Binaries,
    socket: SocketDir,
    log: ServerLog,
    child: Child,
    _lock: DirectoryLock,
}

impl Private {
    /// Creates the cluster if there is none, stops what an earlier run has left and starts the server; returns when the
    /// database answers.
    pub async fn start(mut plan: Plan) -> Result<Self, Error> {
        let data_dir = DataDir::open(&plan.data_dir, &plan.account)?;
        let lock = DirectoryLock::acquire(&data_dir)?;
        if let Some(owner) = data_dir.cluster_owner()? {
            plan.account = plan.account.for_owner(owner, data_dir.pgdata())?;
        }
        let binaries = cluster::prepare(&data_dir, &plan).await?;
        leftovers::clear(data_dir.pgdata(), plan.stop).await?;
        let socket = SocketDir::open(&data_dir, &plan)?;
        let log = ServerLog::open(data_dir.path())?;
        let child = launch(&plan, &data_dir, &binaries, &socket, &log).await?;
        tracing::info!(data_dir = %data_dir.path().display(), version = binaries.major, "private PostgreSQL runs");
        Ok(Self { plan, data_dir, binaries, socket, log, child, _lock: lock })
    }

    /// How to connect. Stays the same over [`Private::restart`].
    pub fn config(&self) -> tokio_postgres::Config {
        config(&self.socket, NAME)
    }

    /// Resolves when the server has died. Bounds the server's log meanwhile.
    pub async fn exited(&mut self) -> std::io::Result<ExitStatus> {
        loop {
            tokio::select! {
                status = self.child.wait() => return status,
                () = sleep(LOG_CHECK) => self.log.bound(),
            }
        }
    }

    /// Starts the server again after [`Private::exited`], with the same [`Private::config`].
    pub async fn restart(&mut self) -> Result<(), Error> {
        leftovers::clear(self.data_dir.pgdata(), self.plan.stop).await?;
        self.socket.renew(&self.plan.account)?;
        self.child = launch(&self.plan, &self.data_dir, &self.binaries, &self.socket, &self.log).await?;
        Ok(())
    }

    /// Keeps the server running until `stop` is cancelled, then shuts it down. A server that dies is started again: at once,
    /// then with growing pauses while it cannot start or does not live long.
    pub async fn supervise(mut self, stop: CancellationToken) -> Result<(), Error> {
        const LONGEST: Duration = Duration::from_secs(10);
        let mut pause = Duration::ZERO;
        loop {
            let since = Instant::now();
            tokio::select! {
                () = stop.cancelled() => return self.stop().await,
                status = self.exited() => {
                    let status = status.map_or_else(|err| err.to_string(), |status| status.to_string());
                    tracing::error!(status, log = %self.log.tail(), "private PostgreSQL has died, starting it again");
                }
            }
            if since.elapsed() > LONGEST {
                pause = Duration::ZERO;
            }
            loop {
                if timeout(pause, stop.cancelled()).await.is_ok() {
                    return self.stop().await;
                }
                pause = (pause * 2).clamp(Duration::from_millis(100), LONGEST);
                let restarted = tokio::select! {
                    () = stop.cancelled() => return self.stop().await,
                    restarted = self.restart() => restarted,
                };
                let Err(err) = restarted else { break };
                tracing::error!(error = %err, retry_in_ms = pause.as_millis(), "private PostgreSQL does not start");
            }
            tracing::info!("private PostgreSQL runs again");
        }
    }

    /// Shuts the server down: at once but in order, by force after the limit.
    pub async fn stop(mut self) -> Result<(), Error> {
        stop_child(&mut self.child, self.plan.stop).await;
        leftovers::clear(self.data_dir.pgdata(), self.plan.stop).await?;
        self.socket.remove();
        tracing::info!("private PostgreSQL has stopped");
        Ok(())
    }
}

/// How to connect to the private server that a running MailDT keeps below `data_dir`, if there is one: for the same user, or
/// root.
#[must_use]
pub fn running(data_dir: &Path) -> tokio_postgres::Config {
    at(&socket::of_running(data_dir), NAME)
}

fn config(socket: &SocketDir, database: &str) -> tokio_postgres::Config {
    at(socket.path(), database)
}

fn at(socket: &Path, database: &str) -> tokio_postgres::Config {
    let mut config = tokio_postgres::Config::new();
    config.host_path(socket).port(settings::PORT).user(NAME).dbname(database);
    config.connect_timeout(Duration::from_secs(5));
    config
}

async fn launch(
    plan: &Plan,
    data_dir: &DataDir,
    binaries: &Binaries,
    socket: &SocketDir,
    log: &ServerLog,
) -> Result<Child, Error> {
    let program = binaries.postgres();
    let mut command = command(&program, &plan.account, data_dir);
    let name =
        leftovers::cluster_name(data_dir.pgdata()).map_err(path_error("look at", data_dir.pgdata()))?;
    command.arg("-D").arg(data_dir.pgdata()).args(settings::arguments(socket.path(), &name));
    command.stdout(log.writer()?).stderr(log.writer()?);
    let mut child = command.spawn().map_err(|err| data_dir.spawn_error(&program, &plan.account, err))?;
    match until_ready(&mut child, socket, log, plan.ready).await {
        Ok(()) => Ok(child),
        Err(err) => {
            stop_child(&mut child, plan.stop).await;
            Err(err)
        }
    }
}

/// A program of PostgreSQL's, as `account` and below `data_dir`, with nothing of our environment (which holds secrets) and
/// out of reach of the terminal's Ctrl-C.
fn command(program: &std::path::Path, account: &Account, data_dir: &DataDir) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").current_dir(data_dir.path()).stdin(Stdio::null()).process_group(0);
    for name in ["PATH", "LD_LIBRARY_PATH"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    if let Account::Other { uid, gid, .. } = account {
        // Dropping the uid as root also drops the supplementary groups: the standard library sees to that.
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command
}

async fn until_ready(
    child: &mut Child,
    socket: &SocketDir,
    log: &ServerLog,
    limit: Duration,
) -> Result<(), Error> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(5);
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Err(Error::Start { status, log: log.tail() });
        }
        let reason = match ensure_database(socket).await {
            Ok(()) => return Ok(()),
            // Not listening yet, or recovering: the only things worth waiting for.
            Err(err) if err.code().is_none_or(|code| *code == SqlState::CANNOT_CONNECT_NOW) => err,
            Err(err) => return Err(Error::NotReady { reason: err.to_string(), log: log.tail() }),
        };
        if Instant::now() > deadline {
            let reason = format!("after {} s: {reason}", limit.as_secs());
            return Err(Error::NotReady { reason, log: log.tail() });
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(100));
    }
}

/// Our database exists and answers. It is created here and not with the cluster, so that a crash between the two heals.
async fn ensure_database(socket: &SocketDir) -> Result<(), tokio_postgres::Error> {
    match query(socket, NAME, "SELECT 1").await {
        Err(err) if err.code() == Some(&SqlState::UNDEFINED_DATABASE) => {
            query(socket, "postgres", "CREATE DATABASE maildt").await
        }
        other => other,
    }
}

async fn query(socket: &SocketDir, database: &str, statement: &str) -> Result<(), tokio_postgres::Error> {
    let (client, connection) = config(socket, database).connect(tokio_postgres::NoTls).await?;
    let (result, _) = tokio::join!(
        async move {
            let result = client.batch_execute(statement).await;
            drop(client);
            result
        },
        connection
    );
    result
}

/// SIGINT: sessions are ended, a checkpoint is written. SIGQUIT: at once, with recovery at the next start. SIGKILL: for a
/// server that is frozen.
async fn stop_child(child: &mut Child, limit: Duration) {
    for (signal, limit) in [
        (Signal::SIGINT, limit),
        (Signal::SIGQUIT, Duration::from_secs(1)),
        (Signal::SIGKILL, Duration::from_secs(1)),
    ] {
        let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        // A refusal means that the process is gone, which the wait then finds.
        kill(Pid::from_raw(pid), signal).ok();
        if timeout(limit, child.wait()).await.is_ok() {
            return;
        }
        tracing::warn!(
            signal = signal.as_str(),
            limit_s = limit.as_secs(),
            "private PostgreSQL does not stop"
        );
    }
}
