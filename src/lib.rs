//! MailDT proves that mail arrives.

pub mod clock;
pub mod config;
pub mod domain;
//pub mod engine;
//pub mod schedule;
pub mod secret;
pub mod store;
pub mod tls;
