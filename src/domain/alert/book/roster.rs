//! Who is watched: recipients that are new, changed, paused or gone, and the accounts that they use.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;

use super::{Book, Member};
use crate::domain::alert::{Change, Concerned, Kind, Resolution, Scope};
use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;

/// As many as the configuration allows to be asked for.
const MOST_FAILURES: usize = 1000;

impl Book {
    /// A recipient that is new, or changed.
    pub fn meet(&mut self, recipient: &Recipient) {
        if !recipient.active {
            return;
        }
        let known = self.members.remove(&recipient.id);
        let (trail, kept, last_good_at) =
            known.map(|member| (member.trail, member.kept, member.last_good_at)).unwrap_or_default();
        let member = Member {
            name: Arc::clone(&recipient.name),
            address: Arc::clone(&recipient.address),
            sender: Arc::clone(&recipient.sender),
            mailbox: Arc::clone(&recipient.mailbox),
            alert_after: usize::try_from(recipient.alert_after).unwrap_or(1).clamp(1, MOST_FAILURES),
            discord: recipient.discord,
            email: recipient.email,
            trail,
            kept,
            last_good_at,
        };
        self.members.insert(recipient.id, member);
    }

    pub fn knows(&self, recipient: RecipientId) -> bool {
        self.members.contains_key(&recipient)
    }

    /// Takes the present list of recipients and of accounts. Incidents of what is paused or gone are over.
    pub fn set_recipients(
        &mut self,
        recipients: &[Recipient],
        senders: &HashSet<Arc<str>>,
        mailboxes: &HashSet<Arc<str>>,
        now: Timestamp,
    ) -> Vec<Change> {
        let active: HashSet<RecipientId> =
            recipients.iter().filter(|recipient| recipient.active).map(|recipient| recipient.id).collect();
        let mut changes = Vec::new();
        let gone: Vec<RecipientId> = self.members.keys().copied().filter(|id| !active.contains(id)).collect();
        for id in gone {
            if self.members.remove(&id).is_some_and(|member| member.kept) {
                changes.push(Change::Keep { scope: Scope::Recipient(id), state: None });
            }
            self.unsuspect(id, &mut changes);
        }
        for recipient in recipients {
            if self.members.get(&recipient.id).is_some_and(|known| known.sender != recipient.sender) {
                self.unsuspect(recipient.id, &mut changes);
            }
            self.meet(recipient);
        }
        self.close_unused(senders, mailboxes, now, &mut changes);
        self.forget_unused(senders, mailboxes, &mut changes);
        changes
    }

    fn close_unused(
        &mut self,
        senders: &HashSet<Arc<str>>,
        mailboxes: &HashSet<Arc<str>>,
        now: Timestamp,
        changes: &mut Vec<Change>,
    ) {
        let (sending, watched) = self.used();
        let mut ended = Vec::new();
        for key in self.open.keys() {
            let resolution = match &key.0 {
                Scope::Recipient(id) if !self.members.contains_key(id) => Resolution::Paused,
                Scope::Sender(name) if !senders.contains(name) => Resolution::Removed,
                Scope::Mailbox(name) if !mailboxes.contains(name) => Resolution::Removed,
                Scope::Sender(name) if !sending.contains(name) => Resolution::Paused,
                Scope::Mailbox(name) if !watched.contains(name) => Resolution::Paused,
                Scope::Channel(name) if !self.can_be_down(name) => Resolution::Removed,
                _ => continue,
            };
            ended.push((key.clone(), resolution));
        }
        for (key, resolution) in ended {
            self.resolve(&key, resolution, now, changes);
        }
    }

    /// What is remembered of nobody, lest it count when somebody of that name comes back.
    fn forget_unused(
        &mut self,
        senders: &HashSet<Arc<str>>,
        mailboxes: &HashSet<Arc<str>>,
        changes: &mut Vec<Change>,
    ) {
        let (sending, watched) = self.used();
        let unused = self.suspicions.keys().filter(|n| !senders.contains(*n) || !sending.contains(*n));
        let mut forgotten: Vec<Scope> = unused.cloned().map(Scope::Sender).collect();
        let unused = self.blind.keys().filter(|n| !mailboxes.contains(*n) || !watched.contains(*n));
        forgotten.extend(unused.cloned().map(Scope::Mailbox));
        let none_left = self.down.iter().filter(|(_, down)| down.is_empty());
        let channels: Vec<&'static str> = none_left.map(|(name, _)| *name).collect();
        for name in channels {
            self.down.remove(name);
            forgotten.push(Scope::Channel(Arc::from(name)));
        }
        for scope in &forgotten {
            match scope {
                Scope::Sender(name) => drop(self.suspicions.remove(name)),
                Scope::Mailbox(name) => drop(self.blind.remove(name)),
                Scope::Recipient(_) | Scope::Channel(_) => {}
            }
        }
        let stale = std::mem::take(&mut self.stale);
        let again = |scope: &Scope| match scope {
            Scope::Recipient(id) => self.members.get(id).is_some_and(|member| member.kept),
            _ => false,
        };
        forgotten.extend(stale.into_iter().filter(|scope| !again(scope)));
        changes.extend(forgotten.into_iter().map(|scope| Change::Keep { scope, state: None }));
    }

    /// The senders and the mailboxes that somebody uses.
    fn used(&self) -> (HashSet<Arc<str>>, HashSet<Arc<str>>) {
        let members = self.members.values();
        members.map(|member| (Arc::clone(&member.sender), Arc::clone(&member.mailbox))).unzip()
    }

    /// Whether a channel is configured, and a destination of it that is down, where that is known.
    fn can_be_down(&self, name: &str) -> bool {
        let configured = self.policy.channels.iter().any(|channel| channel.name() == name);
        configured && self.down.get(name).is_none_or(|down| !down.is_empty())
    }

    fn unsuspect(&mut self, id: RecipientId, changes: &mut Vec<Change>) {
        let suspicions = self.suspicions.iter();
        let of = suspicions.filter(|(_, suspicion)| suspicion.suspects.contains_key(&id));
        let senders: Vec<Arc<str>> = of.map(|(name, _)| Arc::clone(name)).collect();
        for sender in senders {
            self.suspecting(&sender, changes, |book, _| {
                if let Some(suspicion) = book.suspicions.get_mut(&sender) {
                    suspicion.suspects.remove(&id);
                }
            });
        }
    }

    pub(super) fn concerned_by(&self, which: impl Fn(&Member) -> bool) -> Vec<Concerned> {
        let members = self.members.iter().filter(|(_, member)| which(member));
        let mut concerned: Vec<Concerned> = members.map(|(id, member)| member.concerned(*id)).collect();
        concerned.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        concerned
    }

    /// The key of the sender's incident.
    pub(super) fn of_sender(sender: &Arc<str>) -> (Scope, Kind) {
        (Scope::Sender(Arc::clone(sender)), Kind::SenderUnreachable)
    }
}

impl Member {
    pub(super) fn concerned(&self, id: RecipientId) -> Concerned {
        Concerned { id, name: self.name.to_string(), address: self.address.to_string() }
    }
}
