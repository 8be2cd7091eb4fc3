//! The mail servers together, shared by all tests of this process.

use std::sync::OnceLock;

use super::certificates::Certificates;
use super::dovecot::{DOMAIN, Dovecot};
use super::ground::{free_port, ground};
use super::letter::Letter;
use super::maildir::Maildir;
use super::policy::Policy;
use super::postfix::Postfix;

/// Postfix, Dovecot and what decides the fate of mail between them.
pub struct MailLab {
    pub certificates: Certificates,
    pub dovecot: Dovecot,
    pub postfix: Postfix,
    pub policy: Policy,
}

/// When a server stored a message, by its own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub at: jiff::civil::DateTime,
    pub message_id: String,
    pub folder: String,
}

impl Saved {
    /// Seconds since the epoch.
    pub fn seconds(&self) -> f64 {
        let at = self.at.to_zoned(jiff::tz::TimeZone::UTC).unwrap().timestamp();
        at.as_duration().as_secs_f64()
    }
}

impl MailLab {
    /// The shared one, or why there is none on this machine.
    pub fn shared() -> Result<&'static Self, &'static str> {
        static LAB: OnceLock<Result<MailLab, String>> = OnceLock::new();
        LAB.get_or_init(Self::start).as_ref().map_err(String::as_str)
    }

    fn start() -> Result<Self, String> {
        let (postfix_root, dovecot_root) = (Postfix::root()?, Dovecot::root()?);
        let directory = ground().directory("mail");
        let certificates = Certificates::write(&directory.join("tls"));
        let policy = Policy::start();
        let plain = free_port();
        let dovecot = Dovecot::start(&directory.join("dovecot"), &dovecot_root, &certificates, plain);
        let postfix = Postfix::start(
            &directory.join("postfix"),
            &postfix_root,
            &certificates,
            &dovecot,
            &policy,
            plain,
        );
        Ok(Self { certificates, dovecot, postfix, policy })
    }

    /// Delivers a letter from outside.
    #[track_caller]
    pub fn deliver(&self, letter: &Letter, recipient: &str) {
        letter.send(self.postfix.plain, recipient).unwrap();
    }

    /// The mail of a user (without the domain).
    pub fn mail_of(&self, user: &str) -> Maildir {
        Maildir(self.dovecot.maildir(user))
    }

    /// Lets all mail go that is held for an address, and everything that comes.
    pub fn release(&self, recipient: &str) {
        self.policy.clear(recipient);
        self.postfix.release(&self.postfix.held(recipient));
    }

    /// What Dovecot's log says of deliveries to a user: the truth about arrivals.
    pub fn saved(&self, user: &str) -> Vec<Saved> {
        let who = format!("lmtp({user}@{DOMAIN})");
        self.dovecot.log().lines().filter(|line| line.contains(&who)).filter_map(saved).collect()
    }

    /// The Message-IDs of all that Postfix accepted from a reverse-path, in the order of its log; each submission counts.
    pub fn accepted_from(&self, reverse_path: &str) -> Vec<String> {
        let log = self.postfix.log();
        let from = format!("from=<{reverse_path}>");
        let mut ids = Vec::new();
        let mut open: Vec<(&str, &str)> = Vec::new();
        for line in log.lines() {
            let Some((queue_id, rest)) = line.split_once("]: ").and_then(|(_, rest)| rest.split_once(": "))
            else {
                continue;
            };
            if let Some(id) = rest.strip_prefix("message-id=<").and_then(|r| r.split('>').next()) {
                open.push((queue_id, id));
            } else if rest.starts_with(&from)
                && let Some(place) = open.iter().position(|(q, _)| *q == queue_id)
            {
                ids.push(open.remove(place).1.to_owned());
            }
        }
        ids
    }

    /// Lines of both servers' logs that concern a user, for a message.
    pub fn log_of(&self, user: &str) -> String {
        let (postfix, dovecot) = (self.postfix.log(), self.dovecot.log());
        let lines: Vec<&str> =
            postfix.lines().chain(dovecot.lines()).filter(|line| line.contains(user)).collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

/// `2026-01-01T00:00:00.123456 lmtp(user@lab.test)<…>: Info: msgid=<…> saved mail to INBOX`, also as written by Sieve
/// (`sieve: msgid=<…>: stored mail into mailbox 'Junk'`).
fn saved(line: &str) -> Option<Saved> {
    let (at, _) = line.split_once(' ')?;
    let (_, rest) = line.split_once("msgid=<")?;
    let (message_id, rest) = rest.split_once('>')?;
    let folder = rest
        .split_once("stored mail into mailbox ")
        .or_else(|| rest.split_once("saved mail to "))
        .map(|(_, folder)| folder.trim_matches(['\'', ' ']).to_owned())?;
    Some(Saved { at: at.parse().ok()?, message_id: message_id.to_owned(), folder })
}
