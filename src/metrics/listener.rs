//! Serving the metrics: of too many scrapes the oldest is cut off, which is the one that got stuck.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::routes::{ListenerState, router};
use crate::listener::{self, CutOff};

pub use crate::listener::ListenerLimits;

/// Serves the metrics, health and readiness until `shutdown`, with the default limits.
///
/// # Errors
/// As [`listener::serve`].
pub async fn serve(
    listener: TcpListener,
    state: ListenerState,
    shutdown: CancellationToken,
) -> io::Result<()> {
    serve_within(ListenerLimits::default(), listener, state, shutdown).await
}

/// As [`serve`], with other limits.
///
/// # Errors
/// As [`serve`].
pub async fn serve_within(
    limits: ListenerLimits,
    listener: TcpListener,
    state: ListenerState,
    shutdown: CancellationToken,
) -> io::Result<()> {
    listener::serve("metrics", limits, listener, router(state), shutdown).await
}

/// Scrapes at once. Each keeps some 500 KiB; a healthy one takes less than a second.
const SCRAPES: usize = 32;

/// The scrapes under way, oldest first.
#[derive(Debug, Default)]
pub(super) struct RunningScrapes(Mutex<Running>);

#[derive(Debug, Default)]
struct Running {
    next: u64,
    scrapes: VecDeque<(u64, CutOff)>,
}

impl RunningScrapes {
    /// Counts a scrape until the guard is dropped, and cuts off the oldest where there are too many.
    pub(super) fn enter(self: &Arc<Self>, cut_off: CutOff) -> ScrapeGuard {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if running.scrapes.len() >= SCRAPES
            && let Some((_, oldest)) = running.scrapes.pop_front()
        {
            oldest.cut();
        }
        let number = running.next;
        running.next += 1;
        running.scrapes.push_back((number, cut_off));
        ScrapeGuard { running: Arc::clone(self), number }
    }
}

/// A scrape under way.
#[derive(Debug)]
pub(super) struct ScrapeGuard {
    running: Arc<RunningScrapes>,
    number: u64,
}

impl Drop for ScrapeGuard {
    fn drop(&mut self) {
        let mut running = self.running.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.scrapes.retain(|(number, _)| *number != self.number);
    }
}
