//! The scheduler: claims what is due and hands it to the senders.
//!
//! It claims only what a sender can start at once, or within a moment, so that no probe waits in state `sending` for long, and
//! commits the claim before the first byte goes out.

mod outgoing;
mod troubles;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::clock;
use crate::complaint::Complaint;
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::message::{Letter, compose};
use crate::domain::probe::State;
use crate::domain::submission::{Attempt, Outcome};
use crate::domain::throttle::Throttle;
use crate::engine::{Message, Retry};
use crate::imap::Outlook;
use crate::metrics::{Metrics, Protocol};
use crate::store::{Claimed, Error, Fence, Keys, Outstanding, Store};

pub use outgoing::Outgoing;
pub use troubles::Troubles;

/// What the scheduler works with.
pub struct Scheduler {
    pub store: Store,
    pub fence: Fence,
    pub keys: Arc<Keys>,
    pub metrics: Arc<Metrics>,
    pub pools: HashMap<String, Outgoing>,
    /// By mailbox: where to say that a probe is on its way.
    pub outlooks: HashMap<Arc<str>, Arc<Outlook>>,
    pub engine: mpsc::UnboundedSender<Message>,
    /// Cancelled when every mailbox is observed for the first time.
    pub observed: CancellationToken,
    /// Deferred probes whose next attempt is committed.
    pub retries: mpsc::UnboundedReceiver<Retry>,
    pub troubles: Arc<Troubles>,
    /// Woken when recipients change or a sender has room again.
    pub wake: Arc<Notify>,
}

impl Scheduler {
    /// How long the first probes wait for the mailboxes to be observed. Not for ever: submission is watched as well.
    const OBSERVE: Duration = Duration::from_secs(5);
    /// How often due times are looked over that lie further ahead than any plan puts them.
    const REPAIR: Duration = Duration::from_secs(10);
    /// The shortest pause between two looks into the schedule: what falls due meanwhile is claimed together.
    const QUANTUM: Duration = Duration::from_millis(50);

    /// Schedules until `stop`; then waits for the submissions under way, and breaks them off at `abort`.
    pub async fn run(mut self, stop: CancellationToken, abort: CancellationToken) {
        let sends = TaskTracker::new();
        let mut throttle = Throttle::new(Instant::now());
        let mut revision = None;
        let mut doubtful: Vec<ProbeId> = Vec::new();
        let mut housekeeping = Instant::now();
        let mut repaired = Instant::now();
        let mut complaint = Complaint::default();
        // A probe that is already there when its folder is opened can only be timed by the server's date.
        tokio::select! {
            () = self.observed.cancelled() => {}
            () = tokio::time::sleep(Self::OBSERVE) => warn!("not every mailbox can be observed; probes are sent all the same"),
            () = stop.cancelled() => {}
        }
        while !stop.is_cancelled() {
            let begun = Instant::now();
            if revision.is_none() || housekeeping.elapsed() >= Duration::from_secs(2) {
                housekeeping = begun;
                self.refresh(&mut revision, &mut throttle).await;
                if repaired.elapsed() >= Self::REPAIR {
                    repaired = begun;
                    self.repair().await;
                }
            }
            let pause = match self.round(&mut throttle, &mut doubtful, &sends, &abort).await {
                Ok(pause) => {
                    complaint.over("probes are scheduled again");
                    pause
                }
                Err(Error::Fenced) => break,
                Err(reason) => {
                    complaint.say(
                        &reason,
                        "nothing can be scheduled without the database; no probe is sent meanwhile",
                    );
                    Duration::from_secs(1)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(pause.saturating_sub(begun.elapsed()).max(Duration::from_millis(1))) => {}
                () = self.wake.notified() => {}
                Some(retry) = self.retries.recv() => self.again(retry, &sends, &abort),
            }
            while let Ok(retry) = self.retries.try_recv() {
                self.again(retry, &sends, &abort);
            }
        }
        // What comes from now on is made again at the next start.
        self.retries.close();
        while let Ok(retry) = self.retries.try_recv() {
            self.give_back(retry.probe.id);
        }
        sends.close();
        sends.wait().await;
    }

    /// Follows changes of recipients, wherever they were made.
    async fn refresh(&self, revision: &mut Option<i64>, throttle: &mut Throttle) {
        let Ok(newest) = self.store.recipients_revision().await else { return };
        if *revision == Some(newest) {
            return;
        }
        let Ok(recipients) = self.store.recipients().await else { return };
        *revision = Some(newest);
        throttle.set_load(recipients.iter().filter(|r| r.active).map(|r| r.interval));
        let _ = self.engine.send(Message::RecipientsChanged(recipients));
    }

    async fn repair(&self) {
        if let Ok(1..) = self.store.repair_plans(self.fence).await {
            info!("due times that lay too far ahead were planned anew");
        }
    }

    /// Claims and starts what is due; tells when to look again.
    async fn round(
        &self,
        throttle: &mut Throttle,
        doubtful: &mut Vec<ProbeId>,
        sends: &TaskTracker,
        abort: &CancellationToken,
    ) -> Result<Duration, Error> {
        self.resolve(doubtful, sends, abort).await?;
        let mut pause = Duration::from_secs(1);
        let senders: Vec<&str> = self.pools.keys().map(String::as_str).collect();
        for due in self.store.outstanding(&senders).await? {
            let Some(outgoing) = self.pools.get(&due.sender) else { continue };
            if due.requested {
                // Few, and somebody waits for them: the throttle is for the schedule.
                let room = outgoing.room();
                let started = self.claim_requested(&due, outgoing, room, doubtful, sends, abort).await?;
                if started > 0 {
                    pause = Self::QUANTUM;
                }
            }
            let Some(wait) = due.wait else { continue };
            if !wait.is_zero() {
                pause = pause.min(wait);
                continue;
            }
            let room = outgoing.room().min(throttle.allowed(Instant::now()));
            if room == 0 {
                pause = pause.min(Self::QUANTUM);
                continue;
            }
            match self.claim(&due, outgoing, room, doubtful, sends, abort).await {
                Ok(started) => throttle.begun(started),
                // What is wrong with one sender's recipients holds up no other sender.
                Err(reason @ Error::Refused { .. }) => {
                    error!(sender = due.sender, %reason, "the due recipients of a sender cannot be claimed");
                    pause = Duration::from_secs(1);
                    continue;
                }
                Err(reason) => return Err(reason),
            }
            pause = Self::QUANTUM;
        }
        Ok(pause.max(Self::QUANTUM))
    }

    async fn claim(
        &self,
        due: &Outstanding,
        outgoing: &Outgoing,
        room: usize,
        doubtful: &mut Vec<ProbeId>,
        sends: &TaskTracker,
        abort: &CancellationToken,
    ) -> Result<usize, Error> {
        let sender = due.sender.as_str();
        let mut touched = Vec::new();
        let claim = self.store.claim_due(self.fence, self.keys.current_id, sender, room, |ms, recipient| {
            let id = new_id(ms, recipient);
            touched.push(id);
            id
        });
        let claim = claim.await.inspect_err(|_| doubtful.append(&mut touched))?;
        for (id, next, skipped) in &claim.planned {
            if let Some(recipient) = self.metrics.recipient(*id) {
                recipient.set_next_probe(Some(*next));
                recipient.skipped(*skipped);
            }
        }
        Ok(self.start_all(claim.claimed, outgoing, sends, abort))
    }

    /// Starts the probes that people ask for; tells how many. The end of a submission wakes those that find no room.
    async fn claim_requested(
        &self,
        asked: &Outstanding,
        outgoing: &Outgoing,
        room: usize,
        doubtful: &mut Vec<ProbeId>,
        sends: &TaskTracker,
        abort: &CancellationToken,
    ) -> Result<usize, Error> {
        if room == 0 {
            return Ok(0);
        }
        let mut touched = Vec::new();
        let (key, sender) = (self.keys.current_id, asked.sender.as_str());
        let claimed = self.store.claim_requested(self.fence, key, sender, room, &mut touched).await;
        match claimed {
            Ok(claimed) => {
                let count = claimed.len();
                for claimed in claimed {
                    self.start(claimed, outgoing, sends, abort);
                }
                Ok(count)
            }
            Err(reason @ Error::Refused { .. }) => {
                error!(sender, %reason, "the probes that were asked for cannot be claimed");
                Ok(0)
            }
            Err(reason) => {
                doubtful.append(&mut touched);
                Err(reason)
            }
        }
    }

    /// Sends a deferred probe again.
    fn again(&self, retry: Retry, sends: &TaskTracker, abort: &CancellationToken) {
        let Retry { probe, address } = retry;
        match self.pools.get(&*probe.sender) {
            Some(outgoing) => {
                let (address, lag) = (address.to_string(), Duration::ZERO);
                self.start(Claimed { probe, address, recipient: None, lag }, outgoing, sends, abort);
            }
            None => self.give_back(probe.id),
        }
    }

    fn give_back(&self, id: ProbeId) {
        let (attempt, ended) = (Box::new(Attempt::released()), Instant::now());
        let _ = self.engine.send(Message::Attempted { id, attempt, ended });
    }

    fn start_all(
        &self,
        claimed: Vec<Claimed>,
        outgoing: &Outgoing,
        sends: &TaskTracker,
        abort: &CancellationToken,
    ) -> usize {
        let count = claimed.len();
        for claimed in claimed {
            self.metrics.scheduler_lag(claimed.lag);
            self.start(claimed, outgoing, sends, abort);
        }
        count
    }

    /// Probes whose claim was not confirmed: those that exist are ours, untouched, and are sent now.
    async fn resolve(
        &self,
        doubtful: &mut Vec<ProbeId>,
        sends: &TaskTracker,
        abort: &CancellationToken,
    ) -> Result<(), Error> {
        if doubtful.is_empty() {
            return Ok(());
        }
        let probes = self.store.probes(doubtful).await?;
        let addresses: HashMap<RecipientId, Arc<str>> =
            self.store.recipients().await?.into_iter().map(|r| (r.id, r.address)).collect();
        doubtful.clear();
        for probe in probes.into_iter().filter(|probe| probe.state == State::Sending) {
            let (Some(address), Some(outgoing)) =
                (addresses.get(&probe.recipient()), self.pools.get(&*probe.sender))
            else {
                continue;
            };
            debug!(probe = %probe.id, "a claim whose answer was lost did happen");
            let address = address.to_string();
            let claimed = Claimed { address, recipient: None, lag: Duration::ZERO, probe };
            self.start(claimed, outgoing, sends, abort);
        }
        Ok(())
    }

    /// Starts one submission. The engine hears of the probe first, then of the result.
    fn start(&self, claimed: Claimed, outgoing: &Outgoing, sends: &TaskTracker, abort: &CancellationToken) {
        let Claimed { probe, address, recipient, .. } = claimed;
        let id = probe.id;
        let message = compose(
            self.keys.ring.sign(id),
            Letter { from: &outgoing.from, to: &address, date: clock::now() },
        );
        let outlook = self.outlooks.get(&probe.mailbox).cloned();
        if let Some(outlook) = outlook.as_ref().filter(|outlook| outlook.look_back().is_none()) {
            outlook.set_look_back(Some(probe.first_attempt_at));
        }
        let (engine, metrics, abort) = (self.engine.clone(), Arc::clone(&self.metrics), abort.clone());
        let under_way = outgoing.take_up(Arc::clone(&self.wake));
        let (sender, troubles) = (probe.sender.clone(), Arc::clone(&self.troubles));
        let _ = engine.send(Message::Claimed(Box::new(probe), recipient.map(Box::new)));
        sends.spawn(async move {
            let submission = AssertUnwindSafe(under_way.submit(&address, &message, &abort)).catch_unwind();
            let attempt = submission.await.unwrap_or_else(|_| {
                let detail = "an error of this program; please report it".to_owned();
                Attempt::ended(Outcome::Ambiguous { detail, ours: true })
            });
            let ended = attempt.accepted_at.unwrap_or_else(Instant::now);
            if let (Some(outlook), Outcome::Accepted { .. } | Outcome::Ambiguous { .. }) =
                (outlook, &attempt.outcome)
            {
                outlook.expect(id, ended);
            }
            let metrics_of = metrics.sender(&sender);
            metrics_of.send_duration(attempt.duration);
            for (phase, duration) in &attempt.phases {
                metrics_of.phase(*phase, *duration);
            }
            if let Some(not_after) = attempt.certificate_not_after {
                metrics.certificate_not_after(&sender, Protocol::Smtp, not_after);
            }
            troubles.report(&sender, id, &address, &attempt.outcome);
            let _ = engine.send(Message::Attempted { id, attempt: Box::new(attempt), ended });
        });
    }
}

fn new_id(unix_ms: u64, recipient: RecipientId) -> ProbeId {
    ProbeId::new(unix_ms, recipient, rand::random())
}
