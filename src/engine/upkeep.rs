//! What is done from time to time: marks, look-backs, strays, the clock.

use std::time::{Duration, Instant};

use tracing::warn;

use crate::domain::probe::{Event, Probe};
use crate::store::{FolderMark, Sample};

use super::Engine;
use super::desk::{self, Desk};
use super::journal::Then;

impl Engine {
    /// Says when every mailbox has been observed for the first time.
    pub(super) fn note_observed(&self) {
        if self.desks.values().all(Desk::is_observed) {
            self.observed.cancel();
        }
    }

    /// Tells the watchers how far back an open probe may be found.
    pub(super) fn look_back(&self) {
        for (name, desk) in &self.desks {
            let oldest = self
                .table
                .iter()
                .filter(|tracked| tracked.probe.state.is_open() && tracked.probe.mailbox == *name)
                .map(|tracked| tracked.probe.first_attempt_at)
                .min();
            desk.look_back(oldest);
        }
    }

    /// Keeps how far the folders have been examined. A mark that is not kept costs a look further back, nothing else.
    pub(super) fn keep_marks(&mut self) {
        if self.journal.is_stalled() || self.marks.as_ref().is_some_and(|task| !task.is_finished()) {
            return;
        }
        let mut marks = Vec::new();
        for (mailbox, desk) in &mut self.desks {
            for (name, folder) in &mut desk.folders {
                // What waits for its clean-up must be found again after a kill.
                if !desk.watch.is_clean(name) {
                    continue;
                }
                if let Some(resume) = folder.take_mark() {
                    marks.push(FolderMark {
                        mailbox: mailbox.to_string(),
                        folder: name.to_string(),
                        uidvalidity: resume.uidvalidity,
                        next_uid: resume.next_uid,
                    });
                }
            }
        }
        if !marks.is_empty() {
            let (store, fence) = (self.store.clone(), self.fence);
            self.marks = Some(tokio::spawn(async move { store.keep_folder_marks(fence, &marks).await }));
        }
    }

    pub(super) fn sample_clock(&mut self) {
        if self.clock_sample.is_none() {
            let store = self.store.clone();
            self.clock_sample = Some(tokio::spawn(async move { store.now().await }));
        }
    }

    /// Looks for open probes that nobody holds: rows whose change was refused or given up. None stays open for ever.
    pub(super) fn look_for_strays(&mut self) {
        if self.strays.is_some() || !self.journal.is_empty() {
            return;
        }
        let known = self.table.iter().map(|tracked| tracked.probe.id).collect();
        let store = self.store.clone();
        self.strays = Some(tokio::spawn(async move { store.open_probes_besides(&known).await }));
    }

    pub(super) fn take_in(&mut self, strays: Option<Vec<Probe>>) {
        for probe in strays.unwrap_or_default() {
            if self.table.get(probe.id).is_some() {
                continue;
            }
            warn!(probe = %probe.id, state = probe.state.as_str(), "an open probe that nobody held is taken in");
            let id = probe.id;
            self.adopt(probe);
            if self.tainted.remove(&id) {
                let at = self.clock.at(Instant::now());
                let note = "a result could not be saved".to_owned();
                self.apply(id, Event::GivenUp { at, note, searches: Vec::new() }, Then::default());
            }
        }
    }

    /// Marks that were not kept are kept the next time.
    pub(super) fn marks_kept(&mut self, kept: bool) {
        if !kept {
            self.desks.values_mut().flat_map(|desk| desk.folders.values_mut()).for_each(desk::Folder::unkeep);
        }
    }

    pub(super) fn correct_clock(&mut self, sample: Option<Sample>) {
        // A slow answer tells little about the time.
        let Some(sample) = sample.filter(|sample| sample.took < Duration::from_millis(500)) else { return };
        if let Some(jump) = self.clock.correct(sample.at, sample.time, Duration::from_secs(2)) {
            warn!(
                seconds = jump.as_secs(),
                "the database's clock was set; deadlines of probes under way stay where they were"
            );
            for desk in self.desks.values_mut() {
                desk.clock.shift(jump);
            }
            self.book.shift(jump);
            self.table.shift(jump);
        }
    }
}
