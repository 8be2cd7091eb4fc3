//! How often to ask for new mail by NOOP, beyond what the server tells by itself.
//!
//! Servers may sit on a notification (Dovecot: 500 ms), so while a young probe is expected we ask. The pause grows with
//! the probe's age: what took ten seconds need not be known to the millisecond.

use std::time::{Duration, Instant};

/// Where IDLE's own delay is no longer worth asking: Dovecot's 500 ms are a tenth of it.
const IDLE_FROM: Duration = Duration::from_secs(5);

/// How eagerly one folder asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// After which age of a probe to ask for it first.
    pub first: Duration,
    /// The bounds of the pause.
    least: Duration,
    most: Duration,
    /// The pause is the age divided by this.
    share: u32,
    /// The longest pause for old probes.
    check_interval: Duration,
    /// Most probes are found elsewhere before the first ask: not worth leaving IDLE early.
    idle_first: bool,
}

/// When to ask next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing is expected.
    Rest,
    /// Ask then, and stay out of IDLE until then.
    Ask(Instant),
    /// Ask then, and use IDLE until then.
    IdleAndAsk(Instant),
}

impl Pace {
    /// For the folder where probes are expected.
    pub(super) fn primary(check_interval: Duration) -> Self {
        let ms = Duration::from_millis;
        Self { first: ms(10), least: ms(50), most: ms(1000), share: 10, check_interval, idle_first: false }
    }

    /// For one of `count` other folders, which share a quarter of what the first may ask.
    pub(super) fn secondary(count: u32, check_interval: Duration) -> Self {
        let ms = Duration::from_millis;
        let least = ms(250) * count.max(1);
        Self { first: ms(100), least, most: least.max(ms(2000)), share: 5, check_interval, idle_first: true }
    }

    /// `fresh`: the eldest probe that was not asked for yet; `asked`: the youngest one that was, both by the moment
    /// from which they are expected; `last`: the last ask.
    pub(super) fn plan(
        &self,
        fresh: Option<Instant>,
        asked: Option<Instant>,
        last: Option<Instant>,
        idle: bool,
    ) -> Plan {
        let again = asked.zip(last).map(|(since, last)| {
            let age = last.saturating_duration_since(since);
            match (age < IDLE_FROM, idle) {
                (true, _) => Plan::Ask(last + (age / self.share).clamp(self.least, self.most)),
                (false, true) => Plan::IdleAndAsk(last + self.old(age / 5, 2)),
                (false, false) => Plan::Ask(last + self.old(age / 10, 1)),
            }
        });
        match (fresh.map(|since| since + self.first), again) {
            (None, None) => Plan::Rest,
            (None, Some(again)) => again,
            (Some(first), None | Some(Plan::Rest)) => self.first_ask(first, idle),
            (Some(first), Some(Plan::Ask(again))) => Plan::Ask(first.min(again)),
            (Some(first), Some(Plan::IdleAndAsk(again))) => self.first_ask(first.min(again), idle),
        }
    }

    fn first_ask(&self, at: Instant, idle: bool) -> Plan {
        if self.idle_first && idle { Plan::IdleAndAsk(at) } else { Plan::Ask(at) }
    }

    fn old(&self, pause: Duration, least_seconds: u64) -> Duration {
        pause.min(self.check_interval).max(Duration::from_secs(least_seconds).min(self.check_interval))
    }
}

/// At most 20 asks in any second, for all folders of a mailbox together: 16 a second on average, 4 in a burst.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// When the budget is, or was, full.
    full_at: Instant,
}

impl Budget {
    const BURST: u32 = 4;
    const EACH: Duration = Duration::from_micros(62_500);

    pub(super) fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Takes one ask, or tells when there will be one.
    pub(super) fn take(&mut self, now: Instant) -> Result<(), Instant> {
        let full_at = self.full_at.max(now) + Self::EACH;
        let excess = full_at.saturating_duration_since(now + Self::EACH * Self::BURST);
        if !excess.is_zero() {
            return Err(now + excess);
        }
        self.full_at = full_at;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CHECK: Duration = Duration::from_secs(30);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn nothing_expected_nothing_asked() {
        let now = Instant::now();
        assert_eq!(Pace::primary(CHECK).plan(None, None, Some(now), true), Plan::Rest);
    }

    #[test]
    fn the_first_ask_is_soon_and_the_pause_grows_with_age() {
        let t = Instant::now();
        let pace = Pace::primary(CHECK);
        assert_eq!(pace.plan(Some(t), None, None, true), Plan::Ask(t + ms(10)));
        for (age, pause) in [(10, 50), (500, 50), (2000, 200), (4999, 499)] {
            let last = t + ms(age);
            let Plan::Ask(at) = pace.plan(None, Some(t), Some(last), true) else { panic!("{age}") };
            assert_eq!((at - last).as_millis(), pause, "age {age} ms");
        }
        assert_eq!(pace.plan(None, Some(t), Some(t + ms(5000)), true), Plan::IdleAndAsk(t + ms(7000)));
        assert_eq!(pace.plan(None, Some(t), Some(t + ms(60_000)), true), Plan::IdleAndAsk(t + ms(72_000)));
        assert_eq!(pace.plan(None, Some(t), Some(t + ms(600_000)), true), Plan::IdleAndAsk(t + ms(630_000)));
        assert_eq!(pace.plan(None, Some(t), Some(t + ms(60_000)), false), Plan::Ask(t + ms(66_000)));
    }

    #[test]
    fn a_fresh_probe_is_not_kept_waiting_by_older_ones() {
        let t = Instant::now();
        let plan = Pace::primary(CHECK).plan(Some(t + ms(8000)), Some(t), Some(t + ms(7990)), true);
        assert_eq!(plan, Plan::Ask(t + ms(8010)));
    }

    #[test]
    fn other_folders_ask_later_and_idle_until_then() {
        let t = Instant::now();
        let pace = Pace::secondary(1, CHECK);
        assert_eq!(pace.plan(Some(t), None, None, true), Plan::IdleAndAsk(t + ms(100)));
        assert_eq!(pace.plan(Some(t), None, None, false), Plan::Ask(t + ms(100)));
        assert_eq!(pace.plan(None, Some(t), Some(t + ms(100)), true), Plan::Ask(t + ms(350)));
    }

    #[test]
    fn a_short_check_interval_bounds_every_pause() {
        let t = Instant::now();
        let pace = Pace::primary(ms(500));
        assert_eq!(pace.plan(None, Some(t), Some(t + ms(9000)), true), Plan::IdleAndAsk(t + ms(9500)));
    }

    #[test]
    fn probe_after_probe_does_not_put_off_the_ask() {
        // One new probe every 5 ms: the eldest that was not asked for decides, not the newest.
        let t = Instant::now();
        let plan = Pace::primary(CHECK).plan(Some(t + ms(300)), Some(t), Some(t + ms(280)), true);
        assert_eq!(plan, Plan::Ask(t + ms(310)));
    }

    proptest! {
        #[test]
        fn never_more_than_twenty_in_any_second(pauses in prop::collection::vec(0u64..200, 1..200)) {
            let mut now = Instant::now();
            let mut budget = Budget::new(now);
            let mut taken = Vec::new();
            for pause in pauses {
                now += ms(pause);
                match budget.take(now) {
                    Ok(()) => taken.push(now),
                    Err(at) => {
                        prop_assert!(at > now && at - now <= Budget::EACH);
                        prop_assert_eq!(Budget { ..budget }.take(at), Ok(()));
                    }
                }
            }
            for (index, &first) in taken.iter().enumerate() {
                let within = taken.iter().skip(index).filter(|&&at| at - first < ms(1000)).count();
                prop_assert!(within <= 20, "{}", within);
            }
        }
    }
}
