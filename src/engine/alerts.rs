//! What transitions mean for incidents: the engine tells the [`Book`], and writes what it answers with the transition.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tracing::{info, warn};

use crate::domain::alert::{Book, Change, Evidence, Incident, Kind, Occurrence, Waiting};
use crate::domain::id::RecipientId;
use crate::domain::probe::{self, Effect, Event, Probe, State, between};
use crate::domain::recipient::Recipient;
use crate::domain::submission::Outcome;
use crate::domain::verdict::Verdict;

use super::Engine;
use super::journal::Entry;

/// What the engine needs to decide about incidents.
pub struct Alerts {
    pub book: Book,
    /// As the database had them when the book was opened.
    pub recipients: Vec<Recipient>,
    /// The configured senders.
    pub senders: HashSet<Arc<str>>,
    /// Counted up when there is something new to tell.
    pub outbox: watch::Sender<u64>,
    /// What the database does not know yet, for the emergency.
    pub memory: watch::Sender<Unwritten>,
}

/// What only memory knows while the database is away.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unwritten {
    pub results: usize,
    pub open: Vec<Incident>,
}

/// How the attempt ended that an event tells of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    at: Timestamp,
    took: Duration,
    unanswered: bool,
}

impl Ended {
    pub(super) fn of(event: &Event) -> Option<Self> {
        let Event::Attempted { at, attempt, .. } = event else { return None };
        let unanswered = matches!(attempt.outcome, Outcome::Ambiguous { .. });
        Some(Self { at: *at, took: attempt.duration, unanswered })
    }

    fn began(self) -> Timestamp {
        let took = SignedDuration::try_from(self.took).unwrap_or_default();
        self.at.checked_sub(took).unwrap_or(self.at)
    }
}

impl Engine {
    /// What a transition means for incidents.
    pub(super) fn consider(
        &mut self,
        before: &Probe,
        after: &Probe,
        effects: &[Effect],
        ended: Option<Ended>,
        now: Instant,
    ) -> Vec<Change> {
        let occurrences = self.occurrences(before, after, effects, ended, now);
        if occurrences.is_empty() {
            return Vec::new();
        }
        let waiting = self.waiting(after.recipient(), now);
        let at = self.clock.at(now);
        let changes = occurrences.into_iter().flat_map(|occurrence| self.book.hear(occurrence, &waiting, at));
        changes.collect()
    }

    fn occurrences(
        &self,
        before: &Probe,
        after: &Probe,
        effects: &[Effect],
        ended: Option<Ended>,
        now: Instant,
    ) -> Vec<Occurrence> {
        let (recipient, sender) = (after.recipient(), Arc::clone(&after.sender));
        let mut occurrences = Vec::new();
        if let Some(ended) = ended {
            if effects.iter().any(|effect| matches!(effect, Effect::Sent { .. })) {
                let sender = Arc::clone(&sender);
                occurrences.push(Occurrence::Accepted { sender, began: ended.began(), at: ended.at });
            } else if ended.unanswered {
                let detail = after.failure.as_ref().map(|failure| plain(&failure.detail)).unwrap_or_default();
                let evidence = Evidence::Unanswered { probe: after.id, at: ended.at, detail, in_a_row: 1 };
                occurrences.push(Occurrence::Unanswered { sender: Arc::clone(&sender), recipient, evidence });
            }
        }
        let sent = after.first_attempt_at;
        for effect in effects {
            match effect {
                Effect::Verdict(Verdict::Delivered) if in_time(after) => {
                    let arrival = after.arrival.as_ref();
                    let at = arrival.map_or_else(|| self.clock.at(now), |arrival| arrival.at);
                    let latency = arrival.and_then(|arrival| arrival.latency);
                    occurrences.push(Occurrence::Delivered { recipient, sent, at, latency });
                }
                // "Probe now" can show that all is well again; it raises no alarm.
                Effect::Verdict(verdict) if after.kind == probe::Kind::Scheduled => {
                    occurrences.push(match self.evidence(after, *verdict, now) {
                        Some(evidence) => {
                            let began = ended.map_or(after.attempt_at, Ended::began);
                            let sender = Arc::clone(&sender);
                            Occurrence::Failed { recipient, sender, sent, began, evidence }
                        }
                        None => Occurrence::Undecided { recipient },
                    });
                }
                Effect::LateArrival if matches!(before.state, State::Missing | State::Bounced) => {
                    let at = after.arrival.as_ref().map_or_else(|| self.clock.at(now), |arrival| arrival.at);
                    let latency = after.arrival.as_ref().and_then(|arrival| arrival.latency);
                    let latency = latency.unwrap_or_else(|| between(sent, at));
                    occurrences.push(Occurrence::ArrivedAfterAll {
                        recipient,
                        probe: after.id,
                        sent,
                        latency,
                    });
                }
                _ => {}
            }
        }
        occurrences
    }

    /// What makes a result a failure; `None` where it is none.
    fn evidence(&self, probe: &Probe, verdict: Verdict, now: Instant) -> Option<Evidence> {
        let at = probe.result_at.unwrap_or_else(|| self.clock.at(now));
        let queue_id = probe.queue_id.as_deref().map(plain);
        match verdict {
            Verdict::Missing => {
                let folders = self.desks.get(&probe.mailbox).map(|desk| {
                    let names = desk.folders.values().filter_map(|folder| folder.name.as_deref());
                    names.map(plain).collect()
                });
                Some(Evidence::NotArrived {
                    probe: probe.id,
                    accepted_at: probe.accepted_at.unwrap_or(probe.attempt_at),
                    deadline_at: probe.deadline_at.unwrap_or(at),
                    folders: folders.unwrap_or_default(),
                    looked_at: at,
                    queue_id,
                    reply: probe.reply.clone(),
                    misrouted: probe.misrouted,
                })
            }
            Verdict::Bounced => Some(Evidence::Bounced {
                probe: probe.id,
                accepted_at: probe.accepted_at,
                at,
                note: probe.note.as_deref().map(plain).unwrap_or_default(),
                queue_id,
            }),
            Verdict::SendFailed => {
                let failure = probe.failure.as_ref()?;
                Some(Evidence::NotSent {
                    probe: probe.id,
                    at,
                    phase: failure.phase,
                    reason: failure.reason,
                    reply: probe.reply.clone(),
                    detail: plain(&failure.detail),
                    attempts: probe.attempts,
                })
            }
            Verdict::Delivered | Verdict::Late | Verdict::Inconclusive => None,
        }
    }

    /// A recipient's probes that may still arrive.
    fn waiting(&self, recipient: RecipientId, now: Instant) -> Vec<Waiting> {
        let probes = self.standings.in_flight(recipient).filter_map(|id| self.table.get(id));
        probes
            .filter(|tracked| matches!(tracked.probe.state, State::Accepted | State::Unconfirmed))
            .map(|tracked| Waiting {
                sent: tracked.probe.first_attempt_at,
                overdue: tracked.deadline().is_some_and(|deadline| deadline <= now),
            })
            .collect()
    }

    /// Something that happened without a probe.
    pub(super) fn hear_of(&mut self, occurrence: Occurrence) {
        let now = self.clock.at(Instant::now());
        let changes = self.book.hear(occurrence, &[], now);
        self.write_down(changes);
    }

    pub(super) fn heed_recipients(&mut self, recipients: &[Recipient]) {
        let mailboxes = self.desks.keys().cloned().collect();
        let now = self.clock.at(Instant::now());
        let changes = self.book.set_recipients(recipients, &self.senders, &mailboxes, now);
        self.write_down(changes);
    }

    fn write_down(&mut self, changes: Vec<Change>) {
        if !changes.is_empty() {
            self.journal.push(Entry { changes, ..Entry::default() });
        }
    }

    /// What time alone brings about, and whether each mailbox can be read.
    pub(super) fn look_after_incidents(&mut self) {
        self.hear_of(Occurrence::Tick);
        let mut heard = Vec::new();
        for (mailbox, desk) in &self.desks {
            let mailbox = Arc::clone(mailbox);
            let lost = desk.folders.iter().filter_map(|(name, folder)| {
                let (since, detail) = folder.lost.as_ref()?;
                Some((since, folder.name.as_deref().unwrap_or(name), detail))
            });
            if let Some((since, folder, detail)) = lost.min_by_key(|(since, ..)| **since) {
                let since = self.clock.at(*since);
                let evidence = Evidence::Unreadable { folder: plain(folder), since, detail: plain(detail) };
                heard.push(Occurrence::Blind { mailbox, evidence });
            } else if desk.is_observed() {
                heard.push(Occurrence::Sees { mailbox });
            }
        }
        for occurrence in heard {
            self.hear_of(occurrence);
        }
        self.publish_memory();
    }

    /// What is open is told whether or not anything waits: an outage of the database can begin in a quiet minute.
    fn publish_memory(&self) {
        let results = if self.journal.is_stalled() { self.journal.len() } else { 0 };
        self.memory.send_if_modified(|memory| {
            if memory.results == results && memory.open.iter().eq(self.book.open()) {
                return false;
            }
            *memory = Unwritten { results, open: self.book.open().cloned().collect() };
            true
        });
    }

    /// Says, after the commit, what was opened and resolved, and wakes those who tell it.
    pub(super) fn announce(&self, changes: &[Change]) {
        if changes.is_empty() {
            return;
        }
        for change in changes {
            let Change::Put(incident) = change else { continue };
            let (kind, scope) = (incident.kind.as_str(), &incident.scope);
            if !incident.is_open() {
                info!(incident = %incident.id, kind, %scope, "incident resolved");
            } else if incident.version == 1 {
                warn!(incident = %incident.id, kind, %scope, "incident opened");
            }
        }
        let news = changes.iter().any(|change| matches!(change, Change::Tell { .. }));
        self.show_incidents();
        if news {
            self.outbox.send_modify(|count| *count = count.wrapping_add(1));
        }
    }

    pub(super) fn show_incidents(&self) {
        for kind in Kind::ALL {
            let open = u64::try_from(self.book.count(kind)).unwrap_or(u64::MAX);
            self.metrics.set_incidents_open(kind.as_str(), open);
        }
    }
}

/// An unconfirmed probe counts as delivered whenever it comes; as a sign that all is well only when it came in time.
fn in_time(probe: &Probe) -> bool {
    let late = probe.arrival.as_ref().zip(probe.deadline_at).is_some_and(|(arrival, by)| arrival.at > by);
    probe.accepted_at.is_some() || !late
}

/// Foreign text without control characters, which neither the database nor a reader wants.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
