//! The board as a page, and as the changes since an earlier one.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use serde::Deserialize;

use crate::config::show_duration;
use crate::domain::verdict::Standing;
use crate::web::failure::Failure;
use crate::web::layout::{self, Page};
use crate::web::visit::Visit;
use crate::web::{Site, quiet, states, words};

use super::{Board, Wish};

/// `GET /`.
pub async fn page(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Markup, Failure> {
    let wish = wish.map(|Query(wish)| wish).map_err(|_| Failure::bad_form())?;
    let board = site.live.board(&site.store()?).await?;
    let main = if board.lines.is_empty() { first_steps(&visit) } else { whole(&site, &visit, &board, &wish) };
    Ok(layout::page(
        &visit,
        &Page {
            scripts: &["board.js"],
            styles: &["settings.css", "recipients.css"],
            again_without_script: true,
            ..Page::new("Live", &main)
        },
    ))
}

/// What the script asks for: what it has, and what it shows.
#[derive(Deserialize)]
pub struct Since {
    /// The revision that it has, and of which start of the program.
    #[serde(default)]
    since: String,
    #[serde(flatten)]
    wish: Wish,
}

/// `GET /rows`: what has changed.
pub async fn rows(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    asked: Result<Query<Since>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(asked) = asked.map_err(|_| Failure::bad_form())?;
    let board = site.live.board(&site.store()?).await?;
    let since = site.live.revision_in(&asked.since);
    let chosen = board.chosen(&asked.wish);
    let changed: serde_json::Map<String, serde_json::Value> = chosen
        .iter()
        .filter(|(changed, _)| since.is_none_or(|since| *changed > since))
        .map(|(_, line)| (format!("r{}", line.id), line.render(board.now).into_string().into()))
        .collect();
    let order: Vec<String> = chosen.iter().map(|(_, line)| format!("r{}", line.id)).collect();
    let body = serde_json::json!({
        "revision": site.live.revision_out(board.revision),
        "now": board.now.as_millisecond(),
        "head": head(&visit, &board, &asked.wish).into_string(),
        "order": order,
        "rows": changed,
    });
    Ok(([(CONTENT_TYPE, "application/json")], body.to_string()).into_response())
}

fn whole(site: &Site, visit: &Visit, board: &Board, wish: &Wish) -> Markup {
    let chosen = board.chosen(wish);
    html! {
        div #board data-revision=(site.live.revision_out(board.revision)) data-now=(board.now.as_millisecond()) {
            div #head { (head(visit, board, wish)) }
            form.filter method="get" action="/" role="search" {
                label.unseen for="q" { "Part of a name or address" }
                input #q type="search" name="q" value=(wish.q) placeholder="Find a recipient" autocomplete="off" maxlength="200";
                label.unseen for="state" { "State" }
                select #state name="state" {
                    option value="" { "Every state" }
                    @for (value, text) in [("down", "Does not arrive"), ("doubtful", "Needs a look")] {
                        option value=(value) selected[wish.state == value] { (text) }
                    }
                    @for standing in Standing::ALL {
                        @let look = states::look(standing);
                        option value=(look.class) selected[wish.state == look.class] { (look.word) }
                    }
                }
                @if !wish.sort.is_empty() { input type="hidden" name="sort" value=(wish.sort); }
                button.quiet type="submit" { "Show" }
                @if !wish.q.is_empty() || !wish.state.is_empty() { a.clear href="/" { "Show all" } }
                span.mark #mark role="status" { "As of " time datetime=(words::exact(board.now)) data-clock { (words::exact(board.now)) } }
            }
            div.scroll tabindex="0" role="region" aria-label="Recipients" {
                table.board {
                    thead {
                        tr {
                            (heading("", "State", wish, false))
                            (heading("name", "Recipient", wish, false))
                            th scope="col" { "Last 30 probes" small { "log scale, line = threshold" } }
                            (heading("latency", "Latency", wish, true))
                            (heading("success", "Last success", wish, true))
                            (heading("next", "Next probe in", wish, true))
                            th scope="col" { "Why" }
                        }
                    }
                    tbody #rows { @for (_, line) in &chosen { (line.render(board.now)) } }
                }
            }
            p.empty #empty hidden[!chosen.is_empty()] { "No recipient is like that." }
        }
    }
}

/// The sentence, the figures, and a link for each state that there is.
fn head(visit: &Visit, board: &Board, wish: &Wish) -> Markup {
    let watched = board.count(|standing| standing != Standing::Paused);
    let down = board.count(states::is_down);
    let doubtful = board.count(states::is_doubtful);
    let waiting = board.count(|standing| standing == Standing::Pending);
    let judged: usize = board.lines.iter().map(|(_, line)| line.judged).sum();
    let in_time: usize = board.lines.iter().map(|(_, line)| line.in_time).sum();
    let mut latencies: Vec<f32> =
        board.lines.iter().flat_map(|(_, line)| line.latencies_ms.iter().copied()).collect();
    latencies.sort_by(f32::total_cmp);
    let half = latencies.get(latencies.len() / 2).map(|ms| words::latency(f64::from(*ms)));
    let next = board.lines.iter().filter_map(|(_, line)| line.next_due_at).min();
    html! {
        h1 aria-live="polite" {
            @if watched == 0 { "Every recipient is paused." }
            @else if down > 0 {
                "Mail does not arrive at " em { (words::thousands(down)) " of " (words::thousands(watched)) } " "
                (if watched == 1 { "recipient." } else { "recipients." })
            }
            @else if waiting == watched { "The first probes are on their way." }
            @else if board.count(|standing| standing == Standing::Unknown || standing == Standing::Pending) == watched {
                "Nobody can tell at present whether mail arrives."
            }
            @else if doubtful > 0 { "Mail arrives, as far as we can see." }
            @else { "Mail arrives at " (if watched == 1 { "the recipient.".to_owned() } else { format!("all {} recipients.", words::thousands(watched)) }) }
        }
        p.lede {
            @if doubtful > 0 {
                (words::thousands(doubtful)) @if down > 0 { " more" } (if doubtful == 1 { " needs a look. " } else { " need a look. " })
            }
            @if judged > 0 {
                "Of the last " (words::count(judged, "probe", "probes")) " " (words::thousands(in_time)) " arrived in time"
                @if let Some(half) = half { ", half of them within " (half) } ". "
            }
            @if let Some(next) = next { "Next probe: " (words::until(next, board.now)) "." }
        }
        (quiet::lost(board.lost))
        (quiet::now(&visit.config, board.now))
        ul.totals aria-label="Recipients by state" {
            @for standing in ranked() {
                @let look = states::look(standing);
                @let number = board.count(|other| other == standing);
                @if number > 0 {
                    li { a class={ "chip " (look.class) } href=(link(&Wish { state: look.class.to_owned(), ..wish.clone() }))
                        aria-current=[(wish.state == look.class).then_some("true")] {
                        (states::icon(&look)) b { (words::thousands(number)) } " " (look.word)
                    } }
                }
            }
        }
    }
}

fn ranked() -> Vec<Standing> {
    let mut all = Standing::ALL.to_vec();
    all.sort_by_key(|standing| states::look(*standing).rank);
    all
}

/// A column's heading: a link that sorts by it, and the other way round when it does already.
fn heading(column: &'static str, text: &str, wish: &Wish, is_number: bool) -> Markup {
    let backwards = format!("-{column}");
    let (sorted, next) = if wish.sort == column {
        (Some("ascending"), if column.is_empty() { String::new() } else { backwards })
    } else if wish.sort == backwards {
        (Some("descending"), column.to_owned())
    } else {
        (None, column.to_owned())
    };
    let arrow = match sorted {
        Some("ascending") if !column.is_empty() => " ↑",
        Some("descending") => " ↓",
        _ => "",
    };
    html! {
        th scope="col" class=[is_number.then_some("n")] aria-sort=[sorted.filter(|_| !column.is_empty())] {
            a href=(link(&Wish { sort: next, ..wish.clone() })) { (text) span aria-hidden="true" { (arrow) } }
        }
    }
}

fn link(wish: &Wish) -> String {
    let pairs = [("q", &wish.q), ("state", &wish.state), ("sort", &wish.sort)];
    let mut url = reqwest::Url::parse("http://here/").unwrap_or_else(|_| unreachable!("a constant"));
    for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
        url.query_pairs_mut().append_pair(name, value);
    }
    url.query().map_or_else(|| "/".to_owned(), |query| format!("/?{query}"))
}

/// What to do where nothing is monitored yet.
fn first_steps(visit: &Visit) -> Markup {
    let config = &visit.config;
    let has_account = !config.senders.is_empty() && !config.mailboxes.is_empty();
    html! {
        section.steps {
            h1 { "Nothing is monitored yet." }
            p.lede { "MailDT sends a signed mail to each recipient and watches the mailbox in which it must appear." }
            ol {
                @if !has_account {
                    li {
                        h2 { "Name the account that sends and the mailbox that is watched" }
                        pre { code { "SMTP_HOST=smtp.provider.net\nSMTP_USER=monitor@your-domain.net\nSMTP_PASS=…\nIMAP_HOST=imap.provider.net\nIMAP_USER=monitor@your-domain.net\nIMAP_PASS=…" } }
                        p { "Then start MailDT anew. " code { "maildt check-config" } " tells whether both let it in." }
                    }
                }
                li {
                    h2 { "Add a recipient" }
                    p { "An address whose mail comes to the watched mailbox: by an alias, a redirect, a forward, or because it is the mailbox's own. It is tried at once, and you see what comes back." }
                    @if has_account { p { a.button href="/recipients/new" { "Add a recipient" } } }
                    details {
                        summary { "Or keep recipients in " code { "maildt.toml" } }
                        pre { code { "[[recipients]]\nname = \"sales\"\naddress = \"sales@your-domain.net\"\ninterval = \"10m\"\nalert_threshold = \"2m\"" } }
                        p { "Without " code { "interval" } " a probe is sent every " (show_duration(config.defaults.send_interval))
                            ", and without " code { "alert_threshold" } " it is late after " (show_duration(config.defaults.alert_threshold))
                            ". Have the file read by SIGHUP (" code { "systemctl reload maildt" } " or " code { "kill -HUP" } ")." }
                    }
                }
            }
        }
    }
}
