//! The configuration: defaults < `maildt.toml` < environment; validated as a whole before anything starts.

pub mod account;
pub mod limits;

pub use account::{Account, Cleanup, Mailbox, Sender, TlsMode};
pub use limits::Limits;
