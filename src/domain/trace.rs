//! The trace that servers leave in a message: `Received` fields (RFC 5321, section 4.4).
//!
//! Nothing in it can be relied on: each server writes in its own manner and by its own clock, and anybody can write such
//! fields. So what cannot be read is kept as it is, and nothing is guessed.

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::{Deserialize, Serialize};

use super::fields::{comment, cut, fields, quoted};

/// Hops that are kept; RFC 5321, section 6.3, lets a server take a hundred for a loop.
pub const MOST_HOPS: usize = 30;
/// Octets of a field that are read.
const MOST_TEXT: usize = 2_000;
/// Characters kept of a name, and of a field that cannot be read.
const MOST_NAME: usize = 120;
/// Zones that have a meaning (RFC 5322, section 4.3); the others mean nothing for sure.
const ZONES: [&str; 12] = ["UT", "UTC", "GMT", "Z", "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT"];

static DATES: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// One server that had the message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hop {
    Stamp(Stamp),
    /// As it stands, cut.
    Unreadable(String),
}

/// What a `Received` field says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Who gave the message, by its own account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Who it was, as the receiver saw it: name and address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Who took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// `ESMTPS`, `LMTP`, `Microsoft SMTP Server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Under which that server's log has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What stands there instead of names, as qmail writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// By that server's clock; `None` where its date cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
}

impl Hop {
    #[must_use]
    pub fn at(&self) -> Option<Timestamp> {
        match self {
            Self::Stamp(stamp) => stamp.at,
            Self::Unreadable(_) => None,
        }
    }

    /// Reads the body of one field.
    #[must_use]
    pub fn of(text: &str) -> Self {
        stamp(text).map_or_else(|| Self::Unreadable(cut(text, MOST_NAME * 2)), Self::Stamp)
    }
}

/// The way of a message as its header has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// In the order of the way.
    pub hops: Vec<Hop>,
    /// Earlier ones that were left out.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub omitted: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Reads the trace of a header, at most `most` fields of it.
#[must_use]
pub fn trace(header: &[u8], most: usize) -> Trace {
    let mut all = fields(header, most).filter(|field| field.is("Received"));
    // Each server puts its field on top.
    let mut hops: Vec<Hop> =
        all.by_ref().take(MOST_HOPS).map(|field| Hop::of(&field.text(MOST_TEXT))).collect();
    hops.reverse();
    Trace { hops, omitted: all.count() }
}

/// The clauses of a stamp.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Clause {
    /// Before the first word.
    None,
    From,
    By,
    With,
    Id,
    Other,
}

impl Clause {
    fn begun_by(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "from" => Self::From,
            "by" => Self::By,
            "with" => Self::With,
            "id" => Self::Id,
            "via" | "for" => Self::Other,
            _ => return None,
        })
    }
}

fn stamp(text: &str) -> Option<Stamp> {
    let mut stamp = Stamp::default();
    let (mut clause, mut rest) = (Clause::None, text);
    let mut peers = Vec::new();
    let mut date = None;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(';') {
            date = Some(after);
            break;
        }
        if let Some((said, after)) = comment(rest) {
            match clause {
                Clause::From => peers.push(said),
                Clause::None => stamp.note = stamp.note.or_else(|| short(said)),
                _ => {}
            }
            rest = after;
            continue;
        }
        let (word, after) = word(rest);
        if word.is_empty() {
            break;
        }
        rest = after;
        if let Some(begun) = Clause::begun_by(&word) {
            clause = begun;
            continue;
        }
        match clause {
            Clause::From => stamp.from = stamp.from.or_else(|| short(&word)),
            Clause::By => stamp.by = stamp.by.or_else(|| short(&word)),
            Clause::Id => stamp.id = stamp.id.or_else(|| short(word.trim_matches(['<', '>']))),
            // Exim goes on with the cipher: `with esmtps (TLS1.3) tls TLS_AES_256_GCM_SHA384`.
            Clause::With if word.eq_ignore_ascii_case("tls") => clause = Clause::Other,
            Clause::With => {
                stamp.protocol =
                    Some(stamp.protocol.map_or(word.clone(), |before| format!("{before} {word}")));
            }
            Clause::None | Clause::Other => {}
        }
    }
    stamp.protocol = stamp.protocol.as_deref().and_then(short);
    stamp.peer = peer(&peers);
    // A comment that does not end hides the date.
    stamp.at = date.and_then(moment).or_else(|| moment(text.rsplit_once(';')?.1));
    if stamp.from.is_some() || stamp.by.is_some() {
        stamp.note = None;
        return Some(stamp);
    }
    (stamp.note.is_some() && stamp.at.is_some()).then_some(stamp)
}

/// The word at the beginning of the text, and what follows. Quotes and brackets hold together what is in them.
fn word(text: &str) -> (String, &str) {
    if let Some((said, rest)) = quoted(text) {
        return (said, rest);
    }
    let mut in_literal = false;
    let end = text.char_indices().find(|(_, c)| {
        in_literal = (in_literal || *c == '[') && *c != ']';
        !in_literal && (c.is_whitespace() || matches!(c, '(' | ';'))
    });
    let (word, rest) = text.split_at_checked(end.map_or(text.len(), |(at, _)| at)).unwrap_or((text, ""));
    (word.to_owned(), rest)
}

/// What the receiver saw of the giver: the first comment after the name, or the next one too where only that has the
/// address, as in `(HELO x) (192.0.2.1)`.
fn peer(comments: &[&str]) -> Option<String> {
    let names_address = |text: &str| {
        text.split(['[', ']', ' ', ':', '=']).any(|part| part.parse::<std::net::Ipv4Addr>().is_ok())
            || text.contains('[')
    };
    let first = comments.first().filter(|text| !text.starts_with("using "))?;
    match comments.get(1) {
        Some(second) if !names_address(first) && names_address(second) => {
            short(&format!("{first}, {second}"))
        }
        _ => short(first),
    }
}

fn short(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| cut(text, MOST_NAME))
}

/// A date-time (RFC 5322, section 3.3) with comments anywhere. One whose zone means nothing is none.
fn moment(text: &str) -> Option<Timestamp> {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(at) = rest.find('(') {
        let (before, from) = rest.split_at_checked(at)?;
        plain.push_str(before);
        plain.push(' ');
        rest = comment(from)?.1;
    }
    plain.push_str(rest);
    let zone = plain.split_whitespace().next_back()?;
    let is_offset = zone.len() == 5 && zone.starts_with(['+', '-']);
    let is_known = is_offset || ZONES.iter().any(|known| zone.eq_ignore_ascii_case(known));
    is_known.then(|| DATES.parse_timestamp(plain.trim()).ok())?
}

#[cfg(test)]
mod tests;
