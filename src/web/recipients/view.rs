//! `/recipients/{id}`: how a recipient stands, how it is set, and what can be done with it.

mod parts;

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::domain::id::RecipientId;
use crate::domain::probe::Kind;
use crate::domain::verdict::Standing;
use crate::web::board::{Line, Troubles};
use crate::web::failure::Failure;
use crate::web::layout::{self, Page};
use crate::web::visit::Visit;
use crate::web::{Site, states, words};

use super::notice::{self, Notice};
use super::trial::{self, Trial};
use super::{Named, file, mute};

/// Probes that are listed.
const PROBES: i64 = 10;
/// How often a page without the script looks again while a probe is under way.
const FOLLOW: std::time::Duration = std::time::Duration::from_secs(3);

/// What a page says besides the recipient itself.
#[derive(Default)]
pub struct Extras {
    pub status: StatusCode,
    pub notice: Option<Notice>,
    /// Why something was not done.
    pub bad: Option<&'static str>,
    /// The probe that is followed.
    pub trial: String,
    /// The choice and the date of a muting that was refused, and why.
    pub mute: Option<(String, String, String)>,
}

#[derive(Deserialize)]
pub struct Asked {
    #[serde(default)]
    done: String,
    #[serde(default, rename = "try")]
    trial: String,
}

/// `GET /recipients/{id}`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Named(id): Named,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked.map_err(|_| Failure::bad_form())?;
    let extras = Extras { notice: notice::of(&asked.done), trial: asked.trial, ..Extras::default() };
    answer(&site, &visit, id, extras).await
}

/// The page, with what else is to be said.
pub async fn answer(
    site: &Site,
    visit: &Visit,
    id: RecipientId,
    extras: Extras,
) -> Result<Response, Failure> {
    let store = site.store()?;
    let data = store.board_of(id).await?;
    let row = data.rows.first().ok_or_else(Failure::no_recipient)?;
    let troubles = Troubles::of(&data);
    let line = Line::new(row, &troubles, data.now);
    let probes = store.newest_probes(id, PROBES).await?;
    let under_way = || probes.iter().find(|probe| probe.kind == Kind::Manual && probe.state.is_open());
    let followed = trial::id_of(&extras.trial, id).or_else(|| under_way().map(|probe| probe.id));
    let trial = match followed {
        Some(probe) => Some(Trial::load(&store, probe).await?),
        None => None,
    };
    let recipient = &row.recipient;
    let config = &visit.config;
    let main = html! {
        p.path { a href="/recipients" { "Recipients" } }
        div.heading #heading {
            h1 { (recipient.name) }
            (states::chip(line.standing))
            @if parts::is_muted(recipient, data.now) { span.tag { "muted" } }
            @if recipient.provisioned { span.tag { "file" } }
        }
        (notice::render(extras.notice))
        @if let Some(bad) = extras.bad { p.note.bad role="alert" { (bad) } }
        (lede(&line, data.now))
        (parts::deeds(recipient))
        @if recipient.provisioned {
            p.note { "This recipient comes from " code { (file(config)) } ": change, pause or remove it there and have the file read again (SIGHUP). Here it can be looked at and probed." }
        }
        @if let Some(trial) = &trial { (trial.render(recipient, config)) }
        div.two #lives {
            (parts::standing(recipient, row.last_success_at, &line, troubles.of_row(row), data.now))
            (parts::settings(recipient, config, data.now))
        }
        @if !recipient.provisioned { (mute::form(id, parts::is_muted(recipient, data.now), extras.mute.as_ref(), &config.tz)) }
        (parts::last_probes(recipient, &probes, data.now))
    };
    let is_followed = trial.as_ref().is_some_and(|trial| !trial.is_over());
    let page = layout::page(
        visit,
        &Page {
            scripts: &["recipients.js", "probe.js"],
            styles: &["recipients.css", "probe.css"],
            again_without_script: !is_followed && visit.is_look,
            follow_without_script: is_followed.then_some(FOLLOW),
            ..Page::new(&recipient.name, &main)
        },
    );
    Ok((extras.status, page).into_response())
}

/// How it stands, in a sentence.
fn lede(line: &Line, now: Timestamp) -> Markup {
    html! {
        p.lede #stand {
            @match line.standing {
                Standing::Paused => "It is paused: no probe is sent.",
                Standing::Pending => "No probe has been judged yet.",
                Standing::Ok => { "Mail arrives" @if let Some(ms) = line.latency_ms { ", after " @if line.estimated { "about " } (words::latency(ms)) } "." },
                _ => (line.why()),
            }
            @if let Some(next) = line.next_due_at { " Next probe: " (words::until(next, now)) "." }
        }
    }
}

/// A time of day, in the viewer's zone where the script runs.
pub fn clock(at: Timestamp) -> Markup {
    html! { time datetime=(words::exact(at)) data-clock { (words::exact(at)) } }
}
