//! `/recipients/new`: a new recipient, which is tried at once.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};

use crate::config::{Config, Fault, Refusal};
use crate::domain::recipient::Wanted;
use crate::store::{Edited, Requested, Store};
use crate::web::Site;
use crate::web::failure::Failure;
use crate::web::layout::{self, Page};
use crate::web::visit::Visit;

use super::entries::{Entries, FIELDS};
use super::form::Typed;
use super::notice::Notice;
use super::sheet::Sheet;
use super::{to_recipient, trial};

/// `GET /recipients/new`.
pub async fn page(Extension(visit): Extension<Arc<Visit>>) -> Response {
    answer(&visit, &Entries::blank(&visit.config), &[], None)
}

/// `POST /recipients`.
pub async fn add(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    typed: Typed,
) -> Result<Response, Failure> {
    let entries = Entries::typed(&typed.only(&FIELDS)?);
    let wanted = match entries.read(&visit.config) {
        Ok(wanted) => wanted,
        Err(refusals) => return Ok(answer(&visit, &entries, &refusals, None)),
    };
    let store = site.store()?;
    // The schedule begins when the trial has had its time, so that a recipient that is not set up yet raises no alarm.
    let first = wanted.alert_threshold.min(wanted.interval);
    match store.add_recipient_due_in(&wanted, first).await? {
        Edited::Done(recipient) => {
            let id = crate::web::probe::new_id(recipient.id);
            Ok(match store.request_probe(id).await {
                Ok(Requested::Yes) => trial::to_page(id, Notice::Added),
                // It has been added, whatever becomes of its trial.
                Ok(Requested::TooMany | Requested::Gone) | Err(_) => {
                    to_recipient(recipient.id, Notice::AddedUntried)
                }
            })
        }
        Edited::NameTaken => taken(&store, &visit, &entries, &wanted).await,
        Edited::Changed(_) | Edited::Provisioned | Edited::Gone => Err(Failure::fault()),
    }
}

/// There is one of this name: perhaps the very same, sent twice.
async fn taken(
    store: &Store,
    visit: &Visit,
    entries: &Entries,
    wanted: &Wanted,
) -> Result<Response, Failure> {
    let all = store.recipients().await?;
    let other = all.iter().find(|other| *other.name == *wanted.name);
    if let Some(other) = other
        && other.is_like(wanted)
    {
        return Ok(to_recipient(other.id, Notice::Exists));
    }
    Ok(answer(visit, entries, &[name_taken(&wanted.name)], other.map(|other| other.id.0)))
}

/// The refusal of a name that another recipient has.
pub fn name_taken(name: &str) -> Refusal {
    let short: String = name.chars().take(60).collect();
    let fault = Fault {
        reason: format!("another recipient is called “{short}”"),
        remedy: "give this one a name of its own".to_owned(),
    };
    Refusal { field: "name".to_owned(), fault }
}

fn answer(visit: &Visit, entries: &Entries, refusals: &[Refusal], other: Option<i32>) -> Response {
    let config = &visit.config;
    let can_work = !config.senders.is_empty() && !config.mailboxes.is_empty();
    let sheet = Sheet {
        config,
        entries,
        refusals,
        action: "/recipients",
        version: None,
        button: "Add and try it",
        back: "/recipients",
    };
    let main = html! {
        section.narrow {
            p.path { a href="/recipients" { "Recipients" } }
            h1 { "Add a recipient" }
            @if can_work {
                p.lede { "A first probe is sent to it at once, and you see what becomes of it. The rest can be changed at any time." }
                @if let Some(other) = other { p.note { "There is already " a href={ "/recipients/" (other) } { "a recipient of this name" } "." } }
                (sheet.render())
            } @else {
                (accounts_first(config))
            }
        }
    };
    let page = layout::page(
        visit,
        &Page {
            scripts: &["recipients.js"],
            styles: &["recipients.css"],
            ..Page::new("Add a recipient", &main)
        },
    );
    let status = if visit.is_look { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, page).into_response()
}

/// What must be set before anybody can be monitored.
pub fn accounts_first(config: &Config) -> Markup {
    let has_sender = !config.senders.is_empty();
    let missing = match (has_sender, config.mailboxes.is_empty()) {
        (false, true) => "no account that sends, and no mailbox that is watched",
        (false, false) => "no account that sends",
        _ => "no mailbox that is watched",
    };
    html! {
        p.note.bad role="alert" { "There is " (missing) " yet." }
        p { "MailDT sends a signed mail to each recipient and watches the mailbox in which it must appear. Both accounts are set in the environment or in " code { "maildt.toml" } ":" }
        pre { code {
            @if !has_sender { "SMTP_HOST=smtp.provider.net\nSMTP_USER=monitor@your-domain.net\nSMTP_PASS=…\n" }
            @if config.mailboxes.is_empty() { "IMAP_HOST=imap.provider.net\nIMAP_USER=monitor@your-domain.net\nIMAP_PASS=…" }
        } }
        p { "Then start MailDT anew. " code { "maildt check-config" } " tells whether both let it in." }
        p { a href="/settings" { "What is set now" } }
    }
}

/// Back to the list.
pub fn to_list(notice: Notice) -> Response {
    Redirect::to(&format!("/recipients?done={}", notice.as_str())).into_response()
}
