//! What a worker knows about its channel: since when it fails, whether it refused us, and when the next try may be.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Limits;
use crate::domain::alert::{Channel, Evidence};
use crate::domain::probe::{between, later};
use crate::store::ChannelHealth;

/// Nobody who asks for a pause is asked again earlier.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// What the engine was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    Down,
    Works,
}

/// When a look may end what is held against a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NextLook {
    Now,
    At(Instant),
    /// Not before something else is known: the last failure came after what a look goes through, or it was refused.
    Never,
}

/// News for the engine.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    Down(Evidence),
    Works,
}

/// See the module. Times are database time but for those of `Instant`.
#[derive(Debug)]
pub struct Health {
    known: ChannelHealth,
    digest: Vec<u8>,
    down_after: Duration,
    retry: (Duration, Duration),
    /// The last thing known is a success.
    proven: bool,
    /// Failed tries in a row, by this worker.
    failures: u32,
    /// Tries of this worker that failed, and those that were told to wait, since it last worked.
    seen: u32,
    /// The first of these.
    seen_since: Option<Instant>,
    /// Until when the pause after the last of them lasts: as long as nothing is tried in it, nothing else is known.
    paused_until: Option<Timestamp>,
    /// Nothing was taken for too long, seen by this worker. Time alone tells nothing: it may be that of our own absence.
    down: bool,
    not_before: Option<Instant>,
    /// Looks in vain since it last worked.
    looks: u32,
    next_look: NextLook,
    reported: Reported,
    changed: bool,
}

impl Health {
    /// From what the database knows. A refusal of another setting than the one with `digest` says nothing about this one.
    #[must_use]
    pub fn new(known: Option<ChannelHealth>, digest: Vec<u8>, limits: &Limits) -> Self {
        let mut known = known.unwrap_or_default();
        let other = known.refused.as_ref().is_some_and(|refused| *refused != digest);
        if other {
            known = ChannelHealth { last_ok_at: known.last_ok_at, ..ChannelHealth::default() };
        }
        Self {
            proven: !other && known.failing_since.is_none() && known.refused.is_none(),
            known,
            digest,
            down_after: limits.channel_down_after,
            retry: (limits.channel_retry_min, limits.channel_retry_max),
            failures: 0,
            seen: 0,
            seen_since: None,
            paused_until: None,
            down: false,
            not_before: None,
            looks: 0,
            next_look: NextLook::Now,
            reported: Reported::Nothing,
            changed: other,
        }
    }

    /// What the database is to know, if it does not know it yet.
    #[must_use]
    pub fn unsaved(&self) -> Option<&ChannelHealth> {
        self.changed.then_some(&self.known)
    }

    pub fn saved(&mut self) {
        self.changed = false;
    }

    #[must_use]
    pub fn refused(&self) -> Option<&Vec<u8>> {
        self.known.refused.as_ref()
    }

    /// Since when tries are of no use: refused, or nothing got through for `long` as this worker has seen it.
    #[must_use]
    pub fn hopeless_since(&self, moment: Instant, long: Duration) -> Option<Timestamp> {
        let seen = |since: Instant| moment.saturating_duration_since(since) >= long;
        let hopeless = self.known.refused.is_some() || self.seen_since.is_some_and(seen);
        hopeless.then_some(self.known.failing_since.unwrap_or(Timestamp::MIN))
    }

    #[must_use]
    pub fn is_down(&self) -> bool {
        self.known.refused.is_some() || self.down
    }

    /// Time passes. With two failed tries, or told to wait, and in the pause after the last try, nothing was taken all along.
    pub fn pass(&mut self, now: Timestamp) {
        let paused = self.paused_until.is_some_and(|until| now < until);
        self.down |= self.seen >= 2 && paused && self.has_failed_for_long(now);
    }

    fn has_failed_for_long(&self, now: Timestamp) -> bool {
        self.known.failing_since.is_some_and(|since| between(since, now) >= self.down_after)
    }

    /// How long to wait before the next try; `None`: it may be now.
    #[must_use]
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Whether a look would tell something: nobody knows that it works, and the last look was long enough ago.
    #[must_use]
    pub fn is_look_due(&self, now: Instant) -> bool {
        !self.proven
            && self.known.refused.is_none()
            && self.wait(now).is_none()
            && match self.next_look {
                NextLook::Now => true,
                NextLook::At(at) => now >= at,
                NextLook::Never => false,
            }
    }

    /// It took a message, and asks for `rest` before the next.
    pub fn worked(&mut self, now: Timestamp, rest: Option<Instant>) {
        self.known = ChannelHealth { last_ok_at: Some(now), ..ChannelHealth::default() };
        self.proven = true;
        (self.failures, self.looks, self.next_look) = (0, 0, NextLook::Now);
        (self.seen, self.seen_since, self.paused_until) = (0, None, None);
        self.down = false;
        self.not_before = rest;
        self.changed = true;
    }

    /// It asks for a `pause`: no failure, but when it goes on for too long nothing gets out all the same. Gives the pause
    /// that is made: some servers ask for none at all.
    pub fn busy(&mut self, now: Timestamp, moment: Instant, pause: Duration) -> Duration {
        let (least, _) = self.retry;
        let pause = pause.max(least).max(SHORTEST_PAUSE);
        self.fail(now, moment, pause, "429 Too Many Requests");
        // One such answer tells about the whole pause.
        self.seen = self.seen.max(2);
        self.next_look = NextLook::Never;
        self.not_before = Some(moment + pause);
        pause
    }

    /// It knows this setting no more.
    pub fn refuse(&mut self, now: Timestamp, moment: Instant, reason: &str) {
        self.fail(now, moment, Duration::ZERO, reason);
        self.known.refused = Some(self.digest.clone());
    }

    /// A try failed, the `tries`-th of its message; `reached` when it got further than a look does. Gives the pause before
    /// that message is tried again; others may be tried earlier. `random` in 0..1.
    pub fn failed(
        &mut self,
        now: Timestamp,
        moment: Instant,
        reason: &str,
        reached: bool,
        tries: u32,
        random: f64,
    ) -> Duration {
        self.failures = self.failures.saturating_add(1);
        let pause = self.pause(self.failures, random);
        self.not_before = Some(moment + pause);
        self.fail(now, moment, pause, reason);
        if reached {
            self.next_look = NextLook::Never;
        }
        self.pause(self.failures.max(tries), random)
    }

    /// Nothing new is known; the next look has time.
    pub fn looked_in_vain(&mut self, moment: Instant, random: f64) {
        self.looks = self.looks.saturating_add(1);
        self.next_look = NextLook::At(moment + self.pause(self.looks, random));
    }

    /// A look was refused, which need not be so for a message: some proxies know nothing but messages. No more looks until
    /// something else is known.
    pub fn look_refused(&mut self) {
        self.next_look = NextLook::Never;
    }

    /// A look failed on the way to the channel. No message was tried, but none would have got through.
    pub fn look_failed(&mut self, now: Timestamp, moment: Instant, random: f64) {
        self.looked_in_vain(moment, random);
        self.down |= self.has_failed_for_long(now);
    }

    /// Whether the last thing known of it is that it works.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// The pause before a message is tried again that was refused for its own sake, the `tries`-th time.
    #[must_use]
    pub fn pause_of(&self, tries: u32, random: f64) -> Duration {
        self.pause(tries, random)
    }

    fn fail(&mut self, now: Timestamp, moment: Instant, pause: Duration, reason: &str) {
        self.known.failing_since.get_or_insert(now);
        self.known.last_error = Some(reason.to_owned());
        self.proven = false;
        self.changed = true;
        self.seen = self.seen.saturating_add(1);
        self.seen_since.get_or_insert(moment);
        self.paused_until = Some(later(now, pause));
        self.down |= self.has_failed_for_long(now);
        let (_, most) = self.retry;
        self.next_look = NextLook::At(moment + most.max(pause));
    }

    fn pause(&self, failures: u32, random: f64) -> Duration {
        let (least, most) = self.retry;
        let doubled = least.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(most).mul_f64(0.8 + 0.4 * random).min(most)
    }

    /// What the engine is to hear of `channel`, if it has not heard it yet.
    pub fn news(&mut self, channel: &Channel, now: Timestamp) -> Option<News> {
        self.pass(now);
        if self.is_down() {
            let first = self.reported != Reported::Down;
            self.reported = Reported::Down;
            return first.then(|| {
                News::Down(Evidence::Undeliverable {
                    channel: match channel {
                        Channel::Discord => "discord".to_owned(),
                        Channel::Email(address) => address.to_string(),
                    },
                    since: self.known.failing_since.unwrap_or(now),
                    detail: self.known.last_error.clone().unwrap_or_default(),
                    refused: self.known.refused.is_some(),
                })
            });
        }
        let first = self.proven && self.reported != Reported::Works;
        if first {
            self.reported = Reported::Works;
        }
        first.then_some(News::Works)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn health(known: Option<ChannelHealth>) -> Health {
        Health::new(known, vec![1], &Limits::default())
    }

    fn fail(health: &mut Health, second: i64) -> Duration {
        health.failed(at(second), Instant::now(), "500 Internal Server Error", true, 1, 0.5)
    }

    fn is_down(health: &mut Health, second: i64) -> bool {
        health.pass(at(second));
        health.is_down()
    }

    #[test]
    fn down_after_failing_for_long_in_the_middle_of_a_pause() {
        let mut health = health(None);
        assert_eq!(health.news(&Channel::Discord, at(0)), Some(News::Works));
        // At 10, 12, 16, 24, ... and 264 s.
        let mut second = 10;
        while second < 300 {
            assert_eq!(health.news(&Channel::Discord, at(second)), None);
            second += i64::try_from(fail(&mut health, second).as_secs()).unwrap();
        }
        assert_eq!(second, 520);
        assert_eq!(health.news(&Channel::Discord, at(309)), None);
        let Some(News::Down(evidence)) = health.news(&Channel::Discord, at(310)) else { unreachable!() };
        let detail = "500 Internal Server Error".to_owned();
        let expected =
            Evidence::Undeliverable { channel: "discord".to_owned(), since: at(10), detail, refused: false };
        assert_eq!(evidence, expected);
        assert_eq!(health.news(&Channel::Discord, at(311)), None, "told once");
        assert!(is_down(&mut health, 900), "it does not come back by itself");
        health.worked(at(900), None);
        assert_eq!(health.news(&Channel::Discord, at(900)), Some(News::Works));
        assert_eq!(health.news(&Channel::Discord, at(901)), None);
    }

    #[test]
    fn our_own_absence_makes_no_channel_fail() {
        // One try failed, and then the database was away.
        let mut first = health(None);
        fail(&mut first, 0);
        assert!(!is_down(&mut first, 1) && !is_down(&mut first, 300));
        // Two did, and then it was away.
        fail(&mut first, 2);
        assert!(!is_down(&mut first, 300));
        // A restart: what failed before it is not forgotten, and needs a failure after it.
        let mut again = health(first.unsaved().cloned());
        assert_eq!(again.news(&Channel::Discord, at(3600)), None);
        fail(&mut again, 3600);
        let Some(News::Down(Evidence::Undeliverable { since, .. })) = again.news(&Channel::Discord, at(3600))
        else {
            unreachable!()
        };
        assert_eq!(since, at(0));
    }

    #[test]
    fn one_success_begins_the_time_anew() {
        let mut health = health(None);
        fail(&mut health, 0);
        health.worked(at(200), None);
        fail(&mut health, 250);
        fail(&mut health, 400);
        assert!(!is_down(&mut health, 400));
        fail(&mut health, 549);
        assert!(!health.is_down() && is_down(&mut health, 550));
    }

    #[test]
    fn waiting_for_long_is_being_down_as_well() {
        let mut health = health(None);
        health.busy(at(0), Instant::now(), Duration::from_hours(1));
        assert!(!is_down(&mut health, 299));
        assert!(is_down(&mut health, 300));
    }

    #[test]
    fn who_asks_for_no_pause_gets_one() {
        let (mut health, now) = (health(None), Instant::now());
        let least = Limits::default().channel_retry_min;
        assert_eq!(health.busy(at(0), now, Duration::ZERO), least);
        assert_eq!(health.wait(now), Some(least));
        assert_eq!(health.busy(at(0), now, least * 2), least * 2);
    }

    #[test]
    fn hopeless_when_refused_or_when_nothing_got_through_for_long_in_this_life() {
        let (start, day) = (Instant::now(), Duration::from_hours(24));
        let known = ChannelHealth { failing_since: Some(at(-90_000)), ..ChannelHealth::default() };
        let mut health = health(Some(known));
        assert_eq!(health.hopeless_since(start + day, day), None);
        health.failed(at(0), start, "", true, 1, 0.5);
        assert_eq!(health.hopeless_since(start, day), None);
        assert_eq!(health.hopeless_since(start + day, day), Some(at(-90_000)));
        health.worked(at(1), None);
        assert_eq!(health.hopeless_since(start + day, day), None);
        health.refuse(at(2), start, "404 Unknown Webhook");
        assert_eq!(health.hopeless_since(start, day), Some(at(2)));
    }

    #[test]
    fn a_look_comes_late_and_only_where_it_would_have_met_the_failure() {
        let moment = Instant::now();
        let late = moment + Limits::default().channel_retry_max;
        let mut health = health(None);
        health.failed(at(0), moment, "cannot connect", false, 1, 0.5);
        assert!(!health.is_look_due(late.checked_sub(Duration::from_secs(1)).unwrap()));
        assert!(health.is_look_due(late));
        health.look_refused();
        assert!(!health.is_look_due(late + Duration::from_hours(1)), "it does not want to be looked at");
        health.failed(at(1), moment, "cannot connect", false, 1, 0.5);
        assert!(health.is_look_due(late));
        // It failed on the way, and so does the look, long after.
        health.look_failed(at(299), late, 0.5);
        assert!(!health.is_down());
        health.look_failed(at(300), late, 0.5);
        assert!(health.is_down());
        health.failed(at(301), moment, "refused at RCPT TO", true, 1, 0.5);
        assert!(!health.is_look_due(late));
        health.worked(at(302), None);
        health.refuse(at(303), moment, "404 Unknown Webhook");
        assert!(!health.is_look_due(late));
    }

    #[test]
    fn a_refusal_is_remembered_for_its_setting_alone() {
        let mut first = health(None);
        first.refuse(at(0), Instant::now(), "404 Unknown Webhook");
        assert!(matches!(first.news(&Channel::Discord, at(0)), Some(News::Down(_))));
        let known = first.unsaved().cloned();
        assert!(known.is_some());
        let mut again = health(known.clone());
        assert!(again.is_down() && again.unsaved().is_none());
        assert!(matches!(again.news(&Channel::Discord, at(0)), Some(News::Down(_))), "told in each term");
        let mut other = Health::new(known, vec![2], &Limits::default());
        assert!(!other.is_down() && other.unsaved().is_some());
        assert_eq!(other.news(&Channel::Discord, at(0)), None, "it has not shown that it works");
        assert!(other.is_look_due(Instant::now()));
        other.worked(at(1), None);
        assert_eq!(other.news(&Channel::Discord, at(1)), Some(News::Works));
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_end_with_a_success() {
        let mut health = health(None);
        let pauses: Vec<f64> = (0..9).map(|_| fail(&mut health, 0).as_secs_f64()).collect();
        assert_eq!(pauses, [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0]);
        assert!(health.wait(Instant::now()).is_some());
        health.worked(at(1), None);
        assert_eq!(health.wait(Instant::now()), None);
        assert_eq!(fail(&mut health, 2), Duration::from_secs(2));
        // A message that has failed often waits for long, whatever becomes of the others.
        let now = Instant::now();
        let pause = health.failed(at(3), now, "", true, 7, 0.5);
        assert_eq!(pause, Duration::from_secs(128));
        assert!(health.wait(now).unwrap() <= Duration::from_secs(4));
    }

    #[test]
    fn a_look_in_vain_keeps_no_message_waiting() {
        let mut health = Health::new(
            Some(ChannelHealth { failing_since: Some(at(0)), ..ChannelHealth::default() }),
            vec![1],
            &Limits::default(),
        );
        let now = Instant::now();
        assert!(health.is_look_due(now));
        health.looked_in_vain(now, 0.5);
        assert!(!health.is_look_due(now));
        assert_eq!(health.wait(now), None);
    }
}
