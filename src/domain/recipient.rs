//! A monitored address.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::id::RecipientId;
use super::message::Form;

/// What proves that mail to a recipient arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnMode {
    /// The probe itself arrives: aliases, redirects, catch-all, rewritten reverse-paths.
    Direct,
    /// The probe itself, or a new message that carries its token: forwards made by mail clients.
    Forward,
    /// An answer that carries the token: an echo service.
    Echo,
}

impl ReturnMode {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Forward, Self::Echo];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Forward => "forward",
            Self::Echo => "echo",
        }
    }

    /// Whether a message of this form is the evidence that the mode asks for. A report never is.
    #[must_use]
    pub fn accepts(self, form: Form) -> bool {
        match self {
            Self::Direct => form == Form::Direct,
            Self::Forward => matches!(form, Form::Direct | Form::Copy),
            Self::Echo => matches!(form, Form::Copy | Form::AutoReply),
        }
    }
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
}

impl Recipient {
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
