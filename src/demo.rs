//! A mail server in one process: SMTP submission and IMAP over TLS, mail in memory, faults on demand.
//!
//! It serves `maildt demo`, and tests of what no real server can be made to do. It shares no code with the clients of
//! this program, so that a misreading of an RFC on one side does not hide one on the other.
//!
//! ```ignore
//! let server = MailServer::start(Options::default().account("monitor@demo.test", "secret")).await?;
//! server.faults().add(Rule::delivery(Fate::Drop).to("lossy@demo.test"));
//! // Point the program under test at server.addresses(), trusting server.ca_pem().
//! for submission in server.ledger().submissions() {}
//! server.stop().await;
//! ```
//!
//! The way of a message: `smtp` takes it in, [`ledger`] writes it down, [`faults`] decide its fate, `delivery` saves it
//! in the `spool`, `imap` shows it. [`cast`] is the set of example recipients that `maildt demo` watches.
//!
//! Limits ([`Limits`]) bound what a peer can make the server keep; no input makes it panic.

pub mod cast;
mod connection;
mod delivery;
pub mod faults;
pub mod hostile;
mod imap;
pub mod ledger;
mod mailboxes;
mod options;
mod smtp;
mod spool;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use connection::{Connection, Ended};
use faults::Faults;
use ledger::Ledger;
pub use mailboxes::{Error, Stored};
pub use options::{Addresses, Limits, Options, Ports};
use spool::Spool;
pub use spool::{INBOX, JUNK};
pub use tls::Certificate;
use tls::Tls;

/// How long a session may take to end when the server stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What all parts of one server share.
struct Shared {
    options: Options,
    spool: Spool,
    faults: Faults,
    ledger: Ledger,
    tls: Tls,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Cancelled and replaced to cut all connections of the moment.
    everyone: Mutex<CancellationToken>,
    places: Arc<Semaphore>,
    numbers: AtomicU64,
    connections: AtomicU64,
}

impl Shared {
    fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A new queue id, which is part of message ids too.
    fn new_id(&self) -> String {
        format!("4D{:010X}", self.next_number())
    }
}

/// What is spoken on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service {
    Smtps,
    Submission,
    Smtp,
    Imaps,
    Imap,
}

impl Service {
    fn implicit_tls(self) -> bool {
        matches!(self, Self::Smtps | Self::Imaps)
    }

    fn is_imap(self) -> bool {
        matches!(self, Self::Imaps | Self::Imap)
    }
}

/// The running server. Dropping it stops it at once, [`MailServer::stop`] in order.
pub struct MailServer {
    shared: Arc<Shared>,
    addresses: Addresses,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl MailServer {
    /// Makes the certificates, listens on 127.0.0.1 and serves until stopped.
    ///
    /// # Errors
    /// When a port is taken or a certificate cannot be made from the given names.
    pub async fn start(options: Options) -> io::Result<Self> {
        let now = crate::clock::now();
        let bind = async |port: u16| TcpListener::bind(("127.0.0.1", port)).await;
        let ports = options.ports;
        let listeners = [
            (Service::Smtps, bind(ports.smtps).await?),
            (Service::Submission, bind(ports.submission).await?),
            (Service::Smtp, bind(ports.smtp).await?),
            (Service::Imaps, bind(ports.imaps).await?),
            (Service::Imap, bind(ports.imap).await?),
        ];
        let [smtps, submission, smtp, imaps, imap] = &listeners;
        let addresses = Addresses {
            smtps: smtps.1.local_addr()?,
            submission: submission.1.local_addr()?,
            smtp: smtp.1.local_addr()?,
            imaps: imaps.1.local_addr()?,
            imap: imap.1.local_addr()?,
        };
        let limits = options.limits;
        let shared = Arc::new(Shared {
            spool: Spool::new(
                &options.accounts,
                options.catch_all.as_deref(),
                limits.folder_messages,
                u32::try_from(now.as_second()).unwrap_or(1),
            ),
            faults: Faults::default(),
            ledger: Ledger::new(limits.ledger_entries),
            tls: Tls::new(&options.certificate, now)?,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            everyone: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.connections)),
            numbers: AtomicU64::new(1),
            connections: AtomicU64::new(0),
            options,
        });
        for (service, listener) in listeners {
            shared.tasks.spawn(accept(Arc::clone(&shared), service, listener));
        }
        Ok(Self { shared, addresses })
    }

    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The certificate authority that signed the server's certificate, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.shared.tls.ca_pem
    }

    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.shared.ledger
    }

    /// How many connections there were so far.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many connections are open.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.shared.options.limits.connections - self.shared.places.available_permits()
    }

    /// Cuts all connections of this moment without a word.
    pub fn disconnect_all(&self) {
        let mut everyone = self.shared.everyone.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *everyone).cancel();
    }

    /// Ends all sessions in order and waits for them, at most 2 seconds. What is held back or hidden is lost.
    pub async fn stop(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        if tokio::time::timeout(Duration::from_secs(2), self.shared.tasks.wait()).await.is_err() {
            tracing::warn!("the built-in mail server gave up waiting for its connections");
        }
    }
}

async fn accept(shared: Arc<Shared>, service: Service, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, ?service, "the built-in mail server cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let tasks = shared.tasks.clone();
        tasks.spawn(serve(Arc::clone(&shared), service, stream));
    }
}

/// One connection from accept to close.
async fn serve(shared: Arc<Shared>, service: Service, stream: TcpStream) {
    let number = shared.connections.fetch_add(1, Ordering::Relaxed) + 1;
    let _ = stream.set_nodelay(true);
    let stop = {
        let everyone = shared.everyone.lock().unwrap_or_else(PoisonError::into_inner);
        everyone.child_token()
    };
    let connection = Connection::new(stream, [shared.stop.clone(), stop]);
    let place = shared.places.clone().try_acquire_owned().ok();
    let full = place.is_none();
    let session = async {
        if service.is_imap() {
            imap::session(&shared, service, connection, number, full).await
        } else {
            smtp::session(&shared, service, connection, number, full).await
        }
    };
    // A peer that does not read must not hold up the stop.
    let cut_off = async {
        shared.stop.cancelled().await;
        tokio::time::sleep(FAREWELL).await;
    };
    let ended = tokio::select! {
        ended = session => ended,
        () = cut_off => Ended::Stopping,
    };
    if !matches!(ended, Ended::Goodbye | Ended::Peer) {
        tracing::debug!(connection = number, ?service, reason = %ended, "connection of the built-in mail server ended");
    }
}
