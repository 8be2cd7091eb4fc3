//! What a configuration still lacks to be of use.

use super::Purpose;
use super::alerts::Alerts;
use super::problem::{Fault, Findings, Origin, Place};
use super::recipient::Surroundings;
use super::source::Source;
use super::table::Table;
use crate::domain::recipient::Wanted;

/// Refuses half a way for mail, and warns of what is missing besides.
pub(super) fn tell(
    source: &Source,
    around: &Surroundings<'_>,
    alerts: &Alerts,
    recipients: &[Wanted],
    purpose: Purpose,
    findings: &mut Findings,
) {
    let is_sending = !around.senders.named.is_empty();
    match (is_sending, around.mailboxes.named.is_empty()) {
        (false, true) => {
            let text = "nothing is monitored yet; next step: set SMTP_HOST, SMTP_USER, SMTP_PASS, IMAP_HOST, IMAP_USER \
                        and IMAP_PASS";
            findings.warn(&unset("SMTP_HOST"), text);
        }
        (true, true) => {
            let remedy = "set IMAP_HOST, IMAP_USER and IMAP_PASS";
            findings
                .refuse(unset("IMAP_HOST"), Fault::new("mail would be sent and never be looked for", remedy));
        }
        (false, false) => {
            let remedy = "set SMTP_HOST, SMTP_USER and SMTP_PASS";
            findings.refuse(
                unset("SMTP_HOST"),
                Fault::new("a mailbox would be watched and no mail sent", remedy),
            );
        }
        (true, false) => {}
    }
    if purpose == Purpose::Check {
        return;
    }
    let top = &source.top;
    let compose =
        ["DB_USER", "DB_PASS", "DB_NAME"].iter().find(|name| source.environment.contains_key(**name));
    if let Some(name) = compose.filter(|_| !top.has_secret("database_url")) {
        let text = format!(
            "{name} is for docker-compose.yml only; without DATABASE_URL a private PostgreSQL is used"
        );
        findings.warn(&unset("DATABASE_URL"), text);
    }
    if is_sending && !alerts.has_channel() {
        findings.warn(
            &unset("DISCORD_WEBHOOK_URL"),
            "nobody is told of an incident; set it, or ALERT_MAIL_RECIPIENT",
        );
    }
    let heartbeat = ["heartbeat_url", "heartbeat_url_file"].into_iter().find(|field| top.has(field));
    if let Some(field) = heartbeat.filter(|_| !alerts.has_channel()) {
        let text = "tells whether alerts can get out, and there is no way for them; set DISCORD_WEBHOOK_URL or \
                    ALERT_MAIL_RECIPIENT";
        findings.warn(&top.place(field), text);
    }
    warn_of_silence(top, alerts, recipients, findings);
    let public_url = top.place("public_url");
    if alerts.has_channel() && public_url.origin == Origin::Default {
        findings.warn(&public_url, "links in alerts lead to localhost; set it to where people reach MailDT");
    }
}

/// Channels that no recipient of the file may use are hardly meant.
fn warn_of_silence(top: &Table, alerts: &Alerts, recipients: &[Wanted], findings: &mut Findings) {
    let is_told = |recipient: &Wanted| {
        recipient.discord && alerts.discord.is_some() || recipient.email && !alerts.mail.is_empty()
    };
    if !alerts.has_channel() || recipients.is_empty() || recipients.iter().any(is_told) {
        return;
    }
    let fields = ["discord_webhook_url", "discord_webhook_url_file", "alert_mail_recipient"];
    let place = fields.into_iter().find(|field| top.has(field)).map(|field| top.place(field));
    if let Some(place) = place {
        let text = "nothing is told about any recipient in the file: discord and email are off for all, or on only where \
                    there is no channel";
        findings.warn(&place, text);
    }
}

fn unset(setting: &str) -> Place {
    Place { setting: setting.to_owned(), origin: Origin::Unset }
}
