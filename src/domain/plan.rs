//! When a recipient is due: slots on a grid of its own, so that recipients spread over their interval.

use std::time::Duration;

use jiff::Timestamp;

use super::id::RecipientId;
use super::probe::between;

/// The slot after a claim at `now` of the slot `due`: the first of the recipient's slots at least half an interval
/// away, so that a restart storm or a clock that jumps cannot make a burst. Also tells how many slots were passed over.
#[must_use]
pub fn following(
    recipient: RecipientId,
    interval: Duration,
    due: Timestamp,
    now: Timestamp,
) -> (Timestamp, u64) {
    let interval_ms = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX).max(1);
    let offset = offset(recipient, interval_ms);
    let earliest = now.as_millisecond().saturating_add(interval_ms / 2);
    let since_slot = earliest.saturating_sub(offset).rem_euclid(interval_ms);
    let next = if since_slot == 0 { earliest } else { earliest.saturating_add(interval_ms - since_slot) };
    let next = Timestamp::from_millisecond(next).unwrap_or(Timestamp::MAX);
    let intervals = (between(due, next).as_secs_f64() / interval.as_secs_f64().max(0.001) + 0.5).floor();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded: years over milliseconds"
    )]
    let skipped = (intervals as u64).saturating_sub(1);
    (next, skipped)
}

/// A recipient's place in its interval, in milliseconds: multiples of the golden ratio spread evenly for any number of
/// consecutive ids.
fn offset(recipient: RecipientId, interval_ms: i64) -> i64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let turn = (f64::from(recipient.0) * GOLDEN).rem_euclid(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "an interval is at most days"
    )]
    let offset = (turn * interval_ms as f64) as i64;
    offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn never_less_than_half_an_interval_and_never_more_than_one_and_a_half(
            id in 1i32..100_000, interval in 30u64..604_800, now in 1_000_000_000i64..4_000_000_000, behind in 0i64..10_000_000,
        ) {
            let now_at = Timestamp::from_second(now).unwrap_or_default();
            let due = Timestamp::from_second(now - behind).unwrap_or_default();
            let every = Duration::from_secs(interval);
            let (next, _) = following(RecipientId(id), every, due, now_at);
            let wait = between(now_at, next);
            prop_assert!(wait >= every / 2 && wait <= every * 3 / 2, "{wait:?} of {every:?}");
        }

        #[test]
        fn in_the_steady_state_slots_are_one_interval_apart_and_none_is_skipped(
            id in 1i32..100_000, interval in 30u64..86_400, start in 1_000_000_000i64..2_000_000_000, lag_ms in 0u32..10_000,
        ) {
            let every = Duration::from_secs(interval);
            let begin = Timestamp::from_second(start).unwrap_or_default();
            let (first, _) = following(RecipientId(id), every, begin, begin);
            let claimed = super::super::probe::later(first, Duration::from_millis(lag_ms.into()).min(every / 3));
            let (second, skipped) = following(RecipientId(id), every, first, claimed);
            prop_assert_eq!(between(first, second), every);
            prop_assert_eq!(skipped, 0);
        }

        #[test]
        fn what_was_slept_through_is_counted(id in 1i32..1000, interval in 30u64..3600, missed in 1u64..50) {
            let every = Duration::from_secs(interval);
            let begin = Timestamp::from_second(1_700_000_000).unwrap_or_default();
            let (due, _) = following(RecipientId(id), every, begin, begin);
            let now = super::super::probe::later(due, every * u32::try_from(missed).unwrap_or(0));
            prop_assert_eq!(following(RecipientId(id), every, due, now).1, missed);
        }
    }

    #[test]
    fn recipients_spread_over_their_interval() {
        let every = Duration::from_mins(1);
        let now = Timestamp::from_second(1_700_000_000).unwrap_or_default();
        let mut seconds = [0; 60];
        for id in 1..=600 {
            let (next, _) = following(RecipientId(id), every, now, now);
            if let Some(count) =
                usize::try_from(next.as_second().rem_euclid(60)).ok().and_then(|s| seconds.get_mut(s))
            {
                *count += 1;
            }
        }
        assert!(seconds.iter().all(|count| (8..=12).contains(count)), "{seconds:?}");
    }
}
