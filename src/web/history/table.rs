//! The probes as a table: newest first, in pages.

use maud::{Markup, html};

use crate::domain::id::RecipientId;
use crate::domain::probe::{Kind, State};
use crate::domain::verdict::Standing;
use crate::store::{Entry, Part};
use crate::web::{states, words};

use super::wish::Wish;

/// A page of the list, and whether there is more on either side.
pub struct Sheet {
    pub entries: Vec<Entry>,
    pub has_newer: bool,
    pub has_older: bool,
}

impl Sheet {
    /// `more`: there is something in the direction in which was read.
    pub fn new(entries: Vec<Entry>, more: bool, part: Part) -> Self {
        let (has_newer, has_older) = match part {
            Part::Newest => (false, more),
            Part::Older(_) => (true, more),
            Part::Newer(_) => (more, true),
        };
        Self { entries, has_newer, has_older }
    }
}

pub fn table(sheet: &Sheet, wish: &Wish, id: RecipientId, newest: &str) -> Markup {
    html! {
        @if sheet.entries.is_empty() {
            p.empty { @if wish.standing.is_some() { "No probe of this time is like that." } @else { "No probe here." } }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Probes" {
                table.probes {
                    thead { tr { th scope="col" { "Sent" } th scope="col" { "State" } th.n scope="col" { "Latency" } th scope="col" { "Folder" } th scope="col" { "What was seen" } } }
                    tbody { @for entry in &sheet.entries { (line(entry)) } }
                }
            }
        }
        p.pages {
            @if sheet.has_newer {
                a href=(newest) { "Newest" }
                @if let Some(first) = sheet.entries.first() { a rel="prev" href=(wish.part_link(id, "after", first.place())) { "Newer" } }
            }
            @if let Some(last) = sheet.entries.last().filter(|_| sheet.has_older) {
                a rel="next" href=(wish.part_link(id, "before", last.place())) { "Older" }
            }
        }
    }
}

fn line(entry: &Entry) -> Markup {
    let probe = &entry.probe;
    let standing = entry.standing();
    let latency = probe.arrival.as_ref().and_then(|arrival| arrival.latency);
    html! {
        tr class=(states::look(standing).class) {
            th.when scope="row" {
                a href={ "/probes/" (probe.id) } { time datetime=(words::exact(entry.created_at)) data-clock { (words::exact(entry.created_at)) } }
            }
            td.state {
                (states::chip(standing))
                @if probe.kind == Kind::Manual { " " span.tag title="Somebody asked for it: it is in no figure." { "by hand" } }
            }
            td.n.latency {
                @if let Some(latency) = latency {
                    @if probe.arrival.as_ref().is_some_and(|arrival| arrival.estimated) { abbr title="estimated: it was found later" { "≈" } " " }
                    (words::latency(latency.as_secs_f64() * 1000.0))
                } @else { span.none { span aria-hidden="true" { "—" } span.unseen { "none" } } }
            }
            td.folder { (probe.arrival.as_ref().map(|arrival| &*arrival.folder).unwrap_or_default()) }
            td.why { (seen(entry, standing)) }
        }
    }
}

/// What there is to say besides the figures.
fn seen(entry: &Entry, standing: Standing) -> String {
    let probe = &entry.probe;
    let note = || probe.note.as_deref().map(words::shortened).filter(|note| !note.is_empty());
    let reply = probe.reply.as_ref().map(words::reply);
    let mut parts: Vec<String> = Vec::new();
    match standing {
        Standing::Missing => parts.push(match reply {
            Some(reply) => format!("Accepted with “{reply}”, then silence."),
            None => "Accepted, then silence.".to_owned(),
        }),
        Standing::SendFailed => parts.push(match &probe.failure {
            Some(failure) => {
                let at = failure.phase.as_str().to_uppercase();
                let said = reply.unwrap_or_else(|| words::shortened(&failure.detail));
                let why = words::reason(failure.reason);
                words::sentence(&if said.is_empty() {
                    format!("{why} at {at}")
                } else {
                    format!("{why} at {at}: {said}")
                })
            }
            None => "It could not be sent.".to_owned(),
        }),
        Standing::Bounced => parts.push(note().map_or_else(
            || "It came back.".to_owned(),
            |note| words::sentence(&format!("Came back: {note}")),
        )),
        Standing::Unknown => parts
            .push(note().map_or_else(|| "It could not be judged.".to_owned(), |note| words::sentence(&note))),
        Standing::Late => parts.push(format!("After the threshold of {}.", words::span(probe.threshold))),
        Standing::Pending => parts.push(
            match probe.state {
                State::Deferred => "Refused for now, to be tried again.",
                State::Accepted | State::Unconfirmed => "Sent, not seen yet.",
                _ => "Being sent.",
            }
            .to_owned(),
        ),
        Standing::Ok | Standing::Junk | Standing::Paused => {}
    }
    let has_failed = matches!(standing, Standing::Missing | Standing::Bounced | Standing::Unknown);
    if has_failed && probe.arrival.is_some() {
        parts.push("It arrived after all.".to_owned());
    }
    if probe.arrival.as_ref().is_some_and(|arrival| arrival.latency.is_none()) {
        parts.push("Not timed: nobody knows when it was accepted.".to_owned());
    }
    if probe.duplicates > 0 {
        let number = usize::try_from(probe.duplicates).unwrap_or_default();
        parts.push(format!(
            "Arrived {} more.",
            if number == 1 { "once".to_owned() } else { format!("{number} times") }
        ));
    }
    if probe.attempts > 1 {
        parts.push(format!("{} attempts.", probe.attempts));
    }
    parts.join(" ")
}
