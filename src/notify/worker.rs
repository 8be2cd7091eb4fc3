//! The worker of one channel.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};
use uuid::Uuid;

use super::board::Fare;
use super::dispatch::Parts;
use super::health::{Health, News};
use super::letter::Thread;
use super::plan::{self, Rules, Step};
use super::text;
use super::transport::{Look, Outcome, Parcel, Transport, Try};
use crate::clock;
use crate::complaint::Complaint;
use crate::domain::alert::{Channel, IncidentId, Occurrence};
use crate::domain::probe::{between, later};
use crate::metrics::ChannelMetrics;
use crate::store::{Closing, Error, Pending, Settlement};

/// The outbox is looked into this often, whatever is said.
const POLL: Duration = Duration::from_secs(5);
/// ... and not more often than this.
const BREATH: Duration = Duration::from_millis(100);
/// How long a send that is under way may take when told to stop.
const PATIENCE: Duration = Duration::from_secs(3);
/// Incidents of a message that are named in the log.
const LOGGED: usize = 20;
/// No server's wish for a pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// See the module.
pub struct Worker {
    parts: Parts,
    /// Names this worker in the rows that it sends.
    id: Uuid,
    channel: Channel,
    transport: Transport,
    health: Health,
    metrics: Arc<ChannelMetrics>,
    /// Messages that were not accepted in their full form.
    plain: HashSet<i64>,
    /// Messages that were not accepted in their plain form either since the channel last took one, each since when.
    misfits: HashMap<i64, Instant>,
    /// Such messages from before: others were taken since.
    outlived: HashSet<i64>,
    /// What came of a try and is not written down yet. Nothing is sent meanwhile.
    unsettled: Option<(Vec<i64>, Settlement)>,
    trouble: Complaint,
    outage: Complaint,
}

impl Worker {
    #[must_use]
    pub fn new(parts: Parts, id: Uuid, channel: Channel, transport: Transport, health: Health) -> Self {
        Self {
            id,
            transport,
            health,
            metrics: parts.metrics.channel(channel.name()),
            plain: HashSet::new(),
            misfits: HashMap::new(),
            outlived: HashSet::new(),
            unsettled: None,
            trouble: Complaint::default(),
            outage: Complaint::default(),
            channel,
            parts,
        }
    }

    #[must_use]
    pub fn is_down(&self) -> bool {
        self.health.is_down()
    }

    /// Works until `stop`, or until another instance holds the lease.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut written = self.parts.written.clone();
        while !stop.is_cancelled() {
            written.mark_unchanged();
            let pause = match self.work(&stop).await {
                Ok(pause) => {
                    self.outage.over("the outbox can be read again");
                    pause
                }
                Err(Error::Fenced) => return,
                Err(reason) => {
                    self.outage.say(&reason, "the outbox cannot be drained");
                    POLL
                }
            };
            self.report();
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause.clamp(BREATH, POLL)) => {}
                Ok(()) = written.changed() => tokio::time::sleep(BREATH).await,
            }
        }
        let hurry = self.parts.hurry.clone();
        if hurry.run_until_cancelled(self.settle_at_last()).await.is_none() {
            let settled = tokio::time::timeout(Duration::from_secs(1), self.write_back()).await;
            if !matches!(settled, Ok(Ok(()))) {
                debug!("the end of the last try is not written down; it is made again");
            }
        }
        self.transport.close().await;
    }

    /// Writes down what came of the last try, however long the database takes: the next worker would make it again.
    async fn settle_at_last(&mut self) {
        while let Err(reason) = self.write_back().await {
            if matches!(reason, Error::Fenced) {
                return;
            }
            self.outage.say(&reason, "the end of the last try cannot be written down");
            tokio::time::sleep(self.parts.config.limits.database_retry_min).await;
        }
    }

    /// Tells everybody how the channel fares, if that has changed.
    pub fn report(&mut self) {
        let now = self.now();
        self.health.pass(now);
        let fare = Fare { up: !self.health.is_down(), refused: self.health.refused().cloned() };
        self.parts.board.set(&self.channel, fare);
        let channel = self.channel.clone();
        match self.health.news(&self.channel, now) {
            Some(News::Down(evidence)) => (self.parts.tell)(Occurrence::ChannelDown { channel, evidence }),
            Some(News::Works) => (self.parts.tell)(Occurrence::ChannelWorks { channel }),
            None => {}
        }
    }

    /// Does what there is to do, and tells how long to wait for more.
    async fn work(&mut self, stop: &CancellationToken) -> Result<Duration, Error> {
        self.write_back().await?;
        if self.health.is_down() && !self.parts.store.is_channel_in_trouble(&self.channel).await? {
            info!(channel = self.channel.name(), "a test alert got through: alerts are told there again");
            self.health.worked(self.now(), None);
        }
        while !stop.is_cancelled() {
            self.report();
            let quiet = &self.parts.config.quiet;
            let (silenced, silence) = (quiet.names(self.now()), quiet.is_total(self.now()));
            let queue = self.parts.store.pending_notifications(&self.channel, &silenced, silence).await?;
            self.parts.clock.correct(Instant::now(), queue.now, Duration::from_secs(1));
            if !queue.unreadable.is_empty() {
                self.close(&queue.unreadable, Closing::Dropped("its row cannot be read")).await?;
                continue;
            }
            let waiting = waiting(&queue.rows);
            // Those that do not wait any more are forgotten. One that is kept back is found out again.
            self.plain.retain(|message| waiting.contains(message));
            self.outlived.retain(|message| waiting.contains(message));
            self.misfits.retain(|message, _| waiting.contains(message));
            match plan::next(&queue.rows, &self.rules(silence), queue.now) {
                Step::Close(ids, closing) => self.close(&ids, closing).await?,
                Step::Hold(ids) => self.parts.store.hold_notifications(self.parts.fence, &ids).await?,
                Step::Release(ids) => self.parts.store.release_notifications(self.parts.fence, &ids).await?,
                Step::Send(ids) => {
                    if self.health.refused().is_some() {
                        return Ok(POLL);
                    }
                    if let Some(wait) = self.health.wait(Instant::now()) {
                        return Ok(wait);
                    }
                    let ids: HashSet<i64> = ids.into_iter().collect();
                    let rows: Vec<Pending> =
                        queue.rows.into_iter().filter(|row| ids.contains(&row.id)).collect();
                    if !self.send(rows, stop).await? {
                        // Whatever it was: not in a hot loop.
                        return Ok(BREATH);
                    }
                }
                Step::Wait(Some(until)) => return Ok(between(queue.now, until)),
                Step::Wait(None) => {
                    self.look(stop).await;
                    return Ok(POLL);
                }
            }
        }
        Ok(POLL)
    }

    fn rules(&self, silence: bool) -> Rules {
        let limits = &self.parts.config.limits;
        Rules {
            gather: limits.alert_gather,
            dead_after: limits.notification_dead_after,
            hopeless_since: self.health.hopeless_since(Instant::now(), limits.notification_dead_after),
            longest_pause: limits.channel_retry_max.max(LONGEST_PAUSE),
            silence,
        }
    }

    async fn close(&self, ids: &[i64], closing: Closing) -> Result<(), Error> {
        let (channel, notifications) = (self.channel.name(), ids.len());
        match closing {
            Closing::Dead => {
                warn!(channel, notifications, "given up: nobody took them for too long");
            }
            Closing::Dropped(why) => info!(channel, notifications, why, "not told any more"),
        }
        self.parts.store.close_notifications(self.parts.fence, ids, closing).await
    }

    /// Sends `rows` as one message and writes down what came of it. Tells whether it was taken.
    async fn send(&mut self, mut rows: Vec<Pending>, stop: &CancellationToken) -> Result<bool, Error> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let Some((message, incident)) = rows.first().map(identity) else { return Ok(false) };
        let (known, unreadable) = self.parts.store.incidents_to_tell(&ids).await?;
        if !unreadable.is_empty() {
            self.close(&unreadable, Closing::Dropped("its incident cannot be read")).await?;
            return Ok(false);
        }
        let thread = self.thread(message, incident, &rows).await?;
        let claimed = self.parts.store.claim_notifications(self.parts.fence, self.id, &ids).await?;
        let taken: HashSet<i64> = claimed.iter().copied().collect();
        rows.retain(|row| taken.contains(&row.id) && known.contains_key(&row.id));
        let Some(first) = rows.first() else { return Ok(false) };
        let incidents: Vec<_> = rows.iter().filter_map(|row| known.get(&row.id)).collect();
        let desk = text::Desk {
            now: self.now(),
            tz: self.parts.config.tz.clone(),
            public_url: self.parts.config.public_url.url.clone(),
        };
        let parcel = Parcel {
            letter: text::compose(first.telling, &incidents, &desk),
            thread,
            plain: self.plain.contains(&message),
            date: clock::now(),
        };
        let number = rows.iter().map(|row| row.tries).max().unwrap_or_default().unsigned_abs() + 1;
        let tried = Box::pin(attempt(&self.transport, &parcel, stop)).await;
        if tried.outcome == Outcome::Delivered {
            let incidents = incidents.iter().take(LOGGED).map(|incident| incident.id.to_string());
            let incidents = incidents.collect::<Vec<_>>();
            info!(
                channel = self.channel.name(),
                event = first.telling.as_str(),
                notifications = claimed.len(),
                incidents = incidents.join(" "),
                "told"
            );
        }
        let first_try_at = rows.iter().filter_map(|row| row.first_try_at).max();
        let settlement = self.judge(tried, message, number);
        let dead_after = self.parts.config.limits.notification_dead_after;
        let settlement = settlement.or_give_up(first_try_at, self.now(), dead_after);
        if let Settlement::GivenUp { reason } = &settlement {
            let (channel, notifications) = (self.channel.name(), claimed.len());
            warn!(channel, notifications, reason, "given up: they will not be told on this channel");
        }
        let delivered = settlement == Settlement::Delivered;
        self.unsettled = Some((claimed, settlement));
        self.write_back().await?;
        Ok(delivered)
    }

    /// Where the message stands in its conversation, for channels that have such a thing.
    async fn thread(&self, message: i64, incident: IncidentId, rows: &[Pending]) -> Result<Thread, Error> {
        let domain = self.transport.domain();
        let name = |message: i64, incident: IncidentId| format!("{incident}.{message}@{domain}");
        let mut references: Vec<String> = Vec::new();
        if let (Channel::Email(_), Some(row)) = (&self.channel, rows.first()) {
            let told = self.parts.store.told(&self.channel, row.incident).await?;
            let known = told.first().into_iter().chain(told.last());
            references = known.map(|told| name(told.message, told.incident)).collect();
            references.dedup();
        }
        Ok(Thread {
            message_id: name(message, incident),
            in_reply_to: references.last().cloned(),
            references,
        })
    }

    /// What a try, the `number`-th of its message, means for the channel and for the rows of that message.
    fn judge(&mut self, tried: Try, message: i64, number: u32) -> Settlement {
        let (now, moment) = (self.now(), Instant::now());
        let again =
            |pause, reason, counts| Settlement::Again { at: later(now, pause), reason, counts, failed: true };
        match tried.outcome {
            Outcome::Delivered => {
                self.metrics.notification();
                self.trouble.over(&format!("alerts are taken again on {}", self.channel.name()));
                self.plain.remove(&message);
                self.misfits.remove(&message);
                self.outlived.extend(self.misfits.drain().map(|(message, _)| message));
                self.health.worked(now, tried.rest.map(|rest| moment + rest));
                Settlement::Delivered
            }
            Outcome::Busy(pause) => {
                let pause = self.health.busy(now, moment, pause);
                debug!(channel = self.channel.name(), pause_s = pause.as_secs_f64(), "asked to wait");
                again(pause, "429 Too Many Requests".to_owned(), false)
            }
            Outcome::BrokenOff => Settlement::Again {
                at: now,
                reason: "broken off by our own stop".to_owned(),
                counts: false,
                failed: false,
            },
            Outcome::Malformed(reason) if self.plain.insert(message) => {
                self.metrics.failure();
                self.complain(&reason);
                again(Duration::ZERO, reason, true)
            }
            Outcome::Refused(reason) => {
                self.metrics.failure();
                self.complain(&format!(
                    "{reason}: no more tries until the setting changes or a test alert gets through"
                ));
                self.health.refuse(now, moment, &reason);
                again(Duration::ZERO, reason, true)
            }
            Outcome::Malformed(reason) => {
                self.metrics.failure();
                self.complain(&reason);
                self.misfit(message, number, reason)
            }
            Outcome::Failed(reason) => {
                self.metrics.failure();
                self.complain(&reason);
                let pause = self.health.failed(now, moment, &reason, tried.reached, number, rand::random());
                again(pause, reason, true)
            }
        }
    }

    /// A message was not accepted in its plain form either. One is to blame itself, as long as the channel is known to work:
    /// it is given up when others were taken after it, or when it was tried for as long as a channel may fail. With two of
    /// them, and none taken in between, it is the channel that fails.
    fn misfit(&mut self, message: i64, number: u32, reason: String) -> Settlement {
        let (now, moment) = (self.now(), Instant::now());
        if self.outlived.remove(&message) {
            return Settlement::GivenUp { reason };
        }
        let since = *self.misfits.entry(message).or_insert(moment);
        let pause = if self.misfits.len() > 1 || !self.health.is_proven() {
            self.health.failed(now, moment, &reason, true, number, rand::random())
        } else if moment.saturating_duration_since(since) >= self.parts.config.limits.channel_down_after {
            self.misfits.remove(&message);
            return Settlement::GivenUp { reason };
        } else {
            self.health.pause_of(number, rand::random())
        };
        Settlement::Again { at: later(now, pause), reason, counts: true, failed: true }
    }

    /// With nothing to send, looks whether a channel that was failing has recovered: its incident must not outlive it.
    async fn look(&mut self, stop: &CancellationToken) {
        if !self.health.is_look_due(Instant::now()) {
            return;
        }
        match stop.run_until_cancelled(self.transport.look()).await {
            Some(Look::Works(_)) => {
                self.trouble.over(&format!("alerts are taken again on {}", self.channel.name()));
                self.health.worked(self.now(), None);
            }
            Some(Look::Refused(reason)) => {
                self.health.look_refused();
                debug!(channel = self.channel.name(), reason, "the channel does not want to be looked at");
            }
            Some(Look::Unclear(reason)) => {
                self.health.looked_in_vain(Instant::now(), rand::random());
                debug!(channel = self.channel.name(), reason, "looked at the channel in vain");
            }
            Some(Look::Failed(reason)) => {
                self.health.look_failed(self.now(), Instant::now(), rand::random());
                debug!(channel = self.channel.name(), reason, "looked at the channel in vain");
            }
            None => {}
        }
    }

    /// Writes down what is known and not written yet.
    async fn write_back(&mut self) -> Result<(), Error> {
        let (store, fence) = (&self.parts.store, self.parts.fence);
        if let Some((ids, settlement)) = &self.unsettled {
            store.settle_notifications(fence, self.id, ids, settlement).await?;
            self.unsettled = None;
        }
        if let Some(health) = self.health.unsaved() {
            store.keep_channel_health(fence, &self.channel, health).await?;
            self.health.saved();
        }
        Ok(())
    }

    fn complain(&mut self, reason: &str) {
        self.trouble.say(&reason, &format!("alerts are not taken on {}", self.channel.name()));
    }

    /// Database time.
    fn now(&self) -> Timestamp {
        self.parts.clock.at(Instant::now())
    }
}

/// One try; when told to stop it has a moment to end.
async fn attempt(transport: &Transport, parcel: &Parcel, stop: &CancellationToken) -> Try {
    let abort = CancellationToken::new();
    let sending = transport.send(parcel, &abort);
    tokio::pin!(sending);
    let too_long = async {
        stop.cancelled().await;
        tokio::time::sleep(PATIENCE).await;
    };
    tokio::select! {
        tried = &mut sending => tried,
        () = too_long => {
            abort.cancel();
            sending.await
        }
    }
}

/// The messages that wait.
fn waiting(rows: &[Pending]) -> HashSet<i64> {
    rows.iter().filter_map(|row| row.message).collect()
}

/// What a message is known by, in every try of it: its first row and that row's incident.
fn identity(row: &Pending) -> (i64, IncidentId) {
    row.message.zip(row.message_incident).unwrap_or((row.id, row.incident))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::alert::{Kind, Scope, Telling};

    #[test]
    fn messages_that_are_gone_are_forgotten() {
        let row = |id, message| Pending {
            id,
            incident: IncidentId(id),
            kind: Kind::ChannelDown,
            scope: Scope::Channel(Arc::from("email")),
            resolved_at: None,
            telling: Telling::Opened,
            number: 0,
            created_at: Timestamp::UNIX_EPOCH,
            held: false,
            message,
            message_incident: None,
            tries: 1,
            first_try_at: None,
            next_try_at: None,
            quiet: false,
            unheard: false,
        };
        assert_eq!(waiting(&[row(2, Some(2)), row(3, None), row(4, Some(2))]), HashSet::from([2]));
    }
}
