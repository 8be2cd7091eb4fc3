//! FETCH and UID FETCH (RFC 3501 section 6.4.5), without ENVELOPE and BODYSTRUCTURE.

use std::fmt::Write;
use std::sync::Arc;

use imap_codec::imap_types::core::AString;
use imap_codec::imap_types::fetch::{Macro, MacroOrMessageDataItemNames, MessageDataItemName, Section};
use imap_codec::imap_types::sequence::SequenceSet;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{Outcome, Session};
use crate::demo::connection::Ended;
use crate::demo::spool::{Flags, Message};

/// One data item, ready to be answered for many messages.
enum Item {
    Uid,
    Flags,
    InternalDate,
    Size,
    Part { label: String, part: Part, partial: Option<(usize, usize)> },
}

enum Part {
    Whole,
    Header,
    /// Fields with these names, or all others.
    Fields {
        names: Vec<Vec<u8>>,
        others: bool,
    },
    Text,
    /// A part that a message of one part does not have.
    Absent,
}

impl Session<'_> {
    pub(super) async fn fetch(
        &mut self,
        set: &SequenceSet,
        names: &MacroOrMessageDataItemNames<'_>,
        by_uid: bool,
    ) -> Result<Outcome, Ended> {
        let Some(request) = Request::new(names, by_uid) else {
            return Ok(Outcome::no("[CANNOT] ENVELOPE, BODYSTRUCTURE and BINARY are not supported"));
        };
        if by_uid {
            self.news()?;
        }
        let Some(selected) = &self.selected else { return Ok(Outcome::bad("Select a folder first")) };
        let uids = selected.uids_in(set, by_uid);
        let me = self.number;
        for uid in uids {
            let Some(selected) = &self.selected else { break };
            let found = selected.folder.change(|state| {
                let entry = state.entries().get(&uid)?;
                let message = Arc::clone(&entry.message);
                let flags = entry.flags.clone();
                let set_seen = request.sets_seen && !selected.read_only && !flags.has(Flags::SEEN);
                let flags = if set_seen {
                    state.change_flags(uid, me, |flags| flags.system |= Flags::SEEN)?
                } else {
                    flags
                };
                Some((message, flags, set_seen))
            });
            if let (Some(number), Some((message, flags, newly_seen))) = (selected.number_of(uid), found) {
                let flags = selected.flag_list(uid, &flags);
                let response = request.response(number, uid, &flags, newly_seen, &message);
                self.connection.push(response);
                self.connection.ease().await?;
            }
        }
        Ok(Outcome::ok("Fetch completed"))
    }
}

struct Request {
    items: Vec<Item>,
    sets_seen: bool,
}

impl Request {
    /// None if something is asked for that we do not have.
    fn new(names: &MacroOrMessageDataItemNames<'_>, by_uid: bool) -> Option<Self> {
        let mut request = Self { items: Vec::new(), sets_seen: false };
        if by_uid {
            request.items.push(Item::Uid);
        }
        match names {
            MacroOrMessageDataItemNames::Macro(Macro::Fast) => {
                request.items.extend([Item::Flags, Item::InternalDate, Item::Size]);
            }
            MacroOrMessageDataItemNames::Macro(_) => return None,
            MacroOrMessageDataItemNames::MessageDataItemNames(names) => {
                for name in names {
                    request.add(name, by_uid)?;
                }
            }
        }
        Some(request)
    }

    fn add(&mut self, name: &MessageDataItemName<'_>, by_uid: bool) -> Option<()> {
        let whole = |label: &str, part| Item::Part { label: label.to_owned(), part, partial: None };
        let item = match name {
            MessageDataItemName::Uid if by_uid => return Some(()),
            MessageDataItemName::Uid => Item::Uid,
            MessageDataItemName::Flags => Item::Flags,
            MessageDataItemName::InternalDate => Item::InternalDate,
            MessageDataItemName::Rfc822Size => Item::Size,
            MessageDataItemName::Rfc822 => {
                self.sets_seen = true;
                whole("RFC822", Part::Whole)
            }
            MessageDataItemName::Rfc822Header => whole("RFC822.HEADER", Part::Header),
            MessageDataItemName::Rfc822Text => {
                self.sets_seen = true;
                whole("RFC822.TEXT", Part::Text)
            }
            MessageDataItemName::BodyExt { section, partial, peek } => {
                self.sets_seen |= !peek;
                let (name, part) = section.as_ref().map_or((String::new(), Part::Whole), part_of);
                let mut label = format!("BODY[{name}]");
                if let Some((start, _)) = partial {
                    let _ = write!(label, "<{start}>");
                }
                let size = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
                Item::Part {
                    label,
                    part,
                    partial: partial.map(|(start, length)| (size(start), size(length.get()))),
                }
            }
            _ => return None,
        };
        self.items.push(item);
        Some(())
    }

    fn response(&self, number: usize, uid: u32, flags: &str, newly_seen: bool, message: &Message) -> Vec<u8> {
        let mut out = format!("* {number} FETCH (").into_bytes();
        for (at, item) in self.items.iter().enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            match item {
                Item::Uid => out.extend_from_slice(format!("UID {uid}").as_bytes()),
                Item::Flags => out.extend_from_slice(format!("FLAGS ({flags})").as_bytes()),
                Item::InternalDate => {
                    let date = internal_date(message.internal_date);
                    out.extend_from_slice(format!("INTERNALDATE \"{date}\"").as_bytes());
                }
                Item::Size => {
                    out.extend_from_slice(format!("RFC822.SIZE {}", message.raw().len()).as_bytes());
                }
                Item::Part { label, part, partial } => write_part(&mut out, label, part, *partial, message),
            }
        }
        if newly_seen && !self.items.iter().any(|item| matches!(item, Item::Flags)) {
            out.extend_from_slice(format!(" FLAGS ({flags})").as_bytes());
        }
        out.extend_from_slice(b")\r\n");
        out
    }
}

/// The section as it is named in the response, and what it stands for.
fn part_of(section: &Section<'_>) -> (String, Part) {
    let fields = |names: &[AString<'_>], others| {
        let names: Vec<Vec<u8>> = names.iter().map(|name| name.as_ref().to_vec()).collect();
        let label: Vec<_> = names.iter().map(|name| field_name(name)).collect();
        let not = if others { ".NOT" } else { "" };
        (format!("HEADER.FIELDS{not} ({})", label.join(" ")), Part::Fields { names, others })
    };
    match section {
        Section::Header(None) => ("HEADER".to_owned(), Part::Header),
        Section::Text(None) => ("TEXT".to_owned(), Part::Text),
        Section::HeaderFields(None, names) => fields(names.as_ref(), false),
        Section::HeaderFieldsNot(None, names) => fields(names.as_ref(), true),
        Section::Part(part) => {
            let numbers: Vec<u32> = part.0.as_ref().iter().map(|n| n.get()).collect();
            let label: Vec<_> = numbers.iter().map(u32::to_string).collect();
            (label.join("."), if numbers == [1] { Part::Text } else { Part::Absent })
        }
        Section::Header(Some(_)) => ("1.HEADER".to_owned(), Part::Absent),
        Section::Text(Some(_)) => ("1.TEXT".to_owned(), Part::Absent),
        Section::HeaderFields(Some(_), _) | Section::HeaderFieldsNot(Some(_), _) => {
            ("1.HEADER".to_owned(), Part::Absent)
        }
        Section::Mime(_) => ("1.MIME".to_owned(), Part::Absent),
    }
}

/// A field name as an astring: quoted unless it is an atom.
fn field_name(name: &[u8]) -> String {
    let atom = |b: &u8| b.is_ascii_alphanumeric() || b"-_.".contains(b);
    let text = String::from_utf8_lossy(name);
    if !name.is_empty() && name.iter().all(atom) {
        text.into_owned()
    } else {
        format!("\"{}\"", text.replace(['"', '\\', '\r', '\n'], "?"))
    }
}

fn write_part(
    out: &mut Vec<u8>,
    label: &str,
    part: &Part,
    partial: Option<(usize, usize)>,
    message: &Message,
) {
    out.extend_from_slice(label.as_bytes());
    let mut gathered = Vec::new();
    let bytes: &[u8] = match part {
        Part::Whole => message.raw(),
        Part::Header => message.header(),
        Part::Text => message.text(),
        Part::Fields { names, others } => {
            for field in message.fields() {
                if names.iter().any(|name| field.name.eq_ignore_ascii_case(name)) != *others {
                    gathered.extend_from_slice(field.line);
                }
            }
            gathered.extend_from_slice(b"\r\n");
            &gathered
        }
        Part::Absent => {
            out.extend_from_slice(b" NIL");
            return;
        }
    };
    let bytes = match partial {
        Some((start, length)) => {
            let rest = bytes.get(start..).unwrap_or_default();
            rest.get(..length).unwrap_or(rest)
        }
        None => bytes,
    };
    out.extend_from_slice(format!(" {{{}}}\r\n", bytes.len()).as_bytes());
    out.extend_from_slice(bytes);
}

/// As RFC 3501's date-time, whose day has a leading space.
fn internal_date(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%e-%b-%Y %H:%M:%S +0000").to_string()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_in_the_rfc() {
        assert_eq!(internal_date("2024-02-03T04:05:06Z".parse().unwrap()), " 3-Feb-2024 04:05:06 +0000");
    }
}
