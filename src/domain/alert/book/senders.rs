//! Incidents of a sender: nothing can be handed to its submission server.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Book, Joining, put};
use crate::domain::alert::suspicion::Suspicion;
use crate::domain::alert::{Change, Details, Evidence, Incident, Resolution};
use crate::domain::id::RecipientId;
use crate::domain::probe::between;

impl Book {
    /// A fault of the sender that one recipient met.
    pub(super) fn fault(
        &mut self,
        sender: &Arc<str>,
        id: RecipientId,
        sent: Timestamp,
        evidence: &Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        if self.join(sender, id, evidence, now, changes) {
            return;
        }
        let alert_after = self.members.get(&id).map_or(1, |member| member.alert_after);
        self.suspecting(sender, changes, |book, changes| {
            let suspicion = book.suspicions.entry(Arc::clone(sender)).or_default();
            suspicion.add(id, sent, evidence, alert_after);
            book.open_if_ripe(sender, now, changes);
        });
    }

    pub(super) fn open_if_ripe(&mut self, sender: &Arc<str>, now: Timestamp, changes: &mut Vec<Change>) {
        let key = Self::of_sender(sender);
        let Some(suspicion) = self.suspicions.get(sender).filter(|_| !self.open.contains_key(&key)) else {
            return;
        };
        // Whether it is the only one is all that matters.
        let users = self.members.values().filter(|member| member.sender == *sender).take(2).count();
        let alert_after = |id| self.members.get(&id).map_or(usize::MAX, |member| member.alert_after);
        if !suspicion.is_ripe(now, users, self.policy.second_opinion, alert_after) {
            return;
        }
        let Some(suspicion) = self.suspicions.remove(sender) else { return };
        let mut suspects: Vec<_> = suspicion.suspects.iter().collect();
        suspects.sort_by_key(|(_, suspect)| suspect.first_at);
        let (Some((_, first)), Some((_, last))) =
            (suspects.first(), suspects.iter().max_by_key(|(_, suspect)| suspect.last_at))
        else {
            return;
        };
        let failures = suspects.iter().map(|(_, suspect)| suspect.probes.len()).sum::<usize>();
        let mut details = Details::new(first.first_at, last.last_at, first.first.clone());
        details.latest = last.latest.clone();
        details.failures = u32::try_from(failures).unwrap_or(u32::MAX);
        details.last_good_at = self.last_good_of(sender);
        details.concerned = suspects
            .iter()
            .filter_map(|(id, _)| self.members.get(id).map(|member| member.concerned(**id)))
            .collect();
        self.begin(key, details, now, changes);
    }

    pub(super) fn unanswered(
        &mut self,
        sender: &Arc<str>,
        id: RecipientId,
        evidence: &Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        if self.join(sender, id, evidence, now, changes) {
            return;
        }
        self.suspecting(sender, changes, |book, changes| {
            let suspicion = book.suspicions.entry(Arc::clone(sender)).or_default();
            suspicion.unanswered = suspicion.unanswered.saturating_add(1);
            let since = *suspicion.unanswered_since.get_or_insert(evidence.at());
            let (in_a_row, member) = (suspicion.unanswered, book.members.get(&id));
            let Some(member) = member.filter(|_| in_a_row >= Suspicion::UNANSWERED) else { return };
            let mut told = evidence.clone();
            if let Evidence::Unanswered { in_a_row: told, .. } = &mut told {
                *told = in_a_row;
            }
            let mut details = Details::new(since, evidence.at(), told);
            details.failures = in_a_row;
            details.last_good_at = book.last_good_of(sender);
            details.concerned = vec![member.concerned(id)];
            book.suspicions.remove(sender);
            book.begin(Self::of_sender(sender), details, now, changes);
        });
    }

    /// One more failure of the same cause. Tells whether there is an incident to join.
    fn join(
        &mut self,
        sender: &Arc<str>,
        id: RecipientId,
        evidence: &Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) -> bool {
        let Some(incident) = self.open.get_mut(&Self::of_sender(sender)) else { return false };
        let joining = self.joinings.entry(Arc::clone(sender)).or_insert_with(|| Joining::of(incident));
        let details = &mut incident.details;
        details.failures = details.failures.saturating_add(1);
        details.failing_until = details.failing_until.max(evidence.at());
        details.latest = evidence.clone();
        if let Some(member) = self.members.get(&id)
            && joining.known.insert(id)
        {
            details.concerned.push(member.concerned(id));
        }
        joining.unwritten = true;
        self.write_joined(sender, now, changes);
        true
    }

    /// What joined senders' incidents and is not written yet.
    pub fn flush(&mut self) -> Vec<Change> {
        let mut changes = Vec::new();
        for (sender, joining) in &mut self.joinings {
            if let (true, Some(incident)) = (joining.unwritten, self.open.get_mut(&Self::of_sender(sender))) {
                joining.unwritten = false;
                put(incident, &mut changes);
            }
        }
        changes
    }

    /// Writes what joined a sender's incident: at once while few are concerned, else not too often.
    pub(super) fn write_joined(&mut self, sender: &Arc<str>, now: Timestamp, changes: &mut Vec<Change>) {
        let (Some(joining), Some(incident)) =
            (self.joinings.get_mut(sender), self.open.get_mut(&Self::of_sender(sender)))
        else {
            return;
        };
        let pause = Joining::pause(incident.details.concerned.len());
        // When the clock was set back, nothing is waited for.
        let rested = joining.written_at.is_none_or(|at| now < at || between(at, now) >= pause);
        if joining.unwritten && rested {
            joining.unwritten = false;
            joining.written_at = Some(now);
            put(incident, changes);
        }
    }

    /// The server took a message: faults from before are over. Those that were not the sender's incident were the
    /// recipients' own.
    pub(super) fn accepted(
        &mut self,
        sender: &Arc<str>,
        began: Timestamp,
        at: Timestamp,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        self.last_accepted.insert(Arc::clone(sender), at);
        let key = Self::of_sender(sender);
        if self.open.get(&key).is_some_and(|incident| began > incident.details.failing_until) {
            self.resolve(&key, Resolution::Recovered { latency: None }, now, changes);
            self.healed.insert(Arc::clone(sender), now);
        }
        if self.suspicions.contains_key(sender) {
            self.suspecting(sender, changes, |book, changes| book.acquit(sender, began, now, changes));
        }
    }

    fn acquit(&mut self, sender: &Arc<str>, began: Timestamp, now: Timestamp, changes: &mut Vec<Change>) {
        let Some(suspicion) = self.suspicions.get_mut(sender) else { return };
        suspicion.unanswered = 0;
        suspicion.unanswered_since = None;
        let suspects = std::mem::take(&mut suspicion.suspects);
        let (own, still): (Vec<_>, Vec<_>) =
            suspects.into_iter().partition(|(_, suspect)| suspect.last_at < began);
        suspicion.suspects = still.into_iter().collect();
        for (id, suspect) in own {
            let Some(((_, last), earlier)) = suspect.probes.split_last() else { continue };
            self.remembering(id, changes, |book, changes| {
                let Some(member) = book.members.get_mut(&id) else { return };
                for (probe, sent) in earlier {
                    member.trail.fail(*probe, *sent, false, member.alert_after);
                }
                book.add_failure(id, *last, &suspect.latest, now, changes);
            });
        }
    }

    /// When the sender last took a message; after a restart, when one of its messages last arrived.
    pub(super) fn last_good_of(&self, sender: &Arc<str>) -> Option<Timestamp> {
        let arrived = || {
            let members = self.members.values().filter(|member| member.sender == *sender);
            members.filter_map(|member| member.last_good_at).max()
        };
        self.last_accepted.get(sender).copied().or_else(arrived)
    }
}

impl Joining {
    /// Up to here, each failure is written at once.
    const FEW: usize = 16;
    /// For each recipient concerned, a pause between two writes: a row twice as long is written half as often. ...
    const PAUSE: Duration = Duration::from_millis(10);
    /// ... up to this, so that who is muted is not judged by a list that is too old.
    const LONGEST: Duration = Duration::from_secs(30);

    fn of(incident: &Incident) -> Self {
        let known: HashSet<RecipientId> = incident.details.concerned.iter().map(|c| c.id).collect();
        Self { known, unwritten: false, written_at: None }
    }

    fn pause(concerned: usize) -> Duration {
        if concerned <= Self::FEW {
            return Duration::ZERO;
        }
        Self::PAUSE.saturating_mul(u32::try_from(concerned).unwrap_or(u32::MAX)).min(Self::LONGEST)
    }
}
