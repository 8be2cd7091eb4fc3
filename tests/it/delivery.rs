//! The plain way of a probe, as users have it.

use crate::lab::app::Recipient;
use crate::lab::tokens::probe_of;
use crate::lab::wait::{eventually, s, same, so};
use crate::lab::world::World;

#[test]
fn a_probe_is_delivered_measured_and_removed() {
    let Some(world) = World::new("a_probe_is_delivered_measured_and_removed") else { return };
    let mut app = world.setup_with_tls().start();
    app.join_watched(2, Recipient::new("alice", &world.address("alice")));
    let records = world.records();
    let probe = eventually(s(20), "the probe is delivered", || records.first("alice", &["delivered"]));
    assert_eq!(probe.result.as_deref(), Some("delivered"));
    assert_eq!(probe.placement.as_deref(), Some("inbox"));
    assert_eq!(probe.attempts, 1);
    assert!(!probe.latency_estimated);

    // The server's own log is the truth about the arrival.
    let saved = world.lab.saved(&world.user);
    assert_eq!(saved.len(), 1);
    assert_eq!(probe_of(&saved[0].message_id), probe.id);
    let seen_after_saved = probe.arrived_at.unwrap() - saved[0].seconds();
    assert!((-0.1..2.0).contains(&seen_after_saved), "seen {seen_after_saved} s after it was saved");
    let latency = probe.latency_ms.unwrap() / 1000.0;
    let elapsed = probe.arrived_at.unwrap() - probe.accepted_at.unwrap();
    assert!(
        (latency - elapsed.max(0.0)).abs() < 0.2,
        "latency {latency} s, by the database's clock {elapsed} s"
    );

    eventually(s(5), "the metrics tell it", || {
        let scrape = app.metrics()?;
        let result = |result| {
            scrape.count(&format!("maildt_probe_results_total{{recipient=\"alice\",result=\"{result}\"}}"))
        };
        let one = |series: &str| {
            same(&(series, scrape.count(&format!("{series}{{recipient=\"alice\"}}"))), &(series, 1.0))
        };
        same(&result("delivered"), &1.0)?;
        same(&(result("missing") + result("late") + result("inconclusive")), &0.0)?;
        one("maildt_probes_sent_total")?;
        one("maildt_delivery_latency_seconds_count")?;
        same(&scrape.get("maildt_recipient_state{recipient=\"alice\",state=\"ok\"}"), &Some(1.0))?;
        let last = scrape.get("maildt_last_delivery_latency_seconds{recipient=\"alice\"}").unwrap_or(-1.0);
        so((last - latency).abs() < 0.01, || format!("last latency {last}, in the database {latency}"))
    });
    eventually(s(5), "the message is removed", || same(&world.mail().count("INBOX"), &0));
}

#[test]
fn a_probe_says_that_it_is_one() {
    let Some(world) = World::new("a_probe_says_that_it_is_one") else { return };
    let _app = world
        .setup_with_tls()
        .env("IMAP_CLEANUP", "keep")
        .recipient(Recipient::new("alice", &world.address("alice")))
        .start();
    let probe = eventually(s(20), "it is delivered", || world.records().first("alice", &["delivered"]));
    let message = world.mail().messages("INBOX").remove(0);
    let token = message.token().unwrap();
    assert_eq!(probe_of(&token), probe.id);
    let field = |name: &str| message.field(name).unwrap_or_else(|| panic!("no field {name}"));
    assert_eq!(field("X-MailDT-Probe"), token);
    assert_eq!(field("Subject"), format!("MAILDT-PROBE: {token}"));
    assert_eq!(field("Message-ID"), format!("<{token}@lab.test>"));
    assert_eq!(field("Auto-Submitted"), "auto-generated");
    assert_eq!(field("X-Auto-Response-Suppress"), "All");
    assert!(!field("Date").is_empty());
    assert_eq!(message.flags, "", "IMAP_CLEANUP=keep changes nothing");
}

#[test]
fn mail_to_junk_is_delivered_and_told_apart() {
    let Some(world) = World::new("mail_to_junk_is_delivered_and_told_apart") else { return };
    let app = world.setup().recipient(Recipient::new("spammed", &world.address("junk"))).start();
    let probe = eventually(s(20), "it is delivered", || world.records().first("spammed", &["delivered"]));
    assert_eq!(probe.placement.as_deref(), Some("junk"));
    eventually(s(5), "the metrics tell it", || {
        let scrape = app.metrics()?;
        same(&scrape.count("maildt_folder_placements_total{recipient=\"spammed\",folder=\"junk\"}"), &1.0)?;
        same(&scrape.count("maildt_recipient_state{recipient=\"spammed\",state=\"junk\"}"), &1.0)
    });
    eventually(s(5), "it is removed from Junk too", || same(&world.mail().count("Junk"), &0));
}

#[test]
fn duplicates_are_counted_and_the_first_arrival_wins() {
    let Some(world) = World::new("duplicates_are_counted_and_the_first_arrival_wins") else { return };
    let app = world.setup().recipient(Recipient::new("twice", &world.address("twice"))).start();
    eventually(s(20), "the duplicate is counted", || {
        let probe = world.records().first("twice", &["delivered"])?;
        same(&probe.duplicates, &1)
    });
    eventually(s(5), "both are removed", || same(&world.mail().count("INBOX"), &0));
    eventually(s(5), "the metrics tell it", || {
        let scrape = app.metrics()?;
        same(&scrape.count("maildt_probes_duplicate_total{recipient=\"twice\"}"), &1.0)?;
        same(&scrape.count("maildt_probe_results_total{recipient=\"twice\",result=\"delivered\"}"), &1.0)
    });
}
