//! When the database is away there is no outbox: what matters is told from memory, on every channel, seldom.
//!
//! It lives as long as the service does, so that it works for an instance that never reached its database. A standby says
//! nothing: the active instance does.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::board::Board;
use super::letter::{Letter, Thread};
use super::text::{self, Desk};
use super::transport::{Outcome, Parcel, Transport};
use crate::clock;
use crate::config::{Config, Limits};
use crate::domain::alert::Channel;
use crate::engine::Unwritten;
use crate::metrics::readiness::{DatabaseState, Role};
use crate::metrics::{Metrics, Readiness};

/// How often a message is tried on a channel, the first time included.
const TRIES: u32 = 6;
/// No server's wish for a pause is followed for longer.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// What the emergency watch goes by.
pub struct Parts {
    pub readiness: watch::Receiver<Readiness>,
    pub config: watch::Receiver<Arc<Config>>,
    /// What the database does not know yet.
    pub memory: watch::Receiver<Unwritten>,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
}

/// Watches until `stop`.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let mut told_at: Option<Instant> = None;
    let watch = async {
        loop {
            let mut readiness = parts.readiness.clone();
            if readiness.wait_for(is_away).await.is_err() {
                return;
            }
            let since = clock::now();
            let (began, limits) = (Instant::now(), parts.config.borrow().limits.clone());
            let again = told_at.map(|at| at + limits.emergency_again);
            let due = again
                .map_or(began + limits.emergency_after, |again| again.max(began + limits.emergency_after));
            outage(&parts, since, due, &mut told_at).await;
        }
    };
    let _ = stop.run_until_cancelled(watch).await;
}

/// Whether the database is away and this instance is the one to say so.
fn is_away(readiness: &Readiness) -> bool {
    readiness.database == DatabaseState::Unreachable && readiness.role != Role::Standby
}

/// One outage: tells it when it is due and again from time to time, and tells its end to those who heard of it.
async fn outage(parts: &Parts, since: Timestamp, mut due: Instant, told_at: &mut Option<Instant>) {
    let mut readiness = parts.readiness.clone();
    let mut over = std::pin::pin!(async move {
        let _ = readiness.wait_for(|readiness| !is_away(readiness)).await;
    });
    let heard = Mutex::new(BTreeSet::new());
    let mut first = None;
    loop {
        tokio::select! {
            () = &mut over => break,
            () = tokio::time::sleep_until(due) => {}
        }
        let config = Arc::clone(&parts.config.borrow());
        let now = clock::now();
        let quiet = config.quiet.is_total(now);
        if !quiet {
            warn!("the database has been away for long: telling it from memory");
            *told_at = Some(Instant::now());
            let memory = parts.memory.borrow().clone();
            let desk = desk(&config, now);
            let open = (parts.readiness.borrow().role == Role::Active).then_some(&*memory.open);
            let letter = text::emergency(since, memory.results, open, &desk);
            let thread = thread(now, first);
            first.get_or_insert(now);
            let tell = tell(parts, &config, &letter, &thread, None, &heard);
            tokio::select! {
                () = &mut over => break,
                () = tell => {}
            }
        }
        due = Instant::now() + pause(quiet, &config.limits);
    }
    let heard = heard.into_inner().unwrap_or_else(PoisonError::into_inner);
    if heard.is_empty() {
        return;
    }
    info!("the database is back: telling those who heard that it was away");
    let config = Arc::clone(&parts.config.borrow());
    let letter = text::emergency_over(since, &desk(&config, clock::now()));
    tell(parts, &config, &letter, &thread(clock::now(), first), Some(&heard), &Mutex::default()).await;
}

/// How long until the next look at an outage: what the quiet kept back is told soon after its end.
fn pause(quiet: bool, limits: &Limits) -> Duration {
    if quiet { limits.emergency_after } else { limits.emergency_again }
}

/// The identities of a message at `now` and of the `first` one of its outage, without their domains.
fn thread(now: Timestamp, first: Option<Timestamp>) -> Thread {
    let identity = |at: Timestamp| format!("emergency.{}", at.as_millisecond());
    Thread {
        message_id: identity(now),
        in_reply_to: first.map(identity),
        references: first.map(identity).into_iter().collect(),
    }
}

fn desk(config: &Config, now: Timestamp) -> Desk {
    Desk { now, tz: config.tz.clone(), public_url: config.public_url.url.clone() }
}

/// Tells `letter` on all channels, or on those of `only`, each by itself: one that hangs holds up no other.
async fn tell(
    parts: &Parts,
    config: &Config,
    letter: &Letter,
    thread: &Thread,
    only: Option<&BTreeSet<Channel>>,
    heard: &Mutex<BTreeSet<Channel>>,
) {
    let channels = config.alerts.channels();
    let channels = channels.into_iter().filter(|channel| only.is_none_or(|only| only.contains(channel)));
    let tell = async |channel: Channel| {
        let transport = match Transport::open(&channel, config) {
            Ok(transport) => transport,
            Err(reason) => return warn!(channel = channel.name(), reason, "cannot be told"),
        };
        if parts.board.refused(&channel).is_some_and(|refused| refused == transport.digest()) {
            return;
        }
        if insist(parts, config, &transport, channel.name(), letter, thread).await {
            heard.lock().unwrap_or_else(PoisonError::into_inner).insert(channel);
        }
        transport.close().await;
    };
    join_all(channels.map(tell)).await;
}

/// Tries a few times, with growing pauses. Tells whether it was taken.
async fn insist(
    parts: &Parts,
    config: &Config,
    transport: &Transport,
    name: &str,
    letter: &Letter,
    thread: &Thread,
) -> bool {
    let domain = transport.domain();
    let thread = Thread {
        message_id: format!("{}@{domain}", thread.message_id),
        in_reply_to: thread.in_reply_to.as_ref().map(|id| format!("{id}@{domain}")),
        references: thread.references.iter().map(|id| format!("{id}@{domain}")).collect(),
    };
    let mut parcel = Parcel { letter: letter.clone(), thread, plain: false, date: clock::now() };
    let mut pause = config.limits.channel_retry_min;
    for _ in 0..TRIES {
        let (reason, wait) = match transport.send(&parcel, &CancellationToken::new()).await.outcome {
            Outcome::Delivered => {
                parts.metrics.channel(name).notification();
                return true;
            }
            Outcome::Busy(wait) => {
                let wait = wait.max(config.limits.channel_retry_min).min(LONGEST_PAUSE);
                ("429 Too Many Requests".to_owned(), wait)
            }
            Outcome::Malformed(reason) if !parcel.plain => {
                parcel.plain = true;
                (reason, Duration::ZERO)
            }
            Outcome::Refused(reason) => {
                parts.metrics.channel(name).failure();
                warn!(channel = name, reason, "cannot be told");
                return false;
            }
            Outcome::Malformed(reason) | Outcome::Failed(reason) => {
                parts.metrics.channel(name).failure();
                pause = (pause * 2).min(config.limits.channel_retry_max);
                (reason, pause)
            }
            Outcome::BrokenOff => return false,
        };
        warn!(channel = name, reason, "not told yet");
        tokio::time::sleep(wait).await;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_quiet_is_noticed_soon() {
        let limits = Limits::default();
        assert_eq!(pause(true, &limits), limits.emergency_after);
        assert_eq!(pause(false, &limits), limits.emergency_again);
    }
}
