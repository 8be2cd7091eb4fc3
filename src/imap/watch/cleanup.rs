//! Removing what was ours: messages whose arrival is committed, many at once, only when it delays no look.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tracing::warn;

use crate::config::Cleanup;
use crate::imap::error::Error;
use crate::imap::session::Session;
use crate::imap::uids::Uids;

/// How long released messages wait for others.
const GATHER: Duration = Duration::from_millis(200);
/// How many go at once.
const BATCH: usize = 500;
/// How many may wait; the oldest are forgotten, and stay in the mailbox.
const WAITING_MAX: usize = 100_000;
/// How often a refused clean-up is tried.
const TRIES: u32 = 4;
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Messages that wait for their clean-up.
#[derive(Debug, Default)]
pub(super) struct Releases {
    queue: Mutex<Queue>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Released>,
    /// When the next batch may go, while anything waits.
    due: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Released {
    uidvalidity: u32,
    uid: u32,
    tries: u32,
}

/// The folder as it is opened.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    pub uidvalidity: u32,
    pub is_read_only: bool,
}

impl Releases {
    pub(super) fn add(&self, uidvalidity: u32, uid: u32, now: Instant) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.waiting.len() >= WAITING_MAX {
            queue.waiting.pop_front();
        }
        queue.waiting.push_back(Released { uidvalidity, uid, tries: 0 });
        if queue.due.is_none() || queue.waiting.len() == BATCH {
            queue.due = Some(if queue.waiting.len() >= BATCH { now } else { now + GATHER });
            drop(queue);
            self.ready.notify_one();
        }
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.is_empty()
    }

    /// The folder's numbering began anew: what waits is not what it was.
    pub(super) fn clear(&self) {
        *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = Queue::default();
    }

    /// When the next batch may go.
    pub(super) fn due(&self) -> Option<Instant> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).due
    }

    /// Wakes when [`Releases::due`] has changed.
    pub(super) async fn changed(&self) {
        self.ready.notified().await;
    }

    fn take(&self) -> Vec<Released> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.waiting.len().min(BATCH);
        let batch = queue.waiting.drain(..count).collect();
        if queue.waiting.is_empty() {
            queue.due = None;
        }
        batch
    }

    fn put_back(&self, batch: impl Iterator<Item = Released>, due: Instant) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, released) in batch.enumerate() {
            queue.waiting.insert(index, released);
        }
        queue.due = (!queue.waiting.is_empty()).then_some(due);
    }

    /// Cleans up one batch. A refusal is logged and tried again later; it never ends the looking.
    ///
    /// # Errors
    /// When the session is lost.
    pub(super) async fn clean_up(
        &self,
        session: &mut Session,
        opening: Opening,
        cleanup: Cleanup,
        mailbox: &str,
    ) -> Result<(), Error> {
        let mut batch = self.take();
        // Under another UIDVALIDITY the same number is another message.
        batch.retain(|released| released.uidvalidity == opening.uidvalidity);
        if batch.is_empty() || opening.is_read_only {
            return Ok(());
        }
        let uids: Uids = batch.iter().map(|released| released.uid).collect();
        let Err(error) = apply(session, &uids, cleanup).await else { return Ok(()) };
        let is_refusal = matches!(error, Error::Refused { .. });
        let total = batch.len();
        let again = batch.into_iter().filter_map(|released| {
            let tries = released.tries + u32::from(is_refusal);
            (tries < TRIES).then_some(Released { tries, ..released })
        });
        self.put_back(again, Instant::now() + RETRY_AFTER);
        if !is_refusal {
            return Err(error);
        }
        warn!(mailbox, messages = total, %error, "clean-up of arrived probes was refused; they stay in the mailbox for now");
        Ok(())
    }
}

async fn apply(session: &mut Session, uids: &Uids, cleanup: Cleanup) -> Result<(), Error> {
    match cleanup {
        Cleanup::Keep => Ok(()),
        Cleanup::Seen => session.add_flag(uids, "\\Seen").await,
        Cleanup::Delete => {
            session.add_flag(uids, "\\Deleted").await?;
            // A plain EXPUNGE would remove what others have flagged.
            if session.has_capability("UIDPLUS") { session.expunge(uids).await } else { Ok(()) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn released_messages_gather_but_many_do_not_wait() {
        let now = Instant::now();
        let releases = Releases::default();
        assert_eq!(releases.due(), None);
        releases.add(1, 1, now);
        releases.add(1, 2, now + GATHER / 2);
        assert_eq!(releases.due(), Some(now + GATHER));
        for uid in 3..=500 {
            releases.add(1, uid, now);
        }
        assert_eq!(releases.due(), Some(now));
        releases.add(1, 501, now);
        assert_eq!(releases.take().len(), 500);
        assert_eq!(releases.due(), Some(now), "one is left");
        assert_eq!(releases.take().len(), 1);
        assert_eq!(releases.due(), None);
    }
}
