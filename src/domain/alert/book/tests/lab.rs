//! A book with a database that takes every change, and says what was told.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::alert::{
    Book, Change, Channel, Details, Evidence, Incident, IncidentId, Kind, Occurrence, Policy, Scope,
    Snapshot, Telling, Waiting,
};
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::recipient::{Recipient, ReturnMode};
use crate::domain::submission::{Phase, Reason, Reply};

pub(super) const SECOND_OPINION: i64 = 300;
pub(super) const BLIND_AFTER: i64 = 180;
pub(super) const BLIND_AT_LEAST: i64 = 15;
pub(super) const REMINDER: i64 = 3600;

/// A moment, in seconds after the beginning.
pub(super) fn t(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

/// The probe that a recipient was sent at a moment.
pub(super) fn probe(id: i32, sent: i64) -> ProbeId {
    ProbeId::new(sent.unsigned_abs(), RecipientId(id), 1)
}

pub(super) fn discord() -> Channel {
    Channel::Discord
}

pub(super) fn email() -> Channel {
    Channel::Email("ops@lab.test".into())
}

pub(super) fn policy() -> Policy {
    Policy {
        second_opinion: seconds(SECOND_OPINION),
        blind_after: seconds(BLIND_AFTER),
        blind_at_least: seconds(BLIND_AT_LEAST),
        reminder: Some(seconds(REMINDER)),
        channels: vec![discord(), email()],
    }
}

/// A recipient of the sender `s` and the mailbox `m`.
pub(super) fn recipient(id: i32, alert_after: i32) -> Recipient {
    Recipient {
        id: RecipientId(id),
        name: format!("r{id}").into(),
        address: format!("r{id}@lab.test").into(),
        sender: "s".into(),
        mailbox: "m".into(),
        return_mode: ReturnMode::Direct,
        interval: seconds(60),
        alert_threshold: seconds(60),
        alert_after,
        discord: true,
        email: true,
        muted_until: None,
        active: true,
        provisioned: false,
        next_due_at: t(0),
        version: 1,
    }
}

pub(super) fn not_arrived(id: i32, sent: i64, at: i64) -> Evidence {
    Evidence::NotArrived {
        probe: probe(id, sent),
        accepted_at: t(sent),
        deadline_at: t(at),
        folders: vec!["INBOX".into()],
        looked_at: t(at),
        queue_id: None,
        reply: None,
        misrouted: 0,
    }
}

pub(super) fn bounced(id: i32, sent: i64, at: i64) -> Evidence {
    Evidence::Bounced {
        probe: probe(id, sent),
        accepted_at: Some(t(sent)),
        at: t(at),
        note: "5.1.1".into(),
        queue_id: None,
    }
}

pub(super) fn not_sent(id: i32, sent: i64, at: i64, phase: Phase) -> Evidence {
    let reply = || Reply { code: 550, enhanced: None, text: "no".into() };
    Evidence::NotSent {
        probe: probe(id, sent),
        at: t(at),
        phase,
        reason: Reason::Other,
        reply: (phase > Phase::Connect).then(reply),
        detail: "no".into(),
        attempts: 1,
    }
}

/// What was told: of what, what kind, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) scope: Scope,
    pub(super) kind: Kind,
    pub(super) telling: Telling,
    pub(super) number: u32,
    pub(super) channels: Vec<Channel>,
    pub(super) at: Timestamp,
}

pub(super) struct Lab {
    pub(super) book: Book,
    pub(super) policy: Policy,
    pub(super) recipients: Vec<Recipient>,
    pub(super) senders: HashSet<Arc<str>>,
    pub(super) mailboxes: HashSet<Arc<str>>,
    pub(super) now: i64,
    /// The probes without a result of whoever is next spoken of.
    pub(super) waiting: Vec<Waiting>,
    pub(super) rows: BTreeMap<IncidentId, Incident>,
    pub(super) states: BTreeMap<Scope, String>,
    pub(super) last_good: BTreeMap<RecipientId, (Timestamp, Timestamp)>,
    pub(super) told: Vec<Told>,
    /// Changes of the last occurrence.
    pub(super) changes: Vec<Change>,
}

impl Lab {
    pub(super) fn new(recipients: &[Recipient]) -> Self {
        let policy = policy();
        Self {
            book: Book::new(policy.clone(), Snapshot::default(), recipients, t(0), 7),
            policy,
            recipients: recipients.to_vec(),
            senders: recipients.iter().map(|r| r.sender.clone()).collect(),
            mailboxes: recipients.iter().map(|r| r.mailbox.clone()).collect(),
            now: 0,
            waiting: vec![],
            rows: BTreeMap::new(),
            states: BTreeMap::new(),
            last_good: BTreeMap::new(),
            told: vec![],
            changes: vec![],
        }
    }

    /// One recipient that asks for so many failures in a row.
    pub(super) fn one(alert_after: i32) -> Self {
        Self::new(&[recipient(1, alert_after)])
    }

    pub(super) fn several(count: i32, alert_after: i32) -> Self {
        let recipients: Vec<_> = (1..=count).map(|id| recipient(id, alert_after)).collect();
        Self::new(&recipients)
    }

    /// The database takes the changes, checking what must hold of them whatever happens; says what was told.
    fn take(&mut self, changes: Vec<Change>) -> Vec<String> {
        let mut said = vec![];
        for change in &changes {
            match change {
                Change::Put(incident) => {
                    let before = self.rows.insert(incident.id, (**incident).clone());
                    let before = before.map_or(0, |before| {
                        assert!(before.is_open(), "a resolved incident is final: {incident:?}");
                        before.version
                    });
                    assert!(incident.version > before, "an older state would not be written: {incident:?}");
                    let same = |row: &&Incident| {
                        row.is_open() && (&row.scope, row.kind) == (&incident.scope, incident.kind)
                    };
                    assert!(self.rows.values().filter(same).count() <= 1, "open twice: {incident:?}");
                }
                Change::Tell { incident, telling, number, channels } => {
                    let row = &self.rows[incident];
                    assert_eq!(row.is_open(), *telling != Telling::Resolved);
                    let told = Told {
                        scope: row.scope.clone(),
                        kind: row.kind,
                        telling: *telling,
                        number: *number,
                        channels: channels.clone(),
                        at: t(self.now),
                    };
                    let last = self.told.iter().rfind(|t| (&t.scope, t.kind) == (&told.scope, told.kind));
                    let was_open = last.is_some_and(|last| last.telling != Telling::Resolved);
                    assert_eq!(
                        was_open,
                        *telling != Telling::Opened,
                        "out of order: {told:?} after {last:?}"
                    );
                    said.push(format!("{} {} {}", telling.as_str(), row.kind.as_str(), row.scope));
                    self.told.push(told);
                }
                Change::Keep { scope, state: Some(state) } => {
                    let state = state.to_string();
                    assert_ne!(self.states.get(scope), Some(&state), "written without need");
                    self.states.insert(scope.clone(), state);
                }
                Change::Keep { scope, state: None } => {
                    assert!(self.states.remove(scope).is_some(), "nothing to let go of: {scope}");
                }
            }
        }
        self.changes = changes;
        assert_eq!(self.book.open().count(), self.rows.values().filter(|row| row.is_open()).count());
        for kind in Kind::ALL {
            assert_eq!(self.book.count(kind), self.book.open().filter(|i| i.kind == kind).count());
        }
        said
    }

    pub(super) fn hear(&mut self, occurrence: Occurrence) -> Vec<String> {
        if let Occurrence::Delivered { recipient, sent, at, .. } = &occurrence
            && self.book.knows(*recipient)
        {
            let last = self.last_good.entry(*recipient).or_insert((*at, *sent));
            if *sent > last.1 {
                *last = (*at, *sent);
            }
        }
        let changes = self.book.hear(occurrence, &self.waiting, t(self.now));
        self.take(changes)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let open = self.rows.values().filter(|row| row.is_open()).map(|row| {
            let details = serde_json::to_string(&row.details).unwrap();
            Incident { details: serde_json::from_str::<Details>(&details).unwrap(), ..row.clone() }
        });
        let states = self.states.iter();
        Snapshot {
            open: open.collect(),
            states: states
                .map(|(scope, state)| (scope.clone(), serde_json::from_str(state).unwrap()))
                .collect(),
            last_good: self.last_good.iter().map(|(id, (at, sent))| (*id, *at, *sent)).collect(),
        }
    }

    /// The program stops and starts again, with what the database remembers.
    pub(super) fn restart(&mut self) -> Vec<String> {
        let entropy = 1000 + u64::try_from(self.rows.len()).unwrap();
        self.book = Book::new(self.policy.clone(), self.snapshot(), &self.recipients, t(self.now), entropy);
        self.reload()
    }

    /// The recipients or accounts are others.
    pub(super) fn reload(&mut self) -> Vec<String> {
        let changes = self.book.set_recipients(&self.recipients, &self.senders, &self.mailboxes, t(self.now));
        self.take(changes)
    }

    pub(super) fn set_active(&mut self, id: i32, active: bool) -> Vec<String> {
        self.recipients.iter_mut().find(|r| r.id.0 == id).unwrap().active = active;
        self.reload()
    }

    pub(super) fn sender_of(&self, id: i32) -> Arc<str> {
        let known = self.recipients.iter().find(|r| r.id.0 == id);
        known.map_or_else(|| Arc::from("s"), |recipient| recipient.sender.clone())
    }

    pub(super) fn fail(&mut self, id: i32, sent: i64, evidence: Evidence) -> Vec<String> {
        let began = evidence.at();
        self.fail_after(id, sent, began, evidence)
    }

    /// A failure of an attempt that began at `began`.
    pub(super) fn fail_after(
        &mut self,
        id: i32,
        sent: i64,
        began: Timestamp,
        evidence: Evidence,
    ) -> Vec<String> {
        let (recipient, sender) = (RecipientId(id), self.sender_of(id));
        self.hear(Occurrence::Failed { recipient, sender, sent: t(sent), began, evidence })
    }

    /// A probe was found missing now.
    pub(super) fn missing(&mut self, id: i32, sent: i64) -> Vec<String> {
        self.now = self.now.max(sent);
        self.fail(id, sent, not_arrived(id, sent, self.now))
    }

    pub(super) fn bounce(&mut self, id: i32, sent: i64) -> Vec<String> {
        self.now = self.now.max(sent);
        self.fail(id, sent, bounced(id, sent, self.now))
    }

    /// The recipient is refused.
    pub(super) fn refused(&mut self, id: i32, sent: i64) -> Vec<String> {
        self.now = self.now.max(sent);
        self.fail(id, sent, not_sent(id, sent, self.now, Phase::Rcpt))
    }

    /// The recipient's submission server cannot be reached.
    pub(super) fn fault(&mut self, id: i32, sent: i64) -> Vec<String> {
        self.now = self.now.max(sent);
        self.fail(id, sent, not_sent(id, sent, self.now, Phase::Connect))
    }

    pub(super) fn unanswered(&mut self, id: i32, at: i64) -> Vec<String> {
        self.now = self.now.max(at);
        let evidence =
            Evidence::Unanswered { probe: probe(id, at), at: t(at), detail: String::new(), in_a_row: 1 };
        let sender = self.sender_of(id);
        self.hear(Occurrence::Unanswered { sender, recipient: RecipientId(id), began: t(at), evidence })
    }

    pub(super) fn unanswered_since(&mut self, id: i32, began: i64, evidence: Evidence) -> Vec<String> {
        let sender = self.sender_of(id);
        let (recipient, began) = (RecipientId(id), t(began));
        self.hear(Occurrence::Unanswered { sender, recipient, began, evidence })
    }

    pub(super) fn accepted(&mut self, id: i32, began: i64) -> Vec<String> {
        self.now = self.now.max(began);
        let sender = self.sender_of(id);
        self.hear(Occurrence::Accepted { sender, began: t(began), at: t(self.now) })
    }

    pub(super) fn good(&mut self, id: i32, sent: i64) -> Vec<String> {
        self.now = self.now.max(sent);
        let (recipient, at) = (RecipientId(id), t(self.now));
        self.hear(Occurrence::Delivered { recipient, sent: t(sent), at, latency: Some(seconds(1)) })
    }

    pub(super) fn arrived(&mut self, id: i32, sent: i64) -> Vec<String> {
        let (recipient, latency) = (RecipientId(id), seconds(self.now - sent));
        self.hear(Occurrence::ArrivedAfterAll { recipient, probe: probe(id, sent), sent: t(sent), latency })
    }

    pub(super) fn undecided(&mut self, id: i32) -> Vec<String> {
        self.hear(Occurrence::Undecided { recipient: RecipientId(id) })
    }

    pub(super) fn blind(&mut self, since: i64) -> Vec<String> {
        let evidence =
            Evidence::Unreadable { folder: "INBOX".into(), since: t(since), detail: "gone".into() };
        self.hear(Occurrence::Blind { mailbox: "m".into(), evidence })
    }

    pub(super) fn sees(&mut self) -> Vec<String> {
        self.hear(Occurrence::Sees { mailbox: "m".into() })
    }

    pub(super) fn tick(&mut self, now: i64) -> Vec<String> {
        self.now = now;
        self.hear(Occurrence::Tick)
    }

    /// Probes on their way: when they were sent, and whether they are overdue.
    pub(super) fn on_their_way(&mut self, sent: &[(i64, bool)]) {
        self.waiting =
            sent.iter().map(|(sent, overdue)| Waiting { sent: t(*sent), overdue: *overdue }).collect();
    }

    /// The newest incident.
    pub(super) fn details(&self) -> &Details {
        &self.rows.values().next_back().unwrap().details
    }
}
