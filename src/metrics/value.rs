//! Numbers that many tasks change at once and a scrape reads without stopping them.
//!
//! Plain atomics instead of the library's `Family`: 10,000 recipients have half a million series, and a hash map entry
//! with its own label strings for each would take more memory than the rest of the program. It also makes counting
//! free of locks and the removal of a recipient one step.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;

/// Only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// The last value, absent until it is known.
#[derive(Debug)]
pub(super) struct Gauge(AtomicU64);

impl Default for Gauge {
    fn default() -> Self {
        Self(AtomicU64::new(f64::NAN.to_bits()))
    }
}

impl Gauge {
    pub(super) fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Relaxed);
    }

    pub(super) fn set_time(&self, at: Timestamp) {
        self.set(unix_seconds(at));
    }

    pub(super) fn clear(&self) {
        self.set(f64::NAN);
    }

    pub(super) fn get(&self) -> Option<f64> {
        let value = f64::from_bits(self.0.load(Relaxed));
        (!value.is_nan()).then_some(value)
    }
}

/// Seconds since the epoch, exact to the millisecond for the next centuries.
#[expect(clippy::cast_precision_loss, reason = "milliseconds stay below 2^53")]
pub(super) fn unix_seconds(at: Timestamp) -> f64 {
    at.as_millisecond() as f64 / 1000.0
}

/// Upper bounds for whole deliveries, in seconds.
pub(super) static LATENCY: [f64; 23] = [
    0.1,
    0.25,
    0.5,
    1.0,
    2.0,
    3.0,
    5.0,
    7.5,
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    90.0,
    120.0,
    180.0,
    300.0,
    600.0,
    900.0,
    1800.0,
    3600.0,
    f64::INFINITY,
];

/// Upper bounds for the steps of a submission, in seconds.
pub(super) static PHASE: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, f64::INFINITY];

/// Upper bounds for our own delays, in seconds.
pub(super) static LAG: [f64; 13] =
    [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, f64::INFINITY];

/// Durations, counted by bucket. The last of the `N` bounds is infinite.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    bounds: &'static [f64; N],
    counts: [AtomicU64; N],
    /// Whole nanoseconds, so that the sum is exact and needs no lock; enough for 584 years.
    sum: AtomicU64,
}

/// What a histogram held at one moment.
pub(super) struct Observed<const N: usize> {
    /// Upper bound and the number of values between it and the bound below.
    pub(super) buckets: [(f64, u64); N],
    pub(super) sum: f64,
}

impl<const N: usize> Observed<N> {
    /// Of the buckets themselves, so that it always agrees with the infinite bucket.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl<const N: usize> Histogram<N> {
    pub(super) fn new(bounds: &'static [f64; N]) -> Self {
        Self { bounds, counts: std::array::from_fn(|_| AtomicU64::new(0)), sum: AtomicU64::new(0) }
    }

    /// Counts `value` and returns the number of its bucket.
    pub(super) fn observe(&self, value: Duration) -> usize {
        let seconds = value.as_secs_f64();
        let bucket = self.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get(bucket) {
            count.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX), Relaxed);
        bucket
    }

    pub(super) fn observed(&self) -> Observed<N> {
        let mut buckets = self.bounds.map(|bound| (bound, 0));
        for ((_, seen), count) in buckets.iter_mut().zip(&self.counts) {
            *seen = count.load(Relaxed);
        }
        Observed { buckets, sum: Duration::from_nanos(self.sum.load(Relaxed)).as_secs_f64() }
    }
}

/// A closed vocabulary that serves as label values.
pub(super) trait Word: Copy + PartialEq + 'static {
    const ALL: &'static [Self];
}

/// One value for each word of `W`, of which there are `N`.
#[derive(Debug)]
pub(super) struct Each<W, T, const N: usize> {
    values: [T; N],
    words: PhantomData<fn() -> W>,
}

impl<W: Word, T, const N: usize> Each<W, T, N> {
    pub(super) fn from_fn(new: impl Fn() -> T) -> Self {
        const { assert!(W::ALL.len() == N) }
        Self { values: std::array::from_fn(|_| new()), words: PhantomData }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (W, &T)> {
        W::ALL.iter().copied().zip(&self.values)
    }

    pub(super) fn get(&self, word: W) -> Option<&T> {
        self.iter().find_map(|(other, value)| (other == word).then_some(value))
    }
}

impl<W: Word, const N: usize> Each<W, Counter, N> {
    pub(super) fn count(&self, word: W) {
        if let Some(counter) = self.get(word) {
            counter.add(1);
        }
    }

    /// The words that were counted at least once.
    pub(super) fn seen(&self) -> impl Iterator<Item = (W, u64)> {
        self.iter().map(|(word, counter)| (word, counter.get())).filter(|(_, n)| *n > 0)
    }
}

#[cfg(test)]
#[expect(clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let histogram = Histogram::new(&LATENCY);
        assert_eq!(histogram.observe(Duration::from_millis(100)), 0);
        assert_eq!(histogram.observe(Duration::from_nanos(100_000_001)), 1);
        assert_eq!(histogram.observe(Duration::ZERO), 0);
        assert_eq!(histogram.observe(Duration::from_hours(1)), 21);
        assert_eq!(histogram.observe(Duration::from_secs(3601)), 22);
        let observed = histogram.observed();
        assert_eq!(observed.count(), 5);
        assert_eq!(observed.buckets[0], (0.1, 2));
        assert!((observed.sum - 7_201.200_000_001).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn each_value_lies_in_the_bucket_that_counted_it(nanos in 0u64..8_000_000_000_000) {
            let value = Duration::from_nanos(nanos);
            let bucket = Histogram::new(&LAG).observe(value);
            prop_assert!(value.as_secs_f64() <= LAG[bucket]);
            prop_assert!(bucket == 0 || value.as_secs_f64() > LAG[bucket - 1]);
        }
    }

    #[test]
    fn a_gauge_is_absent_until_set() {
        let gauge = Gauge::default();
        assert_eq!(gauge.get(), None);
        gauge.set(0.0);
        assert_eq!(gauge.get(), Some(0.0));
        gauge.clear();
        assert_eq!(gauge.get(), None);
    }
}
