//! The loop of one folder: connect, open, look, then wait for news by asking or by IDLE, for as long as it goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;
use tracing::{debug, info, warn};

use crate::config::Cleanup;
use crate::domain::verdict::Placement;
use crate::imap::error::{Error, Reason};
use crate::imap::folders::{self, Folder, Target};
use crate::imap::login::Greeted;
use crate::imap::outlook::Changes;
use crate::imap::pace::{Pace, Plan};
use crate::imap::session::Session;

use super::cleanup::{Opening, Releases};
use super::gate::{Gate, backoff};
use super::look::Known;
use super::{Connected, Event, Lost, Place, Resume, Setting, Synced};

/// How long a stop waits for the command that is running.
const STOP: Duration = Duration::from_secs(3);
/// An IDLE that the server itself ends this often is not worth entering.
const IDLES_CUT_MAX: u32 = 3;

/// Watches one folder until it is told to stop.
pub(super) struct Watcher {
    pub(super) setting: Arc<Setting>,
    configured: Arc<[String]>,
    pub(super) releases: Arc<Releases>,
    gate: Arc<Gate>,
    changes: Changes,
    pace: Pace,
    place: Arc<Place>,
    /// What was looked at so far, through all connections of this process.
    pub(super) known: Option<Known>,
    /// What an earlier process had looked at.
    pub(super) resume: Option<Resume>,
    /// Since when nothing is covered.
    pub(super) lost_since: Option<Instant>,
    last_reason: Option<Reason>,
    is_absence_told: bool,
}

/// One connection with its folder open.
pub(super) struct Visit {
    pub(super) place: Arc<Place>,
    /// When the folder's opening was asked for.
    pub(super) opened_at: Instant,
    pub(super) opening: Opening,
    /// When the last complete look began.
    pub(super) last_look: Option<Instant>,
    /// The last round that was met.
    pub(super) round: u64,
    pub(super) next_full_look: Instant,
    last_ask: Option<Instant>,
    may_idle: bool,
    idles_cut: u32,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    Stop,
    FullLook,
    /// The server has announced something.
    LookAtNews,
    CleanUp,
    Ask,
    Wait {
        until: Instant,
        idle: bool,
    },
}

impl Watcher {
    pub(super) fn new(
        setting: Arc<Setting>,
        configured: Arc<[String]>,
        index: usize,
        resume: Option<Resume>,
        releases: Arc<Releases>,
        gate: Arc<Gate>,
    ) -> Self {
        let folder = configured.get(index).map_or("INBOX", String::as_str);
        let inbox = configured.iter().position(|folder| folder.eq_ignore_ascii_case("INBOX")).unwrap_or(0);
        let others = u32::try_from(configured.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let pace = if index == inbox {
            Pace::primary(setting.check_interval)
        } else {
            Pace::secondary(others, setting.check_interval)
        };
        let placement = match folder {
            folder if folder.eq_ignore_ascii_case("INBOX") => Placement::Inbox,
            folder if folder.eq_ignore_ascii_case("\\Junk") => Placement::Junk,
            _ => Placement::Other,
        };
        let as_configured = Arc::new(Place {
            mailbox: Arc::from(setting.mailbox.name.as_str()),
            folder: Arc::from(folder),
            name: Arc::from(folder),
            placement,
        });
        Self {
            changes: setting.outlook.changes(),
            setting,
            configured,
            releases,
            gate,
            pace,
            place: as_configured,
            known: None,
            resume,
            lost_since: None,
            last_reason: None,
            is_absence_told: false,
        }
    }

    pub(super) fn place(&self) -> Arc<Place> {
        Arc::clone(&self.place)
    }

    /// Runs until the token is cancelled. A running command may end before that; then committed messages are cleaned
    /// up once more.
    pub(super) async fn run(self) {
        let cancel = self.setting.cancel.clone();
        let too_long = async {
            cancel.cancelled().await;
            tokio::time::sleep(STOP).await;
        };
        tokio::select! {
            () = self.keep_watching() => {}
            () = too_long => {}
        }
    }

    async fn keep_watching(mut self) {
        let mut failures = 0;
        loop {
            self.lost_since.get_or_insert_with(Instant::now);
            let Err((error, retry_in)) = self.connect_and_serve().await else { return };
            if self.setting.cancel.is_cancelled() || self.setting.events.is_closed() {
                return;
            }
            if self.lost_since.is_none() {
                failures = 0;
            }
            let limits = &self.setting.limits;
            let retry_in = retry_in.unwrap_or_else(|| match error.reason() {
                // Nothing that a quick retry would change.
                Reason::Folder => limits.reconnect_max,
                _ => backoff(failures, limits.reconnect_min, limits.reconnect_max, rand::random()),
            });
            failures += 1;
            self.tell_loss(&error, retry_in).await;
            tokio::select! {
                () = self.setting.cancel.cancelled() => return,
                () = tokio::time::sleep(retry_in) => {}
            }
        }
    }

    async fn tell_loss(&mut self, error: &Error, retry_in: Duration) {
        let (mailbox, folder, reason) = (&*self.place.mailbox, &*self.place.folder, error.reason());
        let retry_in_s = retry_in.as_secs_f32();
        if self.last_reason.replace(reason) == Some(reason) {
            debug!(mailbox, folder, %reason, retry_in_s, "mailbox still cannot be watched: {error}");
        } else {
            warn!(mailbox, folder, %reason, retry_in_s, "mailbox cannot be watched: {error}");
        }
        let since = *self.lost_since.get_or_insert_with(|| error.began(Instant::now()));
        let lost =
            Lost { place: Arc::clone(&self.place), since, reason, detail: error.to_string(), retry_in };
        let _ = self.tell(Event::Lost(lost)).await;
    }

    /// # Errors
    /// When nobody listens any more.
    pub(super) async fn tell(&self, event: Event) -> Result<(), Error> {
        self.setting.events.send(event).await.map_err(|_| Error::Closed("stopping".to_owned()))
    }

    /// Only returns `Ok` when it is told to stop.
    async fn connect_and_serve(&mut self) -> Result<(), (Error, Option<Duration>)> {
        let setting = Arc::clone(&self.setting);
        let connected = async {
            if let Some((error, left)) = self.gate.refusal().await {
                return Err((error, Some(left)));
            }
            let account = &setting.mailbox.account;
            let greeted = Greeted::connect(account, &setting.tls, &setting.limits).await;
            let greeted = greeted.map_err(|error| (error, None))?;
            let login = self.gate.pass(&setting.limits, rand::random(), greeted.log_in(account)).await?;
            Session::begin_with(login, setting.limits.command).await.map_err(|error| (error, None))
        };
        let mut session = tokio::select! {
            connected = connected => connected?,
            () = setting.cancel.cancelled() => return Ok(()),
        };
        let served = async {
            let Some((target, listed)) = self.find(&mut session).await? else {
                session.log_out().await;
                return Ok(());
            };
            let visit = self.open(&mut session, &target, &listed).await?;
            self.serve(session, visit).await
        };
        served.await.map_err(|error| (error, None))
    }

    /// Finds out which folder to open. While there is none, finding that out again is the complete look at it; `None`
    /// when it is told to stop meanwhile.
    async fn find(&mut self, session: &mut Session) -> Result<Option<(Target, Vec<Folder>)>, Error> {
        let folder = Arc::clone(&self.place.folder);
        let covered_since = Instant::now();
        loop {
            let (round, started) = (self.setting.outlook.round(), Instant::now());
            let listed =
                if folder.eq_ignore_ascii_case("INBOX") { Vec::new() } else { session.folders().await? };
            if let Some(target) = folders::resolve(&folder, &self.configured, &listed) {
                return Ok(Some((target, listed)));
            }
            let place = Arc::clone(&self.place);
            if self.lost_since.is_some() {
                let certificate_not_after = session.certificate_not_after();
                self.tell(Event::Connected(Connected { place, certificate_not_after, is_absent: true }))
                    .await?;
                if !std::mem::replace(&mut self.is_absence_told, true) {
                    info!(
                        mailbox = &*self.place.mailbox,
                        folder = &*folder,
                        "no folder of its own has this attribute: nothing to watch there until one has"
                    );
                }
            }
            // A folder that appears later holds nothing that was looked at.
            self.known = None;
            self.resume = None;
            self.synced(&Arc::clone(&self.place), round, started, covered_since, None).await?;
            let until = tokio::time::Instant::from_std(started + self.setting.check_interval);
            while self.setting.outlook.round() == round {
                tokio::select! {
                    heard = session.listen() => heard?,
                    () = self.changes.wait() => {}
                    () = self.setting.cancel.cancelled() => return Ok(None),
                    () = sleep_until(until) => break,
                }
            }
        }
    }

    async fn open(
        &mut self,
        session: &mut Session,
        target: &Target,
        listed: &[Folder],
    ) -> Result<Visit, Error> {
        let is_read_only = self.setting.mailbox.cleanup == Cleanup::Keep;
        let opened_at = Instant::now();
        let opened = match session.select(&target.wire_name, is_read_only).await {
            Err(Error::Refused { words, .. }) => {
                let listed = if listed.is_empty() {
                    session.folders().await.unwrap_or_default()
                } else {
                    listed.to_vec()
                };
                return Err(self.no_folder(target, &words, &listed));
            }
            other => other?,
        };
        let place = Arc::new(Place {
            name: Arc::from(target.name.as_str()),
            placement: target.placement,
            ..Place::clone(&self.place)
        });
        self.place = Arc::clone(&place);
        if opened.read_only && !is_read_only {
            warn!(
                mailbox = &*place.mailbox,
                folder = &*place.name,
                "the server opens this folder read-only: arrived probes will stay in it"
            );
        }
        let certificate_not_after = session.certificate_not_after();
        let connected = Connected { place: Arc::clone(&place), certificate_not_after, is_absent: false };
        self.tell(Event::Connected(connected)).await?;
        let mut visit = Visit {
            place,
            opened_at,
            opening: Opening { uidvalidity: opened.uidvalidity, is_read_only: opened.read_only },
            last_look: None,
            round: 0,
            next_full_look: opened_at,
            last_ask: None,
            may_idle: session.has_capability("IDLE"),
            idles_cut: 0,
        };
        self.first_look(session, &mut visit, &opened).await?;
        Ok(visit)
    }

    fn no_folder(&self, target: &Target, words: &str, listed: &[Folder]) -> Error {
        let mailbox = &self.place.mailbox;
        let setting = match &**mailbox {
            "default" => "IMAP_FOLDERS".to_owned(),
            name => format!("folders in [mailboxes.{name}]"),
        };
        let is_listed = listed.iter().any(|folder| folder.wire_name == target.wire_name);
        let remedy = if is_listed {
            "check that the account may read it".to_owned()
        } else {
            format!("create it or correct the setting; the folders there are: {}", folders::names(listed))
        };
        Error::Folder(format!(
            "{setting}: cannot open folder {:?} (the server says: {words}); {remedy}",
            target.name
        ))
    }

    async fn serve(&mut self, mut session: Session, mut visit: Visit) -> Result<(), Error> {
        loop {
            let job = self.next_job(&session, &visit, Instant::now());
            if session.is_idle() && !matches!(job, Job::Wait { idle: true, .. }) {
                visit.may_idle &= session.done().await?;
                if matches!(job, Job::Wait { .. }) {
                    // Leaving IDLE may have brought news.
                    continue;
                }
            }
            match job {
                Job::FullLook => self.full_look(&mut session, &mut visit).await?,
                Job::LookAtNews => self.look_at_news(&mut session, &mut visit).await?,
                Job::CleanUp => self.clean_up(&mut session, &visit).await?,
                Job::Ask => {
                    visit.last_ask = Some(Instant::now());
                    session.noop().await?;
                }
                Job::Wait { until, idle } => self.wait(&mut session, &mut visit, until, idle).await?,
                Job::Stop => {
                    self.clean_up(&mut session, &visit).await?;
                    session.log_out().await;
                    return Ok(());
                }
            }
        }
    }

    async fn clean_up(&self, session: &mut Session, visit: &Visit) -> Result<(), Error> {
        let cleanup = self.setting.mailbox.cleanup;
        self.releases.clean_up(session, visit.opening, cleanup, &self.place.mailbox).await
    }

    /// Waits for any reason to do something: the server, the engine, or the time.
    async fn wait(
        &mut self,
        session: &mut Session,
        visit: &mut Visit,
        until: Instant,
        idle: bool,
    ) -> Result<(), Error> {
        if idle && !session.is_idle() {
            visit.may_idle = session.idle().await?;
            if !visit.may_idle {
                let (mailbox, folder) = (&*visit.place.mailbox, &*visit.place.name);
                info!(mailbox, folder, "the server refuses IDLE: polling instead");
            }
            // Whatever it announced while it entered IDLE comes first.
            return Ok(());
        }
        tokio::select! {
            heard = session.listen() => heard?,
            () = self.changes.wait() => {}
            () = self.releases.changed() => {}
            () = self.setting.cancel.cancelled() => {}
            () = sleep_until(until.into()) => {}
        }
        if idle && !session.is_idle() {
            visit.idles_cut += 1;
            visit.may_idle &= visit.idles_cut < IDLES_CUT_MAX;
        }
        Ok(())
    }

    fn next_job(&self, session: &Session, visit: &Visit, now: Instant) -> Job {
        let outlook = &self.setting.outlook;
        if self.setting.cancel.is_cancelled() {
            return Job::Stop;
        }
        if outlook.round() > visit.round || now >= visit.next_full_look {
            return Job::FullLook;
        }
        if session.view.has_news() {
            return Job::LookAtNews;
        }
        let clean_up_at = self.releases.due();
        if clean_up_at.is_some_and(|at| at <= now) {
            return Job::CleanUp;
        }
        let plan = if self.setting.mailbox.active_look {
            let asked_up_to = visit.last_ask.and_then(|last| last.checked_sub(self.pace.first));
            let (fresh, asked) = outlook.expected(asked_up_to);
            self.pace.plan(fresh, asked, visit.last_ask, visit.may_idle)
        } else {
            Plan::Rest
        };
        let (ask_at, idle) = match plan {
            Plan::Rest => (None, visit.may_idle),
            Plan::Ask(at) => (Some(at), false),
            Plan::IdleAndAsk(at) => (Some(at), visit.may_idle),
        };
        let ask_at = match ask_at {
            Some(at) if at <= now => match outlook.take_ask(now) {
                Ok(()) => return Job::Ask,
                Err(at) => Some(at),
            },
            other => other,
        };
        let until = [ask_at, clean_up_at].into_iter().flatten().fold(visit.next_full_look, Instant::min);
        Job::Wait { until, idle }
    }

    /// A look is complete: tells it.
    pub(super) async fn synced(
        &mut self,
        place: &Arc<Place>,
        round: u64,
        started: Instant,
        covered_since: Instant,
        resume: Option<Resume>,
    ) -> Result<(), Error> {
        let finished = Instant::now();
        let synced = Synced { place: Arc::clone(place), round, started, finished, covered_since, resume };
        self.tell(Event::Synced(synced)).await?;
        if self.lost_since.take().is_some() {
            let (mailbox, folder, took_ms) =
                (&*place.mailbox, &*place.name, (finished - started).as_millis());
            if self.last_reason.take().is_some() {
                info!(mailbox, folder, took_ms, "mailbox is watched again");
            } else {
                debug!(mailbox, folder, took_ms, "mailbox is watched");
            }
        }
        Ok(())
    }
}
