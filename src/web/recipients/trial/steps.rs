//! How far a probe has come.

use maud::{Markup, html};

use crate::config::show_duration;
use crate::domain::probe::{Probe, State};
use crate::domain::recipient::Recipient;
use crate::domain::verdict::Standing;
use crate::web::recipients::view::clock;
use crate::web::{states, words};

use super::Trial;

/// How it is now, for those who look and those who listen. No running clock: each change would be read out.
pub fn sentence(trial: &Trial) -> String {
    let Some(probe) = &trial.probe else {
        return if trial.is_forgotten() {
            "Nobody took it: no instance is at work, or its sender is not configured any more. Nothing was sent."
                .to_owned()
        } else {
            "It is about to be sent.".to_owned()
        };
    };
    let arrival = probe.arrival.as_ref();
    let took = arrival.and_then(|arrival| arrival.latency);
    let after = took.map(|took| format!(" after {}", words::latency(took.as_secs_f64() * 1000.0)));
    let (folder, after) =
        (arrival.map_or("its folder", |arrival| &*arrival.folder), after.unwrap_or_default());
    match probe.state {
        State::Sending => "It is being handed over.".to_owned(),
        State::Deferred => "The server has refused it for now. It is tried again.".to_owned(),
        State::Accepted => "It was accepted, and is looked for.".to_owned(),
        State::Unconfirmed => {
            "The connection was lost after the mail was handed over. It may be on its way, and is looked for."
                .to_owned()
        }
        State::Delivered => format!("It arrived in {folder}{after}."),
        State::Late => format!("It arrived in {folder}{after}: too late for the threshold."),
        State::Missing => "It was accepted, and has not come back.".to_owned(),
        State::SendFailed => "It could not be sent.".to_owned(),
        State::Bounced => "It came back as undeliverable.".to_owned(),
        State::Inconclusive => "Nobody can tell what became of it.".to_owned(),
    }
}

/// Where a step stands.
#[derive(Clone, Copy)]
enum Mark {
    Done,
    Now,
    Wrong,
    Ahead,
}

impl Mark {
    fn class(self) -> &'static str {
        match self {
            Self::Done => "over",
            Self::Now => "now",
            Self::Wrong => "wrong",
            Self::Ahead => "ahead",
        }
    }

    fn standing(self) -> Standing {
        match self {
            Self::Done => Standing::Ok,
            Self::Now => Standing::Pending,
            Self::Wrong => Standing::Missing,
            Self::Ahead => Standing::Paused,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Now => "Now",
            Self::Wrong => "Failed",
            Self::Ahead => "Ahead",
        }
    }
}

pub fn list(trial: &Trial, recipient: &Recipient) -> Markup {
    let (asked, handed, seen) = marks(trial);
    html! {
        ol.steps-of-a-probe {
            (step(asked, &html! { "Asked for" }, &html! {
                @if let Some(at) = trial.asked_at.or_else(|| trial.probe.as_ref().map(|probe| probe.due_at)) { (clock(at)) }
            }))
            (step(handed, &html! { "Handed to the server of " b { (recipient.sender) } }, &html! { @if let Some(probe) = &trial.probe { (submission(probe, trial)) } }))
            (step(seen, &html! { "Seen in " b { (recipient.mailbox) } }, &html! { @if let Some(probe) = &trial.probe { (arrival(probe, trial)) } }))
        }
    }
}

fn marks(trial: &Trial) -> (Mark, Mark, Mark) {
    let Some(probe) = &trial.probe else {
        let asked = if trial.is_forgotten() { Mark::Wrong } else { Mark::Now };
        return (asked, Mark::Ahead, Mark::Ahead);
    };
    let (handed, seen) = match probe.state {
        State::Sending | State::Deferred => (Mark::Now, Mark::Ahead),
        State::Accepted => (Mark::Done, Mark::Now),
        State::Unconfirmed => (Mark::Wrong, Mark::Now),
        State::Delivered | State::Late => (Mark::Done, Mark::Done),
        State::SendFailed => (Mark::Wrong, Mark::Ahead),
        State::Missing | State::Bounced | State::Inconclusive => (Mark::Done, Mark::Wrong),
    };
    (Mark::Done, handed, seen)
}

fn step(mark: Mark, what: &Markup, how: &Markup) -> Markup {
    let look = states::look(mark.standing());
    html! {
        li class=(mark.class()) {
            span class={ "chip " (look.class) } { (states::icon(&look)) (mark.word()) }
            div { p.what { (what) } p.how { (how) } }
        }
    }
}

fn submission(probe: &Probe, trial: &Trial) -> Markup {
    html! {
        @if let Some(reply) = &probe.reply { q { (words::reply(reply)) } " " }
        @if let Some(failure) = &probe.failure {
            "at " (failure.phase.as_str().to_uppercase()) ": " (words::reason(failure.reason)) ". "
            @if !failure.detail.is_empty() { (words::sentence(&words::shortened(&failure.detail))) " " }
        }
        @if let Some(at) = probe.accepted_at { (clock(at)) }
        @if let Some(next) = probe.next_attempt_at.filter(|_| probe.state == State::Deferred) { "Tried again in " (words::until(next, trial.now)) "." }
    }
}

fn arrival(probe: &Probe, trial: &Trial) -> Markup {
    html! {
        @if let Some(arrival) = &probe.arrival {
            (arrival.folder) ", " (clock(arrival.at))
            @if let Some(took) = arrival.latency { ", " @if arrival.estimated { "about " } (words::latency(took.as_secs_f64() * 1000.0)) " after it was accepted" }
        } @else if probe.state == State::Accepted || probe.state == State::Unconfirmed {
            @match probe.deadline_at.filter(|deadline| *deadline > trial.now) {
                Some(deadline) => { "Missing in " (words::until(deadline, trial.now)) ", by the threshold of " (show_duration(probe.threshold)) "." }
                None if probe.state == State::Accepted => "Overdue. All folders are looked through twice before it counts as missing.",
                None => {},
            }
        } @else if let Some(note) = &probe.note { (words::sentence(&words::shortened(note))) }
    }
}
