//! What everything stands on: one temporary directory, free ports, a runtime for sockets, and a warden that tidies up.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use tokio::runtime::Runtime;

/// Waits for the end of its input, that is, of the test process, however it ends; then ends the processes that are still on
/// the list and removes the directory. The start time tells a listed process from another one with the same number.
const WARDEN: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
left() {
  for f in "$1"/pids/*; do
    [ -e "$f" ] || continue
    pid=${f##*/}; read -r signal born <"$f"
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
    set -- "$1" ${stat##*) }
    [ "$2" != Z ] && [ "${21}" = "$born" ] || continue
    kill -s CONT "$pid" 2>/dev/null
    kill -s "${turn:-$signal}" "$pid" 2>/dev/null && echo "$pid"
  done
}
turn=; left "$1" >/dev/null
n=0
turn=CONT
while [ $n -lt 100 ] && [ -n "$(left "$1")" ]; do sleep 0.1; n=$((n+1)); done
turn=KILL; left "$1" >/dev/null
[ -n "$MAILDT_TEST_KEEP" ] || {
  awk -v root="$1/" 'index($2, root) == 1 { print $2 }' /proc/mounts | while read -r place; do umount -l "$place"; done
  rm -rf "$1"
}
"#;

/// The one ground of this test process.
pub struct Ground {
    root: PathBuf,
    next_directory: AtomicU32,
    _alive: ChildStdin,
}

/// The ground, made at the first call.
pub fn ground() -> &'static Ground {
    static GROUND: OnceLock<Ground> = OnceLock::new();
    GROUND.get_or_init(Ground::new)
}

impl Ground {
    #[expect(clippy::zombie_processes, reason = "the warden outlives this process")]
    fn new() -> Self {
        drop(fs::remove_file(not_run_file()));
        let root = tempfile::Builder::new().prefix("maildt-it.").tempdir().unwrap().keep();
        // Servers that give up root must be able to pass.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(root.join("pids")).unwrap();
        let mut warden = Command::new("sh")
            .args(["-c", WARDEN, "warden"])
            .arg(&root)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let alive = warden.stdin.take().unwrap();
        Self { root, next_directory: AtomicU32::new(0), _alive: alive }
    }

    /// A new directory of its own; removed at the end of this process (unless `MAILDT_TEST_KEEP` is set).
    pub fn directory(&self, name: &str) -> PathBuf {
        let number = self.next_directory.fetch_add(1, Ordering::Relaxed);
        let path = self.root.join(format!("{number:02}-{name}"));
        fs::create_dir(&path).unwrap();
        path
    }

    /// Where the warden's list is.
    pub fn pids(&self) -> PathBuf {
        self.root.join("pids")
    }

    pub fn root(&self) -> &Path {
        &self.root
    }
}

/// A port that is free on 127.0.0.1 and lies below the range from which the system takes ports for outgoing connections, so
/// that a listener may be closed and opened again on it.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 12_000 + u16::try_from(std::process::id() * 97 % 20_000).unwrap();
    loop {
        let port = 12_000 + (first - 12_000 + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// The runtime for everything of the lab that waits on sockets.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

/// Notes that something could not be tested here, for the last lines of `make test`: a gap must not be silent.
pub fn not_run(what: &str, why: &str) {
    use std::io::Write;
    let line = format!("NOT RUN: {what}: {why}\n");
    eprint!("{line}");
    let mut file = fs::OpenOptions::new().create(true).append(true).open(not_run_file()).unwrap();
    file.write_all(line.as_bytes()).unwrap();
}

fn not_run_file() -> PathBuf {
    target().join("not-run.txt")
}

/// A value of `target/test-env` (lines `NAME=VALUE`: where the test servers are, when not in the system) or of the environment.
pub fn test_env(name: &str) -> Option<String> {
    let text = fs::read_to_string(target().join("test-env")).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=').map(str::to_owned));
    found.or_else(|| std::env::var(name).ok()).filter(|value| !value.is_empty())
}

fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().to_owned()
}
