//! The values of which responses are made: atoms, strings, parenthesized lists (RFC 3501, section 4).

use std::borrow::Cow;

/// Lists deeper than this are refused: the depth of our stack must not be chosen by others.
const DEPTH_MAX: usize = 32;

/// One value of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A bare word, `NIL` and numbers among them. A section in brackets belongs to its word: `BODY[HEADER]<0>`.
    Atom(&'a [u8]),
    /// A quoted string or a literal.
    Text(Cow<'a, [u8]>),
    List(Vec<Self>),
}

impl Value<'_> {
    pub(super) fn number(&self) -> Option<u32> {
        match self {
            Self::Atom(atom) => std::str::from_utf8(atom).ok()?.parse().ok(),
            Self::Text(_) | Self::List(_) => None,
        }
    }

    /// An atom's or a string's bytes.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Atom(atom) => Some(atom),
            Self::Text(text) => Some(text),
            Self::List(_) => None,
        }
    }

    pub(super) fn is_nil(&self) -> bool {
        matches!(self, Self::Atom(atom) if atom.eq_ignore_ascii_case(b"NIL"))
    }
}

/// All values in `input`, or `None` where it is not well-formed.
pub(super) fn values(input: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut parser = Parser { rest: input };
    let values = parser.values(0)?;
    parser.rest.is_empty().then_some(values)
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl<'a> Parser<'a> {
    /// Values up to the end or the closing parenthesis, which stays. Servers put more or fewer spaces than the grammar
    /// wants; that is harmless.
    fn values(&mut self, depth: usize) -> Option<Vec<Value<'a>>> {
        let mut values = Vec::new();
        loop {
            match self.rest {
                [] | [b')', ..] => return Some(values),
                [b' ', ..] => drop(self.take(1)),
                _ => values.push(self.value(depth)?),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        match self.rest {
            [b'(', ..] if depth < DEPTH_MAX => {
                self.take(1)?;
                let values = self.values(depth + 1)?;
                (self.take(1)? == b")").then_some(Value::List(values))
            }
            [b'"', ..] => self.quoted(),
            [b'{', ..] => self.literal(),
            [b'(' | b'\r' | b'\n', ..] => None,
            _ => self.atom(),
        }
    }

    fn atom(&mut self) -> Option<Value<'a>> {
        let mut length = 0;
        while let Some(byte) = self.rest.get(length) {
            match byte {
                b' ' | b'(' | b')' | b'"' | b'\r' | b'\n' => break,
                b'[' => length += self.section(length).unwrap_or(1),
                _ => length += 1,
            }
        }
        (length > 0).then(|| self.take(length).map(Value::Atom)).flatten()
    }

    /// The length of a section in brackets that begins at `start`. It holds spaces and parentheses, but no line end.
    fn section(&self, start: usize) -> Option<usize> {
        let section = self.rest.get(start..)?;
        let end = section.iter().position(|byte| matches!(byte, b']' | b'\r' | b'\n'))?;
        (section.get(end) == Some(&b']')).then_some(end + 1)
    }

    fn quoted(&mut self) -> Option<Value<'a>> {
        self.take(1)?;
        let mut text = Cow::Borrowed(&b""[..]);
        loop {
            let plain = self.rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | b'\r' | b'\n'))?;
            let part = self.take(plain)?;
            match &mut text {
                Cow::Borrowed(b"") => text = Cow::Borrowed(part),
                text => text.to_mut().extend_from_slice(part),
            }
            match self.take(1)? {
                b"\"" => return Some(Value::Text(text)),
                b"\\" => text.to_mut().extend_from_slice(self.take(1)?),
                _ => return None,
            }
        }
    }

    fn literal(&mut self) -> Option<Value<'a>> {
        let close = self.rest.iter().position(|&byte| byte == b'}')?;
        let length: usize = std::str::from_utf8(self.rest.get(1..close)?).ok()?.parse().ok()?;
        self.take(close + 1)?;
        if self.take(2)? != b"\r\n" {
            return None;
        }
        self.take(length).map(|text| Value::Text(Cow::Borrowed(text)))
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_kind_of_value() {
        let input = b"(\\Seen NIL) \"a \\\"b\\\\\" BODY[HEADER.FIELDS (A B)]<0> {5}\r\n)\r\n( 17";
        let out = values(input).unwrap();
        assert_eq!(
            out,
            vec![
                Value::List(vec![Value::Atom(b"\\Seen"), Value::Atom(b"NIL")]),
                Value::Text(Cow::Borrowed(b"a \"b\\")),
                Value::Atom(b"BODY[HEADER.FIELDS (A B)]<0>"),
                Value::Text(Cow::Borrowed(b")\r\n( ".get(..5).unwrap())),
                Value::Atom(b"17"),
            ]
            .into_iter()
            .collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_is_not_well_formed_is_nothing() {
        for input in ["(", "(a", "\"a", "{5}\r\nabc", "{5}abcde", "{x}\r\n", "a)", "\"\\", "a\r\nb"] {
            assert_eq!(values(input.as_bytes()), None, "{input:?}");
        }
        assert_eq!(values("(".repeat(100_000).as_bytes()), None, "the stack is ours");
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(input in "[()\\[\\]\"{}\\\\\r\n 0-9a-z]{0,60}") {
            let _ = values(input.as_bytes());
        }

        #[test]
        fn a_literal_comes_back_as_it_was(bytes: Vec<u8>) {
            let mut input = format!("A {{{}}}\r\n", bytes.len()).into_bytes();
            input.extend(&bytes);
            input.extend(b" B");
            let out = values(&input).unwrap();
            prop_assert_eq!(out.get(1).and_then(Value::bytes), Some(bytes.as_slice()));
            prop_assert_eq!(out.len(), 3);
        }
    }
}
