//! `/recipients/{id}/delete`: what will be lost, and then losing it.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use maud::html;

use crate::domain::recipient::Recipient;
use crate::store::{Edited, Footprint};
use crate::web::Site;
use crate::web::failure::Failure;
use crate::web::layout::{self, Page};
use crate::web::visit::Visit;
use crate::web::words;

use super::adding::to_list;
use super::changing::path;
use super::form::Typed;
use super::notice::Notice;
use super::view::clock;
use super::{Named, find, provisioned};

/// `GET /recipients/{id}/delete`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
) -> Result<Response, Failure> {
    let store = site.store()?;
    let recipient = find(&store, id).await?;
    if recipient.provisioned {
        return Ok(provisioned(&visit, &recipient));
    }
    let footprint = store.recipient_footprint(id).await?;
    Ok(answer(&visit, &recipient, &footprint, false))
}

/// `POST /recipients/{id}/delete`.
pub async fn delete(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    typed: Typed,
) -> Result<Response, Failure> {
    let version = typed.only(&["version"])?.version()?;
    let store = site.store()?;
    match store.delete_recipient(id, version).await? {
        Edited::Done(_) => Ok(to_list(Notice::Deleted)),
        Edited::Gone => Ok(to_list(Notice::DeletedBefore)),
        Edited::Provisioned => Ok(provisioned(&visit, &find(&store, id).await?)),
        Edited::Changed(newer) => {
            let footprint = store.recipient_footprint(id).await?;
            Ok(answer(&visit, &newer, &footprint, true))
        }
        Edited::NameTaken => Err(Failure::fault()),
    }
}

fn answer(visit: &Visit, recipient: &Recipient, footprint: &Footprint, has_changed: bool) -> Response {
    let back = format!("/recipients/{}", recipient.id);
    let probes = usize::try_from(footprint.probes).unwrap_or_default();
    let main = html! {
        section.narrow {
            (path(recipient))
            h1 { "Delete " (recipient.name) "?" }
            @if has_changed {
                p.note.bad role="alert" { "Somebody has changed this recipient since you asked. Look at it again before you delete it." }
            }
            p.lede { (recipient.address) " is not monitored any more from then on." }
            ul.losses {
                @if probes > 0 {
                    li { b { (words::count(probes, "probe", "probes")) }
                        @if let Some(since) = footprint.since { " since " (clock(since)) }
                        ": no longer shown, and removed at the end of the history’s time." }
                } @else { li { "No probe has been sent to it yet." } }
                @if footprint.open_incidents > 0 {
                    li { "Its open incident closes. Nobody is told that mail arrives again, as nobody knows." }
                }
                li { "Its series in the metrics end. A new recipient of the same name starts at 0." }
                li { "A probe that is under way is still taken out of the mailbox when it arrives." }
            }
            p { "To stop its probes for a while and keep all this, " a href=(back) { "pause it" } " instead." }
            form.deeds method="post" action={ (back) "/delete" } {
                input type="hidden" name="version" value=(recipient.version);
                button.danger type="submit" { "Delete it for good" }
                a href=(back) { "Keep it" }
            }
        }
    };
    let page = layout::page(
        visit,
        &Page {
            scripts: &["recipients.js"],
            styles: &["recipients.css"],
            ..Page::new("Delete a recipient", &main)
        },
    );
    let status = if has_changed { StatusCode::CONFLICT } else { StatusCode::OK };
    (status, page).into_response()
}
