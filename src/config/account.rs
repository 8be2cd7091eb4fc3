//! Accounts on mail servers: senders (SMTP) and mailboxes (IMAP).

use super::parse;
use super::placeholder;
use super::problem::{Fault, Findings};
use super::table::Table;
use crate::domain::address::MailAddress;
use crate::secret::Secret;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// STARTTLS, required: a server that does not offer it, or refuses it, is an error.
    StartTls,
    /// No TLS. The configuration allows it to loopback only, or with `ALLOW_PLAINTEXT=true`.
    None,
}

impl TlsMode {
    /// The name in the configuration and in pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }
}

/// Where and as whom to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub host: String,
    pub port: u16,
    /// Empty on a sender: no AUTH (a relay that trusts our address).
    pub user: String,
    pub pass: Secret,
    pub tls: TlsMode,
}

/// A submission account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The key in the file and in labels; the environment's account is `default`.
    pub name: String,
    pub account: Account,
    /// From and reverse-path.
    pub from: String,
    /// How many connections may be open at once: the bound on concurrent submissions.
    pub connections: usize,
}

/// What becomes of a verified probe once its arrival is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// `UID STORE +FLAGS (\Deleted)` and `UID EXPUNGE` (RFC 4315); without UIDPLUS: flag and leave.
    Delete,
    /// `UID STORE +FLAGS (\Seen)`.
    Seen,
    /// Nothing: the folder is opened read-only by EXAMINE.
    Keep,
}

impl Cleanup {
    /// The name in the configuration and in pages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Seen => "seen",
            Self::Keep => "keep",
        }
    }
}

impl Sender {
    /// What a sender's table may hold.
    pub(super) const KEYS: [&'static str; 8] =
        ["host", "port", "user", "pass", "pass_file", "tls", "from", "connections"];

    /// Whether anything is set that only an account of one's own has.
    pub(super) fn is_configured(table: &Table) -> bool {
        table.has("host") || table.has("user") || table.has("from") || table.has_secret("pass")
    }

    /// Sees to the settings of an account that is not configured: wrong is wrong.
    pub(super) fn check_unused(table: &Table, findings: &mut Findings) {
        table.scalar("port", findings, parse::port);
        table.parsed("tls", findings, parse::tls_mode);
    }

    /// Reads a submission account; `None` when something is wrong and noted.
    pub(super) fn read(name: &str, table: &Table, plaintext: bool, findings: &mut Findings) -> Option<Self> {
        let smtp = Ports { implicit: 465, starttls: 587, none: 25 };
        let login = table.has("user") || table.has_secret("pass") || !table.has("from");
        let account = Account::read(table, &smtp, login, plaintext, findings);
        refuse_example(table, if table.has("from") { "from" } else { "user" }, findings);
        let connections =
            table.scalar_or("connections", 4, findings, |text| parse::number_within(text, 1, 100));
        let from = if table.has("from") {
            table.parsed("from", findings, |text| {
                let address =
                    |e| Fault::new(format!("{} is no address: {e}", parse::shown(text)), "write name@domain");
                text.parse::<MailAddress>().map_err(address)
            })
        } else {
            // A missing or refused user has been told already.
            let user = &account.as_ref()?.user;
            let fault = |e| {
                let user = parse::shown(user);
                Fault::new(
                    format!("the user name {user} would stand in for it and is no address: {e}"),
                    "set it",
                )
            };
            findings.keep(&table.place("from"), user.parse::<MailAddress>().map_err(fault))
        };
        let (account, from) = (account?, from?);
        let connections = usize::try_from(connections?).unwrap_or(1);
        Some(Self { name: name.to_owned(), account, from: from.to_string(), connections })
    }
}

/// A watched account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The key in the file and in labels; the environment's account is `default`.
    pub name: String,
    pub account: Account,
    /// Folder names, or special-use attributes such as `\Junk` (RFC 6154).
    pub folders: Vec<String>,
    pub cleanup: Cleanup,
    /// Whether to ask by NOOP while young probes are expected.
    pub active_look: bool,
}

impl Mailbox {
    /// What a mailbox's table may hold.
    pub(super) const KEYS: [&'static str; 9] =
        ["host", "port", "user", "pass", "pass_file", "tls", "folders", "cleanup", "active_look"];

    /// Whether anything is set that only an account of one's own has.
    pub(super) fn is_configured(table: &Table) -> bool {
        table.has("host") || table.has("user") || table.has_secret("pass")
    }

    /// Sees to the settings of an account that is not configured: wrong is wrong.
    pub(super) fn check_unused(table: &Table, findings: &mut Findings) {
        table.scalar("port", findings, parse::port);
        table.parsed("tls", findings, parse::tls_mode);
        table.list("folders", findings, parse::folder);
        table.parsed("cleanup", findings, parse::cleanup);
        table.scalar("active_look", findings, parse::boolean);
    }

    /// Reads a watched account; `None` when something is wrong and noted.
    pub(super) fn read(name: &str, table: &Table, plaintext: bool, findings: &mut Findings) -> Option<Self> {
        let imap = Ports { implicit: 993, starttls: 143, none: 143 };
        let account = Account::read(table, &imap, true, plaintext, findings);
        refuse_example(table, "user", findings);
        let folders = table.optional("folders", |folders| table.list(folders, findings, parse::folder));
        let cleanup = table.scalar_or("cleanup", Cleanup::Delete, findings, parse::cleanup);
        let active_look = table.scalar_or("active_look", true, findings, parse::boolean);
        let (account, folders) = (account?, folders?);
        let mut folders = folders.unwrap_or_else(|| vec!["INBOX".to_owned(), "\\Junk".to_owned()]);
        let mut seen = std::collections::BTreeSet::new();
        folders.retain(|folder| seen.insert(folder.clone()));
        if folders.is_empty() {
            findings.refuse(table.place("folders"), Fault::new("names no folder", "name at least INBOX"));
        }
        Some(Self { name: name.to_owned(), account, folders, cleanup: cleanup?, active_look: active_look? })
    }
}

/// The port of each TLS mode, when none is given.
struct Ports {
    implicit: u16,
    starttls: u16,
    none: u16,
}

impl Account {
    /// Reads what senders and mailboxes have in common. `login` tells whether user and password must be there.
    fn read(
        table: &Table,
        ports: &Ports,
        login: bool,
        plaintext: bool,
        findings: &mut Findings,
    ) -> Option<Self> {
        let host = if table.has("host") {
            table.parsed("host", findings, parse::host)
        } else {
            refuse_missing(table, "host", findings)
        };
        let user = match table.has("user") {
            true => table.text("user", findings),
            false if login => refuse_missing(table, "user", findings),
            false => Some(String::new()),
        };
        let pass = match table.has_secret("pass") {
            true => table.secret("pass", findings).map(|found| found.value),
            false if login => refuse_missing(table, "pass", findings),
            false => Some(Secret::default()),
        };
        let port = table.optional("port", |port| table.scalar(port, findings, parse::port));
        let tls = table.optional("tls", |tls| table.parsed(tls, findings, parse::tls_mode));
        let (host, user, pass, port, tls) = (host?, user?, pass?, port?, tls?);
        let by_port = if port.is_none_or(|port| port == ports.implicit) {
            TlsMode::Implicit
        } else {
            TlsMode::StartTls
        };
        let tls = tls.unwrap_or(by_port);
        let usual = match tls {
            TlsMode::Implicit => ports.implicit,
            TlsMode::StartTls => ports.starttls,
            TlsMode::None => ports.none,
        };
        let account = Self { host, port: port.unwrap_or(usual), user, pass, tls };
        account.check_tls(table, ports, plaintext, findings)?;
        Some(account)
    }

    fn check_tls(
        &self,
        table: &Table,
        ports: &Ports,
        plaintext: bool,
        findings: &mut Findings,
    ) -> Option<()> {
        let place = table.place("tls");
        let Self { host, port, .. } = self;
        match self.tls {
            TlsMode::None if parse::is_loopback(host) => {}
            TlsMode::None if plaintext => {
                findings.warn(&place, format_args!("mail and password travel unprotected to {host}"));
            }
            TlsMode::None => {
                let reason = format!("none would send mail and password unprotected to {host}");
                let remedy = "use implicit or starttls; ALLOW_PLAINTEXT=true permits it all the same";
                findings.refuse(place, Fault::new(reason, remedy));
                return None;
            }
            TlsMode::Implicit if *port == ports.starttls => {
                findings.warn(
                    &place,
                    format_args!("implicit is unusual on port {port}, where servers expect starttls"),
                );
            }
            TlsMode::StartTls if *port == ports.implicit => {
                findings.warn(
                    &place,
                    format_args!("starttls is unusual on port {port}, where servers expect implicit"),
                );
            }
            TlsMode::Implicit | TlsMode::StartTls => {}
        }
        Some(())
    }
}

/// Says which part of a half-configured account made it count as configured.
fn refuse_missing<T>(table: &Table, field: &str, findings: &mut Findings) -> Option<T> {
    let others = ["host", "user", "pass", "pass_file", "from"];
    let reason = match others.iter().find(|other| table.has(other)) {
        Some(other) => format!("is missing, while {} is set", table.place(other).setting),
        None => "is missing".to_owned(),
    };
    findings.refuse(table.place(field), Fault::new(reason, "set it, or unset the whole account"));
    None
}

/// Refuses an address of an example, even while the host is refused too.
fn refuse_example(table: &Table, field: &str, findings: &mut Findings) {
    let (address, host) =
        (table.written(field).unwrap_or_default(), table.written("host").unwrap_or_default());
    findings.keep(&table.place(field), placeholder::refuse_address(&address, &host));
}
