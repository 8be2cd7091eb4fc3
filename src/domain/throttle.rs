//! How many probes may begin: a bucket of tokens, so that a backlog is worked off and not thrown at the servers.

use std::time::{Duration, Instant};

/// Twice the rate that the recipients' intervals ask for, and never below [`Throttle::FLOOR`].
#[derive(Clone, Copy, Debug)]
pub struct Throttle {
    per_second: f64,
    tokens: f64,
    filled: Instant,
}

impl Throttle {
    /// Probes a second that are always allowed.
    pub const FLOOR: f64 = 10.0;

    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { per_second: Self::FLOOR, tokens: Self::FLOOR, filled: now }
    }

    /// Takes the intervals of all active recipients.
    pub fn set_load(&mut self, intervals: impl Iterator<Item = Duration>) {
        let asked: f64 = intervals.map(|interval| 1.0 / interval.as_secs_f64().max(0.1)).sum();
        self.per_second = (2.0 * asked).max(Self::FLOOR);
    }

    /// How many may begin now.
    pub fn allowed(&mut self, now: Instant) -> usize {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.tokens = (self.tokens + passed * self.per_second).min(self.per_second.max(Self::FLOOR));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded and positive")]
        let whole = self.tokens.max(0.0) as usize;
        whole
    }

    /// Says how many did begin.
    pub fn begun(&mut self, count: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a count of probes")]
        let count = count as f64;
        self.tokens -= count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_is_worked_off_at_twice_the_steady_rate() {
        let start = Instant::now();
        let mut throttle = Throttle::new(start);
        throttle.set_load(std::iter::repeat_n(Duration::from_mins(1), 6000));
        let mut begun = 0;
        for tenth in 0..=100u32 {
            let now = start + Duration::from_millis(100) * tenth;
            let allowed = throttle.allowed(now);
            throttle.begun(allowed);
            begun += allowed;
        }
        assert!((1900..=2220).contains(&begun), "{begun} in ten seconds, where 1,000 are due");
    }

    #[test]
    fn a_handful_of_recipients_need_not_wait() {
        assert_eq!(Throttle::new(Instant::now()).allowed(Instant::now()), 10);
    }
}
