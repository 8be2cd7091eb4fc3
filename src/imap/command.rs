//! Writing commands: nothing from outside may end a line early.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A value that cannot stand in a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("contains a line break or a NUL")]
pub(super) struct Unsendable;

/// `text` as a quoted string (RFC 3501, section 4.3).
pub(super) fn quoted(text: &str) -> Result<String, Unsendable> {
    if text.contains(['\r', '\n', '\0']) {
        return Err(Unsendable);
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    Ok(out)
}

/// The one message of SASL PLAIN (RFC 4616).
pub(super) fn sasl_plain(user: &str, pass: &str) -> String {
    format!("\0{user}\0{pass}")
}

/// The same as it goes over the wire.
pub(super) fn sasl_plain_base64(user: &str, pass: &str) -> String {
    STANDARD.encode(sasl_plain(user, pass))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_quoted_string_cannot_be_left() {
        assert_eq!(quoted(r#"a"b\c"#).unwrap(), r#""a\"b\\c""#);
        for text in ["a\r\nA2 DELETE INBOX", "a\n", "a\r", "a\0b"] {
            assert_eq!(quoted(text), Err(Unsendable), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_quoted_string_reads_back(text in "[^\r\n\0]{0,40}") {
            let quoted = quoted(&text).unwrap();
            let values = super::super::syntax::values(quoted.as_bytes()).unwrap();
            prop_assert_eq!(values.len(), 1);
            prop_assert_eq!(values.first().and_then(|v| v.bytes()), Some(text.as_bytes()));
        }
    }
}
