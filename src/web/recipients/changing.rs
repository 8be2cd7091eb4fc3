//! `/recipients/{id}/edit`: changing a recipient, without overwriting what somebody else has changed meanwhile.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::{Markup, html};

use crate::config::Refusal;
use crate::domain::recipient::{Recipient, Wanted};
use crate::store::Edited;
use crate::web::Site;
use crate::web::failure::Failure;
use crate::web::layout::{self, Page};
use crate::web::visit::Visit;

use super::adding::name_taken;
use super::entries::{Entries, FIELDS};
use super::form::Typed;
use super::notice::Notice;
use super::sheet::Sheet;
use super::{Named, conflict, find, provisioned, to_recipient};

/// `GET /recipients/{id}/edit`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
) -> Result<Response, Failure> {
    let recipient = find(&site.store()?, id).await?;
    if recipient.provisioned {
        return Ok(provisioned(&visit, &recipient));
    }
    Ok(answer(&visit, &recipient, &Entries::of(&recipient), recipient.version, &[]))
}

/// `POST /recipients/{id}/edit`.
pub async fn change(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    typed: Typed,
) -> Result<Response, Failure> {
    let typed = typed.only(&[FIELDS.as_slice(), &["version"]].concat())?;
    let version = typed.version()?;
    let store = site.store()?;
    let before = find(&store, id).await?;
    if before.provisioned {
        return Ok(provisioned(&visit, &before));
    }
    let entries = Entries::typed(&typed);
    let wanted = match entries.read(&visit.config) {
        // These two have switches of their own.
        Ok(wanted) => Wanted { active: before.active, muted_until: before.muted_until, ..wanted },
        Err(refusals) => return Ok(answer(&visit, &before, &entries, version, &refusals)),
    };
    if before.is_like(&wanted) {
        // Sent twice, or nothing to change.
        return Ok(to_recipient(id, Notice::Saved));
    }
    match store.change_recipient(id, version, &wanted).await? {
        Edited::Done(_) => Ok(to_recipient(id, Notice::Saved)),
        Edited::NameTaken => Ok(answer(&visit, &before, &entries, version, &[name_taken(&wanted.name)])),
        Edited::Changed(newer) => Ok(conflict::answer(&visit, &newer, &entries, &wanted)),
        Edited::Provisioned => Ok(provisioned(&visit, &before)),
        Edited::Gone => Err(Failure::no_recipient()),
    }
}

fn answer(
    visit: &Visit,
    recipient: &Recipient,
    entries: &Entries,
    version: i32,
    refusals: &[Refusal],
) -> Response {
    let main = html! {
        section.narrow {
            (path(recipient))
            h1 { "Edit " (recipient.name) }
            p.lede { "What is changed holds for the next probe. Those that are under way keep the threshold they were sent with." }
            (sheet(visit, recipient, entries, version, refusals, "Save"))
        }
    };
    let page = layout::page(
        visit,
        &Page {
            scripts: &["recipients.js"],
            styles: &["recipients.css"],
            ..Page::new("Edit a recipient", &main)
        },
    );
    let status = if refusals.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    (status, page).into_response()
}

/// The form with these entries, for the recipient at `version`.
pub fn sheet(
    visit: &Visit,
    recipient: &Recipient,
    entries: &Entries,
    version: i32,
    refusals: &[Refusal],
    button: &str,
) -> Markup {
    let back = format!("/recipients/{}", recipient.id);
    let sheet = Sheet {
        config: &visit.config,
        entries,
        refusals,
        action: &format!("{back}/edit"),
        version: Some(version),
        button,
        back: &back,
    };
    sheet.render()
}

/// Where one is.
pub fn path(recipient: &Recipient) -> Markup {
    html! {
        p.path { a href="/recipients" { "Recipients" } " / " a href={ "/recipients/" (recipient.id) } { (recipient.name) } }
    }
}
