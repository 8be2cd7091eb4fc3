//! How long a message was with each server, as far as their clocks can be believed.
//!
//! The stamps of a trace are by as many clocks as there are servers, in whole seconds. What our own clock knows bounds them:
//! no server can have had the message before it was sent or after it was seen. A stamp outside of that, or out of the order
//! that most of the others keep, is by a clock that is wrong; it tells no delay, and none is invented from it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::trace::Hop;

/// How far apart clocks that are right may be. Stamps have whole seconds.
const SLACK_MS: i64 = 2_000;
/// How far back a stamp may go behind the one before it and still be in order, in milliseconds.
const ORDER_MS: i64 = 1_000;

/// What a stamp says about the time since the last one that can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Took(Duration),
    /// The server's clock is off by at least this; negative: it is behind.
    Skewed(SignedDuration),
    /// It has no time that can be read.
    Unknown,
}

/// A trace, read with the clocks in mind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transit {
    /// For each hop, in the order of the way.
    pub delays: Vec<Delay>,
    /// From the last stamp that can be believed until it was seen; `None` without one.
    pub last: Option<Duration>,
    /// By how much all the servers' clocks differ from ours, where they agree with one another and not with us.
    pub offset: Option<SignedDuration>,
}

/// One stamp: which hop, and when, in milliseconds of our clock.
#[derive(Clone, Copy)]
struct Mark {
    hop: usize,
    ms: i64,
}

/// Reads the times of `hops`. The message was not under way before `sent`, and was seen at `seen`, give or take `slack`.
#[must_use]
pub fn transit(hops: &[Hop], sent: Timestamp, seen: Timestamp, slack: Duration) -> Transit {
    let slack = i64::try_from(slack.as_millis()).unwrap_or(SLACK_MS).clamp(SLACK_MS, 60_000);
    let (sent, seen) = (sent.as_millisecond(), seen.as_millisecond().max(sent.as_millisecond()));
    let marks: Vec<Mark> = hops
        .iter()
        .enumerate()
        .filter_map(|(hop, stamp)| Some(Mark { hop, ms: stamp.at()?.as_millisecond() }))
        .collect();
    let is_possible = |ms: i64| ms >= sent - slack && ms <= seen + slack;
    let offset =
        common_offset(&marks, sent, seen, slack).filter(|_| !marks.iter().any(|mark| is_possible(mark.ms)));
    let ours = |mark: &Mark| Mark { ms: mark.ms - offset.unwrap_or(0), ..*mark };
    let possible = marks.iter().map(ours).filter(|mark| is_possible(mark.ms));
    let possible: Vec<Mark> = possible.map(|mark| Mark { ms: mark.ms.clamp(sent, seen), ..mark }).collect();
    let believed = in_order(&possible);

    let mut delays = vec![Delay::Unknown; hops.len()];
    for mark in marks.iter().map(ours) {
        let before = believed.iter().rev().find(|other| other.hop < mark.hop).map_or(sent, |other| other.ms);
        let after = believed.iter().find(|other| other.hop > mark.hop).map_or(seen, |other| other.ms);
        let Some(delay) = delays.get_mut(mark.hop) else { continue };
        *delay = if let Some(mark) = believed.iter().find(|other| other.hop == mark.hop) {
            Delay::Took(took(before, mark.ms))
        } else {
            // Behind what was before it, else ahead of what came after.
            let off = if mark.ms < before { mark.ms - before } else { (mark.ms - after).max(0) };
            Delay::Skewed(SignedDuration::from_millis(off))
        };
    }
    Transit {
        delays,
        last: believed.last().map(|mark| took(mark.ms, seen)),
        offset: offset.map(SignedDuration::from_millis),
    }
}

fn took(from: i64, to: i64) -> Duration {
    Duration::from_millis(u64::try_from(to - from).unwrap_or(0))
}

/// Where at least two stamps fit into the time that the message took, but not onto our clock: by how much they are ahead.
fn common_offset(marks: &[Mark], sent: i64, seen: i64, slack: i64) -> Option<i64> {
    let (first, last) = (marks.first()?, marks.last()?);
    let (earliest, latest) = (marks.iter().map(|m| m.ms).min()?, marks.iter().map(|m| m.ms).max()?);
    let fits = marks.len() > 1 && latest - earliest <= seen - sent + slack && last.ms >= first.ms - ORDER_MS;
    // As late as can be: the servers before the first stamp took some time too.
    fits.then(|| if earliest > seen { latest - seen } else { earliest - sent })
}

/// The longest part of the marks that keeps the order; of several the one that ends last.
fn in_order(marks: &[Mark]) -> Vec<Mark> {
    // For each mark the length of the longest chain that ends there, and the mark before it in that chain.
    let mut chains: Vec<(usize, Option<usize>)> = Vec::with_capacity(marks.len());
    for (place, mark) in marks.iter().enumerate() {
        let before = marks.iter().zip(&chains).take(place).enumerate();
        let best = before
            .filter(|(_, (earlier, _))| earlier.ms - ORDER_MS <= mark.ms)
            .max_by_key(|(_, (_, (length, _)))| *length);
        chains.push(best.map_or((1, None), |(at, (_, (length, _)))| (length + 1, Some(at))));
    }
    let mut next = chains.iter().enumerate().max_by_key(|(_, (length, _))| *length).map(|(at, _)| at);
    let mut chosen = Vec::new();
    while let Some(at) = next {
        chosen.extend(marks.get(at).copied());
        next = chains.get(at).and_then(|(_, before)| *before);
    }
    chosen.reverse();
    // Within a chain a clock may be a moment behind: it says nothing about time that went by.
    let mut latest = i64::MIN;
    for mark in &mut chosen {
        latest = latest.max(mark.ms);
        mark.ms = latest;
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::trace::Stamp;
    use proptest::prelude::*;

    const START: i64 = 1_800_000_000;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(START * 1000 + ms).unwrap_or_default()
    }

    /// A trace with stamps at these seconds after the start.
    fn hops(seconds: &[Option<i64>]) -> Vec<Hop> {
        seconds
            .iter()
            .map(|second| Hop::Stamp(Stamp { at: second.map(|s| at(s * 1000)), ..Stamp::default() }))
            .collect()
    }

    fn read(seconds: &[Option<i64>], seen_ms: i64) -> Transit {
        transit(&hops(seconds), at(0), at(seen_ms), Duration::ZERO)
    }

    fn s(seconds: u64) -> Delay {
        Delay::Took(Duration::from_secs(seconds))
    }

    #[test]
    fn delays_add_up_on_clocks_that_agree() {
        let transit = read(&[Some(1), Some(1), None, Some(31)], 31_400);
        assert_eq!(transit.delays, [s(1), s(0), Delay::Unknown, s(30)]);
        assert_eq!((transit.last, transit.offset), (Some(Duration::from_millis(400)), None));
    }

    #[test]
    fn a_moment_back_is_no_time_and_no_skew() {
        // Whole seconds are cut off: stamped at 0 s although sent at 0.4 s.
        let transit = transit(&hops(&[Some(0), Some(2), Some(1)]), at(400), at(2_500), Duration::ZERO);
        assert_eq!(transit.delays, [s(0), Delay::Took(Duration::from_millis(1_600)), s(0)]);
    }

    #[test]
    fn one_wrong_clock_is_marked_and_the_others_are_believed() {
        let hour = 3_600;
        let ahead = read(&[Some(1), Some(hour), Some(5)], 5_300);
        assert_eq!(ahead.delays, [s(1), Delay::Skewed(SignedDuration::from_secs(hour - 5)), s(4)]);
        let behind = read(&[Some(1), Some(-hour), Some(5)], 5_300);
        assert_eq!(behind.delays, [s(1), Delay::Skewed(SignedDuration::from_secs(-hour - 1)), s(4)]);
        // Within the time that the message took, but out of order.
        let inside = read(&[Some(1), Some(2), Some(50), Some(3), Some(60)], 60_000);
        assert_eq!(inside.delays, [s(1), s(1), Delay::Skewed(SignedDuration::from_secs(47)), s(1), s(57)]);
        assert_eq!(inside.offset, None);
        let alone = read(&[Some(600)], 2_000);
        assert_eq!(alone.delays, [Delay::Skewed(SignedDuration::from_secs(598))]);
        assert_eq!(alone.last, None);
    }

    #[test]
    fn clocks_that_agree_with_one_another_and_not_with_ours_are_read_with_the_offset() {
        let ahead = read(&[Some(60), Some(60), Some(68)], 10_000);
        assert_eq!(ahead.offset, Some(SignedDuration::from_secs(58)));
        assert_eq!(ahead.delays, [s(2), s(0), s(8)]);
        assert_eq!(ahead.last, Some(Duration::ZERO));
        let behind = read(&[Some(-100), Some(-92)], 10_000);
        assert_eq!(behind.offset, Some(SignedDuration::from_secs(-100)));
        assert_eq!(behind.delays, [s(0), s(8)]);
        assert_eq!(behind.last, Some(Duration::from_secs(2)));
    }

    proptest! {
        #[test]
        fn delays_never_exceed_the_time_that_the_message_took(
            seconds in proptest::collection::vec(proptest::option::of(-200_i64..200), 0..30),
            took_ms in 0_i64..120_000,
        ) {
            let transit = read(&seconds, took_ms);
            prop_assert_eq!(transit.delays.len(), seconds.len());
            let sum: Duration = transit.delays.iter().map(|delay| match delay {
                Delay::Took(took) => *took,
                _ => Duration::ZERO,
            }).sum();
            let bound = Duration::from_millis(u64::try_from(took_ms).unwrap_or(0));
            prop_assert!(sum + transit.last.unwrap_or_default() <= bound, "{:?}", transit);
        }

        #[test]
        fn a_wrong_clock_among_right_ones_is_told(
            steps in proptest::collection::vec(0_i64..5, 3..12),
            wrong in 0_usize..12,
            by in prop_oneof![-5_000_i64..-60, 60_i64..5_000],
        ) {
            let mut now = 0;
            let mut seconds: Vec<Option<i64>> = steps.iter().map(|step| { now += step; Some(now) }).collect();
            let wrong = wrong % seconds.len();
            if let Some(Some(second)) = seconds.get_mut(wrong) {
                *second += by;
            }
            let transit = read(&seconds, now * 1000 + 300);
            for (place, delay) in transit.delays.iter().enumerate() {
                prop_assert_eq!(matches!(delay, Delay::Skewed(_)), place == wrong, "{:?}", transit);
            }
        }

        #[test]
        fn any_times_are_read(stamps in proptest::collection::vec(-377_705_023_201_i64..253_402_207_200, 0..9), a in any::<i32>(), b in any::<i32>()) {
            let hops: Vec<Hop> = stamps.iter().map(|s| {
                Hop::Stamp(Stamp { at: Timestamp::from_second(*s).ok(), ..Stamp::default() })
            }).collect();
            let moment = |s: i32| Timestamp::from_second(s.into()).unwrap_or_default();
            let _ = transit(&hops, moment(a), moment(b), Duration::MAX);
        }
    }
}
