//! MailDT proves that mail arrives.

pub mod clock;
pub mod config;
pub mod domain;
pub mod imap;
pub mod secret;
pub mod tls;
