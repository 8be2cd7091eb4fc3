//! The book of incidents: hears what happens, says what opens, what resolves and what is to be told.

mod recipients;
mod senders;
mod shared;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::suspicion::Suspicion;
use super::trail::Trail;
use super::{
    Change, Channel, Concerned, Details, Evidence, Incident, IncidentId, Kind, Occurrence, Policy,
    Resolution, Scope, Snapshot, Telling, Waiting,
};
use crate::domain::id::RecipientId;
use crate::domain::probe::between;
use crate::domain::recipient::Recipient;

/// Since when a mailbox cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Blindness {
    since: Timestamp,
    /// It was so before the start: since then counts, if this process sees it too.
    #[serde(skip)]
    here: bool,
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
    suspicions: BTreeMap<Arc<str>, Suspicion>,
    last_accepted: HashMap<Arc<str>, Timestamp>,
    blind: BTreeMap<Arc<str>, Blindness>,
    /// Which destinations of each channel are down.
    down: BTreeMap<&'static str, BTreeSet<Channel>>,
    entropy: u64,
}

impl Book {
    /// Takes up what the database remembers. Recipients are told by [`Book::set_recipients`].
    #[must_use]
    pub fn new(
        policy: Policy,
        snapshot: Snapshot,
        recipients: &[Recipient],
        now: Timestamp,
        entropy: u64,
    ) -> Self {
        let mut book = Self {
            policy,
            members: HashMap::new(),
            open: BTreeMap::new(),
            suspicions: BTreeMap::new(),
            last_accepted: HashMap::new(),
            blind: BTreeMap::new(),
            down: BTreeMap::new(),
            entropy,
        };
        for mut incident in snapshot.open {
            // The clock may have been set back while nobody was there: nothing failed later than now.
            incident.details.failing_until = incident.details.failing_until.min(now);
            book.open.insert((incident.scope.clone(), incident.kind), incident);
        }
        for recipient in recipients.iter().filter(|recipient| recipient.active) {
            book.meet(recipient);
        }
        for (id, at, sent) in snapshot.last_good {
            if let Some(member) = book.members.get_mut(&id) {
                member.last_good_at = Some(at);
                member.trail.good(sent);
            }
        }
        for (scope, state) in snapshot.states {
            book.recall(scope, state);
        }
        book
    }

    /// A state that does not read is none: it holds only what is not an incident yet.
    fn recall(&mut self, scope: Scope, state: serde_json::Value) {
        match scope {
            Scope::Recipient(id) => {
                if let (Some(member), Ok(trail)) = (self.members.get_mut(&id), serde_json::from_value(state))
                {
                    member.trail = trail;
                }
            }
            Scope::Sender(name) => {
                if let Ok(suspicion) = serde_json::from_value(state) {
                    self.suspicions.insert(name, suspicion);
                }
            }
            Scope::Mailbox(name) => {
                if let Ok(blindness) = serde_json::from_value(state) {
                    self.blind.insert(name, blindness);
                }
            }
            Scope::Channel(_) => {}
        }
    }

    /// A recipient that is new, or changed.
    pub fn meet(&mut self, recipient: &Recipient) {
        if !recipient.active {
            return;
        }
        let known = self.members.remove(&recipient.id);
        let (trail, last_good_at) =
            known.map(|member| (member.trail, member.last_good_at)).unwrap_or_default();
        let member = Member {
            name: Arc::clone(&recipient.name),
            address: Arc::clone(&recipient.address),
            sender: Arc::clone(&recipient.sender),
            mailbox: Arc::clone(&recipient.mailbox),
            alert_after: usize::try_from(recipient.alert_after).unwrap_or(1).max(1),
            discord: recipient.discord,
            email: recipient.email,
            trail,
            last_good_at,
        };
        self.members.insert(recipient.id, member);
    }

    pub fn knows(&self, recipient: RecipientId) -> bool {
        self.members.contains_key(&recipient)
    }

    /// Takes the present list of recipients and of accounts. Incidents of what is paused or gone are over.
    pub fn set_recipients(
        &mut self,
        recipients: &[Recipient],
        senders: &HashSet<Arc<str>>,
        mailboxes: &HashSet<Arc<str>>,
        now: Timestamp,
    ) -> Vec<Change> {
        let active: HashSet<RecipientId> =
            recipients.iter().filter(|recipient| recipient.active).map(|recipient| recipient.id).collect();
        let mut changes = Vec::new();
        let gone: Vec<RecipientId> = self.members.keys().copied().filter(|id| !active.contains(id)).collect();
        for id in gone {
            if self.members.remove(&id).is_some_and(|member| !member.trail.is_clean()) {
                changes.push(Change::Keep { scope: Scope::Recipient(id), state: None });
            }
            self.unsuspect(id, &mut changes);
        }
        for recipient in recipients {
            self.meet(recipient);
        }
        let ended: Vec<((Scope, Kind), Resolution)> = self
            .open
            .values()
            .filter_map(|incident| {
                let resolution = match &incident.scope {
                    Scope::Recipient(id) if !active.contains(id) => Resolution::Paused,
                    Scope::Sender(name) if !senders.contains(name) => Resolution::Removed,
                    Scope::Mailbox(name) if !mailboxes.contains(name) => Resolution::Removed,
                    Scope::Sender(name) if !self.members.values().any(|m| m.sender == *name) => {
                        Resolution::Paused
                    }
                    Scope::Mailbox(name) if !self.members.values().any(|m| m.mailbox == *name) => {
                        Resolution::Paused
                    }
                    Scope::Channel(name) if !self.policy.channels.iter().any(|c| c.name() == &**name) => {
                        Resolution::Removed
                    }
                    _ => return None,
                };
                Some(((incident.scope.clone(), incident.kind), resolution))
            })
            .collect();
        for (key, resolution) in ended {
            self.resolve(&key, resolution, now, &mut changes);
        }
        changes
    }

    /// The clock was set: what is remembered moves with it, so that what comes next is newer than what was.
    pub fn shift(&mut self, by: SignedDuration) {
        let moved = |at: &mut Timestamp| *at = at.checked_add(by).unwrap_or(*at);
        for incident in self.open.values_mut() {
            moved(&mut incident.details.failing_until);
        }
        for member in self.members.values_mut() {
            member.trail.shift(by);
        }
        for suspect in self.suspicions.values_mut().flat_map(|suspicion| suspicion.suspects.values_mut()) {
            moved(&mut suspect.first_at);
            moved(&mut suspect.last_at);
        }
    }

    fn unsuspect(&mut self, id: RecipientId, changes: &mut Vec<Change>) {
        let mut touched = Vec::new();
        for (name, suspicion) in &mut self.suspicions {
            if suspicion.suspects.remove(&id).is_some() {
                touched.push(Arc::clone(name));
            }
        }
        for name in touched {
            self.keep_suspicion(&name, changes);
        }
    }

    /// Open incidents, in the order of their scopes.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values()
    }

    /// How many incidents of a kind are open.
    #[must_use]
    pub fn count(&self, kind: Kind) -> usize {
        self.open.keys().filter(|(_, k)| *k == kind).count()
    }

    /// Hears of something. `waiting` are the recipient's probes that have no result yet, for an occurrence that concerns one.
    pub fn hear(&mut self, occurrence: Occurrence, waiting: &[Waiting], now: Timestamp) -> Vec<Change> {
        let mut changes = Vec::new();
        match occurrence {
            Occurrence::Accepted { sender, began, at } => {
                self.accepted(&sender, began, at, now, &mut changes);
            }
            Occurrence::Unanswered { sender, recipient, evidence } => {
                self.unanswered(&sender, recipient, &evidence, now, &mut changes);
            }
            Occurrence::Failed { recipient, sender, sent, evidence } => {
                let sent = sent.min(now);
                // Paused or deleted meanwhile: opens nothing.
                if self.members.contains_key(&recipient) {
                    if evidence.blames_sender() {
                        self.fault(&sender, recipient, sent, &evidence, now, &mut changes);
                    } else {
                        self.failed(recipient, sent, &evidence, now, &mut changes);
                    }
                }
            }
            Occurrence::Delivered { recipient, sent, at, latency } => {
                if let Some(member) = self.members.get_mut(&recipient) {
                    member.trail.good(sent);
                    member.last_good_at = Some(member.last_good_at.map_or(at, |before| before.max(at)));
                    self.evaluate(recipient, waiting, latency, now, &mut changes);
                }
            }
            Occurrence::ArrivedAfterAll { recipient, probe, sent, latency } => {
                self.arrived_after_all(recipient, probe, sent, latency, &mut changes);
                self.evaluate(recipient, waiting, None, now, &mut changes);
            }
            Occurrence::Undecided { recipient } => self.evaluate(recipient, waiting, None, now, &mut changes),
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
            let mut opened = Vec::new();
            self.open_if_ripe(&sender, now, &mut opened);
            changes.append(&mut opened);
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
            changes.push(Change::Tell {
                incident: id,
                telling: Telling::Reminder,
                number,
                channels,
                at: now,
            });
        }
    }

    fn channels_for(&self, (scope, _): &(Scope, Kind)) -> Vec<Channel> {
        match scope {
            Scope::Recipient(id) => self.channels_of(|member, _| member == *id),
            Scope::Sender(name) => self.channels_of(|_, member| member.sender == *name),
            Scope::Mailbox(name) => self.channels_of(|_, member| member.mailbox == *name),
            Scope::Channel(name) => {
                let down = self.down.get(&**name);
                let works = |channel: &&Channel| !down.is_some_and(|down| down.contains(*channel));
                self.policy.channels.iter().filter(works).cloned().collect()
            }
        }
    }

    fn concerned_by(&self, which: impl Fn(&Member) -> bool) -> Vec<Concerned> {
        let mut concerned: Vec<Concerned> = self
            .members
            .iter()
            .filter(|(_, member)| which(member))
            .map(|(id, member)| member.concerned(*id))
            .collect();
        concerned.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        concerned
    }

    /// The channels that any of these recipients has on.
    fn channels_of(&self, which: impl Fn(RecipientId, &Member) -> bool) -> Vec<Channel> {
        let (mut discord, mut email) = (false, false);
        for (_, member) in self.members.iter().filter(|(id, member)| which(**id, member)) {
            discord |= member.discord;
            email |= member.email;
        }
        let is_on = |channel: &&Channel| match channel {
            Channel::Discord => discord,
            Channel::Email(_) => email,
        };
        self.policy.channels.iter().filter(is_on).cloned().collect()
    }

    fn begin(
        &mut self,
        key: (Scope, Kind),
        details: Details,
        channels: Vec<Channel>,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        // Any step that spreads well over the bits that the identity takes.
        self.entropy =
            self.entropy.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let id = IncidentId::new(now, self.entropy >> 32);
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
        changes.push(Change::Tell { incident: id, telling: Telling::Opened, number: 0, channels, at: now });
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
        incident.resolved_at = Some(now);
        incident.details.resolution = Some(resolution);
        put(&mut incident, changes);
        let channels = Vec::new();
        changes.push(Change::Tell {
            incident: incident.id,
            telling: Telling::Resolved,
            number: 0,
            channels,
            at: now,
        });
    }
}

impl Member {
    fn concerned(&self, id: RecipientId) -> Concerned {
        Concerned { id, name: self.name.to_string(), address: self.address.to_string() }
    }
}

impl Incident {
    /// One more failure of the same cause.
    fn join(&mut self, evidence: &Evidence, concerned: Option<Concerned>) {
        let details = &mut self.details;
        details.failures += 1;
        details.failing_until = details.failing_until.max(evidence.at());
        details.latest = evidence.clone();
        if let Some(concerned) = concerned.filter(|new| !details.concerned.iter().any(|c| c.id == new.id)) {
            details.concerned.push(concerned);
        }
    }
}

fn put(incident: &mut Incident, changes: &mut Vec<Change>) {
    incident.version += 1;
    changes.push(Change::Put(Box::new(incident.clone())));
}
