//! MailDT proves that mail arrives.

pub mod app;
pub mod check;
pub mod cli;
pub mod clock;
pub mod complaint;
pub mod config;
pub mod demo;
pub mod domain;
pub mod engine;
pub mod imap;
pub mod metrics;
pub mod postgres;
pub mod schedule;
pub mod secret;
pub mod smtp;
pub mod store;
pub mod tls;
