//! The way of a probe as a bar: a length for each leg, the slowest one named.

use std::time::Duration;

use maud::{Markup, html};

use crate::domain::probe::Probe;
use crate::domain::transit::Delay;
use crate::web::words;

use super::legs::{Leg, Part, legs, off, proof, read, server};

/// The width of the bar, in its own units.
const WIDTH: f64 = 1000.0;
/// No leg is shorter than this, so that all can be seen.
const SHORTEST: f64 = 7.0;
/// The steps of a submission are drawn each where it took at least one part in so many of the whole time.
const STEPS_SHOWN: u32 = 6;

/// The bar with its legend; nothing where there is no leg yet.
pub fn picture(probe: &Probe) -> Markup {
    let legs = legs(probe);
    if legs.is_empty() {
        return html! {};
    }
    let whole = grouped(&legs);
    // Steps that are too small to be told from one another are one leg.
    let submission = whole.first().map_or(Duration::ZERO, |leg| leg.took);
    let all: Duration = whole.iter().map(|leg| leg.took).sum();
    let shown = if submission * STEPS_SHOWN < all { &whole } else { &legs };
    let mut x = 0.0;
    let drawn: Vec<(f64, f64, &Leg)> = widths(shown)
        .into_iter()
        .zip(shown)
        .map(|(width, leg)| {
            let from = x;
            x += width;
            (from, width, leg)
        })
        .collect();
    html! {
        h2 { "Where the time went" }
        figure.bar {
            svg viewBox="0 0 1000 26" preserveAspectRatio="none" role="img" aria-label=(said(&whole)) {
                @for (from, width, leg) in &drawn {
                    rect class=(leg.part.class()) x=(format!("{from:.1}")) y="0" width=(format!("{:.1}", (width - 1.5).max(1.0))) height="26" {
                        title { (leg.name) ": " (took(leg)) }
                    }
                }
            }
            figcaption {
                ul.legend {
                    @for leg in &whole {
                        li { svg viewBox="0 0 12 12" aria-hidden="true" { rect class=(leg.part.class()) width="12" height="12" rx="2" {} } (leg.name) " " b { (took(leg)) } }
                    }
                }
                @if let Some(slowest) = slowest(&legs) { p { "Slowest: " b { (slowest.name) } ", " (took(slowest)) "." } }
                @for clock in clocks(probe) { p.clock { (clock) } }
            }
        }
    }
}

/// The share of each leg, none too small to be seen.
fn widths(legs: &[Leg]) -> Vec<f64> {
    let total: f64 = legs.iter().map(|leg| leg.took.as_secs_f64()).sum();
    let raw: Vec<f64> = legs
        .iter()
        .map(|leg| if total > 0.0 { (leg.took.as_secs_f64() / total * WIDTH).max(SHORTEST) } else { 1.0 })
        .collect();
    let sum: f64 = raw.iter().sum();
    raw.into_iter().map(|width| width / sum * WIDTH).collect()
}

/// The steps of the submission together.
fn grouped(legs: &[Leg]) -> Vec<Leg> {
    let (submission, rest): (Vec<&Leg>, Vec<&Leg>) =
        legs.iter().partition(|leg| matches!(leg.part, Part::Submission | Part::Broken));
    let mut whole = Vec::new();
    if !submission.is_empty() {
        let took = submission.iter().map(|leg| leg.took).sum();
        let broken = submission.iter().find(|leg| leg.part == Part::Broken);
        let part = broken.map_or(Part::Submission, |_| Part::Broken);
        whole.push(Leg { part, name: "Submission".to_owned(), took, about: false });
    }
    whole.extend(rest.into_iter().cloned());
    whole
}

fn slowest(legs: &[Leg]) -> Option<&Leg> {
    // Beside a silence no other leg is worth a word.
    let is_heard = legs.len() > 1 && legs.iter().all(|leg| leg.part != Part::Silence);
    is_heard.then(|| legs.iter().max_by_key(|leg| leg.took))?
}

fn took(leg: &Leg) -> String {
    let took = short(leg.took);
    match (leg.about, leg.took < Duration::from_secs(1)) {
        (true, true) => "under 1\u{a0}s".to_owned(),
        (true, false) => format!("about {}", words::span(leg.took + Duration::from_millis(500))),
        (false, _) => took,
    }
}

/// A time of our own clock, with the digits that matter.
pub fn short(duration: Duration) -> String {
    let ms = duration.as_secs_f64() * 1000.0;
    if ms < 0.95 {
        "under 1\u{a0}ms".to_owned()
    } else if ms < 100.0 {
        format!("{ms:.0}\u{a0}ms")
    } else {
        words::latency(ms)
    }
}

fn said(legs: &[Leg]) -> String {
    let parts: Vec<String> = legs.iter().map(|leg| format!("{} {}", leg.name, took(leg))).collect();
    format!("{}. The table below has the figures.", parts.join(", "))
}

/// What is to be said about the servers' clocks.
fn clocks(probe: &Probe) -> Vec<String> {
    let Some(seen) = proof(probe) else { return Vec::new() };
    let transit = read(probe, seen);
    let mut said = Vec::new();
    if let Some(offset) = transit.offset {
        let amount = words::span(offset.unsigned_abs());
        let side = if offset.is_negative() { "behind" } else { "ahead of" };
        said.push(format!(
            "All servers' clocks are about {amount} {side} MailDT's; their stamps are read with that in mind."
        ));
    }
    for (hop, delay) in seen.content.trace.hops.iter().zip(&transit.delays) {
        if let Delay::Skewed(by) = delay {
            said.push(format!(
                "The clock of {} is {} or more: its stamp tells no time on the way.",
                server(hop),
                off(*by)
            ));
        }
    }
    said
}
