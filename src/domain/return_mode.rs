//! What counts as the return of a probe.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::message::Form;

/// Where a message proves delivery, as each recipient wants it. Delivery status notifications never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnMode {
    /// The probe itself arrives: header or Message-ID carry the token.
    #[default]
    Direct,
    /// A new message that carries the token in its Subject or in quoted headers, as mail clients forward.
    Forward,
    /// An automatic reply that carries the token.
    Echo,
}

impl ReturnMode {
    pub const ALL: [Self; 3] = [Self::Direct, Self::Forward, Self::Echo];

    /// Whether a message of this form is the evidence that the mode asks for. A report never is.
    #[must_use]
    pub fn accepts(self, form: Form) -> bool {
        match self {
            Self::Direct => form == Form::Direct,
            Self::Forward => matches!(form, Form::Direct | Form::Copy),
            Self::Echo => matches!(form, Form::Copy | Form::AutoReply),
        }
    }

    /// The name in the configuration, in the database and in pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Forward => "forward",
            Self::Echo => "echo",
        }
    }
}

impl fmt::Display for ReturnMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
