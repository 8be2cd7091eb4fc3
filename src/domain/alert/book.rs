//! The book of incidents: hears what happens, says what opens, what resolves and what is to be told.

mod memory;
mod recipients;
mod roster;
mod senders;
mod shared;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::suspicion::Suspicion;
use super::trail::Trail;
use super::{
    Change, Channel, Details, Incident, IncidentId, Kind, Occurrence, Policy, Resolution, Scope, Telling,
    Waiting,
};
use crate::domain::id::RecipientId;
use crate::domain::probe::between;

/// Since when a mailbox cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Blindness {
    since: Timestamp,
    /// It was so before the start: since then counts, if this process sees it too.
    #[serde(skip)]
    here: bool,
}

/// Who is known to be concerned by a sender's incident, and when that was last written.
#[derive(Debug)]
struct Joining {
    known: HashSet<RecipientId>,
    /// There is something that is not in the database.
    unwritten: bool,
    written_at: Option<Timestamp>,
}

/// What the book knows of a recipient.
#[derive(Clone, Debug)]
struct Member {
    name: Arc<str>,
    address: Arc<str>,
    sender: Arc<str>,
    mailbox: Arc<str>,
    alert_after: usize,
    discord: bool,
    email: bool,
    trail: Trail,
    /// The database has a row of the trail.
    kept: bool,
    last_good_at: Option<Timestamp>,
}

/// See the module. Deterministic: the same occurrences make the same changes, but for the identities, which are made from
/// `entropy`.
#[derive(Debug)]
pub struct Book {
    policy: Policy,
    /// Active recipients.
    members: HashMap<RecipientId, Member>,
    open: BTreeMap<(Scope, Kind), Incident>,
    /// How many of each kind.
    counts: BTreeMap<Kind, usize>,
    /// What of the senders' incidents is not written yet.
    joinings: BTreeMap<Arc<str>, Joining>,
    suspicions: BTreeMap<Arc<str>, Suspicion>,
    last_accepted: HashMap<Arc<str>, Timestamp>,
    /// When each sender's last incident was over, by this process.
    healed: HashMap<Arc<str>, Timestamp>,
    blind: BTreeMap<Arc<str>, Blindness>,
    /// Which destinations of each channel are down.
    down: BTreeMap<&'static str, BTreeSet<Channel>>,
    /// What the database remembers of nobody that is still there.
    stale: Vec<Scope>,
    entropy: u64,
}

impl Book {
    /// Open incidents, in the order of their scopes.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values()
    }

    /// How many incidents of a kind are open.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.counts.get(&kind).copied().unwrap_or(0)
    }

    /// Hears of something. `waiting` are the recipient's probes that have no result yet, for an occurrence that concerns one.
    pub fn hear(&mut self, occurrence: Occurrence, waiting: &[Waiting], now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        match occurrence {
            Occurrence::Accepted { sender, began, at } => {
                self.accepted(&sender, began, at, now, &mut changes);
            }
            Occurrence::Unanswered { sender, recipient, began, evidence } => {
                // What hung while others got through is no row.
                let accepted = self.last_accepted.get(&sender);
                if accepted.is_none_or(|accepted| *accepted < began) {
                    self.unanswered(&sender, recipient, &evidence, now, &mut changes);
                }
            }
            Occurrence::Failed { recipient, sender, sent, began, evidence } => {
                let sent = sent.min(now);
                // Paused or deleted meanwhile: opens nothing.
                if self.members.contains_key(&recipient) {
                    if evidence.blames_sender() {
                        // The last ones to hang in an outage end after it is over; they are part of it.
                        if self.healed.get(&sender).is_some_and(|healed| began <= *healed) {
                            return changes;
                        }
                        self.fault(&sender, recipient, sent, &evidence, now, &mut changes);
                    } else {
                        self.failed(recipient, sent, &evidence, waiting, now, &mut changes);
                    }
                }
            }
            Occurrence::Delivered { recipient, sent, at, latency } => {
                let sent = sent.min(now);
                self.delivered(recipient, sent, at, latency, waiting, now, &mut changes);
            }
            Occurrence::ArrivedAfterAll { recipient, probe, latency, .. } => {
                self.arrived_after_all(recipient, probe, latency, waiting, now, &mut changes);
            }
            Occurrence::Undecided { recipient } => {
                self.remembering(recipient, &mut changes, |book, changes| {
                    book.evaluate(recipient, waiting, None, now, changes);
                });
            }
            Occurrence::Blind { mailbox, evidence } => self.blind(&mailbox, evidence, now, &mut changes),
            Occurrence::Sees { mailbox } => self.sees(&mailbox, now, &mut changes),
            Occurrence::ChannelDown { channel, evidence } => {
                self.channel_down(channel, evidence, now, &mut changes);
            }
            Occurrence::ChannelWorks { channel } => self.channel_works(&channel, now, &mut changes),
            Occurrence::Tick => self.tick(now, &mut changes),
        }
        changes
    }

    fn tick(&mut self, now: Timestamp, changes: &mut Vec<Change>) {
        let senders: Vec<Arc<str>> = self.suspicions.keys().cloned().collect();
        for sender in senders {
            self.suspecting(&sender, changes, |book, changes| book.open_if_ripe(&sender, now, changes));
        }
        let senders: Vec<Arc<str>> = self.joinings.keys().cloned().collect();
        for sender in senders {
            self.write_joined(&sender, now, changes);
        }
        let Some(every) = self.policy.reminder else { return };
        let due: Vec<(Scope, Kind)> = self
            .open
            .values()
            .filter(|incident| {
                let told = every.saturating_mul(incident.details.reminders.saturating_add(1));
                between(incident.opened_at, now) >= told
            })
            .map(|incident| (incident.scope.clone(), incident.kind))
            .collect();
        for key in due {
            let channels = self.channels_for(&key);
            let Some(incident) = self.open.get_mut(&key) else { continue };
            // After a long stop there is one reminder, not one for each that was missed.
            let passed = between(incident.opened_at, now).as_secs() / every.as_secs().max(1);
            incident.details.reminders =
                u32::try_from(passed).unwrap_or(u32::MAX).max(incident.details.reminders + 1);
            let (id, number) = (incident.id, incident.details.reminders);
            put(incident, changes);
            changes.push(Change::Tell { incident: id, telling: Telling::Reminder, number, channels });
        }
    }

    fn channels_for(&self, (scope, _): &(Scope, Kind)) -> Vec<Channel> {
        match scope {
            Scope::Recipient(id) => self.channels_of(self.members.get(id)),
            Scope::Sender(name) => self.channels_of(self.members.values().filter(|m| m.sender == *name)),
            Scope::Mailbox(name) => self.channels_of(self.members.values().filter(|m| m.mailbox == *name)),
            Scope::Channel(name) => {
                let down = self.down.get(&**name);
                let works = |channel: &&Channel| !down.is_some_and(|down| down.contains(*channel));
                self.policy.channels.iter().filter(works).cloned().collect()
            }
        }
    }

    /// The channels that any of these recipients has on.
    fn channels_of<'a>(&self, members: impl IntoIterator<Item = &'a Member>) -> Vec<Channel> {
        let (mut discord, mut email) = (false, false);
        for member in members {
            discord |= member.discord;
            email |= member.email;
        }
        let is_on = |channel: &&Channel| match channel {
            Channel::Discord => discord,
            Channel::Email(_) => email,
        };
        self.policy.channels.iter().filter(is_on).cloned().collect()
    }

    fn begin(&mut self, key: (Scope, Kind), details: Details, now: Timestamp, changes: &mut Vec<Change>) {
        let channels = self.channels_for(&key);
        // Counted, not drawn: when thousands open in one millisecond, no two may get the same identity.
        self.entropy = self.entropy.wrapping_add(1);
        let id = IncidentId::new(now, self.entropy);
        *self.counts.entry(key.1).or_default() += 1;
        let incident = Incident {
            id,
            kind: key.1,
            scope: key.0.clone(),
            opened_at: now,
            resolved_at: None,
            details,
            version: 1,
        };
        changes.push(Change::Put(Box::new(incident.clone())));
        changes.push(Change::Tell { incident: id, telling: Telling::Opened, number: 0, channels });
        self.open.insert(key, incident);
    }

    fn resolve(
        &mut self,
        key: &(Scope, Kind),
        resolution: Resolution,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let Some(mut incident) = self.open.remove(key) else { return };
        if let Some(count) = self.counts.get_mut(&key.1) {
            *count = count.saturating_sub(1);
        }
        match key {
            (Scope::Recipient(id), Kind::Missing) => {
                if let Some(member) = self.members.get_mut(id) {
                    member.trail.expect_none();
                }
            }
            (Scope::Sender(name), _) => {
                self.joinings.remove(name);
            }
            _ => {}
        }
        incident.resolved_at = Some(now);
        incident.details.resolution = Some(resolution);
        put(&mut incident, changes);
        let channels = Vec::new();
        changes.push(Change::Tell { incident: incident.id, telling: Telling::Resolved, number: 0, channels });
    }
}

fn put(incident: &mut Incident, changes: &mut Vec<Change>) {
    incident.version += 1;
    changes.push(Change::Put(Box::new(incident.clone())));
}
