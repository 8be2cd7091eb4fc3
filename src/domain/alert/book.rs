//! The book of incidents: hears what happens, says what opens, what resolves and what is to be told.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::suspicion::Suspicion;
use super::trail::Trail;
use super::{Channel, Concerned, Details, Evidence, Incident, IncidentId, Kind, Resolution, Scope, Telling};
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::between;
use crate::domain::recipient::Recipient;

/// The bounds that the book goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How long a fault of a sender that one recipient met waits for a second one.
    pub second_opinion: Duration,
    /// A mailbox that cannot be read for longer is an incident.
    pub blind_after: Duration,
    /// ... of which at least this much was seen by this process: what was before the start may be our own absence.
    pub blind_at_least: Duration,
    /// How often an open incident is told again; `None`: never.
    pub reminder: Option<Duration>,
    /// Where things are told.
    pub channels: Vec<Channel>,
}

/// Something that happens. Times are database time.
#[derive(Clone, Debug, PartialEq)]
pub enum Occurrence {
    /// A sender's server took a message; the attempt began at `began`.
    Accepted { sender: Arc<str>, began: Timestamp, at: Timestamp },
    /// A submission ended after its final dot without an answer.
    Unanswered { sender: Arc<str>, recipient: RecipientId, evidence: Evidence },
    /// A probe, sent at `sent`, failed: not sent, not arrived, or bounced.
    Failed { recipient: RecipientId, sender: Arc<str>, sent: Timestamp, evidence: Evidence },
    /// A probe arrived in time.
    Delivered { recipient: RecipientId, sent: Timestamp, at: Timestamp, latency: Option<Duration> },
    /// A probe that had been found missing, or had bounced, arrived.
    ArrivedAfterAll { recipient: RecipientId, probe: ProbeId, sent: Timestamp, latency: Duration },
    /// A probe got a result that says neither good nor bad: late, or not to be judged.
    Undecided { recipient: RecipientId },
    /// A folder of a mailbox cannot be looked through.
    Blind { mailbox: Arc<str>, evidence: Evidence },
    /// Every folder of a mailbox was looked through.
    Sees { mailbox: Arc<str> },
    /// A channel has been failing for too long, or refused us.
    ChannelDown { channel: Channel, evidence: Evidence },
    /// A channel took a message.
    ChannelWorks { channel: Channel },
    /// Time went by.
    Tick,
}

/// What follows: rows to be written in the transaction of what caused them, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The incident as it is now.
    Put(Box<Incident>),
    /// To be told on these channels; a resolution on those that heard of the incident, whatever is configured now.
    Tell { incident: IncidentId, telling: Telling, number: u32, channels: Vec<Channel>, at: Timestamp },
    /// What is remembered of a scope besides its incidents; `None`: nothing any more.
    Keep { scope: Scope, state: Option<serde_json::Value> },
}

/// A probe that was accepted (or may have been) and has no result yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub sent: Timestamp,
    /// Its deadline has passed.
    pub overdue: bool,
}

/// What the database remembers of the book.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub open: Vec<Incident>,
    pub states: Vec<(Scope, serde_json::Value)>,
    /// Recipients with the time of their last good delivery and of the sending of that probe.
    pub last_good: Vec<(RecipientId, Timestamp, Timestamp)>,
}

/// Since when a mailbox cannot be read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Blindness {
    since: Timestamp,
    evidence: Evidence,
    /// Since when this process knows.
    #[serde(skip)]
    known: Option<Timestamp>,
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
    pub fn new(policy: Policy, snapshot: Snapshot, recipients: &[Recipient], entropy: u64) -> Self {
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
        for incident in snapshot.open {
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
                self.accepted(&sender, began, at, waiting, now, &mut changes)
            }
            Occurrence::Unanswered { sender, recipient, evidence } => {
                self.unanswered(&sender, recipient, &evidence, now, &mut changes);
            }
            Occurrence::Failed { recipient, sender, sent, evidence } => {
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
                self.channel_down(channel, evidence, now, &mut changes)
            }
            Occurrence::ChannelWorks { channel } => self.channel_works(&channel, now, &mut changes),
            Occurrence::Tick => self.tick(now, &mut changes),
        }
        changes
    }

    // ── recipients ──

    fn failed(
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
            let details = Details {
                since: began,
                failing_until: sent,
                failures,
                outstanding: if lost > 0 { failures } else { 0 },
                slowest: Duration::ZERO,
                first: evidence.clone(),
                latest: evidence.clone(),
                last_good_at,
                concerned,
                reminders: 0,
                resolution: None,
            };
            let channels = self.channels_of(|member_id, _| member_id == id);
            self.begin(key, details, channels, now, changes);
        }
        self.keep_trail(id, changes);
    }

    fn arrived_after_all(
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
    fn evaluate(
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

    fn keep_trail(&self, id: RecipientId, changes: &mut Vec<Change>) {
        let trail = self.members.get(&id).map(|member| &member.trail).filter(|trail| !trail.is_clean());
        let state = trail.and_then(|trail| serde_json::to_value(trail).ok());
        changes.push(Change::Keep { scope: Scope::Recipient(id), state });
    }

    // ── senders ──

    /// A fault of the sender that one recipient met.
    fn fault(
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

    fn open_if_ripe(&mut self, sender: &Arc<str>, now: Timestamp, changes: &mut Vec<Change>) {
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
        let details = Details {
            since: first.first_at,
            failing_until: last.last_at,
            failures: u32::try_from(failures).unwrap_or(u32::MAX),
            outstanding: 0,
            slowest: Duration::ZERO,
            first: first.first.clone(),
            latest: last.latest.clone(),
            last_good_at: self.last_accepted.get(sender).copied(),
            concerned: suspects
                .iter()
                .filter_map(|(id, _)| self.members.get(id).map(|member| member.concerned(**id)))
                .collect(),
            reminders: 0,
            resolution: None,
        };
        let key = (Scope::Sender(Arc::clone(sender)), Kind::SenderUnreachable);
        let channels = self.channels_of(|_, member| member.sender == *sender);
        self.begin(key, details, channels, now, changes);
        self.keep_suspicion(sender, changes);
    }

    fn unanswered(
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
            let details = Details {
                since,
                failing_until: evidence.at(),
                failures: suspicion.unanswered,
                outstanding: 0,
                slowest: Duration::ZERO,
                first: evidence.clone(),
                latest: evidence,
                last_good_at: self.last_accepted.get(sender).copied(),
                concerned: concerned.into_iter().collect(),
                reminders: 0,
                resolution: None,
            };
            self.suspicions.remove(sender);
            let channels = self.channels_of(|_, member| member.sender == *sender);
            self.begin(key, details, channels, now, changes);
        }
        self.keep_suspicion(sender, changes);
    }

    /// The server took a message: faults from before are over. Those that were not the sender's incident were the
    /// recipients' own.
    fn accepted(
        &mut self,
        sender: &Arc<str>,
        began: Timestamp,
        at: Timestamp,
        _waiting: &[Waiting],
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

    fn keep_suspicion(&mut self, sender: &Arc<str>, changes: &mut Vec<Change>) {
        if self.suspicions.get(sender).is_some_and(Suspicion::is_clean) {
            self.suspicions.remove(sender);
        }
        let state = self.suspicions.get(sender).and_then(|suspicion| serde_json::to_value(suspicion).ok());
        changes.push(Change::Keep { scope: Scope::Sender(Arc::clone(sender)), state });
    }

    // ── mailboxes ──

    fn blind(&mut self, mailbox: &Arc<str>, evidence: Evidence, now: Timestamp, changes: &mut Vec<Change>) {
        let scope = Scope::Mailbox(Arc::clone(mailbox));
        let key = (scope.clone(), Kind::MailboxUnreachable);
        if self.open.contains_key(&key) {
            return;
        }
        let known = self.blind.get(mailbox).and_then(|blindness| blindness.known);
        let since = self.blind.get(mailbox).map_or(evidence.at(), |blindness| blindness.since);
        let fresh = !self.blind.contains_key(mailbox);
        let known = known.unwrap_or(now);
        let blindness = Blindness { since, evidence, known: Some(known) };
        if fresh {
            let state = serde_json::to_value(&blindness).ok();
            changes.push(Change::Keep { scope: scope.clone(), state });
        }
        let due = between(since, now) >= self.policy.blind_after
            && between(known, now) >= self.policy.blind_at_least.min(self.policy.blind_after);
        let concerned: Vec<Concerned> = self.concerned_by(|member| member.mailbox == *mailbox);
        self.blind.insert(Arc::clone(mailbox), blindness.clone());
        // With nobody who waits for its mail there is nobody to tell.
        if due && !concerned.is_empty() {
            let last_good_at = self
                .members
                .values()
                .filter(|member| member.mailbox == *mailbox)
                .filter_map(|member| member.last_good_at)
                .max();
            let details = Details {
                since,
                failing_until: now,
                failures: 1,
                outstanding: 0,
                slowest: Duration::ZERO,
                first: blindness.evidence.clone(),
                latest: blindness.evidence,
                last_good_at,
                concerned,
                reminders: 0,
                resolution: None,
            };
            let channels = self.channels_of(|_, member| member.mailbox == *mailbox);
            self.begin(key, details, channels, now, changes);
        }
    }

    fn sees(&mut self, mailbox: &Arc<str>, now: Timestamp, changes: &mut Vec<Change>) {
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

    // ── channels ──

    fn channel_down(
        &mut self,
        channel: Channel,
        evidence: Evidence,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let name = channel.name();
        let down = self.down.entry(name).or_default();
        let new = down.insert(channel);
        let key = (Scope::Channel(Arc::from(name)), Kind::ChannelDown);
        if let Some(incident) = self.open.get_mut(&key) {
            if new && incident.details.latest != evidence {
                incident.details.latest = evidence;
                put(incident, changes);
            }
            return;
        }
        let channels: Vec<Channel> =
            self.policy.channels.iter().filter(|channel| !down.contains(channel)).cloned().collect();
        let details = Details {
            since: evidence.at(),
            failing_until: now,
            failures: 1,
            outstanding: 0,
            slowest: Duration::ZERO,
            first: evidence.clone(),
            latest: evidence,
            last_good_at: None,
            concerned: Vec::new(),
            reminders: 0,
            resolution: None,
        };
        self.begin(key, details, channels, now, changes);
    }

    fn channel_works(&mut self, channel: &Channel, now: Timestamp, changes: &mut Vec<Change>) {
        let name = channel.name();
        let down = self.down.entry(name).or_default();
        down.remove(channel);
        if down.is_empty() {
            let key = (Scope::Channel(Arc::from(name)), Kind::ChannelDown);
            self.resolve(&key, Resolution::Recovered { latency: None }, now, changes);
        }
    }

    // ── all ──

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
