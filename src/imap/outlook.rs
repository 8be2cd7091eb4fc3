//! What the engine expects from a mailbox, shared with the mailbox's watchers.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use jiff::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::domain::id::ProbeId;

use super::pace::Budget;

/// What is expected of one mailbox. The engine writes it, the watchers of the mailbox's folders read it.
#[derive(Debug)]
pub struct Outlook {
    state: watch::Sender<State>,
    budget: Mutex<Budget>,
}

#[derive(Debug, Default)]
struct State {
    expected: HashMap<ProbeId, Instant>,
    by_age: BTreeSet<(Instant, ProbeId)>,
    look_back: Option<Timestamp>,
    round: u64,
}

impl Default for Outlook {
    fn default() -> Self {
        Self::new()
    }
}

impl Outlook {
    #[must_use]
    pub fn new() -> Self {
        Self { state: watch::Sender::new(State::default()), budget: Mutex::new(Budget::new(Instant::now())) }
    }

    /// A probe was accepted at `since` and may arrive any moment: the watchers ask for it actively.
    pub fn expect(&self, probe: ProbeId, since: Instant) {
        self.state.send_modify(|state| {
            if let Some(before) = state.expected.insert(probe, since) {
                state.by_age.remove(&(before, probe));
            }
            state.by_age.insert((since, probe));
        });
    }

    /// A probe has arrived or will not: nobody needs to ask for it any more.
    pub fn settle(&self, probe: ProbeId) {
        self.state.send_if_modified(|state| {
            if let Some(since) = state.expected.remove(&probe) {
                state.by_age.remove(&(since, probe));
            }
            false
        });
    }

    /// The first attempt of the oldest probe that has no result yet, `None` when there is no such probe. How far back a
    /// watcher searches that starts without a watermark. To be set before a probe's first byte is sent: a message that
    /// is already there when a folder is opened counts as foreign otherwise.
    pub fn set_look_back(&self, oldest: Option<Timestamp>) {
        self.state.send_if_modified(|state| {
            state.look_back = oldest;
            false
        });
    }

    #[must_use]
    pub fn look_back(&self) -> Option<Timestamp> {
        self.state.borrow().look_back
    }

    /// Asks every folder for a complete look that starts after this call, at once. Returns the round's number, which
    /// the looks report.
    pub fn ask_round(&self) -> u64 {
        let mut round = 0;
        self.state.send_modify(|state| {
            state.round += 1;
            round = state.round;
        });
        round
    }

    /// The round asked last; 0 before the first.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.state.borrow().round
    }

    /// The eldest expected probe that is younger than `asked_up_to`, and the youngest one that is not.
    pub(super) fn expected(&self, asked_up_to: Option<Instant>) -> (Option<Instant>, Option<Instant>) {
        let state = self.state.borrow();
        let Some(limit) = asked_up_to else {
            return (state.by_age.first().map(|&(since, _)| since), None);
        };
        let last = (limit, ProbeId::from_uuid(Uuid::max()));
        let fresh = state.by_age.range((Bound::Excluded(last), Bound::Unbounded)).next();
        let asked = state.by_age.range(..=last).next_back();
        (fresh.map(|&(since, _)| since), asked.map(|&(since, _)| since))
    }

    /// Wakes when something new is expected or a round is asked.
    pub(super) fn changes(&self) -> Changes {
        Changes(self.state.subscribe())
    }

    /// Takes one ask from the budget that all folders share, or tells when there will be one.
    pub(super) fn take_ask(&self, now: Instant) -> Result<(), Instant> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

/// Notices changes of the outlook; none is lost between two waits.
#[derive(Debug)]
pub(super) struct Changes(watch::Receiver<State>);

impl Changes {
    /// Never returns once the outlook is gone.
    pub(super) async fn wait(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::RecipientId;
    use std::time::Duration;

    fn probe(n: u64) -> ProbeId {
        ProbeId::new(1, RecipientId(1), n)
    }

    #[test]
    fn who_was_asked_for_and_who_was_not() {
        let t = Instant::now();
        let ms = |n| t + Duration::from_millis(n);
        let outlook = Outlook::new();
        assert_eq!(outlook.expected(Some(t)), (None, None));
        for n in [10, 20, 30, 40] {
            outlook.expect(probe(n), ms(n));
        }
        assert_eq!(outlook.expected(None), (Some(ms(10)), None));
        assert_eq!(outlook.expected(Some(ms(20))), (Some(ms(30)), Some(ms(20))));
        outlook.settle(probe(20));
        outlook.settle(probe(30));
        outlook.settle(probe(99));
        assert_eq!(outlook.expected(Some(ms(20))), (Some(ms(40)), Some(ms(10))));
        outlook.expect(probe(40), ms(15));
        assert_eq!(outlook.expected(Some(ms(20))), (None, Some(ms(15))));
    }

    #[test]
    fn rounds_are_numbered_from_one() {
        let outlook = Outlook::new();
        assert_eq!(outlook.round(), 0);
        assert_eq!((outlook.ask_round(), outlook.ask_round(), outlook.round()), (1, 2, 2));
    }

    #[tokio::test]
    async fn what_is_new_wakes_and_what_is_settled_does_not() {
        let outlook = Outlook::new();
        let mut changes = outlook.changes();
        let mut woken =
            async || tokio::time::timeout(Duration::from_millis(20), changes.wait()).await.is_ok();
        assert!(!woken().await);
        outlook.expect(probe(1), Instant::now());
        assert!(woken().await);
        outlook.settle(probe(1));
        outlook.set_look_back(None);
        assert!(!woken().await);
        outlook.ask_round();
        assert!(woken().await);
    }
}
