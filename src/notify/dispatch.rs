//! Draining the outbox: one worker for each channel, of the instance that holds the lease.
//!
//! A worker claims the rows of one message, sends it outside of any transaction, and settles the rows by what came of it.
//! What it cannot settle because the database is away it keeps, and sends nothing meanwhile. So a message goes out twice
//! only after an end that nobody saw: a try without an answer, or a kill before the settling.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::board::{Board, Fare};
use super::health::Health;
use super::transport::Transport;
use super::worker::Worker;
use crate::complaint::Complaint;
use crate::config::Config;
use crate::domain::alert::{Channel, Occurrence};
use crate::engine::clock::DatabaseClock;
use crate::metrics::Metrics;
use crate::store::{Error, Fence, Store};

/// How often it is looked for what is not for any of the channels.
const SWEEP: Duration = Duration::from_mins(1);

/// How the engine is told what becomes of the channels.
pub type Tell = Arc<dyn Fn(Occurrence) + Send + Sync>;

/// What the dispatch works with. The configuration is fixed: a change of it begins a new term.
#[derive(Clone)]
pub struct Parts {
    pub store: Store,
    pub fence: Fence,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    pub board: Arc<Board>,
    pub clock: DatabaseClock,
    pub tell: Tell,
    /// Changes after each commit that may have put something into the outbox.
    pub written: watch::Receiver<u64>,
    /// Cancelled when the whole program stops: then the last settling has a limit.
    pub hurry: CancellationToken,
}

/// Works until `stop` is cancelled and what is under way is settled, or until another instance holds the lease.
///
/// # Panics
/// When a worker does.
pub async fn run(parts: Parts, stop: CancellationToken) {
    let channels = parts.config.alerts.channels();
    for name in ["discord", "email"] {
        if !channels.iter().any(|channel| channel.name() == name) {
            parts.metrics.remove_channel(name);
        }
    }
    parts.board.set_configured(&channels);
    let Some(mut workers) = begin(&parts, &channels, &stop).await else { return };
    // Those that are down first: of two addresses for mail one may work.
    workers.sort_by_key(|worker| !worker.is_down());
    let mut running = JoinSet::new();
    for mut worker in workers {
        worker.report();
        running.spawn(worker.run(stop.clone()));
    }
    if running.is_empty() {
        stop.cancelled().await;
    }
    loop {
        tokio::select! {
            ended = running.join_next() => match ended {
                // Told to stop, or deposed; the others notice as well.
                Some(Ok(())) => {}
                Some(Err(died)) if died.is_panic() => std::panic::resume_unwind(died.into_panic()),
                Some(Err(_)) | None => return,
            },
            // The end of an incident is told where its beginning was, whatever is configured since.
            () = tokio::time::sleep(SWEEP) => {
                if let Err(reason) = forget_channels(&parts, &channels).await {
                    debug!(%reason, "what is for other channels stays for now");
                }
            }
        }
    }
}

/// Drops what is for channels that are no longer configured.
async fn forget_channels(parts: &Parts, channels: &[Channel]) -> Result<(), Error> {
    let dropped = parts.store.forget_channels(parts.fence, channels).await?;
    if dropped > 0 {
        info!(notifications = dropped, "dropped what was for channels that are no longer configured");
    }
    Ok(())
}

/// Makes the workers, as soon as the database tells what is known of their channels; `None` when there is nothing to do
/// any more.
async fn begin(parts: &Parts, channels: &[Channel], stop: &CancellationToken) -> Option<Vec<Worker>> {
    let mut complaint = Complaint::default();
    loop {
        let read = async {
            forget_channels(parts, channels).await?;
            parts.store.channel_health().await
        };
        let mut known = match stop.run_until_cancelled(read).await? {
            Ok(known) => known,
            Err(Error::Fenced) => return None,
            Err(reason) => {
                complaint.say(&reason, "the state of the alert channels cannot be read yet");
                stop.run_until_cancelled(tokio::time::sleep(Duration::from_secs(1))).await?;
                continue;
            }
        };
        let worker = |channel: &Channel| {
            let transport = open(channel, &parts.config, &parts.board)?;
            let health = Health::new(known.remove(channel), transport.digest(), &parts.config.limits);
            Some(Worker::new(parts.clone(), Uuid::new_v4(), channel.clone(), transport, health))
        };
        return Some(channels.iter().filter_map(worker).collect());
    }
}

/// The way to a channel. One that cannot be used has no worker, and is down as long as this configuration stands.
fn open(channel: &Channel, config: &Config, board: &Board) -> Option<Transport> {
    let opened = Transport::open(channel, config);
    if let Err(reason) = &opened {
        warn!(channel = channel.name(), reason, "an alert channel cannot be used");
        board.set(channel, Fare { up: false, refused: None });
    }
    opened.ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::Purpose;
    use crate::metrics::Readiness;

    #[test]
    fn a_channel_that_cannot_be_used_is_down() {
        let environment = [("HOME", "/home/maildt"), ("ADMIN_PASSWORD", "correct horse battery")];
        let environment: std::collections::BTreeMap<_, _> =
            environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let config = Config::load(None, environment, Purpose::Serve).unwrap();
        let board = Board::new(watch::channel(Readiness::default()).0);
        board.set_configured(&[Channel::Discord]);
        assert!(!board.is_all_down());
        assert!(open(&Channel::Discord, &config, &board).is_none(), "no webhook is configured");
        assert!(board.is_all_down());
    }
}
