//! The proof of absence: nobody is told that mail is missing before it was looked for, twice, everywhere.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How far the absence of one probe is proved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Proof {
    #[default]
    None,
    /// One complete round did not contain it; this is when the last of its looks began.
    Once(Instant),
    /// A second one, far enough from the first, did not either.
    Complete,
}

/// A complete round: every watched folder of a mailbox was looked through, by looks that began between these moments. When
/// it was asked for says nothing: a mailbox that is away answers much later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Round {
    pub began: Instant,
    pub last: Instant,
    /// For each folder as configured, when its look began and when it ended.
    pub looks: Vec<(String, Instant, Instant)>,
}

impl Proof {
    /// What a complete round that did not contain the probe adds. A look that began before the deadline proves nothing.
    #[must_use]
    pub fn after(self, round: &Round, deadline: Instant, gap: Duration) -> Self {
        if round.began < deadline {
            return self;
        }
        match self {
            Self::None => Self::Once(round.last),
            Self::Once(first) if round.began >= first + gap => Self::Complete,
            other => other,
        }
    }

    /// Whether a round asked for at `now` would add something.
    #[must_use]
    pub fn wants_round(self, now: Instant, deadline: Instant, gap: Duration) -> bool {
        match self {
            Self::None => now >= deadline,
            Self::Once(first) => now >= first + gap,
            Self::Complete => false,
        }
    }
}

/// The newest round that a folder has completed, and its first look for that.
#[derive(Clone, Copy, Debug)]
struct Answer {
    number: u64,
    began: Instant,
    ended: Instant,
}

/// The rounds of one mailbox: which were asked for and how far each folder has answered.
#[derive(Debug, Default)]
pub struct Rounds {
    /// What each watched folder has answered.
    folders: BTreeMap<String, Option<Answer>>,
    /// Asked and not complete. One at a time: two at once could be answered by one look.
    asked: Option<u64>,
}

impl Rounds {
    /// Says which folders are watched. A round is complete when all of these have answered; with none known, none ever
    /// is.
    pub fn watch(&mut self, folders: impl IntoIterator<Item = String>) {
        let before = std::mem::take(&mut self.folders);
        self.folders = folders
            .into_iter()
            .map(|folder| {
                let answered = before.get(&folder).copied().flatten();
                (folder, answered)
            })
            .collect();
    }

    /// A round was asked for; call only when none is pending.
    pub fn asked(&mut self, number: u64) {
        self.asked.get_or_insert(number);
    }

    /// Whether a round is asked for and not complete.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        self.asked.is_some()
    }

    /// A folder completed a look that lasted from `began` to `ended`, after round `number` was asked for. Gives the pending
    /// round if that completes it.
    pub fn answered(&mut self, folder: &str, number: u64, began: Instant, ended: Instant) -> Option<Round> {
        let answered = self.folders.get_mut(folder)?;
        if answered.is_none_or(|newest| newest.number < number) {
            *answered = Some(Answer { number, began, ended });
        }
        let asked = self.asked?;
        let looks = self.folders.iter().map(|(folder, answered)| {
            let answer = answered.filter(|answer| answer.number >= asked)?;
            Some((folder.clone(), answer.began, answer.ended))
        });
        let looks: Vec<_> = looks.collect::<Option<_>>()?;
        let began = looks.iter().map(|(_, began, _)| *began);
        let round = Round { began: began.clone().min()?, last: began.max()?, looks };
        self.asked = None;
        Some(round)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GAP: Duration = Duration::from_secs(10);

    #[derive(Clone, Debug)]
    enum Step {
        Ask,
        Answer { folder: usize, lag: u64 },
        Wait(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            Just(Step::Ask),
            (0usize..2, 0u64..2).prop_map(|(folder, lag)| Step::Answer { folder, lag }),
            (1u64..8).prop_map(Step::Wait),
        ];
        proptest::collection::vec(step, 0..80)
    }

    proptest! {
        /// Absence is proved only by two looks at every folder, all begun after the deadline, ten seconds apart.
        #[test]
        fn absence_needs_two_rounds_over_every_folder_after_the_deadline(steps in steps(), deadline_s in 0u64..40) {
            let start = Instant::now();
            let deadline = start + Duration::from_secs(deadline_s);
            let names = ["INBOX", "Junk"];
            let mut now = start;
            let mut rounds = Rounds::default();
            rounds.watch(names.map(str::to_owned));
            let mut asked: u64 = 0;
            let mut looks: Vec<Vec<Instant>> = vec![vec![], vec![]];
            let mut proof = Proof::None;
            for step in steps {
                match step {
                    Step::Wait(s) => now += Duration::from_secs(s),
                    Step::Ask if rounds.is_pending() => {}
                    Step::Ask => {
                        asked += 1;
                        rounds.asked(asked);
                    }
                    Step::Answer { folder, lag } => {
                        let number = asked.saturating_sub(lag);
                        if let (true, Some(name)) = (number > 0, names.get(folder)) {
                            if let Some(looks) = looks.get_mut(folder) {
                                looks.push(now);
                            }
                            if let Some(round) = rounds.answered(name, number, now, now) {
                                proof = proof.after(&round, deadline, GAP);
                            }
                        }
                    }
                }
                if proof == Proof::Complete {
                    for looks in &looks {
                        let after: Vec<_> = looks.iter().filter(|at| **at >= deadline).collect();
                        let apart = after.iter().zip(after.iter().skip(1)).count() >= 1
                            && after.iter().max().zip(after.iter().min()).is_some_and(|(a, b)| **a >= **b + GAP);
                        prop_assert!(apart, "{after:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn two_rounds_prove_and_one_does_not() {
        let start = Instant::now();
        let round = |began: Instant| Round { began, last: began, looks: vec![] };
        let first = Proof::None.after(&round(start), start, GAP);
        assert_eq!(first, Proof::Once(start));
        assert_eq!(first.after(&round(start + GAP / 2), start, GAP), first);
        assert_eq!(first.after(&round(start + GAP), start, GAP), Proof::Complete);
        let slow = Proof::None.after(&Round { last: start + GAP, ..round(start) }, start, GAP);
        assert_eq!(
            slow.after(&round(start + GAP), start, GAP),
            slow,
            "one of the folders was only just looked at"
        );
    }

    #[test]
    fn a_round_waits_for_the_slowest_folder() {
        let mut rounds = Rounds::default();
        let at = Instant::now();
        rounds.asked(1);
        assert_eq!(rounds.answered("INBOX", 1, at, at), None, "unknown folders answer nothing");
        rounds.watch(["INBOX".to_owned(), "Junk".to_owned()]);
        assert_eq!(rounds.answered("INBOX", 1, at, at), None);
        // Away for a while: what counts is when it was looked at, not when that was asked for.
        assert_eq!(rounds.answered("INBOX", 1, at + GAP / 2, at + GAP), None);
        let last = at + 6 * GAP;
        let looks = vec![("INBOX".to_owned(), at, at), ("Junk".to_owned(), last, last + GAP)];
        assert_eq!(rounds.answered("Junk", 1, last, last + GAP), Some(Round { began: at, last, looks }));
        assert!(!rounds.is_pending());
    }
}
