//! Where alerts go.

use std::sync::Arc;
use std::time::Duration;

use super::account::Sender;
use super::accounts::Accounts;
use super::parse;
use super::placeholder;
use super::problem::{Fault, Findings, Origin, Place};
use super::table::{Table, bounded};
use crate::domain::address::MailAddress;
use crate::domain::alert::Channel;
use crate::secret::Secret;

const DISCORD_HOSTS: [&str; 4] = ["discord.com", "discordapp.com", "ptb.discord.com", "canary.discord.com"];
const DISCORD_FORM: &str = "copy it from Discord: channel settings, Integrations, Webhooks \
                            (https://discord.com/api/webhooks/ID/TOKEN)";

/// The alert channels and what they are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// The webhook's URL: who has it can write into the channel.
    pub discord: Option<Secret>,
    /// Who gets alert mail.
    pub mail: Vec<MailAddress>,
    /// The account that alert mail leaves by; there whenever `mail` is not empty.
    pub smtp: Option<Arc<Sender>>,
    /// How often an open incident is told again; `None`: never.
    pub reminder: Option<Duration>,
    /// Pinged each minute while alerts can get out.
    pub heartbeat: Option<Secret>,
}

impl Alerts {
    pub(super) fn read(
        top: &Table,
        senders: &Accounts<Sender>,
        plaintext: bool,
        findings: &mut Findings,
    ) -> Self {
        let discord = read_discord(top, findings);
        let mail = read_mail(top, findings);
        let account = top.group("ALERT_SMTP_", &Sender::KEYS);
        let smtp = if Sender::is_configured(&account) {
            Sender::read("alerts", &account, plaintext, findings).map(Arc::new)
        } else {
            Sender::check_unused(&account, findings);
            if mail.is_empty() { None } else { probed_account(senders, findings) }
        };
        // By the text of the host: the account may have been refused.
        let host = account.written("host").or_else(|| top.written("smtp_host")).unwrap_or_default();
        for address in &mail {
            let real = placeholder::refuse_address(address.as_str(), &host);
            findings.keep(&top.place("alert_mail_recipient"), real);
        }
        let reminder = top
            .scalar("alert_reminder", findings, |text| match parse::duration(text)? {
                Duration::ZERO => Ok(Duration::ZERO),
                _ => bounded(Duration::from_mins(1), Duration::from_hours(30 * 24))(text),
            })
            .filter(|reminder| !reminder.is_zero());
        let heartbeat = top.secret_url("heartbeat_url", findings).and_then(|found| {
            let url = parse::http_url(found.value.reveal());
            findings.keep(&found.place, url).map(|_| found.value)
        });
        Self { discord, mail, smtp, reminder, heartbeat }
    }

    /// Every place where alerts are delivered.
    #[must_use]
    pub fn channels(&self) -> Vec<Channel> {
        let mail = self.mail.iter().map(|address| Channel::Email(Arc::from(address.as_str())));
        self.discord.iter().map(|_| Channel::Discord).chain(mail).collect()
    }

    /// Whether anybody would hear of an incident.
    #[must_use]
    pub fn has_channel(&self) -> bool {
        self.discord.is_some() || !self.mail.is_empty()
    }
}

fn read_mail(top: &Table, findings: &mut Findings) -> Vec<MailAddress> {
    let address = |text: &str| {
        let fault = |e| {
            Fault::new(
                format!("{} is no address: {e}", parse::shown(text)),
                "write name@domain, with commas between several",
            )
        };
        text.parse::<MailAddress>().map_err(fault)
    };
    let mut mail = top.list("alert_mail_recipient", findings, address).unwrap_or_default();
    mail.sort_unstable();
    mail.dedup();
    mail
}

fn probed_account(senders: &Accounts<Sender>, findings: &mut Findings) -> Option<Arc<Sender>> {
    let place = Place { setting: "ALERT_SMTP_HOST".to_owned(), origin: Origin::Unset };
    if let Some(sender) = senders.built.get("default") {
        let text = "alert mail leaves by the account that is probed, and stays there when that account is what fails; \
                    give it one of its own";
        findings.warn(&place, text);
        return Some(Arc::clone(sender));
    }
    // A default account that was refused has been told already.
    if !senders.named.contains("default") {
        let reason = "ALERT_MAIL_RECIPIENT is set, but no account sends alert mail";
        findings
            .refuse(place, Fault::new(reason, "set ALERT_SMTP_HOST, ALERT_SMTP_USER and ALERT_SMTP_PASS"));
    }
    None
}

fn read_discord(top: &Table, findings: &mut Findings) -> Option<Secret> {
    let found = top.secret_url("discord_webhook_url", findings)?;
    let url = findings.keep(
        &found.place,
        parse::http_url(found.value.reveal()).map_err(|fault| Fault::new(fault.reason, DISCORD_FORM)),
    )?;
    findings.keep(&found.place, check_webhook(&url))?;
    let host = url.host_str().unwrap_or_default();
    if !DISCORD_HOSTS.contains(&host) {
        findings.warn(&found.place, format_args!("leads to {host}, which is not Discord"));
    }
    Some(found.value)
}

/// Sees that a URL has the form of a webhook. Its text is not shown: the token is in it.
fn check_webhook(url: &reqwest::Url) -> Result<(), Fault> {
    if url.scheme() != "https" && !parse::leads_to_loopback(url) {
        return Err(Fault::new("is http, which would show the token to everybody on the way", "write https"));
    }
    if url.port() == Some(0) {
        return Err(Fault::new("names port 0, on which nobody listens", DISCORD_FORM));
    }
    if url.host_str().is_some_and(|host| host.ends_with('.')) {
        return Err(Fault::new("has a dot at the end of its host", DISCORD_FORM));
    }
    if url.fragment().is_some() {
        return Err(Fault::new("has a # part", DISCORD_FORM));
    }
    let mut parts: Vec<&str> = url.path().trim_start_matches('/').split('/').collect();
    let versioned = |part: &&str| {
        part.strip_prefix('v').is_some_and(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
    };
    if parts.get(1).is_some_and(versioned) {
        parts.remove(1);
    }
    let &["api", "webhooks", id, token] = parts.as_slice() else {
        return Err(Fault::new("does not have the path of a webhook, /api/webhooks/ID/TOKEN", DISCORD_FORM));
    };
    placeholder::refuse(id)?;
    placeholder::refuse(token)?;
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Fault::new("has an ID that is not a number", DISCORD_FORM));
    }
    if token.is_empty() || !token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
        return Err(Fault::new("has no proper token at its end", DISCORD_FORM));
    }
    Ok(())
}
