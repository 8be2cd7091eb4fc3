//! From an event to a committed transition, and what follows the commit.

use std::sync::Arc;
use std::time::Instant;

use tracing::{debug, error, info};

use crate::domain::id::ProbeId;
use crate::domain::probe::{Effect, Event, Kind, Probe, State};
use crate::domain::retry::Next;
use crate::domain::submission::Attempt;
use crate::domain::verdict::Verdict;
use crate::imap::watch::Place;
use crate::store::Saved;

use super::alerts::Ended;
use super::journal::{Entry, Release, Then, Written};
use super::{End, Engine, Retry};

impl Engine {
    /// Applies an event in memory and queues the save.
    pub(super) fn apply(&mut self, id: ProbeId, event: Event, then: Then) {
        let now = Instant::now();
        let Some(tracked) = self.table.get_mut(id) else { return self.let_go(then.holds.as_ref()) };
        let before = tracked.probe.clone();
        let ended = Ended::of(&event);
        match before.clone().apply(event) {
            Err(unfit) => {
                debug!(probe = %id, %unfit, "event without effect");
                self.let_go(then.holds.as_ref());
            }
            Ok((after, _)) if after == before && tracked.unsaved == 0 => {
                // Nothing new and everything committed: the message may go at once.
                self.release(then.release);
                self.let_go(then.holds.as_ref());
            }
            Ok((after, effects)) => {
                tracked.unsaved += 1;
                tracked.probe = Probe { version: after.version + 1, ..after.clone() };
                self.set_time(id);
                self.table.touch(id, now);
                let changes = self.consider(&before, &after, &effects, ended, now);
                self.journal.push(Entry { probe: Some(after), changes, effects, then });
            }
        }
    }

    /// Sets when a probe's time comes after a transition. A deadline that runs goes on running.
    pub(super) fn set_time(&mut self, id: ProbeId) {
        let Some(tracked) = self.table.get(id) else { return };
        let (state, retry_at) = (tracked.probe.state, tracked.probe.next_attempt_at);
        let mailbox = tracked.probe.mailbox.clone();
        match state {
            State::Deferred => self.table.set_deadline(id, retry_at.map(|at| self.clock.instant(at))),
            State::Accepted | State::Unconfirmed => {}
            _ => self.table.set_deadline(id, None),
        }
        if !state.is_open()
            && let Some(desk) = self.desks.get(&mailbox)
        {
            desk.outlook.settle(id);
        }
    }

    /// Nothing more is to be known of a probe here.
    pub(super) fn forget(&mut self, probe: &Probe) {
        self.table.remove(probe.id);
        self.standings.closed(probe);
        if let Some(desk) = self.desks.get(&probe.mailbox) {
            desk.outlook.settle(probe.id);
        }
    }

    pub(super) fn written(&mut self, written: Written) -> Option<End> {
        match written {
            Written::Done(entries) => {
                self.complaint.over("the results kept in memory are written");
                for (entry, saved) in entries {
                    self.saved(entry, saved);
                }
                None
            }
            Written::Delayed(reason) => {
                self.complaint.say(&reason, "results are kept in memory until the database takes them");
                None
            }
            Written::Fenced => Some(End::Deposed),
            Written::Refused(entry, reason) => {
                self.refused(*entry, &reason);
                None
            }
        }
    }

    /// The database will never take this.
    fn refused(&mut self, entry: Entry, reason: &crate::store::Error) {
        self.let_go(entry.then.holds.as_ref());
        if let Some(probe) = entry.probe {
            error!(probe = %probe.id, %reason, "the database refuses a probe's change; the change is dropped");
            self.tainted.insert(probe.id);
            self.forget(&probe);
        } else {
            error!(%reason, "the database refuses the change of an incident; the change is dropped");
        }
    }

    pub(super) fn saved(&mut self, entry: Entry, saved: Saved) {
        let Entry { probe, changes, effects, then } = entry;
        self.let_go(then.holds.as_ref());
        self.announce(&changes);
        let Some(probe) = probe else { return };
        if let Some(tracked) = self.table.get_mut(probe.id) {
            tracked.unsaved = tracked.unsaved.saturating_sub(1);
        }
        if saved == Saved::Gone {
            debug!(probe = %probe.id, "a probe's row was removed before its last change");
            return self.forget(&probe);
        }
        if probe.kind == Kind::Scheduled {
            self.count(&probe, &effects);
        }
        self.release(then.release);
        if let Some(address) = then.starts {
            self.send_again(probe, address);
        }
    }

    /// The next attempt is committed: it may begin.
    pub(super) fn send_again(&mut self, probe: Probe, address: Arc<str>) {
        let id = probe.id;
        let probe = Probe { version: probe.version + 1, ..probe };
        if self.retries.send(Retry { probe, address }).is_err() {
            // The scheduler has stopped: it is made again at the next start.
            let at = self.clock.at(Instant::now());
            let event = Event::Attempted { at, attempt: Attempt::released(), next: Next::GiveUp };
            self.apply(id, event, Then::default());
        }
    }

    pub(super) fn count(&mut self, probe: &Probe, effects: &[Effect]) {
        self.standings.changed(probe);
        let Some(recipient) = self.metrics.recipient(probe.recipient()) else { return };
        let at = probe.arrival.as_ref().map_or(probe.attempt_at, |arrival| arrival.at);
        for effect in effects {
            match effect {
                Effect::Sent { submission_delay } => {
                    recipient.sent();
                    recipient.set_last_send(probe.accepted_at.unwrap_or(probe.attempt_at));
                    self.metrics.sender(&probe.sender).submission_delay(*submission_delay);
                }
                Effect::SendFailure(reason) => recipient.send_failure(*reason),
                Effect::Verdict(verdict) => {
                    recipient.result(*verdict);
                    match verdict {
                        Verdict::Missing => recipient.missing(),
                        Verdict::Delivered => recipient.set_last_success(at),
                        _ => {}
                    }
                    info!(
                        probe = %probe.id,
                        recipient = %self.standings.public_name(probe.recipient()),
                        result = verdict.as_str(),
                        latency_ms = probe.arrival.as_ref().and_then(|a| a.latency).map(|l| l.as_millis()),
                        "probe judged"
                    );
                }
                Effect::Timed(latency) => recipient.delivered(*latency, probe.id, at),
                Effect::LastLatency(latency) => recipient.set_last_latency(*latency),
                Effect::Placed(placement) => recipient.placement(*placement),
                Effect::LateArrival => recipient.late_arrival(),
                Effect::Duplicate => recipient.duplicate(),
                Effect::Misrouted => recipient.misrouted(),
            }
        }
    }

    pub(super) fn release(&self, release: Option<Release>) {
        let Some(Release { mailbox, message }) = release else { return };
        if let Some(desk) = self.desks.get(&mailbox) {
            desk.watch.release(&message);
        }
    }

    pub(super) fn hold(&mut self, place: &Place) {
        if let Some(desk) = self.desks.get_mut(&place.mailbox) {
            desk.folders.entry(place.folder.clone()).or_default().hold();
        }
    }

    pub(super) fn let_go(&mut self, holds: Option<&Arc<Place>>) {
        let Some(place) = holds else { return };
        let desk = self.desks.get_mut(&place.mailbox);
        if let Some(folder) = desk.and_then(|desk| desk.folders.get_mut(&place.folder)) {
            folder.let_go();
        }
    }
}
