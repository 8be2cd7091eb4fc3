//! A submission account as the scheduler uses it: how much of what is due may be claimed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::domain::submission::{Attempt, Outcome};
use crate::smtp::{Envelope, Pool};

/// A submission account's pool, its reverse-path, and how busy it is.
#[derive(Clone)]
pub struct Outgoing {
    pub pool: Pool,
    pub from: Arc<str>,
    busy: Arc<Busy>,
}

#[derive(Default)]
struct Busy {
    /// Claimed and not ended.
    under_way: AtomicUsize,
    is_quick: AtomicBool,
}

impl Outgoing {
    /// A submission that is quick: while they are, a claimed probe may wait for the end of one.
    const QUICK: Duration = Duration::from_secs(1);

    #[must_use]
    pub fn new(pool: Pool, from: Arc<str>) -> Self {
        Self { pool, from, busy: Arc::default() }
    }

    /// How many probes may be claimed now: as many as can be sent at once. While submissions are quick, as many again: by
    /// the time that the next claim is committed a connection would have been idle for longer than it takes to send one.
    #[must_use]
    pub fn room(&self) -> usize {
        let connections = self.pool.sender().connections;
        let under_way = self.busy.under_way.load(Ordering::Relaxed);
        if self.busy.is_quick.load(Ordering::Relaxed) {
            (2 * connections).saturating_sub(under_way)
        } else {
            self.pool.free().min(connections.saturating_sub(under_way))
        }
    }

    /// Counts a claimed probe until what this gives is dropped; then `wake` may hear of the room that there is again.
    pub(super) fn take_up(&self, wake: Arc<Notify>) -> UnderWay {
        self.busy.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay { outgoing: self.clone(), wake }
    }
}

/// A probe that is claimed and whose submission has not ended.
pub(super) struct UnderWay {
    outgoing: Outgoing,
    wake: Arc<Notify>,
}

impl UnderWay {
    /// Submits, as soon as a connection is free, unless `abort` comes first.
    pub(super) async fn submit(&self, to: &str, message: &[u8], abort: &CancellationToken) -> Attempt {
        let pool = &self.outgoing.pool;
        let Some(Some(slot)) = abort.run_until_cancelled(pool.acquire()).await else {
            return Attempt::released();
        };
        let envelope = Envelope { from: &self.outgoing.from, to };
        let attempt = slot.submit_until(envelope, message, abort).await;
        let is_quick =
            matches!(attempt.outcome, Outcome::Accepted { .. }) && attempt.duration < Outgoing::QUICK;
        self.outgoing.busy.is_quick.store(is_quick, Ordering::Relaxed);
        attempt
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let busy = &self.outgoing.busy;
        let left = busy.under_way.fetch_sub(1, Ordering::Relaxed) - 1;
        // Where there was room all the time, the next probe is claimed when it is due. Only who waits for room is woken, once
        // for all the room that there is.
        let connections = self.outgoing.pool.sender().connections;
        let full = if busy.is_quick.load(Ordering::Relaxed) { connections } else { connections - 1 };
        if left == full {
            self.wake.notify_one();
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{Account, Limits, Sender, TlsMode};
    use crate::secret::Secret;

    fn outgoing(connections: usize) -> Outgoing {
        let account = Account {
            host: "127.0.0.1".to_owned(),
            port: 1,
            user: String::new(),
            pass: Secret::new(""),
            tls: TlsMode::None,
        };
        let from = "monitor@example.org";
        let sender = Sender { name: "default".to_owned(), account, from: from.to_owned(), connections };
        let tls = crate::tls::client_config(None).unwrap();
        Outgoing::new(Pool::new(Arc::new(sender), tls, Arc::new(Limits::default())), Arc::from(from))
    }

    fn is_woken(wake: &Notify) -> bool {
        futures_util::FutureExt::now_or_never(wake.notified()).is_some()
    }

    #[tokio::test]
    async fn no_more_than_can_be_sent_at_once_unless_submissions_are_quick() {
        let outgoing = outgoing(4);
        let wake = Arc::new(Notify::new());
        assert_eq!(outgoing.room(), 4);
        let under_way: Vec<_> = (0..4).map(|_| outgoing.take_up(Arc::clone(&wake))).collect();
        assert_eq!(outgoing.room(), 0);
        outgoing.busy.is_quick.store(true, Ordering::Relaxed);
        assert_eq!(outgoing.room(), 4);
        drop(under_way);
        assert_eq!(outgoing.room(), 8);
    }

    #[tokio::test]
    async fn who_waits_for_room_is_woken_once_and_nobody_else_is() {
        for (is_quick, full) in [(false, 4), (true, 8)] {
            let outgoing = outgoing(4);
            outgoing.busy.is_quick.store(is_quick, Ordering::Relaxed);
            let wake = Arc::new(Notify::new());
            let mut under_way: Vec<_> = (0..full).map(|_| outgoing.take_up(Arc::clone(&wake))).collect();
            let mut woken_at = Vec::new();
            while under_way.pop().is_some() {
                if is_woken(&wake) {
                    woken_at.push(outgoing.room());
                }
            }
            assert_eq!(woken_at, [if is_quick { 4 } else { 1 }], "quick: {is_quick}");
        }
    }

    #[tokio::test]
    async fn a_fault_ends_the_haste() {
        let outgoing = outgoing(2);
        outgoing.busy.is_quick.store(true, Ordering::Relaxed);
        let under_way = outgoing.take_up(Arc::default());
        let attempt =
            under_way.submit("someone@example.net", b"X: y\r\n\r\n", &CancellationToken::new()).await;
        assert!(matches!(attempt.outcome, Outcome::Failed { .. }), "{:?}", attempt.outcome);
        drop(under_way);
        assert_eq!(outgoing.room(), 2);
    }
}
