//! What the book of incidents hears, and what it answers.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{Channel, Evidence, Incident, IncidentId, Scope, Telling};
use crate::domain::id::{ProbeId, RecipientId};

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
    /// A submission that began at `began` ended after its final dot without an answer.
    Unanswered { sender: Arc<str>, recipient: RecipientId, began: Timestamp, evidence: Evidence },
    /// A probe, sent at `sent`, failed: not sent, not arrived, or bounced. The last attempt at sending it began at `began`.
    Failed { recipient: RecipientId, sender: Arc<str>, sent: Timestamp, began: Timestamp, evidence: Evidence },
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
    Tell { incident: IncidentId, telling: Telling, number: u32, channels: Vec<Channel> },
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
