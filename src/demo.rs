//! A mail server in one process: SMTP submission and IMAP over TLS, mail in memory, faults on demand.
//!
//! It serves `maildt demo`, and tests of what no real server can be made to do. It shares no code with the clients of
//! this program, so that a misreading of an RFC on one side does not hide one on the other.
//!
//! ```ignore
//! let server = MailServer::start(Options::default().account("monitor@demo.test", "secret")).await?;
//! server.faults().add(Rule::delivery(Fate::Drop).to("lossy@demo.test"));
//! // … point the program under test at server.addresses(), trusting server.ca_pem() …
//! for submission in server.ledger().submissions() { … }
//! server.stop().await;
//! ```
//!
//! The way of a message: [`smtp`] takes it in, [`ledger`] writes it down, [`faults`] decide its fate, `delivery` saves it
//! in the `spool`, [`imap`] shows it. [`cast`] is the set of example recipients that `maildt demo` watches.
//!
//! Limits ([`Limits`]) bound what a peer can make the server keep; no input makes it panic.

pub mod cast;
mod connection;
mod delivery;
pub mod faults;
pub mod hostile;
mod imap;
pub mod ledger;
mod smtp;
mod spool;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::secret::Secret;
use connection::{Connection, Ended};
use faults::Faults;
use ledger::{Ledger, Moment};
use spool::{Account, Flags, Message, Spool};
pub use spool::{INBOX, JUNK};
pub use tls::Certificate;
use tls::Tls;

/// How much a peer may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message, by SMTP or APPEND.
    pub message: usize,
    /// Connections at one time, over all ports.
    pub connections: usize,
    /// Recipients of one message.
    pub recipients: usize,
    /// Messages in one folder; the oldest go first.
    pub folder_messages: usize,
    /// Entries in the ledger; the oldest go first.
    pub ledger_entries: usize,
    /// Silence before an SMTP session is ended.
    pub smtp_silence: Duration,
    /// Silence before an IMAP session is ended, IDLE included.
    pub imap_silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 * 1024 * 1024,
            connections: 1000,
            recipients: 100,
            folder_messages: 1_000_000,
            ledger_entries: 1_000_000,
            smtp_silence: Duration::from_mins(5),
            imap_silence: Duration::from_mins(30),
        }
    }
}

/// One port each; 0 lets the system choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// SMTP, TLS from the first byte (RFC 8314).
    pub smtps: u16,
    /// SMTP with STARTTLS, which must precede AUTH.
    pub submission: u16,
    /// SMTP in the clear, without STARTTLS.
    pub smtp: u16,
    /// IMAP, TLS from the first byte.
    pub imaps: u16,
    /// IMAP with STARTTLS, which may be left out.
    pub imap: u16,
}

/// Where the server listens; the fields are those of [`Ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub smtps: SocketAddr,
    pub submission: SocketAddr,
    pub smtp: SocketAddr,
    pub imaps: SocketAddr,
    pub imap: SocketAddr,
}

/// How to start a [`MailServer`].
#[derive(Clone, Debug)]
pub struct Options {
    /// What the server calls itself.
    pub hostname: String,
    /// User, which is also the mail address, and password. Each account has the folders INBOX and Junk.
    pub accounts: Vec<(String, Secret)>,
    /// The account that gets mail for all other addresses. Without it they are refused with 550 5.1.1.
    pub catch_all: Option<String>,
    /// Whether SMTP asks for a login before MAIL.
    pub require_auth: bool,
    pub ports: Ports,
    pub certificate: Certificate,
    pub limits: Limits,
    /// Header lines, each with its CRLF, that are added to delivered messages below the Return-Path.
    pub delivery_header: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hostname: "mail.demo.test".to_owned(),
            accounts: Vec::new(),
            catch_all: None,
            require_auth: true,
            ports: Ports::default(),
            certificate: Certificate::default(),
            limits: Limits::default(),
            delivery_header: String::new(),
        }
    }
}

impl Options {
    /// Adds an account. The first one also gets the mail for all other addresses.
    #[must_use]
    pub fn account(mut self, user: &str, password: &str) -> Self {
        if self.accounts.is_empty() && self.catch_all.is_none() {
            self.catch_all = Some(user.to_owned());
        }
        self.accounts.push((user.to_owned(), Secret::new(password)));
        self
    }
}

/// No such account, folder or message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the built-in mail server has no account {0}")]
    NoAccount(String),
    #[error("the account {0} has no folder {1}, or too many to add one")]
    NoFolder(String, String),
}

/// A message as it lies in a folder.
#[derive(Clone, Debug)]
pub struct Stored {
    pub uid: u32,
    /// Flags and keywords as in FETCH, without `\Recent`.
    pub flags: Vec<String>,
    pub internal_date: Timestamp,
    pub raw: Bytes,
    /// When it was saved.
    pub saved: Moment,
}

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

    fn account(&self, name: &str) -> Result<&Arc<Account>, Error> {
        self.spool.account(name).ok_or_else(|| Error::NoAccount(name.to_owned()))
    }

    fn folder(&self, account: &str, folder: &str) -> Result<Arc<spool::Folder>, Error> {
        let no_folder = || Error::NoFolder(account.to_owned(), folder.to_owned());
        self.account(account)?.folder(folder).ok_or_else(no_folder)
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

    /// The names of the accounts.
    #[must_use]
    pub fn accounts(&self) -> Vec<String> {
        self.shared.spool.accounts().map(|account| account.name.clone()).collect()
    }

    /// The names of an account's folders.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn folders(&self, account: &str) -> Result<Vec<String>, Error> {
        Ok(self.shared.account(account)?.folders().iter().map(|folder| folder.name.clone()).collect())
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

    /// Puts a message into a folder, which is made if need be, as it is and without any fault. Tells its UID. Without
    /// an INTERNALDATE it is now.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn deliver(
        &self,
        account: &str,
        folder: &str,
        raw: impl Into<Bytes>,
        internal_date: Option<Timestamp>,
    ) -> Result<u32, Error> {
        let home = self.shared.account(account)?;
        let date = internal_date.unwrap_or_else(crate::clock::now);
        delivery::save(&self.shared, home, folder, raw.into(), date, None)
            .map(|saved| saved.uid)
            .ok_or_else(|| Error::NoFolder(account.to_owned(), folder.to_owned()))
    }

    /// Puts `count` messages that have nothing to do with anybody into a folder. Their dates lie one minute apart and
    /// end now.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn fill(&self, account: &str, folder: &str, count: u32) -> Result<(), Error> {
        let home = self.shared.account(account)?;
        let folder = home
            .folder_or_new(folder)
            .ok_or_else(|| Error::NoFolder(account.to_owned(), folder.to_owned()))?;
        let saved = Moment::now();
        for number in 0..count {
            let age = jiff::SignedDuration::from_secs(60 * i64::from(count - number));
            let date = saved.wall.checked_sub(age).unwrap_or(saved.wall);
            let message = Message::new(hostile::foreign(number).into(), date, saved);
            folder.save(message, Flags::default(), false);
        }
        Ok(())
    }

    /// All messages of a folder that are not hidden, by UID.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn messages(&self, account: &str, folder: &str) -> Result<Vec<Stored>, Error> {
        let folder = self.shared.folder(account, folder)?;
        let state = folder.lock();
        let stored = |(uid, entry): (&u32, &spool::Entry)| Stored {
            uid: *uid,
            flags: entry.flags.names().map(str::to_owned).collect(),
            internal_date: entry.message.internal_date,
            raw: entry.message.raw().clone(),
            saved: entry.message.saved,
        };
        Ok(state.entries().iter().map(stored).collect())
    }

    /// The UIDs of a folder's messages that are not hidden, in order.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn uids(&self, account: &str, folder: &str) -> Result<Vec<u32>, Error> {
        Ok(self.shared.folder(account, folder)?.lock().entries().keys().copied().collect())
    }

    /// UIDVALIDITY and UIDNEXT of a folder.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn uid_state(&self, account: &str, folder: &str) -> Result<(u32, u32), Error> {
        let folder = self.shared.folder(account, folder)?;
        let state = folder.lock();
        Ok((state.uid_validity, state.uid_next))
    }

    /// Removes a message as another client would; false if there is none.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn delete(&self, account: &str, folder: &str, uid: u32) -> Result<bool, Error> {
        Ok(self.shared.folder(account, folder)?.change(|state| state.remove(uid)))
    }

    /// Removes all messages of a folder.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn empty(&self, account: &str, folder: &str) -> Result<(), Error> {
        self.shared.folder(account, folder)?.change(|state| {
            let uids: Vec<u32> = state.entries().keys().copied().collect();
            for uid in uids {
                state.remove(uid);
            }
        });
        Ok(())
    }

    /// Gives a folder a new UIDVALIDITY and its messages new UIDs. Sessions that have it selected are told to go.
    /// Returns the new UIDVALIDITY.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn change_uid_validity(&self, account: &str, folder: &str) -> Result<u32, Error> {
        Ok(self.shared.folder(account, folder)?.renumber())
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
    let ended = if service.is_imap() {
        imap::session(&shared, service, connection, number, full).await
    } else {
        smtp::session(&shared, service, connection, number, full).await
    };
    if !matches!(ended, Ended::Goodbye | Ended::Peer) {
        tracing::debug!(connection = number, ?service, reason = %ended, "connection of the built-in mail server ended");
    }
}
