//! What the engine knows about each watched mailbox.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::domain::proof::Rounds;
use crate::imap::{Outlook, Resume, Synced, Watch};

use super::Watched;
use super::clock::MailboxClock;

/// One mailbox: its watch, its rounds, its clock, its marks.
pub(super) struct Desk {
    pub(super) watch: Watch,
    pub(super) outlook: Arc<Outlook>,
    pub(super) rounds: Rounds,
    pub(super) clock: MailboxClock,
    /// By folder as configured.
    pub(super) folders: BTreeMap<Arc<str>, Folder>,
    /// Folders that no look has been through yet, and how far back that first look has to go: messages of probes that were
    /// judged a moment before the last stop may still lie there.
    unseen: HashSet<String>,
    recent: Option<Timestamp>,
}

impl Desk {
    pub(super) fn new(watched: Watched) -> Self {
        let Watched { watch, folders, outlook, recent, .. } = watched;
        let mut rounds = Rounds::default();
        rounds.watch(folders.iter().cloned());
        Self {
            watch,
            outlook,
            rounds,
            clock: MailboxClock::default(),
            folders: BTreeMap::new(),
            unseen: folders.into_iter().collect(),
            recent,
        }
    }

    /// Tells the watchers how far back a probe of ours may lie; `oldest` is the first attempt of the oldest open one.
    pub(super) fn look_back(&self, oldest: Option<Timestamp>) {
        let recent = self.recent.filter(|_| !self.unseen.is_empty());
        self.outlook.set_look_back(oldest.into_iter().chain(recent).min());
    }

    /// Whether every folder has been looked through once.
    pub(super) fn is_observed(&self) -> bool {
        self.unseen.is_empty()
    }

    pub(super) fn synced(&mut self, synced: &Synced) {
        self.unseen.remove(&*synced.place.folder);
        self.folders.entry(synced.place.folder.clone()).or_default().synced(synced);
    }
}

/// One watched folder.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Since when it cannot be observed, and why.
    pub(super) lost: Option<(Instant, String)>,
    /// The server's name, once it was opened.
    pub(super) name: Option<Arc<str>>,
    /// Sightings that are not committed yet.
    holding: usize,
    latest: Option<Resume>,
    safe: Option<Resume>,
    /// Safe for a while: what was committed is cleaned up as well.
    ripe: Option<Resume>,
    kept: Option<Resume>,
}

impl Folder {
    pub(super) fn hold(&mut self) {
        self.holding += 1;
    }

    pub(super) fn let_go(&mut self) {
        self.holding = self.holding.saturating_sub(1);
        if self.holding == 0 {
            self.safe = self.latest;
        }
    }

    fn synced(&mut self, synced: &Synced) {
        self.lost = None;
        self.name = synced.resume.is_some().then(|| Arc::clone(&synced.place.name));
        self.latest = synced.resume;
        if self.holding == 0 {
            self.safe = self.latest;
        }
    }

    /// The last mark was not kept.
    pub(super) fn unkeep(&mut self) {
        self.kept = None;
    }

    /// The mark to keep, once: the first UID that was not examined, committed and cleaned up. Called every few seconds.
    pub(super) fn take_mark(&mut self) -> Option<Resume> {
        let ripe = std::mem::replace(&mut self.ripe, self.safe);
        if ripe == self.kept {
            return None;
        }
        self.kept = ripe;
        ripe
    }
}

/// The desks by mailbox.
pub(super) type Desks = HashMap<Arc<str>, Desk>;
