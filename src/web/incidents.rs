//! `/incidents`: what is wrong, what was, and whom it was told.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::domain::alert::{Channel, Incident, IncidentId, Kind, Resolution, Scope, Telling};
use crate::domain::verdict::Standing;
use crate::store::{Case, Notice, Which};

use super::failure::Failure;
use super::layout::{self, Page};
use super::visit::Visit;
use super::{Site, states, words};

/// Past incidents on a page.
const A_PAGE: usize = 50;
/// Names of those concerned that are written out.
const NAMES: usize = 8;

#[derive(Deserialize)]
pub struct Asked {
    /// The page that goes on after this incident.
    #[serde(default)]
    before: String,
    /// This incident alone.
    #[serde(default)]
    id: String,
}

/// `GET /incidents`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Markup, Failure> {
    let Query(asked) = asked.map_err(|_| Failure::bad_form())?;
    let id = |text: &str| -> Result<Option<IncidentId>, Failure> {
        if text.is_empty() { Ok(None) } else { text.parse().map(Some).map_err(|_| Failure::not_found()) }
    };
    let store = site.store()?;
    if let Some(one) = id(&asked.id)? {
        let (now, cases) = store.cases(Which::One(one)).await?;
        let case = cases.first().ok_or_else(Failure::not_found)?;
        let main = html! { h1 { "Incident " (case.incident.id) } (article(case, now, true)) p { a href="/incidents" { "All incidents" } } };
        return Ok(layout::page(&visit, &Page::new("Incident", &main)));
    }
    let before = id(&asked.before)?;
    let (now, open) = store.cases(Which::Open).await?;
    let limit = i64::try_from(A_PAGE + 1).unwrap_or(i64::MAX);
    let (_, mut past) = store.cases(Which::Past { before, limit }).await?;
    let more = past.len() > A_PAGE;
    past.truncate(A_PAGE);
    let main = html! {
        h1 { @if open.is_empty() { "No incident is open." } @else { em { (words::count(open.len(), "incident", "incidents")) } (if open.len() == 1 { " is open." } else { " are open." }) } }
        p.lede { "A period in which a recipient, a sender, a mailbox or an alert channel is not all right, and who was told." }
        @if before.is_none() && !open.is_empty() { h2.unseen { "Open" } @for case in &open { (article(case, now, true)) } }
        h2 #past { "Past" }
        @if past.is_empty() { p.empty { "None is kept. Resolved incidents stay for 90 days." } }
        @for case in &past { (article(case, now, false)) }
        p.pages {
            @if before.is_some() { a href="/incidents" { "Newest" } }
            @if let Some(last) = past.last().filter(|_| more) {
                a href={ "/incidents?before=" (last.incident.id) "#past" } rel="next" { "Older" }
            }
        }
    };
    Ok(layout::page(
        &visit,
        &Page { again_without_script: before.is_none(), ..Page::new("Incidents", &main) },
    ))
}

fn article(case: &Case, now: Timestamp, is_unfolded: bool) -> Markup {
    let incident = &case.incident;
    let details = &incident.details;
    let (standing, kind) = kind(incident.kind);
    let look = states::look(standing);
    let failures = usize::try_from(details.failures).unwrap_or(usize::MAX);
    html! {
        article.case.over[!incident.is_open()] id=(incident.id) aria-label={ (kind) ", " (about(incident)) } {
            header {
                span class={ "chip " (look.class) } { (states::icon(&look)) (kind) }
                h3 { (about(incident)) }
                p.when {
                    (clock(details.since))
                    @if let Some(end) = incident.resolved_at { " to " (clock(end)) }
                    " · " (words::span(incident.lasted(now))) @if incident.is_open() { " so far" }
                    @if failures > 1 { " · " (words::count(failures, "failure", "failures")) }
                }
            }
            p { (words::evidence(&details.latest)) }
            @if let Some(resolution) = &details.resolution { p.good { (ended(resolution)) } }
            @if !matches!(incident.scope, Scope::Recipient(_)) && !details.concerned.is_empty() { p.concerned { "Concerns " (concerned(incident)) "." } }
            details open[is_unfolded && !case.told.is_empty()] {
                summary { (summary(&case.told)) }
                @if !case.told.is_empty() { (told(&case.told, now)) }
                p.id { "Incident " a href={ "/incidents?id=" (incident.id) } { (incident.id) } }
            }
        }
    }
}

/// How a kind looks, and its name.
fn kind(kind: Kind) -> (Standing, &'static str) {
    match kind {
        Kind::Missing => (Standing::Missing, "Mail does not arrive"),
        Kind::SendFailure => (Standing::SendFailed, "Mail is refused"),
        Kind::SenderUnreachable => (Standing::SendFailed, "Nothing can be sent"),
        Kind::MailboxUnreachable => (Standing::Unknown, "Not observed"),
        Kind::ChannelDown => (Standing::Late, "Alerts do not get through"),
    }
}

fn about(incident: &Incident) -> String {
    let concerned = incident.details.concerned.first();
    match &incident.scope {
        Scope::Recipient(id) => concerned.map_or_else(|| format!("recipient #{id}"), |c| c.name.clone()),
        Scope::Sender(name) => format!("sender {name}"),
        Scope::Mailbox(name) => format!("mailbox {name}"),
        Scope::Channel(name) => format!("channel {name}"),
    }
}

fn concerned(incident: &Incident) -> String {
    let all = &incident.details.concerned;
    let mut names: Vec<&str> = all.iter().take(NAMES).map(|c| c.name.as_str()).collect();
    let more = format!("{} more", words::thousands(all.len().saturating_sub(NAMES)));
    if all.len() > NAMES {
        names.push(&more);
    }
    names.join(", ")
}

fn ended(resolution: &Resolution) -> String {
    match resolution {
        Resolution::Recovered { latency: Some(latency) } => {
            format!(
                "Over: mail arrives again, the first after {}.",
                words::latency(latency.as_secs_f64() * 1000.0)
            )
        }
        Resolution::Recovered { latency: None } => "Over: it works again.".to_owned(),
        Resolution::Arrived { slowest } => {
            format!("Over: what was missing has arrived, the slowest after {}.", words::span(*slowest))
        }
        Resolution::Paused => "Closed: everybody concerned was paused or deleted.".to_owned(),
        Resolution::Removed => "Closed: it is no longer configured.".to_owned(),
    }
}

fn summary(told: &[Notice]) -> String {
    let count = |state: &str| told.iter().filter(|told| told.state == state).count();
    if told.is_empty() {
        return "Nobody was told: no alert channel was on for it.".to_owned();
    }
    let mut parts = vec![format!("{} delivered", count("delivered"))];
    for (number, word) in [
        (count("pending") + count("sending"), "under way"),
        (count("dead"), "given up"),
        (count("dropped"), "not needed"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    format!("{}: {}", words::count(told.len(), "notification", "notifications"), parts.join(", "))
}

fn told(all: &[Notice], now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Notifications" {
            table.told {
                thead { tr { @for name in ["State", "Told", "By", "When", "Tries", "Last trouble"] { th scope="col" { (name) } } } }
                tbody {
                    @for told in all {
                        @let (standing, word) = delivery(&told.state);
                        @let look = states::look(standing);
                        tr {
                            td { span class={ "chip " (look.class) } { (states::icon(&look)) (word) } }
                            td { (match told.event { Telling::Opened => "it began", Telling::Reminder => "it goes on", Telling::Resolved => "it is over" }) }
                            td { (match &told.channel { Channel::Discord => "Discord".to_owned(), Channel::Email(address) => format!("mail to {address}") }) }
                            td { (clock(told.settled_at.unwrap_or(told.created_at))) }
                            td { (told.tries)
                                @if let Some(next) = told.next_try_at.filter(|_| told.state == "pending") { ", next in " (words::until(next, now)) } }
                            td.why { (told.last_error.as_deref().map(words::shortened).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

fn delivery(state: &str) -> (Standing, &'static str) {
    match state {
        "delivered" => (Standing::Ok, "Delivered"),
        "dead" => (Standing::Missing, "Given up"),
        "dropped" => (Standing::Paused, "Not needed"),
        _ => (Standing::Pending, "Under way"),
    }
}

fn clock(at: Timestamp) -> Markup {
    html! { time datetime=(words::exact(at)) data-clock { (words::exact(at)) } }
}
