//! Without the database: alive, not ready, no probe; and nothing that was seen is lost.

use crate::lab::app::Recipient;
use crate::lab::policy::Fate;
use crate::lab::proxy::{At, Towards};
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

#[test]
fn without_a_database_no_probe_is_sent() {
    let Some(world) = World::new("without_a_database_no_probe_is_sent") else { return };
    world.sql().refuse();
    let app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    throughout(s(4), "alive, not ready, silent", || {
        app.healthy()?;
        so(app.ready().is_err(), || "it says that it is ready".to_owned())?;
        same(&world.smtp().connections(), &0)
    });
    world.sql().pass();
    eventually(s(20), "it is ready", || app.ready());
    eventually(s(20), "the probe is delivered", || world.records().first("alice", &["delivered"]));
}

#[test]
fn the_row_is_committed_before_the_server_sees_a_byte() {
    let Some(world) = World::new("the_row_is_committed_before_the_server_sees_a_byte") else { return };
    let first_byte = world.smtp().hold_at(Towards::Server, At::Bytes(0));
    let _app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    first_byte.wait(s(20));
    // Read on another connection: only what is committed can be seen.
    world.records().first("alice", &["sending"]).unwrap();
    assert_eq!(world.smtp().transcript(Towards::Server), "");
    first_byte.release();
    eventually(s(20), "the probe is delivered", || world.records().first("alice", &["delivered"]));
}

#[test]
fn mail_seen_while_the_database_is_down_is_delivered_and_not_missing() {
    let Some(world) = World::new("mail_seen_while_the_database_is_down_is_delivered_and_not_missing") else {
        return;
    };
    let names = ["one", "two"];
    for name in names {
        world.lab.policy.set(&world.address(name), Fate::Held);
    }
    let mut app = world.setup().recipient(Recipient::new("one", &world.address("one"))).start();
    app.join_watched(2, Recipient::new("two", &world.address("two")));
    let records = world.records();
    eventually(s(20), "both are accepted", || {
        same(&records.read()?.iter().filter(|p| p.state == "accepted").count(), &2)
    });

    world.sql().refuse();
    for name in names {
        world.lab.release(&world.address(name));
    }
    let deadline = records.probes().iter().filter_map(|p| p.deadline_at).fold(0.0, f64::max);
    let connections = world.smtp().connections();
    eventually(s(30), "the deadline has passed", || {
        app.healthy()?;
        same(&world.smtp().connections(), &connections)?;
        so(records.now()? > deadline + 3.0, || "not yet".to_owned())
    });
    assert!(app.ready().is_err(), "it says that it is ready");
    assert_eq!(world.mail().count("INBOX"), 2, "nothing is removed before the commit");

    world.sql().pass();
    for name in names {
        let probe = eventually(s(20), "it is delivered", || records.first(name, &["delivered"]));
        assert!(!probe.was_missing);
        assert!(!probe.latency_estimated || name == "one", "it was seen live: {probe:?}");
        assert!(probe.latency_ms.unwrap() < 10_000.0, "{probe:?}");
    }
    eventually(s(10), "now it is removed", || same(&world.mail().count("INBOX"), &0));
    assert!(app.metrics().unwrap().sum("maildt_probes_missing_total") < 0.5);
}

#[test]
fn a_stalled_database_stops_neither_liveness_nor_right_verdicts() {
    let Some(world) = World::new("a_stalled_database_stops_neither_liveness_nor_right_verdicts") else {
        return;
    };
    world.lab.policy.set(&world.address("one"), Fate::Held);
    world.lab.policy.set(&world.address("lost"), Fate::Lost);
    let names = ["one", "lost"];
    let app = world.setup().recipients(names.map(|n| Recipient::new(n, &world.address(n)))).start();
    let records = world.records();
    eventually(s(20), "both are accepted", || {
        same(&records.read()?.iter().filter(|p| p.state == "accepted").count(), &2)
    });
    world.sql().stall();
    world.lab.release(&world.address("one"));
    throughout(s(13), "it is alive and judges nothing", || {
        app.healthy()?;
        records.first("lost", &["accepted"]).map(drop)
    });
    world.sql().pass();
    eventually(s(20), "what came is delivered", || records.first("one", &["delivered"]));
    eventually(s(30), "what was lost is missing", || records.first("lost", &["missing"]));
    assert!(!records.of("one")[0].was_missing);
}
