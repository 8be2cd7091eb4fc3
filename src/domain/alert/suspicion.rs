//! Faults of a sender that are not an incident yet: whose fault they are, a second opinion tells.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Evidence;
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::between;

/// What one recipient met since the sender last took anything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Suspect {
    /// Probe and time of sending, oldest first.
    pub(super) probes: Vec<(ProbeId, Timestamp)>,
    pub(super) first_at: Timestamp,
    pub(super) last_at: Timestamp,
    pub(super) first: Evidence,
    pub(super) latest: Evidence,
}

/// The faults of one sender since it last took a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Suspicion {
    #[serde(default)]
    pub(super) suspects: BTreeMap<RecipientId, Suspect>,
    /// Submissions in a row that ended without an answer.
    #[serde(default)]
    pub(super) unanswered: u32,
    /// When the first of them did.
    #[serde(default)]
    pub(super) unanswered_since: Option<Timestamp>,
}

impl Suspicion {
    /// Unanswered submissions in a row that make an incident.
    pub(super) const UNANSWERED: u32 = 3;
    /// Recipients kept. With so many at once it is nobody's own fault; those beyond add nothing but work.
    pub(super) const SUSPECTS: usize = 64;

    /// Notes a fault that a recipient met, who asks for `alert_after` in a row: with as many, or two, there is no suspicion
    /// any more, so that what is kept for each is bounded.
    pub(super) fn add(
        &mut self,
        recipient: RecipientId,
        sent: Timestamp,
        evidence: &Evidence,
        alert_after: usize,
    ) {
        let full = self.suspects.len() >= Self::SUSPECTS && !self.suspects.contains_key(&recipient);
        // One that asks for no more than one may be all that is wanting.
        if full && alert_after > 1 {
            return;
        }
        let at = evidence.at();
        let suspect = self.suspects.entry(recipient).or_insert_with(|| Suspect {
            probes: Vec::new(),
            first_at: at,
            last_at: at,
            first: evidence.clone(),
            latest: evidence.clone(),
        });
        if let Some(probe) = evidence.probe() {
            suspect.probes.push((probe, sent));
        }
        suspect.last_at = suspect.last_at.max(at);
        suspect.latest = evidence.clone();
    }

    /// Whether these faults are the sender's: two recipients met them (each as often in a row as it asks for), or its only
    /// one, or one met them twice while nobody got through, or nobody else tried for as long as `patience`.
    pub(super) fn is_ripe(
        &self,
        now: Timestamp,
        users: usize,
        patience: Duration,
        alert_after: impl Fn(RecipientId) -> usize,
    ) -> bool {
        let ripe: Vec<_> = self
            .suspects
            .iter()
            .filter(|(id, suspect)| suspect.probes.len() >= alert_after(**id))
            .map(|(_, suspect)| suspect)
            .collect();
        let insistent = |suspect: &&Suspect| {
            suspect.probes.len() >= 2 || users <= 1 || between(suspect.first_at, now) >= patience
        };
        ripe.len() >= 2 || ripe.iter().any(insistent)
    }

    /// The clock may have been set back while nobody was there.
    pub(super) fn not_after(&mut self, now: Timestamp) {
        for suspect in self.suspects.values_mut() {
            suspect.last_at = suspect.last_at.min(now);
            suspect.first_at = suspect.first_at.min(now);
        }
    }

    pub(super) fn is_clean(&self) -> bool {
        self.suspects.is_empty() && self.unanswered == 0
    }
}
