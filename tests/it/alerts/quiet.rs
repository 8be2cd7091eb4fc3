//! Muted, in maintenance, paused: what is not told, and what is told once the quiet is over.

use nix::sys::signal::Signal;

use super::{brisk, open_incidents};
use crate::lab::app::{App, Recipient, Setup};
use crate::lab::oncall::OnCall;
use crate::lab::policy::Fate;
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

const FAR: &str = "2099-01-01T00:00:00Z";

/// How many incidents were opened, and how many of them are open.
fn incidents(world: &World) -> Result<(usize, usize), String> {
    let all = world.records().incidents()?;
    Ok((all.len(), all.iter().filter(|incident| incident.resolved_at.is_none()).count()))
}

fn reload(app: &mut App, setup: Setup) {
    app.setup = setup;
    app.setup.write();
    app.signal(Signal::SIGHUP);
}

/// In the quiet one outage begins and ends, and another one begins and goes on. Only that is told, when the quiet is over.
fn in_the_quiet(test: &str, quiet: impl Fn(&World, Setup, bool) -> Setup) {
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    for name in ["brief", "lasting"] {
        world.lab.policy.set(&world.address(name), Fate::Lost);
    }
    let base = ops.on(world.setup());
    let mut app = quiet(&world, base.clone(), true).start();
    eventually(s(40), "both outages are on record", || same(&incidents(&world)?, &(2, 2)));
    world.lab.policy.clear(&world.address("brief"));
    eventually(s(40), "one of them is over", || same(&incidents(&world)?, &(2, 1)));
    throughout(s(3), "nobody is told", || ops.were_told(&[]));
    open_incidents(&app, "missing", 1.0).unwrap();
    reload(&mut app, quiet(&world, base, false));
    ops.hear(s(40), &["Missing: lasting"]);
    world.lab.policy.clear(&world.address("lasting"));
    ops.hear(s(40), &["Missing: lasting", "Recovered: lasting"]);
    throughout(s(2), "and that is all", || ops.were_told(&["Missing: lasting", "Recovered: lasting"]));
}

#[test]
fn of_muted_recipients_only_what_is_still_open_is_told_when_they_are_not_muted_any_more() {
    in_the_quiet(
        "of_muted_recipients_only_what_is_still_open_is_told_when_they_are_not_muted_any_more",
        |world, setup, quiet| {
            let recipients = ["brief", "lasting"].map(|name| {
                let recipient = brisk(world, name);
                if quiet { recipient.text("muted_until", FAR) } else { recipient }
            });
            setup.recipients(recipients)
        },
    );
}

#[test]
fn with_everything_muted_only_what_is_still_open_is_told_at_the_end() {
    in_the_quiet(
        "with_everything_muted_only_what_is_still_open_is_told_at_the_end",
        |world, setup, quiet| {
            let top = if quiet { format!("muted_until = {FAR}\n") } else { String::new() };
            setup.recipients(["brief", "lasting"].map(|name| brisk(world, name))).top(&top)
        },
    );
}

#[test]
fn in_a_maintenance_window_only_what_is_still_open_is_told_at_the_end() {
    in_the_quiet(
        "in_a_maintenance_window_only_what_is_still_open_is_told_at_the_end",
        |world, setup, quiet| {
            let window = "[[maintenance]]\nname = \"moving house\"\nrecipients = [\"brief\", \"lasting\"]\n\
                      from = 2020-01-01T00:00:00Z\nto = 2099-01-01T00:00:00Z\n";
            let tables = if quiet { window } else { "" };
            setup.recipients(["brief", "lasting"].map(|name| brisk(world, name))).tables(tables)
        },
    );
}

#[test]
fn a_weekly_window_that_is_open_now_is_quiet_for_those_it_names_and_for_nobody_else() {
    let test = "a_weekly_window_that_is_open_now_is_quiet_for_those_it_names_and_for_nobody_else";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let lost = |name: &str| {
        world.lab.policy.set(&world.address(name), Fate::Lost);
        Recipient::new(name, &world.address(name)).threshold("2s")
    };
    // Open whatever the time is.
    let window = "[[maintenance]]\nname = \"always\"\nrecipients = [\"bob\"]\ndays = \"daily\"\nstart = \"00:00\"\nduration = \"24h\"\n";
    let setup = ops.on(world.setup()).tables(window).recipient(lost("alice")).recipient(lost("bob"));
    let _app = setup.start();
    eventually(s(40), "both are on record", || same(&incidents(&world)?, &(2, 2)));
    ops.hear(s(20), &["Missing: alice"]);
    throughout(s(3), "of the other nothing is told", || ops.were_told(&["Missing: alice"]));
}

#[test]
fn what_was_told_before_the_quiet_and_ended_in_it_is_told_at_its_end() {
    let test = "what_was_told_before_the_quiet_and_ended_in_it_is_told_at_its_end";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let base = ops.on(world.setup());
    let setup = |muted: bool| {
        let recipient = brisk(&world, "alice");
        let recipient = if muted { recipient.text("muted_until", FAR) } else { recipient };
        base.clone().recipient(recipient)
    };
    let mut app = setup(false).start();
    ops.hear(s(40), &["Missing: alice"]);
    reload(&mut app, setup(true));
    eventually(s(10), "it is read again", || so(app.log().contains("configuration read again"), String::new));
    world.lab.policy.clear(&world.address("alice"));
    eventually(s(40), "it is over", || same(&incidents(&world)?, &(1, 0)));
    throughout(s(3), "nobody is told", || ops.were_told(&["Missing: alice"]));
    reload(&mut app, setup(false));
    ops.hear(s(40), &["Missing: alice", "Recovered: alice"]);
}

#[test]
fn pausing_a_recipient_closes_its_incident_and_is_no_recovery() {
    closes("pausing_a_recipient_closes_its_incident_and_is_no_recovery", |setup, alice| {
        setup.recipient(alice.text("active", "false"))
    });
}

#[test]
fn taking_a_recipient_out_of_the_file_closes_its_incident_and_is_no_recovery() {
    closes("taking_a_recipient_out_of_the_file_closes_its_incident_and_is_no_recovery", |setup, _| setup);
}

/// `ends` takes the recipient away.
fn closes(test: &str, ends: impl Fn(Setup, Recipient) -> Setup) {
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let base = ops.on(world.setup());
    let mut app = base.clone().recipient(brisk(&world, "alice")).start();
    ops.hear(s(40), &["Missing: alice"]);
    reload(&mut app, ends(base, brisk(&world, "alice")));
    let [discord, mail] = ops.hear(s(40), &["Missing: alice", "Closed (paused): alice"]);
    for story in [&discord, &mail] {
        assert_eq!(story[0].incidents, story[1].incidents);
        assert!(!story[1].says("arrives again") && !story[1].says("recovered"), "{}", story[1].text);
    }
    eventually(s(5), "nothing is open", || open_incidents(&app, "missing", 0.0));
    same(&incidents(&world).unwrap(), &(1, 0)).unwrap();
    // Probes that were on their way still get their result, and open nothing.
    eventually(s(30), "every probe has its result", || {
        let open: Vec<_> = world.records().read()?.into_iter().filter(|p| p.result.is_none()).collect();
        so(open.is_empty(), || format!("{open:?}"))
    });
    same(&incidents(&world).unwrap(), &(1, 0)).unwrap();
    ops.were_told(&["Missing: alice", "Closed (paused): alice"]).unwrap();
}
