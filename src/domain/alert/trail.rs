//! What is remembered of one recipient's probes: the failures in the order of sending, and the good ones between them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Waiting;
use crate::domain::id::ProbeId;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Failure {
    probe: ProbeId,
    sent: Timestamp,
    /// It was accepted and may still arrive.
    #[serde(default)]
    lost: bool,
}

/// Verdicts do not come in the order of sending: with a threshold longer than the interval, later mail has long arrived when
/// an earlier one is found missing. So failures are consecutive when no good probe was *sent* between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trail {
    #[serde(default)]
    failures: Vec<Failure>,
    /// When the last good probe was sent that nothing waiting precedes.
    #[serde(default)]
    settled: Option<Timestamp>,
    /// When later good probes were sent; only those that may still part two failures.
    #[serde(default)]
    goods: Vec<Timestamp>,
    /// Probes of the open incident that have not arrived after all.
    #[serde(default)]
    outstanding: Vec<ProbeId>,
}

/// Failures with no good probe sent between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) length: usize,
    pub(super) first_sent: Timestamp,
    pub(super) last_sent: Timestamp,
    /// Those that may still arrive.
    pub(super) lost: Vec<ProbeId>,
}

impl Trail {
    /// At least so many failures are kept, and as many as make an incident: what is older has long made one.
    pub(super) const KEPT: usize = 64;

    /// Notes a failure. Tells of the row that it is in.
    pub(super) fn fail(&mut self, probe: ProbeId, sent: Timestamp, lost: bool, alert_after: usize) -> Row {
        if !self.failures.iter().any(|known| known.probe == probe) {
            self.failures.push(Failure { probe, sent, lost });
        }
        let kept = Self::KEPT.max(alert_after);
        if self.failures.len() > kept {
            self.failures.sort_by_key(|failure| failure.sent);
            self.failures.drain(..self.failures.len() - kept);
        }
        let before = self.all_goods().filter(|good| *good < sent).max();
        let after = self.all_goods().filter(|good| *good > sent).min();
        let in_row =
            |at: Timestamp| before.is_none_or(|good| good < at) && after.is_none_or(|good| at < good);
        let mut row = Row { length: 0, first_sent: sent, last_sent: sent, lost: Vec::new() };
        for failure in self.failures.iter().filter(|failure| in_row(failure.sent)) {
            row.length += 1;
            row.first_sent = row.first_sent.min(failure.sent);
            row.last_sent = row.last_sent.max(failure.sent);
            row.lost.extend(failure.lost.then_some(failure.probe));
        }
        row
    }

    /// Notes that probes are missing in an incident that is open. The oldest of very many are let go: they end nothing.
    pub(super) fn expect(&mut self, probes: impl IntoIterator<Item = ProbeId>) {
        for probe in probes {
            if !self.outstanding.contains(&probe) {
                self.outstanding.push(probe);
            }
        }
        let excess = self.outstanding.len().saturating_sub(Self::KEPT);
        self.outstanding.drain(..excess);
    }

    /// The incident is over.
    pub(super) fn expect_none(&mut self) {
        self.outstanding.clear();
    }

    /// Notes a good delivery.
    pub(super) fn good(&mut self, sent: Timestamp) {
        self.goods.push(sent);
    }

    /// A failed one has arrived after all: it is no failure to count any more. Tells whether the open incident missed it.
    pub(super) fn forgive(&mut self, probe: ProbeId) -> bool {
        self.failures.retain(|known| known.probe != probe);
        let missed = self.outstanding.len();
        self.outstanding.retain(|known| *known != probe);
        self.outstanding.len() < missed
    }

    /// Whether a good probe was sent between two moments.
    pub(super) fn has_good_between(&self, start: Timestamp, end: Timestamp) -> bool {
        self.all_goods().any(|good| start < good && good < end)
    }

    /// Whether a good probe is known that was sent after `than`, with nothing older on its way any more.
    pub(super) fn has_settled_good_after(&self, than: Timestamp, waiting: &[Waiting]) -> bool {
        let oldest = oldest(waiting);
        self.all_goods().any(|good| good > than && oldest.is_none_or(|waiting| good < waiting))
    }

    fn all_goods(&self) -> impl Iterator<Item = Timestamp> {
        self.goods.iter().copied().chain(self.settled)
    }

    /// Lets go of what cannot matter any more: everything before a good probe that nothing waiting precedes, and of several
    /// good ones in a row all but the last. `suspected` are failures that may turn out to be the recipient's own.
    pub(super) fn prune(&mut self, waiting: &[Waiting], suspected: &[(ProbeId, Timestamp)]) {
        let oldest = oldest(waiting);
        let settled = |good: &&Timestamp| oldest.is_none_or(|waiting| **good < waiting);
        if let Some(good) = self.goods.iter().filter(settled).max().copied() {
            self.failures.retain(|failure| failure.sent > good);
            self.goods.retain(|sent| *sent > good);
            self.settled = self.settled.max(Some(good));
        }
        if self.goods.len() < 2 {
            return;
        }
        self.goods.sort_unstable();
        let bounds = self.failures.iter().map(|failure| failure.sent);
        let bounds = bounds.chain(waiting.iter().map(|waiting| waiting.sent));
        let bounds: Vec<Timestamp> = bounds.chain(suspected.iter().map(|(_, sent)| *sent)).collect();
        let mut later = None;
        let mut kept: Vec<Timestamp> = Vec::new();
        for good in self.goods.drain(..).rev() {
            if later.is_none_or(|later| bounds.iter().any(|bound| good <= *bound && *bound <= later)) {
                kept.push(good);
            }
            later = Some(good);
        }
        kept.reverse();
        kept.dedup();
        self.goods = kept;
    }

    /// The clock was set.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        let times = self.failures.iter_mut().map(|failure| &mut failure.sent).chain(&mut self.goods);
        let times = times.chain(&mut self.settled);
        times.for_each(|at| *at = at.checked_add(by).unwrap_or(*at));
    }

    /// The clock may have been set back while nobody was there: nothing failed later than now, and of what was good later
    /// nobody knows what it comes after.
    pub(super) fn not_after(&mut self, now: Timestamp) {
        for failure in &mut self.failures {
            failure.sent = failure.sent.min(now);
        }
        self.goods.retain(|good| *good <= now);
        self.settled = self.settled.filter(|good| *good <= now);
    }

    /// Whether there is nothing that a restart must not forget: the last good probe is known without it.
    pub(super) fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.goods.len() < 2 && self.outstanding.is_empty()
    }

    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        self.failures.len() + self.goods.len() + self.outstanding.len()
    }
}

fn oldest(waiting: &[Waiting]) -> Option<Timestamp> {
    waiting.iter().map(|waiting| waiting.sent).min()
}
