//! The words for how a probe ended and how a recipient stands.

use serde::{Deserialize, Serialize};

/// The one result of a probe, given once at its first verdict: the label of `maildt_probe_results_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Delivered,
    Late,
    Missing,
    SendFailed,
    Bounced,
    Inconclusive,
}

impl Verdict {
    pub const ALL: [Self; 6] =
        [Self::Delivered, Self::Late, Self::Missing, Self::SendFailed, Self::Bounced, Self::Inconclusive];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Late => "late",
            Self::Missing => "missing",
            Self::SendFailed => "send_failed",
            Self::Bounced => "bounced",
            Self::Inconclusive => "inconclusive",
        }
    }
}

/// In which kind of folder a probe was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    Inbox,
    Junk,
    Other,
}

impl Placement {
    pub const ALL: [Self; 3] = [Self::Inbox, Self::Junk, Self::Other];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Junk => "junk",
            Self::Other => "other",
        }
    }
}

/// How a recipient stands now: the label of `maildt_recipient_state`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Ok,
    Late,
    Junk,
    Missing,
    SendFailed,
    Bounced,
    /// No result yet.
    #[default]
    Pending,
    /// Not observed: the mailbox cannot be read, or the last probe could not be judged.
    Unknown,
    Paused,
}

impl Standing {
    /// How a recipient stands whose last probe ended like this, as long as it is active and its mailbox is observed.
    #[must_use]
    pub fn after(verdict: Verdict, placement: Option<Placement>) -> Self {
        match verdict {
            Verdict::Delivered if placement == Some(Placement::Junk) => Self::Junk,
            Verdict::Delivered => Self::Ok,
            Verdict::Late => Self::Late,
            Verdict::Missing => Self::Missing,
            Verdict::SendFailed => Self::SendFailed,
            Verdict::Bounced => Self::Bounced,
            Verdict::Inconclusive => Self::Unknown,
        }
    }

    pub const ALL: [Self; 9] = [
        Self::Ok,
        Self::Late,
        Self::Junk,
        Self::Missing,
        Self::SendFailed,
        Self::Bounced,
        Self::Pending,
        Self::Unknown,
        Self::Paused,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Late => "late",
            Self::Junk => "junk",
            Self::Missing => "missing",
            Self::SendFailed => "send_failed",
            Self::Bounced => "bounced",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Paused => "paused",
        }
    }
}
