//! What is not told at present and why, and which alerts got lost: said wherever somebody looks for alerts.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::config::Config;
use crate::domain::alert::{Incident, Scope};
use crate::store::{LOST_FOR_DAYS, Muted};

use super::words;

/// A line for everything that is quiet now; nothing when everything is told.
pub fn now(config: &Config, now: Timestamp) -> Markup {
    html! {
        @for sentence in config.quiet.sentences(now) {
            p.note.hush role="note" { (bell()) span { (words::sentence(&sentence)) " " a href="/settings#quiet" { "What is quiet and when" } } }
        }
    }
}

/// Alerts that nobody got.
pub fn lost(number: usize) -> Markup {
    html! {
        @if number > 0 {
            p.note.bad role="note" {
                (bell())
                span {
                    a href="/incidents?lost=1" { (words::count(number, "alert", "alerts")) } " of the last " (LOST_FOR_DAYS)
                    " days could not be delivered. " a href="/settings#channels" { "How the channels fare" }
                }
            }
        }
    }
}

/// Why notifications of an incident are kept back now.
pub fn why(config: &Config, incident: &Incident, now: Timestamp) -> String {
    let quiet = &config.quiet;
    let names = || incident.details.concerned.iter().map(|concerned| concerned.name.as_str());
    if quiet.muted_until.is_some_and(|until| now < until) {
        return "everything is muted".to_owned();
    }
    let window = quiet.active(now).find(|(window, _)| names().all(|name| window.concerns(name)));
    match window {
        Some((window, end)) => format!("maintenance “{}” until {}", window.name, quiet.show(end)),
        None if matches!(incident.scope, Scope::Recipient(_)) => "the recipient is muted".to_owned(),
        None => "everybody concerned is muted".to_owned(),
    }
}

/// Everything that is quiet now or will be.
pub fn section(config: &Config, muted: &[Muted], count: i64, now: Timestamp) -> Markup {
    let quiet = &config.quiet;
    let until = quiet.muted_until.filter(|until| now < *until);
    let more = usize::try_from(count).unwrap_or_default().saturating_sub(muted.len());
    html! {
        h2 #quiet { "Quiet" }
        @if let Some(until) = until {
            p.note.hush { (bell()) span { "Nothing at all is told until " (quiet.show(until)) " (muted_until)." } }
        }
        @if quiet.windows.is_empty() && muted.is_empty() && until.is_none() {
            p.soft { "Everything is told. Times in which it is not are " code { "[[maintenance]]" } " in the file; recipients can be muted one by one." }
        }
        @if !quiet.windows.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Maintenance windows" {
                table.parts {
                    thead { tr { @for name in ["Maintenance", "Now or next", "Whom and when"] { th scope="col" { (name) } } } }
                    tbody {
                        @for window in &quiet.windows {
                            tr {
                                th scope="row" { (window.name) }
                                td {
                                    @if let Some(end) = window.when.end(now, &quiet.tz) { b { "Open" } " until " (quiet.show(end)) }
                                    @else if let Some((from, to)) = window.when.next(now, &quiet.tz) { (quiet.show(from)) " to " (quiet.show(to)) }
                                    @else { "Over" }
                                }
                                td.why { (window.describe(&quiet.tz)) }
                            }
                        }
                    }
                }
            }
        }
        @if !muted.is_empty() {
            p {
                "Muted by themselves: "
                @for (place, recipient) in muted.iter().enumerate() {
                    @if place > 0 { ", " }
                    a href={ "/recipients/" (recipient.id) } { (recipient.name) } " until " (quiet.show(recipient.until))
                }
                @if more > 0 { ", and " (words::thousands(more)) " more" }
                "."
            }
        }
    }
}

fn bell() -> Markup {
    html! {
        svg viewBox="0 0 16 16" aria-hidden="true" { path d="M4 11V7.5a4 4 0 0 1 8 0V11l1.2 1.5H2.8zM6.8 14.2h2.4M2.5 2.5l11 11" {} }
    }
}
