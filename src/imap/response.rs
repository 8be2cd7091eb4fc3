//! Responses (RFC 3501, section 7) as far as we use them.

use bytes::Bytes;

use super::error::Error;
use super::syntax::{Value, values};

/// OK, NO and BAD close a command; PREAUTH and BYE only come untagged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// A status with the response code in brackets, if any, and the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub status: Status,
    /// Without its brackets, such as `UIDNEXT 17`.
    pub code: Option<String>,
    pub text: String,
}

impl Outcome {
    /// The number of a code such as `UIDVALIDITY 17`.
    pub(super) fn code_number(&self, name: &str) -> Option<u32> {
        let (code, number) = self.code.as_deref()?.split_once(' ')?;
        code.eq_ignore_ascii_case(name).then(|| number.trim().parse().ok()).flatten()
    }

    pub(super) fn has_code(&self, name: &str) -> bool {
        self.code.as_deref().is_some_and(|code| code.eq_ignore_ascii_case(name))
    }

    /// The capabilities that came as a code, so that nobody needs to ask.
    pub(super) fn capabilities(&self) -> Option<Vec<String>> {
        let (code, list) = self.code.as_deref()?.split_once(' ')?;
        code.eq_ignore_ascii_case("CAPABILITY").then(|| words(list))
    }

    /// Code and text, as the server said them.
    pub(super) fn words(&self) -> String {
        match &self.code {
            Some(code) => format!("[{code}] {}", self.text),
            None => self.text.clone(),
        }
    }
}

/// One message's data in reply to FETCH.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fetched {
    pub sequence: u32,
    pub uid: Option<u32>,
    /// INTERNALDATE as it was sent.
    pub internal_date: Option<String>,
    /// The one section that was asked for.
    pub section: Option<Bytes>,
}

/// A folder as LIST tells it; the name is still in modified UTF-7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub attributes: Vec<String>,
    pub delimiter: Option<char>,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Untagged {
    Status(Outcome),
    Capability(Vec<String>),
    List(Listed),
    Search(Vec<u32>),
    Exists(u32),
    Expunge(u32),
    Fetch(Fetched),
    /// Any other: "a client must be prepared to accept any response at all times" (RFC 3501, section 2.2.2).
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// `+`, with its text.
    Continue(String),
    Tagged(String, Outcome),
    Untagged(Untagged),
}

/// Reads one whole response.
///
/// # Errors
/// For what is not IMAP, and for data of a kind that we use which cannot be read: to pass over that would be to
/// overlook a message.
pub(super) fn parse(frame: &Bytes) -> Result<Response, Error> {
    let fault = || {
        let start = frame.get(..frame.len().min(120)).unwrap_or_default();
        let start = super::error::printable(&String::from_utf8_lossy(start), &[]);
        Error::Protocol(format!("the server sends what we cannot read: {start}"))
    };
    let (first, rest) = split_word(frame);
    match first {
        b"*" => untagged(frame, rest).map(Response::Untagged).ok_or_else(fault),
        b"+" => Ok(Response::Continue(String::from_utf8_lossy(rest).into_owned())),
        tag => {
            let outcome = outcome(rest).filter(|outcome| {
                matches!(outcome.status, Status::Ok | Status::No | Status::Bad)
                    && !tag.is_empty()
                    && tag.iter().all(u8::is_ascii_alphanumeric)
            });
            let tag = String::from_utf8_lossy(tag).into_owned();
            outcome.map(|outcome| Response::Tagged(tag, outcome)).ok_or_else(fault)
        }
    }
}

fn untagged(frame: &Bytes, rest: &[u8]) -> Option<Untagged> {
    if let Some(outcome) = outcome(rest) {
        return Some(Untagged::Status(outcome));
    }
    let (first, rest) = split_word(rest);
    if let Some(number) = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok()) {
        let (kind, data) = split_word(rest);
        return match kind.to_ascii_uppercase().as_slice() {
            b"EXISTS" => Some(Untagged::Exists(number)),
            b"EXPUNGE" => Some(Untagged::Expunge(number)),
            b"FETCH" => fetched(frame, number, data).map(Untagged::Fetch),
            _ => Some(Untagged::Other),
        };
    }
    match first.to_ascii_uppercase().as_slice() {
        b"CAPABILITY" => Some(Untagged::Capability(words(&String::from_utf8_lossy(rest)))),
        b"LIST" => listed(rest).map(Untagged::List),
        b"SEARCH" => search(rest).map(Untagged::Search),
        b"" => None,
        _ => Some(Untagged::Other),
    }
}

fn outcome(input: &[u8]) -> Option<Outcome> {
    let (word, rest) = split_word(input);
    let status = match word.to_ascii_uppercase().as_slice() {
        b"OK" => Status::Ok,
        b"NO" => Status::No,
        b"BAD" => Status::Bad,
        b"PREAUTH" => Status::PreAuth,
        b"BYE" => Status::Bye,
        _ => return None,
    };
    let text = String::from_utf8_lossy(rest);
    let coded = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    Some(match coded {
        Some((code, text)) => {
            Outcome { status, code: Some(code.to_owned()), text: text.trim_start().to_owned() }
        }
        None => Outcome { status, code: None, text: text.into_owned() },
    })
}

fn fetched(frame: &Bytes, sequence: u32, data: &[u8]) -> Option<Fetched> {
    let values = values(data)?;
    let [Value::List(items)] = values.as_slice() else { return None };
    let mut fetched = Fetched { sequence, ..Fetched::default() };
    for item in items.chunks(2) {
        let [Value::Atom(name), value] = item else { return None };
        let name = name.to_ascii_uppercase();
        if name == b"UID" {
            fetched.uid = Some(value.number()?);
        } else if name == b"INTERNALDATE" {
            fetched.internal_date = Some(String::from_utf8_lossy(value.bytes()?).into_owned());
        } else if name.starts_with(b"BODY[") {
            let bytes = if value.is_nil() { &b""[..] } else { value.bytes()? };
            fetched.section = Some(borrowed_part(frame, bytes));
        }
    }
    Some(fetched)
}

/// A part of `frame` without a copy where it is one, and it nearly always is: a literal.
fn borrowed_part(frame: &Bytes, part: &[u8]) -> Bytes {
    let range = frame.as_ptr_range();
    if part.is_empty() || !range.contains(&part.as_ptr()) {
        return Bytes::copy_from_slice(part);
    }
    frame.slice_ref(part)
}

fn listed(data: &[u8]) -> Option<Listed> {
    let values = values(data)?;
    let [Value::List(attributes), delimiter, name, ..] = values.as_slice() else { return None };
    let text = |value: &Value<'_>| value.bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let delimiter = if delimiter.is_nil() { None } else { text(delimiter)?.chars().next() };
    Some(Listed {
        attributes: attributes.iter().map(text).collect::<Option<_>>()?,
        delimiter,
        name: text(name)?,
    })
}

fn search(data: &[u8]) -> Option<Vec<u32>> {
    // RFC 7162: `(MODSEQ n)` may follow.
    let numbers = data.split(|&byte| byte == b'(').next().unwrap_or_default();
    numbers
        .split(|&byte| byte == b' ')
        .filter(|word| !word.is_empty())
        .map(|word| std::str::from_utf8(word).ok()?.parse().ok())
        .collect()
}

fn split_word(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|&byte| byte == b' ') {
        Some(at) => (input.get(..at).unwrap_or_default(), input.get(at + 1..).unwrap_or_default()),
        None => (input, &[]),
    }
}

fn words(text: &str) -> Vec<String> {
    text.split_ascii_whitespace().map(str::to_ascii_uppercase).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(line: &str) -> Response {
        parse(&Bytes::copy_from_slice(line.as_bytes())).unwrap()
    }

    fn refused(line: &str) -> bool {
        matches!(parse(&Bytes::copy_from_slice(line.as_bytes())), Err(Error::Protocol(_)))
    }

    #[test]
    fn a_tagged_status_with_and_without_code() {
        let Response::Tagged(tag, outcome) = read("a7 NO [AUTHENTICATIONFAILED] Sorry [x]") else { panic!() };
        assert_eq!((tag.as_str(), outcome.status), ("a7", Status::No));
        assert!(outcome.has_code("authenticationfailed"));
        assert_eq!(outcome.text, "Sorry [x]");
        let Response::Untagged(Untagged::Status(outcome)) = read("* OK [UIDNEXT 17] next") else { panic!() };
        assert_eq!(outcome.code_number("UIDNEXT"), Some(17));
        assert_eq!(outcome.code_number("UIDVALIDITY"), None);
    }

    #[test]
    fn a_message_with_its_header() {
        let line = "* 4 FETCH (UID 12 X-NEW (a (b)) INTERNALDATE \"22-Nov-2026 13:00:00 +0100\" BODY[HEADER]<0> {5}\r\na:b\r\n FLAGS ())";
        let Response::Untagged(Untagged::Fetch(fetched)) = read(line) else { panic!() };
        assert_eq!((fetched.sequence, fetched.uid), (4, Some(12)));
        assert_eq!(fetched.section.as_deref(), Some(&b"a:b\r\n"[..]));
        assert_eq!(fetched.internal_date.as_deref(), Some("22-Nov-2026 13:00:00 +0100"));
    }

    #[test]
    fn search_and_list() {
        assert_eq!(read("* SEARCH"), Response::Untagged(Untagged::Search(vec![])));
        assert_eq!(read("* SEARCH 1 22  3 "), Response::Untagged(Untagged::Search(vec![1, 22, 3])));
        assert_eq!(read("* search 5 (MODSEQ 9)"), Response::Untagged(Untagged::Search(vec![5])));
        let Response::Untagged(Untagged::List(listed)) =
            read("* LIST (\\HasNoChildren \\Junk) \".\" INBOX.Spam")
        else {
            panic!()
        };
        assert_eq!((listed.name.as_str(), listed.delimiter), ("INBOX.Spam", Some('.')));
        let Response::Untagged(Untagged::List(listed)) = read("* LIST () NIL {4}\r\na \"b") else { panic!() };
        assert_eq!((listed.name.as_str(), listed.delimiter), ("a \"b", None));
    }

    #[test]
    fn unknown_responses_are_passed_over_but_unreadable_ones_are_not() {
        for line in
            ["* ENABLED X", "* NAMESPACE ((\"\" \"/\")) NIL NIL", "* 3 RECENT", "* ESEARCH (TAG \"a\") UID"]
        {
            assert_eq!(read(line), Response::Untagged(Untagged::Other), "{line}");
        }
        for line in [
            "* SEARCH 1 x",
            "* 1 FETCH (UID",
            "* 1 FETCH (UID x)",
            "* 1 FETCH (UID 5 BODY[])",
            "* ",
            "",
            "HTTP/1.1 400 Bad Request",
            "garbage",
            "a1 BYE now",
            "* LIST (",
        ] {
            assert!(refused(line), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(input in "(\\* |a1 |\\+ )?([0-9]{1,3} )?(FETCH|LIST|SEARCH|OK|NO)? ?[()\\[\\]\"{}\\\\\r\n 0-9A-Z]{0,40}") {
            let _ = parse(&Bytes::from(input.into_bytes()));
        }
    }
}
