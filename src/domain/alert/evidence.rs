//! What was seen that makes something a failure: enough for a reader to judge for himself.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::ProbeId;
use crate::domain::submission::{Phase, Reason, Reply};

/// One failure, as it is told. Times are database time. No token is ever in here: an alert must not look like a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum Evidence {
    /// Accepted by the submission server, and in none of the folders when they were looked through.
    NotArrived {
        probe: ProbeId,
        accepted_at: Timestamp,
        deadline_at: Timestamp,
        /// The server's names of the folders that were looked through, twice.
        #[serde(default)]
        folders: Vec<String>,
        looked_at: Timestamp,
        queue_id: Option<String>,
        /// The reply that accepted it.
        reply: Option<Reply>,
        /// How often it was seen in a mailbox that is not its recipient's.
        #[serde(default)]
        misrouted: i32,
    },
    /// A delivery status notification came back instead.
    Bounced {
        probe: ProbeId,
        accepted_at: Option<Timestamp>,
        at: Timestamp,
        /// What the notification said.
        note: String,
        queue_id: Option<String>,
    },
    /// The submission server could not be reached or refused, retries used up.
    NotSent {
        probe: ProbeId,
        /// The end of the last attempt.
        at: Timestamp,
        phase: Phase,
        reason: Reason,
        /// The server's own words, where it gave any.
        reply: Option<Reply>,
        /// Ours, where it did not.
        detail: String,
        attempts: i32,
    },
    /// The connection was lost after the final dot, several times in a row.
    Unanswered { probe: ProbeId, at: Timestamp, detail: String, in_a_row: u32 },
    /// A folder cannot be looked through.
    Unreadable { folder: String, since: Timestamp, detail: String },
    /// An alert channel takes nothing.
    Undeliverable {
        /// Which: `discord`, or the address for alert mail.
        channel: String,
        since: Timestamp,
        detail: String,
        /// It refused us, and is left alone until its setting changes or a test alert gets through.
        refused: bool,
    },
}

impl Evidence {
    /// Whether this is a fault of the sender or of the way to it rather than of one recipient: no reply at all, or a
    /// refusal up to and including MAIL.
    #[must_use]
    pub fn blames_sender(&self) -> bool {
        match self {
            Self::NotSent { phase, reply, .. } => phase.blames_sender() || reply.is_none(),
            Self::Unanswered { .. } => true,
            _ => false,
        }
    }

    /// When it was known.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match self {
            Self::NotArrived { looked_at: at, .. }
            | Self::Bounced { at, .. }
            | Self::NotSent { at, .. }
            | Self::Unanswered { at, .. }
            | Self::Unreadable { since: at, .. }
            | Self::Undeliverable { since: at, .. } => *at,
        }
    }

    /// The probe that failed.
    #[must_use]
    pub fn probe(&self) -> Option<ProbeId> {
        match self {
            Self::NotArrived { probe, .. }
            | Self::Bounced { probe, .. }
            | Self::NotSent { probe, .. }
            | Self::Unanswered { probe, .. } => Some(*probe),
            Self::Unreadable { .. } | Self::Undeliverable { .. } => None,
        }
    }
}
