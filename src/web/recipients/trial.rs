//! A probe that somebody asked for, followed while it is under way, and what it suggests for the recipient.

mod advice;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;

use crate::config::Config;
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::Probe;
use crate::domain::recipient::{Recipient, Wanted};
use crate::store::{Edited, ProbeView, Requested, Stage, Store};
use crate::web::Site;
use crate::web::failure::Failure;
use crate::web::probe::{again, sentence, steps};
use crate::web::visit::Visit;

use super::entries::Entries;
use crate::web::probe::new_id;

use super::form::Typed;
use super::notice::Notice;
use super::view::{self, Extras};
use super::{Named, conflict, find, provisioned, to_recipient};

/// The identity that a query names, if it is one of this recipient's.
pub fn id_of(text: &str, recipient: RecipientId) -> Option<ProbeId> {
    text.parse::<ProbeId>().ok().filter(|id| id.recipient() == recipient)
}

/// To the recipient's page, which follows this probe.
pub fn to_page(id: ProbeId, notice: Notice) -> Response {
    let recipient = id.recipient();
    Redirect::to(&format!("/recipients/{recipient}?done={}&try={}#trial", notice.as_str(), id))
        .into_response()
}

/// A probe that was asked for, as far as it has come.
pub struct Trial(ProbeView);

impl Trial {
    pub async fn load(store: &Store, id: ProbeId) -> Result<Self, Failure> {
        Ok(Self(store.probe_view(id).await?))
    }

    pub fn probe(&self) -> Option<&Probe> {
        match &self.0.stage {
            Stage::Made(made) => Some(&made.probe),
            Stage::Requested(_) | Stage::Unknown => None,
        }
    }

    /// Nobody took the request in time.
    fn is_forgotten(&self) -> bool {
        self.0.stage == Stage::Unknown || self.0.has_run_out()
    }

    /// There is nothing more to follow.
    pub fn is_over(&self) -> bool {
        self.probe().map_or_else(|| self.is_forgotten(), |probe| !probe.state.is_open())
    }

    pub fn render(&self, recipient: &Recipient, config: &Config) -> Markup {
        html! {
            section.trial #trial aria-labelledby="trial-heading" {
                h2 #trial-heading { "The probe that was asked for" }
                (self.piece(recipient, config))
            }
        }
    }

    /// How it is, in a sentence, then step by step, then what follows from it. The script puts a newer one in its place.
    fn piece(&self, recipient: &Recipient, config: &Config) -> Markup {
        let id = self.0.id;
        html! {
            div.probe.alone data-fetch={ "/recipients/" (recipient.id) "/trial?try=" (id) } data-again=[again(&self.0)] {
                p.said {
                    b data-said {
                        @if self.is_forgotten() { "Nobody took it within 2 minutes: no instance is at work, or its sender is not configured. Nothing was sent." }
                        @else { (sentence(&self.0)) }
                    }
                    " " @if self.probe().is_some() { a href={ "/probes/" (id) } { "Everything about this probe" } }
                }
                (steps(&self.0))
                (advice::render(self, recipient, config))
            }
        }
    }
}

/// `POST /recipients/{id}/probe`: "probe now".
pub async fn probe(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    typed: Typed,
) -> Result<Response, Failure> {
    typed.only(&[])?;
    let probe = new_id(id);
    match site.store()?.request_probe(probe).await? {
        Requested::Yes => Ok(to_page(probe, Notice::Asked)),
        Requested::TooMany => {
            let bad = "Enough probes are under way that somebody asked for. Wait until they are judged; they are somebody's mail.";
            let status = StatusCode::TOO_MANY_REQUESTS;
            view::answer(&site, &visit, id, Extras { status, bad: Some(bad), ..Extras::default() }).await
        }
        Requested::Gone => Err(Failure::no_recipient()),
    }
}

#[derive(Deserialize)]
pub struct Followed {
    #[serde(default, rename = "try")]
    probe: String,
}

/// `GET /recipients/{id}/trial`: the section alone, for the script.
pub async fn fragment(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    followed: Result<Query<Followed>, QueryRejection>,
) -> Result<Markup, Failure> {
    let Query(followed) = followed.map_err(|_| Failure::bad_form())?;
    let probe = id_of(&followed.probe, id).ok_or_else(Failure::not_found)?;
    let store = site.store()?;
    let recipient = find(&store, id).await?;
    Ok(Trial::load(&store, probe).await?.piece(&recipient, &visit.config))
}

/// `POST /recipients/{id}/adopt`: takes over what a trial has suggested.
pub async fn adopt(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    typed: Typed,
) -> Result<Response, Failure> {
    let typed = typed.only(&["version", "return_mode", "alert_threshold", "mailbox"])?;
    let version = typed.version()?;
    let store = site.store()?;
    let before = find(&store, id).await?;
    if before.provisioned {
        return Ok(provisioned(&visit, &before));
    }
    let mut entries = Entries::of(&before);
    for (field, entry) in [
        ("return_mode", &mut entries.return_mode),
        ("alert_threshold", &mut entries.alert_threshold),
        ("mailbox", &mut entries.mailbox),
    ] {
        if !typed.get(field).is_empty() {
            typed.get(field).clone_into(entry);
        }
    }
    // Not typed by anybody: what does not fit is not from our page.
    let wanted = entries.read(&visit.config).map_err(|_| Failure::bad_form())?;
    let wanted = Wanted { active: before.active, muted_until: before.muted_until, ..wanted };
    if before.is_like(&wanted) {
        return Ok(to_recipient(id, Notice::Adopted));
    }
    match store.change_recipient(id, version, &wanted).await? {
        Edited::Done(after) => {
            let is_other_way = (after.return_mode, &after.mailbox) != (before.return_mode, &before.mailbox);
            let probe = new_id(id);
            if is_other_way && store.request_probe(probe).await? == Requested::Yes {
                return Ok(to_page(probe, Notice::Adopted));
            }
            Ok(to_recipient(id, Notice::Adopted))
        }
        Edited::Changed(newer) => Ok(conflict::answer(&visit, &newer, &entries, &wanted)),
        Edited::Provisioned => Ok(provisioned(&visit, &before)),
        Edited::NameTaken | Edited::Gone => Err(Failure::no_recipient()),
    }
}
