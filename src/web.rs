//! The admin UI: pages that are rendered here, work without JavaScript, and read the database.
//!
//! Every request passes the [`gate`]: it tells who asks, refuses what comes from foreign sites, reads the body within its
//! limits, lets nobody without a session past the login, and gives each answer its headers. Pages behind it need not think of
//! any of this, and a new one cannot forget it.

mod api;
mod assets;
mod auth;
mod board;
mod cookie;
mod failure;
mod gate;
mod health;
mod history;
mod incidents;
mod layout;
mod live;
mod origin;
mod password;
mod probe;
mod proxy;
mod quiet;
mod recipients;
mod redirect;
mod settings;
mod states;
mod visit;
mod words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::listener::{self, ListenerLimits};
use crate::metrics::readiness::DatabaseState;
use crate::metrics::{Build, Metrics, Readiness};
use crate::store::Store;

use failure::Failure;
use live::Live;
use password::Passwords;
use settings::Trials;

/// What the pages show, and whom they let in.
pub struct Site {
    build: Build,
    config: watch::Receiver<Arc<Config>>,
    readiness: watch::Receiver<Readiness>,
    /// A pool of the pages' own, so that no flood of requests keeps the engine waiting; `None` before it can be used.
    store: watch::Receiver<Option<Store>>,
    passwords: Passwords,
    /// The router of the container's network, where it has one.
    gateway: Option<std::net::IpAddr>,
    live: Live,
    metrics: Arc<Metrics>,
    trials: Trials,
}

impl Site {
    pub fn new(
        metrics: Arc<Metrics>,
        config: watch::Receiver<Arc<Config>>,
        readiness: watch::Receiver<Readiness>,
        store: watch::Receiver<Option<Store>>,
        stop: CancellationToken,
    ) -> Self {
        let (passwords, gateway) = (Passwords::default(), proxy::container_gateway());
        let live = Live::new(rand::random(), stop);
        let (build, trials) = (metrics.build(), Trials::default());
        Self { build, config, readiness, store, passwords, gateway, live, metrics, trials }
    }

    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.borrow())
    }

    /// The database, if it can be expected to answer.
    fn store(&self) -> Result<Store, Failure> {
        let state = self.readiness.borrow().database;
        let store = self.store.borrow().clone();
        match store {
            Some(store) if state == DatabaseState::Ready => Ok(store),
            Some(_) => Err(Failure::database()),
            None => Err(Failure::starting()),
        }
    }
}

/// Serves the admin UI until it is told to stop.
///
/// # Errors
/// As [`listener::serve`].
pub async fn serve(listener: TcpListener, site: Site) -> io::Result<()> {
    let site = Arc::new(site);
    let warm = Arc::clone(&site);
    // The first login shall not take twice as long as the others.
    tokio::spawn(async move { warm.passwords.prepare(&warm.config().admin).await });
    tokio::spawn(live::watch(Arc::clone(&site)));
    let shutdown = site.live.stop.clone();
    let limits = ListenerLimits {
        // A body, then a handler, then the way of the answer to a slow client.
        response: gate::BODY_TIME + gate::HANDLER_TIME + Duration::from_secs(30),
        ..ListenerLimits::default()
    };
    listener::serve("admin UI", limits, listener, router(site), shutdown).await
}

fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(board::page))
        .route("/rows", get(board::rows))
        .route("/events", get(live::events))
        .route("/incidents", get(incidents::page))
        .route("/probes/{id}", get(probe::page))
        .route("/probes/{id}/part", get(probe::part))
        .route("/probes/{id}/way", get(probe::part_way))
        .route("/settings", get(settings::page))
        .route("/recipients/{id}/history", get(history::page))
        .route("/recipients/{id}/history.csv", get(history::csv))
        .merge(recipients::routes())
        .route("/settings/test", post(settings::send_test))
        .route("/login", get(auth::form).post(auth::log_in))
        .route("/logout", post(auth::log_out))
        .route("/assets/{digest}/{name}", get(assets::serve))
        .merge(api::routes())
        .fallback(async || Failure::not_found())
        .with_state(Arc::clone(&site))
        .layer(from_fn_with_state(gate::Gate { site, handler: gate::HANDLER_TIME }, gate::pass))
}
