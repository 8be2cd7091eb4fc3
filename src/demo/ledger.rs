//! What the server saw and when, to be compared with what the program under test says.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use jiff::Timestamp;

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub instant: Instant,
    pub wall: Timestamp,
}

impl Moment {
    #[must_use]
    pub fn now() -> Self {
        Self { instant: Instant::now(), wall: crate::clock::now() }
    }
}

/// A message that the server took in, whole or in part.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The queue id in the 250.
    pub id: String,
    /// Number of the connection, from 1, over all ports.
    pub connection: u64,
    pub tls: bool,
    pub user: Option<String>,
    /// Reverse-path; empty for `<>`.
    pub mail_from: String,
    /// The recipients that were accepted.
    pub rcpt_to: Vec<String>,
    /// The message as it came, without dot-stuffing.
    pub raw: Bytes,
    /// Whether the final dot was read.
    pub complete: bool,
    /// When the final dot was read, or the connection was lost in the middle.
    pub received: Moment,
    /// The reply to the final dot; none if the connection was closed or left hanging instead.
    pub reply: Option<String>,
    /// When the whole reply had been written.
    pub replied: Option<Moment>,
    /// Where it, or what took its place, was saved.
    pub saved: Vec<Saved>,
}

impl Submission {
    /// Whether the whole 2xx was written.
    #[must_use]
    pub fn accepted(&self) -> bool {
        self.replied.is_some() && self.reply.as_deref().is_some_and(|reply| reply.starts_with('2'))
    }
}

/// One saving of a message in a folder.
#[derive(Clone, Debug)]
pub struct Saved {
    pub recipient: String,
    pub account: String,
    pub folder: String,
    pub uid: u32,
    pub at: Moment,
}

/// A command that got a 4xx or 5xx reply before any message.
#[derive(Clone, Debug)]
pub struct Refusal {
    pub connection: u64,
    /// The command's verb.
    pub verb: String,
    pub mail_from: String,
    /// The recipient, for RCPT.
    pub recipient: Option<String>,
    pub reply: String,
    pub at: Moment,
}

#[derive(Default)]
struct Pages {
    submissions: VecDeque<Submission>,
    /// Number of the first submission that is still kept.
    first: u64,
    refusals: VecDeque<Refusal>,
}

/// All submissions of one server, the latest `most` of them. Clones are the same ledger.
#[derive(Clone)]
pub struct Ledger {
    pages: Arc<Mutex<Pages>>,
    most: usize,
}

/// Names one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(u64);

impl Ledger {
    pub(super) fn new(most: usize) -> Self {
        Self { pages: Arc::default(), most }
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All submissions, oldest first.
    #[must_use]
    pub fn submissions(&self) -> Vec<Submission> {
        self.lock().submissions.iter().cloned().collect()
    }

    /// The submissions to one recipient, oldest first.
    #[must_use]
    pub fn submissions_to(&self, address: &str) -> Vec<Submission> {
        let concerns = |s: &&Submission| s.rcpt_to.iter().any(|r| r.eq_ignore_ascii_case(address));
        self.lock().submissions.iter().filter(concerns).cloned().collect()
    }

    /// How many submissions there were, those no longer kept included.
    #[must_use]
    pub fn count(&self) -> u64 {
        let pages = self.lock();
        pages.first + pages.submissions.len() as u64
    }

    /// All refusals before a message, oldest first.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        self.lock().refusals.iter().cloned().collect()
    }

    /// Forgets everything so far.
    pub fn clear(&self) {
        let mut pages = self.lock();
        pages.first += pages.submissions.len() as u64;
        pages.submissions.clear();
        pages.refusals.clear();
    }

    pub(super) fn add(&self, submission: Submission) -> Entry {
        let mut pages = self.lock();
        let entry = Entry(pages.first + pages.submissions.len() as u64);
        pages.submissions.push_back(submission);
        if pages.submissions.len() > self.most {
            pages.submissions.pop_front();
            pages.first += 1;
        }
        entry
    }

    fn change(&self, entry: Entry, change: impl FnOnce(&mut Submission)) {
        let mut pages = self.lock();
        let index = entry.0.checked_sub(pages.first).and_then(|i| usize::try_from(i).ok());
        if let Some(submission) = index.and_then(|i| pages.submissions.get_mut(i)) {
            change(submission);
        }
    }

    pub(super) fn replying(&self, entry: Entry, reply: &str) {
        self.change(entry, |s| s.reply = Some(reply.to_owned()));
    }

    pub(super) fn replied(&self, entry: Entry, at: Moment) {
        self.change(entry, |s| s.replied = Some(at));
    }

    pub(super) fn saved(&self, entry: Entry, saved: Saved) {
        self.change(entry, |s| s.saved.push(saved));
    }

    pub(super) fn refused(&self, refusal: Refusal) {
        let mut pages = self.lock();
        pages.refusals.push_back(refusal);
        if pages.refusals.len() > self.most {
            pages.refusals.pop_front();
        }
    }
}
