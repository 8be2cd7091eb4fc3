//! Which messages are worth the engine's attention. A pre-filter only: it may let too much through, never too little.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a header or a body mentions a probe: `MAILDT-PROBE` (the Subject, or the name of our header field) or
/// something of the shape of a token, in any case, also in encoded words and across soft line breaks.
#[must_use]
pub fn mentions_probe(text: &[u8]) -> bool {
    mentions_plainly(text)
        || contains(text, b"=?") && mentions_plainly(&encoded_words(text))
        || contains(text, b"=\r\n") && mentions_plainly(&without_soft_breaks(text))
}

/// Whether a message may be a delivery status notification (RFC 3464), so that its body has to be looked at.
#[must_use]
pub fn may_be_report(header: &[u8]) -> bool {
    fields(header).any(|(name, value)| {
        if name.eq_ignore_ascii_case(b"Content-Type") {
            contains(&value, b"multipart/report")
        } else if name.eq_ignore_ascii_case(b"Return-Path") {
            value.trim_ascii() == b"<>"
        } else if name.eq_ignore_ascii_case(b"From") {
            contains(&value, b"mailer-daemon")
        } else {
            name.eq_ignore_ascii_case(b"X-Failed-Recipients")
        }
    })
}

fn mentions_plainly(text: &[u8]) -> bool {
    contains(text, b"maildt-probe") || text.windows(40).any(is_token_start)
}

/// `v1.` or `c1.`, a UUID, a dot.
fn is_token_start(window: &[u8]) -> bool {
    let [kind, b'1', b'.', uuid @ .., b'.'] = window else { return false };
    matches!(kind, b'v' | b'V' | b'c' | b'C')
        && uuid.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Whether `needle`, in lower case, occurs in any case.
fn contains(text: &[u8], needle: &[u8]) -> bool {
    let Some(&first) = needle.first() else { return true };
    let upper = first.to_ascii_uppercase();
    text.windows(needle.len()).any(|window| {
        window.first().is_some_and(|&byte| byte == first || byte == upper)
            && window.eq_ignore_ascii_case(needle)
    })
}

/// Name and unfolded value of each field (RFC 5322, section 2.2.3).
fn fields(header: &[u8]) -> impl Iterator<Item = (&[u8], Cow<'_, [u8]>)> {
    let mut lines = header.split(|&byte| byte == b'\n').peekable();
    std::iter::from_fn(move || {
        loop {
            let line = lines.next()?;
            let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
            let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?);
            let mut value = Cow::Borrowed(value);
            while let Some(more) = lines.next_if(|line| matches!(line, [b' ' | b'\t', ..])) {
                value.to_mut().extend_from_slice(more);
            }
            return Some((name.trim_ascii(), value));
        }
    })
}

/// The texts of all encoded words (RFC 2047), run together: clients break long subjects into several.
fn encoded_words(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut parts = text.split(|&byte| byte == b'?');
    while let Some(before) = parts.next() {
        if !before.ends_with(b"=") {
            continue;
        }
        let mut ahead = parts.clone();
        let (Some(_charset), Some(encoding), Some(word)) = (ahead.next(), ahead.next(), ahead.next()) else {
            break;
        };
        match encoding {
            b"B" | b"b" => out.extend(LENIENT.decode(word).unwrap_or_default()),
            b"Q" | b"q" => out.extend(q_decoded(word)),
            _ => continue,
        }
        parts = ahead;
    }
    out
}

fn q_decoded(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (decoded, next) = match (byte, hex) {
            (b'=', Some(decoded)) => (decoded, after.get(2..).unwrap_or_default()),
            (b'_', _) => (b' ', after),
            _ => (byte, after),
        };
        out.push(decoded);
        rest = next;
    }
    out
}

/// Quoted-printable bodies break long lines with `=` at the end (RFC 2045, section 6.7).
fn without_soft_breaks(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.windows(3).position(|window| window == b"=\r\n") {
        out.extend_from_slice(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOKEN: &str = "v1.0193e0d2-7a3c-8abc-9def-0123456789ab.abcdefghijklmnopqrstuvwxyz";

    #[test]
    fn a_probe_is_recognised_by_any_trace_of_it() {
        for text in [
            format!("X-MailDT-Probe: {TOKEN}\r\n"),
            format!("Subject: [list] Fwd: maildt-probe: {TOKEN}\r\n"),
            format!("Message-ID: <{TOKEN}@example.org>\r\n"),
            format!("References: <{}@example.org>\r\n", TOKEN.to_uppercase()),
            "Subject: =?utf-8?B?UGVyZXNsOiBNQUlMRFQtUFJPQkU6IHYx?= =?utf-8?b?LjAxOTM=?=\r\n".to_owned(),
            "Subject: =?utf-8?q?=D0=9F=3A_MAILDT=2DPRO?= =?utf-8?q?BE?=\r\n".to_owned(),
            format!(
                "text\r\n{}=\r\n{}\r\n",
                &TOKEN.get(..30).unwrap_or_default(),
                TOKEN.get(30..).unwrap_or_default()
            ),
        ] {
            assert!(mentions_probe(text.as_bytes()), "{text}");
        }
        for text in [
            "Subject: hello\r\n",
            "",
            "v1.0193e0d2-7a3c-8abc-9def-0123456789a",
            "v1.0193e0d2-7a3c-8abc-9def-0123456789azb.x",
            "Subject: =?utf-8?B?aGVsbG8=?=",
            "=?",
        ] {
            assert!(!mentions_probe(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_report_is_recognised_by_its_form_or_its_sender() {
        for header in [
            "Content-Type: multipart/report; report-type=delivery-status",
            "content-type:\r\n Multipart/Report;\r\n\tboundary=x\r\n",
            "Subject: x\r\nReturn-Path: <>\r\n",
            "From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\r\n",
            "X-Failed-Recipients: a@b\r\n",
        ] {
            assert!(may_be_report(header.as_bytes()), "{header}");
        }
        for header in
            ["Content-Type: text/plain\r\nSubject: multipart/report\r\n", "Return-Path: <a@b>\r\n", ""]
        {
            assert!(!may_be_report(header.as_bytes()), "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_token_is_found_wherever_it_stands(before in "[ -~\r\n]{0,200}", after in "[ -~\r\n]{0,200}") {
            let text = format!("{before}{TOKEN}{after}");
            prop_assert!(mentions_probe(text.as_bytes()));
        }

        #[test]
        fn no_input_makes_it_panic(text in "[=?bBqQ\r\n:<>a-f0-9v.-]{0,120}") {
            let _ = (mentions_probe(text.as_bytes()), may_be_report(text.as_bytes()));
        }
    }
}
