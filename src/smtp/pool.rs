//! The connections of one sender: a bounded number at once, reused while they are warm.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Limits, Sender};
use crate::domain::submission::{Attempt, Outcome, Phase, Reason};
use crate::smtp::mask::Mask;
use crate::smtp::run::Run;
use crate::smtp::session;
use crate::smtp::transaction::{Connection, Envelope, Fate, Mail};

/// How long a connection serves.
#[derive(Clone, Copy, Debug)]
pub struct Reuse {
    /// An idle connection is closed after this time. Shorter than any server's patience (RFC 5321, section 4.5.3.2.7 asks
    /// servers for five minutes), so that a reused connection is seldom a dead one.
    pub idle: Duration,
    /// A connection is closed after this many transactions; servers have such a limit too.
    pub transactions: u32,
}

impl Default for Reuse {
    fn default() -> Self {
        Self { idle: Duration::from_secs(30), transactions: 100 }
    }
}

/// The connections of one sender. Cloning is cheap and gives the same pool.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    sender: Arc<Sender>,
    tls: Arc<ClientConfig>,
    limits: Arc<Limits>,
    reuse: Reuse,
    mask: Mask,
    slots: Arc<Semaphore>,
    idle: Mutex<Idle>,
    stop: CancellationToken,
    farewells: TaskTracker,
}

#[derive(Default)]
struct Idle {
    connections: Vec<Connection>,
    /// A task is there that closes them in time.
    reaping: bool,
}

/// The right to one submission.
pub struct Slot {
    pool: Arc<Inner>,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    #[must_use]
    pub fn new(sender: Arc<Sender>, tls: Arc<ClientConfig>, limits: Arc<Limits>) -> Self {
        Self::with_reuse(sender, tls, limits, Reuse::default())
    }

    #[must_use]
    pub fn with_reuse(
        sender: Arc<Sender>,
        tls: Arc<ClientConfig>,
        limits: Arc<Limits>,
        reuse: Reuse,
    ) -> Self {
        Self(Arc::new(Inner {
            mask: Mask::new(&sender.account),
            slots: Arc::new(Semaphore::new(connections(&sender).into())),
            sender,
            tls,
            limits,
            reuse,
            idle: Mutex::default(),
            stop: CancellationToken::new(),
            farewells: TaskTracker::new(),
        }))
    }

    /// Whose connections these are.
    #[must_use]
    pub fn sender(&self) -> &Sender {
        &self.0.sender
    }

    /// How many submissions can start at once, so that no more are claimed than that.
    #[must_use]
    pub fn free(&self) -> usize {
        if self.0.stop.is_cancelled() { 0 } else { self.0.slots.available_permits() }
    }

    /// A slot, if one is free now.
    #[must_use]
    pub fn slot(&self) -> Option<Slot> {
        self.give(Arc::clone(&self.0.slots).try_acquire_owned().ok()?)
    }

    /// Waits for a slot; `None` once the pool drains.
    pub async fn acquire(&self) -> Option<Slot> {
        let waiting = self.0.stop.run_until_cancelled(Arc::clone(&self.0.slots).acquire_owned());
        self.give(waiting.await?.ok()?)
    }

    fn give(&self, permit: OwnedSemaphorePermit) -> Option<Slot> {
        let open = !self.0.stop.is_cancelled();
        open.then(|| Slot { pool: Arc::clone(&self.0), permit })
    }

    /// Gives out no more slots, says goodbye on idle connections and waits until `deadline` for submissions that are under
    /// way. Returns how many were still running then.
    pub async fn drain(&self, deadline: Instant) -> usize {
        let inner = &self.0;
        inner.stop.cancel();
        inner.quit_all().await;
        let all = connections(&inner.sender);
        // A submission that ends after this closes its own connection.
        match timeout_at(deadline.into(), inner.slots.acquire_many(all.into())).await {
            Ok(_) => 0,
            Err(_) => usize::from(all).saturating_sub(inner.slots.available_permits()),
        }
    }
}

impl Slot {
    /// Submits one message: composed, CRLF throughout, without the final dot.
    ///
    /// Dropping the future in the middle closes the connection; whether the server has the message is then unknown, so run
    /// it in a task of its own that nothing aborts.
    pub async fn submit(self, envelope: Envelope<'_>, message: &[u8]) -> Attempt {
        self.submit_until(envelope, message, &CancellationToken::new()).await
    }

    /// As [`Slot::submit`], but broken off when `abort` is cancelled: [`Outcome::Released`] before the message went out,
    /// [`Outcome::Ambiguous`] after.
    pub async fn submit_until(
        self,
        envelope: Envelope<'_>,
        message: &[u8],
        abort: &CancellationToken,
    ) -> Attempt {
        let mut run = Run::new(&self.pool.limits, &self.pool.mask);
        let result = match Mail::new(envelope, message) {
            Ok(mail) => match abort.run_until_cancelled(self.pool.transact(&mail, &mut run)).await {
                Some(result) => result,
                None => Err(run.broken_off()),
            },
            Err(outcome) => Err(outcome),
        };
        let (outcome, connection) = match result {
            Ok((outcome, connection)) => (outcome, Some(connection)),
            Err(outcome) => (outcome, None),
        };
        let attempt = run.finish(outcome);
        if let Some(mut connection) = connection {
            match connection.fate(&attempt.outcome, self.pool.reuse.transactions) {
                Fate::Keep => self.keep(connection),
                Fate::Quit => self.quit(connection),
                Fate::Drop => {}
            }
        }
        attempt
    }

    /// Connects and logs in on a new connection without sending anything, and leaves it for the next submission.
    ///
    /// # Errors
    /// With the outcome that a submission would have had.
    pub async fn log_in(self) -> Result<(), Outcome> {
        let mut run = Run::new(&self.pool.limits, &self.pool.mask);
        let connection = session::open(&self.pool.sender.account, &self.pool.tls, &mut run).await?;
        self.keep(connection);
        Ok(())
    }

    /// Leaves a connection for the next submission.
    fn keep(self, connection: Connection) {
        if let Some(unwanted) = self.pool.keep(connection) {
            self.quit(unwanted);
        }
    }

    /// Says goodbye behind the caller's back; the slot is taken until then, so that no connection is one too many.
    fn quit(self, connection: Connection) {
        let Self { pool, permit } = self;
        pool.farewells.spawn(async move {
            connection.quit().await;
            drop(permit);
        });
    }
}

impl Inner {
    /// One transaction. The connection comes back where there was one to the end; the caller sees to it.
    async fn transact(&self, mail: &Mail<'_>, run: &mut Run<'_>) -> Result<(Outcome, Connection), Outcome> {
        if let Some(mut connection) = self.warm() {
            match connection.mail(mail, run).await {
                // Nothing of this message was taken: the only case in which it is said again.
                Err(end) if is_dead(&end) => run.start_over(),
                Err(end) => return Ok((end, connection)),
                Ok(()) => return Ok((connection.deliver(mail, run).await, connection)),
            }
        }
        let mut connection = session::open(&self.sender.account, &self.tls, run).await?;
        let outcome = match connection.mail(mail, run).await {
            Ok(()) => connection.deliver(mail, run).await,
            Err(end) => end,
        };
        Ok((outcome, connection))
    }

    /// The warmest idle connection. Whether it is still alive turns out at MAIL.
    fn warm(&self) -> Option<Connection> {
        let connection = self.idle().connections.pop()?;
        (connection.idle_since().elapsed() < self.reuse.idle).then_some(connection)
    }

    /// Keeps a connection for the next submission; gives it back when the pool drains.
    fn keep(self: &Arc<Self>, mut connection: Connection) -> Option<Connection> {
        let mut idle = self.idle();
        // Asked under the lock: what `drain` does not find there, it has told to go.
        if self.stop.is_cancelled() {
            return Some(connection);
        }
        connection.rest();
        idle.connections.push(connection);
        if !std::mem::replace(&mut idle.reaping, true) {
            self.farewells.spawn(Arc::clone(self).reap());
        }
        None
    }

    /// Says goodbye on connections that were idle for too long, until there are none or the pool drains.
    async fn reap(self: Arc<Self>) {
        while let Some(due) = self.next_reaping() {
            if self.stop.run_until_cancelled(sleep_until(due.into())).await.is_none() {
                return;
            }
            let cold: Vec<_> = self
                .idle()
                .connections
                .extract_if(.., |idle| idle.idle_since().elapsed() >= self.reuse.idle)
                .collect();
            for connection in cold {
                connection.quit().await;
            }
        }
    }

    /// When the next idle connection is too old; without one the reaper's work is done.
    fn next_reaping(&self) -> Option<Instant> {
        let mut idle = self.idle();
        let oldest = idle.connections.iter().map(Connection::idle_since).min();
        idle.reaping = oldest.is_some();
        oldest.map(|since| since + self.reuse.idle)
    }

    async fn quit_all(&self) {
        let idle = std::mem::take(&mut self.idle().connections);
        futures_util::future::join_all(idle.into_iter().map(Connection::quit)).await;
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connections(sender: &Sender) -> u16 {
    u16::try_from(sender.connections).unwrap_or(u16::MAX).max(1)
}

/// Whether a reused connection gave no answer to MAIL, or told that it closes.
fn is_dead(end: &Outcome) -> bool {
    match end {
        Outcome::Refused { phase: Phase::Mail, reply, .. } => reply.code == 421,
        Outcome::Failed { phase: Phase::Mail, reason, .. } => *reason != Reason::Other,
        _ => false,
    }
}
