//! `POST /settings/test`: a test alert, sent by this instance in the background. What came of it is kept here for a while and
//! shown with its channel, so that nothing in an address can make it up.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::rejection::FormRejection;
use axum::extract::{Extension, Form, State};
use axum::response::Redirect;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use crate::clock;
use crate::config::Config;
use crate::domain::alert::Channel;
use crate::notify::test_alert;
use crate::store::Store;
use crate::web::Site;
use crate::web::failure::Failure;
use crate::web::visit::Visit;

/// Test alerts in a minute, on all channels: each one disturbs somebody.
const IN_A_MINUTE: usize = 6;
const MINUTE: Duration = Duration::from_mins(1);
/// A second press of the button within this time is the same press.
const DOUBLE: Duration = Duration::from_secs(3);
/// How long a result is shown.
const KEPT: Duration = Duration::from_mins(10);
/// How long the answer to the form waits for the result; then the page shows that it is under way.
const PATIENCE: Duration = Duration::from_secs(8);

/// How a test ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The channel took it.
    Taken {
        after: Duration,
        /// Something was held against the channel, which is over now.
        cleared: bool,
    },
    /// It did not, in its own words or in ours.
    NotTaken(String),
}

/// One test, under way or over.
#[derive(Clone, Debug)]
pub struct Trial {
    channel: Channel,
    began: Instant,
    /// By our own clock.
    pub at: Timestamp,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl Trial {
    /// How it ended; `None`: it is under way.
    pub fn outcome(&self) -> Option<Outcome> {
        let known = self.outcome.borrow().clone();
        // Whoever was to tell it is gone.
        let is_lost = known.is_none() && self.outcome.has_changed().is_err();
        if is_lost { Some(Outcome::NotTaken("broken off".to_owned())) } else { known }
    }
}

/// What became of a wish for a test.
enum Begun {
    New(Trial, watch::Sender<Option<Outcome>>),
    /// There is one that this is meant.
    Same(Trial),
    /// Enough of them; one more may be sent after this time.
    Enough(Duration),
}

/// The tests of the last minutes, the oldest first.
#[derive(Default)]
pub struct Trials(Mutex<VecDeque<Trial>>);

impl Trials {
    /// The last test of a channel that is worth showing.
    pub fn last(&self, channel: &Channel, now: Instant) -> Option<Trial> {
        let trials = self.lock();
        let last = trials.iter().rev().find(|trial| trial.channel == *channel)?;
        (now.saturating_duration_since(last.began) < KEPT).then(|| last.clone())
    }

    fn begin(&self, channel: &Channel, now: Instant, at: Timestamp) -> Begun {
        let mut trials = self.lock();
        let age = |trial: &Trial| now.saturating_duration_since(trial.began);
        trials.retain(|trial| age(trial) < KEPT);
        let last = trials.iter().rev().find(|trial| trial.channel == *channel);
        if let Some(last) = last.filter(|last| age(last) < DOUBLE || last.outcome().is_none()) {
            return Begun::Same(last.clone());
        }
        // As many ago as may be sent in a minute.
        let earliest = trials.iter().rev().nth(IN_A_MINUTE - 1);
        if let Some(left) = earliest.and_then(|trial| MINUTE.checked_sub(age(trial))) {
            return Begun::Enough(left);
        }
        let (tell, outcome) = watch::channel(None);
        let trial = Trial { channel: channel.clone(), began: now, at, outcome };
        trials.push_back(trial.clone());
        Begun::New(trial, tell)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Trial>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the button sends.
#[derive(Deserialize)]
pub struct Wanted {
    channel: String,
}

/// `POST /settings/test`.
pub async fn send(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    form: Result<Form<Wanted>, FormRejection>,
) -> Result<Redirect, Failure> {
    let Form(wanted) = form.map_err(|_| Failure::bad_form())?;
    let channels = visit.config.alerts.channels();
    let channel = channels.into_iter().find(|channel| channel.to_string() == wanted.channel);
    let channel = channel.ok_or_else(Failure::bad_form)?;
    let mut trial = match site.trials.begin(&channel, Instant::now(), clock::now()) {
        Begun::Enough(left) => return Err(Failure::enough_tests(left)),
        Begun::Same(trial) => trial,
        Begun::New(trial, tell) => {
            info!(client = %visit.client, channel = channel.name(), "somebody sends a test alert");
            let (config, store) = (Arc::clone(&visit.config), site.store()?);
            // It goes on when the browser does not wait for it.
            tokio::spawn(async move {
                let outcome = test(&config, &store, &channel).await;
                tell.send_replace(Some(outcome));
            });
            trial
        }
    };
    let _ = timeout(PATIENCE, trial.outcome.wait_for(Option::is_some)).await;
    Ok(Redirect::to("/settings#channels"))
}

async fn test(config: &Config, store: &Store, channel: &Channel) -> Outcome {
    let began = Instant::now();
    // Two tries, and what it takes to say hello and goodbye.
    let limit = config.limits.channel_send * 2 + config.limits.connect;
    let sending = Box::pin(test_alert::send(config, channel, clock::now(), rand::random()));
    let sent = timeout(limit, sending).await;
    let after = began.elapsed();
    match sent {
        Ok(Ok(())) => {
            let cleared = store.channel_works(channel).await.unwrap_or(false);
            Outcome::Taken { after, cleared }
        }
        Ok(Err(reason)) => Outcome::NotTaken(reason),
        Err(_) => Outcome::NotTaken(format!("no answer within {} s", limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mail(number: usize) -> Channel {
        Channel::Email(Arc::from(format!("ops{number}@lab.test")))
    }

    fn begin(trials: &Trials, channel: &Channel, now: Instant) -> Begun {
        trials.begin(channel, now, Timestamp::UNIX_EPOCH)
    }

    fn taken() -> Outcome {
        Outcome::Taken { after: Duration::ZERO, cleared: false }
    }

    #[test]
    fn one_at_a_time_for_each_channel_and_a_double_click_is_one() {
        let (trials, start) = (Trials::default(), Instant::now());
        let Begun::New(trial, tell) = begin(&trials, &mail(0), start) else { unreachable!() };
        assert_eq!(trial.outcome(), None);
        assert!(matches!(begin(&trials, &mail(0), start + MINUTE), Begun::Same(_)), "it is under way");
        assert!(matches!(begin(&trials, &mail(1), start), Begun::New(..)), "another channel");
        tell.send_replace(Some(taken()));
        let just_before = start + DOUBLE.saturating_sub(Duration::from_millis(1));
        let Begun::Same(same) = begin(&trials, &mail(0), just_before) else { unreachable!() };
        assert_eq!(same.outcome(), Some(taken()));
        assert!(matches!(begin(&trials, &mail(0), start + DOUBLE), Begun::New(..)));
    }

    #[test]
    fn six_in_a_minute_are_enough() {
        let (trials, start) = (Trials::default(), Instant::now());
        for number in 0..IN_A_MINUTE {
            let at = start + Duration::from_secs(1) * u32::try_from(number).unwrap_or_default();
            assert!(matches!(begin(&trials, &mail(number), at), Begun::New(..)), "{number}");
        }
        let Begun::Enough(left) = begin(&trials, &mail(9), start + Duration::from_secs(50)) else {
            unreachable!()
        };
        assert_eq!(left, Duration::from_secs(10));
        assert!(matches!(begin(&trials, &mail(9), start + Duration::from_secs(61)), Begun::New(..)));
        assert!(matches!(begin(&trials, &mail(8), start + Duration::from_mins(1)), Begun::Enough(_)));
    }

    #[test]
    fn a_result_is_shown_for_a_while_and_one_that_nobody_tells_is_broken_off() {
        let (trials, start) = (Trials::default(), Instant::now());
        let Begun::New(_, tell) = begin(&trials, &mail(0), start) else { unreachable!() };
        drop(tell);
        let shown = trials.last(&mail(0), start).and_then(|trial| trial.outcome());
        assert_eq!(shown, Some(Outcome::NotTaken("broken off".to_owned())));
        assert!(trials.last(&mail(1), start).is_none());
        assert!(trials.last(&mail(0), start + KEPT).is_none());
    }
}
