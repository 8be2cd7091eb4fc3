//! `/incidents`: what is wrong, what was, and whom it was told.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use jiff::Timestamp;
use maud::{Markup, html};
use serde::Deserialize;

use crate::config::Config;
use crate::domain::alert::{Channel, Incident, IncidentId, Kind, Resolution, Scope, Telling};
use crate::domain::verdict::Standing;
use crate::store::{Case, Choice, Notice, Which};

use super::failure::Failure;
use super::layout::{self, Page};
use super::visit::Visit;
use super::{Site, quiet, states, words};

/// Past incidents on a page.
const A_PAGE: usize = 50;
const STYLES: [&str; 1] = ["settings.css"];
/// Names of those concerned that are written out.
const NAMES: usize = 8;

/// What a viewer asks for.
#[derive(Default, Deserialize)]
pub struct Asked {
    /// The page that goes on after this incident.
    #[serde(default)]
    before: String,
    /// This incident alone.
    #[serde(default)]
    id: String,
    /// A word of [`Kind`].
    #[serde(default)]
    kind: String,
    /// Whom it concerns: an id, or a part of a name or address.
    #[serde(default)]
    recipient: String,
    /// `open` or `past`.
    #[serde(default)]
    state: String,
    /// Not empty: those of which an alert got lost.
    #[serde(default)]
    lost: String,
}

impl Asked {
    fn choice(&self) -> Result<Choice, Failure> {
        let kind = match self.kind.as_str() {
            "" => None,
            word => {
                let kind = Kind::ALL.into_iter().find(|kind| kind.as_str() == word);
                Some(kind.ok_or_else(Failure::bad_form)?)
            }
        };
        let recipient = self.recipient.trim();
        // The database takes no NUL in a text.
        if !matches!(self.state.as_str(), "" | "open" | "past") || recipient.contains('\0') {
            return Err(Failure::bad_form());
        }
        let recipient = (!recipient.is_empty()).then(|| recipient.to_owned());
        Ok(Choice { kind, recipient, lost: !self.lost.is_empty() })
    }

    fn is_chosen(&self) -> bool {
        [&self.kind, &self.recipient, &self.state, &self.lost].iter().any(|field| !field.trim().is_empty())
    }

    /// The page of the same choice that goes on after `before`, or its first one.
    fn link(&self, before: Option<IncidentId>) -> String {
        let before = before.map(|id| id.to_string()).unwrap_or_default();
        let pairs = [
            ("kind", &self.kind),
            ("recipient", &self.recipient),
            ("state", &self.state),
            ("lost", &self.lost),
            ("before", &before),
        ];
        let mut url = reqwest::Url::parse("http://here/").unwrap_or_else(|_| unreachable!("a constant"));
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            url.query_pairs_mut().append_pair(name, value);
        }
        url.query().map_or_else(|| "/incidents".to_owned(), |query| format!("/incidents?{query}"))
    }
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
    let config = &*visit.config;
    if let Some(one) = id(&asked.id)? {
        let (now, cases) = store.cases(Which::One(one)).await?;
        let case = cases.first().ok_or_else(Failure::not_found)?;
        let main = html! {
            h1 { "Incident " (case.incident.id) }
            (article(case, config, now, true))
            p { a href="/incidents" { "All incidents" } }
        };
        return Ok(layout::page(&visit, &Page { styles: &STYLES, ..Page::new("Incident", &main) }));
    }
    let (before, choice) = (id(&asked.before)?, asked.choice()?);
    let (now, open) = match (asked.state.as_str(), before) {
        ("past", _) | (_, Some(_)) => (None, Vec::new()),
        _ => store.cases_like(Which::Open, &choice).await.map(|(now, open)| (Some(now), open))?,
    };
    let (now, mut past) = if let ("open", Some(now)) = (asked.state.as_str(), now) {
        (now, Vec::new())
    } else {
        let limit = i64::try_from(A_PAGE + 1).unwrap_or(i64::MAX);
        store.cases_like(Which::Past { before, limit }, &choice).await?
    };
    let more = past.len() > A_PAGE;
    past.truncate(A_PAGE);
    let main = html! {
        h1 { (heading(&asked, before, open.len())) }
        p.lede { "A period in which a recipient, a sender, a mailbox or an alert channel is not all right, and who was told." }
        (quiet::now(config, now))
        (filter(&asked))
        @if !open.is_empty() { h2.unseen { "Open" } @for case in &open { (article(case, config, now, true)) } }
        @if asked.state != "open" {
            h2 #past { "Past" }
            @if past.is_empty() { p.empty { (if asked.is_chosen() { "None is like that." } else { "None is kept. Resolved incidents stay for 90 days." }) } }
            @for case in &past { (article(case, config, now, false)) }
            p.pages {
                @if before.is_some() { a href=(asked.link(None)) { "Newest" } }
                @if let Some(last) = past.last().filter(|_| more) {
                    a href={ (asked.link(Some(last.incident.id))) "#past" } rel="next" { "Older" }
                }
            }
        }
    };
    Ok(layout::page(
        &visit,
        &Page { again_without_script: before.is_none(), styles: &STYLES, ..Page::new("Incidents", &main) },
    ))
}

fn heading(asked: &Asked, before: Option<IncidentId>, open: usize) -> Markup {
    let number = words::count(open, "incident", "incidents");
    let like_that = if asked.is_chosen() { " like that" } else { "" };
    html! {
        @if asked.state == "past" || before.is_some() { "Past incidents" @if asked.is_chosen() { " of a choice" } }
        @else if open == 0 { "No incident" (like_that) " is open." }
        @else { em { (number) } (like_that) (if open == 1 { " is open." } else { " are open." }) }
    }
}

fn filter(asked: &Asked) -> Markup {
    html! {
        form.choose method="get" action="/incidents" role="search" {
            label.unseen for="recipient" { "Recipient: part of a name or address" }
            input #recipient type="search" name="recipient" value=(asked.recipient) placeholder="Find a recipient" autocomplete="off" maxlength="200";
            label.unseen for="kind" { "Kind" }
            select #kind name="kind" {
                option value="" { "Every kind" }
                @for one in Kind::ALL {
                    option value=(one.as_str()) selected[asked.kind == one.as_str()] { (kind(one).1) }
                }
            }
            label.unseen for="state" { "Open or past" }
            select #state name="state" {
                @for (value, text) in [("", "Open and past"), ("open", "Open"), ("past", "Past")] {
                    option value=(value) selected[asked.state == value] { (text) }
                }
            }
            label.tick { input type="checkbox" name="lost" value="1" checked[!asked.lost.is_empty()]; "Alerts got lost" }
            button.quiet type="submit" { "Show" }
            @if asked.is_chosen() { a.clear href="/incidents" { "Show all" } }
        }
    }
}

fn article(case: &Case, config: &Config, now: Timestamp, is_unfolded: bool) -> Markup {
    let incident = &case.incident;
    let details = &incident.details;
    let (standing, kind) = kind(incident.kind);
    let look = states::look(standing);
    let failures = usize::try_from(details.failures).unwrap_or(usize::MAX);
    html! {
        article.case.over[!incident.is_open()] id=(incident.id) aria-label={ (kind) ", " (about(incident)) } {
            header {
                span class={ "chip " (look.class) } { (states::icon(&look)) (kind) }
                h3 { @if let Scope::Recipient(id) = incident.scope { a href={ "/recipients/" (id) } { (about(incident)) } } @else { (about(incident)) } }
                p.when {
                    @if incident.is_open() { "since " } (clock(details.since))
                    @if let Some(end) = incident.resolved_at { " to " (clock(end)) }
                    " · " (words::span(incident.lasted(now))) @if incident.is_open() { " so far" }
                    @if failures > 1 { " · " (words::count(failures, "failure", "failures")) }
                }
            }
            p { (words::evidence(&details.latest)) }
            (probes(incident))
            @if let Some(resolution) = &details.resolution { p.good { (ended(resolution)) } }
            @if !matches!(incident.scope, Scope::Recipient(_)) && !details.concerned.is_empty() { p.concerned { "Concerns " (concerned(incident)) "." } }
            details open[is_unfolded && !case.told.is_empty()] {
                summary { (summary(&case.told)) }
                @if !case.told.is_empty() { (told(case, config, now)) }
                p.id { "Incident " a href={ "/incidents?id=" (incident.id) } { (incident.id) } }
            }
        }
    }
}

/// The probes that show it, as far as they are still kept.
fn probes(incident: &Incident) -> Markup {
    let details = &incident.details;
    let (first, latest) = (details.first.probe(), details.latest.probe());
    html! {
        @if let Some(latest) = latest {
            p.probes {
                @if let Some(first) = first.filter(|first| *first != latest) {
                    a href={ "/probes/" (first) } { "First probe that failed" } " · "
                    a href={ "/probes/" (latest) } { "latest" }
                } @else { a href={ "/probes/" (latest) } { "The probe that failed" } }
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
        Scope::Channel(name) => match &**name {
            "discord" => "Discord".to_owned(),
            "email" => "alert mail".to_owned(),
            other => format!("channel {other}"),
        },
    }
}

fn concerned(incident: &Incident) -> Markup {
    let all = &incident.details.concerned;
    let more = all.len().saturating_sub(NAMES);
    html! {
        @for (place, one) in all.iter().take(NAMES).enumerate() {
            @if place > 0 { ", " }
            a href={ "/recipients/" (one.id) } { (one.name) }
        }
        @if more > 0 { ", " (words::thousands(more)) " more" }
    }
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
    let held = told.iter().filter(|told| told.held).count();
    let mut parts = vec![format!("{} delivered", count("delivered"))];
    for (number, word) in [
        (held, "kept back"),
        (count("pending") + count("sending") - held, "under way"),
        (count("dead"), "given up"),
        (count("dropped"), "not needed"),
    ] {
        if number > 0 {
            parts.push(format!("{number} {word}"));
        }
    }
    format!("{}: {}", words::count(told.len(), "notification", "notifications"), parts.join(", "))
}

fn told(case: &Case, config: &Config, now: Timestamp) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Notifications" {
            table.told {
                thead { tr { @for name in ["State", "Told", "By", "When", "Tries", "Last trouble"] { th scope="col" { (name) } } } }
                tbody {
                    @for told in &case.told {
                        @let (standing, word) = delivery(told);
                        @let look = states::look(standing);
                        tr {
                            td { span class={ "chip " (look.class) } { (states::icon(&look)) (word) } }
                            td { (match told.event { Telling::Opened => "it began", Telling::Reminder => "it goes on", Telling::Resolved => "it is over" }) }
                            td { (match &told.channel { Channel::Discord => "Discord".to_owned(), Channel::Email(address) => format!("mail to {address}") }) }
                            td { (clock(told.settled_at.unwrap_or(told.created_at))) }
                            td { (told.tries)
                                @if let Some(next) = told.next_try_at.filter(|_| told.state == "pending" && !told.held) { ", next in " (words::until(next, now)) } }
                            td.why {
                                @if told.held { "Told when the quiet is over, if it is still open: " (quiet::why(config, &case.incident, now)) "." }
                                @else { (told.last_error.as_deref().map(words::shortened).unwrap_or_default()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn delivery(told: &Notice) -> (Standing, &'static str) {
    match told.state.as_str() {
        "delivered" => (Standing::Ok, "Delivered"),
        "dead" => (Standing::Missing, "Given up"),
        "dropped" => (Standing::Paused, "Not needed"),
        _ if told.held => (Standing::Paused, "Kept back"),
        _ => (Standing::Pending, "Under way"),
    }
}

fn clock(at: Timestamp) -> Markup {
    html! { time datetime=(words::exact(at)) data-clock { (words::exact(at)) } }
}
