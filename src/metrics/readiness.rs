//! What `/-/ready` says.

use jiff::Timestamp;
use serde::Serialize;

/// The database, as far as the service can use it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DatabaseState {
    /// Not reached, or lost.
    #[default]
    Unreachable,
    /// Reached, its schema not yet the one that this version needs.
    Migrating,
    Ready,
}

/// What this instance does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It does not know yet.
    #[default]
    Starting,
    /// It holds the lease and does the work.
    Active,
    /// Another instance does.
    Standby,
}

/// One watched folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WatcherState {
    pub mailbox: String,
    pub folder: String,
    /// Whether the folder can be looked into now.
    pub up: bool,
    /// Since when it is up, or down. Database time.
    #[serde(skip)]
    pub since: Timestamp,
    /// The end of the last complete look. Nobody is told that it has changed.
    #[serde(skip)]
    pub last_sync: Option<Timestamp>,
    /// Why it is down, in words without secrets.
    #[serde(skip)]
    pub detail: Option<String>,
}

/// One notification channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChannelState {
    pub channel: String,
    pub up: bool,
}

/// What came of reading the configuration again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// By our own clock.
    pub at: Timestamp,
    /// Why nothing changed.
    pub refused: Option<String>,
    /// Some of it takes effect at the next start.
    pub waits_for_start: bool,
}

/// The state of each part, as the parts report it. The listener asks for no login: error texts are for the admin UI alone
/// and skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Readiness {
    pub database: DatabaseState,
    pub role: Role,
    pub watchers: Vec<WatcherState>,
    pub channels: Vec<ChannelState>,
    /// The last one, if there was any.
    #[serde(skip)]
    pub reload: Option<Reload>,
}

impl Readiness {
    /// Ready is who can use the database. Mail trouble never makes the program unready: it is what it is there to report.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.database == DatabaseState::Ready
    }
}
