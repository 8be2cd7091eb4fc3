//! The series of senders, mailboxes, folders, channels and the database.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::label;
use super::value::{Counter, Each, Gauge, Histogram, LAG, LATENCY, PHASE, Word};
use crate::domain::submission::Phase;

impl Word for Phase {
    const ALL: &'static [Self] = &Phase::ALL;
}

/// Things that have a name for a label, made when first asked for.
#[derive(Debug)]
pub(super) struct Named<T>(RwLock<BTreeMap<Arc<str>, Arc<T>>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(RwLock::default())
    }
}

impl<T: Default> Named<T> {
    pub(super) fn get(&self, name: &str) -> Arc<T> {
        if let Some(found) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Arc::clone(found);
        }
        let mut map = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(map.entry(label(name)).or_default())
    }

    pub(super) fn remove(&self, name: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// A copy, so that nothing is locked while it is written out.
    pub(super) fn list(&self) -> Vec<(Arc<str>, Arc<T>)> {
        let map = self.0.read().unwrap_or_else(PoisonError::into_inner);
        map.iter().map(|(name, thing)| (Arc::clone(name), Arc::clone(thing))).collect()
    }
}

/// A submission account.
#[derive(Debug)]
pub struct SenderMetrics {
    pub(super) submission_delay: Histogram<23>,
    pub(super) send_duration: Histogram<13>,
    pub(super) phases: Each<Phase, Histogram<13>, 10>,
}

impl Default for SenderMetrics {
    fn default() -> Self {
        Self {
            submission_delay: Histogram::new(&LATENCY),
            send_duration: Histogram::new(&PHASE),
            phases: Each::from_fn(|| Histogram::new(&PHASE)),
        }
    }
}

impl SenderMetrics {
    /// From the first attempt of a probe to its acceptance.
    pub fn submission_delay(&self, delay: Duration) {
        self.submission_delay.observe(delay);
    }

    /// One attempt, however it ended.
    pub fn send_duration(&self, duration: Duration) {
        self.send_duration.observe(duration);
    }

    /// One phase of one attempt.
    pub fn phase(&self, phase: Phase, duration: Duration) {
        if let Some(histogram) = self.phases.get(phase) {
            histogram.observe(duration);
        }
    }
}

/// Why an IMAP connection failed or ended, as a label of `maildt_imap_connection_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionFailure {
    Dns,
    Connect,
    Timeout,
    Tls,
    /// The login was refused.
    Auth,
    /// The folder cannot be opened.
    Folder,
    /// The server ended the connection.
    Closed,
    /// The server refused a command or answered what RFC 9051 does not allow.
    Protocol,
    Other,
}

impl Word for ConnectionFailure {
    const ALL: &'static [Self] = &[
        Self::Dns,
        Self::Connect,
        Self::Timeout,
        Self::Tls,
        Self::Auth,
        Self::Folder,
        Self::Closed,
        Self::Protocol,
        Self::Other,
    ];
}

impl ConnectionFailure {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Auth => "auth",
            Self::Folder => "folder",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Other => "other",
        }
    }
}

/// A watched account.
#[derive(Debug)]
pub struct MailboxMetrics {
    pub(super) detection_lag: Histogram<13>,
    pub(super) foreign_tokens: Counter,
    pub(super) failures: Each<ConnectionFailure, Counter, 9>,
    pub(super) folders: Named<FolderMetrics>,
}

impl Default for MailboxMetrics {
    fn default() -> Self {
        Self {
            detection_lag: Histogram::new(&LAG),
            foreign_tokens: Counter::default(),
            failures: Each::from_fn(Counter::default),
            folders: Named::default(),
        }
    }
}

impl MailboxMetrics {
    /// From INTERNALDATE, corrected by the mailbox's clock offset, to the moment when the message was seen.
    pub fn detection_lag(&self, lag: Duration) {
        self.detection_lag.observe(lag);
    }

    /// A token that did not verify.
    pub fn foreign_token(&self) {
        self.foreign_tokens.add(1);
    }

    pub fn connection_failure(&self, reason: ConnectionFailure) {
        self.failures.count(reason);
    }

    /// The watched folder `name`, made when first asked for.
    pub fn folder(&self, name: &str) -> Arc<FolderMetrics> {
        self.folders.get(name)
    }

    /// The folder is watched no more: its series go.
    pub fn remove_folder(&self, name: &str) {
        self.folders.remove(name);
    }
}

/// One watched folder.
#[derive(Debug)]
pub struct FolderMetrics {
    pub(super) up: Gauge,
    pub(super) last_sync: Gauge,
}

impl Default for FolderMetrics {
    fn default() -> Self {
        let folder = Self { up: Gauge::default(), last_sync: Gauge::default() };
        folder.imap_up(false);
        folder
    }
}

impl FolderMetrics {
    /// Whether the folder can be looked into now.
    pub fn imap_up(&self, up: bool) {
        self.up.set(f64::from(u8::from(up)));
    }

    /// A whole round of looking was completed.
    pub fn last_sync(&self, at: Timestamp) {
        self.last_sync.set_time(at);
    }
}

/// A way to notify people.
#[derive(Debug, Default)]
pub struct ChannelMetrics {
    pub(super) delivered: Counter,
    pub(super) failed: Counter,
}

impl ChannelMetrics {
    /// A message was taken over by the channel.
    pub fn notification(&self) {
        self.delivered.add(1);
    }

    /// An attempt failed.
    pub fn failure(&self) {
        self.failed.add(1);
    }
}

/// The connections of the database pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolConnections {
    pub idle: usize,
    pub active: usize,
}

type PoolView = Box<dyn Fn() -> PoolConnections + Send + Sync>;

/// The database as we see it.
pub struct DatabaseMetrics {
    pool: OnceLock<PoolView>,
    pub(super) acquire: Histogram<13>,
    errors: Mutex<BTreeMap<&'static str, u64>>,
}

impl fmt::Debug for DatabaseMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseMetrics").finish_non_exhaustive()
    }
}

impl Default for DatabaseMetrics {
    fn default() -> Self {
        Self { pool: OnceLock::new(), acquire: Histogram::new(&PHASE), errors: Mutex::default() }
    }
}

impl DatabaseMetrics {
    /// How to read the pool's state at a scrape, without any I/O. The first one counts.
    pub fn watch_pool(&self, view: impl Fn() -> PoolConnections + Send + Sync + 'static) {
        let _ = self.pool.set(Box::new(view));
    }

    /// How long it took to get a connection from the pool.
    pub fn acquired(&self, duration: Duration) {
        self.acquire.observe(duration);
    }

    /// Operations whose failures are counted, so that their series start at 0.
    pub fn declare_operations(&self, operations: &[&'static str]) {
        let mut errors = self.errors.lock().unwrap_or_else(PoisonError::into_inner);
        for operation in operations {
            errors.entry(operation).or_default();
        }
    }

    /// An operation failed.
    pub fn error(&self, operation: &'static str) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner).entry(operation).or_default() += 1;
    }

    pub fn connections(&self) -> Option<PoolConnections> {
        self.pool.get().map(|view| view())
    }

    pub(super) fn errors(&self) -> BTreeMap<&'static str, u64> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
