//! One folder: messages by UID, and a log of changes from which each session brings its own view up to date.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::Message;

/// So many changes are kept; a session that is further behind compares everything.
const LOG_LENGTH: usize = 16 * 1024;

/// System flags as bits, and keywords.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::demo) struct Flags {
    pub system: u8,
    pub keywords: Vec<String>,
}

impl Flags {
    pub const SEEN: u8 = 1;
    pub const ANSWERED: u8 = 2;
    pub const FLAGGED: u8 = 4;
    pub const DELETED: u8 = 8;
    pub const DRAFT: u8 = 16;
    const NAMES: [(u8, &'static str); 5] = [
        (Self::SEEN, "\\Seen"),
        (Self::ANSWERED, "\\Answered"),
        (Self::FLAGGED, "\\Flagged"),
        (Self::DELETED, "\\Deleted"),
        (Self::DRAFT, "\\Draft"),
    ];

    pub fn has(&self, bit: u8) -> bool {
        self.system & bit != 0
    }

    pub fn has_keyword(&self, keyword: &str) -> bool {
        self.keywords.iter().any(|k| k.eq_ignore_ascii_case(keyword))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        let system = Self::NAMES.iter().filter(|(bit, _)| self.has(*bit)).map(|(_, name)| *name);
        system.chain(self.keywords.iter().map(String::as_str))
    }

    pub fn add(&mut self, other: &Self) {
        self.system |= other.system;
        for keyword in &other.keywords {
            if !self.has_keyword(keyword) {
                self.keywords.push(keyword.clone());
            }
        }
    }

    pub fn remove(&mut self, other: &Self) {
        self.system &= !other.system;
        self.keywords.retain(|k| !other.has_keyword(k));
    }
}

pub(in crate::demo) struct Entry {
    pub message: Arc<Message>,
    pub flags: Flags,
}

/// Something that sessions must hear of.
#[derive(Clone, Copy, Debug)]
pub(in crate::demo) enum Change {
    Added(u32),
    Removed(u32),
    /// Flags were set by the session of this connection, which knows.
    Flags {
        uid: u32,
        by: u64,
    },
}

pub(in crate::demo) struct State {
    pub uid_validity: u32,
    pub uid_next: u32,
    /// UIDs from here on have not been shown to any session yet (RFC 3501 section 2.3.2, `\Recent`).
    pub recent_from: u32,
    pub unseen: usize,
    entries: BTreeMap<u32, Entry>,
    /// Saved, but not shown yet, by a fault.
    hidden: BTreeMap<u32, Entry>,
    log: VecDeque<Change>,
    log_start: u64,
    most: usize,
}

impl State {
    pub fn entries(&self) -> &BTreeMap<u32, Entry> {
        &self.entries
    }

    /// The number of the next change.
    pub fn head(&self) -> u64 {
        self.log_start + self.log.len() as u64
    }

    /// The changes from `cursor` on; none if some of them are no longer known.
    pub fn changes(&self, cursor: u64) -> Option<impl Iterator<Item = Change>> {
        let from = usize::try_from(cursor.checked_sub(self.log_start)?).ok()?;
        Some(self.log.range(from.min(self.log.len())..).copied())
    }

    fn note(&mut self, change: Change) {
        self.log.push_back(change);
        if self.log.len() > LOG_LENGTH {
            self.log.pop_front();
            self.log_start += 1;
        }
    }

    fn show(&mut self, uid: u32, entry: Entry) {
        self.unseen += usize::from(!entry.flags.has(Flags::SEEN));
        self.entries.insert(uid, entry);
        self.note(Change::Added(uid));
        while self.entries.len() > self.most {
            let oldest = self.entries.keys().next().copied();
            if !oldest.is_some_and(|uid| self.remove(uid)) {
                break;
            }
        }
    }

    pub fn remove(&mut self, uid: u32) -> bool {
        let Some(entry) = self.entries.remove(&uid) else { return self.hidden.remove(&uid).is_some() };
        self.unseen -= usize::from(!entry.flags.has(Flags::SEEN));
        self.note(Change::Removed(uid));
        true
    }

    /// Changes flags; tells whether the message exists. `by` is the connection that did it.
    pub fn change_flags(&mut self, uid: u32, by: u64, change: impl FnOnce(&mut Flags)) -> Option<Flags> {
        let entry = self.entries.get_mut(&uid)?;
        let before = entry.flags.clone();
        change(&mut entry.flags);
        let after = entry.flags.clone();
        if before != after {
            self.unseen += usize::from(before.has(Flags::SEEN));
            self.unseen -= usize::from(after.has(Flags::SEEN));
            self.note(Change::Flags { uid, by });
        }
        Some(after)
    }
}

pub(in crate::demo) struct Folder {
    pub name: String,
    state: Mutex<State>,
    wake: watch::Sender<u64>,
}

impl Folder {
    pub fn new(name: String, uid_validity: u32, most: usize) -> Self {
        Self {
            name,
            state: Mutex::new(State {
                uid_validity,
                uid_next: 1,
                recent_from: 1,
                unseen: 0,
                entries: BTreeMap::new(),
                hidden: BTreeMap::new(),
                log: VecDeque::new(),
                log_start: 0,
                most,
            }),
            wake: watch::Sender::new(0),
        }
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes whenever the folder does.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }

    /// Works on the folder and wakes the sessions in IDLE.
    pub fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let result = work(&mut state);
        let head = state.head();
        drop(state);
        self.wake.send_if_modified(|seen| std::mem::replace(seen, head) != head);
        result
    }

    /// Saves a message and tells its UIDVALIDITY and UID. A hidden one is shown by [`Folder::reveal`].
    pub fn save(&self, message: impl Into<Arc<Message>>, flags: Flags, hidden: bool) -> (u32, u32) {
        self.change(|state| {
            let uid = state.uid_next;
            state.uid_next = state.uid_next.saturating_add(1);
            let entry = Entry { message: message.into(), flags };
            if hidden {
                state.hidden.insert(uid, entry);
            } else {
                state.show(uid, entry);
            }
            (state.uid_validity, uid)
        })
    }

    /// Shows a message that was saved hidden.
    pub fn reveal(&self, uid_validity: u32, uid: u32) {
        self.change(|state| {
            if state.uid_validity == uid_validity
                && let Some(entry) = state.hidden.remove(&uid)
            {
                state.show(uid, entry);
            }
        });
    }

    /// Gives the folder a new UIDVALIDITY and all messages new UIDs from 1 on.
    pub fn renumber(&self) -> u32 {
        self.change(|state| {
            let mut entries = std::mem::take(&mut state.entries);
            entries.append(&mut state.hidden);
            state.unseen = entries.values().filter(|entry| !entry.flags.has(Flags::SEEN)).count();
            state.uid_validity = state.uid_validity.saturating_add(1);
            state.entries = (1..).zip(entries.into_values()).collect();
            state.uid_next = u32::try_from(state.entries.len()).unwrap_or(u32::MAX).saturating_add(1);
            state.recent_from = state.uid_next;
            // Whoever has the old numbers must notice: no change of before is comparable.
            state.log_start = state.head() + 1;
            state.log.clear();
            state.uid_validity
        })
    }
}
