//! All senders and mailboxes: the environment's, which is `default`, and those of the file.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::account::{Mailbox, Sender};
use super::problem::Findings;
use super::source::Source;
use super::table::Table;

/// Accounts of one kind.
pub(super) struct Accounts<T> {
    pub built: BTreeMap<String, Arc<T>>,
    /// The configured ones, refused or not: who refers to a refused one has made no second mistake.
    pub named: BTreeSet<String>,
}

pub(super) fn read_senders(source: &Source, plaintext: bool, findings: &mut Findings) -> Accounts<Sender> {
    let mut senders = Accounts { built: BTreeMap::new(), named: BTreeSet::new() };
    let variables = source.top.group("SMTP_", &Sender::KEYS);
    for (name, table) in with_default(variables, &source.senders, findings) {
        table.refuse_unknown(&Sender::KEYS, findings);
        if name == "default" && !Sender::is_configured(&table) {
            Sender::check_unused(&table, findings);
            continue;
        }
        senders.named.insert(name.clone());
        if let Some(sender) = Sender::read(&name, &table, plaintext, findings) {
            senders.built.insert(name, Arc::new(sender));
        }
    }
    senders
}

pub(super) fn read_mailboxes(source: &Source, plaintext: bool, findings: &mut Findings) -> Accounts<Mailbox> {
    let mut mailboxes = Accounts { built: BTreeMap::new(), named: BTreeSet::new() };
    let variables = source.top.group("IMAP_", &Mailbox::KEYS);
    for (name, table) in with_default(variables, &source.mailboxes, findings) {
        let table = table.with("active_look", &source.top, "active_look");
        table.refuse_unknown(&Mailbox::KEYS, findings);
        if name == "default" && !Mailbox::is_configured(&table) {
            Mailbox::check_unused(&table, findings);
            continue;
        }
        mailboxes.named.insert(name.clone());
        let Some(mailbox) = Mailbox::read(&name, &table, plaintext, findings) else { continue };
        if let Some(twin) = mailboxes.built.values().find(|other| is_same_mailbox(other, &mailbox)) {
            let text =
                format!("is the same mailbox as {}: probes for one look misrouted in the other", twin.name);
            findings.warn(&table.place("host"), text);
        }
        mailboxes.built.insert(name, Arc::new(mailbox));
    }
    mailboxes
}

/// The tables of the file and, over its `default`, the account of the variables.
fn with_default(
    variables: Table,
    tables: &BTreeMap<String, Table>,
    findings: &mut Findings,
) -> BTreeMap<String, Table> {
    let mut tables = tables.clone();
    let default = match tables.remove("default") {
        Some(table) => variables.over(table, findings),
        None => variables,
    };
    tables.insert("default".to_owned(), default);
    tables
}

fn is_same_mailbox(a: &Mailbox, b: &Mailbox) -> bool {
    (&a.account.host, a.account.port, &a.account.user) == (&b.account.host, b.account.port, &b.account.user)
}
