//! Incidents of one recipient: its mail does not arrive, or is refused.

use std::time::Duration;

use jiff::Timestamp;

use super::{Book, put};
use crate::domain::alert::{Change, Details, Evidence, Kind, Resolution, Scope, Waiting};
use crate::domain::id::{ProbeId, RecipientId};

impl Book {
    pub(super) fn failed(
        &mut self,
        id: RecipientId,
        sent: Timestamp,
        evidence: &Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let Some(member) = self.members.get_mut(&id) else { return };
        let (kind, lost) = match evidence {
            Evidence::NotArrived { .. } | Evidence::Bounced { .. } => (Kind::Missing, 1),
            _ => (Kind::SendFailure, 0),
        };
        let probe = evidence.probe();
        let in_row = probe.map_or(1, |probe| member.trail.fail(probe, sent));
        let began = member.trail.row_began(sent);
        let enough = in_row >= member.alert_after || matches!(evidence, Evidence::Bounced { .. });
        let concerned = vec![member.concerned(id)];
        let last_good_at = member.last_good_at;
        let key = (Scope::Recipient(id), kind);
        if let Some(incident) = self.open.get_mut(&key) {
            let details = &mut incident.details;
            details.failures += 1;
            details.outstanding += lost;
            details.failing_until = details.failing_until.max(sent);
            details.latest = evidence.clone();
            put(incident, changes);
        } else if enough {
            let failures = u32::try_from(in_row).unwrap_or(u32::MAX);
            let mut details = Details::new(began, sent, evidence.clone());
            details.failures = failures;
            details.outstanding = if lost > 0 { failures } else { 0 };
            details.last_good_at = last_good_at;
            details.concerned = concerned;
            let channels = self.channels_of(|member_id, _| member_id == id);
            self.begin(key, details, channels, now, changes);
        }
        self.keep_trail(id, changes);
    }

    pub(super) fn arrived_after_all(
        &mut self,
        id: RecipientId,
        probe: ProbeId,
        sent: Timestamp,
        latency: Duration,
        changes: &mut Vec<Change>,
    ) {
        if let Some(member) = self.members.get_mut(&id) {
            let clean = member.trail.is_clean();
            member.trail.forgive(probe);
            if !clean {
                self.keep_trail(id, changes);
            }
        }
        if let Some(incident) = self.open.get_mut(&(Scope::Recipient(id), Kind::Missing))
            && sent >= incident.details.since
            && incident.details.outstanding > 0
        {
            incident.details.outstanding -= 1;
            incident.details.slowest = incident.details.slowest.max(latency);
            put(incident, changes);
        }
    }

    /// Resolves what there is newer evidence against.
    pub(super) fn evaluate(
        &mut self,
        id: RecipientId,
        waiting: &[Waiting],
        latency: Option<Duration>,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let oldest = waiting.iter().map(|waiting| waiting.sent).min();
        let overdue = waiting.iter().any(|waiting| waiting.overdue);
        for kind in [Kind::Missing, Kind::SendFailure] {
            let key = (Scope::Recipient(id), kind);
            let (Some(incident), Some(member)) = (self.open.get(&key), self.members.get(&id)) else {
                continue;
            };
            let details = &incident.details;
            if member.trail.has_settled_good_after(details.failing_until, oldest) {
                self.resolve(&key, Resolution::Recovered { latency }, now, changes);
            } else if kind == Kind::Missing && details.outstanding == 0 && !overdue {
                let slowest = details.slowest;
                self.resolve(&key, Resolution::Arrived { slowest }, now, changes);
            }
        }
        if let Some(member) = self.members.get_mut(&id) {
            let clean = member.trail.is_clean();
            member.trail.prune(oldest);
            if !clean {
                self.keep_trail(id, changes);
            }
        }
    }

    pub(super) fn keep_trail(&self, id: RecipientId, changes: &mut Vec<Change>) {
        let trail = self.members.get(&id).map(|member| &member.trail).filter(|trail| !trail.is_clean());
        let state = trail.and_then(|trail| serde_json::to_value(trail).ok());
        changes.push(Change::Keep { scope: Scope::Recipient(id), state });
    }
}
