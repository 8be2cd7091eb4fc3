//! Faults on demand: rules that say where, for whom, how often and what.
//!
//! A [`Rule`] is added to [`Faults`] at any time and works from the next command on. At a protocol point the first rule
//! that applies decides; at a delivery all rules that apply work together.
//!
//! ```ignore
//! // Refuse the first two attempts for one recipient.
//! faults.add(Rule::smtp(SmtpPoint::Rcpt, Action::reply("450 4.2.0 Greylisted")).to("a@b.test").times(2));
//! // Store the next message, but lose the connection instead of answering.
//! faults.add(Rule::smtp(SmtpPoint::Saved, Action::Close).times(1));
//! // Let every third message vanish after the 250.
//! faults.add(Rule::delivery(Fate::Drop).cycle(2, 1));
//! ```

mod points;
mod rule;

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

pub use points::{Action, Fate, ImapPoint, Quirk, SmtpPoint, Then};
use rule::Fault;
pub use rule::{Rule, Scene};

/// Names a rule that was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RuleId(u64);

#[derive(Default)]
struct Inner {
    rules: Mutex<Vec<(RuleId, Rule)>>,
    count: AtomicUsize,
    next: AtomicU64,
}

/// All rules of one server. Clones are the same rules.
#[derive(Clone, Default)]
pub struct Faults(Arc<Inner>);

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.lock().iter().map(|(_, rule)| rule)).finish()
    }
}

impl Faults {
    /// Adds a rule behind the others.
    pub fn add(&self, rule: Rule) -> RuleId {
        let id = RuleId(self.0.next.fetch_add(1, Ordering::Relaxed));
        let mut rules = self.lock();
        rules.push((id, rule));
        self.0.count.store(rules.len(), Ordering::Release);
        id
    }

    /// Removes a rule; false if there is none.
    pub fn remove(&self, id: RuleId) -> bool {
        let mut rules = self.lock();
        let before = rules.len();
        rules.retain(|(each, _)| *each != id);
        self.0.count.store(rules.len(), Ordering::Release);
        rules.len() < before
    }

    /// Removes all rules.
    pub fn clear(&self) {
        let mut rules = self.lock();
        rules.clear();
        self.0.count.store(0, Ordering::Release);
    }

    /// How often a rule has worked; 0 if it was removed.
    #[must_use]
    pub fn hits(&self, id: RuleId) -> u64 {
        self.lock().iter().find(|(each, _)| *each == id).map_or(0, |(_, rule)| rule.hits)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(RuleId, Rule)>> {
        self.0.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first<T>(&self, scene: &Scene<'_>, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let now = Instant::now();
        self.lock().iter_mut().find_map(|(_, rule)| pick(&rule.fault).filter(|_| rule.applies(scene, now)))
    }

    pub(super) fn smtp(&self, point: SmtpPoint, scene: &Scene<'_>) -> Option<Action> {
        self.first(scene, |fault| match fault {
            Fault::Smtp(at, action) if *at == point => Some(action.clone()),
            _ => None,
        })
    }

    pub(super) fn imap(&self, point: ImapPoint, scene: &Scene<'_>) -> Option<Action> {
        self.first(scene, |fault| match fault {
            Fault::Imap(at, action) if *at == point => Some(action.clone()),
            _ => None,
        })
    }

    pub(super) fn quirk(&self, quirk: Quirk, scene: &Scene<'_>) -> bool {
        self.first(scene, |fault| (*fault == Fault::Quirk(quirk)).then_some(())).is_some()
    }

    pub(super) fn fates(&self, scene: &Scene<'_>) -> Vec<Fate> {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        let now = Instant::now();
        let mut fates = Vec::new();
        for (_, rule) in self.lock().iter_mut() {
            if let Fault::Delivery(fate) = &rule.fault {
                let fate = fate.clone();
                if rule.applies(scene, now) {
                    fates.push(fate);
                }
            }
        }
        fates
    }
}
