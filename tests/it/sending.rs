//! What goes wrong on the way to the submission server: told as it is, tried again as promised, never sent twice.

use crate::lab::app::{Recipient, Setup};
use crate::lab::dovecot::PASSWORD;
use crate::lab::policy::{Fate, Stage};
use crate::lab::proxy::{At, Towards};
use crate::lab::records::Probe;
use crate::lab::wait::{eventually, s, same, so};
use crate::lab::world::World;

fn impatient(setup: Setup) -> Setup {
    setup
        .limit("sender_retry", "[\"300ms\", \"600ms\"]")
        .limit("deferred_retry", "[\"1s\", \"1s\"]")
        .limit("connect", "\"2s\"")
        .limit("command", "\"2s\"")
        .limit("final_reply", "\"2s\"")
}

/// The one recipient's probe and how often `/metrics` says that sending failed for a reason.
fn ends_as(world: &World, setup: Setup, state: &str, reason: &str) -> (Probe, f64) {
    let app = setup.recipient(Recipient::new("alice", &world.address("alice"))).start();
    let probe = eventually(s(40), "the probe ends", || world.records().first("alice", &[state]));
    let failures = eventually(s(5), "the metrics tell its result", || {
        let scrape = app.metrics()?;
        let result = probe.result.as_deref().unwrap_or_default();
        same(
            &scrape.count(&format!("maildt_probe_results_total{{recipient=\"alice\",result=\"{result}\"}}")),
            &1.0,
        )?;
        so(scrape.sum("maildt_probes_missing_total") < 0.5, || "missing mail is told".to_owned())?;
        Ok(scrape.count(&format!("maildt_send_failures_total{{recipient=\"alice\",reason=\"{reason}\"}}")))
    });
    (probe, failures)
}

#[test]
fn a_refused_connection_is_a_send_failure_after_two_quick_retries() {
    let Some(world) = World::new("a_refused_connection_is_a_send_failure_after_two_quick_retries") else {
        return;
    };
    world.smtp().refuse();
    let (probe, failures) = ends_as(&world, impatient(world.setup()), "send_failed", "connect");
    assert_eq!(probe.attempts, 3);
    assert!((failures - 3.0).abs() < 0.5, "{failures}");
}

#[test]
fn a_refused_login_is_a_send_failure_with_that_reason() {
    let Some(world) = World::new("a_refused_login_is_a_send_failure_with_that_reason") else { return };
    let setup = impatient(world.setup()).env("SMTP_PASS", "not-the-password");
    let (_, failures) = ends_as(&world, setup, "send_failed", "auth");
    assert!(failures > 0.5, "{failures}");
}

#[test]
fn a_server_that_hangs_is_a_timeout_and_other_senders_go_on() {
    let Some(world) = World::new("a_server_that_hangs_is_a_timeout_and_other_senders_go_on") else { return };
    world.smtp().stall();
    let other = format!(
        "[senders.other]\nhost = \"127.0.0.1\"\nport = {}\ntls = \"none\"\nuser = {:?}\npass = {PASSWORD:?}\n",
        world.lab.postfix.plain,
        world.monitor()
    );
    let setup = impatient(world.setup())
        .tables(&other)
        .recipient(Recipient::new("other", &world.address("other")).text("sender", "other"));
    let (probe, failures) = ends_as(&world, setup, "send_failed", "timeout");
    assert!(failures > 0.5, "{failures}");
    let other = eventually(s(5), "the other sender's is delivered", || {
        world.records().first("other", &["delivered"])
    });
    assert!(
        other.accepted_at.unwrap() - other.due_at < probe.due_at - other.due_at + 5.0,
        "it waited: {other:?}"
    );
}

#[test]
fn greylisting_costs_submission_time_and_is_no_failure() {
    let Some(world) = World::new("greylisting_costs_submission_time_and_is_no_failure") else { return };
    let greylisted = Fate::RefusedFirst(2, Stage::Rcpt, "451 4.7.1 Greylisted, try again".to_owned());
    world.lab.policy.set(&world.address("alice"), greylisted);
    let (probe, failures) = ends_as(&world, impatient(world.setup()), "delivered", "smtp_4xx");
    assert_eq!(probe.attempts, 3);
    assert!((failures - 2.0).abs() < 0.5, "{failures}");
    assert!(probe.latency_ms.unwrap() < 5_000.0, "the wait is no delivery time: {probe:?}");
    assert_eq!(world.records().probes().len(), 1, "one probe, tried again");
    assert_eq!(world.smtp().tokens_sent().len(), 1, "the message went out once");
}

#[test]
fn a_refusal_for_now_after_the_dot_is_tried_again_with_the_same_token() {
    let Some(world) = World::new("a_refusal_for_now_after_the_dot_is_tried_again_with_the_same_token") else {
        return;
    };
    let busy = Fate::RefusedFirst(1, Stage::Dot, "451 4.3.0 Try again".to_owned());
    world.lab.policy.set(&world.address("alice"), busy);
    let (probe, _) = ends_as(&world, impatient(world.setup()), "delivered", "smtp_4xx");
    assert_eq!(probe.attempts, 2);
    let tokens = world.smtp().tokens_sent();
    assert_eq!(tokens.len(), 2, "refused is not ambiguous: {tokens:?}");
    assert_eq!(tokens[0], tokens[1]);
}

#[test]
fn a_refusal_for_now_without_end_is_a_send_failure_after_the_window() {
    let Some(world) = World::new("a_refusal_for_now_without_end_is_a_send_failure_after_the_window") else {
        return;
    };
    let busy = Fate::Refused(Stage::Rcpt, "450 4.2.0 Mailbox busy".to_owned());
    world.lab.policy.set(&world.address("alice"), busy);
    let setup = impatient(world.setup()).env("SEND_WINDOW", "5");
    let (probe, _) = ends_as(&world, setup, "send_failed", "smtp_4xx");
    assert!(probe.attempts >= 3, "{probe}");
}

#[test]
fn a_refused_recipient_is_a_send_failure_at_once() {
    let Some(world) = World::new("a_refused_recipient_is_a_send_failure_at_once") else { return };
    let unknown = Fate::Refused(Stage::Rcpt, "550 5.1.1 No such user".to_owned());
    world.lab.policy.set(&world.address("alice"), unknown);
    let (probe, failures) = ends_as(&world, impatient(world.setup()), "send_failed", "smtp_5xx");
    assert_eq!(probe.attempts, 1);
    assert!((failures - 1.0).abs() < 0.5, "{failures}");
    assert_eq!(world.lab.policy.attempts(&world.address("alice"), Stage::Rcpt), 1);
}

#[test]
fn lost_after_the_dot_but_arrived_is_delivered_and_not_timed() {
    let Some(world) = World::new("lost_after_the_dot_but_arrived_is_delivered_and_not_timed") else { return };
    world.smtp().cut_at(Towards::Server, At::After(b"\r\n.\r\n"));
    let app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    eventually(s(30), "it is delivered", || world.records().first("alice", &["delivered"]));
    assert_eq!(world.smtp().tokens_sent().len(), 1, "after an ambiguous end nothing is sent again");
    eventually(s(5), "the metrics tell it", || {
        let scrape = app.metrics()?;
        same(&scrape.sum("maildt_delivery_latency_seconds_count"), &0.0)?;
        same(&scrape.count("maildt_probe_results_total{recipient=\"alice\",result=\"delivered\"}"), &1.0)
    });
}

#[test]
fn lost_with_the_dot_is_inconclusive_and_not_sent_again() {
    let Some(world) = World::new("lost_with_the_dot_is_inconclusive_and_not_sent_again") else { return };
    world.smtp().cut_at(Towards::Server, At::Before(b"\r\n.\r\n"));
    let (probe, _) = ends_as(&world, impatient(world.setup()), "inconclusive", "other");
    assert_eq!(probe.attempts, 1);
    assert_eq!(world.smtp().tokens_sent().len(), 1);
}

#[test]
fn a_final_reply_that_does_not_come_is_ambiguous() {
    let Some(world) = World::new("a_final_reply_that_does_not_come_is_ambiguous") else { return };
    let address = world.address("alice");
    world.lab.policy.set(&address, Fate::Hung(Stage::Dot));
    let _app = impatient(world.setup()).recipient(Recipient::new("alice", &address).threshold("30s")).start();
    eventually(s(20), "it is unconfirmed", || world.records().first("alice", &["unconfirmed"]));
    world.lab.policy.clear(&address);
    eventually(s(20), "it came and is delivered", || world.records().first("alice", &["delivered"]));
    assert_eq!(world.smtp().tokens_sent().len(), 1);
}
