//! What is written and when, what is bounded, what a restart keeps, and that rows read back.

use std::collections::HashSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::lab::{Lab, discord, not_sent, probe, t};
use crate::domain::alert::suspicion::Suspicion;
use crate::domain::alert::trail::Trail;
use crate::domain::alert::{
    Change, Concerned, Details, Evidence, IncidentId, Occurrence, Resolution, Waiting,
};
use crate::domain::id::RecipientId;
use crate::domain::submission::{Phase, Reason, Reply};

const NOTHING: [&str; 0] = [];

fn puts(lab: &Lab) -> usize {
    lab.changes.iter().filter(|change| matches!(change, Change::Put(_))).count()
}

#[test]
fn nothing_is_written_while_all_is_well() {
    for threshold in [5, 100] {
        let mut lab = Lab::several(3, 2);
        for now in (0..3000_i64).step_by(10) {
            for id in 1..=3 {
                lab.accepted(id, now);
                assert!(lab.changes.is_empty());
                // Every tenth mail takes longer than the next two of its recipient.
                let slow = |sent: i64| sent % 100 == 50;
                let open = |sent: &i64| slow(*sent) && *sent > now - 25;
                let waiting: Vec<_> =
                    (0..=now).step_by(10).filter(open).map(|s| (s, s + threshold < now)).collect();
                lab.on_their_way(&waiting);
                if !slow(now) {
                    lab.good(id, now);
                    assert!(lab.changes.is_empty(), "{:?}", lab.changes);
                }
                if slow(now - 25) {
                    lab.good(id, now - 25);
                    assert!(lab.changes.is_empty());
                }
                lab.undecided(id);
                assert!(lab.changes.is_empty());
            }
            lab.sees();
            assert!(lab.changes.is_empty());
            lab.hear(Occurrence::ChannelWorks { channel: discord() });
            assert!(lab.changes.is_empty());
            lab.tick(now);
            assert!(lab.changes.is_empty());
            lab.reload();
            assert!(lab.changes.is_empty());
        }
    }
}

#[test]
fn what_did_not_change_is_not_written_again() {
    let mut lab = Lab::several(2, 3);
    lab.missing(1, 10);
    assert_eq!(lab.changes.len(), 1);
    lab.undecided(1);
    assert!(lab.changes.is_empty());
    lab.good(1, 20);
    assert_eq!(lab.changes, [Change::Keep { scope: "recipient:1".parse().unwrap(), state: None }]);
    lab.fault(1, 30);
    assert_eq!(lab.changes.len(), 1);
    lab.accepted(2, 25);
    assert!(lab.changes.is_empty(), "it began before the fault");
    lab.tick(40);
    assert!(lab.changes.is_empty());
}

#[test]
fn an_endless_outage_takes_no_more_memory() {
    let mut lab = Lab::one(1);
    let mut sizes = HashSet::new();
    for sent in 1..400 {
        lab.waiting = vec![Waiting { sent: t(0), overdue: true }];
        lab.good(1, sent * 2);
        lab.missing(1, sent * 2 + 1);
        if sent > 200 {
            sizes.insert(lab.states.values().map(|state| state.len() / 1000).sum::<usize>());
        }
    }
    assert_eq!(sizes.len(), 1, "{sizes:?}");
    assert!(sizes.iter().all(|size| *size < 40), "{sizes:?}");
    assert_eq!(lab.details().outstanding, 399);
    let open = lab.rows.len();
    // So many that not all are known any more: only newer mail can end it.
    for sent in 1..400 {
        assert_eq!(lab.arrived(1, sent * 2 + 1), NOTHING);
    }
    lab.waiting.clear();
    assert_eq!(lab.good(1, 1000), ["resolved missing recipient:1"]);
    assert_eq!((lab.rows.len(), lab.states.len()), (open, 0));
}

#[test]
fn goods_between_which_nothing_can_have_failed_are_one() {
    let mut trail = Trail::default();
    let waiting = [Waiting { sent: t(0), overdue: true }];
    for sent in 1..1000 {
        trail.good(t(sent));
        trail.prune(&waiting, &[]);
    }
    assert_eq!(trail.size(), 1);
    assert!(trail.has_settled_good_after(t(998), &[]));
}

#[test]
fn suspects_are_bounded_and_one_that_suffices_is_always_heard() {
    let mut lab = Lab::several(1000, 2);
    lab.recipients[998].alert_after = 1;
    lab.recipients[999].alert_after = 1;
    lab.reload();
    for id in 1..999 {
        assert_eq!(lab.fault(id, i64::from(id)), NOTHING);
    }
    let size = lab.states.values().next().unwrap().len();
    assert!(size < Suspicion::SUSPECTS * 1000, "{size}");
    lab.fault(999, 999);
    assert_eq!(lab.fault(1000, 1000), ["opened sender_unreachable sender:s"]);
}

#[test]
fn ten_thousand_recipients_of_a_dead_sender_are_few_writes() {
    let mut lab = Lab::several(0, 1);
    lab.recipients = (1..=10_000).map(|id| super::lab::recipient(id, 1)).collect();
    lab.senders.insert("s".into());
    lab.mailboxes.insert("m".into());
    lab.reload();
    let (mut written, mut rows) = (0, 0);
    // All of them within five minutes, a tick each second; then again.
    for id in 0..20_000_i32 {
        let sent = i64::from(id) * 300 / 10_000;
        lab.now = sent;
        let id = id % 10_000 + 1;
        let evidence = not_sent(id, sent, sent, Phase::Connect);
        let occurrence =
            Occurrence::Failed { recipient: RecipientId(id), sender: "s".into(), sent: t(sent), evidence };
        let mut changes = lab.book.hear(occurrence, &[], t(sent));
        if id % 33 == 0 {
            changes.extend(lab.book.hear(Occurrence::Tick, &[], t(sent)));
        }
        for change in &changes {
            if let Change::Put(incident) = change {
                written += 1;
                rows += incident.details.concerned.len();
            }
        }
    }
    assert!(written < 200, "{written}");
    assert!(rows < 150_000, "{rows}");
    // Nothing is forgotten for long.
    let changes = lab.book.hear(Occurrence::Tick, &[], t(631));
    let Some(Change::Put(incident)) = changes.first() else { panic!("{changes:?}") };
    assert_eq!((incident.details.concerned.len(), incident.details.failures), (10_000, 20_000));
    assert!(lab.book.hear(Occurrence::Tick, &[], t(700)).is_empty());
    // And the end is whole.
    let accepted = Occurrence::Accepted { sender: "s".into(), began: t(701), at: t(702) };
    let changes = lab.book.hear(accepted, &[], t(702));
    assert!(matches!(&changes[0], Change::Put(incident) if incident.details.concerned.len() == 10_000));
}

#[test]
fn while_few_are_concerned_each_failure_is_written_at_once() {
    let mut lab = Lab::several(40, 1);
    lab.fault(1, 1);
    for id in 2..=16 {
        lab.fault(id, 1);
        assert_eq!(puts(&lab), 1, "{id}");
    }
    lab.fault(17, 1);
    assert_eq!(puts(&lab), 0);
    lab.tick(2);
    assert_eq!((puts(&lab), lab.details().concerned.len()), (1, 17));
    // The clock was set back: nothing waits for it to come there again.
    lab.now = -500;
    lab.fault(18, -500);
    assert_eq!(puts(&lab), 1);
}

#[test]
fn many_that_open_at_once_have_names_of_their_own() {
    let mut lab = Lab::several(3000, 1);
    let mut ids: HashSet<IncidentId> = HashSet::new();
    for id in 1..=3000 {
        let evidence = super::lab::not_arrived(id, 1, 2);
        let (recipient, sender) = (RecipientId(id), lab.sender_of(id));
        let failed = Occurrence::Failed { recipient, sender, sent: t(1), evidence };
        let changes = lab.book.hear(failed, &[], t(2));
        ids.extend(changes.iter().filter_map(|change| match change {
            Change::Put(incident) => Some(incident.id),
            _ => None,
        }));
    }
    assert_eq!(ids.len(), 3000);
}

#[test]
fn what_is_newer_stays_newer_when_the_clock_is_set() {
    for by in [-7200, 7200] {
        let mut lab = Lab::several(2, 2);
        lab.missing(1, 10);
        lab.book.shift(SignedDuration::from_secs(by));
        lab.now = 20 + by;
        assert_eq!(lab.missing(1, 20 + by), ["opened missing recipient:1"], "two in a row");
        assert_eq!(lab.good(1, 15 + by), NOTHING);
        assert_eq!(lab.good(1, 30 + by), ["resolved missing recipient:1"]);
        lab.now = 40 + by;
        lab.fault(1, 40 + by);
        lab.book.shift(SignedDuration::from_secs(by));
        lab.now = 50 + 2 * by;
        assert_eq!(lab.accepted(2, 39 + 2 * by), NOTHING, "began before the fault");
        assert_eq!(lab.fault(1, 50 + 2 * by), ["opened sender_unreachable sender:s"]);
        lab.book.shift(SignedDuration::from_secs(by));
        lab.now = 60 + 3 * by;
        assert_eq!(lab.accepted(1, 49 + 3 * by), NOTHING);
        assert_eq!(lab.accepted(1, 51 + 3 * by), ["resolved sender_unreachable sender:s"]);
    }
}

#[test]
fn a_clock_set_back_while_nobody_was_there_ends_no_outage_and_keeps_none_alive() {
    let mut lab = Lab::one(2);
    lab.good(1, 5000);
    lab.missing(1, 5010);
    lab.missing(1, 5020);
    lab.now = 1000;
    lab.restart();
    assert_eq!(lab.undecided(1), NOTHING, "the good one of before is no newer than the failures");
    assert_eq!(lab.missing(1, 1010), NOTHING);
    lab.now = 1020;
    assert_eq!(lab.good(1, 1020), ["resolved missing recipient:1"]);
}

#[test]
fn a_good_probe_of_a_clock_that_was_ahead_ends_nothing() {
    let mut lab = Lab::one(1);
    lab.good(1, 5000);
    lab.now = 1000;
    lab.restart();
    assert_eq!(lab.missing(1, 1010), ["opened missing recipient:1"]);
    assert_eq!(lab.undecided(1), NOTHING);
}

#[test]
fn a_restart_forgets_neither_failures_nor_what_parts_them() {
    let mut lab = Lab::one(2);
    lab.missing(1, 1);
    lab.restart();
    assert_eq!(lab.missing(1, 2), ["opened missing recipient:1"]);
    // 20 and 40 are good while those around them are on their way.
    let mut lab = Lab::one(2);
    lab.on_their_way(&[(10, false), (30, false)]);
    lab.good(1, 20);
    lab.good(1, 40);
    lab.restart();
    lab.on_their_way(&[(30, true)]);
    assert_eq!(lab.missing(1, 10), NOTHING);
    lab.on_their_way(&[]);
    assert_eq!(lab.missing(1, 30), NOTHING, "20 was good");
    let mut lab = Lab::several(2, 1);
    lab.fault(1, 10);
    lab.restart();
    assert_eq!(lab.fault(2, 20), ["opened sender_unreachable sender:s"]);
    lab.restart();
    assert_eq!(lab.fault(1, 30), NOTHING, "known already");
    assert_eq!(lab.accepted(1, 29), NOTHING);
}

#[test]
fn a_state_that_does_not_read_is_none_and_is_let_go() {
    let mut lab = Lab::several(2, 2);
    lab.missing(1, 10);
    lab.fault(2, 10);
    lab.blind(0);
    for state in lab.states.values_mut() {
        *state = r#"{"something": "else", "failures": 7, "suspects": 7, "since": 7}"#.into();
    }
    assert_eq!(lab.restart(), NOTHING);
    assert_eq!(lab.states.len(), 0);
    assert_eq!(lab.missing(1, 20), NOTHING);
    assert_eq!(lab.missing(1, 30), ["opened missing recipient:1"]);
}

#[test]
fn rows_of_older_and_newer_versions_read() {
    let evidence = r#"{"what":"not_arrived","probe":"00000000-0000-8000-8000-000000000000","accepted_at":"2026-01-01T00:00:00Z",
        "deadline_at":"2026-01-01T00:00:00Z","looked_at":"2026-01-01T00:00:00Z","new":1}"#;
    let json = format!(
        r#"{{"since":"2026-01-01T00:00:00Z","failing_until":"2026-01-01T00:00:00Z","failures":1,
        "first":{evidence},"latest":{evidence},"more":[1]}}"#
    );
    let details: Details = serde_json::from_str(&json).unwrap();
    assert_eq!((details.outstanding, details.reminders, details.concerned.len()), (0, 0, 0));
    assert!(details.resolution.is_none() && details.last_good_at.is_none());
    assert_eq!(serde_json::from_str::<Trail>("{}").unwrap(), Trail::default());
    assert_eq!(serde_json::from_str::<Suspicion>("{}").unwrap(), Suspicion::default());
}

fn moments() -> impl Strategy<Value = Timestamp> {
    (0..4_000_000_000_i64, 0..1_000_000_i64)
        .prop_map(|(s, us)| Timestamp::from_microsecond(s * 1_000_000 + us).unwrap())
}

fn durations() -> impl Strategy<Value = Duration> {
    (0..1_000_000_u64, 0..1_000_000_000_u32).prop_map(|(s, ns)| Duration::new(s, ns))
}

fn replies() -> impl Strategy<Value = Option<Reply>> {
    proptest::option::of(
        (200..600_u16, proptest::option::of("[245]\\.[0-9]\\.[0-9]"), any::<String>())
            .prop_map(|(code, enhanced, text)| Reply { code, enhanced, text }),
    )
}

fn evidences() -> impl Strategy<Value = Evidence> {
    let common = (any::<i32>(), 0..1_000_000_i64, moments(), any::<String>(), replies(), 0..9_usize);
    (common, any::<i32>(), any::<bool>(), proptest::collection::vec(any::<String>(), 0..3)).prop_map(
        |((id, sent, at, text, reply, pick), number, flag, folders)| {
            let probe = probe(id, sent);
            let queue_id = flag.then(|| text.clone());
            match pick {
                0 | 1 => Evidence::NotArrived {
                    probe,
                    accepted_at: at,
                    deadline_at: at,
                    folders,
                    looked_at: at,
                    queue_id,
                    reply,
                    misrouted: number,
                },
                2 | 3 => {
                    Evidence::Bounced { probe, accepted_at: flag.then_some(at), at, note: text, queue_id }
                }
                4 | 5 => Evidence::NotSent {
                    probe,
                    at,
                    phase: Phase::ALL[number.unsigned_abs() as usize % Phase::ALL.len()],
                    reason: Reason::ALL[number.unsigned_abs() as usize % Reason::ALL.len()],
                    reply,
                    detail: text,
                    attempts: number,
                },
                6 => Evidence::Unanswered { probe, at, detail: text, in_a_row: number.unsigned_abs() },
                7 => Evidence::Unreadable { folder: text.clone(), since: at, detail: text },
                _ => {
                    Evidence::Undeliverable { channel: text.clone(), since: at, detail: text, refused: flag }
                }
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn details_read_back(
        first in evidences(), latest in evidences(), at in moments(), slowest in durations(),
        numbers in any::<(u32, u32, u32)>(), how in 0..5_u8, name in any::<String>(),
    ) {
        let mut details = Details::new(at, at, first);
        details.latest = latest;
        (details.failures, details.outstanding, details.reminders) = numbers;
        details.slowest = slowest;
        details.concerned = vec![Concerned { id: RecipientId(3), name: name.clone(), address: name }];
        details.resolution = match how {
            0 => None,
            1 => Some(Resolution::Recovered { latency: Some(slowest) }),
            2 => Some(Resolution::Arrived { slowest }),
            3 => Some(Resolution::Paused),
            _ => Some(Resolution::Removed),
        };
        let value = serde_json::to_value(&details).unwrap();
        prop_assert_eq!(serde_json::from_value::<Details>(value).unwrap(), details);
    }

    #[test]
    fn trails_and_suspicions_read_back(
        steps in proptest::collection::vec((0..3_u8, 0..1000_i64), 0..40), evidence in evidences(), unanswered in any::<u32>(),
    ) {
        let (mut trail, mut suspicion) = (Trail::default(), Suspicion::default());
        for (what, sent) in steps {
            match what {
                0 => drop(trail.fail(probe(1, sent), t(sent), sent % 2 == 0, 3)),
                1 => trail.good(t(sent)),
                _ => {
                    trail.expect([probe(2, sent)]);
                    suspicion.add(RecipientId(i32::try_from(sent).unwrap()), t(sent), &evidence, 1);
                }
            }
        }
        suspicion.unanswered = unanswered;
        let value = serde_json::to_value(&trail).unwrap();
        prop_assert_eq!(serde_json::from_value::<Trail>(value).unwrap(), trail);
        let value = serde_json::to_value(&suspicion).unwrap();
        prop_assert_eq!(serde_json::from_value::<Suspicion>(value).unwrap(), suspicion);
    }
}
