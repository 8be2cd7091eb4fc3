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
    /// How long a 4xx is retried, from the first attempt on.
    pub window: Duration,
}

/// What has been tried so far.
#[derive(Clone, Copy, Debug)]
pub struct Tried {
    /// Attempts made, the one that just ended included.
    pub attempts: i32,
    /// Faults of the sender in a row before the one that just ended.
    pub faults: i32,
    pub first_attempt_at: Timestamp,
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
    let at = later(tried.now, pause.mul_f64(1.0 + jitter.clamp(0.0, 1.0) / 10.0));
    let end = later(tried.first_attempt_at, rhythm.window);
    if at <= end { Next::RetryAt(at) } else { Next::GiveUp }
}
