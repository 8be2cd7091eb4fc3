//! Two people have changed a recipient: both versions field by field, and the form with what was typed, on top of the newer.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use crate::config::show_duration;
use crate::domain::recipient::{Recipient, Wanted};
use crate::web::layout::{self, Page};
use crate::web::visit::Visit;
use crate::web::words;

use super::changing::{path, sheet};
use super::entries::{Entries, label};

/// `newer` is what the database has, `wanted` what was typed as `entries`.
pub fn answer(visit: &Visit, newer: &Recipient, entries: &Entries, wanted: &Wanted) -> Response {
    let rows = rows(newer, wanted);
    let differ = rows.iter().filter(|(_, theirs, yours)| theirs != yours).count();
    let main = html! {
        section.narrow {
            (path(newer))
            h1 { "Somebody else has changed this recipient meanwhile." }
            p.lede role="alert" {
                "Nothing of what you typed is saved yet. It differs from what is saved now in " (words::count(differ, "field", "fields")) "."
            }
            (table(newer, &rows))
            p { a href={ "/recipients/" (newer.id) } { "Leave it as it is now" } " and drop what you typed, or go on from here:" }
            h2 { "What you typed" }
            (sheet(visit, newer, entries, newer.version, &[], "Save this over the newer version"))
        }
    };
    let page = layout::page(
        visit,
        &Page {
            scripts: &["recipients.js"],
            styles: &["recipients.css"],
            ..Page::new("Changed meanwhile", &main)
        },
    );
    (StatusCode::CONFLICT, page).into_response()
}

type Row = (&'static str, String, String);

/// Field, as it is saved now, as it was typed.
fn rows(newer: &Recipient, wanted: &Wanted) -> Vec<Row> {
    let switch = |on: bool| if on { "on" } else { "off" }.to_owned();
    vec![
        (label("address"), newer.address.to_string(), wanted.address.to_string()),
        (label("name"), newer.name.to_string(), wanted.name.clone()),
        (label("interval"), show_duration(newer.interval), show_duration(wanted.interval)),
        (
            label("alert_threshold"),
            show_duration(newer.alert_threshold),
            show_duration(wanted.alert_threshold),
        ),
        (label("alert_after"), newer.alert_after.to_string(), wanted.alert_after.to_string()),
        (label("return_mode"), newer.return_mode.to_string(), wanted.return_mode.to_string()),
        (label("sender"), newer.sender.to_string(), wanted.sender.clone()),
        (label("mailbox"), newer.mailbox.to_string(), wanted.mailbox.clone()),
        (label("discord"), switch(newer.discord), switch(wanted.discord)),
        (label("email"), switch(newer.email), switch(wanted.email)),
    ]
}

fn table(newer: &Recipient, rows: &[Row]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Both versions" {
            table.versions {
                thead { tr { th scope="col" { "Field" } th scope="col" { "Saved now" } th scope="col" { "What you typed" } th scope="col" { "" } } }
                tbody {
                    @for (field, theirs, yours) in rows {
                        tr.differs[theirs != yours] {
                            th scope="row" { (field) }
                            td { (theirs) }
                            td { (yours) }
                            td { @if theirs != yours { span.chip.late { "differs" } } @else { span.none { "same" } } }
                        }
                    }
                    tr { th scope="row" { (label("active")) } td { (if newer.active { "yes" } else { "paused" }) } td { span.none { "not in this form" } } td {} }
                    tr { th scope="row" { (label("muted_until")) }
                        td { @if let Some(until) = newer.muted_until { (words::exact(until)) } @else { "not muted" } }
                        td { span.none { "not in this form" } } td {} }
                }
            }
        }
    }
}
