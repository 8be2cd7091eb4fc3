//! MailDT proves that mail arrives.

pub mod cli;
pub mod clock;
pub mod config;
pub mod demo;
pub mod domain;
pub mod metrics;
pub mod postgres;
pub mod imap;
pub mod secret;
pub mod store;
pub mod smtp;
pub mod tls;
