//! The engine: what was seen and what became of each submission, turned into transitions, verdicts and numbers.
//!
//! One task owns the probes of the active instance, so that no two events race. It decides in memory, by the pure rules of
//! [`crate::domain`], and writes through a journal; the counters move and the messages are cleaned up
//! only after the commit. While the database is away it goes on deciding about what it has.

mod alerts;
pub mod clock;
mod commit;
mod desk;
mod journal;
mod sight;
mod standing;
mod table;
mod upkeep;
mod verdict;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::complaint::Complaint;
use crate::domain::alert::{Book, Occurrence};
use crate::domain::id::ProbeId;
use crate::domain::probe::{Event, Probe, State};
use crate::domain::recipient::Recipient;
use crate::domain::retry::{self, Rhythm, Tried};
use crate::domain::submission::{Attempt, Outcome};
use crate::imap::{self, Found};
use crate::metrics::{Metrics, Readiness};
use crate::store::{Fence, Keys, Sample, Store};

pub use alerts::{Alerts, Unwritten};
pub use standing::Standings;

use clock::DatabaseClock;
use desk::{Desk, Desks};
use journal::{Journal, Then};
use table::Table;

/// What the scheduler and the senders tell the engine.
#[derive(Debug)]
pub enum Message {
    /// A probe was claimed: its row says `sending`, and it is about to be sent.
    Claimed(Box<Probe>, Option<Box<Recipient>>),
    /// A submission ended at this moment.
    Attempted { id: ProbeId, attempt: Box<Attempt>, ended: Instant },
    /// Recipients were added, changed or removed.
    RecipientsChanged(Vec<Recipient>),
    /// Something that the alert channels tell about themselves.
    Heard(Box<Occurrence>),
}

/// What the engine tells the scheduler: the row of a deferred probe says `sending` again, and it is to be sent.
#[derive(Debug)]
pub struct Retry {
    pub probe: Probe,
    pub address: Arc<str>,
}

/// How many submissions a sender can begin now; `None` when it is not configured.
pub type Room = Box<dyn Fn(&str) -> Option<usize> + Send>;

/// Why the engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was told to stop and everything is written, or the time for that was over.
    Stopped,
    /// Another instance holds the lease.
    Deposed,
}

/// The pauses and bounds that the engine goes by.
#[derive(Clone, Debug)]
pub struct Pace {
    pub sender_retry: Vec<Duration>,
    pub deferred_retry: Vec<Duration>,
    pub send_window: Duration,
    pub round_gap: Duration,
    pub verdict: Duration,
    pub drain: Duration,
    /// History older than this is removed.
    pub retention: Duration,
    /// A mailbox that cannot be read for longer makes its recipients `unknown`.
    pub unobserved: Duration,
}

impl Pace {
    /// The longest pause that a retry is ever planned for.
    fn longest_retry(&self) -> Duration {
        let pauses = self.sender_retry.iter().chain(&self.deferred_retry);
        pauses.max().copied().unwrap_or_default().mul_f64(1.2)
    }
}

/// A mailbox to work with.
pub struct Watched {
    pub name: Arc<str>,
    pub watch: imap::Watch,
    /// The folders that take part in each round.
    pub folders: Vec<String>,
    pub outlook: Arc<imap::Outlook>,
    /// The first attempt of the oldest probe of the last minutes, judged or not.
    pub recent: Option<jiff::Timestamp>,
}

/// What the engine is made of.
pub struct Parts {
    pub store: Store,
    pub fence: Fence,
    pub keys: Arc<Keys>,
    pub metrics: Arc<Metrics>,
    pub readiness: watch::Sender<Readiness>,
    pub pace: Pace,
    pub clock: DatabaseClock,
    pub open: Vec<Probe>,
    pub standings: Standings,
    pub alerts: Alerts,
    pub watched: Vec<Watched>,
    pub messages: mpsc::UnboundedReceiver<Message>,
    pub sightings: mpsc::Receiver<imap::Event>,
    pub retries: mpsc::UnboundedSender<Retry>,
    pub room: Room,
    /// To be cancelled when every mailbox has been observed once.
    pub observed: CancellationToken,
    /// Cancelled when the whole program stops: then draining has a limit.
    pub hurry: CancellationToken,
}

/// See the module.
pub struct Engine {
    store: Store,
    fence: Fence,
    keys: Arc<Keys>,
    metrics: Arc<Metrics>,
    readiness: watch::Sender<Readiness>,
    pace: Pace,
    clock: DatabaseClock,
    table: Table,
    journal: Journal,
    desks: Desks,
    standings: Standings,
    book: Book,
    senders: HashSet<Arc<str>>,
    outbox: watch::Sender<u64>,
    memory: watch::Sender<Unwritten>,
    messages: mpsc::UnboundedReceiver<Message>,
    sightings: mpsc::Receiver<imap::Event>,
    retries: mpsc::UnboundedSender<Retry>,
    room: Room,
    observed: CancellationToken,
    hurry: CancellationToken,
    /// Probes of which a change was refused: what is known of them has a gap, so they are never told missing.
    tainted: HashSet<ProbeId>,
    /// Sightings of probes that are not in memory, until their rows are read.
    unknown: Vec<(ProbeId, Box<Found>)>,
    lookup: Option<Lookup>,
    complaint: Complaint,
    clock_sample: Option<Question<Sample>>,
    marks: Option<Question<()>>,
    strays: Option<Question<Vec<Probe>>>,
}

/// A question that is with the database.
type Question<T> = tokio::task::JoinHandle<Result<T, crate::store::Error>>;
/// Sightings and the rows of their probes.
type Identified = (Vec<(ProbeId, Box<Found>)>, Result<Vec<Probe>, crate::store::Error>);
type Lookup = tokio::task::JoinHandle<Identified>;

impl Engine {
    /// Takes over the open probes: those that were being sent are `unconfirmed` from now on, as nobody knows how far they
    /// got.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let desks =
            parts.watched.into_iter().map(|watched| (watched.name.clone(), Desk::new(watched))).collect();
        let mut engine = Self {
            journal: Journal::new(parts.store.clone(), parts.fence),
            store: parts.store,
            fence: parts.fence,
            keys: parts.keys,
            metrics: parts.metrics,
            readiness: parts.readiness,
            pace: parts.pace,
            clock: parts.clock,
            table: Table::default(),
            desks,
            standings: parts.standings,
            book: parts.alerts.book,
            senders: parts.alerts.senders,
            outbox: parts.alerts.outbox,
            memory: parts.alerts.memory,
            messages: parts.messages,
            sightings: parts.sightings,
            retries: parts.retries,
            room: parts.room,
            observed: parts.observed,
            hurry: parts.hurry,
            tainted: HashSet::new(),
            unknown: Vec::new(),
            lookup: None,
            complaint: Complaint::default(),
            clock_sample: None,
            marks: None,
            strays: None,
        };
        engine.show_incidents();
        engine.heed_recipients(&parts.alerts.recipients);
        engine.take_over(parts.open);
        engine.note_observed();
        engine
    }

    fn take_over(&mut self, open: Vec<Probe>) {
        let left_over = open.iter().filter(|probe| probe.state == State::Sending).count();
        if left_over > 0 {
            info!(probes = left_over, "submissions cut off by the last stop are unconfirmed from now on");
        }
        for probe in open {
            self.adopt(probe);
        }
        self.look_back();
    }

    /// Takes in a probe as its row has it.
    fn adopt(&mut self, probe: Probe) {
        let now = Instant::now();
        let (id, state) = (probe.id, probe.state);
        if self.table.get(id).is_some() {
            return;
        }
        let deadline = match state {
            // Never later than a retry is planned at most: the database's clock may have been set back.
            State::Deferred => {
                probe.next_attempt_at.map(|at| self.clock.instant(at).min(now + self.pace.longest_retry()))
            }
            _ if state.is_open() => probe.deadline_at.map(|at| self.clock.instant(at)),
            _ => None,
        };
        if let (true, Some(desk), Some(accepted)) =
            (state.is_open(), self.desks.get(&probe.mailbox), probe.accepted_at)
        {
            desk.outlook.expect(id, self.clock.instant(accepted));
        }
        if state.is_open() {
            self.standings.opened(&probe);
        }
        self.table.insert(probe, deadline, now);
        if state == State::Sending {
            self.abandoned(id, now);
        }
    }

    /// A submission whose end nobody saw: it may have arrived, and is waited for like any other.
    fn abandoned(&mut self, id: ProbeId, ended: Instant) {
        let at = self.clock.at(ended);
        self.apply(id, Event::Abandoned { at }, Then::default());
        self.await_arrival(id, ended);
    }

    /// Sets the deadline of a probe that may arrive from now on.
    fn await_arrival(&mut self, id: ProbeId, ended: Instant) {
        let Some(tracked) = self.table.get(id) else { return };
        if matches!(tracked.probe.state, State::Accepted | State::Unconfirmed) {
            let deadline = ended + tracked.probe.threshold;
            self.table.set_deadline(id, Some(deadline));
        }
    }

    /// Works until `stop` is cancelled and everything is drained, or until another instance takes over.
    pub async fn run(mut self, stop: CancellationToken) -> End {
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beat: u64 = 0;
        loop {
            let ended = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                written = self.journal.write() => self.written(written),
                Some(message) = self.messages.recv() => { self.hear(message); None }
                found = finished(&mut self.lookup) => { self.identified(found); None }
                sample = answered(&mut self.clock_sample) => { self.correct_clock(sample); None }
                strays = answered(&mut self.strays) => { self.take_in(strays); None }
                kept = finished(&mut self.marks) => { self.marks_kept(kept.is_some_and(|kept| kept.is_ok())); None }
                Some(event) = self.sightings.recv(), if self.has_room() => { self.watched(event); None }
                _ = tick.tick() => {
                    beat += 1;
                    self.beat(beat);
                    None
                }
            };
            if let Some(end) = ended {
                return end;
            }
        }
        self.drain().await
    }

    /// Whether more can be taken in from the mailboxes; what cannot waits there.
    fn has_room(&self) -> bool {
        const UNKNOWN: usize = 4096;
        !self.journal.is_full() && self.unknown.len() < UNKNOWN
    }

    fn beat(&mut self, beat: u64) {
        let now = Instant::now();
        self.look_up_unknown();
        self.judge(now);
        if beat.is_multiple_of(8) {
            self.sample_clock();
            self.table.sweep(now);
            self.observe_mailboxes(now);
            self.look_after_incidents();
        }
        if beat.is_multiple_of(20) {
            self.look_back();
            self.keep_marks();
        }
        if beat.is_multiple_of(120) {
            self.look_for_strays();
        }
    }

    /// What is still to come from the senders is waited for, then everything is written. That has a limit only when the
    /// whole program stops; a change of the configuration waits for the database.
    async fn drain(mut self) -> End {
        let (hurry, limit) = (self.hurry.clone(), self.pace.drain);
        let too_long = async {
            hurry.cancelled().await;
            tokio::time::sleep(limit).await;
        };
        tokio::pin!(too_long);
        let joined = self.book.flush();
        self.write_down(joined);
        let mut senders_done = false;
        while !(senders_done && self.journal.is_empty()) {
            tokio::select! {
                biased;
                message = self.messages.recv(), if !senders_done => match message {
                    Some(message) => self.hear(message),
                    None => senders_done = true,
                },
                written = self.journal.write() => if let Some(end) = self.written(written) { return end },
                () = &mut too_long => {
                    warn!("stopped before everything was written: what is missing is found again in the mailboxes, or unconfirmed");
                    break;
                }
            }
        }
        let end = tokio::time::Instant::now() + limit / 2;
        // Twice: a mark ripens from one call to the next, and everything is written by now.
        self.keep_marks();
        let _ = tokio::time::timeout_at(end, finished(&mut self.marks)).await;
        self.keep_marks();
        let _ = tokio::time::timeout_at(end, finished(&mut self.marks)).await;
        End::Stopped
    }

    fn hear(&mut self, message: Message) {
        let now = Instant::now();
        match message {
            Message::Claimed(probe, recipient) => {
                if let Some(recipient) = recipient {
                    self.standings.meet(&recipient);
                    if !self.book.knows(recipient.id) {
                        self.book.meet(&recipient);
                    }
                }
                self.standings.opened(&probe);
                self.table.insert(*probe, None, now);
            }
            Message::Attempted { id, attempt, ended } => self.attempted(id, *attempt, ended),
            Message::RecipientsChanged(recipients) => {
                self.standings.set_recipients(&recipients);
                self.heed_recipients(&recipients);
            }
            Message::Heard(occurrence) => self.hear_of(*occurrence),
        }
    }

    fn attempted(&mut self, id: ProbeId, attempt: Attempt, ended: Instant) {
        let at = self.clock.at(ended);
        let Some(tracked) = self.table.get_mut(id) else { return };
        let since = match attempt.outcome {
            Outcome::Refused { .. } | Outcome::Failed { .. } => *tracked.failing_since.get_or_insert(ended),
            _ => ended,
        };
        let tried = Tried {
            attempts: tracked.probe.attempts,
            faults: tracked.probe.faults,
            waited: ended.saturating_duration_since(since),
            now: at,
        };
        let rhythm = Rhythm {
            sender: &self.pace.sender_retry,
            deferred: &self.pace.deferred_retry,
            window: self.pace.send_window,
        };
        let next = retry::next(&attempt.outcome, tried, rhythm, rand::random());
        self.apply(id, Event::Attempted { at, attempt, next }, Then::default());
        if let Some(tracked) = self.table.get_mut(id)
            && tracked.probe.state == State::Accepted
        {
            tracked.accepted = Some(ended);
        }
        self.await_arrival(id, ended);
    }
}

/// The result of a task, once; pends while there is none.
async fn finished<T>(task: &mut Option<tokio::task::JoinHandle<T>>) -> Option<T> {
    let Some(running) = task.as_mut() else { return std::future::pending().await };
    let result = running.await;
    *task = None;
    result.ok()
}

/// As [`finished`], for a question to the database that is simply asked again later when it failed.
async fn answered<T>(task: &mut Option<Question<T>>) -> Option<T> {
    finished(task).await.and_then(Result::ok)
}
