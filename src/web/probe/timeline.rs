//! The way of a message in a table: each step of the submission, each server, and where it was seen.

use std::time::Duration;

use maud::{Markup, html};

use crate::domain::probe::{Arrival, Probe};
use crate::domain::record::Seen;
use crate::domain::trace::{Hop, Stamp};
use crate::domain::transit::{Delay, Transit};
use crate::web::words;

use super::legs::{off, proof, read};
use super::picture::short;
use super::{at, exact_ms, sentence};

/// The whole way of the probe.
pub fn timeline(probe: &Probe) -> Markup {
    let proof = proof(probe);
    if probe.phases.is_empty() && probe.accepted_at.is_none() && probe.arrival.is_none() {
        return html! {};
    }
    let transit = proof.map(|seen| read(probe, seen));
    html! {
        h2 { "Step by step" }
        (table("Step by step", &html! {
            @for (phase, took) in &probe.phases {
                tr {
                    td { "Submission" }
                    th scope="row" { (sentence::phase(*phase)) }
                    td {}
                    td.n { (short(*took)) }
                }
            }
            @if let Some(accepted) = probe.accepted_at {
                tr { td { "Submission" } th scope="row" { "Accepted" @if let Some(id) = &probe.queue_id { small { "queued as " code { (id) } } } } td { (moment(accepted)) } td.n {} }
            }
            @if let (Some(seen), Some(transit)) = (proof, &transit) { (rows(seen, transit)) }
            @if let Some(arrival) = &probe.arrival { (arrived(arrival, transit.as_ref())) }
        }))
        @if probe.arrival.is_some() && proof.is_none() { p.soft { "What its header said was not kept: it came before this version." } }
    }
}

/// The trace of one message alone.
pub fn trace(probe: &Probe, seen: &Seen) -> Markup {
    let transit = read(probe, seen);
    if seen.content.trace.hops.is_empty() {
        return html! { p.soft { "Its header has no trace." } };
    }
    table("The trace of this message", &rows(seen, &transit))
}

fn table(name: &str, rows: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(name) {
            table.timeline {
                thead { tr { th scope="col" { "Leg" } th scope="col" { "What" } th scope="col" { "When" } th.n scope="col" { "Took" } } }
                tbody { (rows) }
            }
        }
    }
}

fn rows(seen: &Seen, transit: &Transit) -> Markup {
    let trace = &seen.content.trace;
    html! {
        @if trace.omitted > 0 {
            tr { td { "Transit" } th scope="row" { (words::count(trace.omitted, "earlier server", "earlier servers")) " not kept" } td {} td.n {} }
        }
        @for (hop, delay) in trace.hops.iter().zip(&transit.delays) {
            tr class=[matches!(delay, Delay::Skewed(_)).then_some("skewed")] {
                td { "Transit" }
                th scope="row" { (named(hop)) }
                td { @if let Some(at) = hop.at() { (moment(at)) } @else { span.none { "no time" } } }
                td.n {
                    @match delay {
                        Delay::Took(took) => (whole(*took)),
                        Delay::Skewed(by) => span.skew { "clock " (off(*by)) },
                        Delay::Unknown => span.none aria-label="not known" { "—" },
                    }
                }
            }
        }
    }
}

fn named(hop: &Hop) -> Markup {
    match hop {
        Hop::Unreadable(text) => html! { "A field that cannot be read" small { (text) } },
        Hop::Stamp(Stamp { from, peer, by, protocol, id, note, .. }) => html! {
            @if let Some(by) = by { (by) } @else if let Some(note) = note { (note) } @else { "A server without a name" }
            small {
                @if let Some(from) = from { "from " (from) @if let Some(peer) = peer { " (" (peer) ")" } " " }
                @if let Some(protocol) = protocol { "with " (protocol) " " }
                @if let Some(id) = id { "id " code { (id) } }
            }
        },
    }
}

fn arrived(arrival: &Arrival, transit: Option<&Transit>) -> Markup {
    html! {
        tr {
            td { "Retrieval" }
            th scope="row" { "Seen in " (arrival.folder) @if arrival.estimated { small { "an estimate: told by the server's date of the message, as nobody could look at that moment" } } }
            td { (moment(arrival.at)) }
            td.n { @if let Some(last) = transit.and_then(|transit| transit.last) { (whole(last)) } }
        }
    }
}

/// A time by stamps in whole seconds.
fn whole(duration: Duration) -> String {
    if duration < Duration::from_secs(1) {
        return "under 1\u{a0}s".to_owned();
    }
    format!("about {}", words::span(duration + Duration::from_millis(500)))
}

fn moment(moment: jiff::Timestamp) -> Markup {
    html! { (at(moment)) small.utc { (exact_ms(moment)) } }
}
