//! `missing` and `send_failure`: what opens and what resolves them.

use std::time::Duration;

use super::lab::{Lab, recipient, t};
use crate::domain::alert::{Evidence, Resolution};

const NOTHING: [&str; 0] = [];
const MISSING: [&str; 1] = ["opened missing recipient:1"];
const FOUND: [&str; 1] = ["resolved missing recipient:1"];
const REFUSED: [&str; 1] = ["opened send_failure recipient:1"];
const TAKEN: [&str; 1] = ["resolved send_failure recipient:1"];

#[test]
fn as_many_failures_in_a_row_as_asked_for_open_one_incident() {
    let mut lab = Lab::one(3);
    assert_eq!(lab.missing(1, 10), NOTHING);
    assert_eq!(lab.missing(1, 20), NOTHING);
    assert_eq!(lab.missing(1, 30), MISSING);
    assert_eq!((lab.details().since, lab.details().failing_until), (t(10), t(30)));
    assert_eq!((lab.details().failures, lab.details().outstanding), (3, 3));
    assert_eq!(lab.missing(1, 40), NOTHING);
    assert_eq!((lab.details().failures, lab.details().failing_until), (4, t(40)));
}

#[test]
fn very_many_in_a_row_can_be_asked_for() {
    let mut lab = Lab::one(600);
    for sent in 1..600 {
        assert_eq!(lab.missing(1, sent), NOTHING);
    }
    assert_eq!(lab.missing(1, 600), MISSING);
}

#[test]
fn a_good_probe_between_two_failures_parts_them() {
    let mut lab = Lab::one(2);
    assert_eq!(lab.missing(1, 10), NOTHING);
    assert_eq!(lab.good(1, 20), NOTHING);
    assert_eq!(lab.missing(1, 30), NOTHING);
    assert_eq!(lab.missing(1, 40), MISSING);
    assert_eq!(lab.details().since, t(30));
}

#[test]
fn failures_are_in_a_row_by_the_order_of_sending_not_of_verdicts() {
    // Sent 10 (lost), 20 (good), 30 (lost); the threshold is longer than the interval, so 20 arrives first of all.
    let mut lab = Lab::one(2);
    lab.on_their_way(&[(10, false), (30, false)]);
    assert_eq!(lab.good(1, 20), NOTHING);
    lab.on_their_way(&[(30, false)]);
    assert_eq!(lab.missing(1, 10), NOTHING);
    lab.on_their_way(&[]);
    assert_eq!(lab.missing(1, 30), NOTHING, "20 was good");
    assert_eq!(lab.missing(1, 40), MISSING);
    assert_eq!(lab.details().since, t(30));
}

#[test]
fn a_verdict_that_closes_the_gap_between_failures_opens() {
    // 10 and 30 are known first; 20, when it is judged, makes them three in a row.
    let mut lab = Lab::one(3);
    lab.on_their_way(&[(20, true)]);
    lab.missing(1, 10);
    lab.missing(1, 30);
    lab.on_their_way(&[]);
    assert_eq!(lab.missing(1, 20), MISSING);
    assert_eq!((lab.details().since, lab.details().failing_until), (t(10), t(30)));
    // What was sent after 20, but before 30, is no sign that all is well.
    assert_eq!(lab.good(1, 25), NOTHING);
    assert_eq!(lab.good(1, 31), FOUND);
}

#[test]
fn what_says_neither_good_nor_bad_neither_raises_nor_resets() {
    let mut lab = Lab::one(2);
    assert_eq!(lab.undecided(1), NOTHING);
    assert_eq!(lab.missing(1, 10), NOTHING);
    for _ in 0..5 {
        assert_eq!(lab.undecided(1), NOTHING);
    }
    assert_eq!(lab.missing(1, 30), MISSING);
    assert_eq!(lab.undecided(1), NOTHING, "nor does it resolve");
}

#[test]
fn a_bounce_opens_at_once_with_its_reason() {
    let mut lab = Lab::one(3);
    assert_eq!(lab.bounce(1, 10), MISSING);
    assert!(matches!(&lab.details().latest, Evidence::Bounced { note, .. } if note == "5.1.1"));
}

#[test]
fn a_refusal_of_the_recipient_is_its_own() {
    let mut lab = Lab::several(2, 1);
    assert_eq!(lab.refused(1, 10), REFUSED);
    assert_eq!(lab.good(1, 20), TAKEN);
}

#[test]
fn failures_of_both_kinds_count_together_and_only_lost_mail_is_outstanding() {
    let mut lab = Lab::one(2);
    assert_eq!(lab.refused(1, 10), NOTHING);
    assert_eq!(lab.missing(1, 20), MISSING);
    assert_eq!((lab.details().failures, lab.details().outstanding), (2, 1));
    assert_eq!(lab.arrived(1, 20), FOUND, "the one that was refused cannot arrive");
}

#[test]
fn a_probe_sent_after_the_last_failure_resolves_and_an_older_one_does_not() {
    let mut lab = Lab::one(1);
    lab.on_their_way(&[(5, true)]);
    assert_eq!(lab.missing(1, 10), MISSING);
    lab.on_their_way(&[]);
    assert_eq!(lab.good(1, 5), NOTHING, "sent before the failure");
    assert_eq!(lab.good(1, 10), NOTHING, "sent with it");
    assert_eq!(lab.good(1, 11), FOUND);
    assert_eq!(
        lab.details().resolution,
        Some(Resolution::Recovered { latency: Some(Duration::from_secs(1)) })
    );
}

#[test]
fn an_outage_with_a_threshold_longer_than_the_interval_is_one_alert_and_one_recovery() {
    // A probe every 10 s from 0, judged 100 s after its sending; lost are those sent from 50 to 150.
    let mut lab = Lab::one(1);
    let mut said = vec![];
    for now in (0..600).step_by(10) {
        let lost = |sent: i64| (50..=150).contains(&sent);
        let waiting: Vec<_> = (0..=now)
            .step_by(10)
            .filter(|sent| lost(*sent) && sent + 100 > now)
            .map(|sent| (sent, false))
            .collect();
        lab.on_their_way(&waiting);
        lab.now = now;
        if lost(now - 100) {
            said.extend(lab.missing(1, now - 100));
        }
        if !lost(now) {
            said.extend(lab.good(1, now));
        }
    }
    assert_eq!(said, [MISSING, FOUND].concat());
    assert_eq!(lab.details().failures, 11);
}

#[test]
fn all_that_was_missing_arrived_and_nothing_newer_is_overdue() {
    let mut lab = Lab::one(2);
    lab.missing(1, 10);
    assert_eq!(lab.missing(1, 20), MISSING);
    lab.now = 100;
    assert_eq!(lab.arrived(1, 20), NOTHING);
    lab.on_their_way(&[(30, true)]);
    assert_eq!(lab.arrived(1, 10), NOTHING, "30 is overdue");
    assert_eq!(lab.details().outstanding, 0);
    lab.on_their_way(&[(40, false)]);
    assert_eq!(lab.undecided(1), FOUND, "30 turned out to be late");
    assert_eq!(lab.details().resolution, Some(Resolution::Arrived { slowest: Duration::from_secs(90) }));
    lab.on_their_way(&[]);
    assert_eq!(lab.missing(1, 40), NOTHING, "those that arrived are no failures any more");
}

#[test]
fn an_old_late_mail_does_not_end_a_live_outage() {
    let mut lab = Lab::one(1);
    assert_eq!(lab.missing(1, 10), MISSING);
    assert_eq!(lab.missing(1, 20), NOTHING);
    assert_eq!(lab.arrived(1, 10), NOTHING);
    assert_eq!(lab.arrived(1, 10), NOTHING, "told again");
    assert_eq!(lab.details().outstanding, 1);
    assert_eq!(lab.arrived(1, 20), FOUND);
}

#[test]
fn mail_that_no_incident_missed_ends_none() {
    // A probe made by hand raises no alarm; that it arrives after all says nothing about the others.
    let mut lab = Lab::one(1);
    assert_eq!(lab.missing(1, 10), MISSING);
    assert_eq!(lab.arrived(1, 15), NOTHING);
    assert_eq!(lab.details().outstanding, 1);
}

#[test]
fn a_failure_from_before_the_opening_joins_and_is_waited_for() {
    let mut lab = Lab::one(1);
    lab.on_their_way(&[(10, false)]);
    assert_eq!(lab.bounce(1, 20), MISSING);
    lab.on_their_way(&[]);
    assert_eq!(lab.missing(1, 10), NOTHING);
    assert_eq!((lab.details().since, lab.details().outstanding), (t(10), 2));
    assert!(matches!(lab.details().first, Evidence::NotArrived { .. }));
    assert_eq!(lab.arrived(1, 20), NOTHING);
    assert_eq!(lab.arrived(1, 10), FOUND);
}

#[test]
fn what_arrived_after_all_is_no_failure_to_count() {
    let mut lab = Lab::one(2);
    assert_eq!(lab.missing(1, 10), NOTHING);
    assert_eq!(lab.arrived(1, 10), NOTHING);
    assert_eq!(lab.missing(1, 20), NOTHING);
    assert_eq!(lab.missing(1, 30), MISSING);
    assert_eq!(lab.details().since, t(20));
}

#[test]
fn a_recipient_that_is_paused_or_gone_is_told_no_more() {
    let mut lab = Lab::several(2, 1);
    assert_eq!(lab.missing(1, 10), MISSING);
    assert_eq!(lab.set_active(1, false), FOUND);
    assert_eq!(lab.details().resolution, Some(Resolution::Paused));
    assert_eq!(lab.missing(1, 20), NOTHING);
    assert_eq!(lab.bounce(1, 21), NOTHING);
    assert_eq!(lab.refused(1, 22), NOTHING);
    assert_eq!(lab.arrived(1, 10), NOTHING);
    assert_eq!(lab.good(1, 30), NOTHING);
    // A deleted one, likewise.
    assert_eq!(lab.refused(2, 40), ["opened send_failure recipient:2"]);
    lab.recipients.retain(|recipient| recipient.id.0 != 2);
    assert_eq!(lab.reload(), ["resolved send_failure recipient:2"]);
    assert_eq!(lab.refused(2, 50), NOTHING);
}

#[test]
fn failures_from_before_a_pause_do_not_count_after_it() {
    for restart in [false, true] {
        let mut lab = Lab::one(2);
        lab.missing(1, 10);
        assert_eq!(lab.states.len(), 1);
        if restart {
            // Paused while the program was down.
            lab.recipients[0].active = false;
            lab.restart();
        } else {
            lab.set_active(1, false);
        }
        assert_eq!(lab.states.len(), 0, "let go of");
        lab.set_active(1, true);
        assert_eq!(lab.missing(1, 30), NOTHING);
        assert_eq!(lab.missing(1, 40), MISSING);
    }
}

#[test]
fn it_is_told_where_the_recipient_wants_it() {
    let quiet = crate::domain::recipient::Recipient { discord: false, ..recipient(1, 1) };
    let mut lab = Lab::new(&[quiet, recipient(2, 1)]);
    lab.missing(1, 10);
    lab.missing(2, 10);
    let channels: Vec<_> = lab.told.iter().map(|told| told.channels.clone()).collect();
    assert_eq!(channels, [vec![super::lab::email()], lab.policy.channels.clone()]);
}

#[test]
fn reminders_come_every_so_often_and_once_after_a_long_stop() {
    let mut lab = Lab::one(1);
    lab.missing(1, 0);
    assert_eq!(lab.tick(3599), NOTHING);
    assert_eq!(lab.tick(3600), ["reminder missing recipient:1"]);
    assert_eq!(lab.tick(3601), NOTHING);
    assert_eq!(lab.tick(7200), ["reminder missing recipient:1"]);
    lab.now = 36_100;
    assert_eq!(lab.restart(), NOTHING);
    assert_eq!(lab.tick(36_100), ["reminder missing recipient:1"]);
    assert_eq!(lab.tick(36_101), NOTHING);
    assert_eq!(lab.tick(39_600), ["reminder missing recipient:1"]);
    let numbers: Vec<_> = lab.told.iter().map(|told| told.number).collect();
    assert_eq!(numbers, [0, 1, 2, 10, 11]);
    lab.policy.reminder = None;
    lab.restart();
    assert_eq!(lab.tick(360_000), NOTHING);
}

#[test]
fn the_last_verdict_that_a_newer_good_one_waited_for_ends_it() {
    let mut lab = Lab::one(1);
    lab.on_their_way(&[(70, false)]);
    assert_eq!(lab.missing(1, 10), ["opened missing recipient:1"]);
    assert_eq!(lab.good(1, 130), NOTHING, "70 is still on its way");
    lab.on_their_way(&[]);
    assert_eq!(lab.missing(1, 70), ["resolved missing recipient:1"]);
}
