//! The message after DATA (RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2).

use std::time::Duration;

use crate::demo::connection::{Connection, Ended};

/// Longest line of text with its CRLF (RFC 5321 section 4.5.3.1.6).
const TEXT_LINE: usize = 1000;
/// A line beyond this ends the session.
const HARD_LINE: usize = 1024 * 1024;

/// A message as it comes in.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Without dot-stuffing and final dot; up to the size limit.
    pub raw: Vec<u8>,
    too_big: bool,
    too_long: bool,
    bare: bool,
}

impl Body {
    /// The reply to a message that broke a rule.
    pub fn refusal(&self) -> Option<&'static str> {
        if self.too_big {
            Some("552 5.3.4 Message too big")
        } else if self.bare {
            Some("550 5.6.0 Bare CR or LF in message")
        } else if self.too_long {
            Some("554 5.6.0 Line longer than 998 octets in message")
        } else {
            None
        }
    }

    /// Takes one line with its line feed; true at the final dot, which counts only between two CRLF.
    fn line(&mut self, line: &[u8], after_crlf: bool, most: usize) -> bool {
        if after_crlf && line == b".\r\n" {
            return true;
        }
        let text = line.strip_suffix(b"\r\n");
        self.bare |= text.is_none_or(|text| text.contains(&b'\r'));
        self.too_long |= line.len() > TEXT_LINE;
        let line = if after_crlf { line.strip_prefix(b".").unwrap_or(line) } else { line };
        if self.raw.len() + line.len() > most {
            self.too_big = true;
        } else {
            self.raw.extend_from_slice(line);
        }
        false
    }
}

/// Reads into `body` until the final dot. What came before a lost connection stays there.
pub(super) async fn receive(
    connection: &mut Connection,
    body: &mut Body,
    most: usize,
    patience: Duration,
) -> Result<(), Ended> {
    let mut after_crlf = true;
    loop {
        let line = connection.line(HARD_LINE, patience).await?;
        if body.line(&line, after_crlf, most) {
            return Ok(());
        }
        after_crlf = line.ends_with(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(text: &[u8]) -> (Body, bool) {
        let mut body = Body::default();
        let mut after_crlf = true;
        for line in text.split_inclusive(|b| *b == b'\n') {
            if body.line(line, after_crlf, 100_000) {
                return (body, true);
            }
            after_crlf = line.ends_with(b"\r\n");
        }
        (body, false)
    }

    #[test]
    fn dots_are_unstuffed() {
        let (body, done) = receive(b"a: b\r\n\r\n..x\r\n...\r\n.\r\nrest\r\n");
        assert!(done);
        assert_eq!(body.raw, b"a: b\r\n\r\n.x\r\n..\r\n");
        assert_eq!(body.refusal(), None);
    }

    #[test]
    fn only_crlf_dot_crlf_ends_a_message() {
        for text in [&b"a\n.\r\nb\r\n"[..], b"a\r\n.\nb\r\n", b"a\r.\r\nb\r\n", b"a\n.\nb\r\n"] {
            let (body, done) = receive(text);
            assert!(!done, "{}", text.escape_ascii());
            assert!(body.refusal().is_some_and(|r| r.starts_with("550")), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn lines_and_size_are_limited() {
        let line = |n: usize| [vec![b'x'; n], b"\r\n.\r\n".to_vec()].concat();
        assert_eq!(receive(&line(998)).0.refusal(), None);
        assert!(receive(&line(999)).0.refusal().is_some_and(|r| r.starts_with("554")));
        let big = [b"x\r\n".repeat(40_000), b".\r\n".to_vec()].concat();
        assert!(receive(&big).0.refusal().is_some_and(|r| r.starts_with("552")));
    }
}
