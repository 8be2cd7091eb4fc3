//! The people on call: a Discord channel and a mailbox, and what they were told.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::alert::Alert;
use super::app::Setup;
use super::discord::Discord;
use super::dovecot::{DOMAIN, PASSWORD};
use super::ground::not_run;
use super::mail::MailLab;
use super::maildir::Maildir;
use super::proxy::Proxy;
use super::wait::{Look, eventually, so};

/// Who gets alerts in one test.
pub struct OnCall {
    pub discord: Discord,
    /// Their name without the domain.
    user: String,
    lab: &'static MailLab,
    wire: Proxy,
}

impl OnCall {
    /// New ones. On a machine without mail servers, `None`, and the test is named among those that did not run.
    pub fn new(test: &str) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let lab = MailLab::shared().map_err(|why| not_run(test, why)).ok()?;
        Some(Self {
            discord: Discord::new(),
            user: format!("ops{:02}x", NEXT.fetch_add(1, Ordering::Relaxed)),
            lab,
            wire: Proxy::to(lab.postfix.plain),
        })
    }

    /// Adds both channels to a configuration.
    pub fn on(&self, setup: Setup) -> Setup {
        self.by_discord(self.by_mail(setup))
    }

    /// Adds Discord alone.
    pub fn by_discord(&self, setup: Setup) -> Setup {
        in_short(setup).env("DISCORD_WEBHOOK_URL", &self.discord.url())
    }

    /// Adds alert mail alone, by an account of its own.
    pub fn by_mail(&self, setup: Setup) -> Setup {
        in_short(setup)
            .env("ALERT_MAIL_RECIPIENT", &self.address())
            .env("ALERT_SMTP_HOST", "127.0.0.1")
            .env("ALERT_SMTP_PORT", &self.wire.port().to_string())
            .env("ALERT_SMTP_USER", &self.sender())
            .env("ALERT_SMTP_PASS", PASSWORD)
            .env("ALERT_SMTP_TLS", "none")
    }

    /// Their address.
    pub fn address(&self) -> String {
        format!("{}@{DOMAIN}", self.user)
    }

    /// From whom alert mail comes.
    pub fn sender(&self) -> String {
        format!("from-{}@{DOMAIN}", self.user)
    }

    /// The way to the server that takes alert mail.
    pub fn mail_wire(&self) -> &Proxy {
        &self.wire
    }

    pub fn mailbox(&self) -> Maildir {
        self.lab.mail_of(&self.user)
    }

    /// The alert mail that has come, in the order of its coming.
    pub fn mail(&self) -> Vec<Alert> {
        let mut stored = self.mailbox().messages("INBOX");
        // The name of a file begins with the second, then the microsecond of its delivery.
        stored.sort_by_key(|stored| {
            let name = stored.path.file_name().unwrap().to_string_lossy().into_owned();
            let (second, rest) = name.split_once(".M").unwrap_or((&name, ""));
            let micro = rest.split('P').next().unwrap_or_default();
            (second.parse::<u64>().unwrap_or_default(), micro.parse::<u64>().unwrap_or_default())
        });
        stored.iter().map(Alert::from_mail).collect()
    }

    /// What they were told on each channel: Discord, mail.
    pub fn told(&self) -> [Vec<Alert>; 2] {
        [self.discord.alerts(), self.mail()]
    }

    /// Whether one message of each of these subjects, by their beginnings and in this order, and nothing else, was told on
    /// both channels.
    pub fn were_told(&self, subjects: &[&str]) -> Look {
        let [discord, mail] = self.told();
        match_story("Discord", &discord, subjects)?;
        match_story("mail", &mail, subjects)
    }

    /// Waits until exactly this was told on both channels, and gives it.
    ///
    /// # Panics
    /// When it was not within the limit.
    #[track_caller]
    pub fn hear(&self, limit: Duration, subjects: &[&str]) -> [Vec<Alert>; 2] {
        eventually(limit, "both channels were told", || self.were_told(subjects));
        self.told()
    }
}

impl Drop for OnCall {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for alert in self.mail() {
                eprintln!("alert mail: {:?} {}\n", alert.headers, alert.text);
            }
        }
    }
}

/// Exactly these messages, by the beginnings of their subjects.
pub fn match_story(channel: &str, alerts: &[Alert], subjects: &[&str]) -> Look {
    let told: Vec<&str> = alerts.iter().map(|alert| alert.subject.as_str()).collect();
    let same = told.len() == subjects.len() && told.iter().zip(subjects).all(|(is, s)| is.starts_with(s));
    so(same, || format!("{channel} was told {told:?} instead of {subjects:?}"))
}

/// The limits that no test of alerts wants to wait for.
fn in_short(setup: Setup) -> Setup {
    setup
        .limit("alert_gather", "\"1s\"")
        .limit("channel_retry_min", "\"200ms\"")
        .limit("channel_retry_max", "\"1s\"")
        .limit("channel_send", "\"3s\"")
        .limit("sender_retry", "[\"200ms\", \"300ms\"]")
        .limit("interval_min", "\"1s\"")
        .limit("threshold_min", "\"2s\"")
}
