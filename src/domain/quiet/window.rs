//! One maintenance window.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::weekly::Weekly;

/// A time in which nothing is told, of all recipients or of some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Unique.
    pub name: Arc<str>,
    /// Whom it concerns; `None`: all, and everything else that would be told.
    pub recipients: Option<BTreeSet<Arc<str>>>,
    pub when: When,
}

/// When a window is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// From the first point in time to the second, which does not belong to it.
    Once {
        from: Timestamp,
        to: Timestamp,
    },
    Weekly(Weekly),
}

impl Window {
    /// Whether it is about this recipient.
    #[must_use]
    pub fn concerns(&self, name: &str) -> bool {
        self.recipients.as_ref().is_none_or(|names| names.contains(name))
    }

    /// When it is open and for whom, in words: `sat, sun 22:00 to 02:00 (Europe/Vienna): all recipients`.
    #[must_use]
    pub fn describe(&self, tz: &TimeZone) -> String {
        let names = self.names();
        let whom = if names.is_empty() { "all recipients" } else { &names };
        format!("{}: {whom}", self.when.describe(tz))
    }

    /// The recipients' names with commas; empty for all.
    pub(super) fn names(&self) -> String {
        let names: Vec<&str> = self.recipients.iter().flatten().map(AsRef::as_ref).collect();
        names.join(", ")
    }
}

impl When {
    /// When the window that is open at `at` ends; `None`: it is not open then. `tz` is that of the clock times.
    #[must_use]
    pub fn end(&self, at: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Once { from, to } => (*from <= at && at < *to).then_some(*to),
            Self::Weekly(weekly) => weekly.end(at, tz),
        }
    }

    /// The next time that it opens after `at`, and when it closes then; `None`: never again.
    #[must_use]
    pub fn next(&self, at: Timestamp, tz: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        match self {
            Self::Once { from, to } => (*from > at).then_some((*from, *to)),
            Self::Weekly(weekly) => weekly.next(at, tz),
        }
    }

    fn describe(&self, tz: &TimeZone) -> String {
        match self {
            Self::Once { from, to } => format!("{} to {}", show_time(*from, tz), show_time(*to, tz)),
            Self::Weekly(weekly) => match tz.iana_name() {
                Some(zone) => format!("{weekly} ({zone})"),
                None => weekly.to_string(),
            },
        }
    }
}

/// A point in time as a clock in `tz` shows it: `2030-01-31 08:00 CET`, with seconds only where there are any.
#[must_use]
pub fn show_time(time: Timestamp, tz: &TimeZone) -> String {
    let zoned = time.to_zoned(tz.clone());
    let form = if zoned.second() == 0 { "%Y-%m-%d %H:%M %Z" } else { "%Y-%m-%d %H:%M:%S %Z" };
    zoned.strftime(form).to_string()
}
