//! `/recipients/{id}/history`: what became of a recipient's probes. A sentence first, then the picture, then each probe.

mod csv;
mod plot;
mod scale;
mod strip;
mod table;
mod tally;
mod wish;

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Extension, Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use maud::{Markup, html};
use tokio::sync::Semaphore;

use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;
use crate::domain::verdict::Standing;
use crate::listener::Alive;
use crate::store::{Period, Reach, Store};

use super::failure::Failure;
use super::layout::{self, Page};
use super::visit::Visit;
use super::{Site, states, words};
use table::Sheet;
use tally::{KINDS, Tally, percent};
use wish::{Asked, Range, Wish};

/// Probes on a page of the table.
const A_PAGE: usize = 50;
/// Long histories are read one after the other: the other pages need the database, too.
static READING: Semaphore = Semaphore::const_new(1);

/// The recipient that a path names, and the database that knows it.
async fn found(site: &Site, id: Result<Path<i32>, PathRejection>) -> Result<(Store, Recipient), Failure> {
    let Path(id) = id.map_err(|_| Failure::not_found())?;
    let store = site.store()?;
    let recipient = store.recipient(RecipientId(id)).await?.ok_or_else(Failure::not_found)?;
    Ok((store, recipient))
}

/// `GET /recipients/{id}/history`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    id: Result<Path<i32>, PathRejection>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked.map_err(|_| Failure::bad_form())?;
    let wish = Wish::of(asked);
    let (store, recipient) = found(&site, id).await?;
    let reach = store.history_reach(recipient.id).await?;
    let status = if wish.faults.is_empty() { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    let period = wish.period(reach);
    let shown = if wish.faults.is_empty() {
        let slices = async {
            let _turn = READING.acquire().await;
            store.history_points(recipient.id, read(period, reach)).await
        };
        let entries = store.history_entries(recipient.id, period, wish.standing, wish.part, A_PAGE);
        let (slices, (entries, more)) = futures_util::try_join!(slices, entries)?;
        let threshold = recipient.alert_threshold;
        // A million points take a while to count.
        let (tally, picture) = tokio::task::spawn_blocking(move || {
            let tally = Tally::new(period, slices.iter().flatten());
            let picture = html! { (plot::plot(&tally, threshold)) (strip::strip(&tally)) };
            (tally, picture)
        })
        .await
        .map_err(|_| Failure::fault())?;
        let sheet = Sheet::new(entries, more, wish.part);
        html! {
            div #shown data-stamp=(tally.stamp) data-live[wish.is_live()] data-now=(reach.now.as_millisecond()) {
                (head(&recipient, &tally, &wish, reach))
                @if reach.oldest.is_some() {
                    (ranges(&wish, reach, recipient.id))
                    @if tally.counts.all() > 0 { (picture) p.readout #readout {} }
                    h2 #probes { "Probes" }
                    (filter(&wish, recipient.id))
                    (totals(&tally, &wish, recipient.id))
                    (table::table(&sheet, &wish, recipient.id, &newest(&wish, recipient.id)))
                }
            }
        }
    } else {
        html! {
            h1 { "This cannot be shown." }
            @for fault in &wish.faults { p.note.bad { (fault) } }
            p.lede { "Times look like 2026-11-01T10:00 and are UTC." }
            (filter(&wish, recipient.id))
        }
    };
    let kept = words::span(site.config().retention);
    let main = html! {
        p.trail { a href="/" { "Live" } " / " a href={ "/recipients/" (recipient.id) } { (recipient.name) } " / History" }
        (shown)
        p.soft { "Probes are kept for " (kept) "; the last success and what has no result yet stay longer." }
    };
    let title = format!("History of {}", recipient.name);
    let page = Page { scripts: &["history.js"], styles: &["history.css"], ..Page::new(&title, &main) };
    Ok((status, layout::page(&visit, &page)).into_response())
}

/// `GET /recipients/{id}/history.csv`.
pub async fn csv(
    State(site): State<Arc<Site>>,
    alive: Option<Extension<Alive>>,
    id: Result<Path<i32>, PathRejection>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked.map_err(|_| Failure::bad_form())?;
    let wish = Wish::of(asked);
    if !wish.faults.is_empty() {
        return Err(Failure::bad_form());
    }
    let (store, recipient) = found(&site, id).await?;
    let reach = store.history_reach(recipient.id).await?;
    let period = wish.period(reach);
    let name = csv::file_name(&recipient, period);
    let alive = alive.map(|Extension(alive)| alive);
    let body = csv::body(store, recipient, period, wish.standing, alive).await?;
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8; header=present".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, body).into_response())
}

/// The part of a period in which there can be probes.
fn read(period: Period, reach: Reach) -> Period {
    let to = period.to.min(reach.now);
    // Without any probe there is nothing to read, however long the period.
    let from = period.from.max(reach.oldest.unwrap_or(to));
    Period { from: from.min(to), to }
}

/// The sentence and the figures.
fn head(recipient: &Recipient, tally: &Tally, wish: &Wish, reach: Reach) -> Markup {
    let (judged, in_time) = (tally.judged(), tally.in_time());
    let half = tally.median_ms.map(|ms| words::latency(ms.into()));
    html! {
        h1 {
            @if reach.oldest.is_none() { "No probe has been sent to " (recipient.name) " yet." }
            @else if let Some(share) = percent(in_time, judged) {
                (time_of(wish, reach, tally.period)) " "
                @if in_time == judged { (share) } @else { em { (share) } }
                " of " (words::count(judged, "probe", "probes")) " to " (recipient.name) " arrived in time"
                @if let Some(half) = half { "; half of those that were timed took " (half) " or less" } "."
            }
            @else { (time_of(wish, reach, tally.period)) " no probe to " (recipient.name) " was judged." }
        }
        p.lede {
            @if reach.oldest.is_none() {
                @if recipient.active { "The first one is due " (words::until(recipient.next_due_at, reach.now)) " from now; this page then fills." }
                @else { "The recipient is paused. Its probes begin when it is active." }
            } @else { (rest(tally)) }
        }
        @if tally.slowest_ms.is_some() { (figures(tally)) }
    }
}

/// What the sentence leaves out.
fn rest(tally: &Tally) -> Markup {
    let apart: Vec<String> = [
        (tally.under_way, "under way"),
        (tally.counts.of(Standing::Unknown), "not observed, in no share"),
        (tally.estimated, "with an estimated latency, in no figure"),
        (tally.manual, "sent by hand, in the table alone"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, word)| format!("{} {word}", words::thousands(number)))
    .collect();
    let wrong: Vec<String> = tally
        .counts
        .present()
        .filter(|(kind, _)| !matches!(kind, Standing::Ok | Standing::Unknown))
        .map(|(kind, number)| plot::outcome(kind, number))
        .collect();
    html! {
        @if !wrong.is_empty() { (words::sentence(&wrong.join(", "))) " " }
        @else if tally.judged() > 0 { "Nothing was lost. " }
        @if !apart.is_empty() { (words::sentence(&apart.join("; "))) }
    }
}

fn figures(tally: &Tally) -> Markup {
    let all =
        [("Half within", tally.median_ms), ("95\u{a0}% within", tally.p95_ms), ("Slowest", tally.slowest_ms)];
    html! {
        dl.figures {
            @if let Some(share) = percent(tally.in_time(), tally.judged()) { div { dt { "In time" } dd.big { (share) } } }
            @for (name, value) in all {
                @if let Some(ms) = value { div { dt { (name) } dd.big { (words::latency(ms.into())) } } }
            }
        }
    }
}

/// When that was, at the beginning of a sentence.
fn time_of(wish: &Wish, reach: Reach, period: Period) -> Markup {
    html! {
        @match wish.range(reach) {
            Some(Range::All) => { "Since " (clock(period.from)) },
            Some(Range::Hour) => "In the last hour",
            Some(range) => { "In the last " (range.name().1) },
            None => { "From " (clock(period.from)) " to " (clock(period.to)) },
        }
    }
}

fn clock(at: Timestamp) -> Markup {
    html! { time datetime=(words::exact(at)) data-clock { (words::exact(at)) } }
}

fn ranges(wish: &Wish, reach: Reach, id: RecipientId) -> Markup {
    let current = wish.range(reach);
    html! {
        nav.ranges aria-label="Time" {
            @for range in Range::ALL {
                a href=(wish.range_link(id, range)) aria-current=[(current == Some(range)).then_some("true")] { (range.name().1) }
            }
            span.mark #mark role="status" { "As of " (clock(reach.now)) }
        }
    }
}

/// Time and outcome, as a form.
fn filter(wish: &Wish, id: RecipientId) -> Markup {
    html! {
        form.filter method="get" action={ "/recipients/" (id) "/history" } role="search" {
            label { "From (UTC) " input type="text" name="from" value=(wish.asked.from) placeholder="2026-11-01T10:00" maxlength="40" autocomplete="off" spellcheck="false"; }
            label { "To (UTC) " input type="text" name="to" value=(wish.asked.to) placeholder="now" maxlength="40" autocomplete="off" spellcheck="false"; }
            label { "State "
                select name="state" {
                    option value="" { "Every state" }
                    @for standing in KINDS.into_iter().chain([Standing::Pending]) {
                        @let look = states::look(standing);
                        option value=(look.class) selected[wish.standing == Some(standing)] { (if standing == Standing::Pending { "Under way" } else { look.word }) }
                    }
                }
            }
            @if let Some(range) = wish.chosen_range() { input type="hidden" name="range" value=(range.name().0); }
            button.quiet type="submit" { "Show" }
            @if wish.is_narrow() { a.clear href={ "/recipients/" (id) "/history" } { "Show all" } }
            @if wish.faults.is_empty() { a.clear.csv href=(wish.csv_link(id)) { "Download CSV" } }
        }
    }
}

/// How many ended how: links that show them alone.
fn totals(tally: &Tally, wish: &Wish, id: RecipientId) -> Markup {
    html! {
        ul.totals aria-label="Probes by state" {
            @for (kind, number) in tally.counts.present().chain([(Standing::Pending, tally.under_way)]).filter(|(_, number)| *number > 0) {
                @let look = states::look(kind);
                li { a class={ "chip " (look.class) } href=(wish.state_link(id, look.class)) aria-current=[(wish.standing == Some(kind)).then_some("true")] {
                    (states::icon(&look)) b { (words::thousands(number)) } " " (if kind == Standing::Pending { "Under way" } else { look.word })
                } }
            }
        }
    }
}

/// The address of the list's beginning.
fn newest(wish: &Wish, id: RecipientId) -> String {
    wish.state_link(id, wish.asked_state())
}
