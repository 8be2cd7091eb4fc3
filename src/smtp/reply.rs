//! Replies of a server (RFC 5321, section 4.2), found in bytes that cannot be trusted.

use crate::domain::submission::Reply;
use crate::smtp::mask::Mask;

/// RFC 5321, section 4.5.3.1.5 asks for 512 octets; long EHLO and policy texts are seen in the wild.
pub(super) const MAX_LINE: usize = 4096;
/// All lines of one reply.
pub(super) const MAX_REPLY: usize = 32 * 1024;
/// What is kept of a reply's text, in characters.
const MAX_TEXT: usize = 1000;
/// What lettre gets of a line, in characters of up to four bytes.
const DIGESTIBLE: usize = 200;

/// Why bytes are no reply.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("the server said {0:?}, which is no SMTP reply")]
    NotAReply(String),
    #[error("a line of the reply is longer than {MAX_LINE} bytes")]
    LongLine,
    #[error("the reply is longer than {MAX_REPLY} bytes")]
    LongReply,
    #[error("the lines of one reply carry different codes, {0} and {1}")]
    Codes(u16, u16),
}

/// Finds the end of one reply in bytes that come in pieces, looking at each line once.
#[derive(Default)]
pub(super) struct Scanner {
    /// Where the first line starts that was not yet seen whole.
    line_start: usize,
    code: Option<u16>,
}

impl Scanner {
    /// The code and length of the reply at the front of `bytes`, or `None` while its last line is not there yet. `bytes`
    /// only grows between calls.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<Option<(u16, usize)>, Malformed> {
        while let Some(rest) = bytes.get(self.line_start..) {
            let Some(length) = rest.iter().position(|&b| b == b'\n').map(|at| at + 1) else {
                return match rest.len() {
                    0..MAX_LINE => Ok(None),
                    _ => Err(Malformed::LongLine),
                };
            };
            let line = rest.get(..length).unwrap_or(rest);
            if line.len() > MAX_LINE {
                return Err(Malformed::LongLine);
            }
            self.line_start += length;
            if self.line_start > MAX_REPLY {
                return Err(Malformed::LongReply);
            }
            let Line { code, last, .. } = split(line)
                .ok_or_else(|| Malformed::NotAReply(printable(line).chars().take(80).collect()))?;
            match self.code.replace(code) {
                Some(first) if first != code => return Err(Malformed::Codes(first, code)),
                _ if last => return Ok(Some((code, self.line_start))),
                _ => {}
            }
        }
        Ok(None)
    }
}

struct Line<'a> {
    code: u16,
    last: bool,
    text: &'a [u8],
}

/// `code`, then a space or hyphen, then text; a bare code is the last line too (RFC 5321, section 4.2.1). The second digit
/// may be any: 57x is in use. A missing CR is forgiven, nothing depends on it.
fn split(line: &[u8]) -> Option<Line<'_>> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let (&[a @ b'2'..=b'5', b @ b'0'..=b'9', c @ b'0'..=b'9'], rest) = line.split_first_chunk()? else {
        return None;
    };
    let code = [a, b, c].iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Some(Line { code, last: true, text: rest }),
        Some((b' ', text)) => Some(Line { code, last: true, text }),
        Some((b'-', text)) => Some(Line { code, last: false, text }),
        Some(_) => None,
    }
}

/// One whole reply, still where it was read.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) code: u16,
    pub(super) bytes: &'a [u8],
}

impl<'a> Raw<'a> {
    /// The text of each line.
    pub(super) fn lines(self) -> impl Iterator<Item = &'a [u8]> {
        self.bytes.split_inclusive(|&b| b == b'\n').filter_map(split).map(|line| line.text)
    }

    /// Appends the reply in a form that lettre can digest: it knows no second digit above 5, wants text behind each code,
    /// UTF-8 and lines below 1,000 bytes, and panics at an EHLO line of white space.
    pub(super) fn digest(self, out: &mut Vec<u8>) {
        let code = self.code / 100 * 100 + (self.code / 10 % 10).min(5) * 10 + self.code % 10;
        let mut lines = self.lines().peekable();
        while let Some(line) = lines.next() {
            let text: String = printable(line).chars().take(DIGESTIBLE).collect();
            let text = Some(text.trim()).filter(|text| !text.is_empty()).unwrap_or("-");
            let separator = if lines.peek().is_some() { '-' } else { ' ' };
            out.extend_from_slice(format!("{code}{separator}{text}\r\n").as_bytes());
        }
    }

    /// The reply as it is kept: printable, without credentials, bounded.
    pub(super) fn keep(self, mask: &Mask) -> Reply {
        let lines: Vec<String> = self.lines().map(printable).collect();
        let enhanced =
            lines.iter().find_map(|line| enhanced_code(line, self.code)).map(|(code, _)| code.to_owned());
        // RFC 2034: the enhanced code stands on every line; once is enough.
        let texts: Vec<&str> = lines
            .iter()
            .map(|line| match enhanced_code(line, self.code) {
                Some((code, text)) if Some(code) == enhanced.as_deref() => text,
                _ => line.trim(),
            })
            .filter(|text| !text.is_empty())
            .collect();
        let text = mask.apply(&texts.join(" ")).chars().take(MAX_TEXT).collect();
        Reply { code: self.code, enhanced, text }
    }
}

/// `class.subject.detail` at the start of a text (RFC 3463, section 2) and the text behind it. The class must be that of
/// the reply; some gateways write a `#` before it.
fn enhanced_code(text: &str, code: u16) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let word = word.strip_prefix('#').unwrap_or(word);
    let mut parts = word.split('.');
    let number = |part: Option<&str>| {
        part.is_some_and(|p| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    let class = parts.next()?.parse::<u16>().ok()?;
    let whole = number(parts.next()) && number(parts.next()) && parts.next().is_none();
    (whole
        && class == code / 100
        && matches!(class, 2 | 4 | 5)
        && word.starts_with(|c: char| c.is_ascii_digit()))
    .then_some((word, rest.trim()))
}

/// Foreign bytes as text: no control characters, nor those that reverse the direction of what follows.
pub(super) fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .map(|c| if c == '\t' { ' ' } else { c })
        .filter(|c| !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'))
        .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8]) -> Result<Option<(u16, usize)>, Malformed> {
        Scanner::default().scan(bytes)
    }

    fn keep(bytes: &[u8]) -> Reply {
        let (code, length) = scan(bytes).unwrap().unwrap();
        Raw { code, bytes: &bytes[..length] }.keep(&Mask::default())
    }

    #[test]
    fn the_end_of_a_reply_is_its_first_line_without_a_hyphen() {
        assert_eq!(scan(b"250-a\r\n250-b\r\n250 c\r\n354 x"), Ok(Some((250, 21))));
        assert_eq!(scan(b"250\r\n"), Ok(Some((250, 5))), "a bare code is a reply");
        assert_eq!(scan(b"571 no\n"), Ok(Some((571, 7))), "any second digit, a missing CR forgiven");
        for incomplete in [&b""[..], b"2", b"250", b"250 ok\r", b"250-a\r\n", b"250-a\r\n250"] {
            assert_eq!(scan(incomplete), Ok(None));
        }
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for garbage in
            [&b"hello\r\n"[..], b"\r\n", b"25\r\n", b"2500 x\r\n", b"150 x\r\n", b"600 x\r\n", b"25a x\r\n"]
        {
            assert!(matches!(scan(garbage), Err(Malformed::NotAReply(_))), "{garbage:?}");
        }
        assert_eq!(scan(b"250-a\r\n251 b\r\n"), Err(Malformed::Codes(250, 251)));
        let long = [b"250 ".as_slice(), &[b'x'; MAX_LINE], b"\r\n"].concat();
        assert_eq!(scan(&long), Err(Malformed::LongLine));
        assert_eq!(scan(&long[..MAX_LINE]), Err(Malformed::LongLine), "before its end has come");
        assert_eq!(scan(&b"250-abc\r\n".repeat(MAX_REPLY / 9 + 1)), Err(Malformed::LongReply));
    }

    #[test]
    fn every_line_is_kept_and_the_enhanced_code_said_once() {
        let reply = keep(
            b"550-5.1.1 The account does not exist.\r\n550-5.1.1 Learn\tmore at\r\n550 5.1.1 example\r\n",
        );
        assert_eq!(reply.code, 550);
        assert_eq!(reply.enhanced.as_deref(), Some("5.1.1"));
        assert_eq!(reply.text, "The account does not exist. Learn more at example");
        assert_eq!(keep(b"451-4.7.1 Greylisted\r\n451 wait\r\n").text, "Greylisted wait");
    }

    #[test]
    fn an_enhanced_code_has_the_class_of_its_reply() {
        let enhanced = |bytes: &[u8]| keep(bytes).enhanced;
        assert_eq!(enhanced(b"450 4.7.1 later\r\n").as_deref(), Some("4.7.1"));
        assert_eq!(enhanced(b"550 #5.1.0 rejected\r\n").as_deref(), Some("5.1.0"));
        assert_eq!(enhanced(b"250 2.0.0\r\n").as_deref(), Some("2.0.0"));
        for none in [
            &b"450 5.7.1 later\r\n"[..],
            b"354 3.0.0 go\r\n",
            b"250 2.0 ok\r\n",
            b"250 2.0.0.1 ok\r\n",
            b"250 2.0.1234 ok\r\n",
            b"250 +2.0.0 ok\r\n",
            b"250 2.0.0, ok\r\n",
        ] {
            assert_eq!(enhanced(none), None, "{none:?}");
        }
        assert_eq!(keep(b"450 5.7.1 later\r\n").text, "5.7.1 later", "nothing is lost");
    }

    #[test]
    fn text_is_printable_and_bounded() {
        let reply = keep(b"550 a\x00\x1b[31mb\xe4\r c\x7f\xe2\x80\xaed\r\n");
        assert_eq!(reply.text, "a[31mb\u{fffd} cd");
        let reply = keep(&[b"550-".as_slice(), &[b'x'; 900], b"\r\n550 ", &[b'y'; 900], b"\r\n"].concat());
        assert_eq!(reply.text.chars().count(), MAX_TEXT);
    }

    proptest! {
        /// In whatever pieces bytes arrive, the result is that of one look at all of them up to then.
        #[test]
        fn pieces_do_not_matter(
            text in proptest::collection::vec(
                prop_oneof![
                    Just(b"250-".to_vec()), Just(b"250 ".to_vec()), Just(b"\r\n".to_vec()), Just(b"\n".to_vec()),
                    Just(b"451 4.7.1 x\r\n".to_vec()), proptest::collection::vec(any::<u8>(), 0..6)
                ],
                0..12
            ),
            step in 1usize..9,
        ) {
            let bytes = text.concat();
            let mut scanner = Scanner::default();
            let mut seen = 0;
            let piecewise = loop {
                seen = (seen + step).min(bytes.len());
                let result = scanner.scan(&bytes[..seen]);
                if result != Ok(None) || seen == bytes.len() { break result }
            };
            prop_assert_eq!(&piecewise, &scan(&bytes));
            if let Ok(Some((code, length))) = piecewise {
                prop_assert!((200..600).contains(&code));
                prop_assert_eq!(bytes[length - 1], b'\n');
                let reply = Raw { code, bytes: &bytes[..length] }.keep(&Mask::default());
                prop_assert!(reply.text.chars().all(|c| !c.is_control()));
                prop_assert!(reply.text.chars().count() <= MAX_TEXT);
                if let Some(enhanced) = reply.enhanced {
                    prop_assert_eq!(enhanced.bytes().next(), code.to_string().bytes().next());
                }
            }
        }

        /// What a server means, written as the RFC has it, is what we read.
        #[test]
        fn a_well_formed_reply_is_read_as_meant(
            code in 200u16..600,
            detail in proptest::option::of((0u16..1000, 0u16..1000)),
            lines in proptest::collection::vec("[a-z][a-zA-Z0-9 ,:]{0,30}[a-z]", 1..5),
        ) {
            let enhanced = detail
                .filter(|_| code / 100 != 3)
                .map(|(subject, detail)| format!("{}.{subject}.{detail}", code / 100));
            let last = lines.len() - 1;
            let mut wire = String::new();
            for (i, line) in lines.iter().enumerate() {
                wire.push_str(&code.to_string());
                wire.push(if i == last { ' ' } else { '-' });
                wire.push_str(&enhanced.as_ref().map(|e| format!("{e} ")).unwrap_or_default());
                wire.push_str(line);
                wire.push_str("\r\n");
            }
            prop_assert_eq!(keep(wire.as_bytes()), Reply { code, enhanced, text: lines.join(" ") });
        }

        #[test]
        fn noise_is_no_reason_to_panic(bytes: Vec<u8>) {
            if let Ok(Some((code, length))) = scan(&bytes) {
                let _ = Raw { code, bytes: &bytes[..length] }.keep(&Mask::default());
            }
        }
    }
}
