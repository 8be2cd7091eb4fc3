//! The probes in memory: all that are open, and those closed a moment ago.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

use crate::domain::id::ProbeId;
use crate::domain::probe::Probe;
use crate::domain::proof::Proof;
use crate::domain::record::Search;

/// A probe and what only this process knows of it.
#[derive(Debug)]
pub(super) struct Tracked {
    /// With the version that the row will have once every queued save is made.
    pub(super) probe: Probe,
    /// When the final 2xx was read, if this process read it.
    pub(super) accepted: Option<Instant>,
    pub(super) proof: Proof,
    /// The rounds that the proof is made of.
    pub(super) searches: Vec<Arc<Search>>,
    /// Saves queued and not yet made.
    pub(super) unsaved: usize,
    /// By how much the database's clock was set since the probe's times were taken from it.
    pub(super) shifted: SignedDuration,
    /// When this process first saw an attempt at it fail: its retries are measured by our own clock.
    pub(super) failing_since: Option<Instant>,
    /// When it is overdue or, deferred, to be sent again.
    deadline: Option<Instant>,
    touched: Instant,
}

impl Tracked {
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// When it was sent, on the database's clock as it goes now.
    pub(super) fn sent(&self) -> Timestamp {
        let sent = self.probe.first_attempt_at;
        sent.checked_add(self.shifted).unwrap_or(sent)
    }
}

/// See the module. Deadlines are moments of the monotonic clock: a database clock that jumps moves none of them.
#[derive(Debug, Default)]
pub(super) struct Table {
    probes: HashMap<ProbeId, Tracked>,
    deadlines: BTreeSet<(Instant, ProbeId)>,
}

impl Table {
    /// How long a closed probe stays, so that its copies need no look into the database.
    const LINGER: Duration = Duration::from_mins(1);

    pub(super) fn get(&self, id: ProbeId) -> Option<&Tracked> {
        self.probes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: ProbeId) -> Option<&mut Tracked> {
        self.probes.get_mut(&id)
    }

    /// Takes a probe in, unless it is known: what is in memory is never older than the row.
    pub(super) fn insert(&mut self, probe: Probe, deadline: Option<Instant>, now: Instant) {
        let id = probe.id;
        if self.probes.contains_key(&id) {
            return;
        }
        let tracked = Tracked {
            probe,
            accepted: None,
            proof: Proof::None,
            searches: Vec::new(),
            unsaved: 0,
            shifted: SignedDuration::ZERO,
            failing_since: None,
            deadline: None,
            touched: now,
        };
        self.probes.insert(id, tracked);
        self.set_deadline(id, deadline);
    }

    pub(super) fn remove(&mut self, id: ProbeId) {
        self.set_deadline(id, None);
        self.probes.remove(&id);
    }

    pub(super) fn set_deadline(&mut self, id: ProbeId, deadline: Option<Instant>) {
        let Some(tracked) = self.probes.get_mut(&id) else { return };
        if let Some(before) = tracked.deadline {
            self.deadlines.remove(&(before, id));
        }
        tracked.deadline = deadline;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id));
        }
    }

    /// The probes whose time has come.
    pub(super) fn overdue(&self, now: Instant) -> impl Iterator<Item = &Tracked> {
        self.deadlines
            .iter()
            .take_while(move |(deadline, _)| *deadline <= now)
            .filter_map(|(_, id)| self.probes.get(id))
    }

    /// The database's clock was set.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        for tracked in self.probes.values_mut() {
            tracked.shifted = tracked.shifted.saturating_add(by);
        }
    }

    pub(super) fn touch(&mut self, id: ProbeId, now: Instant) {
        if let Some(tracked) = self.probes.get_mut(&id) {
            tracked.touched = now;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Tracked> {
        self.probes.values()
    }

    /// Lets go of what has been closed and saved for a while.
    pub(super) fn sweep(&mut self, now: Instant) {
        self.probes.retain(|_, tracked| {
            tracked.probe.state.is_open()
                || tracked.unsaved > 0
                || now.saturating_duration_since(tracked.touched) < Self::LINGER
        });
    }
}
