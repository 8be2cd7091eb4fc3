//! Incidents of what everybody shares: mailboxes that cannot be read, channels that take nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Blindness, Book, put};
use crate::domain::alert::{Change, Channel, Details, Evidence, Kind, Resolution, Scope};
use crate::domain::probe::between;

impl Book {
    pub(super) fn blind(
        &mut self,
        mailbox: &Arc<str>,
        evidence: Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let scope = Scope::Mailbox(Arc::clone(mailbox));
        let key = (scope.clone(), Kind::MailboxUnreachable);
        if self.open.contains_key(&key) {
            return;
        }
        let seen_since = evidence.at();
        let before = self.blind.get(mailbox).cloned();
        // What this process sees it measures by its own clock, anew each time; what was before the start is on record.
        let since = match &before {
            Some(blindness) if !blindness.here => blindness.since.min(seen_since),
            _ => seen_since,
        };
        if before.is_none() {
            let blindness = Blindness { since, here: true };
            let state = serde_json::to_value(&blindness).ok();
            changes.push(Change::Keep { scope, state });
            self.blind.insert(Arc::clone(mailbox), blindness);
        }
        let due = between(since, now) >= self.policy.blind_after
            && between(seen_since, now) >= self.policy.blind_at_least.min(self.policy.blind_after);
        if !due {
            return;
        }
        let concerned = self.concerned_by(|member| member.mailbox == *mailbox);
        // With nobody who waits for its mail there is nobody to tell.
        if concerned.is_empty() {
            return;
        }
        let members = self.members.values().filter(|member| member.mailbox == *mailbox);
        let last_good_at = members.filter_map(|member| member.last_good_at).max();
        let mut details = Details::new(since, now, evidence);
        details.last_good_at = last_good_at;
        details.concerned = concerned;
        self.begin(key, details, now, changes);
    }

    pub(super) fn sees(&mut self, mailbox: &Arc<str>, now: Timestamp, changes: &mut Vec<Change>) {
        let scope = Scope::Mailbox(Arc::clone(mailbox));
        if self.blind.remove(mailbox).is_some() {
            changes.push(Change::Keep { scope: scope.clone(), state: None });
        }
        self.resolve(
            &(scope, Kind::MailboxUnreachable),
            Resolution::Recovered { latency: None },
            now,
            changes,
        );
    }

    pub(super) fn channel_down(
        &mut self,
        channel: Channel,
        evidence: Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let name = channel.name();
        let mut new = false;
        self.downing(name, changes, |down| {
            new = down.insert(channel);
            new
        });
        let key = (Scope::Channel(Arc::from(name)), Kind::ChannelDown);
        if let Some(incident) = self.open.get_mut(&key) {
            if new && incident.details.latest != evidence {
                incident.details.latest = evidence;
                put(incident, changes);
            }
            return;
        }
        let details = Details::new(evidence.at(), now, evidence);
        self.begin(key, details, now, changes);
    }

    pub(super) fn channel_works(&mut self, channel: &Channel, now: Timestamp, changes: &mut Vec<Change>) {
        let name = channel.name();
        self.downing(name, changes, |down| down.remove(channel));
        if self.down.get(name).is_none_or(BTreeSet::is_empty) {
            let key = (Scope::Channel(Arc::from(name)), Kind::ChannelDown);
            self.resolve(&key, Resolution::Recovered { latency: None }, now, changes);
        }
    }
}
