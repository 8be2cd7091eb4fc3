//! Verdicts on probes whose deadline has passed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use crate::domain::fields::plain;
use crate::domain::id::ProbeId;
use crate::domain::probe::{Event, State};
use crate::domain::proof::{Proof, Round};
use crate::domain::record::{Look, MOST_FOLDERS, Search};

use super::Engine;
use super::journal::Then;

/// Characters kept of a folder's name.
const MOST_NAME: usize = 200;

impl Engine {
    /// Asks for the rounds of looking that overdue probes need, and ends the wait of those that nobody could judge.
    pub(super) fn judge(&mut self, now: Instant) {
        let gap = self.pace.round_gap;
        let mut asking: HashSet<Arc<str>> = HashSet::new();
        let mut given_up = Vec::new();
        let mut again = Vec::new();
        for tracked in self.table.overdue(now) {
            let Some(deadline) = tracked.deadline() else { continue };
            if tracked.probe.state == State::Deferred {
                again.push(tracked.probe.id);
            } else if !self.desks.contains_key(&tracked.probe.mailbox) {
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
                desk.rounds.asked(number);
            }
        }
        let at = self.clock.at(now);
        for (id, note) in given_up {
            let searches = self.searches(id);
            self.apply(id, Event::GivenUp { at, note: note.to_owned(), searches }, Then::default());
        }
        self.try_again(&again, now);
    }

    /// Begins the next attempt of deferred probes, as far as their senders have room.
    fn try_again(&mut self, due: &[ProbeId], now: Instant) {
        let mut room: HashMap<Arc<str>, Option<usize>> = HashMap::new();
        for id in due {
            let Some(tracked) = self.table.get(*id) else { continue };
            let (sender, recipient) = (tracked.probe.sender.clone(), tracked.probe.recipient());
            let left = room.entry(sender).or_insert_with_key(|sender| (self.room)(sender));
            let gone = match (&left, self.standings.address(recipient)) {
                (None, _) => "its sender is no longer configured",
                (_, None) => "its recipient was removed",
                (Some(0), _) => continue,
                (Some(_), Some(address)) => {
                    *left = left.map(|left| left - 1);
                    let then = Then { starts: Some(address), ..Then::default() };
                    let at = self.clock.at(now);
                    self.apply(*id, Event::AttemptStarted { at }, then);
                    continue;
                }
            };
            let note = gone.to_owned();
            let event = Event::GivenUp { at: self.clock.at(now), note, searches: Vec::new() };
            self.apply(*id, event, Then::default());
        }
    }

    /// A round over all folders of a mailbox is complete and everything that it found has been heard.
    pub(super) fn round_complete(&mut self, mailbox: &Arc<str>, round: &Round) {
        let now = Instant::now();
        let mut proofs = Vec::new();
        for tracked in self.table.overdue(now) {
            let Some(deadline) = tracked.deadline() else { continue };
            if tracked.probe.mailbox == *mailbox && tracked.probe.state != State::Deferred {
                let proof = tracked.proof.after(round, deadline, self.pace.round_gap);
                proofs.push((tracked.probe.id, proof));
            }
        }
        let at = self.clock.at(now);
        let search = Arc::new(self.search(mailbox, round));
        for (id, proof) in proofs {
            let Some(tracked) = self.table.get_mut(id) else { continue };
            if tracked.proof != proof {
                tracked.searches.push(Arc::clone(&search));
            }
            tracked.proof = proof;
            if proof != Proof::Complete {
                continue;
            }
            match self.table.get(id).map(|tracked| tracked.probe.state) {
                Some(State::Accepted) => {
                    let searches = self.searches(id);
                    self.apply(id, Event::Absent { at, searches }, Then::default());
                }
                Some(State::Unconfirmed) => {
                    let note =
                        "the submission ended without an answer, and the message did not arrive".to_owned();
                    let searches = self.searches(id);
                    self.apply(id, Event::GivenUp { at, note, searches }, Then::default());
                }
                _ => {}
            }
        }
    }

    fn searches(&self, id: ProbeId) -> Vec<Arc<Search>> {
        self.table.get(id).map(|tracked| tracked.searches.clone()).unwrap_or_default()
    }

    /// A round as it goes on record: by the server's names of the folders, in database time.
    fn search(&self, mailbox: &str, round: &Round) -> Search {
        let folders = self.desks.get(mailbox).map(|desk| &desk.folders);
        let looks = round.looks.iter().take(MOST_FOLDERS).map(|(folder, began, ended)| {
            let name = folders.and_then(|folders| folders.get(folder.as_str())?.name.as_deref());
            Look {
                folder: plain(name.unwrap_or(folder).as_bytes(), MOST_NAME),
                began: self.clock.at(*began),
                ended: self.clock.at(*ended),
                is_absent: name.is_none(),
            }
        });
        Search { looks: looks.collect() }
    }
}
