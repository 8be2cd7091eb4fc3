//! When a failed attempt is made again.

use std::time::Duration;

use jiff::Timestamp;

use super::probe::later;
use super::submission::{Outcome, Reason};

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    RetryAt(Timestamp),
    GiveUp,
}

/// The pauses between attempts.
#[derive(Clone, Copy, Debug)]
pub struct Rhythm<'a> {
    /// After a fault of the sender: one pause for each quick retry.
    pub sender: &'a [Duration],
    /// After a 4xx to RCPT or DATA; the last repeats.
    pub deferred: &'a [Duration],
    /// How long a failed attempt is made again, from the first failure on.
    pub window: Duration,
}

/// What has been tried so far.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// Attempts made, the one that just ended included.
    pub attempts: i32,
    /// Faults of the sender in a row before the one that just ended.
    pub faults: i32,
    /// Since the first of its attempts failed, by our own clock.
    pub waited: Duration,
    pub now: Timestamp,
}

/// Decides about the next attempt. `jitter` (0 to 1) spreads the pauses by up to a tenth, so that probes deferred together
/// do not come back together.
///
/// 5xx is final. Faults of the sender (up to and including MAIL) are retried once for each pause of `rhythm.sender`;
/// refusals of the recipient for as long as the window lasts. An ambiguous end is never retried.
#[must_use]
pub fn next(outcome: &Outcome, tried: Tried, rhythm: Rhythm<'_>, jitter: f64) -> Next {
    let quick = || usize::try_from(tried.faults).ok().and_then(|step| rhythm.sender.get(step));
    let patient = || {
        let step = usize::try_from(tried.attempts.saturating_sub(1)).unwrap_or(0);
        rhythm.deferred.get(step).or(rhythm.deferred.last())
    };
    let pause = match outcome {
        Outcome::Accepted { .. } | Outcome::Ambiguous { .. } | Outcome::Released => None,
        Outcome::Refused { phase, reply, reason } if phase.blames_sender() => {
            if reply.is_transient() || *reason == Reason::Auth { quick() } else { None }
        }
        Outcome::Refused { reply, .. } => {
            if reply.is_transient() {
                patient()
            } else {
                None
            }
        }
        // Also when lost between RCPT and the final dot: nothing was handed over, and it says little about the recipient.
        Outcome::Failed { .. } => quick(),
    };
    let Some(pause) = pause else { return Next::GiveUp };
    let pause = pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0);
    if tried.waited + pause <= rhythm.window { Next::RetryAt(later(tried.now, pause)) } else { Next::GiveUp }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::submission::{Phase, Reply};

    const SECOND: Duration = Duration::from_secs(1);

    fn rhythm() -> Rhythm<'static> {
        const SENDER: [Duration; 2] = [Duration::from_secs(4), Duration::from_secs(15)];
        const DEFERRED: [Duration; 3] =
            [Duration::from_mins(1), Duration::from_mins(2), Duration::from_mins(5)];
        Rhythm { sender: &SENDER, deferred: &DEFERRED, window: Duration::from_mins(15) }
    }

    fn refused(phase: Phase, code: u16, reason: Reason) -> Outcome {
        Outcome::Refused { phase, reason, reply: Reply { code, enhanced: None, text: String::new() } }
    }

    fn pause(outcome: &Outcome, attempts: i32, faults: i32, waited: Duration) -> Option<Duration> {
        let tried = Tried { attempts, faults, waited, now: Timestamp::UNIX_EPOCH };
        match next(outcome, tried, rhythm(), 0.0) {
            Next::RetryAt(at) => Some(super::super::probe::between(Timestamp::UNIX_EPOCH, at)),
            Next::GiveUp => None,
        }
    }

    #[test]
    fn greylisting_is_waited_for_within_the_window() {
        let greylisted = refused(Phase::Rcpt, 451, Reason::Smtp4xx);
        assert_eq!(pause(&greylisted, 1, 0, SECOND), Some(SECOND * 60));
        assert_eq!(pause(&greylisted, 2, 0, SECOND * 60), Some(SECOND * 120));
        assert_eq!(pause(&greylisted, 9, 0, SECOND * 480), Some(SECOND * 300));
        assert_eq!(pause(&greylisted, 5, 0, SECOND * 780), None);
    }

    #[test]
    fn a_fault_of_the_sender_is_retried_twice_and_told_within_a_minute() {
        let down = Outcome::Failed { phase: Phase::Connect, reason: Reason::Connect, detail: String::new() };
        let login = refused(Phase::Auth, 535, Reason::Auth);
        let busy = refused(Phase::Mail, 421, Reason::Smtp4xx);
        for fault in [down, login, busy] {
            assert_eq!(pause(&fault, 1, 0, Duration::ZERO), Some(SECOND * 4));
            assert_eq!(pause(&fault, 2, 1, SECOND * 4), Some(SECOND * 15));
            assert_eq!(pause(&fault, 3, 2, SECOND * 19), None);
        }
    }

    #[test]
    fn refusals_for_good_and_ambiguous_ends_are_never_tried_again() {
        let refusals = [Phase::Mail, Phase::Rcpt, Phase::Data, Phase::FinalReply];
        for phase in refusals {
            assert_eq!(pause(&refused(phase, 550, Reason::Smtp5xx), 1, 0, Duration::ZERO), None);
        }
        assert_eq!(
            pause(&Outcome::Ambiguous { detail: String::new(), ours: false }, 1, 0, Duration::ZERO),
            None
        );
    }

    #[test]
    fn jitter_adds_at_most_a_tenth() {
        let greylisted = refused(Phase::Data, 451, Reason::Smtp4xx);
        let tried = Tried { attempts: 1, faults: 0, waited: Duration::ZERO, now: Timestamp::UNIX_EPOCH };
        let Next::RetryAt(at) = next(&greylisted, tried, rhythm(), 7.0) else { unreachable!() };
        assert_eq!(super::super::probe::between(Timestamp::UNIX_EPOCH, at), SECOND * 66);
    }
}
