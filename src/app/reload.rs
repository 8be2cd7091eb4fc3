//! SIGHUP: reading the configuration again without losing a probe.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::clock;
use crate::config::Config;
use crate::metrics::readiness::Reload;
use crate::store::Store;

use super::{Origin, Service, office};

/// Re-reads the configuration at each SIGHUP. A refused one changes nothing and is told.
pub(super) fn on_signal(
    service: &Arc<Service>,
    origin: Origin,
    store: Store,
    tracker: &TaskTracker,
) -> anyhow::Result<()> {
    let mut hangups = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let service = Arc::clone(service);
    let started_with = Arc::clone(&service.config.borrow());
    let mut waits_for_start = false;
    tracker.spawn(async move {
        loop {
            tokio::select! {
                () = service.stop.cancelled() => return,
                _ = hangups.recv() => {}
            }
            let done = reload(&service, &origin, &store, &started_with).await;
            service.metrics.set_reload_successful(done.is_ok());
            match &done {
                Ok(_) => info!("configuration read again"),
                Err(reason) => error!("the configuration was not read again, nothing changed: {reason}"),
            }
            let at = clock::now();
            waits_for_start = *done.as_ref().unwrap_or(&waits_for_start);
            let reload = Reload { at, refused: done.err(), waits_for_start };
            service.readiness.send_modify(|readiness| readiness.reload = Some(reload));
        }
    });
    Ok(())
}

/// Tells whether some of the new configuration waits for the next start.
async fn reload(
    service: &Service,
    origin: &Origin,
    store: &Store,
    started_with: &Config,
) -> Result<bool, String> {
    let new = origin.load().map_err(|problems| problems.to_string())?;
    let recipients = store.recipients().await.map_err(|e| e.to_string())?;
    for recipient in recipients.iter().filter(|recipient| recipient.active && !recipient.provisioned) {
        for (kind, account, known) in [
            ("sender", &recipient.sender, new.senders.contains_key(&*recipient.sender)),
            ("mailbox", &recipient.mailbox, new.mailboxes.contains_key(&*recipient.mailbox)),
        ] {
            if !known {
                return Err(format!(
                    "{kind} {account} is gone but recipient {} uses it; move or pause the recipient first",
                    recipient.name
                ));
            }
        }
    }
    for warning in new.warnings_at(clock::now()) {
        warn!("{warning}");
    }
    let waits_for_start = needs_restart(started_with, &new);
    if waits_for_start {
        warn!(
            "DATABASE_URL, DATA_DIR, LISTEN, METRICS_LISTEN, LOG_LEVEL and LOG_FORMAT take effect at the next start"
        );
    }
    service.config.send_replace(Arc::new(new));
    office::provision(service, store).await;
    Ok(waits_for_start)
}

fn needs_restart(old: &Config, new: &Config) -> bool {
    old.data_dir != new.data_dir
        || old.listen != new.listen
        || old.metrics_listen != new.metrics_listen
        || old.log_level != new.log_level
        || old.log_format != new.log_format
        || format!("{:?}", old.database) != format!("{:?}", new.database)
}

/// Whether the watchers, the senders and the alert channels have to start anew.
pub(super) fn needs_new_term(old: &Config, new: &Config) -> bool {
    old.senders != new.senders
        || old.mailboxes != new.mailboxes
        || old.limits != new.limits
        || old.check_interval != new.check_interval
        || old.send_window != new.send_window
        || old.retention != new.retention
        || old.secret_key != new.secret_key
        || old.alerts != new.alerts
        || old.quiet != new.quiet
        || old.public_url != new.public_url
        || old.tz != new.tz
        || old.tls_ca_file != new.tls_ca_file
        // The file's content may have changed.
        || new.tls_ca_file.is_some()
}
