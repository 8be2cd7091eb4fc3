//! What speaks for the verdict: the messages that carried the token, and where it was looked for.

use maud::{Markup, html};

use crate::domain::authentication::Claim;
use crate::domain::message::Form;
use crate::domain::probe::Probe;
use crate::domain::record::{Bearing, MOST_SEEN, Seen};
use crate::domain::return_mode::ReturnMode;
use crate::domain::verdict::Standing;
use crate::web::{states, words};

use super::{at, exact_ms, timeline};

/// Messages and searches.
pub fn evidence(probe: &Probe) -> Markup {
    html! { (messages(probe)) (searches(probe)) }
}

fn messages(probe: &Probe) -> Markup {
    if probe.sightings.is_empty() {
        return html! {};
    }
    html! {
        h2 { (words::count(probe.sightings.len(), "message carried", "messages carried")) " its token" }
        @for (number, seen) in probe.sightings.iter().enumerate() { (message(probe, number, seen)) }
        @if probe.sightings.len() >= MOST_SEEN - 1 { p.soft { "Not more than " (MOST_SEEN) " are kept." } }
    }
}

fn message(probe: &Probe, number: usize, seen: &Seen) -> Markup {
    let (standing, word) = worth(seen.bearing);
    let look = states::look(standing);
    html! {
        article.found {
            header {
                span class={ "chip " (look.class) } { (states::icon(&look)) (word) }
                h3 { (form(seen.form)) " in " (seen.folder) @if *seen.mailbox != *probe.mailbox { " of the mailbox " (seen.mailbox) } }
                p.when { @if seen.estimated { "about " } (at(seen.at)) " " span.utc { (exact_ms(seen.at)) } }
            }
            p { (why(seen, probe.return_mode)) }
            @if let Some(note) = &seen.note { p { "It says: " (note) } }
            @if let Some(subject) = &seen.content.subject { p { "Its Subject is not the probe's own: “" (subject) "”" } }
            @for claim in &seen.content.claims { (claimed(claim)) }
            @if !seen.content.claims.is_empty() {
                p.soft { "Such a claim is worth as much as the server that wrote it: anybody can put one into a message." }
            }
            @if seen.bearing != Bearing::Proof {
                details id={ "trace-" (number) } { summary { "The way of this message" } (timeline::trace(probe, seen)) }
            }
        }
    }
}

fn worth(bearing: Bearing) -> (Standing, &'static str) {
    match bearing {
        Bearing::Proof => (Standing::Ok, "Counted"),
        Bearing::Duplicate => (Standing::Late, "A further copy"),
        Bearing::Elsewhere => (Standing::Unknown, "Elsewhere"),
        Bearing::OtherForm => (Standing::Paused, "Not counted"),
        Bearing::Failure => (Standing::Bounced, "Came back"),
        Bearing::Notice => (Standing::Paused, "A report"),
    }
}

fn form(form: Form) -> &'static str {
    match form {
        Form::Direct => "The probe itself",
        Form::Copy => "A new message about the probe",
        Form::AutoReply => "An automatic reply",
        Form::Report => "A report",
    }
}

fn why(seen: &Seen, mode: ReturnMode) -> String {
    match seen.bearing {
        Bearing::Proof => "It proves the delivery.".to_owned(),
        Bearing::Duplicate => {
            "The probe was there already: this is another copy with a trace of its own.".to_owned()
        }
        Bearing::Elsewhere => "It would have counted in the recipient's own mailbox.".to_owned(),
        Bearing::OtherForm => {
            let wanted = match mode {
                ReturnMode::Direct => "only the probe itself counts",
                ReturnMode::Forward => "only the probe itself and what mail clients forward count",
                ReturnMode::Echo => "only answers count",
            };
            format!(
                "It does not count: by the recipient's return mode, {mode}, {wanted}. It was left where it is."
            )
        }
        Bearing::Failure => "A delivery status notification says that the delivery failed.".to_owned(),
        Bearing::Notice => {
            "It tells of no failure: a delay, for example. It proves nothing either way.".to_owned()
        }
    }
}

fn claimed(claim: &Claim) -> Markup {
    html! {
        div.claim {
            p {
                @match &claim.server { Some(server) => { b { (server) } " claims" }, None => { "A server that does not name itself claims" } }
                @if let Some(instance) = claim.instance { " (ARC seal " (instance) ")" }
                @if claim.results.is_empty() { " to have checked nothing." } @else { ":" }
            }
            ul {
                @for finding in &claim.results {
                    li {
                        code { (finding.method) "=" (finding.result) }
                        @for (name, value) in &finding.properties { " " span.soft { (name) "=" (value) } }
                        @if let Some(reason) = &finding.reason { " " span.soft { "(" (reason) ")" } }
                    }
                }
            }
        }
    }
}

fn searches(probe: &Probe) -> Markup {
    html! {
        @if !probe.searches.is_empty() {
            h2 { "Where it was looked for" }
            p.lede {
                @if probe.was_missing { "After the deadline every watched folder was looked through completely, twice, and it was in none." }
                @else { "What was looked through completely after the deadline." }
            }
            div.scroll tabindex="0" role="region" aria-label="Where it was looked for" {
                table.timeline.looks {
                    thead { tr { th scope="col" { "Round" } th scope="col" { "Folder" } th scope="col" { "From" } th scope="col" { "To" } } }
                    tbody {
                        @for (round, search) in probe.searches.iter().enumerate() {
                            @for look in &search.looks {
                                tr {
                                    td data-label="Round" { (round + 1) }
                                    th scope="row" { (look.folder) @if look.is_absent { small { "the mailbox has no such folder; that was looked for" } } }
                                    td data-label="From" { (at(look.began)) small.utc { (exact_ms(look.began)) } }
                                    td data-label="To" { (at(look.ended)) small.utc { (exact_ms(look.ended)) } }
                                }
                            }
                        }
                    }
                }
            }
        } @else if probe.was_missing {
            h2 { "Where it was looked for" }
            p { "Every watched folder of " (probe.mailbox) " was looked through twice after the deadline. When, was not kept: it was before this version." }
        }
    }
}
