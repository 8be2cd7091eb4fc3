//! What goes out as e-mail, byte for byte.

use jiff::Timestamp;
use mail_parser::{MessageParser, MimeHeaders};

use super::shown::keep;
use super::stories::{self, at, desk, incident};
use crate::domain::address::MailAddress;
use crate::domain::alert::{Incident, IncidentId, Kind, Telling};
use crate::notify::email;
use crate::notify::letter::{Letter, Thread};
use crate::notify::text::compose;

fn from() -> MailAddress {
    "probe@example.org".parse().unwrap()
}

fn thread() -> Thread {
    Thread {
        message_id: "opened.6h02drhw00001@example.org".to_owned(),
        in_reply_to: Some("first@example.org".to_owned()),
        references: vec!["first@example.org".to_owned(), "second@example.org".to_owned()],
    }
}

fn letter() -> Letter {
    compose(Telling::Opened, &[&incident(1, Kind::Missing, stories::bounced())], &desk(at(5, 20)))
}

fn header(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).unwrap();
    text.split_once("\r\n\r\n").unwrap().0.replace("\r\n", "\n")
}

#[test]
fn the_same_letter_is_the_same_message() {
    let message = || email::message(&letter(), &thread(), &from(), "ops@example.org", at(5, 21)).unwrap();
    let bytes = message();
    assert_eq!(bytes, message());
    let parsed = MessageParser::new().parse(&bytes).unwrap();
    let html = parsed.body_html(0).unwrap().replace("\r\n", "\n");
    keep(
        "email_message",
        &format!("{}\n══ html\n{html}", String::from_utf8(bytes).unwrap().replace("\r\n", "\n")),
    );
}

#[test]
fn a_message_says_that_nobody_should_answer_and_is_no_probe() {
    let bytes = email::message(&letter(), &thread(), &from(), "ops@example.org", at(5, 21)).unwrap();
    let header = header(&bytes);
    for line in [
        "X-MailDT-Incident: 6h02ck6j00001",
        "From: MailDT <probe@example.org>",
        "To: ops@example.org",
        "Date: Sun, 22 Nov 2026 03:05:21 +0000",
        "Subject: [MailDT] Missing: alice (came back)",
        "Auto-Submitted: auto-generated",
        "X-Auto-Response-Suppress: All",
        "Message-ID: <opened.6h02drhw00001@example.org>",
        "In-Reply-To: <first@example.org>",
        "References: <first@example.org> <second@example.org>",
        "MIME-Version: 1.0",
    ] {
        assert!(header.lines().any(|l| l == line), "{line} in\n{header}");
    }
    assert!(!header.to_ascii_lowercase().contains("x-maildt-probe"));
    assert_eq!(crate::domain::message::recognise(&bytes), None);
}

#[test]
fn each_incident_is_named_and_a_crowd_is_bounded() {
    let crowd: Vec<Incident> =
        (1..=2000).map(|number| incident(number, Kind::Missing, stories::not_arrived())).collect();
    let all: Vec<&Incident> = crowd.iter().collect();
    let letter = compose(Telling::Opened, &all, &desk(at(5, 20)));
    assert_eq!((letter.items.len(), letter.incidents.len()), (2000, 2000));
    let bytes = email::message(&letter, &thread(), &from(), "ops@example.org", at(5, 21)).unwrap();
    let ids: Vec<IncidentId> = header(&bytes)
        .lines()
        .filter_map(|line| line.strip_prefix("X-MailDT-Incident: "))
        .map(|id| id.parse().unwrap())
        .collect();
    assert_eq!(ids, letter.incidents[..500]);
    let parsed = MessageParser::new().parse(&bytes).unwrap();
    assert!(parsed.subject().unwrap().starts_with("[MailDT] Missing: 2000 recipients (alice,"));
    let (text, html) = (parsed.body_text(0).unwrap(), parsed.body_html(0).unwrap());
    assert_eq!(text.matches("\r\n- ").count(), 501, "{text}");
    assert!(text.contains("\r\n- and 1500 more"));
    assert_eq!(html.matches("<li>").count(), 501);
    assert!(html.contains("<li>and 1500 more</li>"));
}

#[test]
fn the_two_parts_are_alternatives_of_quoted_printable() {
    let bytes = email::message(&letter(), &thread(), &from(), "ops@example.org", at(5, 21)).unwrap();
    let parsed = MessageParser::new().parse(&bytes).unwrap();
    assert_eq!(parsed.content_type().unwrap().c_subtype.as_deref(), Some("alternative"));
    let kinds: Vec<_> = parsed.parts[1..]
        .iter()
        .map(|part| part.content_type().unwrap().c_subtype.clone().unwrap())
        .collect();
    assert_eq!(kinds, ["plain", "html"]);
    let encoded = parsed.parts[1..].iter().all(|p| p.content_transfer_encoding() == Some("quoted-printable"));
    assert!(encoded);
}

#[test]
fn odd_addresses_and_times_do_no_harm() {
    let message = |from: &str, to: &str, date| {
        email::message(&letter(), &thread(), &from.parse().unwrap(), to, date).map(|bytes| header(&bytes))
    };
    let early = message("a@b.test", "c@d.test", Timestamp::MIN).unwrap();
    assert!(early.contains("Date: Thu, 01 Jan 1970 00:00:00 +0000"), "{early}");
    assert!(message("a@b.test", "c@d.test", Timestamp::MAX).is_ok());
    let literal = message("probe@[192.0.2.1]", "root@localhost", at(0, 0)).unwrap();
    assert!(literal.contains("From: MailDT <probe@[192.0.2.1]>"), "{literal}");
    let quoted = message("\"a@b,c\"@mail.test", "\"d,e\"@mail.test", at(0, 0)).unwrap();
    assert!(quoted.contains("From: MailDT <\"a@b,c\"@mail.test>\nTo: \"d,e\"@mail.test\n"), "{quoted}");
    for to in ["", "nobody", "a@b.test\r\nBcc: x@y.test", "a@b.test, c@d.test"] {
        assert!(message("a@b.test", to, at(0, 0)).is_err(), "{to:?}");
    }
}

#[test]
fn a_thread_is_cleaned_and_bounded() {
    let thread = Thread {
        message_id: "<a>\r\nBcc: x@y.test>".to_owned(),
        in_reply_to: Some("\r\n".to_owned()),
        references: (0..100).map(|i| format!("{i}{}@z", "r".repeat(400))).collect(),
    };
    let bytes = email::message(&letter(), &thread, &from(), "ops@example.org", at(0, 0)).unwrap();
    let header = header(&bytes);
    assert!(header.contains("\nMessage-ID: <aBcc:x@y.test>\n"), "{header}");
    assert!(!header.contains("In-Reply-To") && !header.contains("\nBcc"), "{header}");
    let references = header.split_once("References: ").unwrap().1;
    assert_eq!(references.matches('<').count(), 20);
    assert!(references.starts_with("<0r") && references.contains("<99r") && references.contains("<81r"));
    assert!(!references.contains("<80r"));
    assert!(header.lines().all(|line| line.len() <= 998));
}
