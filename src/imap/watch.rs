//! Watching one mailbox: one connection and one loop for each of its folders.
//!
//! The watchers tell what they found and, as important, when they looked. A look is complete when every command of it
//! ended in a tagged OK; only then [`Event::Synced`] is sent, after the [`Event::Found`] of that look. Nothing
//! else proves that a message is not there.

mod cleanup;
mod folder;
mod gate;
mod look;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use jiff::Timestamp;
use rustls::ClientConfig;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::error;

use crate::config::{Cleanup, Limits, Mailbox};
use crate::domain::verdict::Placement;

use super::error::Reason;
use super::folders::distinct;
use super::outlook::Outlook;
use cleanup::Releases;
use folder::Watcher;
use gate::Gate;

/// Everything that the watchers of one mailbox share.
#[derive(Clone, Debug)]
pub struct Setting {
    pub mailbox: Arc<Mailbox>,
    pub tls: Arc<ClientConfig>,
    pub limits: Arc<Limits>,
    /// The longest time between two complete looks.
    pub check_interval: Duration,
    pub outlook: Arc<Outlook>,
    /// Where the watchers tell what they see. When it is full they wait, and stop looking meanwhile.
    pub events: mpsc::Sender<Event>,
    pub cancel: CancellationToken,
}

/// The watchers of one mailbox.
#[derive(Debug)]
pub struct Watch {
    folders: HashMap<Arc<str>, Arc<Releases>>,
}

/// Where a watch takes up again: kept from [`Synced`] once everything found before it is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resume {
    pub uidvalidity: u32,
    /// Every message with a lower UID was looked at.
    pub next_uid: u32,
}

/// One message, for as long as its folder's UIDVALIDITY lasts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MessageRef {
    /// The folder as configured.
    pub folder: Arc<str>,
    pub uidvalidity: u32,
    pub uid: u32,
}

/// A watched folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The mailbox's name in the configuration.
    pub mailbox: Arc<str>,
    /// The folder as configured: a name or a special-use attribute.
    pub folder: Arc<str>,
    /// The server's name of the folder; as configured while that is not known.
    pub name: Arc<str>,
    pub placement: Placement,
}

/// What a watcher tells. For one folder events come in the order in which things happened.
#[derive(Clone, Debug)]
pub enum Event {
    Connected(Connected),
    Found(Box<Found>),
    Synced(Synced),
    Lost(Lost),
}

/// Logged in, the folder opened. Nothing is covered yet: that takes a [`Synced`].
#[derive(Clone, Debug)]
pub struct Connected {
    pub place: Arc<Place>,
    /// When the server's certificate expires, in seconds since the epoch; `None` without TLS.
    pub certificate_not_after: Option<i64>,
    /// No folder has the configured special-use attribute (or it is watched under its name already): there is nothing
    /// to open. Such a "folder" still takes part in every round, by asking for the list of folders again.
    pub is_absent: bool,
}

/// A message that mentions a probe. Nothing about it is verified. The same message may be told again: after a lost
/// connection, a restart, or a change of UIDVALIDITY.
#[derive(Clone, Debug)]
pub struct Found {
    pub place: Arc<Place>,
    pub message: MessageRef,
    /// `None` where the server's date cannot be read.
    pub internal_date: Option<Timestamp>,
    /// The header section, at most 64 KiB of it.
    pub header: Bytes,
    /// The whole message, at most 64 KiB of it; only where the header looks like that of a delivery status
    /// notification.
    pub body: Option<Bytes>,
    /// When the response that announced the message was read.
    pub seen_at: Instant,
    /// When the server could last have announced it and did not: within this connection, it came after that.
    pub silent_until: Instant,
    /// When the last complete look of this connection began; it did not show the message. `None` in a connection's
    /// first look.
    pub previous_look: Option<Instant>,
    /// Since when the folder is covered without a gap; `None` in a connection's first look.
    pub covered_since: Option<Instant>,
}

/// A complete look: every message that was in the folder at `started` was looked at, now or earlier.
#[derive(Clone, Debug)]
pub struct Synced {
    pub place: Arc<Place>,
    /// The last round whose demands were met: it was asked before `started`.
    pub round: u64,
    pub started: Instant,
    pub finished: Instant,
    /// Since when the folder is covered without a gap: the moment when it was opened on this connection.
    pub covered_since: Instant,
    /// What to keep for the next start; `None` where there is no folder to open.
    pub resume: Option<Resume>,
}

/// The folder is not covered any more, or still not.
#[derive(Clone, Debug)]
pub struct Lost {
    pub place: Arc<Place>,
    /// When the loss was noticed; the same through all failed attempts until the next [`Synced`].
    pub since: Instant,
    pub reason: Reason,
    /// In words, without secrets.
    pub detail: String,
    pub retry_in: Duration,
}

impl Event {
    #[must_use]
    pub fn place(&self) -> &Arc<Place> {
        match self {
            Self::Connected(event) => &event.place,
            Self::Found(event) => &event.place,
            Self::Synced(event) => &event.place,
            Self::Lost(event) => &event.place,
        }
    }
}

impl Watch {
    /// Starts one watcher for each folder. `resume` is by folder as configured.
    #[must_use]
    pub fn spawn(setting: Setting, resume: &HashMap<String, Resume>, tracker: &TaskTracker) -> Self {
        let configured: Arc<[String]> = distinct(&setting.mailbox.folders).into();
        let setting = Arc::new(setting);
        let gate = Arc::new(Gate::default());
        let mut folders = HashMap::new();
        for (index, folder) in configured.iter().enumerate() {
            let releases = Arc::new(Releases::default());
            folders.insert(Arc::from(folder.as_str()), Arc::clone(&releases));
            let watcher = {
                let (setting, gate) = (Arc::clone(&setting), Arc::clone(&gate));
                let configured = Arc::clone(&configured);
                move |resume| {
                    Watcher::new(
                        Arc::clone(&setting),
                        Arc::clone(&configured),
                        index,
                        resume,
                        Arc::clone(&releases),
                        Arc::clone(&gate),
                    )
                }
            };
            tracker.spawn(keep_watching(Arc::clone(&setting), watcher, resume.get(folder).copied()));
        }
        if setting.mailbox.cleanup == Cleanup::Keep {
            folders.clear();
        }
        Self { folders }
    }

    /// The message's arrival is committed: it may be cleaned up as the mailbox is configured. Returns at once; the
    /// watcher does it when it delays nothing.
    pub fn release(&self, message: &MessageRef) {
        if let Some(releases) = self.folders.get(&message.folder) {
            releases.add(message.uidvalidity, message.uid, Instant::now());
        }
    }

    /// Whether no released message of this folder waits for its clean-up.
    #[must_use]
    pub fn is_clean(&self, folder: &str) -> bool {
        self.folders.get(folder).is_none_or(|releases| releases.is_empty())
    }

    /// The folders as they are watched: as configured, without repetitions. A round is complete when each of them has
    /// told a [`Synced`] of it.
    #[must_use]
    pub fn folders(mailbox: &Mailbox) -> Vec<String> {
        distinct(&mailbox.folders)
    }
}

/// Runs a watcher, and another one when it dies of an error of this program: that makes the folder blind, which is told, and
/// takes nothing else with it.
async fn keep_watching(
    setting: Arc<Setting>,
    watcher: impl Fn(Option<Resume>) -> Watcher,
    mut resume: Option<Resume>,
) {
    let mut retry_in = setting.limits.reconnect_min;
    loop {
        let watcher = watcher(resume.take());
        let place = watcher.place();
        if AssertUnwindSafe(watcher.run()).catch_unwind().await.is_ok() {
            return;
        }
        error!(mailbox = %place.mailbox, folder = %place.folder, "a watcher died of an error of this program; please report it");
        let detail = "an error of this program".to_owned();
        let lost = Lost { place, since: Instant::now(), reason: Reason::Other, detail, retry_in };
        if setting.events.send(Event::Lost(lost)).await.is_err() {
            return;
        }
        tokio::select! {
            () = setting.cancel.cancelled() => return,
            () = tokio::time::sleep(retry_in) => {}
        }
        retry_in = (retry_in * 2).min(setting.limits.reconnect_max);
    }
}
