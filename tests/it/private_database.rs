//! The program with its private PostgreSQL: killed, either of them, as root and as an ordinary user.

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};

use crate::lab::app::{App, Recipient, Setup};
use crate::lab::builtin::BuiltIn;
use crate::lab::ground::not_run;
use crate::lab::process::family;
use crate::lab::tokens::tokens_in;
use crate::lab::wait::{Look, eventually, s, same, so};

fn delivered(app: &App) -> Look<f64> {
    Ok(app.metrics()?.count("maildt_probe_results_total{recipient=\"alice\",result=\"delivered\"}"))
}

fn two_more_are_delivered(app: &App) {
    let mut before = None;
    eventually(s(60), "probes are delivered", || {
        app.ready()?;
        let now = delivered(app)?;
        let before = *before.get_or_insert(now);
        so(now >= before + 2.0, || format!("{now}, {before} before"))
    });
}

/// An error while none has written down its number.
fn postmaster(setup: &Setup) -> Look<Pid> {
    let file = setup.directory().join("data/pgdata/postmaster.pid");
    let text = std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
    let number = text.lines().next().and_then(|line| line.trim().parse().ok());
    number.map(Pid::from_raw).ok_or_else(|| format!("{} is empty", file.display()))
}

fn alive(pid: Pid) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

fn survives_kills(lab: &BuiltIn, setup: Setup) {
    let data = setup.directory().join("data");
    let setup =
        setup.without("DATABASE_URL").env("DATA_DIR", data.to_str().unwrap()).limit("interval_min", "\"2s\"");
    let alice = Recipient::new("alice", "alice@demo.test").interval("2s").threshold("30s");
    let mut app = setup.recipient(alice).start();
    two_more_are_delivered(&app);

    app.kill9();
    app.start_again();
    two_more_are_delivered(&app);

    let killed = postmaster(&app.setup).unwrap();
    kill(killed, Signal::SIGKILL).unwrap();
    eventually(s(30), "another one works", || {
        app.healthy().unwrap();
        so(postmaster(&app.setup)? != killed, || "not yet".to_owned())
    });
    two_more_are_delivered(&app);

    // Both at once.
    let both = family(app.pid());
    app.kill9();
    for process in both {
        let _ = kill(Pid::from_raw(process.try_into().unwrap()), Signal::SIGKILL);
    }
    app.start_again();
    two_more_are_delivered(&app);
    eventually(s(5), "nothing is called missing", || {
        same(&app.metrics()?.sum("maildt_probes_missing_total"), &0.0)
    });
    let submissions = lab.server.ledger().submissions();
    let ids: Vec<String> = submissions.iter().flat_map(|s| tokens_in(&s.raw)).collect();
    let different: std::collections::HashSet<&String> = ids.iter().collect();
    assert_eq!(different.len(), ids.len(), "a token was sent twice");

    let last = postmaster(&app.setup).unwrap();
    let (status, _) = app.term();
    assert_eq!(status.code(), Some(0));
    eventually(s(10), "it takes its database with it", || so(!alive(last), || "still there".to_owned()));
}

#[test]
fn killed_with_its_private_database_it_goes_on() {
    let lab = BuiltIn::new();
    let setup = lab.setup();
    survives_kills(&lab, setup);
}

#[test]
fn killed_with_its_private_database_it_goes_on_as_an_ordinary_user() {
    if !nix::unistd::geteuid().is_root() {
        return not_run("killed_with_its_private_database_it_goes_on_as_an_ordinary_user", "needs root");
    }
    let user = User::from_name("nobody").unwrap().unwrap();
    let lab = BuiltIn::new();
    let setup = lab.setup().under_user(user.uid.as_raw(), user.gid.as_raw());
    survives_kills(&lab, setup);
}
