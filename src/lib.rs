//! MailDT proves that mail arrives.

pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod secret;
pub mod tls;
