//! A wire that can be cut, stopped and slowed: a TCP proxy on loopback that remembers all that passed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::ground::{free_port, runtime};
use super::tokens::tokens_in;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Towards {
    Server,
    Client,
}

/// A place in the bytes of one direction of one connection.
#[derive(Clone, Debug)]
pub enum At {
    /// Once so many bytes have passed.
    Bytes(u64),
    /// Nothing of the pattern that was not already on its way passes.
    Before(&'static [u8]),
    /// The pattern passes, nothing after it.
    After(&'static [u8]),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Pass,
    /// No listener: connecting is refused, what was open is cut.
    Refuse,
    /// Connections are taken, nothing moves.
    Stall,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Armed,
    Sprung,
    Released,
    Cut,
}

/// Stops or cuts the first connection that comes to a place.
pub struct Trap {
    towards: Towards,
    at: At,
    cuts: bool,
    stand: watch::Sender<Stand>,
}

impl Trap {
    /// Waits until a connection has come to the place.
    #[track_caller]
    pub fn wait(&self, limit: Duration) {
        let mut stand = self.stand.subscribe();
        let come = runtime().block_on(async {
            tokio::time::timeout(limit, stand.wait_for(|s| *s != Stand::Armed)).await.is_ok()
        });
        assert!(
            come,
            "not within {limit:?}: a connection came to {:?} towards the {:?}",
            self.at, self.towards
        );
    }

    pub fn has_sprung(&self) -> bool {
        *self.stand.borrow() != Stand::Armed
    }

    /// Lets the connection go on.
    pub fn release(&self) {
        self.stand.send_replace(Stand::Released);
    }

    /// Cuts the connection.
    pub fn cut(&self) {
        self.stand.send_replace(Stand::Cut);
    }
}

struct Piece {
    connection: usize,
    towards: Towards,
    bytes: Vec<u8>,
}

struct Shared {
    target: SocketAddr,
    mode: watch::Sender<Mode>,
    listening: watch::Sender<bool>,
    /// Counts the cuts of everything.
    cuts: watch::Sender<u64>,
    delay_ms: AtomicU64,
    connections: AtomicUsize,
    traps: Mutex<Vec<Arc<Trap>>>,
    passed: Mutex<Vec<Piece>>,
}

/// The wire to one server.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
}

impl Proxy {
    /// A wire to a port of 127.0.0.1.
    pub fn to(port: u16) -> Self {
        let shared = Arc::new(Shared {
            target: (Ipv4Addr::LOCALHOST, port).into(),
            mode: watch::Sender::new(Mode::Pass),
            listening: watch::Sender::new(false),
            cuts: watch::Sender::new(0),
            delay_ms: AtomicU64::new(0),
            connections: AtomicUsize::new(0),
            traps: Mutex::new(Vec::new()),
            passed: Mutex::new(Vec::new()),
        });
        let port = free_port();
        runtime().spawn(listen(Arc::clone(&shared), port));
        let this = Self { shared, port };
        this.await_listening(true);
        this
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// All is well again. What was stalled moves on.
    pub fn pass(&self) {
        self.set(Mode::Pass);
    }

    /// Closes the listener and cuts every connection, until [`Proxy::pass`].
    pub fn refuse(&self) {
        self.set(Mode::Refuse);
        self.cut();
    }

    /// Takes connections and bytes and lets nothing through, until [`Proxy::pass`].
    pub fn stall(&self) {
        self.set(Mode::Stall);
    }

    /// Cuts every connection that is open now.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Every piece of bytes waits so long from now on.
    pub fn delay(&self, delay: Duration) {
        self.shared.delay_ms.store(delay.as_millis().try_into().unwrap(), Ordering::Relaxed);
    }

    /// The first connection that comes to this place stops there, in both directions, until the trap says otherwise.
    pub fn hold_at(&self, towards: Towards, at: At) -> Arc<Trap> {
        self.trap(towards, at, false)
    }

    /// The first connection that comes to this place is cut there.
    pub fn cut_at(&self, towards: Towards, at: At) -> Arc<Trap> {
        self.trap(towards, at, true)
    }

    /// How many connections were taken so far.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Every probe token that has passed towards the server, each connection's for itself: a token that was sent twice on
    /// two connections is there twice.
    pub fn tokens_sent(&self) -> Vec<String> {
        let passed = self.shared.passed.lock().unwrap();
        let last = self.connections();
        (0..last)
            .flat_map(|connection| {
                let stream: Vec<u8> = passed
                    .iter()
                    .filter(|p| p.connection == connection && p.towards == Towards::Server)
                    .flat_map(|p| p.bytes.iter().copied())
                    .collect();
                // A reused connection carries many messages; each token is once in each.
                split_messages(&stream).into_iter().flat_map(|m| tokens_in(&m)).collect::<Vec<_>>()
            })
            .collect()
    }

    /// All that passed in one direction, connection after connection, as text.
    pub fn transcript(&self, towards: Towards) -> String {
        let passed = self.shared.passed.lock().unwrap();
        let mut pieces: Vec<&Piece> = passed.iter().filter(|p| p.towards == towards).collect();
        pieces.sort_by_key(|p| p.connection);
        let bytes: Vec<u8> = pieces.iter().flat_map(|p| p.bytes.iter().copied()).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn trap(&self, towards: Towards, at: At, cuts: bool) -> Arc<Trap> {
        let trap = Arc::new(Trap { towards, at, cuts, stand: watch::Sender::new(Stand::Armed) });
        self.shared.traps.lock().unwrap().push(Arc::clone(&trap));
        trap
    }

    fn set(&self, mode: Mode) {
        self.shared.mode.send_replace(mode);
        self.await_listening(mode != Mode::Refuse);
    }

    fn await_listening(&self, wanted: bool) {
        let mut listening = self.shared.listening.subscribe();
        runtime().block_on(listening.wait_for(|is| *is == wanted)).unwrap();
    }
}

/// The end of a message on an SMTP connection ends a part.
fn split_messages(stream: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = vec![Vec::new()];
    let mut rest = stream;
    while let Some(place) = find(rest, b"\r\n.\r\n") {
        parts.last_mut().unwrap().extend_from_slice(&rest[..place]);
        parts.push(Vec::new());
        rest = &rest[place + 5..];
    }
    parts.last_mut().unwrap().extend_from_slice(rest);
    parts
}

async fn listen(shared: Arc<Shared>, port: u16) {
    let mut mode = shared.mode.subscribe();
    loop {
        if mode.wait_for(|m| *m != Mode::Refuse).await.is_err() {
            return;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        shared.listening.send_replace(true);
        loop {
            tokio::select! {
                biased;
                refusing = mode.wait_for(|m| *m == Mode::Refuse) => {
                    if refusing.is_err() { return }
                    break;
                }
                accepted = listener.accept() => {
                    let Ok((client, _)) = accepted else { continue };
                    let number = shared.connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(connection(Arc::clone(&shared), client, number));
                }
            }
        }
        drop(listener);
        shared.listening.send_replace(false);
    }
}

/// One connection's own switches.
struct Line {
    shared: Arc<Shared>,
    number: usize,
    /// Stopped by a trap.
    held: watch::Sender<bool>,
    cut: watch::Sender<bool>,
}

async fn connection(shared: Arc<Shared>, client: TcpStream, number: usize) {
    let mut cuts = shared.cuts.subscribe();
    cuts.mark_unchanged();
    let line = Arc::new(Line {
        number,
        held: watch::Sender::new(false),
        cut: watch::Sender::new(false),
        shared: Arc::clone(&shared),
    });
    let mut cut = line.cut.subscribe();
    let mut mode = shared.mode.subscribe();
    tokio::select! {
        biased;
        _ = cuts.changed() => return,
        passing = mode.wait_for(|m| *m == Mode::Pass) => if passing.is_err() { return },
    }
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    let (Ok(()), Ok(())) = (client.set_nodelay(true), server.set_nodelay(true)) else { return };
    let (from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let mut from_client = from_client;
    let mut from_server = from_server;
    tokio::select! {
        // A cut comes before everything: what is stalled must not slip through when `pass` follows.
        biased;
        _ = cuts.changed() => {}
        _ = cut.wait_for(|is| *is) => {}
        () = async {
            tokio::join!(
                pump(&line, Towards::Server, &mut from_client, &mut to_server),
                pump(&line, Towards::Client, &mut from_server, &mut to_client),
            );
        } => return,
    }
    // The client is gone at once. The server shall still get what had passed: closing with unread replies would reset the
    // connection and lose it.
    drop((from_client, to_client));
    drop(to_server.shutdown().await);
    let mut rest = [0; 1024];
    let drain = async { while matches!(from_server.read(&mut rest).await, Ok(1..)) {} };
    drop(tokio::time::timeout(Duration::from_secs(10), drain).await);
}

/// Moves the bytes of one direction until it ends.
async fn pump(line: &Line, towards: Towards, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) {
    let mut buffer = vec![0; 16 * 1024];
    let mut passed = 0;
    let mut recent = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut rest = &buffer[..read];
        line.wait_until_free().await;
        while let Some((trap, upto)) = line.next_trap(towards, passed, &recent, rest) {
            let (now, later) = rest.split_at(upto);
            line.held.send_replace(true);
            if line.write(towards, to, now).await.is_err() {
                return;
            }
            passed += now.len() as u64;
            remember(&mut recent, now);
            rest = later;
            trap.stand.send_replace(if trap.cuts { Stand::Cut } else { Stand::Sprung });
            let mut stand = trap.stand.subscribe();
            let Ok(end) = stand.wait_for(|s| *s != Stand::Sprung).await.map(|s| *s) else { return };
            if end == Stand::Cut {
                line.cut.send_replace(true);
                return std::future::pending().await;
            }
            line.held.send_replace(false);
        }
        if line.write(towards, to, rest).await.is_err() {
            return;
        }
        passed += rest.len() as u64;
        remember(&mut recent, rest);
    }
    line.wait_until_free().await;
    drop(to.shutdown().await);
}

impl Line {
    async fn wait_until_free(&self) {
        let delay = self.shared.delay_ms.load(Ordering::Relaxed);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        let (mut mode, mut held) = (self.shared.mode.subscribe(), self.held.subscribe());
        while *mode.borrow_and_update() != Mode::Pass || *held.borrow_and_update() {
            tokio::select! {
                _ = mode.changed() => {}
                _ = held.changed() => {}
            }
        }
    }

    async fn write(&self, towards: Towards, to: &mut OwnedWriteHalf, bytes: &[u8]) -> std::io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let piece = Piece { connection: self.number, towards, bytes: bytes.to_vec() };
        self.shared.passed.lock().unwrap().push(piece);
        to.write_all(bytes).await
    }

    /// The first armed trap within these bytes and how many of them still pass; it is taken off the list.
    fn next_trap(
        &self,
        towards: Towards,
        passed: u64,
        recent: &[u8],
        bytes: &[u8],
    ) -> Option<(Arc<Trap>, usize)> {
        let mut traps = self.shared.traps.lock().unwrap();
        let joined = [recent, bytes].concat();
        let places =
            traps.iter().enumerate().filter(|(_, trap)| trap.towards == towards).filter_map(|(n, trap)| {
                let upto = match trap.at {
                    At::Bytes(count) => usize::try_from(count.saturating_sub(passed))
                        .ok()
                        .filter(|upto| *upto <= bytes.len())?,
                    At::Before(pattern) => {
                        find_new(&joined, pattern, recent.len())?.saturating_sub(recent.len())
                    }
                    At::After(pattern) => {
                        find_new(&joined, pattern, recent.len())? + pattern.len() - recent.len()
                    }
                };
                Some((upto, n))
            });
        let (upto, number) = places.min()?;
        Some((traps.remove(number), upto))
    }
}

/// Enough to recognise a pattern that comes in two pieces.
fn remember(recent: &mut Vec<u8>, bytes: &[u8]) {
    recent.extend_from_slice(bytes);
    recent.drain(..recent.len().saturating_sub(64));
}

/// Where a pattern begins whose end lies beyond the first `old` bytes.
fn find_new(bytes: &[u8], pattern: &[u8], old: usize) -> Option<usize> {
    let first = (old + 1).saturating_sub(pattern.len());
    find(&bytes[first.min(bytes.len())..], pattern).map(|place| first + place)
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}
