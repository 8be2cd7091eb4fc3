//! What came of one attempt to hand a message to a submission server, as data.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// A step of one submission, in the order in which they happen (RFC 5321, RFC 3207, RFC 4954).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    Dns,
    Connect,
    Tls,
    Greeting,
    Ehlo,
    Auth,
    Mail,
    Rcpt,
    /// `DATA` until its 354.
    Data,
    /// The message and its final dot until the last reply: the moment when the server takes responsibility.
    FinalReply,
}

impl Phase {
    pub const ALL: [Self; 10] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Greeting,
        Self::Ehlo,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::FinalReply,
    ];

    /// The name in metrics, in the database and in pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Greeting => "greeting",
            Self::Ehlo => "ehlo",
            Self::Auth => "auth",
            Self::Mail => "mail",
            Self::Rcpt => "rcpt",
            Self::Data => "data",
            Self::FinalReply => "final_reply",
        }
    }

    /// Whether a failure here is the sender's (its server, its login, its reverse-path) rather than one recipient's.
    #[must_use]
    pub fn blames_sender(self) -> bool {
        self <= Self::Mail
    }
}

/// Why an attempt failed, as a label of `maildt_send_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    Dns,
    Connect,
    Timeout,
    Tls,
    Auth,
    #[serde(rename = "smtp_4xx")]
    Smtp4xx,
    #[serde(rename = "smtp_5xx")]
    Smtp5xx,
    Protocol,
    Other,
}

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Connect,
        Self::Timeout,
        Self::Tls,
        Self::Auth,
        Self::Smtp4xx,
        Self::Smtp5xx,
        Self::Protocol,
        Self::Other,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Smtp4xx => "smtp_4xx",
            Self::Smtp5xx => "smtp_5xx",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }
}

/// A server's reply (RFC 5321, section 4.2), bounded and free of control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// The three-digit code.
    pub code: u16,
    /// The enhanced status code (RFC 3463), such as `4.7.1`, where the server gave one.
    pub enhanced: Option<String>,
    /// The text, lines joined by a space, at most 1,000 characters.
    pub text: String,
}

impl Reply {
    /// "4yz: the command was not accepted, but the condition is temporary" (RFC 5321, section 4.2.1).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        (400..500).contains(&self.code)
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx after the final dot.
    Accepted { reply: Reply, queue_id: Option<String> },
    /// The server answered a command with 4xx or 5xx.
    Refused { phase: Phase, reason: Reason, reply: Reply },
    /// No usable answer before the final dot: resolution, connection, TLS, time limit, protocol.
    Failed { phase: Phase, reason: Reason, detail: String },
    /// Our own stop broke it off before the final dot: nothing was handed over, and nobody is to blame.
    Released,
    /// The final dot was written and no reply to it was read: the message may or may not be on its way.
    /// `ours`: because we broke it off ourselves, so that it says nothing about the server.
    Ambiguous { detail: String, ours: bool },
}

/// One attempt: what happened and how long each phase took. A reused connection has no phases before `Mail`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub outcome: Outcome,
    /// From the first action to the last reply or failure.
    pub duration: Duration,
    pub phases: Vec<(Phase, Duration)>,
    /// When the final dot was written whole: the message may be seen from here on.
    pub dot_at: Option<Instant>,
    /// When the final 2xx was read: latency and deadline start here. Set exactly when the outcome is `Accepted`.
    pub accepted_at: Option<Instant>,
    /// Expiry of the server's certificate, seconds since the epoch, when a TLS handshake took place.
    pub certificate_not_after: Option<i64>,
}

impl Attempt {
    /// An attempt that our own stop ended before it began.
    #[must_use]
    pub fn released() -> Self {
        Self::ended(Outcome::Released)
    }

    /// An attempt of which nothing but the end is known.
    #[must_use]
    pub fn ended(outcome: Outcome) -> Self {
        Self {
            outcome,
            duration: Duration::ZERO,
            phases: Vec::new(),
            dot_at: None,
            accepted_at: None,
            certificate_not_after: None,
        }
    }
}
