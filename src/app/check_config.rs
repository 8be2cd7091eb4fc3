//! `maildt check-config`: reads the configuration and tries every connection, one line a check.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::database;
use crate::clock;
use crate::config::{Cleanup, Config, Database, Mailbox, Sender};
use crate::domain::submission::Outcome;
use crate::imap::watch::Setting;
use crate::imap::{Event, Outlook, Watch};
use crate::postgres::Plan;
use crate::smtp::Pool;

/// Prints the effective settings and the result of each check. Tells whether all went well.
pub async fn check_config(config: &Config, offline: bool) -> bool {
    for row in config.described() {
        println!("{:<24} {:<40} {}", row.name, row.value, row.source);
    }
    let now = clock::now();
    for warning in config.warnings_at(now) {
        println!("WARN  {warning}");
    }
    for sentence in config.quiet.sentences(now) {
        println!("WARN  {sentence}");
    }
    println!("ok    configuration: {} recipients in the file", config.recipients.len());
    if offline {
        return true;
    }
    let mut well = say("database", database_answers(config).await);
    for (name, sender) in &config.senders {
        well &= say(&format!("sender {name}"), submission_opens(config, sender).await);
    }
    for (name, mailbox) in &config.mailboxes {
        well &= say(&format!("mailbox {name}"), mailbox_opens(config, mailbox).await);
    }
    well
}

fn say(what: &str, result: Result<String, String>) -> bool {
    let well = result.is_ok();
    let (Ok(text) | Err(text)) = result;
    println!("{:<5} {what}: {text}", if well { "ok" } else { "FAIL" });
    well
}

async fn database_answers(config: &Config) -> Result<String, String> {
    match &config.database {
        Database::Private => {
            // Starting it would get in the way of a running service; that it can be started is what counts.
            let plan = Plan::new(config.data_dir.clone()).map_err(|e| e.to_string())?;
            let there =
                |directory: &PathBuf| ["initdb", "postgres"].iter().all(|name| directory.join(name).exists());
            if !plan.binaries.iter().any(there) {
                return Err(
                    "no PostgreSQL server programs here; install the package postgresql, or set DATABASE_URL"
                        .to_owned(),
                );
            }
            Ok(format!("private PostgreSQL below {}", config.data_dir.display()))
        }
        Database::Url(url) => {
            let store = database::store(url, config).map_err(|e| e.to_string())?;
            let version = store.schema_version().await.map_err(|e| e.to_string())?;
            Ok(match version {
                Some(version) => format!("reached, schema maildt at version {version}"),
                None => "reached; the schema maildt is made at the first start".to_owned(),
            })
        }
    }
}

async fn submission_opens(config: &Config, sender: &Arc<Sender>) -> Result<String, String> {
    let pool = Pool::new(Arc::clone(sender), Arc::clone(&config.tls), Arc::new(config.limits.clone()));
    let Some(slot) = pool.slot() else {
        return Err("no connection allowed; set connections to 1 or more".to_owned());
    };
    let result = slot.log_in().await;
    pool.drain(std::time::Instant::now() + Duration::from_secs(1)).await;
    match &result {
        Ok(()) => Ok(format!("logged in at {} port {}", sender.account.host, sender.account.port)),
        Err(Outcome::Refused { phase, reply, .. }) => {
            Err(format!("refused at {}: {} {}", phase.as_str(), reply.code, reply.text))
        }
        Err(Outcome::Failed { phase, detail, .. }) => Err(format!("failed at {}: {detail}", phase.as_str())),
        Err(other) => Err(format!("{other:?}")),
    }
}

/// Opens every folder read-only, as the service would watch it.
async fn mailbox_opens(config: &Config, mailbox: &Arc<Mailbox>) -> Result<String, String> {
    let read_only = Mailbox { cleanup: Cleanup::Keep, ..(**mailbox).clone() };
    let mut waiting: HashSet<String> = Watch::folders(&read_only).into_iter().collect();
    let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
    let (events, mut told) = mpsc::channel(64);
    let setting = Setting {
        mailbox: Arc::new(read_only),
        tls: Arc::clone(&config.tls),
        limits: Arc::new(config.limits.clone()),
        check_interval: config.check_interval,
        outlook: Arc::new(Outlook::default()),
        events,
        cancel: cancel.clone(),
    };
    let _watch = Watch::spawn(setting, &HashMap::new(), &tracker);
    let limit = config.limits.connect * 3 + config.limits.command;
    let opened = tokio::time::timeout(limit, async {
        let mut opened = Vec::new();
        while !waiting.is_empty() {
            match told.recv().await {
                Some(Event::Synced(synced)) if waiting.remove(&*synced.place.folder) => {
                    let absent = if synced.resume.is_none() { " (not there, not watched)" } else { "" };
                    opened.push(format!("{}{absent}", synced.place.name));
                }
                Some(Event::Lost(lost)) => return Err(format!("{}: {}", lost.place.name, lost.detail)),
                Some(_) => {}
                None => return Err("the watch ended".to_owned()),
            }
        }
        Ok(opened)
    })
    .await
    .unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())));
    cancel.cancel();
    tracker.close();
    let _ = tokio::time::timeout(Duration::from_secs(3), tracker.wait()).await;
    opened.map(|folders| format!("opened {}", folders.join(", ")))
}
