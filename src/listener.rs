//! Serving HTTP to clients that may be many, slow or stuck; the metrics and the admin UI listen with it.
//!
//! No client can hold up another: there are only so many connections, a head must come within its limit, and a response must
//! be taken within its own.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
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

/// The client's end of the connection, among the extensions of each request.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Takes `address`, which `setting` names.
///
/// # Errors
/// When it is taken or not this machine's.
pub async fn bind(setting: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!("{setting}: cannot listen on {address}; another program may have this port, choose another")
    })
}

/// Serves `router` until `shutdown`. `name` is for the log.
///
/// # Errors
/// Never for what a client does; the result is there for the task that waits for all listeners.
pub async fn serve(
    name: &'static str,
    limits: ListenerLimits,
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let (place, stream, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = accept(name, &listener, &places) => accepted,
        };
        let connection = Connection {
            name,
            limits,
            router: router.clone(),
            peer: Peer(peer),
            shutdown: shutdown.clone(),
            cut: cut.child_token(),
        };
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
    name: &str,
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (Option<OwnedSemaphorePermit>, TcpStream, SocketAddr) {
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (place, stream, peer),
            Err(error) => {
                tracing::warn!(%error, "the {name} listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

struct Connection {
    name: &'static str,
    limits: ListenerLimits,
    router: Router,
    peer: Peer,
    shutdown: CancellationToken,
    cut: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Without it the last piece of a response could wait for an acknowledgement; with it refused, it is only slower.
        let _ = stream.set_nodelay(true);
        let (busy, last_request) = watch::channel(Instant::now());
        let pages = self
            .router
            .layer(Extension(CutOff(self.cut.clone())))
            .layer(Extension(Alive(busy.clone())))
            .layer(Extension(self.peer));
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
                        tracing::debug!(%error, "a connection of the {} listener ended", self.name);
                    }
                    return;
                }
                () = self.shutdown.cancelled(), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = overdue.as_mut() => {
                    tracing::debug!("a client of the {} listener was too slow and was cut off", self.name);
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

/// Cuts one connection off; among the extensions of each request.
#[derive(Clone, Debug, Default)]
pub struct CutOff(CancellationToken);

impl CutOff {
    pub fn cut(&self) {
        self.0.cancel();
    }
}

/// For a response without an end: each call grants it another [`ListenerLimits::response`]. Among the extensions of each
/// request.
#[derive(Clone, Debug)]
pub struct Alive(watch::Sender<Instant>);

impl Alive {
    pub fn renew(&self) {
        self.0.send_replace(Instant::now());
    }
}
