//! `maildt check ADDRESS`: one round trip now, without a database.
//!
//! Its token is of a class of its own (`c1.…`), signed by nobody and ignored by the service: what it looks for is exactly
//! the message that it sent itself a moment ago.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock;
use crate::config::{Config, Mailbox, Sender};
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::message::{Letter, compose, form_of};
use crate::domain::proof::{Proof, Rounds};
use crate::domain::return_mode::ReturnMode;
use crate::domain::submission::{Attempt, Outcome};
use crate::imap::watch::Setting;
use crate::imap::{Event, Found, Outlook, Watch};
use crate::smtp::{Envelope, Pool};

/// What to check.
#[derive(Clone, Debug)]
pub struct Order {
    pub address: String,
    pub sender: String,
    pub mailbox: String,
    /// What counts as its return.
    pub return_mode: ReturnMode,
    /// Later than this is late.
    pub threshold: Duration,
    /// Not seen by then, and looked for in vain, is missing. At least the threshold.
    pub patience: Duration,
}

/// How it ended: the plugin's exit code, its line and the figures behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub status: Status,
    pub text: String,
    pub latency: Option<Duration>,
    pub submission: Option<Duration>,
    pub threshold: Duration,
}

/// The exit codes of monitoring plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Ok,
    Warning,
    Critical,
    Unknown,
}

impl Status {
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }
}

impl fmt::Display for Report {
    /// `MAILDT OK - text | latency=0.2s;30;30;0 submission=0.1s;;;0` (Monitoring Plugins Development Guidelines).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.status {
            Status::Ok => "OK",
            Status::Warning => "WARNING",
            Status::Critical => "CRITICAL",
            Status::Unknown => "UNKNOWN",
        };
        let text: String =
            self.text.chars().map(|c| if c == '|' || c.is_control() { ' ' } else { c }).collect();
        write!(f, "MAILDT {word} - {text} |")?;
        if let Some(latency) = self.latency {
            write!(f, " latency={:.3}s;{};;0", latency.as_secs_f64(), self.threshold.as_secs())?;
        }
        if let Some(submission) = self.submission {
            write!(f, " submission={:.3}s;;;0", submission.as_secs_f64())?;
        }
        Ok(())
    }
}

/// Makes the round trip. `progress` hears one line a step.
pub async fn check(config: &Config, order: &Order, progress: impl Fn(&str)) -> Report {
    let report = |status, text: String| Report {
        status,
        text,
        latency: None,
        submission: None,
        threshold: order.threshold,
    };
    let (Some(sender), Some(mailbox)) =
        (config.senders.get(&order.sender), config.mailboxes.get(&order.mailbox))
    else {
        let text = format!(
            "there is no sender {:?} or no mailbox {:?}; set SMTP_HOST and IMAP_HOST, or name configured ones",
            order.sender, order.mailbox
        );
        return report(Status::Unknown, text);
    };
    let mut look = Look::begin(config, mailbox, order);
    progress(&format!("opening mailbox {} at {}", mailbox.name, mailbox.account.host));
    let ready = tokio::time::timeout(config.limits.connect * 2 + config.limits.command, look.ready()).await;
    if !matches!(ready, Ok(Ok(()))) {
        let reason = match ready {
            Ok(Err(reason)) => reason,
            _ => "no answer in time".to_owned(),
        };
        look.end().await;
        return report(Status::Unknown, format!("the mailbox cannot be read: {reason}"));
    }
    let mut result = round_trip(config, sender, order, &mut look, &progress).await;
    look.end().await;
    result.threshold = order.threshold;
    result
}

async fn round_trip(
    config: &Config,
    sender: &Arc<Sender>,
    order: &Order,
    look: &mut Look,
    progress: &impl Fn(&str),
) -> Report {
    let threshold = order.threshold;
    progress(&format!("sending to {} through {}", order.address, sender.account.host));
    let pool = Pool::new(Arc::clone(sender), Arc::clone(&config.tls), Arc::new(config.limits.clone()));
    let letter = Letter { from: &sender.from, to: &order.address, date: clock::now() };
    let message = compose(&look.token, letter);
    let began = Instant::now();
    let attempt = match pool.slot() {
        Some(slot) => slot.submit(Envelope { from: &sender.from, to: &order.address }, &message).await,
        None => unreachable!("a new pool has a free slot"),
    };
    pool.drain(Instant::now() + Duration::from_secs(1)).await;
    let accepted = match accepted(&attempt) {
        Ok(accepted) => accepted,
        Err((status, text)) => return Report { status, text, latency: None, submission: None, threshold },
    };
    let submission = Some(accepted.saturating_duration_since(began));
    progress("accepted; waiting for it to arrive");
    look.outlook.expect(look.id, accepted);
    match look.wait(accepted + order.patience, config.limits.round_gap, progress).await {
        Ended::Seen(found) => {
            let latency = found.seen_at.saturating_duration_since(accepted);
            let place = format!("{} in {}", order.address, found.place.name);
            let (status, verb) =
                if latency <= threshold { (Status::Ok, "delivered") } else { (Status::Warning, "late") };
            let text = format!("mail to {place} {verb} after {:.3} s", latency.as_secs_f64());
            Report { status, text, latency: Some(latency), submission, threshold }
        }
        Ended::Absent => {
            let text = format!(
                "mail to {} was accepted and did not arrive within {} s",
                order.address,
                order.patience.as_secs()
            );
            Report { status: Status::Critical, text, latency: None, submission, threshold }
        }
        Ended::Blind(reason) => {
            let text = format!("mail was accepted, then the mailbox could not be read: {reason}");
            Report { status: Status::Unknown, text, latency: None, submission, threshold }
        }
    }
}

/// When the message was accepted, or what to report instead.
fn accepted(attempt: &Attempt) -> Result<Instant, (Status, String)> {
    match &attempt.outcome {
        Outcome::Accepted { .. } => Ok(attempt.accepted_at.unwrap_or_else(Instant::now)),
        Outcome::Refused { phase, reply, .. } => {
            Err((Status::Critical, format!("refused at {}: {} {}", phase.as_str(), reply.code, reply.text)))
        }
        Outcome::Failed { phase, detail, .. } => {
            Err((Status::Critical, format!("submission failed at {}: {detail}", phase.as_str())))
        }
        Outcome::Released => Err((Status::Unknown, "submission broken off".to_owned())),
        Outcome::Ambiguous { detail, .. } => {
            Err((Status::Unknown, format!("submission ended without an answer: {detail}")))
        }
    }
}

enum Ended {
    Seen(Box<Found>),
    Absent,
    Blind(String),
}

/// The watch over the mailbox while the check runs.
struct Look {
    token: String,
    id: ProbeId,
    mailbox: Arc<str>,
    return_mode: ReturnMode,
    watch: Watch,
    outlook: Arc<Outlook>,
    rounds: Rounds,
    events: mpsc::Receiver<Event>,
    cancel: CancellationToken,
    tracker: TaskTracker,
}

impl Look {
    fn begin(config: &Config, mailbox: &Arc<Mailbox>, order: &Order) -> Self {
        let id = ProbeId::new(
            u64::try_from(clock::now().as_millisecond()).unwrap_or_default(),
            RecipientId(0),
            rand::random(),
        );
        let nonce = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 16]>()).to_ascii_lowercase();
        let outlook = Arc::new(Outlook::default());
        let (cancel, tracker) = (CancellationToken::new(), TaskTracker::new());
        let (sight, events) = mpsc::channel(256);
        let setting = Setting {
            mailbox: Arc::clone(mailbox),
            tls: Arc::clone(&config.tls),
            limits: Arc::new(config.limits.clone()),
            check_interval: config.check_interval,
            outlook: Arc::clone(&outlook),
            events: sight,
            cancel: cancel.clone(),
        };
        let watch = Watch::spawn(setting, &HashMap::new(), &tracker);
        let mut rounds = Rounds::default();
        rounds.watch(Watch::folders(mailbox));
        Self {
            token: format!("c1.{id}.{nonce}"),
            id,
            mailbox: Arc::from(order.mailbox.as_str()),
            return_mode: order.return_mode,
            watch,
            outlook,
            rounds,
            events,
            cancel,
            tracker,
        }
    }

    fn ask(&mut self) {
        if !self.rounds.is_pending() {
            let number = self.outlook.ask_round();
            self.rounds.asked(number);
        }
    }

    /// Until every folder has been looked through once, so that what comes next is new.
    async fn ready(&mut self) -> Result<(), String> {
        self.ask();
        while let Some(event) = self.events.recv().await {
            match event {
                Event::Synced(synced)
                    if self
                        .rounds
                        .answered(&synced.place.folder, synced.round, synced.started, synced.finished)
                        .is_some() =>
                {
                    return Ok(());
                }
                Event::Lost(lost) => return Err(lost.detail),
                _ => {}
            }
        }
        Err("the watch ended".to_owned())
    }

    /// Until the message is seen, or two complete rounds after `until` did not contain it.
    async fn wait(&mut self, until: Instant, gap: Duration, progress: &impl Fn(&str)) -> Ended {
        let mut proof = Proof::None;
        let mut blind: Option<String> = None;
        let mut tick = tokio::time::interval(Duration::from_millis(200));
        let mut told = false;
        loop {
            let now = Instant::now();
            if now > until + gap * 3 + Duration::from_mins(1) {
                return Ended::Blind(blind.unwrap_or_else(|| "it does not answer".to_owned()));
            }
            if proof.wants_round(now, until, gap) {
                if !std::mem::replace(&mut told, true) {
                    progress("not there yet; looking through every folder twice");
                }
                self.ask();
            }
            let event = tokio::select! {
                event = self.events.recv() => event,
                _ = tick.tick() => continue,
            };
            match event {
                Some(Event::Found(found)) if self.is_ours(&found) => {
                    self.watch.release(&found.message);
                    return Ended::Seen(found);
                }
                Some(Event::Synced(synced)) => {
                    blind = None;
                    if let Some(round) = self.rounds.answered(
                        &synced.place.folder,
                        synced.round,
                        synced.started,
                        synced.finished,
                    ) {
                        proof = proof.after(&round, until, gap);
                        if proof == Proof::Complete {
                            return Ended::Absent;
                        }
                    }
                }
                Some(Event::Lost(lost)) => blind = Some(lost.detail),
                Some(_) => {}
                None => return Ended::Blind("the watch ended".to_owned()),
            }
        }
    }

    /// A message with our token, in the form that the return mode asks for.
    fn is_ours(&self, found: &Found) -> bool {
        found.place.mailbox == self.mailbox
            && form_of(&found.header, &self.token).is_some_and(|form| self.return_mode.accepts(form))
    }

    /// Gives the clean-up a moment and closes the connections.
    async fn end(self) {
        self.tracker.close();
        tokio::time::sleep(Duration::from_millis(700)).await;
        self.cancel.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(3), self.tracker.wait()).await;
    }
}
