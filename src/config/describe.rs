//! The configuration for people: `maildt check-config` and the settings page.

use super::account::{Account, Sender};
use super::problem::Origin;
use super::setting::{SETTINGS, Setting};
use super::source::Source;
use super::table::Table;
use super::{Config, Database, parse};

const MASK: &str = "********";

/// One setting with its value. Secrets are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    pub name: String,
    pub value: String,
    /// `default`, `environment`, `FILE:key`, or `unset`.
    pub source: String,
}

fn row(name: impl Into<String>, value: impl Into<String>, source: impl Into<String>) -> Described {
    Described { name: name.into(), value: value.into(), source: source.into() }
}

/// All rows: the settings, the further accounts, the recipients, the maintenance windows, the limits.
pub(super) fn rows(source: &Source, config: &Config) -> Vec<Described> {
    let mut rows: Vec<Described> =
        SETTINGS.iter().map(|setting| setting_row(setting, source, config)).collect();
    rows.push(muted_row(source, config));
    for (name, table) in &source.senders {
        let Some(sender) = config.senders.get(name) else { continue };
        let further = Further {
            path: format!("senders.{name}"),
            table,
            over: (name == "default").then_some("smtp_"),
            source,
        };
        further.account(&mut rows, &sender.account);
        rows.push(further.row("from", &sender.from));
        rows.push(further.row("connections", &sender.connections.to_string()));
    }
    for (name, table) in &source.mailboxes {
        let Some(mailbox) = config.mailboxes.get(name) else { continue };
        let further = Further {
            path: format!("mailboxes.{name}"),
            table,
            over: (name == "default").then_some("imap_"),
            source,
        };
        further.account(&mut rows, &mailbox.account);
        rows.push(further.row("folders", &mailbox.folders.join(",")));
        rows.push(further.row("cleanup", mailbox.cleanup.as_str()));
        rows.push(further.row("active_look", if mailbox.active_look { "on" } else { "off" }));
    }
    for (recipient, table) in config.recipients.iter().zip(&source.recipients) {
        let value = format!(
            "{} by {} into {}, {}, every {}, within {}",
            recipient.address,
            recipient.sender,
            recipient.mailbox,
            recipient.return_mode,
            parse::show_duration(recipient.interval),
            parse::show_duration(recipient.alert_threshold),
        );
        let name = format!("recipients[{}]", parse::shown(&recipient.name));
        rows.push(row(name, value, table.place("address").origin.to_string()));
    }
    for (window, table) in config.quiet.windows.iter().zip(&source.maintenance) {
        let name = format!("maintenance[{}]", parse::shown(&window.name));
        rows.push(row(name, window.describe(&config.tz), table.place("name").origin.to_string()));
    }
    for (name, value) in config.limits.by_name() {
        let limits = Further { path: "limits".to_owned(), table: &source.limits, over: None, source };
        rows.push(limits.row(name, &value));
    }
    rows
}

/// A table of the file.
struct Further<'a> {
    path: String,
    table: &'a Table,
    /// The settings that go over this table: those of the `default` account.
    over: Option<&'static str>,
    source: &'a Source,
}

impl Further<'_> {
    fn row(&self, field: &str, value: &str) -> Described {
        let over = self.over.map(|prefix| self.source.top.place(&format!("{prefix}{field}")).origin);
        let origin =
            over.filter(|origin| !matches!(origin, Origin::Unset | Origin::Default)).unwrap_or_else(|| {
                if self.table.has(field) { self.table.place(field).origin } else { Origin::Default }
            });
        row(format!("{}.{field}", self.path), value, origin.to_string())
    }

    fn account(&self, rows: &mut Vec<Described>, account: &Account) {
        let pass = if self.table.has("pass_file") { "pass_file" } else { "pass" };
        rows.push(self.row("host", &account.host));
        rows.push(self.row("port", &account.port.to_string()));
        rows.push(self.row("user", &account.user));
        rows.push(self.row(pass, if account.pass.is_empty() { "" } else { MASK }));
        rows.push(self.row("tls", account.tls.as_str()));
    }
}

fn muted_row(source: &Source, config: &Config) -> Described {
    let value = config.quiet.muted_until.map(|until| config.quiet.show(until)).unwrap_or_default();
    let place = source.top.place("muted_until");
    row(place.setting, value, place.origin.to_string())
}

fn setting_row(setting: &Setting, source: &Source, config: &Config) -> Described {
    let field = setting.name.to_ascii_lowercase();
    let file_field = format!("{field}_file");
    let top = &source.top;
    let origin = match (top.has(&field), top.has(&file_field)) {
        (false, true) => {
            let place = top.place(&file_field);
            format!("{} ({})", place.origin, place.setting)
        }
        (true, _) => top.place(&field).origin.to_string(),
        (false, false) => Origin::Unset.to_string(),
    };
    let is_set = top.has(&field) || top.has(&file_field);
    match (setting.name, &config.database) {
        ("DATABASE_URL", Database::Url(url)) => row(setting.name, url.masked(), origin),
        ("DATABASE_URL", Database::Private) => row(setting.name, "(private PostgreSQL)", origin),
        ("DATA_DIR", _) => row(
            setting.name,
            config.data_dir.display().to_string(),
            if is_set { origin } else { "default".into() },
        ),
        _ if setting.secret => row(setting.name, if is_set { MASK } else { "" }, origin),
        _ if is_set => row(setting.name, top.written(&field).unwrap_or_default(), origin),
        _ => match derived(setting.name, source, config) {
            Some(value) => row(setting.name, value, Origin::Default.to_string()),
            None => row(setting.name, "", origin),
        },
    }
}

/// The value of an unset setting that follows from others.
fn derived(name: &str, source: &Source, config: &Config) -> Option<String> {
    if name == "TRUSTED_PROXIES" {
        return Some("loopback and the container's gateway".to_owned());
    }
    let of_account = |field: &str, account: &Account, from: Option<&str>| match field {
        "PORT" => Some(account.port.to_string()),
        "TLS" => Some(account.tls.as_str().to_owned()),
        "FROM" => from.map(str::to_owned),
        _ => None,
    };
    if let Some(field) = name.strip_prefix("ALERT_SMTP_") {
        let sender = config.alerts.smtp.as_ref().filter(|_| source.top.has("alert_smtp_host"))?;
        return of_account(field, &sender.account, Some(&sender.from));
    }
    if let Some(field) = name.strip_prefix("SMTP_") {
        let sender: &Sender = config.senders.get("default").filter(|_| source.top.has("smtp_host"))?;
        return of_account(field, &sender.account, Some(&sender.from));
    }
    let mailbox = config.mailboxes.get("default").filter(|_| source.top.has("imap_host"))?;
    of_account(name.strip_prefix("IMAP_")?, &mailbox.account, None)
}
