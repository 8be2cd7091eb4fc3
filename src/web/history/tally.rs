//! The probes of a period as counts, figures and what can be drawn: exact, however many there are.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::domain::verdict::Standing;
use crate::store::{Period, Point};

/// Columns of the picture.
pub const COLUMNS: usize = 480;
/// Parts of the strip of outcomes.
pub const SEGMENTS: usize = 120;

/// How a probe can end, in the order in which it is told.
pub const KINDS: [Standing; 7] = [
    Standing::Ok,
    Standing::Junk,
    Standing::Late,
    Standing::Missing,
    Standing::Bounced,
    Standing::SendFailed,
    Standing::Unknown,
];

/// Numbers of probes by [`KINDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([usize; KINDS.len()]);

impl Counts {
    pub fn of(&self, standing: Standing) -> usize {
        KINDS.iter().zip(self.0).find(|(kind, _)| **kind == standing).map_or(0, |(_, number)| number)
    }

    pub fn all(&self) -> usize {
        self.0.iter().sum()
    }

    /// What there is, with its number.
    pub fn present(&self) -> impl Iterator<Item = (Standing, usize)> {
        KINDS.into_iter().zip(self.0).filter(|(_, number)| *number > 0)
    }

    fn add(&mut self, standing: Standing) {
        for (_, number) in KINDS.iter().zip(&mut self.0).filter(|(kind, _)| **kind == standing) {
            *number += 1;
        }
    }

    fn add_all(&mut self, other: &Self) {
        for (number, more) in self.0.iter_mut().zip(other.0) {
            *number += more;
        }
    }
}

/// A probe that arrived after a time that is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    pub column: usize,
    pub standing: Standing,
    pub latency_ms: f32,
    pub estimated: bool,
}

/// Everything that is shown of a period. Probes that people asked for are counted apart and nowhere else.
pub struct Tally {
    pub period: Period,
    pub counts: Counts,
    /// Without a result.
    pub under_way: usize,
    pub manual: usize,
    /// Those of the dots whose latency is estimated: they are in no figure.
    pub estimated: usize,
    /// By column.
    pub columns: Vec<Counts>,
    pub dots: Vec<Dot>,
    /// Columns with probes that arrived, and nobody knows after how long.
    pub untimed: Vec<bool>,
    /// Of what arrived and was timed.
    pub median_ms: Option<f32>,
    pub p95_ms: Option<f32>,
    pub slowest_ms: Option<f32>,
    /// Changes with what is shown.
    pub stamp: String,
}

impl Tally {
    pub fn new<'a>(period: Period, points: impl IntoIterator<Item = &'a Point>) -> Self {
        let mut tally = Self {
            period,
            counts: Counts::default(),
            under_way: 0,
            manual: 0,
            estimated: 0,
            columns: vec![Counts::default(); COLUMNS],
            dots: Vec::new(),
            untimed: vec![false; COLUMNS],
            median_ms: None,
            p95_ms: None,
            slowest_ms: None,
            stamp: String::new(),
        };
        let mut measured = Vec::new();
        let mut newest = Timestamp::MIN;
        for point in points {
            newest = newest.max(point.at);
            tally.add(point, &mut measured);
        }
        tally.median_ms = at_rank(&mut measured, 50);
        tally.p95_ms = at_rank(&mut measured, 95);
        tally.slowest_ms = at_rank(&mut measured, 100);
        tally.stamp = format!(
            "{}-{}-{}-{}",
            newest.as_microsecond(),
            tally.counts.all(),
            tally.under_way,
            tally.manual
        );
        tally
    }

    fn add(&mut self, point: &Point, measured: &mut Vec<f32>) {
        if point.manual {
            self.manual += 1;
            return;
        }
        if point.standing == Standing::Pending {
            self.under_way += 1;
            return;
        }
        let column = column(self.period, point.at);
        self.counts.add(point.standing);
        if let Some(counts) = self.columns.get_mut(column) {
            counts.add(point.standing);
        }
        let Some(latency_ms) = point.latency_ms else {
            let arrived = matches!(point.standing, Standing::Ok | Standing::Junk | Standing::Late);
            if let Some(untimed) = self.untimed.get_mut(column).filter(|_| arrived) {
                *untimed = true;
            }
            return;
        };
        self.dots.push(Dot { column, standing: point.standing, latency_ms, estimated: point.estimated });
        if point.estimated {
            self.estimated += 1;
        } else {
            measured.push(latency_ms);
        }
    }

    /// Probes of which it is known whether they arrived in time.
    pub fn judged(&self) -> usize {
        self.counts.all() - self.counts.of(Standing::Unknown)
    }

    pub fn in_time(&self) -> usize {
        self.counts.of(Standing::Ok) + self.counts.of(Standing::Junk)
    }

    /// The counts of each part of the strip.
    pub fn segments(&self) -> Vec<Counts> {
        self.columns
            .chunks(COLUMNS / SEGMENTS)
            .map(|columns| {
                let mut sum = Counts::default();
                for counts in columns {
                    sum.add_all(counts);
                }
                sum
            })
            .collect()
    }

    /// Fastest and slowest in each part of the strip.
    pub fn spans_ms(&self) -> Vec<Option<(f32, f32)>> {
        let mut spans: Vec<Option<(f32, f32)>> = vec![None; SEGMENTS];
        for dot in &self.dots {
            if let Some(span) = spans.get_mut(dot.column * SEGMENTS / COLUMNS) {
                let (least, most) = span.unwrap_or((dot.latency_ms, dot.latency_ms));
                *span = Some((least.min(dot.latency_ms), most.max(dot.latency_ms)));
            }
        }
        spans
    }
}

/// The column that a moment belongs to.
fn column(period: Period, at: Timestamp) -> usize {
    let micros = |from: Timestamp, to: Timestamp| (to.as_microsecond() - from.as_microsecond()).max(0);
    let (length, after) = (micros(period.from, period.to).max(1), micros(period.from, at));
    let columns = i64::try_from(COLUMNS).unwrap_or(i64::MAX);
    let column = after.saturating_mul(columns) / length;
    usize::try_from(column).unwrap_or_default().min(COLUMNS - 1)
}

/// When the part `number` of `all` begins.
pub fn begin(period: Period, number: usize, all: usize) -> Timestamp {
    let (number, all) =
        (i32::try_from(number).unwrap_or(i32::MAX), i32::try_from(all.max(1)).unwrap_or(i32::MAX));
    let micros = period.length().as_micros() * i128::from(number) / i128::from(all);
    period.from + SignedDuration::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// How long one column is.
pub fn column_length(period: Period) -> Duration {
    let columns = u32::try_from(COLUMNS).unwrap_or(u32::MAX);
    Duration::try_from(period.length()).unwrap_or_default() / columns
}

/// The least value that `percent` of all do not exceed: one that was really measured, not one between two.
fn at_rank(values: &mut [f32], percent: usize) -> Option<f32> {
    let rank = (values.len() * percent).div_ceil(100).checked_sub(1)?;
    Some(*values.select_nth_unstable_by(rank, f32::total_cmp).1)
}

/// A share in per cent, cut off, never rounded up: 100 % are all.
pub fn percent(part: usize, whole: usize) -> Option<String> {
    let (part, whole) = (u128::try_from(part).ok()?, u128::try_from(whole).ok()?);
    let hundredths = (part * 10_000).checked_div(whole)?;
    let (ones, rest) = (hundredths / 100, hundredths % 100);
    Some(match (ones, rest) {
        (100, _) => "100\u{a0}%".to_owned(),
        (0, 0..10) if part > 0 => "under 0.1\u{a0}%".to_owned(),
        (0, 0) => "0\u{a0}%".to_owned(),
        (99.., _) => format!("{ones}.{rest:02}\u{a0}%"),
        _ => format!("{ones}.{}\u{a0}%", rest / 10),
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn period(seconds: i64) -> Period {
        let from = Timestamp::from_second(1_800_000_000).unwrap();
        Period { from, to: from + SignedDuration::from_secs(seconds) }
    }

    /// Any probe within the first `seconds`.
    pub fn point(seconds: i64) -> impl Strategy<Value = Point> {
        let standing = proptest::sample::select([&KINDS[..], &[Standing::Pending]].concat());
        (
            0..=seconds,
            standing,
            proptest::option::weighted(0.9, 0.0_f32..1e7),
            any::<bool>(),
            proptest::bool::weighted(0.05),
        )
            .prop_map(move |(after, standing, latency, estimated, manual)| {
                let arrived = matches!(standing, Standing::Ok | Standing::Junk | Standing::Late);
                Point {
                    at: period(seconds).from + SignedDuration::from_secs(after),
                    standing,
                    latency_ms: latency.filter(|_| arrived),
                    estimated,
                    manual,
                }
            })
    }

    #[test]
    fn a_share_is_never_rounded_up() {
        for (part, whole, text) in [
            (0, 3, "0 %"),
            (1, 3, "33.3 %"),
            (992, 1_000, "99.20 %"),
            (99_999, 100_000, "99.99 %"),
            (9_999_999, 10_000_000, "99.99 %"),
            (1, 10_000_000, "under 0.1 %"),
            (9_899, 10_000, "98.9 %"),
            (7, 7, "100 %"),
        ] {
            assert_eq!(
                percent(part, whole),
                Some(text.replace(' ', "\u{a0}").replace("under\u{a0}", "under ")),
                "{part}"
            );
        }
        assert_eq!(percent(0, 0), None);
    }

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let mut values: Vec<f32> = (1_u8..=100).rev().map(f32::from).collect();
        assert_eq!(
            [50, 95, 100].map(|percent| at_rank(&mut values, percent)),
            [Some(50.0), Some(95.0), Some(100.0)]
        );
        assert_eq!(at_rank(&mut [7.0], 50), Some(7.0));
        assert_eq!(at_rank(&mut [2.0, 1.0], 50), Some(1.0));
        assert_eq!(at_rank(&mut [], 50), None);
    }

    proptest! {
        #[test]
        fn every_probe_is_counted_once(points in proptest::collection::vec(point(604_800), 0..400)) {
            let tally = Tally::new(period(604_800), &points);
            prop_assert_eq!(tally.counts.all() + tally.under_way + tally.manual, points.len());
            let sum = |counts: &[Counts], kind| counts.iter().map(|counts| counts.of(kind)).sum::<usize>();
            let judged = || points.iter().filter(|point| !point.manual);
            for kind in KINDS {
                let number = judged().filter(|point| point.standing == kind).count();
                prop_assert_eq!(tally.counts.of(kind), number);
                prop_assert_eq!(sum(&tally.columns, kind), number);
                prop_assert_eq!(sum(&tally.segments(), kind), number);
            }
            prop_assert_eq!(tally.dots.len(), judged().filter(|point| point.latency_ms.is_some()).count());
            let mut measured: Vec<f32> =
                judged().filter(|point| !point.estimated).filter_map(|point| point.latency_ms).collect();
            measured.sort_by(f32::total_cmp);
            prop_assert_eq!(tally.slowest_ms, measured.last().copied());
            if let (Some(median), Some(p95)) = (tally.median_ms, tally.p95_ms) {
                let within = |most: f32| measured.iter().filter(|ms| **ms <= most).count();
                prop_assert!(within(median) * 2 >= measured.len() && within(p95) * 100 >= measured.len() * 95);
            }
        }

        #[test]
        fn a_moment_is_in_the_column_that_contains_it(seconds in 0_i64..40_000_000, after in 0_i64..40_000_000) {
            let period = period(seconds);
            let at = period.from + SignedDuration::from_secs(after.min(seconds));
            let column = column(period, at);
            prop_assert!(column < COLUMNS);
            prop_assert!(begin(period, column, COLUMNS) <= at);
            prop_assert!(column == COLUMNS - 1 || at <= begin(period, column + 1, COLUMNS));
        }
    }
}
