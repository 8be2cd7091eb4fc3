//! `sender_unreachable`, and what of a sender's faults is a recipient's own.

use super::lab::{Lab, not_sent, recipient, t};
use crate::domain::alert::{Evidence, Resolution};
use crate::domain::recipient::Recipient;
use crate::domain::submission::Phase;

const NOTHING: [&str; 0] = [];
const DOWN: [&str; 1] = ["opened sender_unreachable sender:s"];
const UP: [&str; 1] = ["resolved sender_unreachable sender:s"];

fn concerned(lab: &Lab) -> Vec<i32> {
    lab.details().concerned.iter().map(|concerned| concerned.id.0).collect()
}

#[test]
fn two_recipients_make_one_incident_of_the_sender_and_none_of_their_own() {
    let mut lab = Lab::several(3, 1);
    assert_eq!(lab.fault(1, 10), NOTHING);
    assert_eq!(lab.fault(2, 12), DOWN);
    assert_eq!((lab.details().since, lab.details().failing_until), (t(10), t(12)));
    assert_eq!(concerned(&lab), [1, 2]);
    assert_eq!(lab.fault(3, 14), NOTHING);
    assert_eq!(lab.fault(1, 70), NOTHING);
    assert_eq!((lab.details().failures, concerned(&lab)), (4, vec![1, 2, 3]));
    assert_eq!(lab.states.len(), 0);
}

#[test]
fn the_only_recipient_is_enough() {
    assert_eq!(Lab::one(1).fault(1, 10), DOWN);
    let mut lab = Lab::one(3);
    assert_eq!(lab.fault(1, 10), NOTHING);
    assert_eq!(lab.fault(1, 20), NOTHING);
    assert_eq!(lab.fault(1, 30), DOWN);
    assert_eq!(lab.details().failures, 3);
}

#[test]
fn the_same_one_twice_with_nobody_getting_through_is_enough() {
    let mut lab = Lab::several(2, 1);
    assert_eq!(lab.fault(1, 10), NOTHING);
    assert_eq!(lab.fault(1, 70), DOWN);
}

#[test]
fn a_fault_without_a_second_opinion_is_the_senders_in_the_end() {
    let mut lab = Lab::several(2, 1);
    lab.fault(1, 10);
    assert_eq!(lab.tick(309), NOTHING);
    assert_eq!(lab.tick(310), DOWN);
    assert_eq!(lab.tick(311), NOTHING);
}

#[test]
fn each_recipient_asks_for_as_many_as_it_likes() {
    let mut lab = Lab::several(2, 2);
    lab.fault(1, 10);
    assert_eq!(lab.fault(2, 11), NOTHING);
    assert_eq!(lab.fault(1, 70), DOWN);
    let mut lab = Lab::several(2, 100);
    for sent in 1..100 {
        assert_eq!(lab.fault(1, sent), NOTHING);
    }
    assert_eq!(lab.fault(1, 100), DOWN);
}

#[test]
fn a_lone_fault_before_somebodys_success_is_the_recipients_own() {
    let mut lab = Lab::several(2, 1);
    lab.fault(1, 10);
    assert_eq!(lab.accepted(2, 20), ["opened send_failure recipient:1"]);
    assert_eq!(lab.details().failing_until, t(10));
    assert_eq!(lab.good(1, 70), ["resolved send_failure recipient:1"]);
    // Several of one that asks for more count, all of them, with those that come.
    let mut lab = Lab::several(2, 4);
    lab.fault(1, 10);
    lab.fault(1, 20);
    lab.fault(1, 30);
    assert_eq!(lab.accepted(2, 40), NOTHING);
    assert_eq!(lab.refused(1, 50), ["opened send_failure recipient:1"]);
    assert_eq!((lab.details().since, lab.details().failures), (t(10), 4));
}

#[test]
fn what_was_good_around_a_fault_parts_it_from_other_failures() {
    // 20 is on its way; 30 is good, 40 meets a fault, 50 gets no answer and arrives, which proves it was taken.
    let mut lab = Lab::several(2, 2);
    lab.on_their_way(&[(20, false)]);
    lab.good(1, 30);
    lab.fault(1, 40);
    lab.good(1, 50);
    lab.on_their_way(&[]);
    assert_eq!(lab.missing(1, 20), NOTHING);
    assert_eq!(lab.accepted(2, 60), NOTHING, "30 was good");
}

#[test]
fn a_success_that_began_before_the_fault_says_nothing() {
    let mut lab = Lab::several(2, 1);
    lab.now = 20;
    lab.fault(1, 20);
    assert_eq!(lab.accepted(2, 15), NOTHING);
    assert_eq!(lab.fault(2, 25), DOWN);
    assert_eq!(lab.accepted(1, 24), NOTHING, "began before the last failure");
    assert_eq!(lab.accepted(1, 25), NOTHING, "with it");
    assert_eq!(lab.accepted(1, 26), UP);
    assert_eq!(lab.details().resolution, Some(Resolution::Recovered { latency: None }));
}

#[test]
fn three_submissions_in_a_row_without_an_answer() {
    let mut lab = Lab::several(2, 3);
    assert_eq!(lab.unanswered(1, 10), NOTHING);
    assert_eq!(lab.unanswered(2, 20), NOTHING);
    assert_eq!(lab.accepted(2, 25), NOTHING);
    assert_eq!(lab.unanswered(1, 30), NOTHING);
    assert_eq!(lab.unanswered(1, 40), NOTHING);
    assert_eq!(lab.unanswered(1, 50), DOWN);
    assert_eq!((lab.details().since, lab.details().failures), (t(30), 3));
    assert!(matches!(lab.details().first, Evidence::Unanswered { in_a_row: 3, .. }));
    assert_eq!(lab.unanswered(2, 60), NOTHING);
    assert_eq!((lab.details().failing_until, concerned(&lab)), (t(60), vec![1, 2]));
    assert_eq!(lab.accepted(1, 61), UP);
}

#[test]
fn another_sender_is_another_matter() {
    let other = Recipient { sender: "other".into(), ..recipient(2, 1) };
    let mut lab = Lab::new(&[recipient(1, 1), other, recipient(3, 1)]);
    assert_eq!(lab.fault(1, 10), NOTHING);
    assert_eq!(lab.accepted(2, 20), NOTHING, "no opinion on the first");
    assert_eq!(lab.fault(2, 30), ["opened sender_unreachable sender:other"], "it has no other recipient");
    assert_eq!(lab.accepted(3, 40), ["opened send_failure recipient:1"]);
}

#[test]
fn paused_recipients_are_no_witnesses() {
    let mut lab = Lab::several(3, 1);
    lab.fault(1, 10);
    lab.set_active(1, false);
    assert_eq!(lab.states.len(), 0);
    assert_eq!(lab.fault(1, 20), NOTHING);
    assert_eq!(lab.fault(2, 30), NOTHING, "the first that counts");
    assert_eq!(lab.fault(3, 40), DOWN);
    assert_eq!(lab.set_active(2, false), NOTHING);
    assert_eq!(lab.set_active(3, false), UP, "nobody uses it any more");
    assert_eq!(lab.details().resolution, Some(Resolution::Paused));
}

#[test]
fn a_recipient_that_moves_to_another_sender_leaves_no_suspicion_behind() {
    let mut lab = Lab::several(3, 1);
    lab.fault(1, 10);
    lab.recipients[0].sender = "other".into();
    lab.senders.insert("other".into());
    assert_eq!(lab.reload(), NOTHING);
    assert_eq!(lab.states.len(), 0);
    assert_eq!(lab.tick(1000), NOTHING);
}

#[test]
fn a_sender_that_is_no_longer_configured_is_forgotten() {
    let other = Recipient { sender: "other".into(), ..recipient(2, 1) };
    let mut lab = Lab::new(&[recipient(1, 1), other]);
    lab.fault(1, 10);
    lab.senders.remove("s");
    assert_eq!(lab.reload(), UP);
    assert_eq!(lab.details().resolution, Some(Resolution::Removed));
    let mut lab = Lab::several(2, 1);
    lab.fault(1, 10);
    lab.senders.clear();
    assert_eq!(lab.reload(), NOTHING);
    assert_eq!(lab.states.len(), 0);
    assert_eq!(lab.tick(1000), NOTHING);
}

#[test]
fn what_hung_in_an_outage_and_ends_after_it_is_part_of_it() {
    let mut lab = Lab::several(3, 1);
    lab.fault(1, 10);
    assert_eq!(lab.fault(2, 11), ["opened sender_unreachable sender:s"]);
    assert_eq!(lab.accepted(1, 20), ["resolved sender_unreachable sender:s"]);
    lab.now = 70;
    let hung = not_sent(3, 12, 70, Phase::Connect);
    assert_eq!(lab.fail_after(3, 12, t(15), hung), NOTHING);
    assert_eq!(lab.accepted(1, 71), NOTHING);
    // What began since is news.
    lab.fault(2, 80);
    assert_eq!(lab.fault(3, 81), ["opened sender_unreachable sender:s"]);
}

#[test]
fn what_hung_while_others_got_through_is_no_row() {
    let mut lab = Lab::several(3, 1);
    lab.accepted(1, 20);
    lab.now = 120;
    for id in 1..=3 {
        let evidence = Evidence::Unanswered {
            probe: crate::domain::id::ProbeId::new(1, crate::domain::id::RecipientId(id), 1),
            at: t(120),
            detail: String::new(),
            in_a_row: 1,
        };
        assert_eq!(lab.unanswered_since(id, 10, evidence), NOTHING);
    }
    lab.unanswered(1, 130);
    lab.unanswered(2, 131);
    assert_eq!(lab.unanswered(3, 132), DOWN);
}
