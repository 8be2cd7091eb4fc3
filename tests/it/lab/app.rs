//! The program under test: the real binary with a configuration of its own.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::ground::ground;
use super::metrics::{Scrape, get};
use super::process::{Process, tail};
use super::wait::{Look, eventually, s, so};

const BINARY: &str = env!("CARGO_BIN_EXE_maildt");

/// A `[[recipients]]` table.
#[derive(Clone, Debug)]
pub struct Recipient {
    name: String,
    values: BTreeMap<String, String>,
}

impl Recipient {
    /// Due every hour and overdue after ten seconds: one probe in a test, soon judged.
    pub fn new(name: &str, address: &str) -> Self {
        let this = Self { name: name.to_owned(), values: BTreeMap::new() };
        this.text("address", address).text("interval", "1h").text("alert_threshold", "10s")
    }

    pub fn text(mut self, key: &str, value: &str) -> Self {
        self.values.insert(key.to_owned(), format!("{value:?}"));
        self
    }

    pub fn interval(self, value: &str) -> Self {
        self.text("interval", value)
    }

    pub fn threshold(self, value: &str) -> Self {
        self.text("alert_threshold", value)
    }
}

/// A configuration.
#[derive(Clone, Debug)]
pub struct Setup {
    directory: PathBuf,
    environment: BTreeMap<String, String>,
    /// As whom it runs, if not as ourselves.
    user: Option<(u32, u32)>,
    binary: PathBuf,
    limits: BTreeMap<String, String>,
    recipients: Vec<Recipient>,
    top: String,
    tables: String,
}

impl Setup {
    /// Nothing but a password and free ports; with the limits that no test wants to wait for made short.
    pub fn new() -> Self {
        let this = Self {
            directory: ground().directory("maildt"),
            environment: BTreeMap::new(),
            user: None,
            binary: PathBuf::from(BINARY),
            limits: BTreeMap::new(),
            recipients: Vec::new(),
            top: String::new(),
            tables: String::new(),
        };
        this.env("ADMIN_PASSWORD", "correct horse battery")
            .env("LISTEN", "127.0.0.1:0")
            .env("METRICS_LISTEN", "127.0.0.1:0")
            .env("LOG_LEVEL", "debug")
            .env("CHECK_INTERVAL", "2")
            .limit("round_gap", "\"1s\"")
            .limit("reconnect_max", "\"2s\"")
            .limit("database_retry_max", "\"2s\"")
            .limit("lease", "\"3s\"")
            .limit("lease_renew", "\"500ms\"")
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Runs it as another user, from a copy that this user can reach, with all its files in a directory of that user's.
    pub fn under_user(mut self, uid: u32, gid: u32) -> Self {
        self.binary = self.directory.join("bin-maildt");
        fs::copy(BINARY, &self.binary).unwrap();
        std::os::unix::fs::chown(&self.directory, Some(uid), Some(gid)).unwrap();
        self.user = Some((uid, gid));
        self
    }

    pub fn directory(&self) -> &std::path::Path {
        &self.directory
    }

    pub fn without(mut self, name: &str) -> Self {
        self.environment.remove(name);
        self
    }

    /// A field of `[limits]`, its value as TOML.
    pub fn limit(mut self, name: &str, toml: &str) -> Self {
        self.limits.insert(name.to_owned(), toml.to_owned());
        self
    }

    /// That limit as users have it.
    pub fn without_limit(mut self, name: &str) -> Self {
        self.limits.remove(name);
        self
    }

    /// TOML for the top of the file.
    pub fn top(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.top);
        self
    }

    /// TOML for the end of the file: further tables.
    pub fn tables(mut self, toml: &str) -> Self {
        toml.clone_into(&mut self.tables);
        self
    }

    pub fn recipient(mut self, recipient: Recipient) -> Self {
        self.recipients.push(recipient);
        self
    }

    pub fn recipients(mut self, recipients: impl IntoIterator<Item = Recipient>) -> Self {
        self.recipients.extend(recipients);
        self
    }

    /// The same with no recipients, to give others.
    pub fn without_recipients(mut self) -> Self {
        self.recipients.clear();
        self
    }

    /// The same for a second instance: files of its own.
    pub fn beside(&self) -> Self {
        Self { directory: ground().directory("maildt"), ..self.clone() }
    }

    pub fn file(&self) -> PathBuf {
        self.directory.join("maildt.toml")
    }

    /// Writes the file; a running program reads it again at SIGHUP.
    pub fn write(&self) {
        let mut text = self.top.clone();
        text.push_str("\n[limits]\n");
        for (name, value) in &self.limits {
            writeln!(text, "{name} = {value}").unwrap();
        }
        for recipient in &self.recipients {
            writeln!(text, "\n[[recipients]]\nname = {:?}", recipient.name).unwrap();
            for (key, value) in &recipient.values {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        text.push('\n');
        text.push_str(&self.tables);
        fs::write(self.file(), text).unwrap();
    }

    /// The binary with this environment and nothing else of ours.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        if let Some((uid, gid)) = self.user {
            command.uid(uid).gid(gid);
        }
        command.args(arguments).current_dir(&self.directory).env_clear().envs(&self.environment);
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }

    /// Starts the service and waits until it tells its address.
    pub fn start(self) -> App {
        self.launch().listening()
    }

    /// Starts the service, whatever becomes of it.
    pub fn launch(self) -> App {
        self.write();
        let log = self.directory.join("maildt.log");
        let mut app = App { process: None, address: None, pages: None, starts: 0, setup: self, log };
        app.spawn();
        app
    }

    /// Runs another command of the binary to its end: status, output, log.
    pub fn run(&self, arguments: &[&str]) -> (ExitStatus, String, String) {
        self.write();
        let out = self.command(arguments).stdin(std::process::Stdio::null()).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (out.status, text(&out.stdout), text(&out.stderr))
    }
}

/// A running service.
pub struct App {
    pub setup: Setup,
    process: Option<Process>,
    address: Option<SocketAddr>,
    pages: Option<SocketAddr>,
    log: PathBuf,
    starts: usize,
}

impl App {
    fn spawn(&mut self) {
        self.starts += 1;
        self.log = self.setup.directory.join(format!("maildt-{}.log", self.starts));
        let file = self.setup.file();
        let mut command = self.setup.command(&["serve", "--config", file.to_str().unwrap()]);
        self.process = Some(Process::start(&mut command, Signal::SIGTERM, &self.log));
        self.address = None;
    }

    /// Starts it again, with the same configuration and data.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        self.setup.write();
        self.spawn();
        self.await_address();
    }

    /// Adds a recipient while it runs.
    pub fn join(&mut self, recipient: Recipient) {
        self.setup = self.setup.clone().recipient(recipient);
        self.setup.write();
        self.signal(Signal::SIGHUP);
    }

    /// Adds a recipient once every folder of every mailbox is watched: only what is sent from then on is seen live.
    #[track_caller]
    pub fn join_watched(&mut self, folders: usize, recipient: Recipient) {
        eventually(s(20), "all folders are watched", || {
            let scrape = self.metrics()?;
            #[expect(clippy::cast_precision_loss, reason = "a few folders")]
            let all = folders as f64;
            super::wait::same(&scrape.sum("maildt_imap_up"), &all)
        });
        self.join(recipient);
    }

    /// Waits until it tells its address.
    #[track_caller]
    pub fn listening(mut self) -> Self {
        self.await_address();
        self
    }

    /// A crash.
    pub fn kill9(&mut self) {
        self.process.take().unwrap().kill9();
    }

    /// Asks it to end; its exit status, and how long it took.
    #[track_caller]
    pub fn term(&mut self) -> (ExitStatus, Duration) {
        let start = std::time::Instant::now();
        let mut process = self.process.take().unwrap();
        process.signal(Signal::SIGTERM);
        let status = process.wait(s(30));
        (
            status.unwrap_or_else(|| panic!("still there 30 s after SIGTERM\n{}", self.log_tail(40))),
            start.elapsed(),
        )
    }

    /// Waits for its end.
    #[track_caller]
    pub fn exit(&mut self, limit: Duration) -> ExitStatus {
        let status = self.process.as_mut().unwrap().wait(limit);
        status.unwrap_or_else(|| panic!("still there after {limit:?}\n{}", self.log_tail(40)))
    }

    pub fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().pid()
    }

    pub fn signal(&self, signal: Signal) {
        self.process.as_ref().unwrap().signal(signal);
    }

    /// Everything it has logged since its last start.
    pub fn log(&self) -> String {
        super::process::read_lossy(&self.log)
    }

    pub fn log_tail(&self, lines: usize) -> String {
        tail(&self.log, lines)
    }

    /// The metrics listener.
    pub fn address(&self) -> SocketAddr {
        self.address.unwrap()
    }

    /// The admin UI.
    pub fn pages(&self) -> SocketAddr {
        self.pages.unwrap()
    }

    pub fn metrics(&self) -> Look<Scrape> {
        let answer = get(self.address(), "/metrics", "")?;
        so(answer.status == 200, || format!("/metrics: {}", answer.status))?;
        Ok(Scrape::parse(&answer.body))
    }

    pub fn healthy(&self) -> Look {
        self.says_ok("/-/healthy")
    }

    pub fn ready(&self) -> Look {
        self.says_ok("/-/ready")
    }

    /// Waits until it has reached the database and, if it is to be the one that works, holds the lease.
    #[track_caller]
    pub fn await_active(&self) {
        eventually(s(20), "it is ready and active", || {
            self.ready()?;
            so(self.metrics()?.count("maildt_active") > 0.5, || "maildt_active is 0".to_owned())?;
            // What is in the database from here on is not taken up any more.
            so(self.log().contains("taking up the work"), || "the work is not taken up".to_owned())
        });
    }

    fn says_ok(&self, path: &str) -> Look {
        let answer = get(self.address(), path, "")?;
        so(answer.status == 200, || format!("{path}: {} {}", answer.status, answer.body))
    }

    #[track_caller]
    fn await_address(&mut self) {
        let limit = s(20);
        let start = std::time::Instant::now();
        loop {
            let log = self.log();
            let told = (address_in(&log, "metrics listener ready"), address_in(&log, "admin UI ready"));
            if let (Some(address), Some(pages)) = told {
                (self.address, self.pages) = (Some(address), Some(pages));
                return;
            }
            let ended = self.process.as_mut().and_then(Process::status);
            assert!(ended.is_none(), "it ended with {ended:?} instead of listening:\n{}", self.log_tail(40));
            assert!(start.elapsed() < limit, "no `… ready` within {limit:?}:\n{}", self.log_tail(40));
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let name = self.setup.directory.display();
            eprintln!("--- end of the log of start {} in {name}:\n{}\n---", self.starts, self.log_tail(60));
        }
        if let Some(process) = &mut self.process {
            // A test that is over does not wait for a drained end.
            process.end_now();
        }
    }
}

/// `… metrics listener ready … address=127.0.0.1:1234 …`, or the same as JSON.
fn address_in(log: &str, what: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains(what))?;
    let (_, rest) = line.split_once("address")?;
    rest.trim_start_matches(['"', '=', ':']).split([' ', '"']).next()?.parse().ok()
}

#[test]
fn the_address_is_found_in_the_log() {
    let log = "x\n2026-01-01T00:00:00Z  INFO maildt: metrics listener ready address=127.0.0.1:4711\ny";
    assert_eq!(address_in(log, "metrics listener ready"), Some(([127, 0, 0, 1], 4711).into()));
    assert_eq!(address_in("nothing", "metrics listener ready"), None);
}
