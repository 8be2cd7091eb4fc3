//! Serving the pages to clients that may be many, slow or stuck.
//!
//! No client can hold up another: a head must come within its limit, a response must be taken within its own, and of too
//! many scrapes the oldest is cut off, which is the one that got stuck.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::{Extension, Router};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::routes::{ListenerState, router};

/// Limits of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerLimits {
    /// Open connections; further ones wait in the kernel's queue.
    pub connections: usize,
    /// Until the head of a request is complete, idle time before it included.
    pub header: Duration,
    /// From one head of a request until its response is taken whole.
    pub response: Duration,
    /// How long a stop waits for responses under way.
    pub drain: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 512,
            header: Duration::from_secs(10),
            response: Duration::from_mins(1),
            drain: Duration::from_secs(3),
        }
    }
}

/// Serves the metrics, health and readiness until `shutdown`, with the default limits.
///
/// # Errors
/// Never for what a client does; the result is there for the task that waits for all listeners.
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
    let router = router(state);
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let (place, stream) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let connection =
            Connection { limits, router: router.clone(), shutdown: shutdown.clone(), cut: cut.child_token() };
        connections.spawn(async move {
            connection.serve(stream).await;
            drop(place);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.drain, connections.wait()).await.is_err() {
        cut.cancel();
        connections.wait().await;
    }
    Ok(())
}

/// A place and then a client. A failure to accept is the system's lack of something (descriptors, memory) or a client that
/// went away: it is waited out.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (place, stream),
            Err(error) => {
                tracing::warn!(%error, "the metrics listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Connection {
    limits: ListenerLimits,
    router: Router,
    shutdown: CancellationToken,
    cut: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Without it the last piece of a response could wait for an acknowledgement; with it refused, it is only slower.
        let _ = stream.set_nodelay(true);
        let (busy, last_request) = watch::channel(Instant::now());
        let pages = self.router.layer(Extension(CutOff(self.cut.clone())));
        let pages = TowerToHyperService::new(pages);
        let service = service_fn(|request: Request<Incoming>| {
            busy.send_replace(Instant::now());
            pages.call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = pin!(connection);
        // The response's time begins with the head, the next head's with the response's end.
        let overdue = overdue(last_request, self.limits.response + self.limits.header);
        let mut overdue = pin!(overdue);
        let mut stopping = false;
        loop {
            tokio::select! {
                result = connection.as_mut() => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "a connection of the metrics listener ended");
                    }
                    return;
                }
                () = self.shutdown.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = overdue.as_mut() => {
                    tracing::debug!("a client of the metrics listener was too slow and was cut off");
                    return;
                }
                () = self.cut.cancelled() => return,
            }
        }
    }
}

/// Ends when the last request is `limit` ago.
async fn overdue(last_request: watch::Receiver<Instant>, limit: Duration) {
    loop {
        let deadline = *last_request.borrow() + limit;
        if deadline <= Instant::now() {
            return;
        }
        tokio::time::sleep_until(deadline).await;
    }
}

/// Cuts one connection off.
#[derive(Clone, Debug, Default)]
pub(super) struct CutOff(CancellationToken);

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
            oldest.0.cancel();
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
