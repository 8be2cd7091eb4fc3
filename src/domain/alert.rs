//! What is wrong, since when, and who is to be told: incidents, decided from outcomes.
//!
//! The [`Book`] hears everything that happens to probes, senders, mailboxes and channels, and answers with [`Change`]s: rows
//! of incidents and of notifications, to be written in the transaction of what caused them. It reads no clock and does no
//! I/O.

mod book;
mod evidence;
mod incident;
mod occurrence;
mod suspicion;
mod trail;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::RecipientId;

pub use book::Book;
pub use evidence::Evidence;
pub use incident::{Concerned, Details, Incident, IncidentId, Resolution};
pub use occurrence::{Change, Occurrence, Policy, Snapshot, Waiting};

/// Lets serde write a type as its text and read it back.
macro_rules! as_text {
    ($type:ty) => {
        impl From<$type> for String {
            fn from(value: $type) -> Self {
                value.to_string()
            }
        }

        impl TryFrom<String> for $type {
            type Error = Unknown;

            fn try_from(text: String) -> Result<Self, Unknown> {
                text.parse()
            }
        }
    };
}

/// What kind of thing is wrong. The database's `incidents.kind` and the label of `maildt_incidents_open` mirror these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A recipient's mail was accepted and did not arrive, or came back.
    Missing,
    /// A recipient's mail is refused.
    SendFailure,
    /// Nothing can be handed to a submission server.
    SenderUnreachable,
    /// A mailbox cannot be read: nobody can tell whether mail arrives.
    MailboxUnreachable,
    /// An alert channel takes nothing.
    ChannelDown,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::Missing,
        Self::SendFailure,
        Self::SenderUnreachable,
        Self::MailboxUnreachable,
        Self::ChannelDown,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::SendFailure => "send_failure",
            Self::SenderUnreachable => "sender_unreachable",
            Self::MailboxUnreachable => "mailbox_unreachable",
            Self::ChannelDown => "channel_down",
        }
    }
}

/// What an incident is about. Its text, `recipient:7`, is the database's `incidents.scope`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Scope {
    Recipient(RecipientId),
    /// A submission account, by name.
    Sender(Arc<str>),
    /// A watched account, by name.
    Mailbox(Arc<str>),
    /// The name of a channel: see [`Channel::name`].
    Channel(Arc<str>),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipient(id) => write!(f, "recipient:{id}"),
            Self::Sender(name) => write!(f, "sender:{name}"),
            Self::Mailbox(name) => write!(f, "mailbox:{name}"),
            Self::Channel(name) => write!(f, "channel:{name}"),
        }
    }
}

/// A text that names nothing an incident can be about.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a scope nor a channel")]
pub struct Unknown(String);

impl FromStr for Scope {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let unknown = || Unknown(text.to_owned());
        let (what, name) = text.split_once(':').ok_or_else(unknown)?;
        Ok(match what {
            "recipient" => Self::Recipient(RecipientId(name.parse().map_err(|_| unknown())?)),
            "sender" => Self::Sender(Arc::from(name)),
            "mailbox" => Self::Mailbox(Arc::from(name)),
            "channel" => Self::Channel(Arc::from(name)),
            _ => return Err(unknown()),
        })
    }
}

as_text!(Scope);

/// One place where notifications are delivered: the Discord channel, or one address for alert mail. Each has its own
/// queue, order and health. Its text, `discord` or `email:ops@example.org`, is the database's `notifications.channel`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Channel {
    Discord,
    Email(Arc<str>),
}

impl Channel {
    /// The label in metrics, and the scope of `channel_down`: every address is reached by the same way.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Discord => "discord",
            Self::Email(_) => "email",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Discord => f.write_str("discord"),
            Self::Email(address) => write!(f, "email:{address}"),
        }
    }
}

impl FromStr for Channel {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        match text.split_once(':') {
            None if text == "discord" => Ok(Self::Discord),
            Some(("email", address)) => Ok(Self::Email(Arc::from(address))),
            _ => Err(Unknown(text.to_owned())),
        }
    }
}

as_text!(Channel);

/// What a notification tells about its incident. The database's `notifications.event` mirrors these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Telling {
    Opened,
    /// Still open.
    Reminder,
    Resolved,
}

impl Telling {
    pub const ALL: [Self; 3] = [Self::Opened, Self::Reminder, Self::Resolved];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reminder => "reminder",
            Self::Resolved => "resolved",
        }
    }
}
