//! One login at a time while it is not known that the login works: several folders must not multiply refused attempts,
//! or the account gets locked.

use std::future::Future;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::config::Limits;
use crate::imap::error::Error;

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last login succeeded.
    is_proven: bool,
    /// Refusals in a row.
    refused: u32,
    /// The last refusal, and when to try again.
    refusal: Option<(Error, Instant)>,
}

impl Gate {
    /// The last refusal, while it is too soon to try again, and how much longer that is.
    pub(super) async fn refusal(&self) -> Option<(Error, Duration)> {
        self.state.lock().await.refusal()
    }

    /// Logs in, unless that was refused a short time ago: then that refusal is the answer. A refusal comes with the
    /// pause until the next attempt.
    pub(super) async fn pass<T>(
        &self,
        limits: &Limits,
        random: f64,
        login: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, (Error, Option<Duration>)> {
        let mut state = self.state.lock().await;
        if let Some((error, left)) = state.refusal() {
            return Err((error, Some(left)));
        }
        if state.is_proven {
            drop(state);
            let outcome = login.await;
            return self.state.lock().await.note(outcome, limits, random);
        }
        let outcome = login.await;
        state.note(outcome, limits, random)
    }
}

impl State {
    fn refusal(&self) -> Option<(Error, Duration)> {
        let (error, retry_at) = self.refusal.as_ref()?;
        let left = retry_at.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| (error.clone(), left))
    }

    fn note<T>(
        &mut self,
        outcome: Result<T, Error>,
        limits: &Limits,
        random: f64,
    ) -> Result<T, (Error, Option<Duration>)> {
        match outcome {
            Ok(session) => {
                *self = Self { is_proven: true, refused: 0, refusal: None };
                Ok(session)
            }
            Err(error @ Error::Auth(_)) => {
                let pause = backoff(self.refused, limits.login_refused_min, limits.login_refused_max, random);
                self.is_proven = false;
                self.refused += 1;
                self.refusal = Some((error.clone(), Instant::now() + pause));
                Err((error, Some(pause)))
            }
            Err(error) => Err((error, None)),
        }
    }
}

/// The pause after `failures` earlier failures in a row: doubles from `least` to `most`, and is shortened by up to a
/// quarter, but not below `least`. `random` is in 0..1.
pub(super) fn backoff(failures: u32, least: Duration, most: Duration, random: f64) -> Duration {
    let full = least.saturating_mul(2u32.saturating_pow(failures.min(16))).min(most);
    full.mul_f64(1.0 - random.clamp(0.0, 1.0) / 4.0).max(least.min(most))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    proptest! {
        #[test]
        fn a_pause_stays_within_its_bounds(failures: u32, random in 0.0f64..1.0) {
            let (least, most) = (Duration::from_secs(1), Duration::from_secs(30));
            let pause = backoff(failures, least, most, random);
            prop_assert!(pause >= least && pause <= most);
            prop_assert!(failures < 5 || pause >= most.mul_f64(0.75));
        }
    }

    #[tokio::test]
    async fn two_folders_make_one_refused_login() {
        let gate = Arc::new(Gate::default());
        let attempts = AtomicU32::new(0);
        let limits = Limits { login_refused_min: Duration::from_mins(1), ..Limits::default() };
        let attempt = async || {
            gate.pass(&limits, 0.0, async {
                attempts.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Err::<(), _>(Error::Auth("no".to_owned()))
            })
            .await
            .unwrap_err()
        };
        let (first, second) = tokio::join!(attempt(), attempt());
        assert_eq!(attempts.load(Ordering::Relaxed), 1);
        for (error, retry_in) in [first, second] {
            assert_eq!(error, Error::Auth("no".to_owned()));
            assert!(retry_in.unwrap() > Duration::from_secs(59));
        }
    }

    #[tokio::test]
    async fn other_failures_are_no_refusals_and_a_success_clears_them() {
        let gate = Gate::default();
        let limits = Limits { login_refused_min: Duration::ZERO, ..Limits::default() };
        let closed = Err::<(), _>(Error::Closed("x".to_owned()));
        let refused = Err::<(), _>(Error::Auth("no".to_owned()));
        let pass = async |outcome: Result<(), Error>| gate.pass(&limits, 0.0, async { outcome }).await;
        assert_eq!(pass(closed.clone()).await.unwrap_err().1, None);
        assert!(pass(refused).await.unwrap_err().1.is_some());
        assert_eq!(pass(closed).await.unwrap_err().1, None);
        assert!(pass(Ok(())).await.is_ok());
        assert!(gate.state.lock().await.is_proven);
    }
}
