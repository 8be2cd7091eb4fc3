//! From a message in a folder to an event of a probe.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tracing::{debug, info};

use crate::domain::id::ProbeId;
use crate::domain::message::{Form, Recognised, recognise};
use crate::domain::probe::{Event, Sighting, between};
use crate::domain::record::Content;
use crate::domain::report;
use crate::imap::{self, Found, Reason};
use crate::metrics::readiness::WatcherState;
use crate::metrics::{ConnectionFailure, Protocol};

use super::journal::{Release, Then};
use super::{Engine, Identified};

/// Rows that are read at once.
const AT_ONCE: usize = 500;
/// How long a server may have had no chance to announce a message for its arrival to count as timed by our own clock.
const PROMPT: Duration = Duration::from_secs(2);

impl Engine {
    /// Takes in what a watcher says.
    pub(super) fn watched(&mut self, event: imap::Event) {
        match event {
            imap::Event::Connected(connected) => {
                if let Some(not_after) = connected.certificate_not_after {
                    let account = &connected.place.mailbox;
                    self.metrics.certificate_not_after(account, Protocol::Imap, not_after);
                }
                if connected.is_absent {
                    info!(mailbox = %connected.place.mailbox, folder = %connected.place.folder, "no folder has this attribute; nothing to watch there");
                }
            }
            imap::Event::Found(found) => self.found(*found),
            imap::Event::Synced(synced) => self.synced(&synced),
            imap::Event::Lost(lost) => self.lost(lost),
        }
    }

    fn synced(&mut self, synced: &imap::Synced) {
        let place = &synced.place;
        // A configured attribute that no folder has is no folder to report about.
        if synced.resume.is_some() {
            let finished = self.clock.at(synced.finished);
            self.show_watcher(&place.mailbox, &place.name, finished, None);
            let metrics = self.metrics.mailbox(&place.mailbox).folder(&place.name);
            metrics.imap_up(true);
            metrics.last_sync(finished);
        }
        // Before it was opened, or where nothing has the attribute, only the configured word was known.
        if synced.resume.is_none() || place.name != place.folder {
            self.metrics.mailbox(&place.mailbox).remove_folder(&place.folder);
            self.readiness.send_if_modified(|readiness| {
                let before = readiness.watchers.len();
                readiness.watchers.retain(|w| w.mailbox != *place.mailbox || w.folder != *place.folder);
                readiness.watchers.len() != before
            });
        }
        let Some(desk) = self.desks.get_mut(&place.mailbox) else { return };
        desk.synced(synced);
        if let Some(round) =
            desk.rounds.answered(&place.folder, synced.round, synced.started, synced.finished)
        {
            self.round_complete(&place.mailbox, &round);
        }
        self.note_observed();
    }

    fn lost(&mut self, lost: imap::Lost) {
        let place = &lost.place;
        let since = self.clock.at(lost.since);
        self.show_watcher(&place.mailbox, &place.name, since, Some(&lost.detail));
        let metrics = self.metrics.mailbox(&place.mailbox);
        metrics.folder(&place.name).imap_up(false);
        metrics.connection_failure(connection_failure(lost.reason));
        let Some(desk) = self.desks.get_mut(&place.mailbox) else { return };
        let folder = desk.folders.entry(place.folder.clone()).or_default();
        folder.lost = Some((lost.since, lost.detail));
    }

    /// A folder was looked through at `at`, or is lost since then for the reason in `lost`. What the listener does not show
    /// changes without a word.
    fn show_watcher(&self, mailbox: &str, folder: &str, at: Timestamp, lost: Option<&str>) {
        let (up, detail) = (lost.is_none(), lost.map(str::to_owned));
        self.readiness.send_if_modified(|readiness| {
            let known = readiness.watchers.iter_mut().find(|w| w.mailbox == mailbox && w.folder == folder);
            let Some(watcher) = known else {
                let (mailbox, folder) = (mailbox.to_owned(), folder.to_owned());
                let last_sync = up.then_some(at);
                readiness.watchers.push(WatcherState { mailbox, folder, up, since: at, last_sync, detail });
                return true;
            };
            let has_turned = watcher.up != up;
            if has_turned {
                watcher.since = at;
            }
            if up {
                watcher.last_sync = Some(at);
            }
            (watcher.up, watcher.detail) = (up, detail);
            has_turned
        });
    }

    fn found(&mut self, found: Found) {
        let raw = found.body.as_deref().unwrap_or(&found.header);
        let Some(recognised) = recognise(raw) else { return };
        let verified = recognised.tokens.iter().find_map(|token| self.keys.ring.verify(token));
        let Some(id) = verified else {
            self.metrics.mailbox(&found.place.mailbox).foreign_token();
            debug!(mailbox = %found.place.mailbox, "a token that is not ours");
            return;
        };
        self.hold(&found.place);
        if self.table.get(id).is_some() {
            self.sighted(id, &found, &recognised);
        } else {
            self.unknown.push((id, Box::new(found)));
            self.look_up_unknown();
        }
    }

    /// Reads the rows of probes that were sighted and are not in memory.
    pub(super) fn look_up_unknown(&mut self) {
        if self.lookup.is_some() || self.unknown.is_empty() {
            return;
        }
        let rest = self.unknown.split_off(self.unknown.len().min(AT_ONCE));
        let waiting = std::mem::replace(&mut self.unknown, rest);
        let store = self.store.clone();
        let patience = if self.journal.is_stalled() { Duration::from_secs(1) } else { Duration::ZERO };
        self.lookup = Some(tokio::spawn(async move {
            tokio::time::sleep(patience).await;
            let ids: Vec<ProbeId> = waiting.iter().map(|(id, _)| *id).collect();
            let probes = store.probes(&ids).await;
            (waiting, probes)
        }));
    }

    pub(super) fn identified(&mut self, result: Option<Identified>) {
        let Some((waiting, probes)) = result else { return };
        match probes {
            // Asked again at the next beat; the messages stay where they are.
            Err(_) => self.unknown.extend(waiting),
            Ok(probes) => {
                for probe in probes {
                    self.adopt(probe);
                }
                for (id, found) in waiting {
                    let raw = found.body.as_deref().unwrap_or(&found.header);
                    let Some(recognised) = recognise(raw) else { continue };
                    if self.table.get(id).is_some() {
                        self.sighted(id, &found, &recognised);
                    } else {
                        self.expired(id, &found, &recognised);
                    }
                }
            }
        }
    }

    /// A valid token without a row: ours, from beyond the end of history. One that is too young for that was made by
    /// another installation with the same `SECRET_KEY`, and is its business.
    fn expired(&mut self, id: ProbeId, found: &Found, recognised: &Recognised) {
        let made = i64::try_from(id.unix_ms()).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let now = self.clock.at(Instant::now());
        let is_old = made.is_some_and(|made| between(made, now) > self.pace.retention);
        if is_old && recognised.form == Form::Direct {
            self.release(Some(release(found)));
        } else if !is_old {
            self.metrics.mailbox(&found.place.mailbox).foreign_token();
        }
        self.let_go(Some(&found.place));
    }

    /// A message that carries the verified token of a probe in memory. Whatever it is, it goes on record; only one that
    /// proves the delivery is removed from the mailbox.
    fn sighted(&mut self, id: ProbeId, found: &Found, recognised: &Recognised) {
        let holds = Some(Arc::clone(&found.place));
        let Some(tracked) = self.table.get(id) else { return self.let_go(holds.as_ref()) };
        let is_here = tracked.probe.mailbox == found.place.mailbox;
        let is_accepted = tracked.probe.return_mode.accepts(recognised.form);
        let sighting = self.sighting(id, found, recognised.form, is_here && is_accepted);
        let mut then = Then { holds, ..Then::default() };
        let event = if recognised.form == Form::Report {
            match report::failure(found.body.as_deref().unwrap_or(&found.header)) {
                Some(note) => Event::Bounced { at: self.clock.at(found.seen_at), note, report: sighting },
                None => Event::Noted(sighting),
            }
        } else if !is_accepted {
            debug!(probe = %id, form = ?recognised.form, "a message about a probe that does not prove its delivery");
            Event::Noted(sighting)
        } else if !is_here {
            Event::Misrouted(sighting)
        } else {
            then.release = Some(release(found));
            Event::Seen(sighting)
        };
        self.apply(id, event, then);
    }

    /// What a message says about the probe. The clock of the mailbox is learned from those that `count` alone.
    fn sighting(&mut self, id: ProbeId, found: &Found, form: Form, counts: bool) -> Sighting {
        let seen = self.clock.at(found.seen_at);
        let accepted = self.table.get(id).and_then(|tracked| tracked.accepted);
        let acknowledged = self.table.get(id).and_then(|tracked| tracked.probe.accepted_at);
        let attempt_at = self.table.get(id).map(|tracked| tracked.probe.attempt_at);
        // Before the reply that accepts it is read, what counts is that the folder was covered when the attempt began.
        let from = accepted.or_else(|| acknowledged.or(attempt_at).map(|at| self.clock.instant(at)));
        let covered = found.covered_since.zip(from).is_some_and(|(covered, from)| covered <= from);
        // A server that is asked every half minute tells half a minute late; then its own date is the better clock.
        let prompt = found.seen_at.saturating_duration_since(found.silent_until) <= PROMPT;
        let live = covered && prompt && found.previous_look.is_some();
        let mut sighting = Sighting {
            at: seen,
            latency: accepted.map(|accepted| found.seen_at.saturating_duration_since(accepted)),
            estimated: false,
            tolerance: Duration::ZERO,
            placement: found.place.placement,
            mailbox: Arc::clone(&found.place.mailbox),
            folder: found.place.name.chars().filter(|c| !c.is_control()).collect::<String>().into(),
            print: print(&found.header),
            form,
            content: Content::of(&found.header),
        };
        let Some(desk) = self.desks.get_mut(&found.place.mailbox) else { return sighting };
        // Without a date of the server's our own clock is all there is.
        let Some(stamped) = found.internal_date else {
            sighting.estimated = !live;
            return sighting;
        };
        if live && !counts {
            return sighting;
        }
        if live {
            if let Some(lag) = desk.clock.detection_lag(seen, stamped) {
                self.metrics.mailbox(&found.place.mailbox).detection_lag(lag);
            }
            desk.clock.learn(seen, stamped);
        } else {
            let (arrived, tolerance) = desk.clock.arrival(stamped);
            let earliest = found.previous_look.map(|_| self.clock.at(found.silent_until));
            sighting.at = arrived.max(earliest.unwrap_or(arrived)).min(seen);
            sighting.estimated = true;
            sighting.tolerance = tolerance;
            // On the clock of now: the database's may have been set since.
            sighting.latency = accepted.map(|accepted| between(self.clock.at(accepted), sighting.at));
        }
        sighting
    }
}

fn release(found: &Found) -> Release {
    Release { mailbox: found.place.mailbox.clone(), message: found.message.clone() }
}

/// The watcher's reason as the metrics' word.
fn connection_failure(reason: Reason) -> ConnectionFailure {
    match reason {
        Reason::Dns => ConnectionFailure::Dns,
        Reason::Connect => ConnectionFailure::Connect,
        Reason::Timeout => ConnectionFailure::Timeout,
        Reason::Tls => ConnectionFailure::Tls,
        Reason::Auth => ConnectionFailure::Auth,
        Reason::Folder => ConnectionFailure::Folder,
        Reason::Protocol => ConnectionFailure::Protocol,
        Reason::Closed => ConnectionFailure::Closed,
        Reason::Other => ConnectionFailure::Other,
    }
}

/// Tells one copy of a probe from another: each delivery adds its own trace fields.
fn print(header: &[u8]) -> i64 {
    let digest = Sha256::digest(header);
    let mut first = [0; 8];
    first.copy_from_slice(digest.get(..8).unwrap_or(&[0; 8]));
    i64::from_be_bytes(first)
}
