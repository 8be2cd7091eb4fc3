//! An incident: a period in which a recipient, a sender, a mailbox or a channel is not all right.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Evidence, Kind, Scope, Unknown};
use crate::domain::id::RecipientId;
use crate::domain::probe::between;

/// Names an incident in messages, links and rows, so that a reader can tell a repeat from news. Thirteen letters and digits
/// that cannot be mistaken for one another on the telephone (Crockford's base 32); sorts by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IncidentId(pub i64);

impl IncidentId {
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    const LENGTH: u32 = 13;

    /// A new identity: 41 bits of milliseconds, 22 random bits.
    #[must_use]
    pub fn new(now: Timestamp, random: u64) -> Self {
        let ms = now.as_millisecond().cast_unsigned() & 0x1ff_ffff_ffff;
        Self((ms << 22 | random & 0x3f_ffff).cast_signed())
    }
}

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..Self::LENGTH).rev().try_for_each(|place| {
            let digit = usize::try_from(self.0.cast_unsigned() >> (5 * place) & 31).unwrap_or_default();
            let digit = Self::DIGITS.get(digit).copied().unwrap_or(b'0');
            write!(f, "{}", char::from(digit))
        })
    }
}

impl FromStr for IncidentId {
    type Err = Unknown;

    fn from_str(text: &str) -> Result<Self, Unknown> {
        let unknown = || Unknown(text.to_owned());
        if text.len() != usize::try_from(Self::LENGTH).unwrap_or_default() {
            return Err(unknown());
        }
        let mut value: u64 = 0;
        for byte in text.bytes() {
            let digit =
                Self::DIGITS.iter().position(|d| *d == byte.to_ascii_lowercase()).ok_or_else(unknown)?;
            let digit = u64::try_from(digit).map_err(|_| unknown())?;
            value = value.checked_mul(32).ok_or_else(unknown)? | digit;
        }
        i64::try_from(value).map(Self).map_err(|_| unknown())
    }
}

/// A recipient that an incident is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Concerned {
    pub id: RecipientId,
    pub name: String,
    pub address: String,
}

/// Why an incident is over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum Resolution {
    /// It works again: seen at a delivery, a submission, a look or a message newer than the last failure.
    Recovered {
        /// How long the mail that showed it took, where a mail did.
        latency: Option<Duration>,
    },
    /// What was missing has itself arrived, and nothing newer is overdue.
    Arrived {
        /// How long the slowest took.
        slowest: Duration,
    },
    /// Every recipient concerned was paused or deleted.
    Paused,
    /// The account or channel is no longer configured.
    Removed,
}

/// See the module. Times are database time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    pub id: IncidentId,
    pub kind: Kind,
    pub scope: Scope,
    pub opened_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    pub details: Details,
    /// Counts the changes: a row is never overwritten by an older state.
    pub version: i32,
}

/// What is told of an incident; one JSON column of its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// The first failure happened: the first lost mail was sent, the first attempt failed, the folder was last readable.
    pub since: Timestamp,
    /// The newest probe that failed was sent; for shared causes, the last failure happened. What resolves is newer.
    pub failing_until: Timestamp,
    /// Failures so far.
    pub failures: u32,
    /// Missing probes that have not arrived after all.
    #[serde(default)]
    pub outstanding: u32,
    /// The slowest of those that did.
    #[serde(default)]
    pub slowest: Duration,
    pub first: Evidence,
    pub latest: Evidence,
    /// The last good delivery (for a sender: submission) before.
    pub last_good_at: Option<Timestamp>,
    /// Who is concerned: the recipient itself, or those that the shared cause keeps from being probed.
    #[serde(default)]
    pub concerned: Vec<Concerned>,
    /// Reminders told so far.
    #[serde(default)]
    pub reminders: u32,
    pub resolution: Option<Resolution>,
}

impl Details {
    /// One failure and nothing else known.
    #[must_use]
    pub fn new(since: Timestamp, failing_until: Timestamp, evidence: Evidence) -> Self {
        Self {
            since,
            failing_until,
            failures: 1,
            outstanding: 0,
            slowest: Duration::ZERO,
            first: evidence.clone(),
            latest: evidence,
            last_good_at: None,
            concerned: Vec::new(),
            reminders: 0,
            resolution: None,
        }
    }
}

impl Incident {
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.resolved_at.is_none()
    }

    /// From the first failure to the end, or until `now`.
    #[must_use]
    pub fn lasted(&self, now: Timestamp) -> Duration {
        between(self.details.since, self.resolved_at.unwrap_or(now))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_sorts_by_age_and_has_no_ambiguous_letters() {
        let at = |s| Timestamp::from_second(s).unwrap();
        let (old, new) =
            (IncidentId::new(at(1_800_000_000), u64::MAX), IncidentId::new(at(1_800_000_001), 0));
        assert!(old < new && old.to_string() < new.to_string());
        for id in [old, new, IncidentId(0), IncidentId(i64::MAX)] {
            let text = id.to_string();
            assert_eq!(text.len(), 13);
            assert!(!text.contains(['i', 'l', 'o', 'u']), "{text}");
            assert_eq!(text.parse(), Ok(id));
            assert_eq!(text.to_uppercase().parse(), Ok(id));
        }
        for bad in ["", "0000000000000x", "zzzzzzzzzzzzz", "0000000000o00", "é23456789012"] {
            assert!(bad.parse::<IncidentId>().is_err(), "{bad}");
        }
    }
}
