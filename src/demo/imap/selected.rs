//! What a session believes about the folder that it has selected.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::sync::Arc;

use imap_codec::imap_types::sequence::SequenceSet;

use super::sets::Ranges;
use crate::demo::spool::{Change, Flags, Folder, State};

pub(super) struct Selected {
    pub folder: Arc<Folder>,
    pub read_only: bool,
    uid_validity: u32,
    /// UIDs by message sequence number, as the client knows them.
    uids: Vec<u32>,
    /// The next change of the folder that the client has not heard of.
    cursor: u64,
    /// From this UID on messages are `\Recent` to this session.
    recent_from: u32,
}

/// The folder was renumbered; the session has to end.
#[derive(Debug)]
pub(super) struct Renumbered;

impl Selected {
    pub fn new(folder: Arc<Folder>, read_only: bool) -> Self {
        let mut state = folder.lock();
        let recent_from = state.recent_from;
        if !read_only {
            state.recent_from = state.uid_next;
        }
        let (uid_validity, cursor) = (state.uid_validity, state.head());
        let uids = state.entries().keys().copied().collect();
        drop(state);
        Self { folder, read_only, uid_validity, uids, cursor, recent_from }
    }

    pub fn exists(&self) -> usize {
        self.uids.len()
    }

    pub fn recent(&self) -> usize {
        self.uids.len() - self.uids.partition_point(|uid| *uid < self.recent_from)
    }

    pub fn last_uid(&self) -> u32 {
        self.uids.last().copied().unwrap_or(0)
    }

    pub fn number_of(&self, uid: u32) -> Option<usize> {
        self.uids.binary_search(&uid).ok().map(|at| at + 1)
    }

    pub fn uid_of(&self, number: u32) -> Option<u32> {
        self.uids.get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
    }

    /// The UIDs of a set, in order, of messages that the client knows.
    pub fn uids_in(&self, set: &SequenceSet, by_uid: bool) -> Vec<u32> {
        let exists = u32::try_from(self.exists()).unwrap_or(u32::MAX);
        if by_uid {
            let known = |range: RangeInclusive<u32>| {
                let from = self.uids.partition_point(|uid| uid < range.start());
                let to = self.uids.partition_point(|uid| uid <= range.end());
                self.uids.get(from..to).unwrap_or_default().iter().copied()
            };
            Ranges::new(set, self.last_uid()).iter().flat_map(known).collect()
        } else {
            let numbers = |range: RangeInclusive<u32>| *range.start()..=(*range.end()).min(exists);
            let ranges = Ranges::new(set, exists);
            ranges.iter().flat_map(numbers).filter_map(|number| self.uid_of(number)).collect()
        }
    }

    /// Whether nothing has changed since the last news.
    pub fn is_current(&self) -> bool {
        let state = self.folder.lock();
        state.uid_validity == self.uid_validity && state.head() == self.cursor
    }

    pub fn is_recent(&self, uid: u32) -> bool {
        uid >= self.recent_from
    }

    pub fn flag_list(&self, uid: u32, flags: &Flags) -> String {
        let mut names: Vec<&str> = flags.names().collect();
        if self.is_recent(uid) {
            names.push("\\Recent");
        }
        names.join(" ")
    }

    /// Writes what is new as untagged responses and takes it over. Flags changed by the session `me` are no news.
    pub fn news(&mut self, state: &mut State, me: u64, out: &mut String) -> Result<(), Renumbered> {
        if state.uid_validity != self.uid_validity {
            return Err(Renumbered);
        }
        let mut added = 0;
        let mut removed = Vec::new();
        let mut flagged = Vec::new();
        if let Some(changes) = state.changes(self.cursor) {
            for change in changes {
                match change {
                    // An EXPUNGE must name the sequence number of before the messages that came after it.
                    Change::Added(uid) => {
                        self.announce_removed(&mut removed, out);
                        if let Err(at) = self.uids.binary_search(&uid) {
                            self.uids.insert(at, uid);
                            added += 1;
                        }
                    }
                    Change::Removed(uid) => {
                        if self.uids.binary_search(&uid).is_ok() {
                            if added > 0 {
                                self.announce_exists(out);
                                added = 0;
                            }
                            removed.push(uid);
                        }
                    }
                    Change::Flags { uid, by } if by != me => flagged.push(uid),
                    Change::Flags { .. } => {}
                }
            }
            self.announce_removed(&mut removed, out);
        } else {
            let gone = |uid: &&u32| !state.entries().contains_key(uid);
            let mut removed: Vec<u32> = self.uids.iter().filter(gone).copied().collect();
            self.announce_removed(&mut removed, out);
            let survivors = self.exists();
            self.uids = state.entries().keys().copied().collect();
            added = self.exists() - survivors;
        }
        if added > 0 {
            self.announce_exists(out);
        }
        flagged.sort_unstable();
        flagged.dedup();
        for uid in flagged {
            if let (Some(number), Some(entry)) = (self.number_of(uid), state.entries().get(&uid)) {
                let flags = self.flag_list(uid, &entry.flags);
                let _ = write!(out, "* {number} FETCH (UID {uid} FLAGS ({flags}))\r\n");
            }
        }
        self.cursor = state.head();
        if !self.read_only {
            state.recent_from = state.uid_next;
        }
        Ok(())
    }

    fn announce_exists(&self, out: &mut String) {
        let (exists, recent) = (self.exists(), self.recent());
        let _ = write!(out, "* {exists} EXISTS\r\n* {recent} RECENT\r\n");
    }

    /// Announces from the highest number down, so that each is right at its moment and none needs shifting.
    fn announce_removed(&mut self, removed: &mut Vec<u32>, out: &mut String) {
        removed.sort_unstable();
        for uid in removed.iter().rev() {
            if let Ok(at) = self.uids.binary_search(uid) {
                let _ = write!(out, "* {} EXPUNGE\r\n", at + 1);
                if removed.len() <= 8 {
                    self.uids.remove(at);
                }
            }
        }
        if removed.len() > 8 {
            self.uids.retain(|uid| removed.binary_search(uid).is_err());
        }
        removed.clear();
    }
}
