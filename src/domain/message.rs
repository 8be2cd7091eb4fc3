//! The probe as a message: how it is composed and how it is recognised again.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_parser::{HeaderName, HeaderValue, MessageParser, MimeHeaders};
use serde::{Deserialize, Serialize};

use super::token::{self, Token};

/// The header field that carries the token of a probe that has not been rewritten.
pub const HEADER: &str = "X-MailDT-Probe";
/// How the Subject of a probe begins.
pub const SUBJECT: &str = "MAILDT-PROBE:";
/// Header fields read of one message (RFC 5322 sets no limit; a hostile message does not get to).
const MAX_FIELDS: usize = 500;
/// Tokens considered in one message.
const MAX_TOKENS: usize = 8;

/// What a probe message says besides its token.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub date: Timestamp,
}

/// Composes a message: RFC 5322, ASCII but for internationalised addresses, CRLF line ends, ending in CRLF. `token` is a
/// [`Token`] or that of a `maildt check`.
#[must_use]
pub fn compose(token: impl std::fmt::Display, letter: Letter<'_>) -> Vec<u8> {
    let Letter { from, to, date } = letter;
    let domain = from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_string(&date).unwrap_or_default();
    let mut text = String::with_capacity(1024);
    let mut field = |name: &str, value: &dyn std::fmt::Display| {
        let _ = write!(text, "{name}: {value}\r\n");
    };
    field("From", &format_args!("<{from}>"));
    field("To", &format_args!("<{to}>"));
    field("Date", &date);
    field("Message-ID", &format_args!("<{token}@{domain}>"));
    field("Subject", &format_args!("{SUBJECT} {token}"));
    field(HEADER, &token);
    field("Auto-Submitted", &"auto-generated");
    field("X-Auto-Response-Suppress", &"All");
    field("MIME-Version", &"1.0");
    field("Content-Type", &"text/plain; charset=us-ascii");
    field("Content-Transfer-Encoding", &"7bit");
    text.push_str(
        "\r\nThis message was sent by MailDT to measure whether and how fast mail arrives.\r\n\
         It is removed by itself once it has been seen. There is nothing to do and nobody to answer.\r\n",
    );
    text.into_bytes()
}

/// What kind of message carries a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The probe itself: its own header field or its Message-ID came through.
    Direct,
    /// A new message about the probe: a forward or an answer written like one, token in Subject or References.
    Copy,
    /// An automatic reply (RFC 3834).
    AutoReply,
    /// A delivery status notification (RFC 3464) or another report. Never a delivery.
    Report,
}

/// What a message says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recognised {
    pub form: Form,
    /// Candidates, unverified, those in the strongest place first.
    pub tokens: Vec<Token>,
}

/// Reads a message's header (`raw` may go on with the body, which only reports are searched in) and tells what it is.
/// `None` when it carries no token.
#[must_use]
pub fn recognise(raw: &[u8]) -> Option<Recognised> {
    let reading = Reading::of(raw)?;
    let strong = token::find(&reading.strong, MAX_TOKENS);
    let form = reading.form(!strong.is_empty());
    let mut tokens = strong;
    let rest = if form == Form::Report { raw } else { &reading.weak };
    for token in token::find(rest, MAX_TOKENS) {
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens.truncate(MAX_TOKENS);
    (!tokens.is_empty()).then_some(Recognised { form, tokens })
}

/// What a message is that carries exactly this text where a probe carries its token, in any case; `None` when it does not.
#[must_use]
pub fn form_of(raw: &[u8], text: &str) -> Option<Form> {
    let reading = Reading::of(raw)?;
    let holds = |field: &[u8]| {
        field.windows(text.len().max(1)).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    };
    let is_strong = holds(&reading.strong);
    (is_strong || holds(&reading.weak)).then(|| reading.form(is_strong))
}

/// The fields of a header that matter here, unfolded.
struct Reading {
    is_report: bool,
    is_auto_reply: bool,
    /// Our own field and the Message-ID.
    strong: Vec<u8>,
    /// Subject, References and In-Reply-To.
    weak: Vec<u8>,
}

impl Reading {
    fn of(raw: &[u8]) -> Option<Self> {
        let header = bounded_header(raw);
        let message = MessageParser::new().parse_headers(header)?;
        let is_bounce = message.header_raw("X-Failed-Recipients").is_some()
            || message.from().and_then(|from| from.first()).and_then(|from| from.address()).is_some_and(
                |from| {
                    from.split('@').next().is_some_and(|local| local.eq_ignore_ascii_case("mailer-daemon"))
                },
            );
        let is_report = is_bounce
            || message.content_type().is_some_and(|kind| {
                let subtype = kind.c_subtype.as_deref().unwrap_or_default();
                kind.c_type.eq_ignore_ascii_case("multipart") && subtype.eq_ignore_ascii_case("report")
            });
        let mut reading = Self { is_report, is_auto_reply: false, strong: Vec::new(), weak: Vec::new() };
        for field in message.headers() {
            let range = field.offset_start() as usize..field.offset_end() as usize;
            let text = header.get(range).unwrap_or_default();
            let name = field.name.as_str();
            let place = match &field.name {
                HeaderName::MessageId => &mut reading.strong,
                HeaderName::Subject | HeaderName::InReplyTo | HeaderName::References => &mut reading.weak,
                _ if name.eq_ignore_ascii_case(HEADER) => &mut reading.strong,
                _ => {
                    reading.is_auto_reply |= marks_auto_reply(name, text);
                    continue;
                }
            };
            place.extend(unfolded(text));
            place.push(b'\n');
            // A forward may have encoded the Subject (RFC 2047).
            if let HeaderValue::Text(decoded) = &field.value {
                place.extend_from_slice(decoded.as_bytes());
                place.push(b'\n');
            }
        }
        Some(reading)
    }

    fn form(&self, is_strong: bool) -> Form {
        match self {
            Self { is_report: true, .. } => Form::Report,
            Self { is_auto_reply: true, .. } => Form::AutoReply,
            _ if is_strong => Form::Direct,
            _ => Form::Copy,
        }
    }
}

/// RFC 3834, section 5, and the fields that automatic responders used before and besides it.
fn marks_auto_reply(name: &str, text: &[u8]) -> bool {
    let value = String::from_utf8_lossy(text).trim().to_ascii_lowercase();
    match name.to_ascii_lowercase().as_str() {
        "auto-submitted" => value.starts_with("auto-replied") || value.starts_with("auto-notified"),
        "precedence" => value == "auto_reply" || value == "auto-reply",
        "x-autoreply" | "x-autorespond" | "x-autoresponder" | "x-auto-reply" => value != "no",
        _ => false,
    }
}

/// Undoes folding (RFC 5322, section 2.2.3). A token has no space inside, but some systems break long words.
fn unfolded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        match byte {
            b'\r' if rest.peek() == Some(&b'\n') => {}
            b'\n' => {}
            byte => out.push(byte),
        }
    }
    out
}

/// The header section, at most [`MAX_FIELDS`] fields of it.
fn bounded_header(raw: &[u8]) -> &[u8] {
    let mut fields = 0;
    let mut start = 0;
    for line in raw.split_inclusive(|byte| *byte == b'\n') {
        let folded = matches!(line.first(), Some(b' ' | b'\t'));
        fields += usize::from(!folded);
        let blank = matches!(line, b"\n" | b"\r\n");
        if blank || fields > MAX_FIELDS {
            break;
        }
        start += line.len();
    }
    raw.get(..start).unwrap_or(raw)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::domain::id::{ProbeId, RecipientId};
    use crate::domain::token::{Keyring, SigningKey};
    use proptest::prelude::*;

    fn token() -> Token {
        Keyring::new(SigningKey::new([3; 32]), vec![]).sign(ProbeId::new(1, RecipientId(5), 9))
    }

    fn probe() -> Vec<u8> {
        compose(token(), Letter { from: "m@a.test", to: "r@b.test", date: Timestamp::UNIX_EPOCH })
    }

    fn form(raw: &[u8]) -> Option<Form> {
        recognise(raw).map(|recognised| {
            assert_eq!(recognised.tokens, [token()]);
            recognised.form
        })
    }

    #[test]
    fn a_probe_is_recognised_with_trace_fields_above_and_list_tags_in_the_subject() {
        let text = String::from_utf8(probe()).unwrap();
        assert_eq!(form(text.as_bytes()), Some(Form::Direct));
        let listed = text.replace("Subject: ", "Subject: [list] ");
        let traced = format!("Return-Path: <SRS0=x@y.test>\r\nReceived: from a\r\n\tby b; now\r\n{listed}");
        assert_eq!(form(traced.as_bytes()), Some(Form::Direct));
        let stripped: String = text.split_inclusive('\n').filter(|line| !line.starts_with(HEADER)).collect();
        assert_eq!(form(stripped.as_bytes()), Some(Form::Direct), "by Message-ID");
    }

    #[test]
    fn what_only_speaks_about_a_probe_is_not_the_probe() {
        let token = token();
        let forward = format!("Message-ID: <1@x>\r\nSubject: Fwd: MAILDT-PROBE: {token}\r\n\r\n");
        assert_eq!(form(forward.as_bytes()), Some(Form::Copy));
        let folded = format!("Subject: Fwd: MAILDT-PROBE:\r\n {token}\r\n\r\n");
        assert_eq!(form(folded.as_bytes()), Some(Form::Copy));
        let answer = format!("In-Reply-To: <{token}@a.test>\r\nSubject: hello\r\n\r\n");
        assert_eq!(form(answer.as_bytes()), Some(Form::Copy));
        let vacation = format!(
            "Auto-Submitted: auto-replied (vacation)\r\nSubject: Auto: MAILDT-PROBE: {token}\r\n\r\n"
        );
        assert_eq!(form(vacation.as_bytes()), Some(Form::AutoReply));
        let copied = format!("Auto-Submitted: auto-replied\r\n{HEADER}: {token}\r\n\r\n");
        assert_eq!(form(copied.as_bytes()), Some(Form::AutoReply));
        let report = format!(
            "Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=b\r\n\r\n--b\r\n\r\nSubject: {token}\r\n"
        );
        assert_eq!(form(report.as_bytes()), Some(Form::Report));
        let plain_bounce =
            format!("From: MAILER-DAEMON@mx.test (Mail Delivery System)\r\nSubject: failed: {token}\r\n\r\n");
        assert_eq!(form(plain_bounce.as_bytes()), Some(Form::Report));
        let exim = format!(
            "X-Failed-Recipients: a@b.test\r\nAuto-Submitted: auto-replied\r\nReferences: <{token}@a.test>\r\n\r\n"
        );
        assert_eq!(form(exim.as_bytes()), Some(Form::Report));
        let in_the_body = format!("Subject: hello\r\n\r\n{HEADER}: {token}\r\n");
        assert_eq!(form(in_the_body.as_bytes()), None);
    }

    #[test]
    fn a_text_is_found_where_a_token_would_be() {
        let raw =
            compose("c1.abc.def", Letter { from: "m@a.test", to: "r@b.test", date: Timestamp::UNIX_EPOCH });
        assert_eq!(form_of(&raw, "C1.ABC.def"), Some(Form::Direct));
        assert_eq!(form_of(&raw, "c1.abc.deg"), None);
        assert_eq!(recognise(&raw), None, "the service ignores tokens of checks");
    }

    #[test]
    fn the_message_is_what_mail_servers_ask_for() {
        let text = String::from_utf8(probe()).unwrap();
        for field in [
            "From: <m@a.test>",
            "Date: Thu, 1 Jan 1970 00:00:00 ",
            "Auto-Submitted: auto-generated",
            "X-Auto-Response-Suppress: All",
        ] {
            assert!(text.lines().any(|line| line.starts_with(field)), "{field}");
        }
        assert!(
            text.is_ascii() && text.ends_with("\r\n") && !text.replace("\r\n", "").contains(['\r', '\n'])
        );
        assert!(text.lines().all(|line| line.len() <= 998));
    }

    proptest! {
        #[test]
        fn arbitrary_messages_never_panic(raw: Vec<u8>) {
            let _ = recognise(&raw);
            let _ = form_of(&raw, "");
            let _ = crate::domain::report::failure(&raw);
        }

        #[test]
        fn a_hostile_header_above_does_not_hide_the_probe(fields in proptest::collection::vec("[A-Za-z-]{1,20}: [ -~]{0,60}", 0..40)) {
            let above: Vec<String> = fields.iter().map(|field| format!("X-{field}\r\n")).collect();
            let raw = [above.concat().as_bytes(), &probe()].concat();
            prop_assert!(recognise(&raw).is_some_and(|recognised| recognised.tokens.contains(&token())));
        }
    }
}
