//! What is remembered of one recipient's probes: the failures in the order of sending, and the good ones between them.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::domain::id::ProbeId;

/// Verdicts do not come in the order of sending: with a threshold longer than the interval, later mail has long arrived when
/// an earlier one is found missing. So failures are consecutive when no good probe was *sent* between them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Trail {
    failures: Vec<(ProbeId, Timestamp)>,
    /// When good probes were sent; only those that may still part two failures.
    goods: Vec<Timestamp>,
}

impl Trail {
    /// More than anybody counts; what is older has long made an incident.
    const KEPT: usize = 512;

    /// Notes a failure. Tells how many are in a row with it.
    pub(super) fn fail(&mut self, probe: ProbeId, sent: Timestamp) -> usize {
        if !self.failures.iter().any(|(known, _)| *known == probe) {
            self.failures.push((probe, sent));
        }
        if self.failures.len() > Self::KEPT {
            self.failures.sort_unstable_by_key(|(_, sent)| *sent);
            self.failures.drain(..Self::KEPT / 2);
        }
        let before = self.goods.iter().copied().filter(|good| *good < sent).max();
        let after = self.goods.iter().copied().filter(|good| *good > sent).min();
        let in_row =
            |at: Timestamp| before.is_none_or(|good| good < at) && after.is_none_or(|good| at < good);
        self.failures.iter().filter(|(_, sent)| in_row(*sent)).count()
    }

    /// The first of the failures in a row with one.
    pub(super) fn row_began(&self, sent: Timestamp) -> Timestamp {
        let before = self.goods.iter().copied().filter(|good| *good < sent).max();
        let row = self.failures.iter().map(|(_, at)| *at);
        row.filter(|at| *at <= sent && before.is_none_or(|good| good < *at)).min().unwrap_or(sent)
    }

    /// Notes a good delivery.
    pub(super) fn good(&mut self, sent: Timestamp) {
        self.goods.push(sent);
    }

    /// A failed one has arrived after all: it is no failure to count any more.
    pub(super) fn forgive(&mut self, probe: ProbeId) {
        self.failures.retain(|(known, _)| *known != probe);
    }

    /// Whether a good probe is known that was sent after `than`, with nothing older on its way any more.
    pub(super) fn has_settled_good_after(&self, than: Timestamp, oldest_waiting: Option<Timestamp>) -> bool {
        self.goods.iter().any(|good| *good > than && oldest_waiting.is_none_or(|waiting| *good < waiting))
    }

    /// Lets go of what cannot matter any more: everything before a good probe that nothing waiting precedes.
    pub(super) fn prune(&mut self, oldest_waiting: Option<Timestamp>) {
        let settled = |good: &&Timestamp| oldest_waiting.is_none_or(|waiting| **good < waiting);
        if let Some(good) = self.goods.iter().filter(settled).max().copied() {
            self.failures.retain(|(_, sent)| *sent > good);
            self.goods.retain(|sent| *sent >= good);
        }
        if self.goods.len() > Self::KEPT {
            self.goods.sort_unstable();
            self.goods.drain(..Self::KEPT / 2);
        }
    }

    /// The clock was set.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        let times = self.failures.iter_mut().map(|(_, sent)| sent).chain(&mut self.goods);
        times.for_each(|at| *at = at.checked_add(by).unwrap_or(*at));
    }

    /// Whether there is anything that a restart must not forget.
    pub(super) fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }
}
