//! MailDT proves that mail arrives.

pub mod clock;
pub mod config;
pub mod domain;
pub mod secret;
pub mod smtp;
pub mod tls;
