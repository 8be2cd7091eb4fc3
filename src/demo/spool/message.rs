//! One stored message, with what a search needs to know at hand.

use std::ops::Range;

use bytes::Bytes;
use jiff::Timestamp;

use crate::demo::ledger::Moment;

pub(in crate::demo) struct Message {
    raw: Bytes,
    /// Length of the header with the empty line that ends it.
    header_len: usize,
    subject: Option<Range<usize>>,
    /// One bit for each field name in the header, by hash: a search for a rare name skips nearly all messages.
    pub names: u64,
    pub internal_date: Timestamp,
    pub saved: Moment,
}

/// One field of a header as it stands there.
pub(in crate::demo) struct Field<'a> {
    pub name: &'a [u8],
    /// What follows the colon, folds and final line end included.
    pub value: &'a [u8],
    /// The whole field, line ends included.
    pub line: &'a [u8],
    value_start: usize,
}

impl Message {
    pub fn new(raw: Bytes, internal_date: Timestamp, saved: Moment) -> Self {
        let header_len = header_length(&raw);
        let mut names = 0;
        let mut subject = None;
        for field in fields(raw.get(..header_len).unwrap_or_default()) {
            names |= name_bit(field.name);
            if subject.is_none() && field.name.eq_ignore_ascii_case(b"subject") {
                subject = Some(field.value_start..field.value_start + field.value.len());
            }
        }
        Self { raw, header_len, subject, names, internal_date, saved }
    }

    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The header with its final empty line.
    pub fn header(&self) -> &[u8] {
        self.raw.get(..self.header_len).unwrap_or_default()
    }

    pub fn text(&self) -> &[u8] {
        self.raw.get(self.header_len..).unwrap_or_default()
    }

    pub fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        fields(self.header())
    }

    pub fn subject(&self) -> Option<&[u8]> {
        self.raw.get(self.subject.clone()?)
    }
}

/// The bit of [`Message::names`] for a field name (FNV-1a, in lower case).
pub(in crate::demo) fn name_bit(name: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| {
        (hash ^ u64::from(byte.to_ascii_lowercase())).wrapping_mul(0x0000_0100_0000_01b3)
    };
    1 << (name.iter().fold(0xcbf2_9ce4_8422_2325, step) >> 58)
}

/// Lines with their line ends.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|b| *b == b'\n')
}

fn header_length(raw: &[u8]) -> usize {
    let mut length = 0;
    for line in lines(raw) {
        length += line.len();
        if matches!(line, b"\r\n" | b"\n") {
            break;
        }
    }
    length
}

/// The fields of a header (RFC 5322 section 2.2). A line without a colon is a field with an empty value.
pub(in crate::demo) fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = header.get(at..)?;
        if rest.is_empty() || rest.starts_with(b"\r\n") || rest.starts_with(b"\n") {
            return None;
        }
        let mut length = 0;
        for line in lines(rest) {
            if length > 0 && !matches!(line.first(), Some(b' ' | b'\t')) {
                break;
            }
            length += line.len();
        }
        let line = rest.get(..length)?;
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let field = Field {
            name: line.get(..colon)?.trim_ascii_end(),
            value,
            line,
            value_start: (at + colon + 1).min(header.len()),
        };
        at += length;
        Some(field)
    })
}

/// The header of a message with its final empty line.
pub(in crate::demo) fn header_of(raw: &[u8]) -> &[u8] {
    raw.get(..header_length(raw)).unwrap_or_default()
}

/// The values of all fields of a name.
pub(in crate::demo) fn field_values<'a>(raw: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let same = move |field: &Field<'_>| field.name.eq_ignore_ascii_case(name.as_bytes());
    fields(header_of(raw)).filter(same).map(|field| field.value)
}

/// A field's value on one line (RFC 5322 section 2.2.3).
pub(in crate::demo) fn unfold(value: &[u8]) -> Vec<u8> {
    value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect::<Vec<u8>>().trim_ascii().to_vec()
}
