//! Those who tell people, as part of a term: the dispatch of alerts, and the heartbeat.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::engine::Message;
use crate::engine::clock::DatabaseClock;
use crate::notify::{dispatch, heartbeat};
use crate::store::{Fence, Store};

use super::Service;

/// See the module.
pub(super) struct Telling {
    dispatch: JoinHandle<()>,
    heartbeat: JoinHandle<()>,
    stop: CancellationToken,
}

impl Telling {
    /// Starts both. The engine hears what becomes of the channels; it is not kept waiting for that when it drains.
    pub(super) fn start(
        service: &Service,
        store: &Store,
        fence: Fence,
        config: &Arc<Config>,
        clock: DatabaseClock,
        engine: &mpsc::UnboundedSender<Message>,
    ) -> Self {
        let engine = engine.downgrade();
        let tell = move |occurrence| {
            if let Some(engine) = engine.upgrade() {
                let _ = engine.send(Message::Heard(Box::new(occurrence)));
            }
        };
        let parts = dispatch::Parts {
            store: store.clone(),
            fence,
            config: Arc::clone(config),
            metrics: Arc::clone(&service.metrics),
            board: Arc::clone(&service.board),
            clock,
            tell: Arc::new(tell),
            written: service.outbox.subscribe(),
            hurry: service.stop.clone(),
        };
        let (readiness, board) = (service.readiness.subscribe(), Arc::clone(&service.board));
        let stop = CancellationToken::new();
        Self {
            dispatch: tokio::spawn(dispatch::run(parts, stop.clone())),
            heartbeat: tokio::spawn(heartbeat::run(Arc::clone(config), readiness, board)),
            stop,
        }
    }

    /// Resolves when the dispatch ends by itself: another instance holds the lease, or it died.
    pub(super) async fn ended(&mut self) -> Result<(), JoinError> {
        (&mut self.dispatch).await
    }

    /// No more pings, and no message is begun any more.
    pub(super) fn stop(&self) {
        self.heartbeat.abort();
        self.stop.cancel();
    }

    /// Waits until what is under way has ended and is written down; once `hurry` is cancelled no longer than `limit`.
    pub(super) async fn drain(self, limit: Duration, hurry: &CancellationToken) {
        let Self { mut dispatch, .. } = self;
        if dispatch.is_finished() {
            return;
        }
        tokio::select! {
            _ = &mut dispatch => {}
            () = async { hurry.cancelled().await; tokio::time::sleep(limit).await } => dispatch.abort(),
        }
    }
}
