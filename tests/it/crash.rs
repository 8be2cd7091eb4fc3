//! Killed without a warning, at any moment: what the mail server saw and what the database says still agree.

use std::collections::HashSet;
use std::time::Duration;

use uuid::Uuid;

use crate::lab::app::{App, Recipient};
use crate::lab::policy::Fate;
use crate::lab::proxy::{At, Towards};
use crate::lab::records::Probe;
use crate::lab::tokens::probe_of;
use crate::lab::wait::{eventually, s, same, so};
use crate::lab::world::World;

/// The server's side of the ledger against the program's.
fn ledger_agrees(world: &World) {
    let probes = world.records().probes();
    let known: HashSet<Uuid> = probes.iter().map(|p| p.id).collect();
    let sent: Vec<Uuid> = world.smtp().tokens_sent().iter().map(|token| probe_of(token)).collect();
    for id in &sent {
        assert!(known.contains(id), "the server saw {id}, the database knows nothing of it");
    }
    let once: HashSet<&Uuid> = sent.iter().collect();
    assert_eq!(once.len(), sent.len(), "a token was sent twice: {sent:?}");
    for saved in world.lab.saved(&world.user) {
        let probe = probes
            .iter()
            .find(|p| saved.message_id.starts_with("v1.") && p.id == probe_of(&saved.message_id));
        let probe = probe.unwrap_or_else(|| panic!("{saved:?} is not in the database"));
        assert!(!probe.was_missing, "it was stored and yet called missing: {probe}");
        assert_eq!(probe.result.as_deref(), Some("delivered"), "{probe}");
    }
}

fn all_have_results(world: &World, count: usize) -> Result<(), String> {
    let probes = world.records().read()?;
    let open: Vec<String> = probes.iter().filter(|p| p.result.is_none()).map(ToString::to_string).collect();
    so(open.is_empty(), || open.join("; "))?;
    same(&probes.len(), &count)
}

#[test]
fn every_token_the_server_saw_is_in_the_database_after_kills_at_random_moments() {
    let Some(world) =
        World::new("every_token_the_server_saw_is_in_the_database_after_kills_at_random_moments")
    else {
        return;
    };
    let mut app = world.setup().launch();
    let mut known = 0;
    for round in 0..8 {
        // New recipients are due at once; those of the rounds before are not due again for an hour.
        for _ in 0..4 {
            let name = format!("r{known}");
            app.setup = app.setup.clone().recipient(Recipient::new(&name, &world.address(&name)));
            known += 1;
        }
        app.kill9();
        app.start_again();
        app.await_active();
        let moment = Duration::from_millis(rand::random_range(0..400) + round * 20);
        std::thread::sleep(moment);
    }
    app.kill9();
    app.start_again();
    eventually(s(60), "every probe has its result", || all_have_results(&world, known));
    ledger_agrees(&world);
    for name in (0..known).map(|n| format!("r{n}")) {
        assert_eq!(world.records().of(&name).len(), 1, "one probe for one due time: {name}");
    }
    eventually(s(10), "the mailbox is clean", || same(&world.mail().count("INBOX"), &0));
}

/// One recipient whose sending is stopped where `towards` and `at` say; there the program is killed and started again.
fn killed_while_sending(test: &str, towards: Towards, at: At) -> Option<(World, App, Probe)> {
    let world = World::new(test)?;
    let trap = world.smtp().hold_at(towards, at);
    let mut app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    trap.wait(s(20));
    world.records().first("alice", &["sending"]).unwrap();
    app.kill9();
    trap.cut();
    app.start_again();
    let probe = eventually(s(40), "it has a result", || {
        let probe = world.records().first("alice", &["delivered", "inconclusive", "unconfirmed"])?;
        so(probe.result.is_some(), || probe.to_string())?;
        Ok(probe)
    });
    assert_eq!(world.records().probes().len(), 1, "no second probe for the same due time");
    assert!(
        world.smtp().tokens_sent().len() <= 1,
        "the token was sent again: {:?}",
        world.smtp().tokens_sent()
    );
    ledger_agrees(&world);
    let scrape = app.metrics().unwrap();
    assert!(scrape.sum("maildt_probes_missing_total") < 0.5, "a crash of ours is not missing mail");
    assert!(
        scrape.sum("maildt_delivery_latency_seconds_count") < 0.5,
        "what was not confirmed is not measured"
    );
    Some((world, app, probe))
}

#[test]
fn killed_when_connected_the_probe_is_inconclusive() {
    let killed = killed_while_sending(
        "killed_when_connected_the_probe_is_inconclusive",
        Towards::Server,
        At::Before(b"MAIL FROM"),
    );
    let Some((_, _, probe)) = killed else { return };
    assert_eq!(probe.state, "inconclusive");
}

#[test]
fn killed_after_mail_from_the_probe_is_inconclusive() {
    let killed = killed_while_sending(
        "killed_after_mail_from_the_probe_is_inconclusive",
        Towards::Server,
        At::Before(b"RCPT TO"),
    );
    let Some((_, _, probe)) = killed else { return };
    assert_eq!(probe.state, "inconclusive");
}

#[test]
fn killed_after_data_the_probe_is_inconclusive() {
    let killed = killed_while_sending(
        "killed_after_data_the_probe_is_inconclusive",
        Towards::Client,
        At::Before(b"354 "),
    );
    let Some((_, _, probe)) = killed else { return };
    assert_eq!(probe.state, "inconclusive");
}

#[test]
fn killed_between_the_dot_and_the_reply_the_probe_is_not_sent_again() {
    let killed = killed_while_sending(
        "killed_between_the_dot_and_the_reply_the_probe_is_not_sent_again",
        Towards::Server,
        At::After(b"\r\n.\r\n"),
    );
    let Some((_, _, probe)) = killed else { return };
    assert_eq!(probe.state, "delivered", "it came, so it is delivered");
}

#[test]
fn killed_between_the_reply_and_its_commit_the_probe_is_not_sent_again() {
    let Some(world) = World::new("killed_between_the_reply_and_its_commit_the_probe_is_not_sent_again")
    else {
        return;
    };
    let reply = world.smtp().hold_at(Towards::Client, At::Before(b"250 2.0.0 Ok: queued"));
    let mut app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    reply.wait(s(20));
    world.sql().stall();
    reply.release();
    eventually(s(5), "the reply has passed", || {
        so(world.smtp().transcript(Towards::Client).contains("Ok: queued"), || "not yet".to_owned())
    });
    app.kill9();
    world.records().first("alice", &["sending"]).unwrap();
    world.sql().cut();
    world.sql().pass();
    app.start_again();
    let probe = eventually(s(30), "it is delivered", || world.records().first("alice", &["delivered"]));
    assert_eq!(probe.attempts, 1);
    assert_eq!(world.smtp().tokens_sent().len(), 1);
    ledger_agrees(&world);
}

#[test]
fn killed_between_seeing_and_the_commit_the_mail_is_kept_and_seen_again() {
    let Some(world) = World::new("killed_between_seeing_and_the_commit_the_mail_is_kept_and_seen_again")
    else {
        return;
    };
    let address = world.address("alice");
    world.lab.policy.set(&address, Fate::Held);
    let mut app = world.setup().recipient(Recipient::new("alice", &address)).start();
    let probe = eventually(s(20), "it is accepted", || world.records().first("alice", &["accepted"]));
    world.sql().stall();
    world.lab.release(&address);
    eventually(s(10), "its header was fetched", || {
        let seen = world.imap().transcript(Towards::Client).contains(&probe.id.to_string());
        so(seen, || "not yet".to_owned())
    });
    app.kill9();
    world.sql().cut();
    world.sql().pass();
    assert_eq!(world.records().of("alice")[0].state, "accepted");
    assert_eq!(world.mail().count("INBOX"), 1, "nothing is removed before the commit");
    app.start_again();
    let probe = eventually(s(30), "it is delivered", || world.records().first("alice", &["delivered"]));
    assert!(probe.latency_estimated, "found after a restart: {probe:?}");
    eventually(s(10), "now it is removed", || same(&world.mail().count("INBOX"), &0));
}

#[test]
fn killed_between_the_commit_and_the_clean_up_the_mail_is_removed_and_no_duplicate() {
    let Some(world) =
        World::new("killed_between_the_commit_and_the_clean_up_the_mail_is_removed_and_no_duplicate")
    else {
        return;
    };
    let clean_up = world.imap().hold_at(Towards::Server, At::Before(b"STORE "));
    let mut app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    clean_up.wait(s(20));
    let committed = world.records().first("alice", &["delivered"]).unwrap();
    app.kill9();
    clean_up.cut();
    assert_eq!(world.mail().count("INBOX"), 1);
    app.start_again();
    eventually(s(20), "it is removed", || same(&world.mail().count("INBOX"), &0));
    let probe = &world.records().of("alice")[0];
    assert_eq!(*probe, committed, "seeing it again changes nothing");
}
