//! Verdicts on probes whose deadline has passed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use crate::domain::probe::{Event, State};
use crate::domain::proof::{Proof, Round};

use super::Engine;

impl Engine {
    /// Asks for the rounds of looking that overdue probes need, and ends the wait of those that nobody could judge.
    pub(super) fn judge(&mut self, now: Instant) {
        let gap = self.pace.round_gap;
        let mut asking: HashSet<Arc<str>> = HashSet::new();
        let mut given_up = Vec::new();
        for tracked in self.table.overdue(now) {
            let Some(deadline) = tracked.deadline() else { continue };
            if !self.desks.contains_key(&tracked.probe.mailbox) {
                given_up.push((tracked.probe.id, "its mailbox is no longer configured"));
            } else if now >= deadline + self.pace.verdict {
                given_up.push((
                    tracked.probe.id,
                    "the mailbox could not be read for too long after the deadline",
                ));
            } else if tracked.proof.wants_round(now, deadline, gap) {
                asking.insert(tracked.probe.mailbox.clone());
            }
        }
        for mailbox in asking {
            if let Some(desk) = self.desks.get_mut(&mailbox)
                && !desk.rounds.is_pending()
            {
                let number = desk.outlook.ask_round();
                desk.rounds.asked(number, now);
            }
        }
        let at = self.clock.at(now);
        for (id, note) in given_up {
            self.apply(id, Event::GivenUp { at, note: note.to_owned() }, None, None);
        }
    }

    /// A round over all folders of a mailbox is complete and everything that it found has been heard.
    pub(super) fn round_complete(&mut self, mailbox: &Arc<str>, round: Round) {
        let now = Instant::now();
        let mut proofs = Vec::new();
        for tracked in self.table.overdue(now) {
            let Some(deadline) = tracked.deadline() else { continue };
            if tracked.probe.mailbox == *mailbox {
                let proof = tracked.proof.after(round, deadline, self.pace.round_gap);
                proofs.push((tracked.probe.id, proof));
            }
        }
        let at = self.clock.at(now);
        for (id, proof) in proofs {
            let Some(tracked) = self.table.get_mut(id) else { continue };
            tracked.proof = proof;
            if proof != Proof::Complete {
                continue;
            }
            match self.table.get(id).map(|tracked| tracked.probe.state) {
                Some(State::Accepted) => self.apply(id, Event::Absent { at }, None, None),
                Some(State::Unconfirmed) => {
                    let note =
                        "the submission ended without an answer, and the message did not arrive".to_owned();
                    self.apply(id, Event::GivenUp { at, note }, None, None);
                }
                _ => {}
            }
        }
    }
}
