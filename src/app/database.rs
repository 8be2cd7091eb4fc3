//! Bringing the database up: the private one or somebody's, migrated.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio_postgres::config::{Host, SslMode};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::config::{Config, Database, DatabaseUrl};
use crate::metrics::readiness::DatabaseState;
use crate::metrics::{Metrics, PoolConnections};
use crate::postgres::{self, Plan, Private};
use crate::store::{Error, OPERATIONS, Observer, Store};

use super::Service;

/// Connections at most: claims, saves, look-ups and the lease never wait for one another.
const CONNECTIONS: usize = 8;
/// Connections at most for the admin UI, beside those of the work.
const PAGES_CONNECTIONS: usize = 4;

/// Tells the metrics about the pool.
struct Reporter(Arc<Metrics>);

impl Observer for Reporter {
    fn acquired(&self, wait: Duration) {
        self.0.database().acquired(wait);
    }

    fn failed(&self, operation: &'static str) {
        self.0.database().error(operation);
    }
}

/// Makes the database usable, however long it takes; `None` when told to stop meanwhile.
///
/// # Errors
/// When waiting cannot help: no server binaries, a newer schema, a refused migration.
pub(super) async fn open(
    service: &Service,
    config: &Config,
    tracker: &TaskTracker,
    stop_private: &CancellationToken,
) -> anyhow::Result<Option<Store>> {
    let (connect, tls) = match &config.database {
        Database::Url(url) => by_url(url, config),
        Database::Private => {
            let Some(connect) = start_private(service, config, tracker, stop_private).await? else {
                return Ok(None);
            };
            (connect, None)
        }
    };
    service.metrics.database().declare_operations(OPERATIONS);
    let observer = Arc::new(Reporter(Arc::clone(&service.metrics)));
    let limit = config.limits.database;
    let pages = Store::new(connect.clone(), tls.clone(), PAGES_CONNECTIONS, limit, observer.clone())
        .context("DATABASE_URL cannot be used")?;
    let store =
        Store::new(connect, tls, CONNECTIONS, limit, observer).context("DATABASE_URL cannot be used")?;
    let pool = store.clone();
    service.metrics.database().watch_pool(move || {
        let status = pool.pool_status();
        PoolConnections { active: status.in_use, idle: status.idle }
    });
    let mut pause = config.limits.database_retry_min;
    loop {
        let migrated = tokio::select! {
            () = service.stop.cancelled() => return Ok(None),
            migrated = store.migrate() => migrated,
        };
        match migrated {
            Ok(()) => {
                service.readiness.send_modify(|state| state.database = DatabaseState::Ready);
                service.pages.send_replace(Some(pages));
                info!("database ready");
                return Ok(Some(store));
            }
            Err(error @ (Error::NewerSchema { .. } | Error::Migration(_))) => return Err(error.into()),
            Err(error) => {
                warn!(reason = %error, retry_in_s = pause.as_secs_f64(), "the database cannot be used yet; no probe is sent meanwhile");
                tokio::select! {
                    () = service.stop.cancelled() => return Ok(None),
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(config.limits.database_retry_max);
            }
        }
    }
}

/// A handle that counts nothing to the database of `DATABASE_URL`, or to the private one of a service that is running.
pub(super) fn store(config: &Config) -> Result<Store, Error> {
    struct Nobody;
    impl Observer for Nobody {
        fn acquired(&self, _: Duration) {}
        fn failed(&self, _: &'static str) {}
    }
    let (connect, tls) = match &config.database {
        Database::Url(url) => by_url(url, config),
        Database::Private => (postgres::running(&config.data_dir), None),
    };
    Store::new(connect, tls, 1, config.limits.database, Arc::new(Nobody))
}

/// How to reach the database of `DATABASE_URL`. On this machine TLS is used only where it is asked for: a server's
/// self-made certificate would be refused, and there is no wire to listen to.
fn by_url(url: &DatabaseUrl, config: &Config) -> (tokio_postgres::Config, Option<rustls::ClientConfig>) {
    let mut connect = url.config.clone();
    let local = connect.get_hostaddrs().iter().all(std::net::IpAddr::is_loopback)
        && connect.get_hosts().iter().all(|host| match host {
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            Host::Unix(_) => true,
        });
    if !url.tls || (local && connect.get_ssl_mode() == SslMode::Prefer) {
        connect.ssl_mode(SslMode::Disable);
        return (connect, None);
    }
    (connect, Some((*config.tls).clone()))
}

async fn start_private(
    service: &Service,
    config: &Config,
    tracker: &TaskTracker,
    stop_private: &CancellationToken,
) -> anyhow::Result<Option<tokio_postgres::Config>> {
    let mut pause = config.limits.database_retry_min;
    loop {
        let plan = Plan::new(config.data_dir.clone())?;
        match Private::start(plan).await {
            Ok(private) => {
                let connect = private.config();
                let stop = stop_private.clone();
                tracker.spawn(async move {
                    if let Err(reason) = private.supervise(stop).await {
                        error!(%reason, "the private PostgreSQL did not stop in order");
                    }
                });
                return Ok(Some(connect));
            }
            Err(reason) if reason.needs_operator() => return Err(reason.into()),
            Err(reason) => {
                warn!(%reason, retry_in_s = pause.as_secs_f64(), "the private PostgreSQL does not start");
                tokio::select! {
                    () = service.stop.cancelled() => return Ok(None),
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(config.limits.database_retry_max);
            }
        }
    }
}
