//! Why a mailbox cannot be watched.

use std::fmt;
use std::time::{Duration, Instant};

/// How much of a server's own words an error repeats, in characters.
const WORDS: usize = 300;

/// The label of `maildt_imap_connection_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    Dns,
    Connect,
    Timeout,
    Tls,
    Auth,
    Folder,
    Protocol,
    Closed,
    Other,
}

impl Reason {
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Connect,
        Self::Timeout,
        Self::Tls,
        Self::Auth,
        Self::Folder,
        Self::Protocol,
        Self::Closed,
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
            Self::Folder => "folder",
            Self::Protocol => "protocol",
            Self::Closed => "closed",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What ended a session, or kept it from beginning. Texts hold the server's own words, bounded and printable, and never
/// the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("cannot resolve {host}: {detail}")]
    Dns { host: String, detail: String },
    #[error("cannot connect to {host} port {port}: {detail}")]
    Connect { host: String, port: u16, detail: String },
    #[error("no answer to {what} within {} s", limit.as_secs_f32())]
    Timeout { what: &'static str, limit: Duration },
    #[error("TLS: {0}")]
    Tls(String),
    #[error("login refused: {0}")]
    Auth(String),
    #[error("{0}")]
    Folder(String),
    /// A tagged NO or BAD: the command was not done.
    #[error("the server refused {what}: {words}")]
    Refused { what: &'static str, code: Option<String>, words: String },
    /// Something that is not IMAP, or more of it than we are ready to hold.
    #[error("protocol: {0}")]
    Protocol(String),
    #[error("connection closed: {0}")]
    Closed(String),
}

impl Error {
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::Dns { .. } => Reason::Dns,
            Self::Connect { .. } => Reason::Connect,
            Self::Timeout { .. } => Reason::Timeout,
            Self::Tls(_) => Reason::Tls,
            Self::Auth(_) => Reason::Auth,
            Self::Folder(_) => Reason::Folder,
            Self::Protocol(_) => Reason::Protocol,
            Self::Closed(_) => Reason::Closed,
            Self::Refused { .. } => Reason::Other,
        }
    }

    /// When what failed, as known at `now`, began: a server that does not answer was gone when it was asked.
    #[must_use]
    pub fn began(&self, now: Instant) -> Instant {
        match self {
            Self::Timeout { limit, .. } => now.checked_sub(*limit).unwrap_or(now),
            _ => now,
        }
    }

    /// Whether the server says that messages went away under the command (RFC 5530): looking again is enough.
    #[must_use]
    pub fn is_expunge_issued(&self) -> bool {
        matches!(self, Self::Refused { code: Some(code), .. } if code.eq_ignore_ascii_case("EXPUNGEISSUED"))
    }
}

/// A server's words made fit to be shown: without control characters, bounded, `secrets` masked. A server may well
/// repeat the command that it refuses.
#[must_use]
pub fn printable(words: &str, secrets: &[&str]) -> String {
    let mut text: String = words.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(*secret, "[redacted]");
    }
    let text = text.trim();
    match text.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_repeats_the_password_is_not_repeated() {
        let text = printable("bad command: LOGIN \"me\" \"s3cret\"\u{7}\r\n", &["s3cret", ""]);
        assert_eq!(text, "bad command: LOGIN \"me\" \"[redacted]\"");
    }

    #[test]
    fn long_words_are_cut() {
        let text = printable(&"ü".repeat(10_000), &[]);
        assert_eq!(text.chars().count(), WORDS + 1);
    }
}
