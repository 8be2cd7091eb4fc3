//! SEARCH and UID SEARCH (RFC 3501 section 6.4.4).
//!
//! The UID sets, flags and field names that every hit must have are looked at under the folder's lock, which for
//! 100,000 messages takes about a millisecond; only what is left is read, without the lock.

use std::sync::Arc;

use imap_codec::imap_types::core::{Charset, Vec1};
use imap_codec::imap_types::search::SearchKey;
use jiff::civil::Date;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;

use super::selected::Selected;
use super::sets::Ranges;
use super::{Outcome, Session};
use crate::demo::connection::Ended;
use crate::demo::spool::{Flags, Message, name_bit, unfold};

/// After so many messages read, other tasks get their turn.
const TURN: usize = 1024;

/// A message that may be a hit.
struct Candidate {
    number: u32,
    uid: u32,
    recent: bool,
    flags: Flags,
    message: Arc<Message>,
}

/// What the highest numbers are, for `*` in sets.
#[derive(Clone, Copy)]
struct Last {
    number: u32,
    uid: u32,
}

/// A search key made ready: sets as ranges, texts in lower case.
enum Test {
    All,
    None,
    And(Vec<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
    Numbers(Ranges),
    Uids(Ranges),
    System(u8),
    Keyword(String),
    Recent,
    Larger(usize),
    Smaller(usize),
    /// INTERNALDATE's day, as compared with a date.
    Day(std::cmp::Ordering, Date),
    /// The same for the Date field.
    SentDay(std::cmp::Ordering, Date),
    Field {
        name: Vec<u8>,
        bit: u64,
        text: Vec<u8>,
    },
    Subject(Vec<u8>),
    Body(Vec<u8>),
    Text(Vec<u8>),
}

impl Session<'_> {
    pub(super) async fn search(
        &mut self,
        charset: Option<&Charset<'_>>,
        criteria: &Vec1<SearchKey<'_>>,
        by_uid: bool,
    ) -> Result<Outcome, Ended> {
        let understood =
            |c: &Charset<'_>| ["us-ascii", "utf-8"].contains(&c.as_ref().to_ascii_lowercase().as_str());
        if !charset.is_none_or(understood) {
            return Ok(Outcome::no("[BADCHARSET (US-ASCII UTF-8)] Unknown charset"));
        }
        // Sequence numbers in a plain SEARCH must not shift (RFC 3501 section 7.4.1).
        if by_uid {
            self.news()?;
        }
        let Some(selected) = &self.selected else { return Ok(Outcome::bad("Select a folder first")) };
        let last =
            Last { number: u32::try_from(selected.exists()).unwrap_or(u32::MAX), uid: selected.last_uid() };
        let test = Test::And(criteria.as_ref().iter().map(|key| Test::new(key, last)).collect());
        let candidates = candidates(selected, &test);
        let mut line = "* SEARCH".to_owned();
        for (at, candidate) in candidates.iter().enumerate() {
            if at % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
            if test.holds(candidate) {
                line.push(' ');
                line.push_str(&(if by_uid { candidate.uid } else { candidate.number }).to_string());
            }
        }
        line.push_str("\r\n");
        self.connection.push(line);
        Ok(Outcome::ok("Search completed"))
    }
}

fn candidates(selected: &Selected, test: &Test) -> Vec<Candidate> {
    let state = selected.folder.lock();
    let entries = state.entries();
    let everything = Ranges::all();
    let ranges = test.required_uids().unwrap_or(&everything);
    let names = test.required_names();
    let mut found = Vec::new();
    for range in ranges.iter() {
        for (uid, entry) in entries.range(range) {
            if entry.message.names & names != names || !test.may_hold(&entry.flags) {
                continue;
            }
            let Some(number) = selected.number_of(*uid) else { continue };
            found.push(Candidate {
                number: u32::try_from(number).unwrap_or(u32::MAX),
                uid: *uid,
                recent: selected.is_recent(*uid),
                flags: entry.flags.clone(),
                message: Arc::clone(&entry.message),
            });
        }
    }
    found
}

impl Test {
    fn new(key: &SearchKey<'_>, last: Last) -> Self {
        let not = |test| Self::Not(Box::new(test));
        let field = |name: &[u8], text: &[u8]| Self::Field {
            name: name.to_vec(),
            bit: name_bit(name),
            text: text.to_ascii_lowercase(),
        };
        let day = |date: &dyn ToString| date.to_string().parse::<Date>().unwrap_or(Date::ZERO);
        match key {
            SearchKey::And(keys) => Self::And(keys.as_ref().iter().map(|key| Self::new(key, last)).collect()),
            SearchKey::Or(a, b) => Self::Or(Box::new(Self::new(a, last)), Box::new(Self::new(b, last))),
            SearchKey::Not(key) => not(Self::new(key, last)),
            SearchKey::SequenceSet(set) => Self::Numbers(Ranges::new(set, last.number)),
            SearchKey::Uid(set) => Self::Uids(Ranges::new(set, last.uid)),
            SearchKey::All => Self::All,
            SearchKey::Answered => Self::System(Flags::ANSWERED),
            SearchKey::Deleted => Self::System(Flags::DELETED),
            SearchKey::Draft => Self::System(Flags::DRAFT),
            SearchKey::Flagged => Self::System(Flags::FLAGGED),
            SearchKey::Seen => Self::System(Flags::SEEN),
            SearchKey::Unanswered => not(Self::System(Flags::ANSWERED)),
            SearchKey::Undeleted => not(Self::System(Flags::DELETED)),
            SearchKey::Undraft => not(Self::System(Flags::DRAFT)),
            SearchKey::Unflagged => not(Self::System(Flags::FLAGGED)),
            SearchKey::Unseen => not(Self::System(Flags::SEEN)),
            SearchKey::Keyword(atom) => Self::Keyword(atom.as_ref().to_owned()),
            SearchKey::Unkeyword(atom) => not(Self::Keyword(atom.as_ref().to_owned())),
            SearchKey::New => Self::And(vec![Self::Recent, not(Self::System(Flags::SEEN))]),
            SearchKey::Recent => Self::Recent,
            SearchKey::Old => not(Self::Recent),
            SearchKey::Larger(size) => Self::Larger(usize::try_from(*size).unwrap_or(usize::MAX)),
            SearchKey::Smaller(size) => Self::Smaller(usize::try_from(*size).unwrap_or(usize::MAX)),
            SearchKey::Before(date) => Self::Day(std::cmp::Ordering::Less, day(date.as_ref())),
            SearchKey::On(date) => Self::Day(std::cmp::Ordering::Equal, day(date.as_ref())),
            SearchKey::Since(date) => not(Self::Day(std::cmp::Ordering::Less, day(date.as_ref()))),
            SearchKey::SentBefore(date) => Self::SentDay(std::cmp::Ordering::Less, day(date.as_ref())),
            SearchKey::SentOn(date) => Self::SentDay(std::cmp::Ordering::Equal, day(date.as_ref())),
            SearchKey::SentSince(date) => Self::Or(
                Box::new(Self::SentDay(std::cmp::Ordering::Equal, day(date.as_ref()))),
                Box::new(Self::SentDay(std::cmp::Ordering::Greater, day(date.as_ref()))),
            ),
            SearchKey::Bcc(text) => field(b"bcc", text.as_ref()),
            SearchKey::Cc(text) => field(b"cc", text.as_ref()),
            SearchKey::From(text) => field(b"from", text.as_ref()),
            SearchKey::To(text) => field(b"to", text.as_ref()),
            SearchKey::Header(name, text) => field(name.as_ref(), text.as_ref()),
            SearchKey::Subject(text) => Self::Subject(text.as_ref().to_ascii_lowercase()),
            SearchKey::Body(text) => Self::Body(text.as_ref().to_ascii_lowercase()),
            SearchKey::Text(text) => Self::Text(text.as_ref().to_ascii_lowercase()),
            #[expect(unreachable_patterns, reason = "imap-types may learn other keys")]
            _ => Self::None,
        }
    }

    /// The UIDs outside of which nothing can be a hit, if a set says so.
    fn required_uids(&self) -> Option<&Ranges> {
        match self {
            Self::Uids(ranges) => Some(ranges),
            Self::And(tests) => tests.iter().find_map(Self::required_uids),
            _ => None,
        }
    }

    /// The bits of the field names that every hit has.
    fn required_names(&self) -> u64 {
        match self {
            Self::And(tests) => tests.iter().fold(0, |bits, test| bits | test.required_names()),
            Self::Field { bit, .. } => *bit,
            Self::Subject(_) => name_bit(b"subject"),
            _ => 0,
        }
    }

    /// Whether the flags alone do not rule it out.
    fn may_hold(&self, flags: &Flags) -> bool {
        match self {
            Self::And(tests) => tests.iter().all(|test| test.may_hold(flags)),
            Self::System(bit) => flags.has(*bit),
            Self::Not(test) => match test.as_ref() {
                Self::System(bit) => !flags.has(*bit),
                _ => true,
            },
            _ => true,
        }
    }

    fn holds(&self, candidate: &Candidate) -> bool {
        let message = &candidate.message;
        match self {
            Self::All => true,
            Self::None => false,
            Self::And(tests) => tests.iter().all(|test| test.holds(candidate)),
            Self::Or(a, b) => a.holds(candidate) || b.holds(candidate),
            Self::Not(test) => !test.holds(candidate),
            Self::Numbers(ranges) => ranges.contains(candidate.number),
            Self::Uids(ranges) => ranges.contains(candidate.uid),
            Self::System(bit) => candidate.flags.has(*bit),
            Self::Keyword(keyword) => candidate.flags.has_keyword(keyword),
            Self::Recent => candidate.recent,
            Self::Larger(size) => message.raw().len() > *size,
            Self::Smaller(size) => message.raw().len() < *size,
            Self::Day(ordering, date) => {
                message.internal_date.to_zoned(TimeZone::UTC).date().cmp(date) == *ordering
            }
            Self::SentDay(ordering, date) => {
                sent_day(message).is_some_and(|sent| sent.cmp(date) == *ordering)
            }
            Self::Field { name, bit, text } => {
                message.names & bit != 0
                    && message.fields().any(|field| {
                        field.name.eq_ignore_ascii_case(name) && contains(&unfold(field.value), text)
                    })
            }
            Self::Subject(text) => message.subject().is_some_and(|subject| {
                if subject.trim_ascii_end().contains(&b'\n') {
                    contains(&unfold(subject), text)
                } else {
                    contains(subject, text)
                }
            }),
            Self::Body(text) => contains(message.text(), text),
            Self::Text(text) => contains(message.raw(), text),
        }
    }
}

fn sent_day(message: &Message) -> Option<Date> {
    let date = message.fields().find(|field| field.name.eq_ignore_ascii_case(b"date"))?;
    let text = String::from_utf8(unfold(date.value)).ok().filter(|text| text.len() < 100)?;
    Some(rfc2822::parse(&text).ok()?.date())
}

/// Whether `text` holds `lower`, which is in lower case, in whatever case.
fn contains(text: &[u8], lower: &[u8]) -> bool {
    let Some((first, rest)) = lower.split_first() else { return true };
    let Some(last_start) = text.len().checked_sub(lower.len()) else { return false };
    let starts = text.get(..=last_start).unwrap_or_default();
    let upper = first.to_ascii_uppercase();
    starts.iter().enumerate().any(|(at, byte)| {
        (byte == first || *byte == upper)
            && text.get(at + 1..at + lower.len()).is_some_and(|tail| tail.eq_ignore_ascii_case(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn substrings_in_any_case() {
        assert!(contains(b"Subject: MAILDT-PROBE: v1", b"maildt-probe"));
        assert!(contains(b"aab", b"ab"));
        assert!(contains(b"", b""));
        assert!(!contains(b"ab", b"abc"));
        assert!(!contains(b"abd", b"abc"));
    }
}
