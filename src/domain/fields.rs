//! Header fields of foreign messages, bounded and in plain text (RFC 5322, section 2.2).

use std::borrow::Cow;

/// One field: its name, and its body as it stands in the message.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    name: &'a [u8],
    body: &'a [u8],
}

impl<'a> Field<'a> {
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The body, unfolded and trimmed, at most `limit` octets of it.
    #[must_use]
    pub fn text(&self, limit: usize) -> String {
        plain(self.body.get(..limit).unwrap_or(self.body), limit)
    }

    /// The body as it stands.
    #[must_use]
    pub fn body(&self) -> &'a [u8] {
        self.body
    }
}

/// The fields of a header, at most `limit` of them. What is no field is passed over.
pub fn fields(header: &[u8], limit: usize) -> impl Iterator<Item = Field<'_>> {
    let mut rest = header;
    let next = move || {
        loop {
            let mut length = 0;
            for line in rest.split_inclusive(|byte| *byte == b'\n') {
                if length > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
                    break;
                }
                length += line.len();
            }
            let (field, after) = rest.split_at_checked(length).filter(|(field, _)| !field.is_empty())?;
            rest = after;
            if matches!(field, b"\n" | b"\r\n") {
                return None;
            }
            let Some(colon) = field.iter().position(|byte| *byte == b':') else { continue };
            let (name, body) = field.split_at_checked(colon)?;
            return Some(Field { name: name.trim_ascii(), body: body.get(1..).unwrap_or_default() });
        }
    };
    std::iter::from_fn(next).take(limit)
}

/// Foreign octets as one line of text: unfolded, without control characters and without those that turn the direction of
/// writing, at most `limit` characters.
#[must_use]
pub fn plain(text: &[u8], limit: usize) -> String {
    let text: Cow<'_, str> = String::from_utf8_lossy(text);
    let spaced = text.trim().chars().map(|c| if c == '\t' { ' ' } else { c });
    let turns =
        |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    spaced.filter(|c| !c.is_control() && !turns(*c)).take(limit).collect()
}

/// Where the text begins with a comment (RFC 5322, section 3.2.2): what is in it, and what follows. One that does not end
/// goes to the end of the text.
#[must_use]
pub fn comment(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('(')?;
    let (mut depth, mut escaped) = (1_u32, false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            let (inside, rest) = inner.split_at_checked(at)?;
            return Some((inside, rest.get(1..).unwrap_or_default()));
        }
    }
    Some((inner, ""))
}

/// Where the text begins with a quoted string (RFC 5322, section 3.2.4): what it says, and what follows.
#[must_use]
pub fn quoted(text: &str) -> Option<(String, &str)> {
    let inner = text.strip_prefix('"')?;
    let (mut said, mut escaped) = (String::new(), false);
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => {
                escaped = false;
                said.push(c);
            }
            '\\' => escaped = true,
            '"' => return Some((said, inner.get(at + 1..).unwrap_or_default())),
            c => said.push(c),
        }
    }
    Some((said, ""))
}

/// The first characters of a text.
#[must_use]
pub fn cut(text: &str, limit: usize) -> String {
    text.chars().take(limit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_are_unfolded_and_end_with_the_header() {
        let header = b"A: one\r\n\ttwo\r\nno field\r\nb : three\nC:\r\n\r\nD: body\r\n";
        let all: Vec<(bool, String)> =
            fields(header, 9).map(|field| (field.is("b"), field.text(99))).collect();
        let texts: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
        assert_eq!(texts, ["one two", "three", ""]);
        assert!(all.get(1).is_some_and(|(is_b, _)| *is_b));
        assert_eq!(fields(header, 1).count(), 1);
    }

    #[test]
    fn comments_nest_and_quotes_escape() {
        assert_eq!(comment(r"(a (b\)) c) d"), Some((r"a (b\)) c", " d")));
        assert_eq!(comment("(open"), Some(("open", "")));
        assert_eq!(comment("x"), None);
        assert_eq!(quoted(r#""a \"b\"" c"#), Some((r#"a "b""#.to_owned(), " c")));
        assert_eq!(plain("a\u{202e}b\r\n\tc\0".as_bytes(), 9), "ab c");
    }

    proptest! {
        #[test]
        fn nothing_panics_and_texts_are_bounded(raw: Vec<u8>, text in "[()\\\\\"a;é ]{0,40}", limit in 0_usize..60) {
            for field in fields(&raw, 5) {
                prop_assert!(field.text(limit).chars().count() <= limit);
            }
            prop_assert!(fields(&raw, 5).count() <= 5);
            let _ = (comment(&text), quoted(&text));
        }
    }
}
