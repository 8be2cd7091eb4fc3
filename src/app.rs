//! The composition root: builds the parts, starts them, keeps them running, and stops them in order.
//!
//! The only module that knows everything. [`serve`] is the life of the service: listener, database, then one
//! [`term`] of office after the other for as long as the lease is ours.

mod check_config;
mod database;
mod demo;
mod logging;
mod office;
mod reload;
mod signals;
mod telling;
mod term;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::cli;
use crate::clock;
use crate::config::{Config, Problems, Purpose};
use crate::engine::Unwritten;
use crate::listener::bind;
use crate::metrics::listener;
use crate::metrics::{Build, ListenerState, Metrics, Readiness};
use crate::notify::board::Board;
use crate::notify::emergency;
use crate::store::Store;
use crate::web::{self, Site};

pub use check_config::check_config;
pub use demo::demo;
pub use logging::init as init_logging;

/// Version and revision of this program.
pub const BUILD: Build = Build { version: env!("CARGO_PKG_VERSION"), revision: cli::REVISION };

/// Where the configuration comes from, so that it can be read again.
#[derive(Clone, Debug)]
pub struct Origin {
    pub file: Option<PathBuf>,
    /// In place of the process's environment: the demo's settings.
    pub environment: Option<Vec<(String, String)>>,
    pub purpose: Purpose,
}

impl Origin {
    /// Reads file and environment.
    ///
    /// # Errors
    /// With every problem that the configuration has.
    pub fn load(&self) -> Result<Config, Problems> {
        match &self.environment {
            Some(environment) => Config::load(self.file.as_deref(), environment.clone(), self.purpose),
            None => Config::load(self.file.as_deref(), cli::environment(), self.purpose),
        }
    }
}

/// What every part of the running service shares.
struct Service {
    metrics: Arc<Metrics>,
    readiness: watch::Sender<Readiness>,
    config: watch::Sender<Arc<Config>>,
    /// How the alert channels fare.
    board: Arc<Board>,
    stop: CancellationToken,
    /// Counted up when there is something new to tell.
    outbox: watch::Sender<u64>,
    /// What the database does not know yet.
    memory: watch::Sender<Unwritten>,
    /// The database for the admin UI, as soon as it can be used.
    pages: watch::Sender<Option<Store>>,
}

/// Runs the service until a signal ends it.
///
/// # Errors
/// When an address is taken, the private database cannot be set up, the schema is a newer one, or a part dies.
pub async fn serve(origin: Origin, config: Config) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    signals::stop_on_signal(&stop)?;
    run(origin, config, stop).await
}

/// [`serve`] with the means to end it in one's own hands.
///
/// # Errors
/// As [`serve`].
pub async fn run(origin: Origin, config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    run_counting(origin, config, Arc::new(Metrics::new(BUILD, clock::now())), stop).await
}

/// [`run`] with metrics that somebody else reads as well.
async fn run_counting(
    origin: Origin,
    config: Config,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    for warning in config.warnings_at(clock::now()) {
        warn!("{warning}");
    }
    let (readiness, ready) = watch::channel(Readiness::default());
    let socket = bind("METRICS_LISTEN", config.metrics_listen).await?;
    let pages = bind("LISTEN", config.listen).await?;
    info!(version = BUILD.version, revision = BUILD.revision, "MailDT starts");
    info!(address = %socket.local_addr()?, "metrics listener ready");
    info!(address = %pages.local_addr()?, "admin UI ready");
    let listening = CancellationToken::new();
    let tracker = TaskTracker::new();
    let mut listener = tokio::spawn(listener::serve(
        socket,
        ListenerState::new(Arc::clone(&metrics), ready.clone()),
        listening.clone(),
    ));
    let config = Arc::new(config);
    let service = Arc::new(Service {
        metrics,
        board: Arc::new(Board::new(readiness.clone())),
        readiness,
        config: watch::Sender::new(Arc::clone(&config)),
        stop: stop.clone(),
        outbox: watch::Sender::default(),
        memory: watch::Sender::default(),
        pages: watch::Sender::default(),
    });
    let emergency = emergency::Parts {
        readiness: service.readiness.subscribe(),
        config: service.config.subscribe(),
        memory: service.memory.subscribe(),
        board: Arc::clone(&service.board),
        metrics: Arc::clone(&service.metrics),
    };
    let mut emergency = tokio::spawn(emergency::run(emergency, stop.clone()));
    let metrics = Arc::clone(&service.metrics);
    let site = Site::new(metrics, service.config.subscribe(), ready, service.pages.subscribe(), stop.clone());
    let mut pages = tokio::spawn(web::serve(pages, site));
    let database = CancellationToken::new();
    let work = async {
        let Some(store) = database::open(&service, &config, &tracker, &database).await? else {
            return Ok(());
        };
        reload::on_signal(&service, origin, store.clone(), &tracker)?;
        office::hold(&service, store).await
    };
    let result = tokio::select! {
        result = work => result,
        died = &mut listener => Err(anyhow::anyhow!("the metrics listener ended: {died:?}")),
        Err(died) = &mut emergency => Err(anyhow::anyhow!("the emergency watch died: {died:?}")),
        died = until_died(&mut pages, &stop) => Err(anyhow::anyhow!("the admin UI ended: {died:?}")),
    };
    if let Err(reason) = &result {
        error!(reason = format!("{reason:#}"), "MailDT stops");
    }
    // The metrics are told until the work is done, then the database goes.
    stop.cancel();
    emergency.abort();
    listening.cancel();
    if !pages.is_finished() {
        let _ = tokio::time::timeout(Duration::from_secs(4), pages).await;
    }
    database.cancel();
    tracker.close();
    if tokio::time::timeout(Duration::from_secs(15), tracker.wait()).await.is_err() {
        warn!("some parts did not stop in time");
    }
    if !listener.is_finished() {
        let _ = tokio::time::timeout(Duration::from_secs(3), listener).await;
    }
    if result.is_ok() {
        info!("MailDT has stopped");
    }
    result
}

/// Ends when `task` does, other than by the stop.
async fn until_died<T>(task: &mut JoinHandle<T>, stop: &CancellationToken) -> Result<T, JoinError> {
    let ended = task.await;
    if stop.is_cancelled() {
        std::future::pending::<()>().await;
    }
    ended
}
