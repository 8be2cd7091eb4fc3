//! The probe as a message: how it is composed and how it is recognised again.

use std::fmt::Write as _;

use jiff::Timestamp;
use mail_parser::{HeaderName, HeaderValue, MessageParser, MimeHeaders};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    let header = bounded_header(raw);
    let message = MessageParser::new().parse_headers(header)?;
    let is_report = message.content_type().is_some_and(|kind| {
        kind.c_type.eq_ignore_ascii_case("multipart")
            && kind.c_subtype.as_deref().is_some_and(|subtype| subtype.eq_ignore_ascii_case("report"))
    });
    if is_report {
        let tokens = token::find(raw, MAX_TOKENS);
        return (!tokens.is_empty()).then_some(Recognised { form: Form::Report, tokens });
    }
    let mut strong = Vec::new();
    let mut weak = Vec::new();
    let mut auto_reply = false;
    for field in message.headers() {
        let text = header.get(field.offset_start() as usize..field.offset_end() as usize).unwrap_or_default();
        match &field.name {
            HeaderName::MessageId => strong.extend(token::find(&unfolded(text), MAX_TOKENS)),
            HeaderName::Subject | HeaderName::InReplyTo | HeaderName::References => {
                weak.extend(token::find(&unfolded(text), MAX_TOKENS));
                if let HeaderValue::Text(decoded) = &field.value {
                    weak.extend(token::find(decoded.as_bytes(), MAX_TOKENS));
                }
            }
            name if name.as_str().eq_ignore_ascii_case(HEADER) => {
                strong.extend(token::find(&unfolded(text), MAX_TOKENS));
            }
            name => auto_reply |= marks_auto_reply(name.as_str(), text),
        }
    }
    let form = if auto_reply {
        Form::AutoReply
    } else if strong.is_empty() {
        Form::Copy
    } else {
        Form::Direct
    };
    let mut tokens = strong;
    for token in weak {
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    tokens.truncate(MAX_TOKENS);
    (!tokens.is_empty()).then_some(Recognised { form, tokens })
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
