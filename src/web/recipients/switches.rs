//! Pausing, resuming and muting.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::Response;

use crate::domain::id::RecipientId;
use crate::store::{Edited, Switch};
use crate::web::Site;
use crate::web::failure::Failure;
use crate::web::visit::Visit;

use super::form::Typed;
use super::notice::Notice;
use super::view::{self, Extras};
use super::{Named, find, mute, provisioned, to_recipient};

/// `POST /recipients/{id}/pause`.
pub async fn pause(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    typed: Typed,
) -> Result<Response, Failure> {
    typed.only(&[])?;
    turn(&site, &visit, id, Switch::Active(false), Notice::Paused).await
}

/// `POST /recipients/{id}/resume`.
pub async fn resume(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    typed: Typed,
) -> Result<Response, Failure> {
    typed.only(&[])?;
    turn(&site, &visit, id, Switch::Active(true), Notice::Resumed).await
}

/// `POST /recipients/{id}/mute`.
pub async fn mute(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    typed: Typed,
) -> Result<Response, Failure> {
    let typed = typed.only(&["until", "at"])?;
    let (choice, at) = (typed.get("until"), typed.get("at"));
    let store = site.store()?;
    let now = store.now().await?.time;
    match mute::end(choice, at, now, &visit.config.tz) {
        Ok(until) => {
            let notice = if until.is_some() { Notice::Muted } else { Notice::Unmuted };
            turn(&site, &visit, id, Switch::MutedUntil(until), notice).await
        }
        Err(refusal) => {
            let recipient = find(&store, id).await?;
            if recipient.provisioned {
                return Ok(provisioned(&visit, &recipient));
            }
            let extras = Extras {
                status: StatusCode::UNPROCESSABLE_ENTITY,
                mute: Some((choice.to_owned(), at.to_owned(), refusal)),
                ..Extras::default()
            };
            view::answer(&site, &visit, id, extras).await
        }
    }
}

async fn turn(
    site: &Site,
    visit: &Visit,
    id: RecipientId,
    switch: Switch,
    notice: Notice,
) -> Result<Response, Failure> {
    let store = site.store()?;
    match store.switch_recipient(id, switch).await? {
        Edited::Done(_) => Ok(to_recipient(id, notice)),
        Edited::Provisioned => Ok(provisioned(visit, &find(&store, id).await?)),
        Edited::Gone => Err(Failure::no_recipient()),
        Edited::NameTaken | Edited::Changed(_) => Err(Failure::fault()),
    }
}
