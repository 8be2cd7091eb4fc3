//! Database time without asking the database, and what a mailbox's clock is worth.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Maps our monotonic clock to database time by the newest sample.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseClock {
    instant: Instant,
    timestamp: Timestamp,
}

impl DatabaseClock {
    /// A clock from one sample: the database said `timestamp` at `instant`.
    #[must_use]
    pub fn new(instant: Instant, timestamp: Timestamp) -> Self {
        Self { instant, timestamp }
    }

    /// Database time at a moment of ours.
    #[must_use]
    pub fn at(&self, instant: Instant) -> Timestamp {
        let ahead = instant.checked_duration_since(self.instant).map(SignedDuration::try_from);
        let behind = self.instant.checked_duration_since(instant).map(SignedDuration::try_from);
        let moved = match (ahead, behind) {
            (Some(Ok(ahead)), _) => self.timestamp.checked_add(ahead),
            (_, Some(Ok(behind))) => self.timestamp.checked_sub(behind),
            _ => Ok(self.timestamp),
        };
        moved.unwrap_or(self.timestamp)
    }

    /// The moment of ours at which the database will say, or said, `timestamp`; now at the latest in the past.
    #[must_use]
    pub fn instant(&self, timestamp: Timestamp) -> Instant {
        let distance = timestamp.duration_since(self.timestamp);
        if distance.is_negative() {
            let back = Duration::try_from(-distance).unwrap_or_default();
            self.instant.checked_sub(back).unwrap_or(self.instant)
        } else {
            self.instant + Duration::try_from(distance).unwrap_or_default()
        }
    }

    /// Takes a new sample. Tells by how much the database's clock was set, where that is more than `tolerance`.
    pub fn correct(
        &mut self,
        instant: Instant,
        timestamp: Timestamp,
        tolerance: Duration,
    ) -> Option<SignedDuration> {
        let jump = timestamp.duration_since(self.at(instant));
        *self = Self::new(instant, timestamp);
        (jump.unsigned_abs() > tolerance).then_some(jump)
    }
}

/// How a mailbox's INTERNALDATE relates to database time, learned from arrivals seen live.
///
/// INTERNALDATE has whole seconds (RFC 3501, section 2.3.3). The median of the last differences takes in the
/// half second that is cut off on average, and a clock that is wrong.
#[derive(Clone, Debug, Default)]
pub struct MailboxClock {
    differences: VecDeque<SignedDuration>,
}

impl MailboxClock {
    const KEPT: usize = 31;

    /// An arrival seen live at `seen`, in database time, was stamped `internal`.
    pub fn learn(&mut self, seen: Timestamp, internal: Timestamp) {
        if self.differences.len() >= Self::KEPT {
            self.differences.pop_front();
        }
        self.differences.push_back(seen.duration_since(internal));
    }

    /// The database's clock was set by `jump`.
    pub fn shift(&mut self, jump: SignedDuration) {
        for difference in &mut self.differences {
            *difference = difference.saturating_add(jump);
        }
    }

    fn offset(&self) -> Option<SignedDuration> {
        let mut sorted: Vec<_> = self.differences.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// What an INTERNALDATE means in database time, and how far a deadline must be passed by it before it counts as passed.
    #[must_use]
    pub fn arrival(&self, internal: Timestamp) -> (Timestamp, Duration) {
        match self.offset() {
            Some(offset) => (internal.saturating_add(offset).unwrap_or(internal), Duration::from_secs(2)),
            None => (internal, Duration::from_secs(5)),
        }
    }

    /// INTERNALDATE, offset corrected, until seen; absent while no offset is known.
    #[must_use]
    pub fn detection_lag(&self, seen: Timestamp, internal: Timestamp) -> Option<Duration> {
        let offset = self.offset()?;
        let stamped = internal.checked_add(offset).ok()?;
        Some(crate::domain::probe::between(stamped, seen))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn database_time_is_told_for_any_moment() {
        let now = Instant::now();
        let clock = DatabaseClock::new(now, at(1000));
        assert_eq!(clock.at(now + Duration::from_secs(5)), at(1005));
        assert_eq!(clock.instant(at(1005)), now + Duration::from_secs(5));
    }

    #[test]
    fn a_jump_is_told_and_drift_is_not() {
        let now = Instant::now();
        let mut clock = DatabaseClock::new(now, at(1000));
        let later = now + Duration::from_secs(2);
        assert_eq!(clock.correct(later, at(1002), Duration::from_secs(1)), None);
        assert_eq!(
            clock.correct(later, at(4602), Duration::from_secs(1)),
            Some(SignedDuration::from_hours(1))
        );
        assert_eq!(clock.at(later), at(4602));
    }

    #[test]
    fn a_wrong_mailbox_clock_is_learned() {
        let mut clock = MailboxClock::default();
        assert_eq!(clock.arrival(at(50)), (at(50), Duration::from_secs(5)));
        for second in 0..40 {
            clock.learn(at(1000 + second), at(400 + second));
        }
        assert_eq!(clock.arrival(at(450)), (at(1050), Duration::from_secs(2)));
        clock.shift(SignedDuration::from_secs(10));
        assert_eq!(clock.arrival(at(450)).0, at(1060));
    }
}
