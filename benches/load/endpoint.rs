//! The servers under a run: where they are, and what they know of what really happened.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use maildt::demo::ledger::Submission;
use maildt::demo::{MailServer, Options};

use crate::lab::dovecot::{DOMAIN, PASSWORD};
use crate::lab::ground::{ground, runtime};
use crate::lab::mail::MailLab;
use crate::lab::tokens::{probe_of, tokens_in};

/// A submission server and a mailbox that gets everything; TLS from the first byte on both.
#[derive(Clone)]
pub struct Endpoint {
    pub smtps: u16,
    pub imaps: u16,
    pub user: String,
    pub password: String,
    pub ca: PathBuf,
    servers: Servers,
}

#[derive(Clone)]
enum Servers {
    Real(&'static MailLab),
    BuiltIn(Arc<MailServer>),
}

impl Endpoint {
    /// Postfix and Dovecot, with a new user; or why they cannot run here.
    pub fn real() -> Result<Self, String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let lab = MailLab::shared().map_err(str::to_owned)?;
        Ok(Self {
            smtps: lab.postfix.smtps,
            imaps: lab.dovecot.imaps,
            user: format!("b{:02}x@{DOMAIN}", NEXT.fetch_add(1, Ordering::Relaxed)),
            password: PASSWORD.to_owned(),
            ca: lab.certificates.authority(),
            servers: Servers::Real(lab),
        })
    }

    /// A built-in server of its own, in this process.
    pub fn built_in() -> Self {
        let (user, password) = ("monitor@bench.test", "correct horse battery staple");
        let server = runtime()
            .block_on(MailServer::start(Options::default().account(user, password)))
            .expect("the built-in server does not start");
        let ca = ground().directory("built-in").join("ca.pem");
        fs::write(&ca, server.ca_pem()).unwrap();
        let addresses = server.addresses();
        Self {
            smtps: addresses.smtps.port(),
            imaps: addresses.imaps.port(),
            user: user.to_owned(),
            password: password.to_owned(),
            ca,
            servers: Servers::BuiltIn(Arc::new(server)),
        }
    }

    /// One of many addresses whose mail comes to the one mailbox.
    pub fn address(&self, tag: &str) -> String {
        let (local, domain) = self.user.split_once('@').unwrap();
        format!("{local}+{tag}@{domain}")
    }

    /// The probes of which the servers took a message in, one entry for each message.
    pub fn accepted(&self) -> Vec<uuid::Uuid> {
        let tokens: Vec<String> = match &self.servers {
            Servers::Real(lab) => lab.accepted_from(&self.user),
            Servers::BuiltIn(server) => {
                let accepted = server.ledger().submissions().into_iter().filter(Submission::accepted);
                accepted.filter_map(|s| tokens_in(&s.raw).into_iter().next()).collect()
            }
        };
        tokens.iter().filter(|token| token.starts_with("v1.")).map(|token| probe_of(token)).collect()
    }

    /// When each probe was saved in the mailbox, seconds since the epoch.
    pub fn saved(&self) -> Vec<(uuid::Uuid, f64)> {
        match &self.servers {
            Servers::Real(lab) => {
                let (name, _) = self.user.split_once('@').unwrap();
                let saved = lab.saved(name).into_iter();
                saved
                    .filter(|saved| saved.message_id.starts_with("v1."))
                    .map(|s| (probe_of(&s.message_id), s.seconds()))
                    .collect()
            }
            Servers::BuiltIn(server) => {
                let submissions = server.ledger().submissions();
                let saved = submissions.iter().filter_map(|submission| {
                    let token = tokens_in(&submission.raw).into_iter().next()?;
                    let at = submission.saved.first()?.at.wall.as_duration().as_secs_f64();
                    Some((probe_of(&token), at))
                });
                saved.collect()
            }
        }
    }

    /// How many messages are in the mailbox. (Dovecot may remove their files later.)
    pub fn stored(&self) -> usize {
        match &self.servers {
            Servers::Real(lab) => {
                let status =
                    lab.dovecot.doveadm(&["mailbox", "status", "-u", &self.user, "messages", "INBOX"]);
                let number = status.trim().rsplit('=').next().and_then(|number| number.parse().ok());
                number.unwrap_or_else(|| panic!("doveadm says {status:?}"))
            }
            Servers::BuiltIn(server) => server.uids(&self.user, "INBOX").map_or(0, |uids| uids.len()),
        }
    }

    /// When the first message after `start` was submitted, if the server can tell.
    pub fn first_submission_after(&self, start: Instant) -> Option<Instant> {
        match &self.servers {
            Servers::Real(_) => None,
            Servers::BuiltIn(server) => {
                let all = server.ledger().submissions();
                all.iter().map(|submission| submission.received.instant).filter(|at| *at > start).min()
            }
        }
    }

    /// Forgets what the built-in server has seen so far.
    pub fn forget(&self) {
        if let Servers::BuiltIn(server) = &self.servers {
            server.ledger().clear();
        }
    }
}
