//! A model test: events in any order, and what must hold after each.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;
use crate::domain::submission::Reply;

const THRESHOLD: Duration = Duration::from_mins(1);

fn at(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(1_800_000_000_000 + ms).unwrap()
}

pub(super) fn fresh() -> Probe {
    Probe {
        id: ProbeId::new(1, RecipientId(7), 42),
        key_id: 1,
        kind: Kind::Scheduled,
        sender: "default".into(),
        mailbox: "default".into(),
        return_mode: ReturnMode::Direct,
        threshold: THRESHOLD,
        due_at: at(0),
        state: State::Sending,
        result: None,
        result_at: None,
        was_missing: false,
        attempts: 1,
        faults: 0,
        first_attempt_at: at(0),
        attempt_at: at(0),
        next_attempt_at: None,
        accepted_at: None,
        deadline_at: None,
        arrival: None,
        prints: vec![],
        duplicates: 0,
        misrouted: 0,
        reply: None,
        queue_id: None,
        failure: None,
        phases: vec![],
        note: None,
        sightings: vec![],
        searches: vec![],
        version: 1,
    }
}

fn attempt(outcome: Outcome) -> Attempt {
    Attempt {
        outcome,
        duration: Duration::from_millis(5),
        phases: vec![],
        dot_at: None,
        accepted_at: None,
        certificate_not_after: None,
    }
}

fn accepted() -> Outcome {
    let reply = Reply { code: 250, enhanced: None, text: "queued".to_owned() };
    Outcome::Accepted { reply, queue_id: None }
}

fn refused(code: u16) -> Outcome {
    let reason = if code < 500 { Reason::Smtp4xx } else { Reason::Smtp5xx };
    Outcome::Refused {
        phase: Phase::Rcpt,
        reason,
        reply: Reply { code, enhanced: None, text: String::new() },
    }
}

fn message(at: Timestamp, print: i64, estimated: bool) -> Sighting {
    Sighting {
        at,
        latency: None,
        estimated,
        tolerance: Duration::ZERO,
        placement: Placement::Inbox,
        mailbox: "default".into(),
        folder: "INBOX".into(),
        print,
        form: Form::Direct,
        content: Content::default(),
    }
}

fn sighting(at: Timestamp, print: i64, estimated: bool) -> Event {
    Event::Seen(message(at, print, estimated))
}

fn noted(at: Timestamp, print: i64, form: Form) -> Event {
    Event::Noted(Sighting { form, ..message(at, print, false) })
}

fn bounced(at: Timestamp, print: i64) -> Event {
    let report = Sighting { form: Form::Report, ..message(at, print, false) };
    Event::Bounced { at, note: "5.1.1".to_owned(), report }
}

fn searches() -> Vec<Arc<Search>> {
    vec![Arc::new(Search::default()), Arc::new(Search::default())]
}

fn events() -> impl Strategy<Value = Vec<(u32, Event)>> {
    let event = prop_oneof![
        Just(Event::AttemptStarted { at: at(0) }),
        Just(Event::Attempted { at: at(0), attempt: attempt(accepted()), next: Next::GiveUp }),
        Just(Event::Attempted { at: at(0), attempt: attempt(refused(450)), next: Next::RetryAt(at(1)) }),
        Just(Event::Attempted { at: at(0), attempt: attempt(refused(550)), next: Next::GiveUp }),
        Just(Event::Attempted {
            at: at(0),
            attempt: attempt(Outcome::Ambiguous { detail: "cut".to_owned(), ours: false }),
            next: Next::GiveUp
        }),
        Just(Event::Attempted { at: at(0), attempt: attempt(Outcome::Released), next: Next::GiveUp }),
        Just(Event::Abandoned { at: at(0) }),
        (0i64..3, any::<bool>()).prop_map(|(print, estimated)| sighting(at(0), print, estimated)),
        (0i64..3).prop_map(|print| Event::Misrouted(message(at(0), print, false))),
        (0i64..30).prop_map(|print| bounced(at(0), print)),
        (0i64..30).prop_map(|print| noted(at(0), print, Form::Copy)),
        (0i64..30).prop_map(|print| noted(at(0), print, Form::Report)),
        Just(Event::Absent { at: at(0), searches: searches() }),
        Just(Event::GivenUp { at: at(0), note: String::new(), searches: vec![] }),
    ];
    proptest::collection::vec((1u32..90_000, event), 0..24)
}

/// Moves an event to a time.
fn timed(event: Event, now: Timestamp) -> Event {
    match event {
        Event::AttemptStarted { .. } => Event::AttemptStarted { at: now },
        Event::Attempted { attempt, next, .. } => Event::Attempted { at: now, attempt, next },
        Event::Abandoned { .. } => Event::Abandoned { at: now },
        Event::Seen(sighting) => Event::Seen(Sighting { at: now, ..sighting }),
        Event::Misrouted(sighting) => Event::Misrouted(Sighting { at: now, ..sighting }),
        Event::Noted(sighting) => Event::Noted(Sighting { at: now, ..sighting }),
        Event::Bounced { note, report, .. } => Event::Bounced { at: now, note, report },
        Event::Absent { searches, .. } => Event::Absent { at: now, searches },
        Event::GivenUp { note, searches, .. } => Event::GivenUp { at: now, note, searches },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_happens_a_probe_has_one_result_and_history_is_kept(events in events()) {
        let mut probe = fresh();
        let mut now = 0;
        let mut verdicts = 0;
        let mut sends_after_end = 0;
        let mut ambiguous = false;
        for (pause, event) in events {
            now += i64::from(pause);
            let event = timed(event, at(now));
            let before = probe.clone();
            let is_noted = matches!(event, Event::Noted(_));
            let starts = matches!(event, Event::AttemptStarted { .. });
            let ends_ambiguously = matches!(
                &event,
                Event::Abandoned { .. } | Event::Attempted { attempt: Attempt { outcome: Outcome::Ambiguous { .. }, .. }, .. }
            );
            let Ok((after, effects)) = probe.clone().apply(event) else { continue };
            verdicts += effects.iter().filter(|effect| matches!(effect, Effect::Verdict(_))).count();
            sends_after_end += usize::from(starts && (ambiguous || before.result.is_some() || before.accepted_at.is_some()));
            ambiguous |= ends_ambiguously;

            // P8: the first verdict, `was_missing` and the first arrival are never overwritten.
            if before.result.is_some() {
                prop_assert_eq!(before.result, after.result);
                prop_assert_eq!(before.result_at, after.result_at);
            }
            prop_assert!(!before.was_missing || after.was_missing);
            if let (Some(a), Some(b)) = (&before.arrival, &after.arrival) {
                prop_assert_eq!(a.at, b.at);
            }
            // What is on record stays, once and bounded, and a message that proves nothing changes nothing else.
            prop_assert!(after.sightings.starts_with(&before.sightings) && after.sightings.len() <= MOST_SEEN);
            let prints: std::collections::HashSet<i64> = after.sightings.iter().map(|seen| seen.print).collect();
            prop_assert_eq!(prints.len(), after.sightings.len());
            if is_noted {
                prop_assert!(effects.is_empty());
                prop_assert_eq!(&Probe { sightings: before.sightings.clone(), ..after.clone() }, &before);
            }
            // The database's own checks.
            prop_assert_eq!(after.result.is_none(), after.state.is_open());
            prop_assert_eq!(after.result.is_none(), after.result_at.is_none());
            prop_assert_eq!(after.next_attempt_at.is_some(), after.state == State::Deferred);
            // Delivered means seen; the histogram takes nothing but what our own clock timed.
            if after.state == State::Delivered {
                prop_assert!(after.arrival.is_some());
            }
            for effect in &effects {
                if let Effect::Timed(_) = effect {
                    prop_assert!(after.arrival.as_ref().is_some_and(|arrival| !arrival.estimated));
                    prop_assert!(after.accepted_at.is_some());
                }
            }
            if after.state == State::Missing {
                prop_assert!(after.arrival.is_none() && after.was_missing);
            }
            probe = after;
        }
        prop_assert!(verdicts <= 1);
        prop_assert_eq!(verdicts == 1, probe.result.is_some());
        // P4: after an ambiguous end, an acceptance or a result, nothing is sent again.
        prop_assert_eq!(sends_after_end, 0);
    }
}

fn apply(probe: Probe, event: Event) -> (Probe, Vec<Effect>) {
    probe.apply(event).unwrap()
}

fn sent() -> Probe {
    apply(fresh(), Event::Attempted { at: at(100), attempt: attempt(accepted()), next: Next::GiveUp }).0
}

#[test]
fn in_time_is_delivered_and_timed() {
    let (probe, effects) = apply(sent(), sighting(at(350), 1, false));
    assert_eq!(probe.state, State::Delivered);
    assert!(effects.contains(&Effect::Timed(Duration::from_millis(250))));
}

#[test]
fn after_the_deadline_is_late_and_was_not_missing() {
    let (probe, effects) = apply(sent(), sighting(at(60_101), 1, false));
    assert_eq!((probe.state, probe.result, probe.was_missing), (State::Late, Some(Verdict::Late), false));
    assert!(effects.contains(&Effect::LateArrival));
}

#[test]
fn late_remembers_that_it_was_missing() {
    let (probe, _) = apply(sent(), Event::Absent { at: at(90_000), searches: searches() });
    let (probe, effects) = apply(probe, sighting(at(99_000), 1, false));
    assert_eq!((probe.state, probe.result, probe.was_missing), (State::Late, Some(Verdict::Missing), true));
    assert!(effects.contains(&Effect::LateArrival));
}

#[test]
fn an_estimate_near_the_deadline_counts_as_in_time_and_stays_out_of_the_histogram() {
    let Event::Seen(seen) = sighting(at(61_900), 1, true) else { unreachable!() };
    let (probe, effects) = apply(sent(), Event::Seen(Sighting { tolerance: Duration::from_secs(2), ..seen }));
    assert_eq!(probe.state, State::Delivered);
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Timed(_))));
}

#[test]
fn seen_before_its_reply_is_delivered_in_no_time() {
    let (probe, _) = apply(fresh(), sighting(at(90), 1, false));
    assert_eq!(probe.state, State::Sending);
    let (probe, effects) =
        apply(probe, Event::Attempted { at: at(100), attempt: attempt(accepted()), next: Next::GiveUp });
    assert_eq!(probe.state, State::Delivered);
    assert!(effects.contains(&Effect::Timed(Duration::ZERO)));
}

#[test]
fn a_submission_broken_off_by_our_own_stop_is_made_again_and_blames_nobody() {
    let stopped = Event::Attempted { at: at(100), attempt: attempt(Outcome::Released), next: Next::GiveUp };
    let (probe, effects) = apply(fresh(), stopped);
    assert_eq!((probe.state, probe.next_attempt_at, probe.faults), (State::Deferred, Some(at(100)), 0));
    assert!(effects.is_empty());
}

#[test]
fn a_second_message_is_a_duplicate_and_the_same_one_again_is_not() {
    let (probe, _) = apply(sent(), sighting(at(200), 1, false));
    let (probe, effects) = apply(probe, sighting(at(300), 1, false));
    assert_eq!((probe.duplicates, effects.len()), (0, 0));
    let (probe, _) = apply(probe, sighting(at(300), 2, false));
    assert_eq!(probe.duplicates, 1);
}

/// What is on record: print and bearing.
fn kept(probe: &Probe) -> Vec<(i64, Bearing)> {
    probe.sightings.iter().map(|seen| (seen.print, seen.bearing)).collect()
}

#[test]
fn each_message_is_on_record_once_with_what_it_was_worth() {
    let (probe, _) = apply(sent(), noted(at(150), 1, Form::Copy));
    let (probe, _) = apply(probe, noted(at(160), 1, Form::Copy));
    let (probe, _) = apply(probe, noted(at(170), 2, Form::Report));
    let (probe, _) = apply(probe, sighting(at(200), 3, false));
    let (probe, _) = apply(probe, sighting(at(300), 4, false));
    let (probe, _) = apply(probe, Event::Misrouted(message(at(400), 5, false)));
    let (probe, effects) = apply(probe, bounced(at(500), 6));
    assert_eq!(
        kept(&probe),
        [
            (1, Bearing::OtherForm),
            (2, Bearing::Notice),
            (3, Bearing::Proof),
            (4, Bearing::Duplicate),
            (5, Bearing::Elsewhere),
            (6, Bearing::Failure)
        ]
    );
    assert_eq!((probe.state, probe.duplicates, probe.misrouted), (State::Delivered, 1, 1));
    assert!(effects.is_empty() && probe.note.is_none(), "a bounce after the delivery changes nothing");
}

#[test]
fn a_flood_of_messages_about_it_leaves_room_for_the_one_that_counts() {
    let mut probe = sent();
    for print in 0..100 {
        probe = apply(probe, noted(at(150), print, Form::Copy)).0;
    }
    assert_eq!(probe.sightings.len(), MOST_SEEN - 1);
    let (probe, _) = apply(probe, sighting(at(200), 1000, false));
    assert_eq!(kept(&probe).last(), Some(&(1000, Bearing::Proof)));
    let (probe, _) = apply(probe, sighting(at(300), 1001, false));
    assert_eq!((probe.sightings.len(), probe.duplicates), (MOST_SEEN, 1));
}

#[test]
fn what_proved_the_absence_is_on_record() {
    let (probe, _) = apply(sent(), Event::Absent { at: at(90_000), searches: searches() });
    assert_eq!(probe.searches.len(), 2);
    let (probe, _) = apply(probe, sighting(at(99_000), 1, false));
    assert_eq!((probe.state, probe.searches.len()), (State::Late, 2), "also when it turns up after all");
}
