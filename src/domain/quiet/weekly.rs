//! A window that comes back each week, by the clock of a time zone.

use std::fmt;

use jiff::civil::{Date, DateTime, Time, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Span, Timestamp};

/// Opens on some days of the week at the same time.
///
/// Where the clock is put back, the first of two equal times counts. Where it is put forward, a time that it skips is taken
/// as much later as the clock jumps, and a window that would open at such a time keeps its length: 02:00 to 03:00 is 03:00
/// to 04:00 on that day. Otherwise it ends when the clock shows its end, so that a night may be an hour longer or shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weekly {
    /// The days on which it opens.
    pub days: Days,
    pub start: Time,
    pub end: End,
}

/// How a weekly window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// At this time; on the next day when it is not after the start.
    At(Time),
    /// So long after the start, whatever the clock does; 7 days at most.
    After(SignedDuration),
}

/// Days of the week: bit 0 is Monday.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Days(u8);

impl Days {
    pub const DAILY: Self = Self(0x7f);

    #[must_use]
    pub fn with(self, day: Weekday) -> Self {
        Self(self.0 | Self::bit(day))
    }

    #[must_use]
    pub fn contains(self, day: Weekday) -> bool {
        self.0 & Self::bit(day) != 0
    }

    /// From Monday on.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        Weekday::Monday.cycle_forward().take(7).filter(move |day| self.contains(*day))
    }

    fn bit(day: Weekday) -> u8 {
        1 << day.to_monday_zero_offset()
    }
}

impl FromIterator<Weekday> for Days {
    fn from_iter<T: IntoIterator<Item = Weekday>>(days: T) -> Self {
        days.into_iter().fold(Self::default(), Self::with)
    }
}

impl Weekly {
    /// When the window that is open at `at` ends; of two that overlap, the later end.
    pub(super) fn end(&self, at: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        let today = tz.to_datetime(at).date();
        // A window lasts 7 days at most, and a skipped start may move it on to the next day.
        (-9..=1)
            .filter_map(|days| today.checked_add(Span::new().days(days)).ok())
            .filter(|date| self.days.contains(date.weekday()))
            .filter_map(|date| self.occurrence(date, tz))
            .filter(|(start, end)| *start <= at && at < *end)
            .map(|(_, end)| end)
            .max()
    }

    /// The first window that opens after `at`.
    pub(super) fn next(&self, at: Timestamp, tz: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let today = tz.to_datetime(at).date();
        // That of today may be over, and a skipped start may belong to yesterday.
        (-1..=8)
            .filter_map(|days| today.checked_add(Span::new().days(days)).ok())
            .filter(|date| self.days.contains(date.weekday()))
            .filter_map(|date| self.occurrence(date, tz))
            .filter(|(start, _)| *start > at)
            .min_by_key(|(start, _)| *start)
    }

    /// The window that opens on `date`; none at the end of all time.
    pub(super) fn occurrence(&self, date: Date, tz: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let start = tz.to_ambiguous_timestamp(date.to_datetime(self.start));
        let is_skipped = matches!(start.offset(), AmbiguousOffset::Gap { .. });
        let start = start.compatible().ok()?;
        let end = match self.end {
            End::At(time) if !is_skipped => {
                tz.to_ambiguous_timestamp(self.closing(date, time)?).compatible().ok()?
            }
            _ => start.checked_add(self.length()).ok()?,
        };
        Some((start, end))
    }

    /// The date and time at which the window of `date` closes.
    fn closing(&self, date: Date, time: Time) -> Option<DateTime> {
        let date = if time <= self.start { date.tomorrow().ok()? } else { date };
        Some(date.to_datetime(time))
    }

    /// How long it is while nobody changes the clock.
    #[must_use]
    pub fn length(&self) -> SignedDuration {
        match self.end {
            End::At(time) if time <= self.start => {
                SignedDuration::from_hours(24) - time.duration_until(self.start)
            }
            End::At(time) => self.start.duration_until(time),
            End::After(length) => length,
        }
    }

    /// Whether each window reaches into the next one, so that it is always open.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        let length = self.length();
        let reaches = |day: Weekday| {
            // Seven days later it is the same day again, so there is a next one.
            let days = day.cycle_forward().skip(1).take_while(|next| !self.days.contains(*next)).count();
            SignedDuration::from_hours(24) * i32::try_from(days + 1).unwrap_or(i32::MAX) <= length
        };
        self.days.iter().all(reaches)
    }
}

/// `sat, sun 22:00 to 02:00`, `daily 02:00 for 4h`.
impl fmt::Display for Weekly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.days == Days::DAILY {
            f.write_str("daily")?;
        } else {
            let days: Vec<&str> = self.days.iter().map(short_name).collect();
            f.write_str(&days.join(", "))?;
        }
        match self.end {
            End::At(Time::MIN) => write!(f, " {} to 24:00", clock(self.start)),
            End::At(end) => write!(f, " {} to {}", clock(self.start), clock(end)),
            End::After(length) => write!(f, " {} for {length:#}", clock(self.start)),
        }
    }
}

fn clock(time: Time) -> String {
    time.strftime(if time.second() == 0 { "%H:%M" } else { "%H:%M:%S" }).to_string()
}

/// As it is written in the configuration.
#[must_use]
pub fn short_name(day: Weekday) -> &'static str {
    match day {
        Weekday::Monday => "mon",
        Weekday::Tuesday => "tue",
        Weekday::Wednesday => "wed",
        Weekday::Thursday => "thu",
        Weekday::Friday => "fri",
        Weekday::Saturday => "sat",
        Weekday::Sunday => "sun",
    }
}
