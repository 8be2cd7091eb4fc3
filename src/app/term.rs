//! One term of office: watchers, engine, scheduler and retention, from the database's state to a drained stop.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::config::{Config, Mailbox, Sender};
use crate::domain::alert::{Book, Kind, Policy, Snapshot};
use crate::domain::token::SigningKey;
use crate::engine::clock::DatabaseClock;
use crate::engine::{Alerts, End, Engine, Pace, Parts, Standings, Watched};
use crate::imap::watch::Setting;
use crate::imap::{Outlook, Resume, Watch};
use crate::schedule::{Outgoing, Scheduler};
use crate::smtp::Pool;
use crate::store::{Error, Fence, FolderMark, Keys, Memory, Store};

use super::Service;
use super::telling::Telling;

/// Sightings that may wait for the engine; more stay in the mailboxes.
const SIGHTINGS: usize = 4096;

/// What a term starts from.
struct Beginning {
    clock: DatabaseClock,
    keys: Arc<Keys>,
    open: Vec<crate::domain::probe::Probe>,
    recipients: Vec<crate::domain::recipient::Recipient>,
    memories: Vec<Memory>,
    marks: Vec<FolderMark>,
    recent: HashMap<String, jiff::Timestamp>,
    alerts: Snapshot,
}

/// Works until told to stop, deposed, or until the configuration of the accounts changes (also [`End::Stopped`]).
///
/// # Errors
/// When a part dies.
pub(super) async fn run(
    service: &Arc<Service>,
    store: &Store,
    fence: Fence,
    deposed: &CancellationToken,
) -> anyhow::Result<End> {
    let mut changes = service.config.subscribe();
    let config = Arc::clone(&changes.borrow_and_update());
    let Some(beginning) = begin(service, store, &config, deposed).await? else {
        return Ok(if deposed.is_cancelled() { End::Deposed } else { End::Stopped });
    };
    info!(open_probes = beginning.open.len(), recipients = beginning.recipients.len(), "taking up the work");
    show_accounts(service, &config);
    let (sight, sightings) = mpsc::channel(SIGHTINGS);
    let (tell, messages) = mpsc::unbounded_channel();
    let (watching, observed) = (CancellationToken::new(), CancellationToken::new());
    let watchers = TaskTracker::new();
    let watched = watch_mailboxes(&config, &beginning, &sight, &watching, &watchers);
    drop(sight);
    let outlooks =
        watched.iter().map(|watched| (watched.name.clone(), Arc::clone(&watched.outlook))).collect();
    let mut standings = Standings::new(Arc::clone(&service.metrics));
    standings.set_recipients(&beginning.recipients);
    standings.restore(&beginning.memories);
    let alerts = open_book(service, &config, &beginning);
    let (again, retries) = mpsc::unbounded_channel();
    let mut telling = Telling::start(service, store, fence, &config, beginning.clock, &tell);
    let pools = open_pools(&config);
    let rooms = pools.clone();
    let engine = Engine::new(Parts {
        store: store.clone(),
        fence,
        keys: Arc::clone(&beginning.keys),
        metrics: Arc::clone(&service.metrics),
        readiness: service.readiness.clone(),
        pace: pace(&config),
        clock: beginning.clock,
        open: beginning.open,
        standings,
        alerts,
        watched,
        messages,
        sightings,
        retries: again,
        room: Box::new(move |sender| rooms.get(sender).map(Outgoing::room)),
        observed: observed.clone(),
        hurry: service.stop.clone(),
    });
    let scheduler = Scheduler {
        store: store.clone(),
        fence,
        keys: Arc::clone(&beginning.keys),
        metrics: Arc::clone(&service.metrics),
        pools: pools.clone(),
        outlooks,
        engine: tell,
        observed,
        retries,
        troubles: Arc::default(),
        wake: Arc::new(Notify::new()),
    };
    let (claiming, abort, judging) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let mut engine = tokio::spawn(engine.run(judging.clone()));
    let mut scheduler = tokio::spawn(scheduler.run(claiming.clone(), abort.clone()));
    let retention = tokio::spawn(forget(store.clone(), fence, config.retention, beginning.keys.current_id));

    let early = tokio::select! {
        () = service.stop.cancelled() => None,
        () = deposed.cancelled() => Some(Ok(End::Deposed)),
        ended = &mut engine => Some(ended.context("the engine died")),
        ended = &mut scheduler => Some(ended.map(|()| End::Deposed).context("the scheduler died")),
        ended = telling.ended() => Some(ended.map(|()| End::Deposed).context("the dispatch of alerts died")),
        () = accounts_changed(&mut changes, &config) => None,
    };
    retention.abort();
    claiming.cancel();
    telling.stop();
    let result = if let Some(ended) = early {
        abort.cancel();
        engine.abort();
        ended
    } else {
        drain(&config, &abort, &mut scheduler).await;
        judging.cancel();
        engine.await.context("the engine died")
    };
    // Told to stop at the same time as the scheduler, it had time for what was under way. `abort` is cancelled when the lease
    // is gone or a part is dead: nobody waits for the database then.
    let hurry = if abort.is_cancelled() { &abort } else { &service.stop };
    telling.drain(config.limits.drain.mul_f64(0.35), hurry).await;
    abort.cancel();
    watching.cancel();
    watchers.close();
    if tokio::time::timeout(config.limits.drain.mul_f64(0.1), watchers.wait()).await.is_err() {
        debug!("the watchers are left to themselves");
    }
    let goodbye = Instant::now() + Duration::from_millis(300);
    futures_util::future::join_all(pools.values().map(|outgoing| outgoing.pool.drain(goodbye))).await;
    if matches!(result, Ok(End::Deposed)) {
        service.metrics.clear_recipients();
        for kind in Kind::ALL {
            service.metrics.set_incidents_open(kind.as_str(), 0);
        }
    }
    forget_accounts(service, &config);
    result
}

/// Starts a watch over each mailbox.
fn watch_mailboxes(
    config: &Config,
    beginning: &Beginning,
    events: &mpsc::Sender<crate::imap::Event>,
    cancel: &CancellationToken,
    tracker: &TaskTracker,
) -> Vec<Watched> {
    let limits = Arc::new(config.limits.clone());
    let oldest = beginning.open.iter().map(|probe| probe.first_attempt_at).min();
    let watch = |(name, mailbox): (&String, &Arc<Mailbox>)| {
        let outlook = Arc::new(Outlook::default());
        let recent = beginning.recent.get(name).copied();
        outlook.set_look_back(oldest.into_iter().chain(recent).min());
        let setting = Setting {
            mailbox: Arc::clone(mailbox),
            tls: Arc::clone(&config.tls),
            limits: Arc::clone(&limits),
            check_interval: config.check_interval,
            outlook: Arc::clone(&outlook),
            events: events.clone(),
            cancel: cancel.clone(),
        };
        let watch = Watch::spawn(setting, &resume(&beginning.marks, name), tracker);
        Watched { name: Arc::from(name.as_str()), watch, folders: Watch::folders(mailbox), outlook, recent }
    };
    config.mailboxes.iter().map(watch).collect()
}

/// Their series exist from the start.
fn show_accounts(service: &Service, config: &Config) {
    for name in config.senders.keys() {
        service.metrics.sender(name);
    }
    for name in config.mailboxes.keys() {
        service.metrics.mailbox(name);
    }
    for channel in config.alerts.channels() {
        service.metrics.channel(channel.name());
    }
}

/// Opens the book of incidents where it was closed.
fn open_book(service: &Service, config: &Config, beginning: &Beginning) -> Alerts {
    let limits = &config.limits;
    let policy = Policy {
        second_opinion: limits.second_opinion,
        blind_after: limits.blind_after,
        // Long enough for a connection that only hiccupped at the start.
        blind_at_least: Duration::from_secs(15),
        reminder: config.alerts.reminder,
        channels: config.alerts.channels(),
    };
    let now = beginning.clock.at(Instant::now());
    Alerts {
        book: Book::new(policy, beginning.alerts.clone(), &beginning.recipients, now, rand::random()),
        recipients: beginning.recipients.clone(),
        senders: config.senders.keys().map(|name| Arc::from(name.as_str())).collect(),
        outbox: service.outbox.clone(),
        memory: service.memory.clone(),
    }
}

fn open_pools(config: &Config) -> HashMap<String, Outgoing> {
    let limits = Arc::new(config.limits.clone());
    let open = |(name, sender): (&String, &Arc<Sender>)| {
        let pool = Pool::new(Arc::clone(sender), Arc::clone(&config.tls), Arc::clone(&limits));
        (name.clone(), Outgoing::new(pool, Arc::from(sender.from.as_str())))
    };
    config.senders.iter().map(open).collect()
}

/// The series of accounts that the new configuration does not have any more go with their last user.
fn forget_accounts(service: &Service, old: &Config) {
    let new = Arc::clone(&service.config.borrow());
    for name in old.senders.keys().filter(|name| !new.senders.contains_key(*name)) {
        service.metrics.remove_sender(name);
    }
    for name in old.mailboxes.keys().filter(|name| !new.mailboxes.contains_key(*name)) {
        service.metrics.remove_mailbox(name);
    }
    service.readiness.send_modify(|readiness| {
        readiness.watchers.retain(|watcher| new.mailboxes.contains_key(&watcher.mailbox));
    });
}

/// Lets the submissions under way end, and breaks off those that take too long: a bit before the whole stop is over.
async fn drain(config: &Config, abort: &CancellationToken, scheduler: &mut tokio::task::JoinHandle<()>) {
    let patience = config.limits.drain.mul_f64(0.5);
    if tokio::time::timeout(patience, &mut *scheduler).await.is_err() {
        warn!("submissions are broken off by the stop");
        abort.cancel();
        let _ = tokio::time::timeout(Duration::from_millis(500), scheduler).await;
    }
}

/// Reads what the work starts from, however long the database takes; `None` when told to stop or deposed.
async fn begin(
    service: &Service,
    store: &Store,
    config: &Config,
    deposed: &CancellationToken,
) -> anyhow::Result<Option<Beginning>> {
    let configured = config.secret_key.as_ref().map(|key| SigningKey::from_passphrase(key.reveal()));
    loop {
        let read = async {
            let fresh: [u8; 32] = rand::random();
            Ok::<_, Error>(Beginning {
                clock: store.now().await.map(|sample| DatabaseClock::new(sample.at, sample.time))?,
                keys: Arc::new(store.keys(configured.as_ref(), fresh).await?),
                open: store.open_probes().await?,
                recipients: store.recipients().await?,
                memories: store.memories().await?,
                marks: store.folder_marks().await?,
                recent: store.recent_probes().await?,
                alerts: store.alert_snapshot().await?,
            })
        };
        match read.await {
            Ok(beginning) => return Ok(Some(beginning)),
            Err(reason) if reason.is_outage() => {
                warn!(%reason, "the state of the work cannot be read yet");
                tokio::select! {
                    () = service.stop.cancelled() => return Ok(None),
                    () = deposed.cancelled() => return Ok(None),
                    () = tokio::time::sleep(config.limits.database_retry_min) => {}
                }
            }
            Err(reason) => return Err(reason.into()),
        }
    }
}

fn resume(marks: &[FolderMark], mailbox: &str) -> HashMap<String, Resume> {
    marks
        .iter()
        .filter(|mark| mark.mailbox == mailbox)
        .map(|mark| (mark.folder.clone(), Resume { uidvalidity: mark.uidvalidity, next_uid: mark.next_uid }))
        .collect()
}

fn pace(config: &Config) -> Pace {
    let limits = &config.limits;
    Pace {
        sender_retry: limits.sender_retry.clone(),
        deferred_retry: limits.deferred_retry.clone(),
        send_window: config.send_window,
        round_gap: limits.round_gap,
        verdict: limits.verdict,
        retention: config.retention,
        drain: limits.drain.mul_f64(0.2),
        unobserved: limits.blind_after,
    }
}

/// Resolves when the accounts or the rhythm changed; recipients are followed without a new term.
async fn accounts_changed(changes: &mut tokio::sync::watch::Receiver<Arc<Config>>, config: &Arc<Config>) {
    loop {
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
        if super::reload::needs_new_term(config, &changes.borrow_and_update()) {
            return;
        }
    }
}

/// Removes old history in small batches, from the first minute on.
async fn forget(store: Store, fence: Fence, age: Duration, current_key: i32) {
    const BATCH: i64 = 500;
    const LEFTOVERS: Duration = Duration::from_hours(6);
    let mut pause = Duration::from_secs(20);
    let mut swept: Option<Instant> = None;
    loop {
        tokio::time::sleep(pause).await;
        pause = match store.forget_probes(fence, age, BATCH).await {
            Ok(removed) if i64::try_from(removed).is_ok_and(|removed| removed == BATCH) => {
                Duration::from_millis(250)
            }
            Ok(_) => {
                if swept.is_none_or(|at| at.elapsed() >= LEFTOVERS) {
                    swept = Some(Instant::now());
                    if let Err(reason) = store.forget_leftovers(fence, current_key).await {
                        debug!(%reason, "leftovers stay for now");
                    }
                    if let Err(reason) = forget_incidents(&store, fence, BATCH).await {
                        debug!(%reason, "old incidents stay for now");
                    }
                }
                Duration::from_mins(1)
            }
            Err(reason) => {
                debug!(%reason, "old history stays for now");
                Duration::from_mins(1)
            }
        };
    }
}

/// Removes incidents that have been over for long.
async fn forget_incidents(store: &Store, fence: Fence, batch: i64) -> Result<(), Error> {
    const AGE: Duration = Duration::from_hours(90 * 24);
    while store.forget_incidents(fence, AGE, batch).await?.cast_signed() == batch {
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    Ok(())
}
