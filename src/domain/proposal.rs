//! What a trial suggests for a recipient: how its probes come back, and from when on they are late.

use std::time::Duration;

use super::message::Form;
use super::return_mode::ReturnMode;

/// So many times what one probe took. A mail's way has bad days: a threshold that is near the usual time makes false alarms.
pub const MARGIN: u32 = 4;
/// Below that a queue that is run once a minute would be an alarm.
pub const AT_LEAST: Duration = Duration::from_mins(1);

/// Thresholds that people write, in seconds. Between two of them a proposal goes up.
const ROUND: [u64; 15] =
    [60, 90, 120, 180, 300, 600, 900, 1_200, 1_800, 2_700, 3_600, 7_200, 14_400, 43_200, 86_400];

/// The threshold for mail that took `latency`: [`MARGIN`] times as long, at least [`AT_LEAST`], rounded up, a day at most.
#[must_use]
pub fn threshold(latency: Duration) -> Duration {
    let wanted = latency.saturating_mul(MARGIN).max(AT_LEAST);
    let round = ROUND.into_iter().map(Duration::from_secs).find(|round| *round >= wanted);
    round.unwrap_or(Duration::from_hours(24))
}

/// The mode that accepts what came back, the strictest first: the probe itself proves more than a copy of it, and a copy
/// more than an answer. `None` when nothing came that could prove anything.
#[must_use]
pub fn return_mode(forms: &[Form]) -> Option<ReturnMode> {
    let ways = [
        (Form::Direct, ReturnMode::Direct),
        (Form::Copy, ReturnMode::Forward),
        (Form::AutoReply, ReturnMode::Echo),
    ];
    ways.into_iter().find(|(form, _)| forms.contains(form)).map(|(_, mode)| mode)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_threshold_leaves_room_and_is_a_round_figure() {
        for (latency_ms, seconds) in [
            (0, 60),
            (412, 60),
            (15_000, 60),
            (15_001, 90),
            (25_000, 120),
            (41_000, 180),
            (70_000, 300),
            (600_000, 2_700),
            (90_000_000, 86_400),
        ] {
            let proposed = threshold(Duration::from_millis(latency_ms));
            assert_eq!(proposed, Duration::from_secs(seconds), "{latency_ms} ms");
        }
        assert_eq!(threshold(Duration::MAX), Duration::from_hours(24));
    }

    #[test]
    fn the_strictest_mode_that_fits_is_proposed() {
        use Form::{AutoReply, Copy, Direct, Report};
        assert_eq!(return_mode(&[]), None);
        assert_eq!(return_mode(&[Report]), None);
        assert_eq!(return_mode(&[AutoReply, Report]), Some(ReturnMode::Echo));
        assert_eq!(return_mode(&[AutoReply, Copy]), Some(ReturnMode::Forward));
        assert_eq!(return_mode(&[Copy, AutoReply, Direct]), Some(ReturnMode::Direct));
    }

    proptest! {
        #[test]
        fn what_took_this_long_is_in_time_by_its_own_threshold(ms in 0_u64..21_600_000) {
            let latency = Duration::from_millis(ms);
            let proposed = threshold(latency);
            prop_assert!(proposed >= latency * MARGIN && proposed >= AT_LEAST);
            prop_assert!(proposed <= (latency * MARGIN).max(AT_LEAST) * 3, "{latency:?}: {proposed:?}");
        }

        #[test]
        fn a_proposed_mode_accepts_something_that_came(forms in proptest::collection::vec(0..4_usize, 0..5)) {
            let all = [Form::Direct, Form::Copy, Form::AutoReply, Form::Report];
            let forms: Vec<Form> = forms.into_iter().filter_map(|at| all.get(at).copied()).collect();
            match return_mode(&forms) {
                Some(mode) => prop_assert!(forms.iter().any(|form| mode.accepts(*form))),
                None => prop_assert!(forms.iter().all(|form| *form == Form::Report)),
            }
        }
    }
}
