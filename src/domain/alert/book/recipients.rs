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
        waiting: &[Waiting],
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let open = |book: &Self, kind| book.open.contains_key(&(Scope::Recipient(id), kind));
        let known = [Kind::Missing, Kind::SendFailure].map(|kind| open(self, kind));
        self.remembering(id, changes, |book, changes| {
            book.add_failure(id, sent, evidence, now, changes);
            // It may have been the last that a newer good one waited for. What it has just opened is told first.
            if [Kind::Missing, Kind::SendFailure].map(|kind| open(book, kind)) == known {
                book.resolve_by_news(id, waiting, None, now, changes);
            }
        });
    }

    /// One more failure of a recipient.
    pub(super) fn add_failure(
        &mut self,
        id: RecipientId,
        sent: Timestamp,
        evidence: &Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let (Some(member), Some(probe)) = (self.members.get_mut(&id), evidence.probe()) else { return };
        let lost = matches!(evidence, Evidence::NotArrived { .. } | Evidence::Bounced { .. });
        let kind = if lost { Kind::Missing } else { Kind::SendFailure };
        let row = member.trail.fail(probe, sent, lost, member.alert_after);
        let key = (Scope::Recipient(id), kind);
        if let Some(incident) = self.open.get_mut(&key) {
            let details = &mut incident.details;
            details.failures = details.failures.saturating_add(1);
            details.failing_until = details.failing_until.max(sent);
            details.latest = evidence.clone();
            if sent < details.since && !member.trail.has_good_between(sent, details.since) {
                details.since = row.first_sent.min(sent);
                details.first = evidence.clone();
            }
            if lost {
                details.outstanding = details.outstanding.saturating_add(1);
                member.trail.expect([probe]);
            }
            put(incident, changes);
        } else if row.length >= member.alert_after || matches!(evidence, Evidence::Bounced { .. }) {
            let mut details = Details::new(row.first_sent, row.last_sent, evidence.clone());
            details.failures = u32::try_from(row.length).unwrap_or(u32::MAX);
            details.last_good_at = member.last_good_at;
            details.concerned = vec![member.concerned(id)];
            if lost {
                details.outstanding = u32::try_from(row.lost.len()).unwrap_or(u32::MAX);
                member.trail.expect(row.lost);
            }
            self.begin(key, details, now, changes);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "an occurrence, spelt out")]
    pub(super) fn delivered(
        &mut self,
        id: RecipientId,
        sent: Timestamp,
        at: Timestamp,
        latency: Option<Duration>,
        waiting: &[Waiting],
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        self.remembering(id, changes, |book, changes| {
            let Some(member) = book.members.get_mut(&id) else { return };
            member.trail.good(sent);
            member.last_good_at = Some(member.last_good_at.map_or(at, |before| before.max(at)));
            book.evaluate(id, waiting, latency, now, changes);
        });
    }

    pub(super) fn arrived_after_all(
        &mut self,
        id: RecipientId,
        probe: ProbeId,
        latency: Duration,
        waiting: &[Waiting],
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        self.remembering(id, changes, |book, changes| {
            let Some(member) = book.members.get_mut(&id) else { return };
            if member.trail.forgive(probe)
                && let Some(incident) = book.open.get_mut(&(Scope::Recipient(id), Kind::Missing))
            {
                let details = &mut incident.details;
                details.outstanding = details.outstanding.saturating_sub(1);
                details.slowest = details.slowest.max(latency);
                put(incident, changes);
            }
            book.evaluate(id, waiting, None, now, changes);
        });
    }

    /// Resolves what there is newer evidence against, and lets go of what does not matter any more.
    pub(super) fn evaluate(
        &mut self,
        id: RecipientId,
        waiting: &[Waiting],
        latency: Option<Duration>,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        self.resolve_by_news(id, waiting, latency, now, changes);
        if let Some(member) = self.members.get_mut(&id) {
            let suspect = self.suspicions.get(&member.sender).and_then(|s| s.suspects.get(&id));
            member.trail.prune(waiting, suspect.map_or(&[], |suspect| &suspect.probes));
        }
    }

    fn resolve_by_news(
        &mut self,
        id: RecipientId,
        waiting: &[Waiting],
        latency: Option<Duration>,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let overdue = waiting.iter().any(|waiting| waiting.overdue);
        for kind in [Kind::Missing, Kind::SendFailure] {
            let key = (Scope::Recipient(id), kind);
            let (Some(incident), Some(member)) = (self.open.get(&key), self.members.get(&id)) else {
                continue;
            };
            let details = &incident.details;
            if member.trail.has_settled_good_after(details.failing_until, waiting) {
                self.resolve(&key, Resolution::Recovered { latency }, now, changes);
            } else if kind == Kind::Missing && details.outstanding == 0 && !overdue {
                let slowest = details.slowest;
                self.resolve(&key, Resolution::Arrived { slowest }, now, changes);
            }
        }
    }
}
