//! How the parts of the service fare.

use maud::{Markup, html};

use crate::domain::verdict::Standing;
use crate::metrics::Readiness;
use crate::metrics::readiness::{DatabaseState, Role};

use super::states;

/// One part.
pub struct Part {
    pub name: String,
    pub is_well: bool,
    pub words: String,
}

/// The parts that readiness knows of.
pub fn parts(readiness: &Readiness) -> Vec<Part> {
    let part = |name: String, is_well: bool, words: &str| Part { name, is_well, words: words.to_owned() };
    let role = match readiness.role {
        Role::Starting => (false, "is starting"),
        Role::Active => (true, "does the work"),
        Role::Standby => (true, "stands by: another instance works, and knows of mailboxes and channels"),
    };
    let database = match readiness.database {
        DatabaseState::Ready => (true, "reached"),
        DatabaseState::Migrating => (false, "is being brought up to date"),
        DatabaseState::Unreachable => (false, "is not reached"),
    };
    let mut parts = vec![
        part("This instance".to_owned(), role.0, role.1),
        part("Database".to_owned(), database.0, database.1),
    ];
    let mut watchers: Vec<_> = readiness.watchers.iter().collect();
    watchers.sort_by(|a, b| (&a.mailbox, &a.folder).cmp(&(&b.mailbox, &b.folder)));
    parts.extend(watchers.into_iter().map(|watcher| {
        let words = if watcher.up { "watched" } else { "cannot be looked into" };
        part(format!("Mailbox {}, {}", watcher.mailbox, watcher.folder), watcher.up, words)
    }));
    parts.extend(readiness.channels.iter().map(|channel| {
        let words = if channel.up { "takes alerts" } else { "takes no alerts" };
        part(format!("Channel {}", channel.channel), channel.up, words)
    }));
    parts
}

pub fn table(parts: &[Part]) -> Markup {
    html! {
        div.scroll {
            table {
                thead { tr { th scope="col" { "Part" } th scope="col" { "State" } th scope="col" { "In words" } } }
                tbody {
                    @for part in parts {
                        @let look = states::look(if part.is_well { Standing::Ok } else { Standing::Missing });
                        tr {
                            th scope="row" { (part.name) }
                            td { span class={ "chip " (look.class) } { (states::icon(&look)) (if part.is_well { "Well" } else { "Not well" }) } }
                            td.why { (part.words) }
                        }
                    }
                }
            }
        }
    }
}
