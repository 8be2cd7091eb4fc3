//! Everything else that is known, in tables.

use maud::{Markup, html};

use crate::domain::probe::{Kind, Probe};
use crate::store::{Made, ProbeView, Stage};
use crate::web::words;

use super::{at, evidence, exact_ms, picture, sentence, timeline};

/// What is on record of a probe that was made.
pub fn facts(view: &ProbeView) -> Markup {
    let Stage::Made(made) = &view.stage else { return html! {} };
    html! {
        (picture::picture(&made.probe))
        (timeline::timeline(&made.probe))
        (evidence::evidence(&made.probe))
        (smtp(&made.probe))
        (incidents(made))
        (identity(view, made))
    }
}

fn row(name: &str, value: &Markup) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

/// A time in both zones.
fn both(moment: jiff::Timestamp) -> Markup {
    html! { (at(moment)) " " span.utc { (exact_ms(moment)) } }
}

fn smtp(probe: &Probe) -> Markup {
    html! {
        h2 { "What the submission server said" }
        div.scroll tabindex="0" role="region" aria-label="What the submission server said" {
            table.facts {
                tbody {
                    (row("Attempts", &html! { (probe.attempts) @if probe.attempts > 1 { ", the first at " (both(probe.first_attempt_at)) } }))
                    @match &probe.reply {
                        Some(reply) => {
                            (row("Reply code", &html! { code { (reply.code) } }))
                            @if let Some(enhanced) = &reply.enhanced { (row("Enhanced status", &html! { code { (enhanced) } })) }
                            @if !reply.text.is_empty() { (row("Text", &html! { (reply.text) })) }
                        }
                        None => (row("Reply", &html! { span.none { "none" } })),
                    }
                    @if let Some(id) = &probe.queue_id { (row("Queue id", &html! { code { (id) } })) }
                    @if let Some(failure) = &probe.failure {
                        (row("Failed at", &html! { (sentence::phase(failure.phase)) ": " (words::reason(failure.reason)) }))
                        @if !failure.detail.is_empty() { (row("In our words", &html! { (failure.detail) })) }
                    }
                }
            }
        }
    }
}

/// The incidents of its recipient that it falls into.
fn incidents(made: &Made) -> Markup {
    let until = made.probe.result_at.unwrap_or(jiff::Timestamp::MAX);
    let its: Vec<_> = made.incidents.iter().filter(|incident| incident.details.since <= until).collect();
    html! {
        @if !its.is_empty() {
            h2 { "Incidents of that time" }
            ul.plain {
                @for incident in its {
                    li {
                        a href={ "/incidents?id=" (incident.id) } { "Incident " (incident.id) } ", since " (at(incident.details.since))
                        @if let Some(end) = incident.resolved_at { ", over at " (at(end)) } @else { ", still open" }
                        ": " (words::evidence(&incident.details.latest))
                    }
                }
            }
        }
    }
}

fn identity(view: &ProbeView, made: &Made) -> Markup {
    let probe = &made.probe;
    html! {
        h2 { "Identity and times" }
        div.scroll tabindex="0" role="region" aria-label="Identity and times" {
            table.facts {
                tbody {
                    (row("Probe", &html! { code { (view.id) } }))
                    (row("Kind", &html! { (match probe.kind { Kind::Scheduled => "scheduled", Kind::Manual => "asked for by hand" }) }))
                    (row("Account", &html! { "sent by " (probe.sender) ", looked for in " (probe.mailbox) ", return mode " (probe.return_mode) }))
                    (row("Time allowed", &html! { (words::span(probe.threshold)) }))
                    @for (name, time) in [
                        ("Due", Some(probe.due_at)),
                        ("Last attempt", Some(probe.attempt_at)),
                        ("Accepted", probe.accepted_at),
                        ("Deadline", probe.deadline_at),
                        ("Seen", probe.arrival.as_ref().map(|arrival| arrival.at)),
                        ("Judged", probe.result_at),
                    ] {
                        @if let Some(time) = time { (row(name, &both(time))) }
                    }
                    @if probe.duplicates > 0 { (row("Further copies", &html! { (probe.duplicates) })) }
                    @if probe.misrouted > 0 { (row("Seen in other mailboxes", &html! { (probe.misrouted) })) }
                    @if let Some(note) = &probe.note { (row("Note", &html! { (note) })) }
                }
            }
        }
        p.pages {
            @if let Some(earlier) = made.earlier { a href={ "/probes/" (earlier) } rel="prev" { "Probe before" } }
            @if let Some(later) = made.later { a href={ "/probes/" (later) } rel="next" { "Probe after" } }
        }
    }
}
