//! How the service itself fares.

use std::sync::Arc;

use axum::extract::{Extension, State};
use maud::{Markup, html};

use crate::metrics::Readiness;
use crate::metrics::readiness::{DatabaseState, Role};

use super::Site;
use super::layout::{self, Page};
use super::visit::Visit;

/// `GET /health`.
pub async fn page(State(site): State<Arc<Site>>, Extension(visit): Extension<Arc<Visit>>) -> Markup {
    let readiness = site.readiness.borrow().clone();
    let main = html! { h1 { "State of the service" } (parts(&readiness)) };
    layout::page(&visit, &Page::new("Health", &main))
}

/// A row for each part.
pub fn parts(readiness: &Readiness) -> Markup {
    let database = match readiness.database {
        DatabaseState::Ready => (true, "reached"),
        DatabaseState::Migrating => (false, "being brought up to date"),
        DatabaseState::Unreachable => (false, "not reached"),
    };
    let role = match readiness.role {
        Role::Starting => (false, "starting"),
        Role::Active => (true, "does the work"),
        Role::Standby => (true, "stands by for another instance"),
    };
    html! {
        div.scroll {
            table {
                thead { tr { th scope="col" { "Part" } th scope="col" { "State" } } }
                tbody {
                    (row("This instance", role))
                    (row("Database", database))
                    @for watcher in &readiness.watchers {
                        (row(&format!("Mailbox {}, folder {}", watcher.mailbox, watcher.folder),
                            if watcher.up { (true, "watched") } else { (false, "cannot be looked into") }))
                    }
                    @for channel in &readiness.channels {
                        (row(&format!("Alerts by {}", channel.channel),
                            if channel.up { (true, "work") } else { (false, "do not get through") }))
                    }
                }
            }
        }
    }
}

fn row(part: &str, (is_well, words): (bool, &str)) -> Markup {
    html! {
        tr {
            th scope="row" { (part) }
            td { span class=(if is_well { "chip ok" } else { "chip missing" }) { (mark(is_well)) (words) } }
        }
    }
}

fn mark(is_well: bool) -> Markup {
    html! {
        svg viewBox="0 0 16 16" aria-hidden="true" {
            path d=(if is_well { "M4 8.5l3 3 5-6" } else { "M4.5 4.5l7 7m0-7l-7 7" }) {}
        }
    }
}
