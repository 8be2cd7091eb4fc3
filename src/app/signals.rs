//! Signals: SIGTERM and SIGINT stop in order; a second one stops at once.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Cancels `stop` at the first SIGTERM or SIGINT.
pub(super) fn stop_on_signal(stop: &CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    let stop = stop.clone();
    tokio::spawn(async move {
        // Supervisors signal the process and its group in one breath: that is one wish.
        const ONE_BREATH: Duration = Duration::from_secs(2);
        let mut asked: Option<Instant> = None;
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            match asked {
                None => asked = Some(Instant::now()),
                Some(first) if first.elapsed() < ONE_BREATH => continue,
                Some(_) => {
                    warn!("told to stop again: stopping at once");
                    std::process::exit(1);
                }
            }
            info!("told to stop: finishing what is under way");
            stop.cancel();
        }
    });
    Ok(())
}
