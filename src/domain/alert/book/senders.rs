//! Incidents of a sender: nothing can be handed to its submission server.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Book, put};
use crate::domain::alert::suspicion::Suspicion;
use crate::domain::alert::{Change, Details, Evidence, Kind, Resolution, Scope};
use crate::domain::id::RecipientId;

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
        let concerned = self.members.get(&id).map(|member| member.concerned(id));
        let key = (Scope::Sender(Arc::clone(sender)), Kind::SenderUnreachable);
        if let Some(incident) = self.open.get_mut(&key) {
            incident.join(evidence, concerned);
            put(incident, changes);
            return;
        }
        self.suspicions.entry(Arc::clone(sender)).or_default().add(id, sent, evidence);
        self.open_if_ripe(sender, now, changes);
        self.keep_suspicion(sender, changes);
    }

    pub(super) fn open_if_ripe(&mut self, sender: &Arc<str>, now: Timestamp, changes: &mut Vec<Change>) {
        let Some(suspicion) = self.suspicions.get(sender) else { return };
        let users = self.members.values().filter(|member| member.sender == *sender).count();
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
        let key = (Scope::Sender(Arc::clone(sender)), Kind::SenderUnreachable);
        let channels = self.channels_of(|_, member| member.sender == *sender);
        self.begin(key, details, channels, now, changes);
        self.keep_suspicion(sender, changes);
    }

    pub(super) fn unanswered(
        &mut self,
        sender: &Arc<str>,
        id: RecipientId,
        evidence: &Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let concerned = self.members.get(&id).map(|member| member.concerned(id));
        let key = (Scope::Sender(Arc::clone(sender)), Kind::SenderUnreachable);
        if let Some(incident) = self.open.get_mut(&key) {
            incident.join(evidence, concerned);
            put(incident, changes);
            return;
        }
        let suspicion = self.suspicions.entry(Arc::clone(sender)).or_default();
        suspicion.unanswered += 1;
        let since = *suspicion.unanswered_since.get_or_insert(evidence.at());
        if suspicion.unanswered >= Suspicion::UNANSWERED && concerned.is_some() {
            let mut evidence = evidence.clone();
            if let Evidence::Unanswered { in_a_row, .. } = &mut evidence {
                *in_a_row = suspicion.unanswered;
            }
            let mut details = Details::new(since, evidence.at(), evidence);
            details.failures = suspicion.unanswered;
            details.last_good_at = self.last_good_of(sender);
            details.concerned = concerned.into_iter().collect();
            self.suspicions.remove(sender);
            let channels = self.channels_of(|_, member| member.sender == *sender);
            self.begin(key, details, channels, now, changes);
        }
        self.keep_suspicion(sender, changes);
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
        let key = (Scope::Sender(Arc::clone(sender)), Kind::SenderUnreachable);
        if self.open.get(&key).is_some_and(|incident| began > incident.details.failing_until) {
            self.resolve(&key, Resolution::Recovered { latency: None }, now, changes);
        }
        let Some(suspicion) = self.suspicions.get_mut(sender) else { return };
        suspicion.unanswered = 0;
        suspicion.unanswered_since = None;
        let cleared: Vec<RecipientId> = suspicion
            .suspects
            .iter()
            .filter(|(_, suspect)| suspect.last_at < began)
            .map(|(id, _)| *id)
            .collect();
        for id in cleared {
            let suspect = self.suspicions.get_mut(sender).and_then(|s| s.suspects.remove(&id));
            let Some(suspect) = suspect else { continue };
            let Some(((_, last), earlier)) = suspect.probes.split_last() else { continue };
            if let Some(member) = self.members.get_mut(&id) {
                for (probe, sent) in earlier {
                    member.trail.fail(*probe, *sent);
                }
            }
            self.failed(id, *last, &suspect.latest, now, changes);
        }
        self.keep_suspicion(sender, changes);
    }

    /// When the sender last took a message; after a restart, when one of its messages last arrived.
    pub(super) fn last_good_of(&self, sender: &Arc<str>) -> Option<Timestamp> {
        let arrived = || {
            let members = self.members.values().filter(|member| member.sender == *sender);
            members.filter_map(|member| member.last_good_at).max()
        };
        self.last_accepted.get(sender).copied().or_else(arrived)
    }

    pub(super) fn keep_suspicion(&mut self, sender: &Arc<str>, changes: &mut Vec<Change>) {
        if self.suspicions.get(sender).is_some_and(Suspicion::is_clean) {
            self.suspicions.remove(sender);
        }
        let state = self.suspicions.get(sender).and_then(|suspicion| serde_json::to_value(suspicion).ok());
        changes.push(Change::Keep { scope: Scope::Sender(Arc::clone(sender)), state });
    }
}
