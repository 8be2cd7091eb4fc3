//! What is kept with a probe as evidence: the messages that carried its token, and the searches that did not find it.
//!
//! None of it decides anything. It is bounded, as anybody who knows a token can send messages that carry it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::authentication::{Claim, claims};
use super::fields::fields;
use super::message::{Form, SUBJECT};
use super::trace::{Trace, trace};
use super::verdict::Placement;

/// Messages kept with a probe. The last place is for the one that proves the delivery.
pub const MOST_SEEN: usize = 16;
/// Folders kept of one search.
pub const MOST_FOLDERS: usize = 32;
/// Header fields that are read.
const MOST_FIELDS: usize = 500;
/// Characters kept of a Subject.
const MOST_SUBJECT: usize = 200;

/// What a message was to the probe whose token it carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bearing {
    /// It proves the delivery.
    Proof,
    /// Another one that would have.
    Duplicate,
    /// It would prove the delivery, but lies in another mailbox.
    Elsewhere,
    /// It speaks of the probe in a form that the recipient's return mode does not take for one.
    OtherForm,
    /// A report of a failed delivery.
    Failure,
    /// A report of something else, such as a delay.
    Notice,
}

/// What the header of a message says, besides the token.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// The Subject, where it is not the probe's own any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    #[serde(flatten)]
    pub trace: Trace,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
}

impl Content {
    /// Reads a header; what comes after it is not looked at.
    #[must_use]
    pub fn of(header: &[u8]) -> Self {
        let subject = fields(header, MOST_FIELDS).find(|field| field.is("Subject"));
        let subject = subject.map(|field| field.text(MOST_SUBJECT)).filter(|text| {
            let token = text.strip_prefix(SUBJECT).map(str::trim);
            !token.is_some_and(|token| !token.is_empty() && !token.contains(' '))
        });
        Self { subject, trace: trace(header, MOST_FIELDS), claims: claims(header, MOST_FIELDS) }
    }
}

/// A message that carried the probe's token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Tells it from others (see [`super::probe::Sighting::print`]).
    pub print: i64,
    /// When it arrived, in database time.
    pub at: Timestamp,
    /// Told by INTERNALDATE, not by our own clock.
    #[serde(default)]
    pub estimated: bool,
    pub mailbox: String,
    pub folder: String,
    pub placement: Placement,
    pub form: Form,
    pub bearing: Bearing,
    /// What a report says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    #[serde(flatten)]
    pub content: Content,
}

/// One folder looked through from beginning to end. Database time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    pub folder: String,
    pub began: Timestamp,
    pub ended: Timestamp,
    /// The mailbox has no such folder: that was looked for.
    #[serde(default)]
    pub is_absent: bool,
}

/// One complete round over all watched folders that did not contain the probe.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Search {
    pub looks: Vec<Look>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::trace::Hop;

    #[test]
    fn a_header_is_read_and_comes_back_from_the_database() {
        let header = "Received: from a by b with LMTP id 7; Sun, 22 Nov 2026 10:00:00 +0000\r\n\
            Received: nonsense\r\nAuthentication-Results: mx; spf=pass\r\nSubject: [list] MAILDT-PROBE: v1.x.y\r\n\r\n";
        let content = Content::of(header.as_bytes());
        assert_eq!(content.subject.as_deref(), Some("[list] MAILDT-PROBE: v1.x.y"));
        assert_eq!(content.trace.hops.first(), Some(&Hop::Unreadable("nonsense".to_owned())));
        assert_eq!((content.trace.hops.len(), content.claims.len()), (2, 1));
        let at = Timestamp::UNIX_EPOCH;
        let seen = Seen {
            print: i64::MIN + 1,
            at,
            estimated: true,
            mailbox: "default".to_owned(),
            folder: "INBOX".to_owned(),
            placement: Placement::Inbox,
            form: Form::Copy,
            bearing: Bearing::OtherForm,
            note: None,
            content,
        };
        let json = serde_json::to_value(&seen).unwrap();
        assert_eq!(serde_json::from_value::<Seen>(json).unwrap(), seen);
    }

    #[test]
    fn the_probe_s_own_subject_is_not_worth_a_word() {
        let subject = |text: &str| Content::of(format!("Subject: {text}\r\n").as_bytes()).subject;
        assert_eq!(subject("MAILDT-PROBE: v1.abc.def"), None);
        assert_eq!(subject("MAILDT-PROBE:\r\n v1.abc.def"), None);
        assert_eq!(
            subject("MAILDT-PROBE: v1.abc.def [spam]").as_deref(),
            Some("MAILDT-PROBE: v1.abc.def [spam]")
        );
        assert_eq!(Content::of(b"").subject, None);
    }
}
