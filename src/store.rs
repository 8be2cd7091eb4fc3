//! The database: pool, transactions, migrations. All SQL of the program is in `store/`, one function a statement.
//!
//! Every call has a client-side limit; a connection on which anything failed is closed, not returned to the pool, as nobody
//! knows what it is still waiting for. Statements that need not know each other's answers are sent together: on a busy day
//! the waits cost more than the work.

mod board;
mod cases;
mod channels;
mod edits;
mod fence;
mod folders;
mod health;
mod history;
mod incidents;
mod keys;
mod lease;
mod migrate;
mod newest;
mod operations;
mod outbox;
mod probe_list;
mod probe_view;
mod probes;
mod recipients;
mod requests;
mod retention;
mod roster;
mod row;
mod schedule;
mod sessions;

use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{ClientWrapper, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use futures_util::future::join;
use jiff::Timestamp;
use tokio_postgres::NoTls;
use tokio_postgres_rustls::MakeRustlsConnect;

pub use board::{BoardData, BoardRow, Dot, Last};
pub use cases::{Case, Choice, LOST_FOR_DAYS, Notice, Which};
pub use channels::ChannelHealth;
pub use edits::{Edited, Footprint, Switch};
pub use fence::Fence;
pub use folders::FolderMark;
pub use health::{ChannelQueue, HealthData, LeaseView, Muted, SendFault, SenderHealth};
pub use history::{Entry, Part, Period, Place, Point, Reach};
pub use keys::Keys;
pub use lease::Tenure;
pub use operations::OPERATIONS;
pub use outbox::{Closing, Pending, Queue, Settlement, Told};
pub use probe_list::ProbeList;
pub use probe_view::{Made, Owner, ProbeView, Stage};
pub use probes::{Memory, Save, Saved};
pub use recipients::Provisioning;
pub use requests::{RUNS_OUT, Requested};
pub use roster::Roster;
pub use schedule::{Claim, Claimed, Outstanding};
pub use sessions::{Attempt, SessionKey};

/// Why a database call gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database did not answer within {0:?}")]
    TimedOut(Duration),
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error("the database refused {operation}: {reason}")]
    Refused { operation: &'static str, reason: String },
    /// Another instance holds the lease: what was to be written is not ours to write any more.
    #[error("this instance does not hold the lease any more")]
    Fenced,
    #[error(
        "the schema `maildt` is at version {found}, which this program (up to {known}) does not know; start the newer program that made it, or restore a backup from before"
    )]
    NewerSchema { found: i32, known: i32 },
    #[error("a migration failed: {0}")]
    Migration(String),
    #[error("a row does not make sense: {0}")]
    Row(String),
}

impl Error {
    /// The label of `maildt_db_errors_total` tells the operation; this tells whether trying again can help.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(self, Self::TimedOut(_) | Self::Unreachable(_))
    }
}

/// What the pool is doing, for the metrics.
#[derive(Clone, Copy, Debug)]
pub struct PoolStatus {
    pub in_use: usize,
    pub idle: usize,
}

/// What the database's clock said.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// On our monotonic clock.
    pub at: Instant,
    /// On the database's clock.
    pub time: Timestamp,
    /// How long the question took: the pair is exact to half of this.
    pub took: Duration,
}

/// Hears of every call: how long it waited for a connection, and what failed.
pub trait Observer: Send + Sync + 'static {
    fn acquired(&self, wait: Duration);
    fn failed(&self, operation: &'static str);
}

/// A handle to the database; cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    limit: Duration,
    observer: Arc<dyn Observer>,
}

impl Store {
    /// Prepares a pool of `size` connections; nothing is connected yet.
    ///
    /// `tls` is used as `sslmode` asks; on a Unix socket and to loopback only if it says `require`.
    ///
    /// # Errors
    /// When the configuration cannot make a pool.
    pub fn new(
        mut config: tokio_postgres::Config,
        tls: Option<rustls::ClientConfig>,
        size: usize,
        limit: Duration,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        config.connect_timeout(limit).application_name("maildt");
        // A paused process must not keep others waiting for the locks of its open transaction.
        // No statement of ours is worth compiling. The server gives up with us: a statement that nobody waits for keeps its locks otherwise.
        let options = format!(
            "{} -c idle_in_transaction_session_timeout=10s -c lock_timeout=4s -c statement_timeout={} -c timezone=UTC -c jit=off",
            config.get_options().unwrap_or_default(),
            limit.as_millis().max(1)
        );
        config.options(options.trim());
        let method = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = match tls {
            Some(tls) => Manager::from_config(config, MakeRustlsConnect::new(tls), method),
            None => Manager::from_config(config, NoTls, method),
        };
        let pool = Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(limit))
            .create_timeout(Some(limit))
            .recycle_timeout(Some(limit))
            .build()
            .map_err(|e| Error::Unreachable(e.to_string()))?;
        Ok(Self { pool, limit, observer })
    }

    #[must_use]
    pub fn pool_status(&self) -> PoolStatus {
        let status = self.pool.status();
        PoolStatus { in_use: status.size.saturating_sub(status.available), idle: status.available }
    }

    /// Database time, and the moment on our monotonic clock that it belongs to.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(&self) -> Result<Sample, Error> {
        self.run("now", async |client| {
            let statement = client.prepare_cached("-- now()\nselect clock_timestamp()").await?;
            let before = Instant::now();
            let row = client.query_one(&statement, &[]).await?;
            let took = before.elapsed();
            Ok(Sample { at: before + took / 2, time: row.try_get(0)?, took })
        })
        .await
    }

    /// Runs `work` on a connection, within the limit.
    async fn run<T>(
        &self,
        operation: &'static str,
        work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T, Problem>,
    ) -> Result<T, Error> {
        let start = Instant::now();
        let connection = self.limited(async { self.pool.get().await.map_err(Problem::from) }).await;
        self.observer.acquired(start.elapsed());
        let result = match connection {
            Ok(connection) => {
                let mut loan = Loan(Some(connection));
                let result = self.limited(loan.lend(work)).await;
                if result.is_ok() {
                    loan.give_back();
                }
                result
            }
            Err(problem) => Err(problem),
        };
        result.map_err(|problem| {
            let error = problem.name(operation);
            if !matches!(error, Error::Fenced) {
                self.observer.failed(operation);
            }
            error
        })
    }

    /// Runs `work` in one transaction, within the limit. An error rolls it back. When the limit ends during the commit, the
    /// transaction may or may not have happened: callers can tell by what they find afterwards.
    async fn run_tx<T>(
        &self,
        operation: &'static str,
        work: impl AsyncFnOnce(&Tx<'_>) -> Result<T, Problem>,
    ) -> Result<T, Error> {
        self.run(operation, async |client| {
            let tx = Tx(client);
            // Sent together and executed in order: the first statement does not wait for the answer to this one.
            let opening = async { tx.batch_execute("begin").await.map_err(Problem::from) };
            let (begun, result) = join(opening, work(&tx)).await;
            begun?;
            let result = result?;
            tx.batch_execute("commit").await?;
            Ok(result)
        })
        .await
    }

    async fn limited<T>(&self, work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
        tokio::time::timeout(self.limit, work)
            .await
            .unwrap_or(Err(Problem::Ours(Error::TimedOut(self.limit))))
    }
}

/// An error on its way to getting its operation's name.
enum Problem {
    Ours(Error),
    Database(tokio_postgres::Error),
}

impl Problem {
    fn name(self, operation: &'static str) -> Error {
        match self {
            Self::Ours(error) => error,
            Self::Database(error) => match error.as_db_error() {
                Some(refusal) if is_outage(refusal.code()) => {
                    Error::Unreachable(refusal.message().to_owned())
                }
                Some(refusal) => Error::Refused { operation, reason: refusal.message().to_owned() },
                None if error.is_closed() || has_io_cause(&error) => Error::Unreachable(chain(&error)),
                None => Error::Refused { operation, reason: chain(&error) },
            },
        }
    }
}

/// Whether a refusal means "not now": everything but a fault of the data or of the statement itself (classes 22, 23 and
/// 42). Shutdown, recovery, a full disk, a standby that takes no writes, a withdrawn permission: it is tried again.
fn is_outage(code: &tokio_postgres::error::SqlState) -> bool {
    let ours = ["22", "23", "42"].iter().any(|class| code.code().starts_with(class));
    !ours || *code == tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE
}

/// Whether the connection failed, rather than the statement.
fn has_io_cause(error: &dyn std::error::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if cause.is::<std::io::Error>() {
            return true;
        }
        source = cause.source();
    }
    false
}

/// An error and its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Ours(error)
    }
}

impl From<tokio_postgres::Error> for Problem {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(error)
    }
}

impl From<deadpool_postgres::PoolError> for Problem {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        use deadpool_postgres::PoolError as P;
        match error {
            P::Backend(error) => Self::Database(error),
            P::Timeout(_) => Self::Ours(Error::Unreachable("no connection in time".to_owned())),
            other => Self::Ours(Error::Unreachable(other.to_string())),
        }
    }
}

/// A connection in a transaction, as the statements take it. It rolls back by being closed: see [`Loan`].
struct Tx<'a>(&'a ClientWrapper);

impl Deref for Tx<'_> {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        self.0
    }
}

/// A connection of the pool while somebody works on it. Unless the work ends well it is closed: nobody knows what it is
/// still waiting for, or in which transaction it is.
struct Loan(Option<Object>);

impl Loan {
    async fn lend<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut ClientWrapper) -> Result<T, Problem>,
    ) -> Result<T, Problem> {
        match &mut self.0 {
            Some(connection) => work(connection).await,
            None => Err(Problem::Ours(Error::Unreachable("the connection is closed".to_owned()))),
        }
    }

    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}
