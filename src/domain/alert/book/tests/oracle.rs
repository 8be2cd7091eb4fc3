//! The rules for `missing`, with an interval longer than the threshold, once more and as simply as they can be said: both
//! must tell the same at the same time.

use proptest::prelude::*;

use super::lab::{Lab, t};
use crate::domain::alert::Waiting;

const INTERVAL: i64 = 100;
const THRESHOLD: i64 = 60;

#[derive(Clone, Copy, Debug)]
enum Fate {
    Good,
    /// Judged so many seconds after its deadline, and arriving so many seconds after that, if at all.
    Lost(i64, Option<i64>),
    Bounced(i64),
    /// Late, or not to be judged.
    Undecided(i64),
}

fn fates() -> impl Strategy<Value = Vec<Fate>> {
    let fate = prop_oneof![
        3 => Just(Fate::Good),
        3 => (0..35_i64).prop_map(|judged| Fate::Lost(judged, None)),
        3 => (0..35_i64, 1..400_i64).prop_map(|(judged, arrives)| Fate::Lost(judged, Some(arrives))),
        1 => (0..THRESHOLD).prop_map(Fate::Bounced),
        1 => (0..35_i64).prop_map(Fate::Undecided),
    ];
    proptest::collection::vec(fate, 1..40)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    Good,
    Missing,
    Bounced,
    Undecided,
    Arrived,
}

/// "As many as asked for in a row, or a bounce, open; a newer good one resolves; or when all that was missing has arrived
/// and nothing is overdue."
#[derive(Default)]
struct Oracle {
    missing: Vec<i64>,
    open: bool,
}

impl Oracle {
    fn hear(&mut self, what: What, sent: i64, asked: usize, overdue: bool) -> Option<&'static str> {
        match what {
            What::Good => self.missing.clear(),
            What::Missing | What::Bounced => self.missing.push(sent),
            What::Arrived => self.missing.retain(|missing| *missing != sent),
            What::Undecided => {}
        }
        if self.open {
            let over = what == What::Good || self.missing.is_empty() && !overdue;
            self.open = !over;
            return over.then_some("resolved missing recipient:1");
        }
        let failed = matches!(what, What::Missing | What::Bounced);
        self.open = failed && (self.missing.len() >= asked || what == What::Bounced);
        self.open.then_some("opened missing recipient:1")
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_book_tells_what_the_sentences_say(asked in 1..4_i32, fates in fates()) {
        let mut history = vec![];
        let mut judged = vec![];
        for (sent, fate) in (0..).step_by(100).zip(&fates) {
            let by = sent + THRESHOLD;
            let (at, what) = match fate {
                Fate::Good => (sent + 1, What::Good),
                Fate::Lost(judged, _) => (by + judged, What::Missing),
                Fate::Bounced(after) => (sent + after, What::Bounced),
                Fate::Undecided(judged) => (by + judged, What::Undecided),
            };
            history.push((at, what, sent));
            judged.push((sent, at));
            if let Fate::Lost(_, Some(arrives)) = fate {
                history.push((at + arrives, What::Arrived, sent));
            }
        }
        history.sort_unstable();
        prop_assert!(INTERVAL > THRESHOLD + 35);
        let (mut lab, mut oracle) = (Lab::one(asked), Oracle::default());
        for (at, what, sent) in history {
            lab.now = at;
            let waiting = judged.iter().filter(|(other, by)| *other <= at && (*by > at) && *other != sent);
            lab.waiting =
                waiting.map(|(sent, _)| Waiting { sent: t(*sent), overdue: sent + THRESHOLD <= at }).collect();
            let said = match what {
                What::Good => lab.good(1, sent),
                What::Missing => lab.missing(1, sent),
                What::Bounced => lab.bounce(1, sent),
                What::Undecided => lab.undecided(1),
                What::Arrived => lab.arrived(1, sent),
            };
            let overdue = lab.waiting.iter().any(|waiting| waiting.overdue);
            let expected = oracle.hear(what, sent, usize::try_from(asked).unwrap(), overdue);
            prop_assert_eq!(said, expected.into_iter().collect::<Vec<_>>(), "{:?} {} at {}", what, sent, at);
        }
    }
}
