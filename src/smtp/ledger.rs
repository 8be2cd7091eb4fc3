//! What happened on the wire, as the side that drives lettre needs to know it.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::submission::Reason;
use crate::smtp::reply::{Malformed, Raw, Scanner};
use crate::tls;

/// Why there is no usable reply.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("no reply within {0:?}")]
    Timeout(Duration),
    #[error("the server closed the connection without a reply")]
    Closed,
    #[error("the server closed the connection in the middle of a reply")]
    Truncated,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the server sent something that nobody had asked for")]
    Unsolicited,
    #[error("{0}")]
    Tls(String),
    #[error("the connection was lost: {0}")]
    Lost(io::Error),
    #[error("the SMTP client gave up: {0}")]
    Client(String),
}

impl Fault {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Timeout(_) => Reason::Timeout,
            Self::Closed | Self::Lost(_) => Reason::Connect,
            Self::Truncated | Self::Malformed(_) | Self::Unsolicited | Self::Client(_) => Reason::Protocol,
            Self::Tls(_) => Reason::Tls,
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(inner) => Self::Tls(tls::explain(inner)),
            None => Self::Lost(error),
        }
    }
}

/// What lettre is about to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Command,
    /// A message through its final dot.
    Message,
}

/// What is known of the final dot of the message under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Dot {
    /// From here on a byte of it may have reached the server.
    pub(super) handed_over: bool,
    /// When it was written whole.
    pub(super) written_at: Option<Instant>,
}

/// What happened on the wire, for the side that drives lettre.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Entries>>);

#[derive(Default)]
pub(super) struct Entries {
    /// What was read: the current reply, then what nobody has asked for.
    pub(super) inbox: Vec<u8>,
    pub(super) scanner: Scanner,
    pub(super) reply: Option<(u16, usize)>,
    pub(super) fault: Option<Fault>,
    /// What may be sent; taken when it was.
    pub(super) permit: Option<Sending>,
    /// The server spoke before it was asked.
    pub(super) early: bool,
    pub(super) dot: Dot,
}

impl Ledger {
    /// Begins an exchange: forgets the last reply and lets one command or message out. Nothing else goes out, so a QUIT
    /// that lettre sends on its own after a refusal does not wait for an answer.
    pub(super) fn begin(&self, sending: Sending) {
        let mut entries = self.entries();
        let length = entries.reply.take().map_or(0, |(_, length)| length);
        entries.inbox.drain(..length);
        entries.scanner = Scanner::default();
        entries.permit = Some(sending);
        entries.early = false;
        entries.dot = Dot::default();
    }

    /// How the exchange ended: with the code of a reply, or without a reply.
    pub(super) fn conclude(&self) -> Result<Option<u16>, Fault> {
        let mut entries = self.entries();
        match entries.fault.take() {
            Some(fault) => Err(fault),
            None => Ok(entries.reply.map(|(code, _)| code)),
        }
    }

    /// Looks at the last reply.
    pub(super) fn reply<T>(&self, look: impl FnOnce(Raw<'_>) -> T) -> T {
        let entries = self.entries();
        let (code, length) = entries.reply.unwrap_or_default();
        look(Raw { code, bytes: entries.inbox.get(..length).unwrap_or_default() })
    }

    pub(super) fn dot(&self) -> Dot {
        self.entries().dot
    }

    pub(super) fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
