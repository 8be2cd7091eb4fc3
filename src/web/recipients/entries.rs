//! What stands in the fields of a recipient's form, whoever wrote it there.

use serde_json::{Map, Value};

use crate::config::{Config, Refusal, show_duration};
use crate::domain::recipient::{Recipient, Wanted};
use crate::domain::return_mode::ReturnMode;

use super::form::Typed;

/// The fields of the form, besides the version.
pub const FIELDS: [&str; 10] = [
    "address",
    "name",
    "interval",
    "alert_threshold",
    "alert_after",
    "return_mode",
    "sender",
    "mailbox",
    "discord",
    "email",
];

/// A field's name for people.
pub fn label(field: &str) -> &'static str {
    match field {
        "address" => "Address",
        "name" => "Name",
        "interval" => "Interval",
        "alert_threshold" => "Threshold",
        "alert_after" => "Failures before an alert",
        "return_mode" => "Return mode",
        "sender" => "Sender",
        "mailbox" => "Mailbox",
        "discord" => "Discord",
        "email" => "E-mail",
        "muted_until" => "Muted until",
        "active" => "Probed",
        _ => "This field",
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    pub address: String,
    pub name: String,
    pub interval: String,
    pub alert_threshold: String,
    pub alert_after: String,
    pub return_mode: String,
    pub sender: String,
    pub mailbox: String,
    /// A ticked box is `true`, another one is empty.
    pub discord: String,
    pub email: String,
}

impl Entries {
    /// For a new recipient: the defaults.
    pub fn blank(config: &Config) -> Self {
        let default = |names: Vec<&String>| {
            let first = names.first().map(|name| (*name).clone()).unwrap_or_default();
            if names.iter().any(|name| *name == "default") { "default".to_owned() } else { first }
        };
        Self {
            address: String::new(),
            name: String::new(),
            interval: show_duration(config.defaults.send_interval),
            alert_threshold: show_duration(config.defaults.alert_threshold),
            alert_after: "1".to_owned(),
            return_mode: ReturnMode::Direct.as_str().to_owned(),
            sender: default(config.senders.keys().collect()),
            mailbox: default(config.mailboxes.keys().collect()),
            discord: ticked(true),
            email: ticked(true),
        }
    }

    pub fn of(recipient: &Recipient) -> Self {
        Self {
            address: recipient.address.to_string(),
            name: recipient.name.to_string(),
            interval: show_duration(recipient.interval),
            alert_threshold: show_duration(recipient.alert_threshold),
            alert_after: recipient.alert_after.to_string(),
            return_mode: recipient.return_mode.as_str().to_owned(),
            sender: recipient.sender.to_string(),
            mailbox: recipient.mailbox.to_string(),
            discord: ticked(recipient.discord),
            email: ticked(recipient.email),
        }
    }

    pub fn typed(typed: &Typed) -> Self {
        let text = |field: &str| typed.get(field).to_owned();
        Self {
            address: text("address"),
            name: text("name"),
            interval: text("interval"),
            alert_threshold: text("alert_threshold"),
            alert_after: text("alert_after"),
            return_mode: text("return_mode"),
            sender: text("sender"),
            mailbox: text("mailbox"),
            discord: text("discord"),
            email: text("email"),
        }
    }

    pub fn get(&self, field: &str) -> &str {
        match field {
            "address" => &self.address,
            "name" => &self.name,
            "interval" => &self.interval,
            "alert_threshold" => &self.alert_threshold,
            "alert_after" => &self.alert_after,
            "return_mode" => &self.return_mode,
            "sender" => &self.sender,
            "mailbox" => &self.mailbox,
            "discord" => &self.discord,
            "email" => &self.email,
            _ => "",
        }
    }

    /// What is wanted, as the rules of the configuration have it. A box that is not ticked is off; where there is one account
    /// only, it needs no choosing.
    ///
    /// # Errors
    /// With what is wrong, by field.
    pub fn read(&self, config: &Config) -> Result<Wanted, Vec<Refusal>> {
        let mut fields: Map<String, Value> =
            FIELDS.iter().map(|field| ((*field).to_owned(), Value::from(self.get(field)))).collect();
        for switch in ["discord", "email"] {
            if self.get(switch).trim().is_empty() {
                fields.insert(switch.to_owned(), Value::from("false"));
            }
        }
        let accounts = [("sender", only(config.senders.keys())), ("mailbox", only(config.mailboxes.keys()))];
        for (field, only) in accounts {
            if let Some(only) = only.filter(|_| self.get(field).trim().is_empty()) {
                fields.insert(field.to_owned(), Value::from(only));
            }
        }
        config.recipient(&fields)
    }
}

/// The one of `names`, if there is just one.
fn only<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<&'a str> {
    let first = names.next()?;
    names.next().is_none().then_some(first)
}

fn ticked(is: bool) -> String {
    if is { "true".to_owned() } else { String::new() }
}
