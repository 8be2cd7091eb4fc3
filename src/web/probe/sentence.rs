//! What became of the probe, in a sentence.

use maud::{Markup, html};

use crate::domain::probe::{Arrival, Kind, Probe, State};
use crate::domain::verdict::{Placement, Standing};
use crate::store::{ProbeView, Stage};
use crate::web::{states, words};

use super::at;

/// Sentence, state, and whose probe it is.
pub fn head(view: &ProbeView) -> Markup {
    let kind = match &view.stage {
        Stage::Made(made) => made.probe.kind,
        _ => Kind::Manual,
    };
    html! {
        h1 data-said { (sentence(view)) }
        p.lede {
            @if let Stage::Made(made) = &view.stage { (chip(&made.probe)) " " }
            "Probe for "
            @match &view.owner {
                Some(owner) => {
                    a href={ "/recipients/" (owner.id) "/history" } { (owner.name) }
                    @if *owner.name != *owner.address { " (" (owner.address) ")" }
                    @if owner.is_deleted { ", which was removed since" }
                }
                None => { "a recipient that is gone" }
            }
            "."
            @if kind == Kind::Manual { " Asked for by hand: it does not count in figures and raises no alarm." }
        }
    }
}

/// The sentence alone.
pub fn sentence(view: &ProbeView) -> Markup {
    match &view.stage {
        Stage::Unknown => html! { "There is no such probe." },
        Stage::Requested(_) if view.has_run_out() => html! { em { "Nobody took this probe." } },
        Stage::Requested(_) => html! { "Asked for, and not begun yet." },
        Stage::Made(made) => of(&made.probe),
    }
}

fn of(probe: &Probe) -> Markup {
    let arrival = probe.arrival.as_ref();
    match (probe.state, arrival) {
        (State::Sending, _) if probe.attempts > 1 => {
            html! { "Being sent, for the " (nth(probe.attempts)) " time." }
        }
        (State::Sending, _) => html! { "Being sent." },
        (State::Deferred, _) => html! {
            (failed(probe))
            @if let Some(next) = probe.next_attempt_at { " Tried again at " (at(next)) "." }
        },
        (State::Accepted, _) => html! { "Accepted, and not seen yet." },
        (State::Unconfirmed, _) => html! { "Handed over, but the answer was lost: it may be on its way." },
        (State::Delivered, Some(arrival)) if arrival.placement == Placement::Junk => {
            html! { "Delivered, but to " em { (arrival.folder) } (after(arrival)) "." }
        }
        (State::Delivered, Some(arrival)) => html! { "Delivered to " (arrival.folder) (after(arrival)) "." },
        (State::Late, Some(arrival)) => html! {
            em { "Late" } " in " (arrival.folder) (after(arrival))
            @if probe.was_missing { ", after it was told missing." } @else { "." }
        },
        (State::Delivered | State::Late, None) => html! { "Delivered." },
        (State::Missing, _) => html! {
            em { "Missing" } @if let Some(judged) = probe.result_at { " since " (at(judged)) }
            ": accepted, then silence."
        },
        (State::SendFailed, _) => html! { em { (failed(probe)) } },
        (State::Bounced, _) => html! {
            em { "Came back" } @if let Some(note) = &probe.note { ": " (words::shortened(note)) }
        },
        (State::Inconclusive, _) => html! {
            "Could not be judged" @if let Some(note) = &probe.note { ": " (words::sentence(&words::shortened(note))) } @else { "." }
        },
    }
}

/// `Refused at RCPT: 550 5.7.1 …`
pub fn failed(probe: &Probe) -> String {
    let Some(failure) = &probe.failure else { return "Broken off by our own stop.".to_owned() };
    match (&probe.reply, failure.detail.as_str()) {
        (Some(reply), _) => {
            let refused =
                if reply.is_transient() && probe.result.is_none() { "Refused for now" } else { "Refused" };
            format!("{refused} at {}: {}", phase(failure.phase), words::sentence(&words::reply(reply)))
        }
        (None, "") => format!("{}.", words::reason(failure.reason)),
        (None, detail) => {
            let detail = words::sentence(&words::shortened(detail));
            format!("{}: {detail}", words::reason(failure.reason))
        }
    }
}

/// A step of the submission as people in the field call it.
pub fn phase(phase: crate::domain::submission::Phase) -> &'static str {
    use crate::domain::submission::Phase;
    match phase {
        Phase::Dns => "DNS",
        Phase::Connect => "connect",
        Phase::Tls => "TLS",
        Phase::Greeting => "greeting",
        Phase::Ehlo => "EHLO",
        Phase::Auth => "AUTH",
        Phase::Mail => "MAIL",
        Phase::Rcpt => "RCPT",
        Phase::Data => "DATA",
        Phase::FinalReply => "final reply",
    }
}

/// ` after 0.41 s`, where that is known.
fn after(arrival: &Arrival) -> String {
    let Some(latency) = arrival.latency else { return ", after a time that is not known".to_owned() };
    let about = if arrival.estimated { "about " } else { "" };
    format!(" after {about}{}", words::latency(latency.as_secs_f64() * 1000.0))
}

fn nth(number: i32) -> String {
    let ending = match (number % 100, number % 10) {
        (11..=13, _) => "th",
        (_, 1) => "st",
        (_, 2) => "nd",
        (_, 3) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// How a probe in its state looks.
pub fn standing(probe: &Probe) -> Standing {
    let in_junk = probe.arrival.as_ref().is_some_and(|arrival| arrival.placement == Placement::Junk);
    match probe.state {
        State::Sending | State::Deferred | State::Accepted | State::Unconfirmed => Standing::Pending,
        State::Delivered if in_junk => Standing::Junk,
        State::Delivered => Standing::Ok,
        State::Late => Standing::Late,
        State::Missing => Standing::Missing,
        State::SendFailed => Standing::SendFailed,
        State::Bounced => Standing::Bounced,
        State::Inconclusive => Standing::Unknown,
    }
}

fn chip(probe: &Probe) -> Markup {
    let look = states::look(standing(probe));
    let word = match probe.state {
        State::Sending => "Being sent",
        State::Deferred => "Waits for the next try",
        State::Accepted => "On its way",
        State::Unconfirmed => "Perhaps on its way",
        State::Inconclusive => "Not judged",
        State::Delivered if look.class == "ok" => "Delivered",
        _ => look.word,
    };
    html! { span class={ "chip " (look.class) } { (states::icon(&look)) (word) } }
}

#[cfg(test)]
mod tests {
    use super::nth;

    #[test]
    fn ordinals_read_well() {
        let said: Vec<String> = [1, 2, 3, 4, 11, 12, 21, 112].into_iter().map(nth).collect();
        assert_eq!(said, ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "112th"]);
    }
}
