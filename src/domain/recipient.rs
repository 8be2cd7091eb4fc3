//! A monitored address.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::address::MailAddress;
use super::id::RecipientId;
pub use super::return_mode::ReturnMode;

/// What somebody wants of a recipient, valid and complete: from the configuration file, a form or the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Unique; the label in metrics, and the key between file and database.
    pub name: String,
    pub address: MailAddress,
    /// A key of [`crate::config::Config::senders`].
    pub sender: String,
    /// A key of [`crate::config::Config::mailboxes`].
    pub mailbox: String,
    pub return_mode: ReturnMode,
    pub interval: Duration,
    /// From acceptance to the deadline.
    pub alert_threshold: Duration,
    /// Consecutive failures that open an incident; at least 1.
    pub alert_after: u32,
    pub discord: bool,
    pub email: bool,
    pub muted_until: Option<Timestamp>,
    pub active: bool,
}

/// A recipient as the database has it.
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the user")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    pub id: RecipientId,
    /// Unique; the label in metrics.
    pub name: Arc<str>,
    pub address: Arc<str>,
    pub sender: Arc<str>,
    pub mailbox: Arc<str>,
    pub return_mode: ReturnMode,
    pub interval: Duration,
    pub alert_threshold: Duration,
    /// Consecutive failures that make an incident.
    pub alert_after: i32,
    pub discord: bool,
    pub email: bool,
    pub muted_until: Option<Timestamp>,
    pub active: bool,
    /// Managed by the configuration file.
    pub provisioned: bool,
    pub next_due_at: Timestamp,
    /// Counts edits, so that two people do not overwrite each other.
    pub version: i32,
}

impl Recipient {
    /// Whether it is as somebody wants it, in whole seconds as the database keeps them.
    #[must_use]
    pub fn is_like(&self, wanted: &Wanted) -> bool {
        (&*self.name, &*self.address, &*self.sender, &*self.mailbox)
            == (&*wanted.name, wanted.address.as_str(), &*wanted.sender, &*wanted.mailbox)
            && (self.return_mode, self.discord, self.email)
                == (wanted.return_mode, wanted.discord, wanted.email)
            && self.interval.as_secs() == wanted.interval.as_secs()
            && self.alert_threshold.as_secs() == wanted.alert_threshold.as_secs()
            && u32::try_from(self.alert_after) == Ok(wanted.alert_after)
            && (self.active, self.muted_until) == (wanted.active, wanted.muted_until)
    }

    /// The domain of the address where `name` is the address, for the `domain` label; else empty, as the address is
    /// then not for everybody's eyes.
    #[must_use]
    pub fn public_domain(&self) -> &str {
        if self.name == self.address {
            self.address.rsplit_once('@').map_or("", |(_, domain)| domain)
        } else {
            ""
        }
    }
}
