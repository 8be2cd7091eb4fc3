//! PostgreSQL: private clusters, and a fresh database for each test.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use nix::sys::signal::Signal;
use nix::unistd::User;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use super::ground::{free_port, ground, runtime};
use super::process::{Process, run, signal_family};
use super::wait::{eventually, s};

/// A cluster: one postmaster with its data.
pub struct Cluster {
    directory: PathBuf,
    binaries: PathBuf,
    pub port: u16,
    process: Mutex<Option<Process>>,
    /// Variables for the server itself, such as a false clock's.
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// The one that all tests share which leave it alone.
    pub fn shared() -> &'static Self {
        static CLUSTER: OnceLock<Cluster> = OnceLock::new();
        CLUSTER.get_or_init(Self::new)
    }

    /// One of its own, to be stopped and frozen.
    pub fn new() -> Self {
        Self::with_environment(Vec::new())
    }

    /// One whose clock the test sets, or why there is none on this machine.
    pub fn with_clock() -> Result<(Self, Clock), String> {
        let library = [
            "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
            "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
            "/usr/lib/faketime/libfaketime.so.1",
            "/usr/lib64/faketime/libfaketime.so.1",
        ]
        .into_iter()
        .find(|path| std::path::Path::new(path).exists())
        .ok_or("libfaketime is missing (Debian: libfaketime)")?;
        let clock = Clock(ground().directory("clock").join("offset"));
        clock.set("+0");
        let environment = [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", clock.0.to_str().unwrap()),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok((Self::with_environment(environment.to_vec()), clock))
    }

    /// One on a small disk of its own, in a place that [`Cluster::fill_disk`] can fill.
    pub fn on_small_disk(megabytes: u32) -> Result<Self, String> {
        let directory = ground().directory("postgres");
        let size = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&directory).output();
        match mounted {
            Ok(output) if output.status.success() => {}
            other => return Err(format!("no disk of its own can be mounted: {other:?}")),
        }
        Ok(Self::made_in(directory, Vec::new()))
    }

    pub fn with_environment(environment: Vec<(String, String)>) -> Self {
        Self::made_in(ground().directory("postgres"), environment)
    }

    fn made_in(directory: PathBuf, environment: Vec<(String, String)>) -> Self {
        let binaries = binaries();
        if let Some(owner) = owner() {
            chown(&directory, Some(owner.0), Some(owner.1)).unwrap();
        }
        let this = Self { port: free_port(), directory, binaries, process: Mutex::new(None), environment };
        let data = this.directory.join("data");
        run(this
            .program("initdb")
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "-U", "lab", "-D"])
            .arg(&data));
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = '{}'\nfsync = off\n\
             full_page_writes = off\nmax_connections = 300\nshared_buffers = '32MB'\n\
             log_line_prefix = '%m [%p] %d '\nautovacuum_naptime = '10min'\n",
            this.port,
            this.directory.display()
        );
        fs::write(data.join("postgresql.auto.conf"), settings).unwrap();
        this.start();
        this
    }

    /// A fresh, empty database.
    pub fn database(&self) -> Database {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let name = format!("it{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed));
        self.execute(&format!("CREATE DATABASE {name}"));
        Database { port: self.port, name }
    }

    pub fn start(&self) {
        let mut postgres = self.program("postgres");
        postgres.arg("-D").arg(self.directory.join("data"));
        for (name, value) in &self.environment {
            postgres.env(name, value);
        }
        // SIGQUIT: at once, without a checkpoint; nothing here is worth one.
        let process = Process::start(&mut postgres, Signal::SIGQUIT, &self.log());
        *self.process.lock().unwrap() = Some(process);
        eventually(s(20), "PostgreSQL answers", || {
            let answer = runtime().block_on(connect(self.port, "postgres"));
            answer.map(drop).map_err(|e| format!("{e}; {}", super::process::tail(&self.log(), 5)))
        });
    }

    /// Starts it, unless it still runs.
    pub fn start_if_ended(&self) {
        let ended = self.process.lock().unwrap().as_mut().is_none_or(|process| process.status().is_some());
        if ended {
            self.start();
        }
    }

    /// Ends it at once; its connections break.
    pub fn stop(&self) {
        if let Some(mut process) = self.process.lock().unwrap().take() {
            process.stop();
        }
    }

    /// Leaves no byte free on its disk.
    pub fn fill_disk(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.directory.join("ballast")).unwrap();
        let (big, small) = (vec![0; 1 << 16], vec![0; 512]);
        while file.write_all(&big).is_ok() {}
        while file.write_all(&small).is_ok() {}
    }

    pub fn free_disk(&self) {
        fs::remove_file(self.directory.join("ballast")).unwrap();
    }

    /// Stops all its processes where they are.
    pub fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    pub fn log(&self) -> PathBuf {
        self.directory.join("postgres.log")
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &*self.process.lock().unwrap() {
            signal_family(process.pid(), signal);
        }
    }

    fn execute(&self, statement: &str) {
        runtime().block_on(async {
            let client = connect(self.port, "postgres").await.unwrap();
            client.batch_execute(statement).await.unwrap();
        });
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.binaries.join(name));
        command.current_dir("/").env("LC_ALL", "C");
        if let Some((uid, gid)) = owner() {
            command.uid(uid).gid(gid);
        }
        command
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.thaw();
    }
}

/// The clock of a cluster: how far it is from the true one, as libfaketime reads it.
pub struct Clock(PathBuf);

impl Clock {
    /// `+3600s`, `-1h`, `+0`.
    pub fn set(&self, offset: &str) {
        let next = self.0.with_extension("next");
        fs::write(&next, offset).unwrap();
        fs::rename(next, &self.0).unwrap();
    }
}

/// One test's database.
#[derive(Clone, Debug)]
pub struct Database {
    port: u16,
    name: String,
}

impl Database {
    /// For `DATABASE_URL`, directly.
    pub fn url(&self) -> String {
        self.url_through(self.port)
    }

    /// For `DATABASE_URL`, through a proxy.
    pub fn url_through(&self, port: u16) -> String {
        format!("postgresql://lab:unused-password@127.0.0.1:{port}/{}?sslmode=disable", self.name)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// A statement from another database of the same cluster.
    pub fn administer(&self, statement: &str) {
        runtime().block_on(async {
            let client = connect(self.port, "postgres").await.unwrap();
            client.batch_execute(statement).await.unwrap();
        });
    }

    /// Begins a transaction with this statement; it is rolled back when the client is dropped.
    pub fn transaction(&self, statement: &str) -> Client {
        runtime().block_on(async {
            let client = connect(self.port, &self.name).await.unwrap();
            client.batch_execute("BEGIN").await.unwrap();
            client.batch_execute(statement).await.unwrap();
            client
        })
    }

    /// One statement on a connection of its own, directly and not through any proxy.
    pub fn query(
        &self,
        statement: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        runtime().block_on(async { connect(self.port, &self.name).await?.query(statement, values).await })
    }
}

async fn connect(port: u16, database: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::Config::new()
        .host("127.0.0.1")
        .port(port)
        .user("lab")
        .password("unused-password")
        .dbname(database)
        .connect_timeout(s(5))
        .options("-c lock_timeout=10s")
        .connect(NoTls)
        .await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The newest server's programs.
fn binaries() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = installed
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, path)| path.join("initdb").exists())
        .collect();
    versions.sort();
    let newest = versions.pop().map(|(_, path)| path);
    newest
        .or_else(on_path)
        .expect("no PostgreSQL server here: install postgresql (Debian), it needs no running service")
}

fn on_path() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .find(|directory| directory.join("initdb").exists() && directory.join("postgres").exists())
}

/// As whom the server runs: root is refused by it.
fn owner() -> Option<(u32, u32)> {
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    let user = ["postgres", "nobody"].iter().find_map(|name| User::from_name(name).ok().flatten());
    let user = user.expect("root needs a user postgres or nobody to run PostgreSQL as");
    Some((user.uid.as_raw(), user.gid.as_raw()))
}
