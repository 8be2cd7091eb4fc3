//! What counts as a delivery, what is left alone, and what does no harm.

use crate::lab::app::Recipient;
use crate::lab::dovecot::PASSWORD;
use crate::lab::letter::Letter;
use crate::lab::maildir::Stored;
use crate::lab::policy::Fate;
use crate::lab::records::Probe;
use crate::lab::tokens::altered;
use crate::lab::wait::{eventually, s, same, so};
use crate::lab::world::World;

/// A recipient whose probe is accepted and held: its token is known to the test and has not arrived.
fn held_probe(world: &World, name: &str) -> String {
    eventually(s(20), "it is accepted", || world.records().first(name, &["accepted"]));
    world.smtp().tokens_sent().remove(0)
}

/// Waits until the probe of `name` has been judged, which these letters must not have prevented.
fn judged_missing(world: &World, name: &str) -> Probe {
    eventually(s(30), "none of the letters was taken for a delivery", || {
        world.records().first(name, &["missing"])
    })
}

fn untouched(world: &World, letters: &[Letter]) {
    let stored: Vec<Stored> = world.mail().messages("INBOX");
    assert_eq!(stored.len(), letters.len(), "a foreign message was removed");
    for message in stored {
        assert_eq!(message.flags, "", "a foreign message was flagged: {:?}", message.field("subject"));
    }
}

#[test]
fn forged_and_altered_tokens_deliver_nothing_and_are_kept() {
    let Some(world) = World::new("forged_and_altered_tokens_deliver_nothing_and_are_kept") else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Held);
    let app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    let token = held_probe(&world, "alice");
    let bad = altered(&token);
    let other = token.replace(&token[3..11], "00000000");
    let letters: Vec<Letter> = [bad.as_str(), &other, "v1.nonsense", "v1..", &token[..60]]
        .into_iter()
        .map(|t| {
            Letter::new(&format!("MAILDT-PROBE: {t}"))
                .field("X-MailDT-Probe", t)
                .field("Message-ID", &format!("<{t}@lab.test>"))
        })
        .collect();
    for letter in &letters {
        world.lab.deliver(letter, &world.address("alice2"));
    }
    judged_missing(&world, "alice");
    untouched(&world, &letters);
    eventually(s(5), "tokens that did not verify are counted", || {
        same(&app.metrics()?.sum("maildt_foreign_tokens_total"), &2.0)
    });
}

#[test]
fn a_replayed_probe_changes_nothing_but_the_count_of_duplicates() {
    let Some(world) = World::new("a_replayed_probe_changes_nothing_but_the_count_of_duplicates") else {
        return;
    };
    let mut app = world.setup().start();
    app.join_watched(2, Recipient::new("alice", &world.address("alice")));
    let first = eventually(s(20), "it is delivered", || world.records().first("alice", &["delivered"]));
    let token = world.smtp().tokens_sent().remove(0);
    let replay = Letter::new(&format!("MAILDT-PROBE: {token}"))
        .field("X-MailDT-Probe", &token)
        .field("Message-ID", &format!("<{token}@lab.test>"));
    world.lab.deliver(&replay, &world.address("alice"));
    let after = eventually(s(20), "it is counted", || {
        let probe = world.records().first("alice", &["delivered"])?;
        same(&probe.duplicates, &1).map(|()| probe)
    });
    assert_eq!(after, Probe { duplicates: 1, ..first });
    eventually(s(5), "the metrics tell the same", || {
        let scrape = app.metrics()?;
        same(&scrape.sum("maildt_probes_duplicate_total"), &1.0)?;
        same(&scrape.sum("maildt_delivery_latency_seconds_count"), &1.0)?;
        same(&scrape.sum("maildt_probe_results_total"), &1.0)
    });
}

#[test]
fn auto_replies_and_forwards_of_a_probe_are_no_delivery_and_are_kept() {
    let Some(world) = World::new("auto_replies_and_forwards_of_a_probe_are_no_delivery_and_are_kept") else {
        return;
    };
    world.lab.policy.set(&world.address("alice"), Fate::Held);
    let _app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    let token = held_probe(&world, "alice");
    let probe = format!("<{token}@lab.test>");
    let letters = [
        Letter::new(&format!("Auto: MAILDT-PROBE: {token}"))
            .field("Auto-Submitted", "auto-replied")
            .field("In-Reply-To", &probe)
            .field("References", &probe),
        Letter::new(&format!("Re: MAILDT-PROBE: {token}")).field("In-Reply-To", &probe),
        Letter::new(&format!("Fwd: MAILDT-PROBE: {token}"))
            .body(format!("---------- Forwarded message\r\nX-MailDT-Probe: {token}\r\n")),
    ];
    for letter in &letters {
        world.lab.deliver(letter, &world.address("alice2"));
    }
    judged_missing(&world, "alice");
    untouched(&world, &letters);
}

#[test]
fn a_bounce_is_no_delivery_and_is_kept() {
    let Some(world) = World::new("a_bounce_is_no_delivery_and_is_kept") else { return };
    let _app = world.setup().recipient(Recipient::new("alice", &world.address("bounce"))).start();
    let probe =
        eventually(s(40), "it has a result", || world.records().first("alice", &["bounced", "missing"]));
    assert_ne!(probe.result.as_deref(), Some("delivered"));
    let stored = world.mail().messages("INBOX");
    assert_eq!(stored.len(), 1, "the notification is kept");
    assert!(stored[0].field("content-type").unwrap().starts_with("multipart/report"));
}

#[test]
fn a_probe_in_another_mailbox_is_misrouted_and_kept() {
    let Some(world) = World::new("a_probe_in_another_mailbox_is_misrouted_and_kept") else { return };
    let Some(elsewhere) = World::new("a_probe_in_another_mailbox_is_misrouted_and_kept") else { return };
    let mailbox = format!(
        "[mailboxes.elsewhere]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = {:?}\npass = {PASSWORD:?}\n",
        world.lab.dovecot.imap,
        elsewhere.monitor()
    );
    let app = world
        .setup()
        .tables(&mailbox)
        .recipient(Recipient::new("astray", &elsewhere.address("astray")))
        .recipient(Recipient::new("at-home", &elsewhere.address("at-home")).text("mailbox", "elsewhere"))
        .start();
    eventually(s(20), "what belongs there is delivered", || world.records().first("at-home", &["delivered"]));
    let probe =
        eventually(s(30), "what does not is missing", || world.records().first("astray", &["missing"]));
    assert_eq!(probe.misrouted, 1);
    let stored = elsewhere.mail().messages("INBOX");
    assert_eq!(stored.len(), 1, "a misrouted probe is not deleted");
    assert_eq!(stored[0].flags, "");
    eventually(s(5), "the metrics tell it", || {
        same(&app.metrics()?.count("maildt_probes_misrouted_total{recipient=\"astray\"}"), &1.0)
    });
}

#[test]
fn a_mailbox_with_100000_foreign_messages_is_watched_within_seconds_and_left_alone() {
    let Some(world) =
        World::new("a_mailbox_with_100000_foreign_messages_is_watched_within_seconds_and_left_alone")
    else {
        return;
    };
    let old = Letter::new("An old letter").field("Date", "Fri, 14 Jul 2017 02:40:00 +0000").bytes();
    world.mail().fill(100_000, &old);
    // An old mailbox has its index.
    world.lab.dovecot.doveadm(&["mailbox", "status", "-u", &world.monitor(), "messages", "INBOX"]);
    let before = world.mail().names("INBOX");
    let started = std::time::Instant::now();
    let app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    eventually(s(20), "the probe is delivered", || world.records().first("alice", &["delivered"]));
    let took = started.elapsed();
    assert!(took < s(15), "from the start to the first delivery: {took:?}");
    eventually(s(120), "the probe is removed", || same(&world.mail().count("INBOX"), &100_000));
    // Dovecot has forgotten the probe a moment before its file is gone.
    eventually(s(30), "all the others are as they were", || {
        let after = world.mail().names("INBOX");
        let changed = after.iter().filter(|name| !before.contains(*name)).take(5);
        so(after == before, || format!("removed or flagged: {:?}", changed.collect::<Vec<_>>()))
    });
    assert!(app.metrics().unwrap().sum("maildt_foreign_tokens_total") < 0.5);
}

#[test]
fn a_changed_uidvalidity_loses_no_probe() {
    let Some(world) = World::new("a_changed_uidvalidity_loses_no_probe") else { return };
    let names = ["one", "two"];
    for name in names {
        world.lab.policy.set(&world.address(name), Fate::Held);
    }
    world.lab.deliver(&Letter::new("foreign"), &world.monitor());
    // Numbers that were given before reach far beyond those that are given anew.
    for _ in 0..5 {
        world.lab.deliver(&Letter::new("expunged"), &world.monitor());
    }
    let monitor = world.monitor();
    let expunge = ["expunge", "-u", &monitor, "mailbox", "INBOX", "HEADER", "Subject", "expunged"];
    eventually(s(10), "they are stored", || same(&world.mail().count("INBOX"), &6));
    world.lab.dovecot.doveadm(&expunge);
    assert_eq!(world.mail().count("INBOX"), 1);
    let app = world.setup().recipients(names.map(|n| Recipient::new(n, &world.address(n)))).start();
    eventually(s(20), "both are accepted", || {
        same(&world.records().read()?.iter().filter(|p| p.state == "accepted").count(), &2)
    });
    // Blind for a moment, in which one arrives and all numbers change.
    world.imap().refuse();
    world.lab.release(&world.address("one"));
    eventually(s(10), "it is stored", || same(&world.mail().count("INBOX"), &2));
    world.mail().lose_numbering("INBOX");
    world.imap().pass();
    eventually(s(20), "the one before is delivered", || world.records().first("one", &["delivered"]));
    world.lab.release(&world.address("two"));
    eventually(s(20), "the one after is delivered", || world.records().first("two", &["delivered"]));
    assert!(app.metrics().unwrap().sum("maildt_probes_missing_total") < 0.5);
    eventually(s(10), "only the foreign letter is left", || same(&world.mail().count("INBOX"), &1));
}

#[test]
fn hostile_messages_do_not_stop_those_behind_them() {
    let Some(world) = World::new("hostile_messages_do_not_stop_those_behind_them") else { return };
    let address = world.address("alice");
    world.lab.policy.set(&address, Fate::Held);
    let app = world.setup().recipient(Recipient::new("alice", &address)).start();
    eventually(s(20), "it is accepted", || world.records().first("alice", &["accepted"]));
    let hostile: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\r\n".to_vec(),
        b"no header at all".to_vec(),
        b"Subject: \xff\xfe\x00\x01 MAILDT-PROBE: \xc3\x28\r\n\r\nx".to_vec(),
        b"Subject: =?utf-8?B?////?= =?x?Q?=ZZ?= MAILDT-PROBE: v1.\r\n\r\nx".to_vec(),
        [b"Subject: MAILDT-PROBE: ".as_slice(), &[b'v'; 300_000], b"\r\n\r\nx"].concat(),
        [b"X-MailDT-Probe: v1.".to_vec(), b" \r\n a".repeat(40_000), b"\r\n\r\nx".to_vec()].concat(),
        [b"Received: from a by b; x\r\n".repeat(20_000), b"\r\nx".to_vec()].concat(),
        [b"X-MailDT-Probe: v1.0\r\n".repeat(5_000), b"\r\nx".to_vec()].concat(),
        b"Content-Type: multipart/report; boundary=\"".to_vec(),
        [b"Content-Type: multipart/mixed; boundary=a\r\n\r\n".to_vec(), b"--a\r\n\r\n".repeat(10_000)]
            .concat(),
        b"Subject: MAILDT-PROBE: v1.%n%s{}\"; DROP TABLE probes; --\r\n\r\nx".to_vec(),
    ];
    for message in &hostile {
        world.mail().put(message);
    }
    world.lab.release(&address);
    eventually(s(9), "the probe behind them is delivered in time", || {
        world.records().first("alice", &["delivered"])
    });
    eventually(s(10), "only the probe is removed", || same(&world.mail().count("INBOX"), &hostile.len()));
    app.healthy().unwrap();
    so(!app.log().contains("panicked"), || app.log()).unwrap();
}
