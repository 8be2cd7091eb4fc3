//! Mail that does not arrive is told once on every channel, and so is its end.

mod channels;
mod emergency;
mod queue;
mod quiet;
mod restarts;
mod settings;
mod shared_causes;

use std::time::Duration;

use crate::lab::alert::Told;
use crate::lab::app::{App, Recipient};
use crate::lab::heartbeat::Heartbeat;
use crate::lab::oncall::{OnCall, match_story};
use crate::lab::policy::{Fate, Stage};
use crate::lab::wait::{Look, eventually, s, same, so, throughout};
use crate::lab::world::World;

/// Probed every few seconds, and soon judged.
fn brisk(world: &World, name: &str) -> Recipient {
    Recipient::new(name, &world.address(name)).interval("3s").threshold("4s")
}

/// Never slow enough to fail by itself.
fn healthy(world: &World, name: &str) -> Recipient {
    Recipient::new(name, &world.address(name)).interval("3s").threshold("1m")
}

fn open_incidents(app: &App, kind: &str, count: f64) -> Look {
    same(&app.metrics()?.get(&format!("maildt_incidents_open{{kind=\"{kind}\"}}")), &Some(count))
}

fn missing(world: &World, name: &str) -> Look<usize> {
    Ok(world.records().read()?.iter().filter(|p| p.recipient == name && p.was_missing).count())
}

#[test]
fn a_lost_mail_is_told_once_on_every_channel_and_so_is_its_recovery() {
    let test = "a_lost_mail_is_told_once_on_every_channel_and_so_is_its_recovery";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let heartbeat = Heartbeat::new();
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let setup = heartbeat.on(ops.on(world.setup()));
    let app = setup.recipient(brisk(&world, "alice")).recipient(healthy(&world, "bob")).start();
    let [discord, mail] = ops.hear(s(40), &["Missing: alice"]);
    let first = &world.records().of("alice")[0];
    let waited = world.records().now().unwrap() - first.deadline_at.unwrap();
    // Two rounds take at most twice CHECK_INTERVAL, 2 s.
    assert!(waited < 4.0 + 15.0, "told {waited} s after the deadline");
    for alert in [&discord[0], &mail[0]] {
        for words in ["alice", "INBOX", "Junk", "Accepted", "Expected by", "Looked at", "queued as"] {
            assert!(alert.says(words), "no {words:?} in {}", alert.text);
        }
        assert!(!alert.says("bob") && !alert.says("v1."), "{}", alert.text);
    }
    open_incidents(&app, "missing", 1.0).unwrap();

    // The truth: what the server took and threw away, time and again, is one incident; it is told once.
    eventually(s(30), "more of it is lost", || so(missing(&world, "alice")? >= 3, || "not yet".to_owned()));
    ops.were_told(&["Missing: alice"]).unwrap();
    assert!(world.lab.policy.attempts(&world.address("alice"), Stage::Rcpt) >= 3);
    heartbeat.beats().unwrap();
    app.ready().unwrap();
    app.healthy().unwrap();

    world.lab.policy.clear(&world.address("alice"));
    let [discord, mail] = ops.hear(s(40), &["Missing: alice", "Recovered: alice"]);
    eventually(s(5), "nothing is open", || open_incidents(&app, "missing", 0.0));
    for story in [&discord, &mail] {
        assert_eq!(story[0].told, Told::Opened);
        assert_eq!(story[1].told, Told::Recovered);
        assert_eq!(story[0].incidents.len(), 1, "{:?}", story[0]);
        assert_eq!(story[0].incidents, story[1].incidents);
        assert!(story[1].says("Lasted"), "{}", story[1].text);
    }
    assert_eq!(discord[0].incidents, mail[0].incidents);
    assert_eq!(world.records().incidents().unwrap().len(), 1);
    for channel in ["discord", "email"] {
        eventually(s(5), "it is counted", || {
            let scrape = app.metrics()?;
            let count = |name: &str| scrape.get(&format!("{name}{{channel=\"{channel}\"}}"));
            same(&count("maildt_notifications_total"), &Some(2.0))?;
            same(&count("maildt_notification_failures_total"), &Some(0.0))
        });
    }
}

#[test]
fn alert_mail_says_that_it_is_automatic_and_stays_in_one_conversation() {
    let test = "alert_mail_says_that_it_is_automatic_and_stays_in_one_conversation";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Held);
    // As users have it: implicit TLS.
    let setup = ops
        .by_mail(world.setup_with_tls())
        .env("ALERT_SMTP_PORT", &world.lab.postfix.smtps.to_string())
        .env("ALERT_SMTP_TLS", "implicit");
    let app = setup.recipient(Recipient::new("alice", &world.address("alice")).threshold("2s")).start();
    let story = ["Missing: alice", "Recovered: alice"];
    eventually(s(30), "it is told", || match_story("mail", &ops.mail(), &story[..1]));
    world.lab.release(&world.address("alice"));
    eventually(s(30), "that it came is told", || match_story("mail", &ops.mail(), &story));
    let mail = ops.mail();
    for alert in &mail {
        assert_eq!(alert.headers.auto_submitted.as_deref(), Some("auto-generated"));
        assert!(alert.headers.message_id.contains('@'), "{:?}", alert.headers);
    }
    let (opened, recovered) = (&mail[0].headers, &mail[1].headers);
    assert_ne!(opened.message_id, recovered.message_id);
    assert_eq!(opened.in_reply_to, None);
    assert_eq!(recovered.in_reply_to.as_ref(), Some(&opened.message_id));
    assert!(recovered.references.contains(&opened.message_id), "{recovered:?}");
    assert!(mail[1].says("arrived after"), "{}", mail[1].text);
    let accepted = world.lab.accepted_from(&ops.sender());
    assert_eq!(
        accepted,
        [opened.message_id.clone(), recovered.message_id.clone()],
        "the server took just these"
    );
    drop(app);
}

#[test]
fn an_old_late_mail_does_not_end_a_live_outage() {
    let test = "an_old_late_mail_does_not_end_a_live_outage";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let address = world.address("alice");
    world.lab.policy.set(&address, Fate::Held);
    let app = ops.on(world.setup()).recipient(brisk(&world, "alice")).start();
    eventually(s(20), "the first is held", || same(&world.lab.postfix.held(&address).len(), &1));
    world.lab.policy.set(&address, Fate::Lost);
    ops.hear(s(40), &["Missing: alice"]);
    eventually(s(30), "later ones are lost", || so(missing(&world, "alice")? >= 2, || "not yet".to_owned()));
    // Not `MailLab::release`: what comes from now on is to be lost as before.
    world.lab.postfix.release(&world.lab.postfix.held(&address));
    eventually(s(20), "the old one comes", || world.records().first("alice", &["late"]));
    let known = missing(&world, "alice").unwrap();
    eventually(s(30), "the outage goes on", || {
        ops.were_told(&["Missing: alice"]).unwrap();
        open_incidents(&app, "missing", 1.0).unwrap();
        so(missing(&world, "alice")? > known + 1, || "not yet".to_owned())
    });
    world.lab.policy.clear(&address);
    ops.hear(s(40), &["Missing: alice", "Recovered: alice"]);
}

#[test]
fn so_many_failures_in_a_row_as_asked_for_open_an_incident_and_fewer_do_not() {
    let test = "so_many_failures_in_a_row_as_asked_for_open_an_incident_and_fewer_do_not";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    for name in ["thrice", "twice"] {
        world.lab.policy.set(&world.address(name), Fate::Lost);
    }
    let app = ops
        .on(world.setup())
        .recipient(brisk(&world, "thrice").interval("6s").text("alert_after", "3"))
        .recipient(brisk(&world, "twice").interval("6s").text("alert_after", "3"))
        .start();
    eventually(s(40), "two of them are lost", || {
        let taken = world.lab.policy.attempts(&world.address("twice"), Stage::Rcpt);
        so(taken >= 2, || format!("{taken}"))
    });
    world.lab.policy.clear(&world.address("twice"));
    let [discord, _] = ops.hear(s(60), &["Missing: thrice"]);
    assert!(discord[0].says("3"), "{}", discord[0].text);
    let opened = world.records().incidents().unwrap()[0].opened_at;
    let probes = world.records().of("thrice");
    let third = probes.iter().filter(|p| p.was_missing).nth(2).unwrap();
    let (deadline, next) = (third.deadline_at.unwrap(), third.deadline_at.unwrap() + 6.0);
    assert!(
        opened >= deadline && opened < next + 15.0,
        "opened at {opened}, the third was due at {deadline}"
    );
    eventually(s(20), "the other one recovered unnoticed", || {
        let delivered = |p: &crate::lab::records::Probe| p.recipient == "twice" && p.state == "delivered";
        let probes = world.records().read()?;
        same(&missing(&world, "twice")?, &2)?;
        so(probes.iter().any(delivered), || "none delivered".to_owned())
    });
    ops.were_told(&["Missing: thrice"]).unwrap();
    drop(app);
}

#[test]
fn a_bounce_is_told_at_once_with_its_reason() {
    let test = "a_bounce_is_told_at_once_with_its_reason";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    // Neither the threshold nor the wish for three failures makes it wait.
    let recipient =
        Recipient::new("alice", &world.address("bounce")).threshold("10m").text("alert_after", "3");
    let _app = ops.on(world.setup()).recipient(recipient).start();
    eventually(s(40), "both channels were told", || {
        let [discord, mail] = ops.told();
        same(&(discord.len(), mail.len()), &(1, 1))
    });
    let [discord, mail] = ops.told();
    for alert in [&discord[0], &mail[0]] {
        assert_eq!(alert.told, Told::Opened, "{alert:?}");
        assert!(alert.subject.contains("alice"), "{alert:?}");
        assert!(alert.says("bounced by the test"), "{}", alert.text);
    }
}

#[test]
fn each_recipient_is_told_only_where_it_is_switched_on() {
    let test = "each_recipient_is_told_only_where_it_is_switched_on";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let lost = |name: &str| {
        world.lab.policy.set(&world.address(name), Fate::Lost);
        Recipient::new(name, &world.address(name)).threshold("2s")
    };
    let _app = ops
        .on(world.setup())
        .recipient(lost("chatonly").text("email", "false"))
        .recipient(lost("mailonly").text("discord", "false"))
        .recipient(lost("nowhere").text("email", "false").text("discord", "false"))
        .start();
    eventually(s(30), "all three are open", || same(&world.records().incidents()?.len(), &3));
    eventually(s(10), "each is told in its place", || {
        let [discord, mail] = ops.told();
        match_story("Discord", &discord, &["Missing: chatonly"])?;
        match_story("mail", &mail, &["Missing: mailonly"])
    });
    throughout(Duration::from_millis(2500), "and nowhere else", || {
        let [discord, mail] = ops.told();
        same(&(discord.len(), mail.len()), &(1, 1))
    });
}
