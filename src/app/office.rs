//! Being the active instance, or standing by.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use crate::complaint::Complaint;
use crate::engine::End;
use crate::metrics::readiness::{DatabaseState, Role};
use crate::store::{Error, Fence, Store, Tenure};

use super::{Service, term};

/// Works whenever the lease can be had, until told to stop.
///
/// # Errors
/// When a part of the work dies.
pub(super) async fn hold(service: &Arc<Service>, store: Store) -> anyhow::Result<()> {
    let holder = Uuid::new_v4();
    provision(service, &store).await;
    let mut standing_by = false;
    let mut complaint = Complaint::default();
    loop {
        let config = Arc::clone(&service.config.borrow());
        let limits = &config.limits;
        let asked = store.take_lease(holder, None, limits.lease, limits.lease_renew);
        let Some(tenure) = service.stop.run_until_cancelled(asked).await else { return Ok(()) };
        match tenure {
            Ok(Tenure::Begun(fence) | Tenure::Held(fence)) => {
                standing_by = false;
                database_is(service, DatabaseState::Ready);
                serve_term(service, &store, holder, fence).await?;
            }
            Ok(Tenure::Other) => {
                database_is(service, DatabaseState::Ready);
                if !standing_by {
                    info!(
                        "another instance holds the lease; standing by until it ends (after a kill, a few seconds)"
                    );
                    service.readiness.send_modify(|state| state.role = Role::Standby);
                }
                standing_by = true;
            }
            Err(reason) => {
                database_is(service, DatabaseState::Unreachable);
                complaint.say(&reason, "the lease cannot be asked for; no probe is sent meanwhile");
            }
        }
        tokio::select! {
            () = service.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(limits.lease_renew / 2) => {}
        }
    }
}

/// Brings the file's recipients into the database, as soon as it can be reached.
pub(super) async fn provision(service: &Service, store: &Store) {
    let config = Arc::clone(&service.config.borrow());
    loop {
        #[expect(clippy::cast_precision_loss, reason = "a count of recipients")]
        let count = config.recipients.len().max(1) as f64;
        // Within a few seconds, so that what is wrong with all of them from the start on is one alert; more than a sender
        // can take wait for it anyway.
        let spread_s = ((count * 0.003).max(5.0) / count).min(0.1);
        match store.provision(&config.recipients, spread_s).await {
            Ok(done) => {
                if done != crate::store::Provisioning::default() {
                    info!(
                        added = done.added,
                        changed = done.changed,
                        paused = done.paused,
                        "recipients of the file"
                    );
                }
                return;
            }
            Err(reason) if reason.is_outage() => {
                warn!(%reason, "the file's recipients cannot be brought into the database yet");
                tokio::select! {
                    () = service.stop.cancelled() => return,
                    () = tokio::time::sleep(config.limits.database_retry_min) => {}
                }
            }
            Err(reason) => {
                warn!(%reason, "the file's recipients cannot be brought into the database");
                return;
            }
        }
    }
}

/// One lease: terms follow one another while the configuration changes and the lease stays ours.
async fn serve_term(service: &Arc<Service>, store: &Store, holder: Uuid, fence: Fence) -> anyhow::Result<()> {
    info!(epoch = fence.epoch, "this instance is active");
    let deposed = CancellationToken::new();
    let renewal = tokio::spawn(renew(Arc::clone(service), store.clone(), holder, fence, deposed.clone()));
    service.metrics.set_active(true);
    service.readiness.send_modify(|state| state.role = Role::Active);
    let result = loop {
        match term::run(service, store, fence, &deposed).await {
            Ok(End::Stopped) if !service.stop.is_cancelled() => {
                info!("working on with the new configuration");
            }
            other => break other,
        }
    };
    renewal.abort();
    let _ = renewal.await;
    service.metrics.set_active(false);
    service.readiness.send_modify(|state| {
        state.role = Role::Standby;
        state.watchers.clear();
        state.channels.clear();
    });
    match result? {
        End::Stopped => {
            let given_up = tokio::time::timeout(Duration::from_secs(1), store.give_up_lease(fence)).await;
            if !matches!(given_up, Ok(Ok(()))) {
                debug!("the lease is not given up; it expires by itself");
            }
        }
        End::Deposed => warn!("another instance has taken over; standing by"),
    }
    Ok(())
}

/// Renews the lease until it is another's. An outage of the database ends nothing: without it nobody else can take over
/// either, and every write checks the lease anyway.
async fn renew(service: Arc<Service>, store: Store, holder: Uuid, fence: Fence, deposed: CancellationToken) {
    let mut complaint = Complaint::default();
    loop {
        let limits = service.config.borrow().limits.clone();
        tokio::time::sleep(limits.lease_renew).await;
        match store.take_lease(holder, Some(fence), limits.lease, limits.lease_renew).await {
            Ok(Tenure::Held(_)) => {
                complaint.over("the lease is renewed again");
                // A database that takes the lease and no results is of no use either.
                let stalled = service.memory.borrow().stalled_since;
                let useless = stalled.is_some_and(|since| since.elapsed() >= limits.database * 2);
                database_is(
                    &service,
                    if useless { DatabaseState::Unreachable } else { DatabaseState::Ready },
                );
            }
            Ok(Tenure::Begun(_) | Tenure::Other) | Err(Error::Fenced) => {
                deposed.cancel();
                return;
            }
            Err(reason) => {
                database_is(&service, DatabaseState::Unreachable);
                complaint.say(&reason, "the lease cannot be renewed");
            }
        }
    }
}

fn database_is(service: &Service, state: DatabaseState) {
    service
        .readiness
        .send_if_modified(|readiness| std::mem::replace(&mut readiness.database, state) != state);
}
