//! Every metric in one struct, and the listener that shows them.
//!
//! The parts that do the work hold an [`Arc<Metrics>`](Metrics) and tell it what happened in terms of the domain. A
//! scrape reads the numbers from memory: it touches neither database nor network and holds no lock while it writes.
//! Names, labels and help texts stand in one table, `metrics/families.rs`.

mod exposition;
mod families;
pub mod listener;
mod negotiation;
mod process;
pub mod readiness;
mod recipient;
mod routes;
mod service;
#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
mod value;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

pub use exposition::{Compression, Exposition};
pub use negotiation::Format;
pub(crate) use negotiation::accepts_gzip;
pub use readiness::Readiness;
pub use recipient::{
    AuthMethod, AuthResult, Glance, LastValues, RecipientLabels, RecipientMetrics, RecipientSettings,
};
pub use routes::{ListenerState, router};
pub use service::{
    ChannelMetrics, ConnectionFailure, DatabaseMetrics, FolderMetrics, MailboxMetrics, PoolConnections,
    SenderMetrics,
};

use crate::domain::id::RecipientId;
use service::Named;
use value::{Histogram, LAG, unix_seconds};

/// Which program this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    pub version: &'static str,
    pub revision: &'static str,
}

/// The protocol for which an account's server showed a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Smtp,
    Imap,
}

impl Protocol {
    fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
        }
    }
}

#[derive(Debug, Default)]
struct Recipients {
    by_id: HashMap<RecipientId, Arc<RecipientMetrics>>,
    /// What a scrape shows: never two recipients of one name, which would spoil the whole scrape.
    by_name: BTreeMap<Arc<str>, Arc<RecipientMetrics>>,
}

/// Every metric of the program.
#[derive(Debug)]
pub struct Metrics {
    build: Build,
    /// Seconds since the epoch.
    started: f64,
    recipients: RwLock<Recipients>,
    senders: Named<SenderMetrics>,
    mailboxes: Named<MailboxMetrics>,
    channels: Named<ChannelMetrics>,
    /// Seconds since the epoch by account.
    certificates: Mutex<BTreeMap<(Arc<str>, Protocol), i64>>,
    incidents: Mutex<BTreeMap<&'static str, u64>>,
    scheduler_lag: Histogram<13>,
    database: DatabaseMetrics,
    active: AtomicBool,
    reload_successful: AtomicBool,
}

impl Metrics {
    /// `started` is the wall-clock time of the process's start.
    pub fn new(build: Build, started: Timestamp) -> Self {
        Self {
            build,
            started: unix_seconds(started),
            recipients: RwLock::default(),
            senders: Named::default(),
            mailboxes: Named::default(),
            channels: Named::default(),
            certificates: Mutex::default(),
            incidents: Mutex::default(),
            scheduler_lag: Histogram::new(&LAG),
            database: DatabaseMetrics::default(),
            active: AtomicBool::new(false),
            reload_successful: AtomicBool::new(true),
        }
    }

    /// Makes the series of a recipient, counters at 0. Called again with other settings, the counters go on; with another
    /// name, they start anew under it and the old series go.
    pub fn register_recipient(&self, id: RecipientId, settings: &RecipientSettings) -> Arc<RecipientMetrics> {
        let name = label(&settings.labels.name);
        let mut guard = self.recipients.write().unwrap_or_else(PoisonError::into_inner);
        let recipients = &mut *guard;
        if let Some(known) = recipients.by_id.get(&id).filter(|known| known.name == name) {
            known.configure(settings);
            return Arc::clone(known);
        }
        recipients.forget(id);
        let made = Arc::new(RecipientMetrics::new(Arc::clone(&name), settings));
        recipients.by_id.insert(id, Arc::clone(&made));
        recipients.by_name.insert(name, Arc::clone(&made));
        made
    }

    /// The handle of a registered recipient; `None` after its removal.
    pub fn recipient(&self, id: RecipientId) -> Option<Arc<RecipientMetrics>> {
        let recipients = self.recipients.read().unwrap_or_else(PoisonError::into_inner);
        recipients.by_id.get(&id).map(Arc::clone)
    }

    /// All series of the recipient go.
    pub fn remove_recipient(&self, id: RecipientId) {
        self.recipients.write().unwrap_or_else(PoisonError::into_inner).forget(id);
    }

    /// This instance does not work any more: no recipient has series here.
    pub fn clear_recipients(&self) {
        *self.recipients.write().unwrap_or_else(PoisonError::into_inner) = Recipients::default();
    }

    /// The submission account `name`, made when first asked for.
    pub fn sender(&self, name: &str) -> Arc<SenderMetrics> {
        self.senders.get(name)
    }

    /// The account is no longer configured: its series go.
    pub fn remove_sender(&self, name: &str) {
        self.senders.remove(name);
        self.remove_certificate(name, Protocol::Smtp);
    }

    /// The watched account `name`, made when first asked for.
    pub fn mailbox(&self, name: &str) -> Arc<MailboxMetrics> {
        self.mailboxes.get(name)
    }

    /// The account is no longer configured: its series go.
    pub fn remove_mailbox(&self, name: &str) {
        self.mailboxes.remove(name);
        self.remove_certificate(name, Protocol::Imap);
    }

    /// The notification channel `name`, made when first asked for.
    pub fn channel(&self, name: &str) -> Arc<ChannelMetrics> {
        self.channels.get(name)
    }

    /// The channel is no longer configured: its series go.
    pub fn remove_channel(&self, name: &str) {
        self.channels.remove(name);
    }

    /// Expiry of the certificate that an account's server showed, seconds since the epoch.
    pub fn certificate_not_after(&self, account: &str, protocol: Protocol, not_after: i64) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        certificates.insert((label(account), protocol), not_after);
    }

    fn remove_certificate(&self, account: &str, protocol: Protocol) {
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        certificates.remove(&(label(account), protocol));
    }

    /// From the moment when a probe was due to the moment when it was claimed.
    pub fn scheduler_lag(&self, lag: Duration) {
        self.scheduler_lag.observe(lag);
    }

    pub fn database(&self) -> &DatabaseMetrics {
        &self.database
    }

    /// Whether this instance holds the lease.
    pub fn set_active(&self, active: bool) {
        self.active.store(active, Relaxed);
    }

    /// Whether the last reading of the configuration went well.
    pub fn set_reload_successful(&self, successful: bool) {
        self.reload_successful.store(successful, Relaxed);
    }

    /// Open incidents of a kind; the series exists once it was told.
    pub fn set_incidents_open(&self, kind: &'static str, open: u64) {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner).insert(kind, open);
    }

    pub fn build(&self) -> Build {
        self.build
    }

    fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    fn is_reload_successful(&self) -> bool {
        self.reload_successful.load(Relaxed)
    }

    /// Expiry of the certificates that were shown, seconds since the epoch, by account.
    pub fn certificates(&self) -> BTreeMap<(Arc<str>, Protocol), i64> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn incidents_open(&self) -> BTreeMap<&'static str, u64> {
        self.incidents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Each recipient in short, by name.
    pub fn glances(&self) -> Vec<Glance> {
        self.exposed_recipients().iter().map(|recipient| recipient.glance()).collect()
    }

    fn exposed_recipients(&self) -> Vec<Arc<RecipientMetrics>> {
        let recipients = self.recipients.read().unwrap_or_else(PoisonError::into_inner);
        recipients.by_name.values().map(Arc::clone).collect()
    }
}

impl Recipients {
    fn forget(&mut self, id: RecipientId) {
        let Some(old) = self.by_id.remove(&id) else { return };
        if self.by_name.get(&old.name).is_some_and(|shown| Arc::ptr_eq(shown, &old)) {
            self.by_name.remove(&old.name);
        }
    }
}

/// A label value that Prometheus can read: its parser takes a NUL for the end of the text.
fn label(value: &str) -> Arc<str> {
    if value.contains('\0') { value.replace('\0', "\u{fffd}").into() } else { value.into() }
}
