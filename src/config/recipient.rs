//! Recipients that the file provisions.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use figment::value::{Dict, Value};
use jiff::Timestamp;

use super::Config;
use super::account::{Mailbox, Sender};
use super::accounts::Accounts;
use super::limits::Limits;
use super::parse;
use super::placeholder;
use super::problem::{Fault, Findings, Problem};
use super::table::{Table, bounded};
use crate::domain::address::MailAddress;
use crate::domain::recipient::Wanted;
use crate::domain::return_mode::ReturnMode;

/// The longest interval between two probes.
pub const INTERVAL_MAX: Duration = Duration::from_hours(7 * 24);
/// The longest time that a probe may take before it counts as late or missing.
pub const THRESHOLD_MAX: Duration = Duration::from_hours(24);

const KEYS: [&str; 12] = [
    "name",
    "address",
    "sender",
    "mailbox",
    "return_mode",
    "interval",
    "alert_threshold",
    "alert_after",
    "discord",
    "email",
    "muted_until",
    "active",
];

/// What a new recipient gets unless it says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecipientDefaults {
    pub send_interval: Duration,
    pub alert_threshold: Duration,
}

/// What is wrong with one field that somebody gave for a recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As the file calls it.
    pub field: String,
    pub fault: Fault,
}

impl Config {
    /// What a form or the API wants of a recipient: the same fields, rules and words as in the file. What is absent, `null`
    /// or blank gets its default.
    ///
    /// # Errors
    /// With everything that is wrong, a field at a time. Whether the name is free only the database knows.
    pub fn recipient(
        &self,
        fields: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<Wanted, Vec<Refusal>> {
        let given: Dict = fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .filter_map(|(name, value)| Some((name.clone(), Value::serialize(value).ok()?)))
            .collect();
        let senders = Accounts { built: self.senders.clone(), named: self.senders.keys().cloned().collect() };
        let mailboxes =
            Accounts { built: self.mailboxes.clone(), named: self.mailboxes.keys().cloned().collect() };
        let around = Surroundings {
            senders: &senders,
            mailboxes: &mailboxes,
            defaults: self.defaults,
            limits: &self.limits,
        };
        let table = Table::nested("recipient", &given, "", Path::new(""));
        let mut findings = Findings::default();
        table.refuse_unknown(&KEYS, &mut findings);
        let wanted = read_one(&table, &around, &mut findings);
        let refusal = |problem: &Problem| Refusal {
            field: problem.place.setting.trim_start_matches("recipient.").to_owned(),
            fault: problem.fault.clone(),
        };
        findings.finish().map_err(|problems| problems.iter().map(refusal).collect::<Vec<_>>())?;
        // Whatever made it nothing has been noted as a problem.
        wanted.ok_or_else(Vec::new)
    }
}

/// What recipients are checked against.
pub(super) struct Surroundings<'a> {
    pub senders: &'a Accounts<Sender>,
    pub mailboxes: &'a Accounts<Mailbox>,
    pub defaults: RecipientDefaults,
    pub limits: &'a Limits,
}

/// Reads all recipients and sees that their names are unique.
pub(super) fn read(tables: &[Table], around: &Surroundings<'_>, findings: &mut Findings) -> Vec<Wanted> {
    let mut names = BTreeSet::new();
    let mut recipients = Vec::new();
    for table in tables {
        table.refuse_unknown(&KEYS, findings);
        let Some(recipient) = read_one(table, around, findings) else { continue };
        if names.insert(recipient.name.clone()) {
            recipients.push(recipient);
        } else {
            let field = if table.has("name") { "name" } else { "address" };
            let reason = format!("{} names a second recipient", parse::shown(&recipient.name));
            findings.refuse(table.place(field), Fault::new(reason, "give each recipient a name of its own"));
        }
    }
    recipients
}

fn read_one(table: &Table, around: &Surroundings<'_>, findings: &mut Findings) -> Option<Wanted> {
    let address = if table.has("address") {
        table.parsed("address", findings, |text| {
            let fault =
                |e| Fault::new(format!("{} is no address: {e}", parse::shown(text)), "write name@domain");
            text.parse::<MailAddress>().map_err(fault)
        })
    } else {
        findings.refuse(table.place("address"), Fault::new("is missing", "give the address to be monitored"));
        None
    };
    let name = table.optional("name", |name| table.parsed(name, findings, parse::recipient_name));
    let sender = reference(table, "sender", &around.senders.named, findings);
    let mailbox = reference(table, "mailbox", &around.mailboxes.named, findings);
    let return_mode = table.scalar_or("return_mode", ReturnMode::Direct, findings, return_mode);
    let interval = table.scalar_or(
        "interval",
        around.defaults.send_interval,
        findings,
        bounded(around.limits.interval_min, INTERVAL_MAX),
    );
    let alert_threshold = table.scalar_or(
        "alert_threshold",
        around.defaults.alert_threshold,
        findings,
        bounded(around.limits.threshold_min, THRESHOLD_MAX),
    );
    let alert_after = table.scalar_or("alert_after", 1, findings, |text| parse::number_within(text, 1, 1000));
    let discord = table.scalar_or("discord", true, findings, parse::boolean);
    let email = table.scalar_or("email", true, findings, parse::boolean);
    let active = table.scalar_or("active", true, findings, parse::boolean);
    let muted_until = table.optional("muted_until", |muted| table.scalar(muted, findings, timestamp));

    let (address, sender) = (address?, sender?);
    if let Some(account) = around.senders.built.get(&sender) {
        let real = placeholder::refuse_address(address.as_str(), &account.account.host);
        findings.keep(&table.place("address"), real)?;
    }
    Some(Wanted {
        name: name?.unwrap_or_else(|| address.to_string()),
        address,
        sender,
        mailbox: mailbox?,
        return_mode: return_mode?,
        interval: interval?,
        alert_threshold: alert_threshold?,
        alert_after: alert_after?,
        discord: discord?,
        email: email?,
        muted_until: muted_until?,
        active: active?,
    })
}

/// The account that a recipient names; it must be there.
fn reference(
    table: &Table,
    field: &str,
    known: &BTreeSet<String>,
    findings: &mut Findings,
) -> Option<String> {
    let name = if table.has(field) { table.text(field, findings)? } else { "default".to_owned() };
    if known.contains(&name) {
        return Some(name);
    }
    let (plural, variables) =
        if field == "sender" { ("senders", "SMTP_HOST …") } else { ("mailboxes", "IMAP_HOST …") };
    let remedy = match (name.as_str(), known.is_empty()) {
        ("default", true) => format!("set {variables}, or add [{plural}.default]"),
        (_, true) => format!("add [{plural}.{name}]"),
        (_, false) => {
            let names: Vec<&str> = known.iter().map(String::as_str).collect();
            let first = if name == "default" { format!("set {variables}, or ") } else { String::new() };
            format!("{first}name one of: {}", names.join(", "))
        }
    };
    findings.refuse(
        table.place(field),
        Fault::new(format!("there is no {field} {}", parse::shown(&name)), remedy),
    );
    None
}

/// A return mode by its name.
pub fn return_mode(text: &str) -> Result<ReturnMode, Fault> {
    ReturnMode::ALL.into_iter().find(|mode| mode.as_str() == text.to_ascii_lowercase()).ok_or_else(|| {
        Fault::new(format!("{} is not a return mode", parse::shown(text)), "write direct, forward or echo")
    })
}

/// A point in time, with its offset. What lies before 1970 is a slip, and beyond what a database can hold.
pub(super) fn timestamp(text: &str) -> Result<Timestamp, Fault> {
    let time = text.parse().ok().filter(|time| *time >= Timestamp::UNIX_EPOCH);
    time.ok_or_else(|| {
        let reason = format!("{} is not a point in time", parse::shown(text));
        Fault::new(reason, "write date, time and offset, such as 2026-01-31T08:00:00Z")
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value, json};

    use super::super::Purpose;
    use super::*;

    fn config() -> Config {
        let accounts = [
            ("SMTP_HOST", "smtp.provider.net"),
            ("SMTP_USER", "monitor@provider.net"),
            ("SMTP_PASS", "unused-1"),
            ("IMAP_HOST", "imap.provider.net"),
            ("IMAP_USER", "monitor@provider.net"),
            ("IMAP_PASS", "unused-2"),
            ("SEND_INTERVAL", "2h"),
        ];
        let accounts = accounts.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Config::load(None, accounts, Purpose::Check).unwrap()
    }

    fn read(fields: Value) -> Result<Wanted, Vec<(String, String)>> {
        let Value::Object(fields) = fields else { unreachable!("an object") };
        let told = |refusal: Refusal| (refusal.field, refusal.fault.to_string());
        config().recipient(&fields).map_err(|refusals| refusals.into_iter().map(told).collect())
    }

    #[test]
    fn what_is_not_given_gets_its_default() {
        let bare = read(json!({"address": " a@provider.net "})).unwrap();
        assert_eq!(
            (bare.name.as_str(), bare.sender.as_str(), bare.mailbox.as_str()),
            ("a@provider.net", "default", "default")
        );
        assert_eq!((bare.interval, bare.alert_threshold), (Duration::from_hours(2), Duration::from_mins(5)));
        assert_eq!((bare.alert_after, bare.discord, bare.email, bare.active), (1, true, true, true));
        let blank = json!({"address": "a@provider.net", "name": "", "interval": null, "return_mode": " ", "muted_until": null});
        assert_eq!(read(blank).unwrap(), bare);
    }

    #[test]
    fn numbers_and_switches_may_come_as_such_or_as_text() {
        let typed = read(
            json!({"address": "a@provider.net", "interval": "5400", "alert_after": "3", "discord": "off", "muted_until": "2099-01-01T00:00:00Z"}),
        );
        let native = read(
            json!({"address": "a@provider.net", "interval": 5400, "alert_after": 3, "discord": false, "muted_until": "2099-01-01T01:00:00+01:00"}),
        );
        let typed = typed.unwrap();
        assert_eq!((typed.interval, typed.alert_after, typed.discord), (Duration::from_mins(90), 3, false));
        assert_eq!(native.unwrap(), typed);
    }

    #[test]
    fn everything_that_is_wrong_is_told_by_its_field() {
        let wrong = json!({
            "address": "nobody", "name": 7, "interval": "1s", "alert_threshold": [], "alert_after": 0, "return_mode": "maybe",
            "sender": "other", "mailbox": {}, "discord": "perhaps", "muted_until": "tomorrow", "surprise": 1,
        });
        let refusals = read(wrong).unwrap_err();
        let fields: BTreeSet<&str> = refusals.iter().map(|(field, _)| field.as_str()).collect();
        let all = [
            "address",
            "alert_after",
            "alert_threshold",
            "discord",
            "interval",
            "mailbox",
            "muted_until",
            "name",
            "return_mode",
            "sender",
            "surprise",
        ];
        assert_eq!(fields, BTreeSet::from(all), "{refusals:?}");
        assert_eq!(refusals.len(), all.len());
        assert_eq!(
            read(json!({})).unwrap_err(),
            [("address".to_owned(), "is missing; give the address to be monitored".to_owned())]
        );
        // One that nobody knows is not passed over, even when all else is right.
        assert!(read(json!({"address": "a@provider.net", "adress": "b@provider.net"})).is_err());
        assert!(read(json!({"address": "a@example.org"})).is_err(), "the placeholder of an example");
    }

    proptest! {
        #[test]
        fn nothing_that_is_given_makes_it_panic_or_stay_silent(
            field in "address|name|interval|alert_threshold|alert_after|return_mode|sender|mailbox|discord|email|muted_until|active|[a-z]{0,5}",
            text in "\\PC{0,24}|[0-9smhdw.:TZ+-]{0,20}|(a|ü|\"|<|@|\\.){0,12}",
            number: i64,
        ) {
            for value in [json!(text), json!(number), json!([text]), json!({"x": text}), json!(true), json!(null)] {
                let mut fields = Map::from_iter([("address".to_owned(), json!("a@provider.net"))]);
                fields.insert(field.clone(), value);
                if let Err(refusals) = config_once().recipient(&fields) {
                    prop_assert!(!refusals.is_empty());
                    prop_assert!(refusals.iter().all(|refusal| refusal.field == field || refusal.field == "address"), "{refusals:?}");
                }
            }
        }
    }

    fn config_once() -> &'static Config {
        static CONFIG: std::sync::OnceLock<Config> = std::sync::OnceLock::new();
        CONFIG.get_or_init(config)
    }
}
