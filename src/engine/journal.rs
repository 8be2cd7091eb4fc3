//! What is decided and not yet in the database: saved in order, kept while the database is away.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::domain::alert::Change;
use crate::domain::probe::{Effect, Probe};
use crate::imap::MessageRef;
use crate::imap::watch::Place;
use crate::store::{self, Fence, Save, Saved, Store};

/// A message that may be cleaned up.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) mailbox: Arc<str>,
    pub(super) message: MessageRef,
}

/// What follows the commit of a transition.
#[derive(Clone, Debug, Default)]
pub(super) struct Then {
    /// The message that is cleaned up.
    pub(super) release: Option<Release>,
    /// The folder that waits for this save before its mark moves on.
    pub(super) holds: Option<Arc<Place>>,
    /// The next attempt begins, to this address.
    pub(super) starts: Option<Arc<str>>,
}

/// One transition on its way to its row, with what it means for incidents; or the latter alone.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// The probe as it shall be, with the version that the row has before.
    pub(super) probe: Option<Probe>,
    pub(super) changes: Vec<Change>,
    /// Told to the metrics after the commit.
    pub(super) effects: Vec<Effect>,
    pub(super) then: Then,
}

/// What came of writing a batch.
pub(super) enum Written {
    /// Entry by entry, in order.
    Done(Vec<(Entry, Saved)>),
    /// Nothing is known to be written; the entries are queued again.
    Delayed(store::Error),
    /// The lease is another's.
    Fenced,
    /// One entry alone was refused: it will never be written.
    Refused(Box<Entry>, store::Error),
}

/// A batch on its way to the database.
type Writing = JoinHandle<(Vec<Entry>, Result<Vec<Saved>, store::Error>)>;

/// The queue and the one write that may be under way.
pub(super) struct Journal {
    store: Store,
    fence: Fence,
    queue: VecDeque<Entry>,
    /// When the oldest entry has waited long enough for others.
    due: Option<Instant>,
    writing: Option<Writing>,
    failures: u32,
    /// When the first write failed of those that have failed since.
    stalled_since: Option<std::time::Instant>,
    /// After a refused batch: one at a time, to find the entry that is refused.
    single: bool,
}

impl Journal {
    /// Transitions in one transaction.
    const BATCH: usize = 256;
    /// Rows of incidents and notifications in one transaction.
    const CHANGES: usize = 1000;
    /// How long a transition waits for others to be written with it: a commit costs the same for one as for many.
    const GATHER: Duration = Duration::from_millis(20);
    /// Above this, nothing more is taken in from the mailboxes: the messages wait there.
    const FULL: usize = 20_000;

    pub(super) fn new(store: Store, fence: Fence) -> Self {
        Self {
            store,
            fence,
            queue: VecDeque::new(),
            due: None,
            writing: None,
            failures: 0,
            stalled_since: None,
            single: false,
        }
    }

    pub(super) fn push(&mut self, entry: Entry) {
        self.queue.push_back(entry);
        self.due.get_or_insert_with(|| Instant::now() + Self::GATHER);
    }

    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= Self::FULL
    }

    /// How many transitions are not written yet.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.writing.is_none()
    }

    /// Whether the last write failed: the database is away.
    pub(super) fn is_stalled(&self) -> bool {
        self.failures > 0
    }

    pub(super) fn stalled_since(&self) -> Option<std::time::Instant> {
        self.stalled_since
    }

    /// Writes the next batch and waits for it. Safe to drop while waiting: the write goes on and is waited for next time.
    /// Pends for ever when there is nothing to write.
    pub(super) async fn write(&mut self) -> Written {
        if self.writing.is_none() {
            if self.queue.is_empty() {
                std::future::pending::<()>().await;
            }
            if self.queue.len() < Self::BATCH
                && let Some(due) = self.due
            {
                tokio::time::sleep_until(due).await;
            }
            self.due = None;
            let size = if self.single { 1 } else { self.fitting() };
            let batch: Vec<Entry> = self.queue.drain(..size).collect();
            let (store, fence) = (self.store.clone(), self.fence);
            let pause = match self.failures {
                0 => Duration::ZERO,
                failures => Duration::from_millis(100 << failures.min(6)).min(Duration::from_secs(5)),
            };
            self.writing = Some(tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let save =
                    |entry: &Entry| Save { probe: entry.probe.clone(), changes: entry.changes.clone() };
                let saves: Vec<Save> = batch.iter().map(save).collect();
                let result = store.save(fence, &saves).await;
                (batch, result)
            }));
        }
        let Some(writing) = self.writing.as_mut() else { return std::future::pending().await };
        let ended = writing.await;
        self.writing = None;
        match ended {
            Ok((batch, result)) => self.settle(batch, result),
            // The task neither panics nor is aborted.
            Err(error) => Written::Delayed(store::Error::Unreachable(error.to_string())),
        }
    }

    /// How many entries make one transaction: what one of them brings along counts too.
    fn fitting(&self) -> usize {
        let mut changes = 0;
        let fits = self.queue.iter().take(Self::BATCH).take_while(|entry| {
            changes += entry.changes.len();
            changes <= Self::CHANGES
        });
        fits.count().max(1)
    }

    fn settle(&mut self, mut batch: Vec<Entry>, result: Result<Vec<Saved>, store::Error>) -> Written {
        match result {
            Ok(saved) => {
                self.failures = 0;
                self.stalled_since = None;
                self.single = false;
                Written::Done(batch.into_iter().zip(saved).collect())
            }
            Err(store::Error::Fenced) => Written::Fenced,
            Err(error) => {
                let alone = batch.len() == 1;
                if !error.is_outage()
                    && alone
                    && let Some(mut entry) = batch.pop()
                {
                    if entry.probe.is_some() && !entry.changes.is_empty() {
                        // Whichever of the two is refused, the other shall be written.
                        let changes = std::mem::take(&mut entry.changes);
                        self.queue.push_front(Entry { changes, ..Entry::default() });
                        self.queue.push_front(entry);
                        return Written::Delayed(error);
                    }
                    self.single = false;
                    return Written::Refused(Box::new(entry), error);
                }
                self.single = !error.is_outage();
                self.failures += u32::from(error.is_outage());
                if error.is_outage() {
                    self.stalled_since.get_or_insert_with(std::time::Instant::now);
                }
                for entry in batch.into_iter().rev() {
                    self.queue.push_front(entry);
                }
                Written::Delayed(error)
            }
        }
    }
}
