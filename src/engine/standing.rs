//! How each recipient stands, as the gauges show it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::{Kind, Probe};
use crate::domain::recipient::Recipient;
use crate::domain::verdict::{Placement, Standing, Verdict};
use crate::metrics::{LastValues, Metrics, RecipientLabels, RecipientSettings};
use crate::store::Memory;

/// Keeps the recipients' series: makes them, restores their last values, follows the results, lets them go.
pub struct Standings {
    metrics: Arc<Metrics>,
    recipients: HashMap<RecipientId, Entry>,
    /// Mailboxes that cannot be observed.
    blind: HashSet<Arc<str>>,
}

struct Entry {
    mailbox: Arc<str>,
    name: Arc<str>,
    address: Arc<str>,
    active: bool,
    last: Option<(Verdict, Option<Placement>)>,
    in_flight: HashSet<ProbeId>,
}

impl Standings {
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, recipients: HashMap::new(), blind: HashSet::new() }
    }

    /// Takes the present list of recipients; what is no longer in it goes.
    pub fn set_recipients(&mut self, recipients: &[Recipient]) {
        let present: HashSet<RecipientId> = recipients.iter().map(|recipient| recipient.id).collect();
        self.recipients.retain(|id, _| {
            let stays = present.contains(id);
            if !stays {
                self.metrics.remove_recipient(*id);
            }
            stays
        });
        for recipient in recipients {
            self.set_recipient(recipient);
        }
    }

    /// A recipient whose probe was claimed may be newer than the list.
    pub(super) fn meet(&mut self, recipient: &Recipient) {
        if !self.recipients.contains_key(&recipient.id) {
            self.set_recipient(recipient);
        }
    }

    fn set_recipient(&mut self, recipient: &Recipient) {
        let settings = RecipientSettings {
            labels: RecipientLabels {
                name: recipient.name.to_string(),
                domain: recipient.public_domain().to_owned(),
                sender: recipient.sender.to_string(),
                mailbox: recipient.mailbox.to_string(),
            },
            interval: recipient.interval,
            threshold: recipient.alert_threshold,
            active: recipient.active,
        };
        let metrics = self.metrics.register_recipient(recipient.id, &settings);
        metrics.set_active(recipient.active);
        metrics.set_next_probe(recipient.active.then_some(recipient.next_due_at));
        let entry = self.recipients.entry(recipient.id).or_insert_with(|| Entry {
            mailbox: recipient.mailbox.clone(),
            name: recipient.name.clone(),
            address: recipient.address.clone(),
            active: recipient.active,
            last: None,
            in_flight: HashSet::new(),
        });
        entry.mailbox.clone_from(&recipient.mailbox);
        entry.address.clone_from(&recipient.address);
        entry.name.clone_from(&recipient.name);
        entry.active = recipient.active;
        self.show(recipient.id);
    }

    /// Restores what the database remembers.
    pub fn restore(&mut self, memories: &[Memory]) {
        for memory in memories {
            let Some(entry) = self.recipients.get_mut(&memory.recipient) else { continue };
            entry.last = memory.last_result.map(|verdict| (verdict, memory.last_placement));
            if let Some(metrics) = self.metrics.recipient(memory.recipient) {
                metrics.restore(LastValues {
                    latency: memory.last_latency_s.and_then(|s| Duration::try_from_secs_f64(s).ok()),
                    success: memory.last_success_at,
                    send: memory.last_send_at,
                    next_probe: None,
                });
            }
            self.show(memory.recipient);
        }
    }

    /// A probe is under way.
    pub(super) fn opened(&mut self, probe: &Probe) {
        let id = probe.recipient();
        let Some(entry) = self.recipients.get_mut(&id).filter(|_| probe.kind == Kind::Scheduled) else {
            return;
        };
        entry.in_flight.insert(probe.id);
        self.show(id);
    }

    /// A recipient in the log: its name, or its number where the name is an address.
    pub(super) fn public_name(&self, recipient: RecipientId) -> Arc<str> {
        let name = self.recipients.get(&recipient).map(|entry| entry.name.clone());
        name.filter(|name| !name.contains('@')).unwrap_or_else(|| Arc::from(format!("#{recipient}")))
    }

    /// Where a recipient's probes go; `None` when it was removed.
    pub(super) fn address(&self, recipient: RecipientId) -> Option<Arc<str>> {
        self.recipients.get(&recipient).map(|entry| entry.address.clone())
    }

    /// The scheduled probes of a recipient that are under way.
    pub(super) fn in_flight(&self, recipient: RecipientId) -> impl Iterator<Item = ProbeId> {
        self.recipients.get(&recipient).into_iter().flat_map(|entry| entry.in_flight.iter().copied())
    }

    /// A probe is not followed any more.
    pub(super) fn closed(&mut self, probe: &Probe) {
        let id = probe.recipient();
        if self.recipients.get_mut(&id).is_some_and(|entry| entry.in_flight.remove(&probe.id)) {
            self.show(id);
        }
    }

    /// A transition was committed.
    pub(super) fn changed(&mut self, probe: &Probe) {
        let id = probe.recipient();
        let Some(entry) = self.recipients.get_mut(&id) else { return };
        if !probe.state.is_open() && entry.in_flight.remove(&probe.id) {
            entry.last = probe.result.map(|verdict| (verdict, probe.arrival.as_ref().map(|a| a.placement)));
        }
        self.show(id);
    }

    /// Says which mailboxes cannot be observed.
    pub(super) fn set_blind(&mut self, blind: HashSet<Arc<str>>) {
        if self.blind == blind {
            return;
        }
        self.blind = blind;
        let ids: Vec<_> = self.recipients.keys().copied().collect();
        for id in ids {
            self.show(id);
        }
    }

    /// This instance does not work any more: no series of recipients from here.
    pub fn clear(&mut self) {
        for (id, _) in self.recipients.drain() {
            self.metrics.remove_recipient(id);
        }
    }

    fn show(&self, id: RecipientId) {
        let (Some(entry), Some(metrics)) = (self.recipients.get(&id), self.metrics.recipient(id)) else {
            return;
        };
        metrics.set_in_flight(u32::try_from(entry.in_flight.len()).unwrap_or(u32::MAX));
        let standing = match entry.last {
            _ if !entry.active => Standing::Paused,
            _ if self.blind.contains(&entry.mailbox) => Standing::Unknown,
            None => Standing::Pending,
            Some((verdict, placement)) => Standing::after(verdict, placement),
        };
        metrics.set_standing(standing);
    }
}

impl super::Engine {
    /// Tells the standings which mailboxes have been blind for too long.
    pub(super) fn observe_mailboxes(&mut self, now: std::time::Instant) {
        let bound = self.pace.unobserved;
        let blind = self
            .desks
            .iter()
            .filter(|(_, desk)| {
                desk.folders.values().any(|folder| {
                    folder
                        .lost
                        .as_ref()
                        .is_some_and(|(since, _)| now.saturating_duration_since(*since) >= bound)
                })
            })
            .map(|(name, _)| name.clone())
            .collect();
        self.standings.set_blind(blind);
    }
}
