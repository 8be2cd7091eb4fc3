//! How a [`MailServer`](super::MailServer) is started.

use std::net::SocketAddr;
use std::time::Duration;

use super::Certificate;
use crate::secret::Secret;

/// How much a peer may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one message, by SMTP or APPEND.
    pub message: usize,
    /// Connections at one time, over all ports.
    pub connections: usize,
    /// Recipients of one message.
    pub recipients: usize,
    /// Messages in one folder; the oldest go first.
    pub folder_messages: usize,
    /// Entries in the ledger; the oldest go first.
    pub ledger_entries: usize,
    /// Silence before an SMTP session is ended.
    pub smtp_silence: Duration,
    /// Silence before an IMAP session is ended, IDLE included.
    pub imap_silence: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 16 * 1024 * 1024,
            connections: 1000,
            recipients: 100,
            folder_messages: 1_000_000,
            ledger_entries: 1_000_000,
            smtp_silence: Duration::from_mins(5),
            imap_silence: Duration::from_mins(30),
        }
    }
}

/// One port each; 0 lets the system choose.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ports {
    /// SMTP, TLS from the first byte (RFC 8314).
    pub smtps: u16,
    /// SMTP with STARTTLS, which must precede AUTH.
    pub submission: u16,
    /// SMTP in the clear, without STARTTLS.
    pub smtp: u16,
    /// IMAP, TLS from the first byte.
    pub imaps: u16,
    /// IMAP with STARTTLS, which may be left out.
    pub imap: u16,
}

/// Where the server listens; the fields are those of [`Ports`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    pub smtps: SocketAddr,
    pub submission: SocketAddr,
    pub smtp: SocketAddr,
    pub imaps: SocketAddr,
    pub imap: SocketAddr,
}

/// How to start a [`MailServer`](super::MailServer).
#[derive(Clone, Debug)]
pub struct Options {
    /// What the server calls itself.
    pub hostname: String,
    /// User, which is also the mail address, and password. Each account has the folders INBOX and Junk.
    pub accounts: Vec<(String, Secret)>,
    /// The account that gets mail for all other addresses. Without it they are refused with 550 5.1.1.
    pub catch_all: Option<String>,
    /// Whether SMTP asks for a login before MAIL.
    pub require_auth: bool,
    pub ports: Ports,
    pub certificate: Certificate,
    pub limits: Limits,
    /// Header lines, each with its CRLF, that are added to delivered messages below the Return-Path.
    pub delivery_header: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            hostname: "mail.demo.test".to_owned(),
            accounts: Vec::new(),
            catch_all: None,
            require_auth: true,
            ports: Ports::default(),
            certificate: Certificate::default(),
            limits: Limits::default(),
            delivery_header: String::new(),
        }
    }
}

impl Options {
    /// Adds an account. The first one also gets the mail for all other addresses.
    #[must_use]
    pub fn account(mut self, user: &str, password: &str) -> Self {
        if self.accounts.is_empty() && self.catch_all.is_none() {
            self.catch_all = Some(user.to_owned());
        }
        self.accounts.push((user.to_owned(), Secret::new(password)));
        self
    }
}
