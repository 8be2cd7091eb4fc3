//! The life of a probe: its states and the events that move it.
//!
//! A transition consumes the probe and gives it back with its effects. Events come in any order: a message may be seen
//! before the reply that accepted it is read, or after everybody has given it up.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::id::{ProbeId, RecipientId};
use super::message::Form;
use super::recipient::ReturnMode;
use super::record::{Bearing, Content, MOST_SEEN, Search, Seen};
use super::retry::Next;
use super::submission::{Attempt, Outcome, Phase, Reason, Reply};
use super::verdict::{Placement, Verdict};

/// Where a probe is on its way. The database's `probes.state` mirrors these words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Committed; about to be sent or being sent.
    Sending,
    /// Refused for now; tried again with the same token at `next_attempt_at`.
    Deferred,
    /// The server answered 2xx after the final dot.
    Accepted,
    /// Arrived by the deadline.
    Delivered,
    /// Proved absent after its deadline.
    Missing,
    /// Arrived after the deadline, or after it was told missing or bounced.
    Late,
    /// Refused or unreachable before the final dot, retries used up.
    SendFailed,
    /// The connection or the process died after the final dot: it may or may not be on its way.
    Unconfirmed,
    /// A delivery status notification says that it failed.
    Bounced,
    /// Could not be judged.
    Inconclusive,
}

impl State {
    pub const ALL: [Self; 10] = [
        Self::Sending,
        Self::Deferred,
        Self::Accepted,
        Self::Delivered,
        Self::Missing,
        Self::Late,
        Self::SendFailed,
        Self::Unconfirmed,
        Self::Bounced,
        Self::Inconclusive,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sending => "sending",
            Self::Deferred => "deferred",
            Self::Accepted => "accepted",
            Self::Delivered => "delivered",
            Self::Missing => "missing",
            Self::Late => "late",
            Self::SendFailed => "send_failed",
            Self::Unconfirmed => "unconfirmed",
            Self::Bounced => "bounced",
            Self::Inconclusive => "inconclusive",
        }
    }

    /// Whether a first verdict is still to come.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Sending | Self::Deferred | Self::Accepted | Self::Unconfirmed)
    }
}

/// Why a probe was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Scheduled,
    /// "Probe now": exempt from the schedule and from the counters of results.
    Manual,
}

impl Kind {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
        }
    }
}

/// When and where a probe was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Database time.
    pub at: Timestamp,
    /// Told by INTERNALDATE, not by our own clock: shown as an estimate and kept out of the histogram.
    pub estimated: bool,
    pub placement: Placement,
    /// The server's folder name.
    pub folder: Arc<str>,
    /// Accepted until seen; absent while the acceptance is unknown.
    pub latency: Option<Duration>,
}

/// Why the last attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub phase: Phase,
    pub reason: Reason,
    /// Our words where there is no reply.
    pub detail: String,
}

/// A probe, as its row has it. Times are database time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    pub id: ProbeId,
    /// The signing key of its token.
    pub key_id: i32,
    pub kind: Kind,
    pub sender: Arc<str>,
    pub mailbox: Arc<str>,
    pub return_mode: ReturnMode,
    pub threshold: Duration,
    pub due_at: Timestamp,
    pub state: State,
    /// The first verdict; never overwritten.
    pub result: Option<Verdict>,
    pub result_at: Option<Timestamp>,
    pub was_missing: bool,
    /// Attempts begun.
    pub attempts: i32,
    /// Attempts in a row that failed by a fault of the sender or of the way to it.
    pub faults: i32,
    pub first_attempt_at: Timestamp,
    pub attempt_at: Timestamp,
    pub next_attempt_at: Option<Timestamp>,
    /// When the final 2xx was read.
    pub accepted_at: Option<Timestamp>,
    /// Accepted (or the ambiguous end) plus threshold.
    pub deadline_at: Option<Timestamp>,
    pub arrival: Option<Arrival>,
    /// Digests of the messages that were this probe, so that a copy is told from the same message seen again.
    pub prints: Vec<i64>,
    pub duplicates: i32,
    pub misrouted: i32,
    /// The last reply of the last attempt.
    pub reply: Option<Reply>,
    pub queue_id: Option<String>,
    pub failure: Option<Failure>,
    /// Durations of the last attempt.
    pub phases: Vec<(Phase, Duration)>,
    /// What a delivery status notification, or our giving up, said.
    pub note: Option<String>,
    /// The messages that carried its token, at most [`MOST_SEEN`]. They decide nothing.
    pub sightings: Vec<Arc<Seen>>,
    /// The searches that proved its absence, or what there was of them.
    pub searches: Vec<Arc<Search>>,
    /// Counts the saved transitions: the compare-and-set key.
    pub version: i32,
}

/// A message that carries the token of a probe, as the engine understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Arrival in database time.
    pub at: Timestamp,
    /// Accepted until seen by our own monotonic clock, where both ends are known in one process.
    pub latency: Option<Duration>,
    pub estimated: bool,
    /// How far past the deadline still counts as in time: 0 seen live, 2 s or 5 s by INTERNALDATE.
    pub tolerance: Duration,
    pub placement: Placement,
    pub mailbox: Arc<str>,
    pub folder: Arc<str>,
    /// A digest of its header: each delivery adds trace fields of its own.
    pub print: i64,
    pub form: Form,
    pub content: Content,
}

/// What can happen to a probe.
#[derive(Clone, Debug)]
pub enum Event {
    /// The next attempt was claimed.
    AttemptStarted { at: Timestamp },
    /// An attempt ended at `at`. `next` says what a failure leads to.
    Attempted { at: Timestamp, attempt: Attempt, next: Next },
    /// The process that was sending it is gone.
    Abandoned { at: Timestamp },
    /// Seen in its mailbox, in the form that its return mode asks for.
    Seen(Sighting),
    /// Seen in another mailbox.
    Misrouted(Sighting),
    /// A delivery status notification says that it failed.
    Bounced { at: Timestamp, note: String, report: Sighting },
    /// A message that proves nothing: a report of something else, or a form that the return mode does not ask for.
    Noted(Sighting),
    /// Two complete rounds after the deadline did not contain it.
    Absent { at: Timestamp, searches: Vec<Arc<Search>> },
    /// It could not be judged within the bound.
    GivenUp { at: Timestamp, note: String, searches: Vec<Arc<Search>> },
}

/// What a transition means for the counters. Told after the commit, and only then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The server took it.
    Sent {
        submission_delay: Duration,
    },
    SendFailure(Reason),
    /// The first verdict.
    Verdict(Verdict),
    /// Delivered in time and timed by our own clock: goes into the histogram.
    Timed(Duration),
    /// The latency is known, exactly or by estimate.
    LastLatency(Duration),
    /// It was seen for the first time, here.
    Placed(Placement),
    /// It arrived after its deadline.
    LateArrival,
    Duplicate,
    Misrouted,
}

/// An event that does not fit the state: nothing changes.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a probe in state {state} does not take this event")]
pub struct Unfit {
    pub state: &'static str,
}

impl Probe {
    #[must_use]
    pub fn recipient(&self) -> RecipientId {
        self.id.recipient()
    }

    /// Applies an event.
    ///
    /// # Errors
    /// [`Unfit`] when the event does not belong to the state; the probe is then unchanged in the database.
    pub fn apply(mut self, event: Event) -> Result<(Self, Vec<Effect>), Unfit> {
        let mut effects = Vec::new();
        match event {
            Event::AttemptStarted { at } => self.attempt_started(at)?,
            Event::Attempted { at, attempt, next } => self.attempted(at, attempt, next, &mut effects)?,
            Event::Abandoned { at } => {
                self.expect(&[State::Sending])?;
                self.unconfirmed(at, "the program stopped during the submission".to_owned(), &mut effects);
            }
            Event::Seen(sighting) => self.seen(sighting, &mut effects),
            Event::Misrouted(sighting) => {
                if self.remember(sighting.print) {
                    self.misrouted += 1;
                    effects.push(Effect::Misrouted);
                    self.keep(sighting, Bearing::Elsewhere, None);
                }
            }
            Event::Bounced { at, note, report } => {
                self.keep(report, Bearing::Failure, Some(note.clone()));
                // In any other state it is on record and changes nothing.
                if matches!(self.state, State::Accepted | State::Unconfirmed) {
                    self.note = Some(note);
                    self.conclude(State::Bounced, Verdict::Bounced, at, &mut effects);
                }
            }
            Event::Noted(sighting) => {
                let is_report = sighting.form == Form::Report;
                self.keep(sighting, if is_report { Bearing::Notice } else { Bearing::OtherForm }, None);
            }
            Event::Absent { at, searches } => {
                self.expect(&[State::Accepted])?;
                self.was_missing = true;
                self.searches = searches;
                self.conclude(State::Missing, Verdict::Missing, at, &mut effects);
            }
            Event::GivenUp { at, note, searches } => {
                self.expect(&[State::Accepted, State::Unconfirmed, State::Deferred])?;
                self.searches = searches;
                self.note = Some(note);
                self.conclude(State::Inconclusive, Verdict::Inconclusive, at, &mut effects);
            }
        }
        Ok((self, effects))
    }

    fn expect(&self, states: &[State]) -> Result<(), Unfit> {
        if states.contains(&self.state) { Ok(()) } else { Err(Unfit { state: self.state.as_str() }) }
    }

    fn attempt_started(&mut self, at: Timestamp) -> Result<(), Unfit> {
        self.expect(&[State::Deferred])?;
        self.state = State::Sending;
        self.attempts += 1;
        self.attempt_at = at;
        self.next_attempt_at = None;
        Ok(())
    }

    fn attempted(
        &mut self,
        at: Timestamp,
        attempt: Attempt,
        next: Next,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Unfit> {
        self.expect(&[State::Sending])?;
        self.phases = attempt.phases;
        self.failure = None;
        self.reply = None;
        match attempt.outcome {
            Outcome::Accepted { reply, queue_id } => {
                self.reply = Some(reply);
                self.queue_id = queue_id;
                self.accepted(at, effects);
            }
            Outcome::Refused { phase, reason, reply } => {
                let detail = String::new();
                self.failure = Some(Failure { phase, reason, detail });
                self.reply = Some(reply);
                self.faults = if phase.blames_sender() { self.faults + 1 } else { 0 };
                self.failed(at, reason, next, effects);
            }
            Outcome::Failed { phase, reason, detail } => {
                self.failure = Some(Failure { phase, reason, detail });
                self.faults += 1;
                self.failed(at, reason, next, effects);
            }
            Outcome::Released => {
                self.state = State::Deferred;
                self.next_attempt_at = Some(at);
            }
            Outcome::Ambiguous { detail, .. } => self.unconfirmed(at, detail, effects),
        }
        Ok(())
    }

    fn accepted(&mut self, at: Timestamp, effects: &mut Vec<Effect>) {
        self.accepted_at = Some(at);
        self.deadline_at = Some(later(at, self.threshold));
        self.state = State::Accepted;
        effects.push(Effect::Sent { submission_delay: between(self.first_attempt_at, at) });
        // Seen before its 2xx was read: it took no time at all.
        if let Some(arrival) = &mut self.arrival {
            let latency = between(at, arrival.at);
            arrival.latency = Some(latency);
            let timed = !arrival.estimated;
            effects.push(Effect::LastLatency(latency));
            if timed {
                effects.push(Effect::Timed(latency));
            }
            self.conclude(State::Delivered, Verdict::Delivered, at, effects);
        }
    }

    fn failed(&mut self, at: Timestamp, reason: Reason, next: Next, effects: &mut Vec<Effect>) {
        effects.push(Effect::SendFailure(reason));
        match next {
            Next::RetryAt(next_attempt_at) => {
                self.state = State::Deferred;
                self.next_attempt_at = Some(next_attempt_at);
            }
            Next::GiveUp => self.conclude(State::SendFailed, Verdict::SendFailed, at, effects),
        }
    }

    fn unconfirmed(&mut self, at: Timestamp, detail: String, effects: &mut Vec<Effect>) {
        self.state = State::Unconfirmed;
        self.deadline_at = Some(later(at, self.threshold));
        self.failure = Some(Failure { phase: Phase::FinalReply, reason: Reason::Other, detail });
        if self.arrival.is_some() {
            self.conclude(State::Delivered, Verdict::Delivered, at, effects);
        }
    }

    fn seen(&mut self, sighting: Sighting, effects: &mut Vec<Effect>) {
        if !self.remember(sighting.print) {
            return;
        }
        if self.arrival.is_some() {
            self.duplicates += 1;
            effects.push(Effect::Duplicate);
            self.keep(sighting, Bearing::Duplicate, None);
            return;
        }
        let Sighting { at, latency: measured, estimated, tolerance, placement, .. } = sighting;
        let latency = self.accepted_at.map(|accepted| measured.unwrap_or_else(|| between(accepted, at)));
        self.arrival =
            Some(Arrival { at, estimated, placement, folder: Arc::clone(&sighting.folder), latency });
        effects.push(Effect::Placed(placement));
        self.keep(sighting, Bearing::Proof, None);
        match self.state {
            // Sending or deferred: held until the attempt ends. The others have their result; the arrival is on record.
            State::Sending
            | State::Deferred
            | State::SendFailed
            | State::Inconclusive
            | State::Delivered
            | State::Late => {}
            State::Unconfirmed => {
                self.conclude(State::Delivered, Verdict::Delivered, at, effects);
            }
            State::Accepted => {
                let latency = latency.unwrap_or_default();
                effects.push(Effect::LastLatency(latency));
                if latency <= self.threshold.saturating_add(tolerance) {
                    if !estimated {
                        effects.push(Effect::Timed(latency));
                    }
                    self.conclude(State::Delivered, Verdict::Delivered, at, effects);
                } else {
                    effects.push(Effect::LateArrival);
                    if !estimated {
                        effects.push(Effect::Timed(latency));
                    }
                    self.conclude(State::Late, Verdict::Late, at, effects);
                }
            }
            State::Missing | State::Bounced => {
                self.state = State::Late;
                effects.extend(latency.map(Effect::LastLatency));
                effects.push(Effect::LateArrival);
                if let (Some(latency), false) = (latency, estimated) {
                    effects.push(Effect::Timed(latency));
                }
            }
        }
    }

    /// Whether this message is new to the probe.
    fn remember(&mut self, print: i64) -> bool {
        const KEPT: usize = 16;
        let new = !self.prints.contains(&print);
        if new && self.prints.len() < KEPT {
            self.prints.push(print);
        }
        new && self.prints.len() <= KEPT
    }

    /// Puts a message on record, once, while there is room.
    fn keep(&mut self, sighting: Sighting, bearing: Bearing, note: Option<String>) {
        let room = if bearing == Bearing::Proof { MOST_SEEN } else { MOST_SEEN - 1 };
        let is_known = self.sightings.iter().any(|seen| seen.print == sighting.print);
        if is_known || self.sightings.len() >= room {
            return;
        }
        self.sightings.push(Arc::new(Seen {
            print: sighting.print,
            at: sighting.at,
            estimated: sighting.estimated,
            mailbox: sighting.mailbox.to_string(),
            folder: sighting.folder.to_string(),
            placement: sighting.placement,
            form: sighting.form,
            bearing,
            note,
            content: sighting.content,
        }));
    }

    fn conclude(&mut self, state: State, verdict: Verdict, at: Timestamp, effects: &mut Vec<Effect>) {
        self.state = state;
        self.next_attempt_at = None;
        if self.result.is_none() {
            self.result = Some(verdict);
            self.result_at = Some(at);
            effects.push(Effect::Verdict(verdict));
        }
    }
}

/// The time from `start` to `end`, 0 where the clocks disagree about the order.
#[must_use]
pub fn between(start: Timestamp, end: Timestamp) -> Duration {
    end.duration_since(start).try_into().unwrap_or_default()
}

/// `at` plus `by`, saturating at the end of time.
#[must_use]
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by).ok().and_then(|by| at.checked_add(by).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
