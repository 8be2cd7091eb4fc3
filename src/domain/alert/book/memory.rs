//! What outlives a restart besides incidents: taken up at the start, written when it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::Book;
use crate::domain::alert::suspicion::Suspicion;
use crate::domain::alert::trail::Trail;
use crate::domain::alert::{Change, Channel, Policy, Scope, Snapshot};
use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;

impl Book {
    /// Takes up what the database remembers. Recipients are told by [`Book::set_recipients`].
    #[must_use]
    pub fn new(
        policy: Policy,
        snapshot: Snapshot,
        recipients: &[Recipient],
        now: Timestamp,
        entropy: u64,
    ) -> Self {
        let mut book = Self {
            policy,
            members: HashMap::new(),
            open: BTreeMap::new(),
            counts: BTreeMap::new(),
            joinings: BTreeMap::new(),
            suspicions: BTreeMap::new(),
            last_accepted: HashMap::new(),
            healed: HashMap::new(),
            blind: BTreeMap::new(),
            down: BTreeMap::new(),
            stale: Vec::new(),
            entropy,
        };
        for mut incident in snapshot.open {
            // The clock may have been set back while nobody was there: nothing failed later than now.
            incident.details.failing_until = incident.details.failing_until.min(now);
            let kind = incident.kind;
            if book.open.insert((incident.scope.clone(), kind), incident).is_none() {
                *book.counts.entry(kind).or_default() += 1;
            }
        }
        for recipient in recipients.iter().filter(|recipient| recipient.active) {
            book.meet(recipient);
        }
        for (id, at, sent) in snapshot.last_good {
            if let Some(member) = book.members.get_mut(&id) {
                member.last_good_at = Some(at);
                member.trail.good(sent);
                member.trail.not_after(now);
            }
        }
        for (scope, state) in snapshot.states {
            if book.recall(&scope, state, now).is_none() {
                book.stale.push(scope);
            }
        }
        book
    }

    /// A state that does not read, or of nobody that is there, is none: it holds only what is not an incident yet.
    fn recall(&mut self, scope: &Scope, state: serde_json::Value, now: Timestamp) -> Option<()> {
        match scope {
            Scope::Recipient(id) => {
                let member = self.members.get_mut(id)?;
                let mut trail: Trail = serde_json::from_value(state).ok()?;
                trail.not_after(now);
                member.trail = trail;
                member.kept = true;
            }
            Scope::Sender(name) => {
                let mut suspicion: Suspicion = serde_json::from_value(state).ok()?;
                suspicion.not_after(now);
                self.suspicions.insert(Arc::clone(name), suspicion);
            }
            Scope::Mailbox(name) => {
                self.blind.insert(Arc::clone(name), serde_json::from_value(state).ok()?);
            }
            Scope::Channel(_) => {
                let down: BTreeSet<Channel> = serde_json::from_value(state).ok()?;
                let name = down.first()?.name();
                let configured = down.into_iter().filter(|channel| self.policy.channels.contains(channel));
                self.down.insert(name, configured.collect());
            }
        }
        Some(())
    }

    /// The clock was set: what is remembered moves with it, so that what comes next is newer than what was.
    pub fn shift(&mut self, by: SignedDuration) {
        let moved = |at: &mut Timestamp| *at = at.checked_add(by).unwrap_or(*at);
        self.healed.values_mut().for_each(moved);
        for incident in self.open.values_mut() {
            moved(&mut incident.details.failing_until);
            // Reminders are counted from here.
            moved(&mut incident.opened_at);
        }
        self.last_accepted.values_mut().for_each(moved);
        for member in self.members.values_mut() {
            member.trail.shift(by);
        }
        for suspect in self.suspicions.values_mut().flat_map(|suspicion| suspicion.suspects.values_mut()) {
            moved(&mut suspect.first_at);
            moved(&mut suspect.last_at);
            suspect.probes.iter_mut().for_each(|(_, sent)| moved(sent));
        }
        for blindness in self.blind.values_mut() {
            moved(&mut blindness.since);
        }
    }

    /// Does something that concerns a recipient, and writes its trail if that is another afterwards.
    pub(super) fn remembering(
        &mut self,
        id: RecipientId,
        changes: &mut Vec<Change>,
        act: impl FnOnce(&mut Self, &mut Vec<Change>),
    ) {
        let kept = self.members.get(&id).filter(|member| member.kept).map(|member| member.trail.clone());
        act(self, changes);
        let Some(member) = self.members.get_mut(&id) else { return };
        let scope = Scope::Recipient(id);
        if member.trail.is_clean() {
            if member.kept {
                member.kept = false;
                changes.push(Change::Keep { scope, state: None });
            }
        } else if kept.as_ref() != Some(&member.trail) {
            member.kept = true;
            changes.push(Change::Keep { scope, state: serde_json::to_value(&member.trail).ok() });
        }
    }

    /// Does something that concerns a sender, and writes what it is suspected of if that is another afterwards.
    pub(super) fn suspecting(
        &mut self,
        sender: &Arc<str>,
        changes: &mut Vec<Change>,
        act: impl FnOnce(&mut Self, &mut Vec<Change>),
    ) {
        let before = self.suspicions.get(sender).cloned();
        act(self, changes);
        if self.suspicions.get(sender).is_some_and(Suspicion::is_clean) {
            self.suspicions.remove(sender);
        }
        let after = self.suspicions.get(sender);
        if before.as_ref() != after {
            let state = after.and_then(|suspicion| serde_json::to_value(suspicion).ok());
            changes.push(Change::Keep { scope: Scope::Sender(Arc::clone(sender)), state });
        }
    }

    /// Writes which destinations of a channel are down, if they are others than before.
    pub(super) fn downing(
        &mut self,
        name: &'static str,
        changes: &mut Vec<Change>,
        act: impl FnOnce(&mut BTreeSet<Channel>) -> bool,
    ) {
        let down = self.down.entry(name).or_default();
        let others = act(down);
        let state = (!down.is_empty()).then(|| serde_json::to_value(&*down).ok()).flatten();
        // What has no destination left was taken up at the start and is no longer configured.
        if down.is_empty() {
            self.down.remove(name);
        }
        if others {
            changes.push(Change::Keep { scope: Scope::Channel(Arc::from(name)), state });
        }
    }
}
