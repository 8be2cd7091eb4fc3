//! The private PostgreSQL on a real machine: as root, and all of it once more as an ordinary user.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs::Permissions;
use std::future::Future;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use maildt::postgres::{Account, Error, Plan, Private};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

/// A directory of the test's own that everybody may enter, as `/var/lib` is. Takes with it whatever works in it, so that a
/// failed test leaves no server behind.
struct Place(TempDir);

impl Place {
    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let works_here =
                std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.path()));
            if let (true, Ok(pid)) = (works_here, entry.file_name().to_string_lossy().parse()) {
                kill(Pid::from_raw(pid), Signal::SIGKILL).ok();
            }
        }
    }
}

fn place() -> Place {
    let dir = tempfile::Builder::new().prefix("maildt-pg").tempdir_in("/tmp").unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    Place(dir)
}

fn plan(data_dir: impl Into<PathBuf>) -> Plan {
    Plan::new(data_dir.into()).unwrap()
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_mins(1), future).await.unwrap_or_else(|_| panic!("not within a minute: {what}"))
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < deadline, "not within a minute: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn start(plan: Plan) -> Private {
    within("start", Private::start(plan)).await.unwrap()
}

async fn refused(plan: Plan) -> Error {
    within("refusal", Private::start(plan)).await.expect_err("must be refused")
}

async fn client(config: &tokio_postgres::Config) -> Client {
    let (client, connection) = within("connect", config.connect(NoTls)).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn write_row(private: &Private) {
    let client = client(&private.config()).await;
    client.batch_execute("CREATE TABLE kept (n int); INSERT INTO kept VALUES (42)").await.unwrap();
}

async fn assert_row(config: &tokio_postgres::Config) {
    let row = client(config).await.query_one("SELECT n FROM kept", &[]).await.unwrap();
    assert_eq!(row.get::<_, i32>(0), 42);
}

fn postmaster(data_dir: &Path) -> Pid {
    let text = std::fs::read_to_string(data_dir.join("pgdata/postmaster.pid")).unwrap();
    Pid::from_raw(text.lines().next().unwrap().trim().parse().unwrap())
}

/// Running, and not merely waiting to be reaped.
fn lives(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

/// A command as the user that the server runs as.
fn as_server_user(program: &str) -> Command {
    let mut command = Command::new(program);
    command.kill_on_drop(true);
    if let Account::Other { uid, gid, .. } = Account::of_this_process().unwrap() {
        command.uid(uid.as_raw()).gid(gid.as_raw());
    }
    command
}

fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// True where the test needs root and we are not; then noted for the last lines of `make test`.
fn not_run_without_root(test: &str) -> bool {
    let not_run = !geteuid().is_root();
    if not_run {
        let line = format!("NOT RUN: private_postgres::{test}: needs root\n");
        eprint!("{line}");
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("not-run.txt");
        // Not writable in the ordinary user's run of all tests below: there root has run these itself.
        if let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(file) {
            file.write_all(line.as_bytes()).unwrap();
        }
    }
    not_run
}

#[tokio::test]
async fn starts_keeps_its_data_and_stops() {
    let place = place();
    let data_dir = place.path().join("not/yet/there");
    let private = start(plan(&data_dir)).await;
    write_row(&private).await;
    let client = client(&private.config()).await;
    for (setting, value) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", ""),
        ("server_encoding", "UTF8"),
        ("unix_socket_permissions", "0700"),
    ] {
        let shown: String = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0);
        assert_eq!(shown, value, "{setting}");
    }
    let collation = "SELECT datcollate FROM pg_database WHERE datname = current_database()";
    assert_eq!(client.query_one(collation, &[]).await.unwrap().get::<_, String>(0), "C");
    for closed in ["pgdata", "run", "postgres.log"] {
        let mode = std::fs::metadata(data_dir.join(closed)).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{closed} is closed to others");
    }
    let first = postmaster(&data_dir);
    // A session is open: an orderly stop does not wait for it.
    within("stop", private.stop()).await.unwrap();
    assert!(!lives(first));

    let begun = Instant::now();
    let private = start(plan(&data_dir)).await;
    let took = begun.elapsed();
    assert_row(&private.config()).await;
    within("stop", private.stop()).await.unwrap();
    eprintln!("start with existing data: {} ms", took.as_millis());
    assert!(
        !std::fs::read_to_string(data_dir.join("postgres.log")).unwrap().contains("recovery"),
        "clean stop"
    );
}

#[tokio::test]
async fn a_killed_server_is_noticed_and_started_again() {
    let place = place();
    let data_dir = place.path().join("data");
    let mut private = start(plan(&data_dir)).await;
    write_row(&private).await;
    let config = private.config();

    // One session that will never notice the death of its server.
    let frozen = client(&config).await;
    let backend: i32 = frozen.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let backend = Pid::from_raw(backend);
    kill(backend, Signal::SIGSTOP).unwrap();
    let server = postmaster(&data_dir);
    kill(server, Signal::SIGKILL).unwrap();
    within("exited", private.exited()).await.unwrap();
    assert!(lives(backend), "the frozen session is what this test is about");

    within("restart", private.restart()).await.unwrap();
    assert!(!lives(backend));
    assert_ne!(postmaster(&data_dir), server);
    assert_row(&config).await;
    within("stop", private.stop()).await.unwrap();
}

#[tokio::test]
async fn supervision_brings_it_back_and_ends_it_on_request() {
    let place = place();
    let data_dir = place.path().join("data");
    let private = start(plan(&data_dir)).await;
    write_row(&private).await;
    let config = private.config();
    let stop = CancellationToken::new();
    let supervisor = tokio::spawn(private.supervise(stop.clone()));

    let first = postmaster(&data_dir);
    kill(first, Signal::SIGKILL).unwrap();
    within("answers again", async {
        while config.connect(NoTls).await.is_err() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_row(&config).await;
    let second = postmaster(&data_dir);
    assert_ne!(first, second);

    stop.cancel();
    within("stop", supervisor).await.unwrap().unwrap();
    assert!(!lives(second));
}

#[tokio::test]
async fn an_orphan_is_replaced() {
    let place = place();
    let data_dir = place.path().join("data");
    let private = start(plan(&data_dir)).await;
    write_row(&private).await;
    let session = client(&private.config()).await;
    let orphan = postmaster(&data_dir);
    drop(private);
    assert!(lives(orphan), "the server outlives us");

    let private = start(plan(&data_dir)).await;
    assert!(!lives(orphan));
    assert!(session.simple_query("SELECT 1").await.is_err());
    assert_row(&private.config()).await;
    within("stop", private.stop()).await.unwrap();
}

#[tokio::test]
async fn a_frozen_orphan_is_killed() {
    let place = place();
    let data_dir = place.path().join("data");
    let private = start(plan(&data_dir)).await;
    write_row(&private).await;
    let orphan = postmaster(&data_dir);
    drop(private);
    kill(orphan, Signal::SIGSTOP).unwrap();

    let impatient = Plan { stop: Duration::from_millis(100), ..plan(&data_dir) };
    let private = start(impatient).await;
    assert!(!lives(orphan));
    assert_row(&private.config()).await;
    within("stop", private.stop()).await.unwrap();
}

#[tokio::test]
async fn a_lock_file_of_the_dead_does_not_block() {
    let place = place();
    let data_dir = place.path().join("data");
    let private = start(plan(&data_dir)).await;
    write_row(&private).await;
    let lock_file = std::fs::read_to_string(data_dir.join("pgdata/postmaster.pid")).unwrap();
    within("stop", private.stop()).await.unwrap();

    // A zombie for as long as it is not waited for, and a living process that has nothing to do with us.
    let zombie = as_server_user("true").spawn().unwrap();
    let zombie_pid = zombie.id().unwrap();
    let mut unrelated = as_server_user("sleep").arg("600").spawn().unwrap();
    eventually("zombie", || {
        std::fs::read_to_string(format!("/proc/{zombie_pid}/stat")).unwrap().contains(") Z ")
    })
    .await;
    for pid in [zombie_pid, unrelated.id().unwrap(), 4_194_303] {
        let (_, rest) = lock_file.split_once('\n').unwrap();
        let stale = format!("{pid}\n{rest}");
        std::fs::create_dir_all(data_dir.join("run")).unwrap();
        for path in ["pgdata/postmaster.pid", "run/.s.PGSQL.5432.lock"] {
            std::fs::write(data_dir.join(path), &stale).unwrap();
            if let Account::Other { uid, gid, .. } = Account::of_this_process().unwrap() {
                chown(data_dir.join(path), Some(uid.as_raw()), Some(gid.as_raw())).unwrap();
            }
        }
        let private = start(plan(&data_dir)).await;
        assert_row(&private.config()).await;
        within("stop", private.stop()).await.unwrap();
    }
    assert!(unrelated.try_wait().unwrap().is_none(), "the unrelated process was left alone");
}

/// Not a test: what the tests below run in a process of its own, to be killed.
#[tokio::test]
async fn start_and_hold() {
    let Some(data_dir) = std::env::var_os("HOLD_DATA_DIR").map(PathBuf::from) else { return };
    let _private = Private::start(plan(&data_dir)).await.unwrap();
    std::fs::write(data_dir.join("started"), "").unwrap();
    std::future::pending::<()>().await;
}

fn in_a_process_of_its_own(data_dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["start_and_hold", "--exact"])
        .env("HOLD_DATA_DIR", data_dir)
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn an_interrupted_initdb_is_done_again() {
    let place = place();
    let data_dir = place.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    let under_way = |file: &str| {
        entries(&data_dir)
            .iter()
            .any(|name| name.starts_with("initdb-") && data_dir.join(name).join(file).exists())
    };
    // At its first file, and deep in the work, where a server of initdb's is writing.
    for file in ["PG_VERSION", "base/1"] {
        let mut process = in_a_process_of_its_own(&data_dir);
        eventually("initdb works", || under_way(file)).await;
        process.kill().await.unwrap();
        assert!(!data_dir.join("pgdata").exists());
    }
    let private = start(plan(&data_dir)).await;
    write_row(&private).await;
    assert_eq!(entries(&data_dir), ["lock", "pgdata", "postgres.log", "run"]);
    within("stop", private.stop()).await.unwrap();
}

#[tokio::test]
async fn a_directory_in_use_is_refused_until_its_user_is_gone() {
    let place = place();
    let data_dir = place.path().join("data");
    let mut other = in_a_process_of_its_own(&data_dir);
    eventually("the other runs", || data_dir.join("started").exists()).await;
    let server = postmaster(&data_dir);

    let error = refused(plan(&data_dir)).await.to_string();
    assert!(error.contains(&format!("in use by another MailDT (pid {})", other.id().unwrap())), "{error}");
    assert!(lives(server), "the refusal leaves the other's server alone");

    other.kill().await.unwrap();
    assert!(lives(server), "kill -9 of MailDT leaves the server");
    let private = start(plan(&data_dir)).await;
    assert!(!lives(server));
    within("stop", private.stop()).await.unwrap();
}

#[tokio::test]
async fn data_of_another_major_version_are_refused_with_the_way_out() {
    let place = place();
    let data_dir = place.path().join("data");
    within("stop", start(plan(&data_dir)).await.stop()).await.unwrap();
    let version = data_dir.join("pgdata/PG_VERSION");

    std::fs::write(&version, "9.6\n").unwrap();
    let error = refused(plan(&data_dir)).await;
    assert!(error.needs_operator());
    let text = error.to_string();
    assert!(text.contains("was written by PostgreSQL 9") && text.contains("pg_upgrade -b /"), "{text}");

    std::fs::write(&version, "99\n").unwrap();
    let text = refused(plan(&data_dir)).await.to_string();
    assert!(text.contains("install PostgreSQL 99") && !text.contains("pg_upgrade"), "{text}");
}

#[tokio::test]
async fn missing_binaries_name_the_package_and_the_setting() {
    let place = place();
    let none = Plan { binaries: vec![place.path().to_owned()], ..plan(place.path().join("data")) };
    let error = refused(none).await;
    assert!(error.needs_operator());
    let text = error.to_string();
    assert!(text.contains("apt install postgresql") && text.contains("DATABASE_URL"), "{text}");
    assert!(!text.contains('\n'));
}

#[tokio::test]
async fn a_foreign_directory_is_left_alone() {
    let place = place();
    let pgdata = place.path().join("data/pgdata");
    std::fs::create_dir_all(&pgdata).unwrap();
    std::fs::write(pgdata.join("letters"), "dear").unwrap();
    let error = refused(plan(place.path().join("data"))).await;
    assert!(matches!(error, Error::Foreign(_)), "{error}");
    assert_eq!(entries(&pgdata), ["letters"]);
}

#[tokio::test]
async fn a_server_that_cannot_start_says_why() {
    let place = place();
    let data_dir = place.path().join("data");
    within("stop", start(plan(&data_dir)).await.stop()).await.unwrap();
    std::fs::write(data_dir.join("pgdata/postgresql.conf"), "nonsense = 1\n").unwrap();
    let error = refused(plan(&data_dir)).await;
    assert!(matches!(error, Error::Start { .. }), "{error}");
    assert!(error.to_string().contains("nonsense"), "{error}");
}

#[tokio::test]
async fn the_server_gets_nothing_of_our_environment() {
    let place = place();
    let data_dir = place.path().join("data");
    let private = start(plan(&data_dir)).await;
    let environment = std::fs::read(format!("/proc/{}/environ", postmaster(&data_dir))).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    let ours: Vec<_> = std::env::vars()
        .filter(|(name, _)| !["PATH", "LD_LIBRARY_PATH", "LC_ALL"].contains(&name.as_str()))
        .filter(|(name, value)| environment.split('\0').any(|entry| entry == format!("{name}={value}")))
        .collect();
    assert!(std::env::vars().count() > 3, "an empty environment would prove nothing");
    assert!(ours.is_empty(), "{ours:?}");
    within("stop", private.stop()).await.unwrap();
}

#[tokio::test]
async fn a_path_too_long_for_a_socket_gets_one_elsewhere() {
    let place = place();
    let data_dir = place.path().join("x".repeat(120)).join("comma, \"quote\"");
    let short = place.path().join("short");
    std::fs::create_dir(&short).unwrap();
    let plan = || Plan { short_dirs: vec![place.path().join("missing"), short.clone()], ..plan(&data_dir) };
    let private = start(plan()).await;
    write_row(&private).await;
    let [made] = entries(&short).try_into().unwrap();
    let permissions = std::fs::metadata(short.join(&made)).unwrap().permissions();
    assert_eq!(permissions.mode() & 0o777, 0o700);
    drop(private);

    let private = start(plan()).await;
    assert_row(&private.config()).await;
    let [again] = entries(&short).try_into().expect("the orphan's directory is gone");
    assert_ne!(made, again);
    within("stop", private.stop()).await.unwrap();
    assert!(entries(&short).is_empty());
}

#[tokio::test]
async fn a_closed_directory_above_is_named() {
    if not_run_without_root("a_closed_directory_above_is_named") {
        return;
    }
    let place = place();
    let home = place.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, Permissions::from_mode(0o700)).unwrap();
    let error = refused(plan(home.join("data"))).await;
    assert!(error.needs_operator());
    let text = error.to_string();
    assert!(text.contains(&format!("`chmod o+x {}`", home.display())), "{text}");
}

#[tokio::test]
async fn a_closed_data_directory_of_roots_is_opened_to_the_server_alone() {
    if not_run_without_root("a_closed_data_directory_of_roots_is_opened_to_the_server_alone") {
        return;
    }
    let place = place();
    let data_dir = place.path().join("data");
    std::fs::create_dir(&data_dir).unwrap();
    std::fs::set_permissions(&data_dir, Permissions::from_mode(0o700)).unwrap();
    let private = start(plan(&data_dir)).await;
    let mode = std::fs::metadata(&data_dir).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o710);
    within("stop", private.stop()).await.unwrap();
}

#[tokio::test]
async fn root_follows_the_owner_of_the_data() {
    if not_run_without_root("root_follows_the_owner_of_the_data") {
        return;
    }
    let place = place();
    let data_dir = place.path().join("data");
    let nobody = Account::named("nobody").unwrap();
    let private = start(Plan { account: nobody, ..plan(&data_dir) }).await;
    write_row(&private).await;
    within("stop", private.stop()).await.unwrap();
    let private = start(plan(&data_dir)).await;
    assert_row(&private.config()).await;
    within("stop", private.stop()).await.unwrap();

    chown(data_dir.join("pgdata"), Some(0), None).unwrap();
    let error = refused(plan(&data_dir)).await;
    assert!(matches!(error, Error::Owner { owner: 0, .. }), "{error}");
}

/// All of the above as `nobody`, in a copy of this program (a target directory is often closed to others).
#[tokio::test]
async fn everything_works_as_an_ordinary_user_too() {
    if not_run_without_root("everything_works_as_an_ordinary_user_too") {
        return;
    }
    let place = place();
    let program = place.path().join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let user = nix::unistd::User::from_name("nobody").unwrap().unwrap();
    let status = Command::new(program)
        .args(["--skip", "everything_works_as_an_ordinary_user_too"])
        .uid(user.uid.as_raw())
        .gid(user.gid.as_raw())
        .current_dir("/")
        .status();
    assert!(timeout(Duration::from_mins(5), status).await.unwrap().unwrap().success());
}
