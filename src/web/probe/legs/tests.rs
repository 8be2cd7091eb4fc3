#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::message::Form;
use crate::domain::probe::{Arrival, Failure, Kind};
use crate::domain::record::Content;
use crate::domain::return_mode::ReturnMode;
use crate::domain::submission::{Phase, Reason};
use crate::domain::trace::Trace;
use crate::domain::verdict::Placement;

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Accepted half a second after its beginning.
pub fn probe(state: State) -> Probe {
    Probe {
        id: ProbeId::new(1, RecipientId(7), 42),
        key_id: 1,
        kind: Kind::Scheduled,
        sender: "default".into(),
        mailbox: "default".into(),
        return_mode: ReturnMode::Direct,
        threshold: ms(60_000),
        due_at: at(0),
        state,
        result: None,
        result_at: None,
        was_missing: false,
        attempts: 1,
        faults: 0,
        first_attempt_at: at(0),
        attempt_at: at(0),
        next_attempt_at: None,
        accepted_at: Some(at(500)),
        deadline_at: Some(at(60_500)),
        arrival: None,
        prints: vec![],
        duplicates: 0,
        misrouted: 0,
        reply: None,
        queue_id: None,
        failure: None,
        phases: vec![(Phase::Connect, ms(100)), (Phase::FinalReply, ms(400))],
        note: None,
        sightings: vec![],
        searches: vec![],
        version: 1,
    }
}

/// Seen `latency_ms` after it was accepted, with stamps at these seconds.
fn delivered(latency_ms: u64, seconds: &[i64]) -> Probe {
    let seen_at = at(500 + i64::try_from(latency_ms).unwrap());
    let hop = |(place, second): (usize, &i64)| {
        Hop::Stamp(Stamp { by: Some(format!("mx{place}")), at: Some(at(second * 1000)), ..Stamp::default() })
    };
    let hops = seconds.iter().enumerate().map(hop).collect();
    let seen = Seen {
        print: 1,
        at: seen_at,
        estimated: false,
        mailbox: "default".to_owned(),
        folder: "INBOX".to_owned(),
        placement: Placement::Inbox,
        form: Form::Direct,
        bearing: Bearing::Proof,
        note: None,
        content: Content { trace: Trace { hops, omitted: 0 }, ..Content::default() },
    };
    let arrival = Arrival {
        at: seen_at,
        estimated: false,
        placement: Placement::Inbox,
        folder: "INBOX".into(),
        latency: Some(ms(latency_ms)),
    };
    Probe { arrival: Some(arrival), sightings: vec![Arc::new(seen)], ..probe(State::Delivered) }
}

/// Name and milliseconds of each leg.
fn said(probe: &Probe) -> Vec<(String, u128)> {
    legs(probe).into_iter().map(|leg| (leg.name, leg.took.as_millis())).collect()
}

#[test]
fn stamps_in_whole_seconds_say_nothing_about_a_quick_delivery() {
    let legs = said(&delivered(410, &[0, 0]));
    let expected = [
        ("Submission, connect", 100),
        ("Submission, final reply", 400),
        ("Accepted until seen in INBOX", 410),
    ];
    assert_eq!(legs, expected.map(|(name, ms)| (name.to_owned(), ms)));
}

#[test]
fn a_slow_delivery_is_cut_at_the_stamps_that_can_be_believed() {
    // The second server's clock is an hour ahead, and the first stamped during the submission.
    let probe = delivered(40_000, &[0, 3_600, 31, 40]);
    let legs = said(&probe);
    let expected = [
        ("Submission, connect", 100),
        ("Submission, final reply", 400),
        ("To mx2", 30_500),
        ("To mx3", 9_000),
        ("Until seen in INBOX", 500),
    ];
    assert_eq!(legs, expected.map(|(name, ms)| (name.to_owned(), ms)));
    let picture = super::super::picture::picture(&probe).into_string().replace('\u{a0}', " ");
    assert!(picture.contains("Slowest: <b>To mx2</b>, about 31 s."), "{picture}");
    assert!(picture.contains("The clock of mx1 is ahead by 59 min or more"), "{picture}");
    assert!(
        !picture.contains("width=\"-") && !picture.contains("NaN") && !picture.contains("style="),
        "{picture}"
    );
}

#[test]
fn silence_is_a_leg_of_its_own_and_a_failed_step_is_marked() {
    let missing = Probe { result_at: Some(at(70_500)), ..probe(State::Missing) };
    assert_eq!(legs(&missing).last().map(|leg| (leg.part, leg.took)), Some((Part::Silence, ms(70_000))));
    let failure = Failure { phase: Phase::FinalReply, reason: Reason::Smtp5xx, detail: String::new() };
    let failed = Probe { accepted_at: None, failure: Some(failure), ..probe(State::SendFailed) };
    assert_eq!(legs(&failed).last().map(|leg| leg.part), Some(Part::Broken));
}
