//! The axes: latency, logarithmic from bottom to top, and time.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::store::Period;

/// Where the latency axis may begin, end and have a line, in milliseconds.
const LADDER: [f64; 26] = [
    10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 10e3, 20e3, 60e3, 120e3, 300e3, 600e3, 1.2e6,
    3.6e6, 7.2e6, 18e6, 36e6, 86.4e6, 172.8e6, 432e6, 864e6, 1.728e9, 4.32e9,
];

/// From the lowest to the highest latency of the picture.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    low_ms: f64,
    high_ms: f64,
}

impl Scale {
    /// With room for all of `latencies_ms` and for the threshold.
    pub fn of(latencies_ms: impl Iterator<Item = f32>, threshold: Duration) -> Self {
        let threshold = threshold.as_secs_f64() * 1000.0;
        let (mut least, mut most) = (threshold / 10.0, threshold * 1.2);
        for latency in latencies_ms.map(f64::from).filter(|latency| latency.is_finite()) {
            least = least.min(latency);
            most = most.max(latency);
        }
        let [lowest, .., highest] = LADDER;
        let low_ms = LADDER.into_iter().rev().find(|step| *step <= least).unwrap_or(lowest);
        let high_ms = LADDER.into_iter().find(|step| *step >= most && *step > low_ms).unwrap_or(highest);
        Self { low_ms, high_ms }
    }

    /// How far up a latency lies, from 0 to 1.
    pub fn share(self, ms: f64) -> f64 {
        let share = (ms.max(self.low_ms) / self.low_ms).ln() / (self.high_ms / self.low_ms).ln();
        if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
    }

    /// The lines of the axis, from the bottom, at least `distance` of the whole height apart.
    pub fn ticks(self, distance: f64) -> Vec<f64> {
        let mut ticks: Vec<f64> = Vec::new();
        for step in LADDER.into_iter().filter(|step| (self.low_ms..=self.high_ms).contains(step)) {
            if ticks.last().is_none_or(|last| self.share(step) - self.share(*last) >= distance) {
                ticks.push(step);
            }
        }
        ticks
    }
}

/// A latency of the [`LADDER`] with its unit.
pub fn label(ms: f64) -> String {
    let seconds = ms / 1000.0;
    match ms {
        ..60e3 => format!("{seconds}\u{a0}s"),
        60e3..3.6e6 => format!("{}\u{a0}min", seconds / 60.0),
        3.6e6..86.4e6 => format!("{}\u{a0}h", seconds / 3600.0),
        _ => format!("{}\u{a0}d", seconds / 86_400.0),
    }
}

/// A line of the time axis.
#[derive(Clone, Debug, PartialEq)]
pub struct TimeTick {
    pub at: Timestamp,
    /// From 0 to 1.
    pub share: f64,
    /// In UTC.
    pub label: String,
    /// The line stands for a day, not for a time of day.
    pub is_day: bool,
}

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 86_400;
/// Between two lines of the time axis, in seconds.
const STEPS: [i64; 19] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    14 * DAY,
    30 * DAY,
    60 * DAY,
    182 * DAY,
    365 * DAY,
];

/// The lines of the time axis: at most `most`, at round times.
pub fn time_ticks(period: Period, most: i64) -> Vec<TimeTick> {
    let length = period.length().as_secs();
    let [.., longest] = STEPS;
    let step =
        STEPS.into_iter().find(|step| length / step < most).unwrap_or_else(|| longest.max(length / most));
    let first = period.from.as_second().div_euclid(step) * step;
    let mut ticks = Vec::new();
    for number in 0..=most + 1 {
        let Ok(at) = Timestamp::from_second(first + number * step) else { break };
        if at < period.from || at > period.to {
            continue;
        }
        let is_day = step >= DAY || at.as_second().rem_euclid(DAY) == 0;
        let form = if length > 300 * DAY {
            "%b %Y"
        } else if is_day {
            "%-d %b"
        } else {
            "%H:%M"
        };
        let label = at.to_zoned(TimeZone::UTC).strftime(form).to_string();
        ticks.push(TimeTick { at, share: share(period, at), label, is_day });
    }
    ticks
}

fn share(period: Period, at: Timestamp) -> f64 {
    let seconds = |length: SignedDuration| length.as_secs_f64();
    let share = seconds(at.duration_since(period.from)) / seconds(period.length()).max(1e-6);
    share.clamp(0.0, 1.0)
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::web::history::tally::tests::period;
    use proptest::prelude::*;

    #[test]
    fn the_axis_has_round_values_with_units() {
        let scale = Scale::of([412.0, 900.0].into_iter(), Duration::from_mins(5));
        let labels: Vec<String> = scale.ticks(0.1).into_iter().map(label).collect();
        assert_eq!(labels.join(", ").replace('\u{a0}', " "), "0.2 s, 0.5 s, 2 s, 5 s, 20 s, 1 min, 5 min");
    }

    proptest! {
        #[test]
        fn every_latency_lies_on_the_axis(latencies in proptest::collection::vec(0.0_f32..1e9, 0..20), threshold in 1_u64..100_000, any: f32) {
            let scale = Scale::of(latencies.iter().copied(), Duration::from_secs(threshold));
            prop_assert!((0.0..=1.0).contains(&scale.share(f64::from(any))));
            let mut sorted = latencies.clone();
            sorted.sort_by(f32::total_cmp);
            for pair in sorted.windows(2) {
                prop_assert!(scale.share(pair[0].into()) <= scale.share(pair[1].into()));
            }
            for latency in latencies {
                // Nothing but what is below the lowest line is moved.
                let above = scale.share(f64::from(latency)) > 0.0 || latency <= 10.0 || f64::from(latency) <= scale.low_ms;
                prop_assert!(above && f64::from(latency) <= scale.high_ms, "{latency} {scale:?}");
            }
            prop_assert!(scale.share(Duration::from_secs(threshold).as_secs_f64() * 1000.0) < 1.0);
            prop_assert!(scale.ticks(0.1).len() >= 2 && scale.ticks(0.1).len() <= 11);
        }

        #[test]
        fn the_time_axis_is_round_and_within_the_period(seconds in 0_i64..4_000_000_000) {
            let period = period(seconds);
            let ticks = time_ticks(period, 8);
            prop_assert!(ticks.len() <= 9 && (seconds < 120 || !ticks.is_empty()), "{}", ticks.len());
            for tick in ticks {
                prop_assert!((period.from..=period.to).contains(&tick.at) && (0.0..=1.0).contains(&tick.share));
            }
        }
    }
}
