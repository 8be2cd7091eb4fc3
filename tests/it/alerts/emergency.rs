//! The database is gone: told from memory, seldom, and nothing false afterwards.

use crate::lab::alert::Told;
use crate::lab::app::{Recipient, Setup};
use crate::lab::oncall::{OnCall, match_story};
use crate::lab::policy::Fate;
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

const GONE: &str = "Database unreachable";

#[test]
fn a_database_outage_is_told_from_memory_and_seldom() {
    let test = "a_database_outage_is_told_from_memory_and_seldom";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let setup = ops.on(world.setup()).limit("emergency_after", "\"3s\"").limit("emergency_again", "\"12s\"");
    let app = setup
        .recipient(Recipient::new("alice", &world.address("alice")).threshold("2s"))
        .recipient(Recipient::new("bob", &world.address("bob")).interval("3s").threshold("1m"))
        .start();
    ops.hear(s(40), &["Missing: alice"]);
    eventually(s(20), "the other one is delivered", || world.records().first("bob", &["delivered"]));
    world.sql().refuse();
    let [discord, mail] = ops.hear(s(30), &["Missing: alice", GONE]);
    for alert in [&discord[1], &mail[1]] {
        assert_eq!(alert.told, Told::Other);
        assert!(alert.says("alice"), "what is open is not said: {}", alert.text);
    }
    throughout(s(5), "it is not told again so soon, and the program is alive", || {
        app.healthy()?;
        ops.were_told(&["Missing: alice", GONE])
    });
    ops.hear(s(30), &["Missing: alice", GONE, GONE]);
    world.sql().pass();
    eventually(s(20), "it is ready", || app.ready());
    let probes = world.records().of("bob").len();
    eventually(s(40), "it goes on", || {
        so(world.records().of("bob").len() > probes + 1, || "not yet".to_owned())
    });
    // That it is over may be told; nothing else may.
    for (channel, story) in ["Discord", "mail"].into_iter().zip(ops.told()) {
        let rest: Vec<&str> = story.iter().skip(3).map(|alert| alert.subject.as_str()).collect();
        assert!(rest.iter().all(|subject| subject.starts_with("Database reachable")), "{channel}: {rest:?}");
        assert!(rest.len() <= 1, "{channel}: {rest:?}");
    }
    assert_eq!(world.records().incidents().unwrap().len(), 1);
    same(&app.metrics().unwrap().sum("maildt_probes_missing_total"), &1.0).unwrap();
}

#[test]
fn a_database_that_hangs_or_was_never_there_is_told_once_and_by_one_instance() {
    let test = "a_database_that_hangs_or_was_never_there_is_told_once_and_by_one_instance";
    let (Some(hung), Some(hung_ops)) = (World::new(test), OnCall::new(test)) else { return };
    let (Some(absent), Some(absent_ops)) = (World::new(test), OnCall::new(test)) else { return };
    let soon = |setup: Setup| setup.limit("emergency_after", "\"3s\"");
    absent.sql().refuse();
    let never = soon(absent_ops.on(absent.setup())).start();
    let setup = soon(hung_ops.on(hung.setup()));
    let second = setup.beside();
    let one = setup.start();
    one.await_active();
    let two = second.start();
    eventually(s(20), "the second one is ready", || two.ready());
    hung.sql().stall();
    absent_ops.hear(s(30), &[GONE]);
    hung_ops.hear(s(40), &[GONE]);
    throughout(s(4), "it is told once", || {
        [&one, &two, &never].iter().try_for_each(|app| app.healthy())?;
        absent_ops.were_told(&[GONE])?;
        hung_ops.were_told(&[GONE])
    });
    for (world, apps) in [(&hung, vec![&one, &two]), (&absent, vec![&never])] {
        world.sql().pass();
        for app in apps {
            eventually(s(30), "it is ready", || app.ready());
        }
        assert_eq!(world.records().incidents().unwrap(), []);
    }
}

#[test]
fn a_short_database_outage_is_told_to_nobody_and_holds_up_what_is_to_be_told() {
    let test = "a_short_database_outage_is_told_to_nobody_and_holds_up_what_is_to_be_told";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let recipient = Recipient::new("alice", &world.address("alice")).threshold("4s");
    let app = ops.on(world.setup()).recipient(recipient).start();
    let deadline = eventually(s(20), "it is accepted", || {
        let probe = world.records().first("alice", &["accepted"])?;
        probe.deadline_at.ok_or_else(|| "no deadline".to_owned())
    });
    world.sql().refuse();
    eventually(s(20), "its deadline is long past", || {
        ops.were_told(&[]).unwrap();
        so(world.records().now()? > deadline + 6.0, || "not yet".to_owned())
    });
    assert!(app.ready().is_err());
    world.sql().pass();
    ops.hear(s(40), &["Missing: alice"]);
    match_story("mail", &ops.mail(), &["Missing: alice"]).unwrap();
}
