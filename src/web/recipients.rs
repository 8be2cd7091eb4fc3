//! `/recipients`: who is monitored and how. Adding, editing, pausing, muting, deleting, and trying a recipient out.
//!
//! What a field may hold says [`Config::recipient`](crate::config::Config::recipient), as for the file; what an edit does
//! says `store/edits.rs`. Each form is answered by a redirect to a page, so that loading that page again repeats nothing.

mod adding;
mod changing;
mod conflict;
mod entries;
mod form;
mod list;
mod mute;
mod notice;
mod removing;
mod sheet;
mod switches;
mod trial;
mod view;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use maud::html;

use crate::config::Config;
use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;
use crate::store::Store;

use super::Site;
use super::failure::Failure;
use super::layout::{self, Page};
use super::visit::Visit;
use notice::Notice;

/// The routes below `/recipients`.
pub fn routes() -> Router<Arc<Site>> {
    Router::new()
        .route("/recipients", get(list::page).post(adding::add))
        .route("/recipients/new", get(adding::page))
        .route("/recipients/{id}", get(view::page))
        .route("/recipients/{id}/edit", get(changing::page).post(changing::change))
        .route("/recipients/{id}/pause", post(switches::pause))
        .route("/recipients/{id}/resume", post(switches::resume))
        .route("/recipients/{id}/mute", post(switches::mute))
        .route("/recipients/{id}/delete", get(removing::page).post(removing::delete))
        .route("/recipients/{id}/probe", post(trial::probe))
        .route("/recipients/{id}/trial", get(trial::fragment))
        .route("/recipients/{id}/adopt", post(trial::adopt))
}

/// The recipient that a path names.
struct Named(RecipientId);

impl FromRequestParts<Arc<Site>> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, site: &Arc<Site>) -> Result<Self, Failure> {
        let path: Result<Path<String>, PathRejection> = Path::from_request_parts(parts, site).await;
        let Path(text) = path.map_err(|_| Failure::no_recipient())?;
        let id = text.parse::<i32>().ok().filter(|id| id.to_string() == text);
        id.map(|id| Self(RecipientId(id))).ok_or_else(Failure::no_recipient)
    }
}

async fn find(store: &Store, id: RecipientId) -> Result<Recipient, Failure> {
    store.recipient(id).await?.ok_or_else(Failure::no_recipient)
}

/// To a recipient's page, which says what has happened.
fn to_recipient(id: RecipientId, notice: Notice) -> Response {
    Redirect::to(&format!("/recipients/{id}?done={}", notice.as_str())).into_response()
}

/// Why a recipient of the file is not changed here.
fn provisioned(visit: &Visit, recipient: &Recipient) -> Response {
    let main = html! {
        section.lone {
            h1 { (recipient.name) " is the file’s" }
            p { "It comes from " code { (file(&visit.config)) } ", and the file wins. Change it there and have MailDT read it again: SIGHUP, or "
                code { "systemctl reload maildt" } "." }
            p { a href={ "/recipients/" (recipient.id) } { "Back to the recipient" } }
        }
    };
    (StatusCode::CONFLICT, layout::page(visit, &Page::new("A recipient of the file", &main))).into_response()
}

/// The file that provisions recipients, by its name.
fn file(config: &Config) -> String {
    let row = config.described().iter().find(|row| row.name.starts_with("recipients["));
    let file = row.map(|row| row.source.split(':').next().unwrap_or_default().to_owned());
    file.filter(|file| !file.is_empty()).unwrap_or_else(|| "maildt.toml".to_owned())
}
