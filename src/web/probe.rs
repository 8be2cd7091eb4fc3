//! `/probes/{id}`: one probe, from the wish to the last thing that is known of it.

mod evidence;
mod facts;
mod legs;
mod picture;
mod sentence;
mod steps;
mod timeline;

use std::sync::Arc;

use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::clock;
use crate::config::Config;
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::State as ProbeState;
use crate::metrics::readiness::Role;
use crate::store::{ProbeView, Stage};

use super::failure::Failure;
use super::layout::{self, Page};
use super::visit::Visit;
use super::{Site, words};

pub use sentence::sentence;
pub use steps::{steps, way};

/// The identity of a probe that is asked for now.
pub fn new_id(recipient: RecipientId) -> ProbeId {
    let unix_ms = u64::try_from(clock::now().as_millisecond()).unwrap_or_default();
    ProbeId::new(unix_ms, recipient, rand::random())
}

/// `GET /probes/{id}`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Path(id): Path<String>,
) -> Result<Response, Failure> {
    let Ok(id) = id.parse::<ProbeId>() else { return Ok(unknown(&visit, None, None)) };
    let view = site.store()?.probe_view(id).await?;
    if view.stage == Stage::Unknown {
        return Ok(unknown(&visit, Some(&view), Some(site.readiness.borrow().role)));
    }
    let main = part_of(&site, &visit, &view);
    let is_live = again(&view).is_some();
    let title =
        view.owner.as_ref().map_or_else(|| "Probe".to_owned(), |owner| format!("Probe for {}", owner.name));
    let page = Page {
        scripts: &["probe.js"],
        styles: &["probe.css"],
        again_without_script: is_live,
        ..Page::new(&title, &main)
    };
    Ok(layout::page(&visit, &page).into_response())
}

/// `GET /probes/{id}/part`: what the page's script puts in its place.
pub async fn part(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    Path(id): Path<String>,
) -> Result<Markup, Failure> {
    let view = known(&site, &id).await?;
    Ok(part_of(&site, &visit, &view))
}

/// `GET /probes/{id}/way`: as [`part`], for other pages that show the [`way`] of a probe.
pub async fn part_way(State(site): State<Arc<Site>>, Path(id): Path<String>) -> Result<Markup, Failure> {
    Ok(way(&known(&site, &id).await?))
}

async fn known(site: &Site, id: &str) -> Result<ProbeView, Failure> {
    let id = id.parse().map_err(|_| Failure::not_found())?;
    let view = site.store()?.probe_view(id).await?;
    if view.stage == Stage::Unknown { Err(Failure::not_found()) } else { Ok(view) }
}

/// Everything of the page, for the script to replace.
fn part_of(site: &Site, visit: &Visit, view: &ProbeView) -> Markup {
    let again = again(view);
    html! {
        div.probe data-fetch={ "/probes/" (view.id) "/part" } data-again=[again] {
            (sentence::head(view))
            @if view.has_run_out() { (nobody(view, &visit.config, site.readiness.borrow().role)) }
            (steps::steps(view))
            @if again.is_some() { noscript { p.soft { a href={ "/probes/" (view.id) } { "Look again" } } } }
            (facts::facts(view))
        }
    }
}

/// After how many milliseconds there may be news; `None` when there will be none.
pub fn again(view: &ProbeView) -> Option<u32> {
    let (since, settled) = match &view.stage {
        Stage::Unknown => return None,
        Stage::Requested(_) if view.has_run_out() => return None,
        Stage::Requested(at) => (*at, false),
        Stage::Made(made) => {
            let is_open = made.probe.result.is_none();
            (made.probe.accepted_at.unwrap_or(made.probe.attempt_at), !is_open)
        }
    };
    let age = view.now.duration_since(since);
    match age.as_secs() {
        // A copy or a report may follow, and what is missing may turn up.
        _ if settled => (age < SignedDuration::from_hours(24)).then_some(20_000),
        ..20 => Some(700),
        20..120 => Some(2_000),
        _ => Some(5_000),
    }
}

/// Why nobody may have taken a request.
fn nobody(view: &ProbeView, config: &Config, role: Role) -> Markup {
    let sender = view.owner.as_ref().map(|owner| &*owner.sender);
    let is_configured = sender.is_some_and(|sender| config.senders.keys().any(|name| **name == *sender));
    html! {
        div.note {
            p { "A probe that is asked for is made at once, or not at all: after 2 minutes nobody waits for it any more. No mail was sent." }
            ul {
                @if role == Role::Standby {
                    li { "This instance stands by. If no other one works, it takes over within seconds: see " a href="/settings" { "Settings" } "." }
                }
                @if role == Role::Starting { li { "This instance is still starting: see " a href="/settings" { "Settings" } "." } }
                @match sender {
                    None => li { "The recipient is gone." },
                    Some(sender) if !is_configured => li { "Its sender " code { (sender) } " is not configured here." },
                    Some(sender) => li { "All connections of the sender " code { (sender) } " may have been in use, as when its server does not answer: see " a href="/incidents" { "Incidents" } "." },
                }
            }
            @if let Some(owner) = view.owner.as_ref().filter(|owner| !owner.is_deleted) {
                p { "Ask again on the page of " a href={ "/recipients/" (owner.id) } { (owner.name) } "." }
            }
        }
    }
}

/// What can be said of a probe that is not there.
fn unknown(visit: &Visit, view: Option<&ProbeView>, role: Option<Role>) -> Response {
    let days = visit.config.retention.as_secs() / 86_400;
    let made = view.and_then(|view| {
        let ms = i64::try_from(view.id.unix_ms()).ok()?;
        Some((Timestamp::from_millisecond(ms).ok()?, view)).filter(|(made, _)| *made <= view.now)
    });
    let main = html! {
        section.lone {
            p.code { "Error 404" }
            h1 { "There is no such probe" }
            @match made {
                None => p { "The address names no probe: the letters and digits after " code { "/probes/" } " may be incomplete." },
                Some((made, view)) => {
                    p { "Its identity says that it is from " (at(made)) "." }
                    @if view.now.duration_since(made) > SignedDuration::from_hours(24 * i64::try_from(days).unwrap_or(0)) {
                        p { "History is kept for " (days) " days (" code { "RETENTION_DAYS" } "): what was known of it is gone." }
                    } @else {
                        p { "If somebody asked for it by hand, nobody took it within 2 minutes, and no mail was sent."
                            @if role == Some(Role::Standby) { " This instance stands by." }
                            " Otherwise another installation has made it." }
                    }
                    @if let Some(owner) = view.owner.as_ref().filter(|owner| !owner.is_deleted) {
                        p { a href={ "/recipients/" (owner.id) "/history" } { "History of " (owner.name) } }
                    }
                }
            }
            p { a href="/" { "To the front page" } }
        }
    };
    let page = Page { styles: &["probe.css"], ..Page::new("There is no such probe", &main) };
    (StatusCode::NOT_FOUND, layout::page(visit, &page)).into_response()
}

/// A time in the viewer's zone, with the exact time in UTC at hand.
fn at(at: Timestamp) -> Markup {
    html! { time datetime=(exact_ms(at)) title=(exact_ms(at)) data-clock { (exact_ms(at)) } }
}

/// In UTC, to the millisecond (RFC 3339).
fn exact_ms(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// Whether the mail may still be on its way.
fn is_under_way(state: ProbeState) -> bool {
    matches!(state, ProbeState::Accepted | ProbeState::Unconfirmed)
}
