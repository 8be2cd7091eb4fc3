//! Child processes that end with their owner.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::ground::ground;
use super::wait::s;

/// A running child, its output in a file.
pub struct Process {
    child: Child,
    farewell: Signal,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command`; what it prints is appended to `log`. `farewell` is the signal that asks it to end.
    pub fn start(command: &mut Command, farewell: Signal, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).unwrap();
        let err = out.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
        let born = born(child.id()).unwrap_or_default();
        fs::write(
            ground().pids().join(child.id().to_string()),
            format!("{farewell} {born}\n").replace("SIG", ""),
        )
        .unwrap();
        Self { child, farewell, log: log.to_owned(), ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            kill(pid(self.child.id()), signal).unwrap();
        }
    }

    /// Its exit status, as soon as it has ended.
    pub fn status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
            if self.ended.is_some() {
                drop(fs::remove_file(ground().pids().join(self.child.id().to_string())));
            }
        }
        self.ended
    }

    /// Its exit status, or `None` when it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let start = Instant::now();
        while self.status().is_none() && start.elapsed() < limit {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.status()
    }

    /// Ends it with its farewell signal, by force after 10 s.
    pub fn stop(&mut self) {
        if self.status().is_some() {
            return;
        }
        self.signal(Signal::SIGCONT);
        self.signal(self.farewell);
        if self.wait(s(10)).is_none() {
            self.kill9();
        }
    }

    /// Ends it as a crash does.
    pub fn kill9(&mut self) {
        if self.status().is_none() {
            self.signal(Signal::SIGKILL);
            let status = self.wait(s(10)).unwrap();
            assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "ended before it was killed");
        }
    }

    /// Ends it by force, whatever it is doing.
    pub fn end_now(&mut self) {
        if self.status().is_none() {
            self.signal(Signal::SIGKILL);
            self.wait(s(10));
        }
    }

    /// All that it has printed.
    pub fn output(&self) -> String {
        read_lossy(&self.log)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Every process below `ancestor`, itself first.
pub fn family(ancestor: u32) -> Vec<u32> {
    let mut found = vec![ancestor];
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let child = entry.ok()?.file_name().to_str()?.parse().ok()?;
            Some((child, stat_field(child, 4)?.parse().ok()?))
        })
        .collect();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child));
        next += 1;
    }
    found
}

/// The most memory that a process ever had resident, in MiB.
pub fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// Sends a signal to every process below `ancestor`, itself first.
pub fn signal_family(ancestor: u32, signal: Signal) {
    for member in family(ancestor) {
        // It may have ended since it was listed.
        let _ = kill(pid(member), signal);
    }
}

/// The last lines of a file, for a message.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = read_lossy(path);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

pub fn read_lossy(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        file.read_to_end(&mut bytes).unwrap();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Runs a command to its end and gives what it printed.
///
/// # Panics
/// When it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{out}\n{err}", output.status);
    out
}

fn pid(number: u32) -> Pid {
    Pid::from_raw(number.try_into().unwrap())
}

fn born(process: u32) -> Option<String> {
    stat_field(process, 22)
}

/// A field of /proc/PID/stat by its number in proc(5), from the third on.
fn stat_field(process: u32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number - 3).map(str::to_owned)
}
