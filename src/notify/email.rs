//! A message as e-mail: a text and an HTML part that say the same, in ASCII on the wire.

mod html;
mod plain;

use std::time::SystemTime;

use jiff::Timestamp;
use lettre::Address;
use lettre::message::header::{
    self, ContentTransferEncoding, ContentType, Date, HeaderName, HeaderValue, Headers, InReplyTo, MessageId,
    References, Subject,
};
use lettre::message::{Mailbox, Mailboxes, MultiPart, SinglePart};

use super::letter::{Letter, Thread};
use super::text::words::{cut, one_line};
use crate::domain::address::MailAddress;
use crate::domain::alert::IncidentId;

/// Characters of a Subject.
const SUBJECT_MAX: usize = 200;
/// Recipients listed, and incidents named in the header.
const ITEMS_MAX: usize = 500;
/// Message-IDs of one References field; the first and the last matter (RFC 5322, section 3.6.4).
const REFERENCES_MAX: usize = 20;
/// Bytes of a Message-ID, so that no line is longer than 998.
const ID_MAX: usize = 250;
/// `=_` never stands in quoted-printable text (RFC 2045, section 6.7), so that this bounds any of it.
const BOUNDARY: &str = "=_maildt_alternative";

/// An address in a form that the mail library does not know: there is no message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address that mail can be sent to or from")]
pub struct Invalid(String);

/// The message, ready for DATA but for the dots. Pure: the same arguments make the same bytes.
///
/// Put together from the library's fields and parts, not by its `MessageBuilder`, which reads its own From again and refuses
/// one with an address literal.
///
/// # Errors
/// [`Invalid`], see there.
pub fn message(
    letter: &Letter,
    thread: &Thread,
    from: &MailAddress,
    to: &str,
    date: Timestamp,
) -> Result<Vec<u8>, Invalid> {
    let address = |text: &str| text.parse::<Address>().map_err(|_| Invalid(text.to_owned()));
    let mut header = Headers::new();
    header.set(header::From::from(Mailboxes::from(Mailbox::new(
        Some("MailDT".to_owned()),
        address(from.as_str())?,
    ))));
    header.set(header::To::from(Mailboxes::from(Mailbox::new(None, address(to)?))));
    // The library's date begins in 1970.
    header.set(Date::new(SystemTime::from(date.max(Timestamp::UNIX_EPOCH))));
    header.set(Subject::from(subject(&letter.subject)));
    header.insert_raw(field(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated"));
    // What Exchange knows besides RFC 3834.
    header.insert_raw(field(HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All"));
    if let Some(id) = bracketed(&thread.message_id) {
        header.set(MessageId::from(id));
    }
    if let Some(id) = thread.in_reply_to.as_deref().and_then(bracketed) {
        header.set(InReplyTo::from(id));
    }
    if let Some(ids) = references(&thread.references) {
        header.set(References::from(ids));
    }
    header.set(header::MIME_VERSION_1_0);
    let part = |kind, text| {
        SinglePart::builder().header(kind).header(ContentTransferEncoding::QuotedPrintable).body(text)
    };
    let body = MultiPart::alternative()
        .boundary(BOUNDARY)
        .singlepart(part(ContentType::TEXT_PLAIN, plain::body(letter)))
        .singlepart(part(ContentType::TEXT_HTML, html::body(letter)));
    // `Headers` keeps one field of a name.
    let ids = letter.incidents.iter().take(ITEMS_MAX).map(|id| format!("X-MailDT-Incident: {id}\r\n"));
    let mut bytes = ids.chain([header.to_string()]).collect::<String>().into_bytes();
    bytes.extend(body.formatted());
    Ok(bytes)
}

/// A Subject in one line. `=?` opens an encoded word (RFC 2047), which foreign text must not.
fn subject(text: &str) -> String {
    cut(&one_line(text).replace("=?", "= ?"), SUBJECT_MAX)
}

fn field(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::new(name, value.to_owned())
}

/// A Message-ID in its brackets; nothing where nothing of it may stand in a header.
fn bracketed(id: &str) -> Option<String> {
    let id: String =
        id.chars().filter(|c| c.is_ascii_graphic() && !matches!(c, '<' | '>')).take(ID_MAX).collect();
    (!id.is_empty()).then(|| format!("<{id}>"))
}

fn references(ids: &[String]) -> Option<String> {
    let mut ids: Vec<String> = ids.iter().filter_map(|id| bracketed(id)).collect();
    if ids.len() > REFERENCES_MAX {
        ids.drain(1..=ids.len() - REFERENCES_MAX);
    }
    (!ids.is_empty()).then(|| ids.join(" "))
}

/// `Incident x`, `Incidents x, y and 3 more`.
fn incidents(ids: &[IncidentId]) -> Option<String> {
    const NAMED: usize = 20;
    let named: Vec<String> = ids.iter().take(NAMED).map(IncidentId::to_string).collect();
    match named.as_slice() {
        [] => None,
        [id] => Some(format!("Incident {id}")),
        _ if ids.len() > NAMED => {
            Some(format!("Incidents {} and {} more", named.join(", "), ids.len() - NAMED))
        }
        _ => Some(format!("Incidents {}", named.join(", "))),
    }
}

/// The items that are listed, and how many more there are.
fn listed(letter: &Letter) -> (impl Iterator<Item = String>, Option<String>) {
    let more = letter.items.len().saturating_sub(ITEMS_MAX);
    let items = letter.items.iter().take(ITEMS_MAX).map(|item| one_line(item));
    (items, (more > 0).then(|| format!("and {more} more")))
}
