//! While the mailbox cannot be read nothing is judged, and afterwards everything rightly.

use crate::lab::app::{App, Recipient};
use crate::lab::policy::Fate;
use crate::lab::records::Records;
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

/// Four recipients of which two get their mail in time, one too late and one never.
fn four(world: &World) -> Vec<Recipient> {
    world.lab.policy.set(&world.address("late"), Fate::Held);
    world.lab.policy.set(&world.address("lost"), Fate::Lost);
    ["one", "two", "late", "lost"].iter().map(|n| Recipient::new(n, &world.address(n))).collect()
}

fn nothing_is_judged(records: &Records, app: &App) -> Result<(), String> {
    let judged: Vec<String> = records
        .read()?
        .iter()
        .filter(|p| p.result.is_some() || p.was_missing)
        .map(ToString::to_string)
        .collect();
    so(judged.is_empty(), || judged.join("; "))?;
    same(&app.metrics()?.sum("maildt_probes_missing_total"), &0.0)
}

/// Waits, blind, until well past every deadline, and lets the late one come only then.
fn past_the_deadlines(world: &World, app: &App) {
    let records = world.records();
    // 10 s threshold, and beyond it the 5 s within which a found message still counts as in time.
    throughout(s(17), "nothing is judged while blind", || nothing_is_judged(&records, app));
    world.lab.release(&world.address("late"));
    eventually(s(10), "the late one is stored", || same(&world.lab.saved(&world.user).len(), &3));
}

fn verdicts_are_right(world: &World, app: &App) {
    let records = world.records();
    for (name, result) in [("one", "delivered"), ("two", "delivered"), ("late", "late"), ("lost", "missing")]
    {
        let probe = eventually(s(30), "the verdict is right", || records.first(name, &[result]));
        assert_eq!(probe.result.as_deref(), Some(result), "{probe}");
        assert_eq!(probe.was_missing, name == "lost", "{probe}");
    }
    for name in ["one", "two"] {
        let probe = &records.of(name)[0];
        assert!(probe.latency_estimated, "found later, so its latency is an estimate: {probe:?}");
        assert!(probe.latency_ms.unwrap() <= 5_000.0, "an outage of ours is not delivery time: {probe:?}");
    }
    eventually(s(5), "the metrics tell it", || {
        let scrape = app.metrics()?;
        same(&scrape.sum("maildt_probes_missing_total"), &1.0)?;
        same(&scrape.sum("maildt_delivery_latency_seconds_count"), &0.0)
    });
}

#[test]
fn mail_delivered_while_imap_is_down_across_the_deadline_is_not_missing() {
    let Some(world) = World::new("mail_delivered_while_imap_is_down_across_the_deadline_is_not_missing")
    else {
        return;
    };
    world.imap().refuse();
    let app = world.setup().recipients(four(&world)).start();
    eventually(s(20), "all are accepted", || {
        same(&world.records().read()?.iter().filter(|p| p.state == "accepted").count(), &4)
    });
    past_the_deadlines(&world, &app);
    assert!(app.metrics().unwrap().sum("maildt_imap_up") < 0.5, "it knows that it is blind");
    world.imap().pass();
    verdicts_are_right(&world, &app);
}

#[test]
fn mail_delivered_while_imap_hangs_across_the_deadline_is_not_missing() {
    let Some(world) = World::new("mail_delivered_while_imap_hangs_across_the_deadline_is_not_missing") else {
        return;
    };
    let recipients = four(&world);
    for name in ["one", "two"] {
        world.lab.policy.set(&world.address(name), Fate::Held);
    }
    // Well connected and idle first, then half dead: open connections on which nothing comes any more.
    let app = world.setup().limit("command", "\"3s\"").recipients(recipients).start();
    eventually(s(20), "all are accepted", || {
        same(&world.records().read()?.iter().filter(|p| p.state == "accepted").count(), &4)
    });
    world.imap().stall();
    for name in ["one", "two"] {
        world.lab.release(&world.address(name));
    }
    past_the_deadlines(&world, &app);
    world.imap().pass();
    verdicts_are_right(&world, &app);
}
