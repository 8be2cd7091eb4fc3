//! Which responses come through to the client library, and in which form.
//!
//! A client must be prepared to accept any response at all times (RFC 3501, section 2.2.2); the library is not. What
//! nobody here uses is left out. What is used and cannot be read is an error: to pass over that would be to overlook
//! a message.

use std::io::Write as _;

use async_imap::imap_proto;
use bytes::Bytes;

use super::error::{Error, printable};
use super::response::Response;
use super::session::SECTION_MAX;
use super::syntax::{Value, values};

/// How long the pieces are into which long search results are broken, in bytes: the library reads a response anew
/// whenever some more of it has come.
const SEARCH_PIECE: usize = 2_000;

/// The form in which a response comes through; `None` when nobody here uses it.
///
/// # Errors
/// For what is not IMAP, and for what is used but cannot be read.
pub(super) fn screened(frame: &Bytes) -> Result<Option<Bytes>, Error> {
    let fault = || {
        let start = frame.get(..frame.len().min(120)).unwrap_or_default();
        let start = printable(&String::from_utf8_lossy(start), &[]);
        Error::Protocol(format!("the server sends what we cannot read: {start}"))
    };
    let line = frame.strip_suffix(b"\r\n").ok_or_else(fault)?;
    let (first, rest) = split_word(line);
    let passing = match kind(first, rest) {
        Kind::Status => Some(with_space_after_code(frame)),
        Kind::Fetch(sequence, data) => match plain_fetch(sequence, data) {
            Fetch::Plain(plain) => Some(plain),
            Fetch::NothingOfInterest => None,
            Fetch::Unreadable => return Err(fault()),
        },
        Kind::Search(data) => Some(search_in_pieces(data)),
        Kind::List(data) => {
            values(data).ok_or_else(fault)?;
            Some(frame.clone())
        }
        Kind::Count => Some(frame.clone()),
        Kind::Capability => return Ok(read(frame).map(|_| frame.clone())),
        Kind::Unused => None,
        Kind::None => return Err(fault()),
    };
    match passing {
        Some(passing) if !is_readable(&passing) => Err(fault()),
        passing => Ok(passing),
    }
}

/// What the library makes of one response that fills `bytes`.
pub(super) fn read(bytes: &[u8]) -> Option<Response> {
    match imap_proto::Response::parse(bytes) {
        Ok(([], response)) => Some(Response::from(&response)),
        _ => None,
    }
}

/// Whether the library can read all of `bytes`, one or several responses.
fn is_readable(mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match imap_proto::Response::parse(bytes) {
            Ok((rest, _)) => bytes = rest,
            Err(_) => return false,
        }
    }
    true
}

enum Kind<'a> {
    /// Untagged, tagged, or a continuation request.
    Status,
    Capability,
    List(&'a [u8]),
    Search(&'a [u8]),
    /// EXISTS, EXPUNGE.
    Count,
    Fetch(u32, &'a [u8]),
    Unused,
    None,
}

fn kind<'a>(tag: &[u8], data: &'a [u8]) -> Kind<'a> {
    if tag != b"*" {
        return Kind::Status;
    }
    let (first, rest) = split_word(data);
    if let Some(number) = std::str::from_utf8(first).ok().and_then(|text| text.parse().ok()) {
        let (kind, data) = split_word(rest);
        return match kind.to_ascii_uppercase().as_slice() {
            b"EXISTS" | b"EXPUNGE" => Kind::Count,
            b"FETCH" => Kind::Fetch(number, data),
            _ => Kind::Unused,
        };
    }
    match first.to_ascii_uppercase().as_slice() {
        b"OK" | b"NO" | b"BAD" | b"PREAUTH" | b"BYE" => Kind::Status,
        b"CAPABILITY" => Kind::Capability,
        b"LIST" => Kind::List(rest),
        b"SEARCH" => Kind::Search(rest),
        b"" => Kind::None,
        _ => Kind::Unused,
    }
}

/// The library takes the space after a response code for granted, and panics where there is none but a letter of
/// several bytes. Which bracket closes the code only the library knows, so each one gets its space.
fn with_space_after_code(frame: &Bytes) -> Bytes {
    let lacks_space = |pair: &[u8]| matches!(pair, [b']', next] if !matches!(next, b' ' | b'\r'));
    if !frame.windows(2).any(lacks_space) {
        return frame.clone();
    }
    let mut out = Vec::with_capacity(frame.len() + 8);
    for (index, &byte) in frame.iter().enumerate() {
        out.push(byte);
        if frame.get(index..index + 2).is_some_and(lacks_space) {
            out.push(b' ');
        }
    }
    out.into()
}

enum Fetch {
    Plain(Bytes),
    NothingOfInterest,
    Unreadable,
}

/// Just UID, INTERNALDATE and the section that was asked for. The library has no bound on nesting and cannot read some
/// of what else a server may tell.
fn plain_fetch(sequence: u32, data: &[u8]) -> Fetch {
    plain_items(sequence, data).unwrap_or(Fetch::Unreadable)
}

fn plain_items(sequence: u32, data: &[u8]) -> Option<Fetch> {
    let values = values(data)?;
    let [Value::List(items)] = values.as_slice() else { return None };
    let mut out = Vec::new();
    for item in items.chunks(2) {
        let [Value::Atom(name), value] = item else { return None };
        let name = name.to_ascii_uppercase();
        let written = if name == b"UID" {
            write!(out, " UID {}", value.number()?)
        } else if name == b"INTERNALDATE" {
            let text = String::from_utf8_lossy(value.bytes()?);
            let is_plain =
                !value.is_nil() && text.chars().all(|c| c.is_ascii_alphanumeric() || " :+-".contains(c));
            if is_plain { write!(out, " INTERNALDATE \"{text}\"") } else { Ok(()) }
        } else if name.starts_with(b"BODY[") {
            let section = if value.is_nil() { &b""[..] } else { value.bytes()? };
            let section = section.get(..SECTION_MAX).unwrap_or(section);
            write!(out, " BODY[]<0> {{{}}}\r\n", section.len()).and_then(|()| out.write_all(section))
        } else {
            Ok(())
        };
        written.ok()?;
    }
    if out.is_empty() {
        return Some(Fetch::NothingOfInterest);
    }
    let mut plain = format!("* {sequence} FETCH (").into_bytes();
    plain.extend_from_slice(out.trim_ascii_start());
    plain.extend_from_slice(b")\r\n");
    Some(Fetch::Plain(plain.into()))
}

/// `* SEARCH 1 2 3` as several such responses.
fn search_in_pieces(data: &[u8]) -> Bytes {
    // RFC 7162: `(MODSEQ n)` may follow.
    let numbers = data.split(|&byte| byte == b'(').next().unwrap_or_default();
    let mut out = b"* SEARCH".to_vec();
    let mut piece = 0;
    for number in numbers.split(|&byte| byte == b' ').filter(|number| !number.is_empty()) {
        if piece > SEARCH_PIECE {
            out.extend_from_slice(b"\r\n* SEARCH");
            piece = 0;
        }
        out.push(b' ');
        out.extend_from_slice(number);
        piece += number.len() + 1;
    }
    out.extend_from_slice(b"\r\n");
    out.into()
}

fn split_word(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|&byte| byte == b' ') {
        Some(at) => (input.get(..at).unwrap_or_default(), input.get(at + 1..).unwrap_or_default()),
        None => (input, &[]),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use super::super::response::{Code, Status, Untagged};
    use super::*;
    use proptest::prelude::*;

    fn screen(line: &str) -> Option<Bytes> {
        screened(&Bytes::from(format!("{line}\r\n"))).unwrap()
    }

    fn through(line: &str) -> Response {
        read(&screen(line).unwrap()).unwrap()
    }

    #[test]
    fn a_tagged_status_with_and_without_code() {
        let Response::Tagged(tag, outcome) = through("A7 NO [AUTHENTICATIONFAILED] Sorry [x]") else {
            panic!()
        };
        assert_eq!((tag.as_str(), outcome.status), ("A7", Status::No));
        assert_eq!(outcome.code, Some(Code::Other("AUTHENTICATIONFAILED".to_owned())));
        assert_eq!(outcome.words, "[AUTHENTICATIONFAILED] Sorry [x]");
        let Response::Untagged(Untagged::Status(outcome)) = through("* OK [UIDNEXT 17]") else { panic!() };
        assert_eq!(outcome.code, Some(Code::UidNext(17)));
        let Response::Tagged(_, outcome) = through("A1 OK") else { panic!() };
        assert_eq!((outcome.code, outcome.words.as_str()), (None, ""));
    }

    #[test]
    fn a_message_with_its_header() {
        let line = "* 4 FETCH (UID 12 X-NEW (a (b)) INTERNALDATE \"22-Nov-2026 13:00:00 +0100\" \
                    BODY[HEADER.FIELDS (A B)]<0> {5}\r\na:b\r\n FLAGS ())";
        let Response::Untagged(Untagged::Fetch(fetched)) = through(line) else { panic!() };
        assert_eq!((fetched.sequence, fetched.uid), (4, Some(12)));
        assert_eq!(fetched.section.as_deref(), Some(&b"a:b\r\n"[..]));
        assert_eq!(fetched.internal_date.as_deref(), Some("22-Nov-2026 13:00:00 +0100"));
        let Response::Untagged(Untagged::Fetch(fetched)) = through("* 4 FETCH (BODY[HEADER] NIL UID 1)")
        else {
            panic!()
        };
        assert_eq!(fetched.section.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn a_long_search_comes_in_pieces() {
        let numbers: Vec<String> = (1..=100_000).map(|n: u32| n.to_string()).collect();
        let passing = screen(&format!("* SEARCH {}", numbers.join(" "))).unwrap();
        let (mut rest, mut uids) = (passing.as_ref(), Vec::new());
        while !rest.is_empty() {
            let end = rest.iter().position(|&byte| byte == b'\n').unwrap() + 1;
            assert!(end < SEARCH_PIECE + 30);
            let Some(Response::Untagged(Untagged::Search(some))) = read(rest.get(..end).unwrap()) else {
                panic!()
            };
            uids.extend(some);
            rest = rest.get(end..).unwrap();
        }
        assert_eq!(uids, (1..=100_000).collect::<Vec<u32>>());
        assert_eq!(through("* SEARCH"), Response::Untagged(Untagged::Search(vec![])));
        assert_eq!(through("* search 5  6 (MODSEQ 9)"), Response::Untagged(Untagged::Search(vec![5, 6])));
    }

    #[test]
    fn folders() {
        let Response::Untagged(Untagged::List(listed)) =
            through("* LIST (\\HasNoChildren \\Junk) \".\" INBOX.Spam")
        else {
            panic!()
        };
        assert_eq!((listed.name.as_str(), listed.delimiter), ("INBOX.Spam", Some('.')));
        assert_eq!(listed.attributes, ["\\HasNoChildren", "\\Junk"]);
        let Response::Untagged(Untagged::List(listed)) = through("* LIST () NIL {4}\r\na \"b") else {
            panic!()
        };
        assert_eq!((listed.name.as_str(), listed.delimiter), ("a \"b", None));
    }

    #[test]
    fn what_nobody_uses_is_left_out_but_what_is_used_must_be_readable() {
        for line in [
            "* ENABLED X",
            "* NAMESPACE ((\"\" \"/\")) NIL NIL",
            "* 3 RECENT",
            "* ESEARCH (TAG \"a\") UID",
            "* METADATA \"\" (/private/\u{e9} x)",
            "* CAPABILITY none that we know",
            "* 1 FETCH (FLAGS (\\Seen))",
            "* 1 FETCH (INTERNALDATE NIL)",
        ] {
            assert_eq!(screen(line), None, "{line}");
        }
        for line in [
            "* SEARCH 1 x",
            "* SEARCH 99999999999",
            "* 1 FETCH (UID",
            "* 1 FETCH (UID x)",
            "* 1 FETCH (UID 5 BODY[])",
            "* LIST (",
            "* LIST () x",
            "* 5 EXISTS now",
            "* ",
            "",
            "HTTP/1.1 400 Bad Request",
            "garbage",
            "A1 BYEBYE",
            &format!("* LIST {}", "(".repeat(60_000)),
            &format!("* 1 FETCH (BODYSTRUCTURE {}", "(".repeat(60_000)),
        ] {
            let frame = Bytes::from(format!("{line}\r\n"));
            assert!(matches!(screened(&frame), Err(Error::Protocol(_))), "{line:.40}");
        }
        assert!(screened(&Bytes::from_static(b"* OK bare\n")).is_err());
    }

    proptest! {
        #[test]
        fn no_input_makes_it_panic(
            start in "(\\* |A1 |\\+ )?([0-9]{1,3} )?(FETCH|LIST|SEARCH|OK|NO|OK \\[ALERT\\]|CAPABILITY IMAP4rev1)? ?",
            rest in "[()\\[\\]\"{}\\\\\r\n 0-9A-Z\u{e9}]{0,40}",
        ) {
            let frame = Bytes::from(format!("{start}{rest}\r\n"));
            if let Ok(Some(passing)) = screened(&frame) {
                prop_assert!(is_readable(&passing));
            }
        }
    }
}
