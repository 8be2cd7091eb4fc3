//! The series of one recipient.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;

use super::label;
use super::value::{Counter, Each, Gauge, Histogram, LATENCY, Word, unix_seconds};
use crate::domain::id::ProbeId;
use crate::domain::submission::Reason;
use crate::domain::verdict::{Placement, Standing, Verdict};

impl Word for Verdict {
    const ALL: &'static [Self] = &Verdict::ALL;
}

impl Word for Reason {
    const ALL: &'static [Self] = &Reason::ALL;
}

impl Word for Placement {
    const ALL: &'static [Self] = &[Placement::Inbox, Placement::Junk, Placement::Other];
}

/// What Authentication-Results (RFC 8601) reports on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMethod {
    Spf,
    Dkim,
    Dmarc,
}

impl AuthMethod {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Dmarc => "dmarc",
        }
    }
}

/// The results of RFC 8601 (section 2.7), reduced to what calls for different action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthResult {
    Pass,
    Fail,
    None,
    /// `temperror`, `permerror`.
    Error,
}

impl AuthResult {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::None => "none",
            Self::Error => "error",
        }
    }
}

impl Word for (AuthMethod, AuthResult) {
    const ALL: &'static [Self] = &[
        (AuthMethod::Spf, AuthResult::Pass),
        (AuthMethod::Dkim, AuthResult::Pass),
        (AuthMethod::Dmarc, AuthResult::Pass),
        (AuthMethod::Spf, AuthResult::Fail),
        (AuthMethod::Dkim, AuthResult::Fail),
        (AuthMethod::Dmarc, AuthResult::Fail),
        (AuthMethod::Spf, AuthResult::None),
        (AuthMethod::Dkim, AuthResult::None),
        (AuthMethod::Dmarc, AuthResult::None),
        (AuthMethod::Spf, AuthResult::Error),
        (AuthMethod::Dkim, AuthResult::Error),
        (AuthMethod::Dmarc, AuthResult::Error),
    ];
}

/// The hops of a message that get a series each.
pub(super) const HOPS: usize = 8;

/// At most so many series for a recipient, whatever its mail looks like.
pub(super) const SERIES_LIMIT: usize = 60;

/// Series that every recipient has or reserves: six results, six other counters, the latency histogram (23 buckets, sum,
/// count), nine standings, four last values, info, interval, threshold, active, in flight.
pub(super) const FIXED_SERIES: usize = 6 + 6 + 25 + 9 + 4 + 5;

/// Who a recipient is, in the labels of its series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientLabels {
    /// The label `recipient`, unique among the recipients.
    pub name: String,
    /// Only where the name is the address; else empty.
    pub domain: String,
    pub sender: String,
    pub mailbox: String,
}

/// A recipient as it is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientSettings {
    pub labels: RecipientLabels,
    pub interval: Duration,
    pub threshold: Duration,
    pub active: bool,
}

/// Last values as the database remembers them, for the gauges after a start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LastValues {
    pub latency: Option<Duration>,
    pub success: Option<Timestamp>,
    pub send: Option<Timestamp>,
    pub next_probe: Option<Timestamp>,
}

/// The numbers of one recipient that tell its story in short.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Glance {
    pub name: Arc<str>,
    pub standing: Standing,
    /// How many probes had each result.
    pub results: Vec<(Verdict, u64)>,
    /// How many arrivals were timed by our own clock.
    pub timed: u64,
    /// Seconds.
    pub last_latency: Option<f64>,
    /// Attempts that were refused for now.
    pub deferred: u64,
    pub duplicates: u64,
}

/// The labels of `maildt_recipient_info`, which may change while the counters go on.
#[derive(Clone, Debug)]
pub(super) struct Info {
    pub(super) domain: Arc<str>,
    pub(super) sender: Arc<str>,
    pub(super) mailbox: Arc<str>,
}

/// A probe that stands for a bucket of the latency histogram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exemplar {
    pub(super) bucket: usize,
    pub(super) probe: ProbeId,
    pub(super) seconds: f64,
    /// Seconds since the epoch at which the probe was seen.
    pub(super) at: f64,
}

/// Counts what happens to the probes of one recipient. Cheap to share; no method waits for a scrape.
///
/// After a rename or a removal a handle kept elsewhere counts into the void, so ask
/// [`Metrics::recipient`](super::Metrics::recipient) each time.
#[derive(Debug)]
pub struct RecipientMetrics {
    pub(super) name: Arc<str>,
    info: RwLock<Info>,
    pub(super) interval: Gauge,
    pub(super) threshold: Gauge,
    active: AtomicBool,
    pub(super) results: Each<Verdict, Counter, 6>,
    pub(super) sent: Counter,
    pub(super) missing: Counter,
    pub(super) late: Counter,
    pub(super) duplicate: Counter,
    pub(super) misrouted: Counter,
    pub(super) skipped: Counter,
    pub(super) send_failures: Each<Reason, Counter, 9>,
    pub(super) placements: Each<Placement, Counter, 3>,
    auth: Each<(AuthMethod, AuthResult), Counter, 12>,
    hops: [Gauge; HOPS],
    pub(super) latency: Histogram<23>,
    exemplars: Mutex<Vec<Exemplar>>,
    pub(super) last_latency: Gauge,
    pub(super) last_success: Gauge,
    pub(super) last_send: Gauge,
    pub(super) next_probe: Gauge,
    standing: AtomicU8,
    in_flight: AtomicI64,
}

impl RecipientMetrics {
    pub(super) fn new(name: Arc<str>, settings: &RecipientSettings) -> Self {
        let metrics = Self {
            name,
            info: RwLock::new(Info::of(&settings.labels)),
            interval: Gauge::default(),
            threshold: Gauge::default(),
            active: AtomicBool::default(),
            results: Each::from_fn(Counter::default),
            sent: Counter::default(),
            missing: Counter::default(),
            late: Counter::default(),
            duplicate: Counter::default(),
            misrouted: Counter::default(),
            skipped: Counter::default(),
            send_failures: Each::from_fn(Counter::default),
            placements: Each::from_fn(Counter::default),
            auth: Each::from_fn(Counter::default),
            hops: Default::default(),
            latency: Histogram::new(&LATENCY),
            exemplars: Mutex::default(),
            last_latency: Gauge::default(),
            last_success: Gauge::default(),
            last_send: Gauge::default(),
            next_probe: Gauge::default(),
            standing: AtomicU8::default(),
            in_flight: AtomicI64::default(),
        };
        metrics.set_standing(Standing::Pending);
        metrics.configure(settings);
        metrics
    }

    /// Takes over changed settings; the name stays, and so do the counters.
    pub(super) fn configure(&self, settings: &RecipientSettings) {
        *self.info.write().unwrap_or_else(PoisonError::into_inner) = Info::of(&settings.labels);
        self.interval.set(settings.interval.as_secs_f64());
        self.threshold.set(settings.threshold.as_secs_f64());
        self.set_active(settings.active);
    }

    /// Paused or not.
    pub fn set_active(&self, active: bool) {
        self.active.store(active, Relaxed);
    }

    /// A probe was accepted by its submission server.
    pub fn sent(&self) {
        self.sent.add(1);
    }

    /// A probe got its one result. Not for probes that someone asked for by hand.
    pub fn result(&self, verdict: Verdict) {
        self.results.count(verdict);
    }

    /// A probe was proved absent.
    pub fn missing(&self) {
        self.missing.add(1);
    }

    /// A probe arrived after its deadline.
    pub fn late_arrival(&self) {
        self.late.add(1);
    }

    /// A probe that had arrived was seen once more.
    pub fn duplicate(&self) {
        self.duplicate.add(1);
    }

    /// A probe was found in a mailbox other than its recipient's.
    pub fn misrouted(&self) {
        self.misrouted.add(1);
    }

    /// Due times passed without a probe.
    pub fn skipped(&self, slots: u64) {
        self.skipped.add(slots);
    }

    /// An attempt to submit failed.
    pub fn send_failure(&self, reason: Reason) {
        self.send_failures.count(reason);
    }

    /// A probe was found in a folder of this kind.
    pub fn placement(&self, placement: Placement) {
        self.placements.count(placement);
    }

    /// What the receiving server found of the sender's authenticity.
    pub fn auth_result(&self, method: AuthMethod, result: AuthResult) {
        self.auth.count((method, result));
    }

    /// How long each hop of the last message took, in order; hops beyond the eighth have no series.
    pub fn hop_delays(&self, delays: &[Duration]) {
        for (index, gauge) in self.hops.iter().enumerate() {
            match delays.get(index) {
                Some(delay) => gauge.set(delay.as_secs_f64()),
                None => gauge.clear(),
            }
        }
    }

    /// A probe was seen live, `latency` after its acceptance and at the moment `at`.
    pub fn delivered(&self, latency: Duration, probe: ProbeId, at: Timestamp) {
        self.set_last_latency(latency);
        let exemplar = Exemplar {
            bucket: self.latency.observe(latency),
            probe,
            seconds: latency.as_secs_f64(),
            at: unix_seconds(at),
        };
        let mut exemplars = self.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        match exemplars.iter_mut().find(|other| other.bucket == exemplar.bucket) {
            Some(other) => *other = exemplar,
            None => exemplars.push(exemplar),
        }
    }

    /// A latency that is only an estimate: the last value, not part of the histogram.
    pub fn set_last_latency(&self, latency: Duration) {
        self.last_latency.set(latency.as_secs_f64());
    }

    pub fn set_last_success(&self, at: Timestamp) {
        self.last_success.set_time(at);
    }

    pub fn set_last_send(&self, at: Timestamp) {
        self.last_send.set_time(at);
    }

    /// When the next probe is due; `None` while none is planned.
    pub fn set_next_probe(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => self.next_probe.set_time(at),
            None => self.next_probe.clear(),
        }
    }

    /// Sets the gauges of last values that the database knows; the others stay as they are.
    pub fn restore(&self, last: LastValues) {
        if let Some(latency) = last.latency {
            self.set_last_latency(latency);
        }
        if let Some(at) = last.success {
            self.set_last_success(at);
        }
        if let Some(at) = last.send {
            self.set_last_send(at);
        }
        if last.next_probe.is_some() {
            self.set_next_probe(last.next_probe);
        }
    }

    pub fn set_standing(&self, standing: Standing) {
        let index = Standing::ALL.iter().position(|other| *other == standing);
        self.standing.store(index.and_then(|index| u8::try_from(index).ok()).unwrap_or_default(), Relaxed);
    }

    /// Probes without a result, as counted by someone who sees them all.
    pub fn set_in_flight(&self, probes: u32) {
        self.in_flight.store(i64::from(probes), Relaxed);
    }

    /// Probes that came or went.
    pub fn change_in_flight(&self, change: i32) {
        self.in_flight.fetch_add(i64::from(change), Relaxed);
    }

    pub(super) fn standing(&self) -> Standing {
        let index = usize::from(self.standing.load(Relaxed));
        Standing::ALL.get(index).copied().unwrap_or(Standing::Unknown)
    }

    pub(super) fn glance(&self) -> Glance {
        Glance {
            name: Arc::clone(&self.name),
            // First: whatever belongs to a result was counted before it.
            results: self.results.iter().map(|(verdict, n)| (verdict, n.get())).collect(),
            standing: self.standing(),
            timed: self.latency.observed().count(),
            last_latency: self.last_latency.get(),
            deferred: self.send_failures.get(Reason::Smtp4xx).map_or(0, Counter::get),
            duplicates: self.duplicate.get(),
        }
    }

    pub(super) fn in_flight(&self) -> i64 {
        self.in_flight.load(Relaxed).max(0)
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    pub(super) fn info(&self) -> Info {
        self.info.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn exemplars(&self) -> Vec<Exemplar> {
        self.exemplars.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Authentication results, as many as the limit of series leaves room for.
    pub(super) fn auth_shown(&self) -> impl Iterator<Item = ((AuthMethod, AuthResult), u64)> {
        self.auth.seen().take(self.room())
    }

    /// Hop number and delay in seconds, as many as the limit of series leaves room for. Hops yield first: a missing hop
    /// hides a detail, a missing reason or folder would hide an alert.
    pub(super) fn hops_shown(&self) -> impl Iterator<Item = (usize, f64)> {
        let room = self.room().saturating_sub(self.auth.seen().count());
        let known = self.hops.iter().enumerate().filter_map(|(index, hop)| Some((index + 1, hop.get()?)));
        known.take(room)
    }

    fn room(&self) -> usize {
        let taken = FIXED_SERIES + self.send_failures.seen().count() + self.placements.seen().count();
        SERIES_LIMIT.saturating_sub(taken)
    }
}

impl Info {
    fn of(labels: &RecipientLabels) -> Self {
        Self { domain: label(&labels.domain), sender: label(&labels.sender), mailbox: label(&labels.mailbox) }
    }
}
