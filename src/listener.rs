//! Serving HTTP to clients that may be many, slow or stuck; the metrics and the admin UI listen with it.
//!
//! No client can hold up another: there are only so many connections, a head must come within its limit, and a response must
//! be taken within its own. Who has said nothing whole yet gives way when others wait for a place.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
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
    /// Open connections; further ones wait.
    pub connections: usize,
    /// How long a connection without a complete head keeps its place while others wait.
    pub silence: Duration,
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
            silence: Duration::from_secs(1),
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
    let silent = Silent::default();
    let mut number = 0;
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let ((stream, peer), place) = tokio::select! {
            () = shutdown.cancelled() => break,
            taken = async { (accept(name, &listener).await, place(&places, &silent, limits.silence).await) } => taken,
        };
        number += 1;
        let cut = cut.child_token();
        silent.came(number, cut.clone());
        let connection = Connection {
            name,
            limits,
            router: router.clone(),
            peer: Peer(peer),
            shutdown: shutdown.clone(),
            cut,
            number,
            silent: silent.clone(),
        };
        connections.spawn(async move {
            let (number, silent) = (connection.number, connection.silent.clone());
            connection.serve(stream).await;
            silent.spoke(number);
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

/// A client. A failure to accept is the system's lack of something (descriptors, memory) or a client that went away: it
/// is waited out.
async fn accept(name: &str, listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) => {
                tracing::warn!(%error, "the {name} listener could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// A place for a client that is there: a free one, or that of a connection that has been silent for long enough.
async fn place(places: &Arc<Semaphore>, silent: &Silent, patience: Duration) -> Option<OwnedSemaphorePermit> {
    const LOOK: Duration = Duration::from_millis(20);
    loop {
        let free = Arc::clone(places).acquire_owned();
        match tokio::time::timeout(LOOK, free).await {
            Ok(place) => return place.ok(),
            Err(_) => silent.give_way(patience),
        }
    }
}

/// The connections on which no head has been complete yet, in the order of their coming.
#[derive(Clone, Default)]
struct Silent(Arc<Mutex<BTreeMap<u64, (Instant, CancellationToken)>>>);

impl Silent {
    fn came(&self, number: u64, cut: CancellationToken) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, (Instant::now(), cut));
    }

    fn spoke(&self, number: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number);
    }

    /// Cuts off the one that has been silent for the longest, if that is at least `patience`.
    fn give_way(&self, patience: Duration) {
        let mut silent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if silent.first_key_value().is_some_and(|(_, (since, _))| since.elapsed() >= patience)
            && let Some((_, (_, cut))) = silent.pop_first()
        {
            cut.cancel();
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
    number: u64,
    silent: Silent,
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
            self.silent.spoke(self.number);
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
