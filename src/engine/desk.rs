//! What the engine knows about each watched mailbox.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::domain::proof::Rounds;
use crate::imap::{Outlook, Resume, Synced, Watch};

use super::clock::MailboxClock;

/// One mailbox: its watch, its rounds, its clock, its marks.
pub(super) struct Desk {
    pub(super) watch: Watch,
    pub(super) outlook: Arc<Outlook>,
    pub(super) rounds: Rounds,
    pub(super) clock: MailboxClock,
    /// By folder as configured.
    pub(super) folders: BTreeMap<Arc<str>, Folder>,
}

/// One watched folder.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// Since when it cannot be observed, and why.
    pub(super) lost: Option<(Instant, String)>,
    /// Sightings that are not committed yet.
    holding: usize,
    latest: Option<Resume>,
    safe: Option<Resume>,
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

    pub(super) fn synced(&mut self, synced: &Synced) {
        self.lost = None;
        self.latest = synced.resume;
        if self.holding == 0 {
            self.safe = self.latest;
        }
    }

    /// The mark to keep, once: the first UID not examined and committed.
    pub(super) fn take_mark(&mut self) -> Option<Resume> {
        if self.safe == self.kept {
            return None;
        }
        self.kept = self.safe;
        self.safe
    }
}

/// The desks by mailbox.
pub(super) type Desks = HashMap<Arc<str>, Desk>;
