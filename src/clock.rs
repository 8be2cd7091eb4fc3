//! The only place that reads the wall clock.
//!
//! Deadlines and schedules are in database time and durations are monotonic; the wall clock serves the Date of a
//! message, the order of probe ids and the log.

use jiff::Timestamp;

/// Now, by this machine's wall clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
