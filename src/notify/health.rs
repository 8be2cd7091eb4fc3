//! What a worker knows about its channel: since when it fails, whether it refused us, and when the next try may be.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::config::Limits;
use crate::domain::alert::{Channel, Evidence};
use crate::domain::probe::between;
use crate::store::ChannelHealth;

/// What the engine was told last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reported {
    Nothing,
    Down,
    Works,
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
    not_before: Option<Instant>,
    /// Looks in vain since it last worked.
    looks: u32,
    next_look: Option<Instant>,
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
            not_before: None,
            looks: 0,
            next_look: None,
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

    #[must_use]
    pub fn is_down(&self, now: Timestamp) -> bool {
        let too_long = |since| between(since, now) >= self.down_after;
        self.known.refused.is_some() || self.known.failing_since.is_some_and(too_long)
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
            && self.next_look.is_none_or(|at| now >= at)
    }

    /// It took a message, and asks for `rest` before the next.
    pub fn worked(&mut self, now: Timestamp, rest: Option<Instant>) {
        self.known = ChannelHealth { last_ok_at: Some(now), ..ChannelHealth::default() };
        self.proven = true;
        (self.failures, self.looks, self.next_look) = (0, 0, None);
        self.not_before = rest;
        self.changed = true;
    }

    /// It asks for a pause: no failure, but when it goes on for too long nothing gets out all the same.
    pub fn busy(&mut self, now: Timestamp, until: Instant) {
        self.fail(now, "429 Too Many Requests");
        self.not_before = Some(until);
    }

    /// It knows this setting no more.
    pub fn refuse(&mut self, now: Timestamp, reason: &str) {
        self.fail(now, reason);
        self.known.refused = Some(self.digest.clone());
    }

    /// A try failed, the `tries`-th of its message. Gives the pause before that message is tried again; others may be tried
    /// earlier. `random` in 0..1.
    pub fn failed(
        &mut self,
        now: Timestamp,
        moment: Instant,
        reason: &str,
        tries: u32,
        random: f64,
    ) -> Duration {
        self.fail(now, reason);
        self.failures = self.failures.saturating_add(1);
        self.not_before = Some(moment + self.pause(self.failures, random));
        self.pause(self.failures.max(tries), random)
    }

    /// Nothing new is known; the next look has time.
    pub fn looked_in_vain(&mut self, moment: Instant, random: f64) {
        self.looks = self.looks.saturating_add(1);
        self.next_look = Some(moment + self.pause(self.looks, random));
    }

    fn fail(&mut self, now: Timestamp, reason: &str) {
        self.known.failing_since.get_or_insert(now);
        self.known.last_error = Some(reason.to_owned());
        self.proven = false;
        self.changed = true;
    }

    fn pause(&self, failures: u32, random: f64) -> Duration {
        let (least, most) = self.retry;
        let doubled = least.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
        doubled.min(most).mul_f64(0.8 + 0.4 * random).min(most)
    }

    /// What the engine is to hear of `channel`, if it has not heard it yet.
    pub fn news(&mut self, channel: &Channel, now: Timestamp) -> Option<News> {
        if self.is_down(now) {
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
        health.failed(at(second), Instant::now(), "500 Internal Server Error", 1, 0.5)
    }

    #[test]
    fn down_after_failing_for_long_by_time_alone() {
        let mut health = health(None);
        assert_eq!(health.news(&Channel::Discord, at(0)), Some(News::Works));
        fail(&mut health, 10);
        assert_eq!(health.news(&Channel::Discord, at(309)), None);
        let Some(News::Down(evidence)) = health.news(&Channel::Discord, at(310)) else { unreachable!() };
        let detail = "500 Internal Server Error".to_owned();
        let expected =
            Evidence::Undeliverable { channel: "discord".to_owned(), since: at(10), detail, refused: false };
        assert_eq!(evidence, expected);
        assert_eq!(health.news(&Channel::Discord, at(311)), None, "told once");
        health.worked(at(400), None);
        assert_eq!(health.news(&Channel::Discord, at(400)), Some(News::Works));
        assert_eq!(health.news(&Channel::Discord, at(401)), None);
    }

    #[test]
    fn one_success_begins_the_time_anew() {
        let mut health = health(None);
        fail(&mut health, 0);
        health.worked(at(200), None);
        fail(&mut health, 250);
        assert!(!health.is_down(at(400)));
        assert!(health.is_down(at(550)));
    }

    #[test]
    fn waiting_for_long_is_being_down_as_well() {
        let mut health = health(None);
        health.busy(at(0), Instant::now());
        assert!(!health.is_down(at(299)));
        assert!(health.is_down(at(300)));
    }

    #[test]
    fn a_refusal_is_remembered_for_its_setting_alone() {
        let mut first = health(None);
        first.refuse(at(0), "404 Unknown Webhook");
        assert!(matches!(first.news(&Channel::Discord, at(0)), Some(News::Down(_))));
        let known = first.unsaved().cloned();
        assert!(known.is_some());
        let mut again = health(known.clone());
        assert!(again.is_down(at(0)) && again.unsaved().is_none());
        assert!(matches!(again.news(&Channel::Discord, at(0)), Some(News::Down(_))), "told in each term");
        let mut other = Health::new(known, vec![2], &Limits::default());
        assert!(!other.is_down(at(0)) && other.unsaved().is_some());
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
        let pause = health.failed(at(3), now, "", 7, 0.5);
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
