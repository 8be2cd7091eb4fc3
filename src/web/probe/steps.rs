//! The way of a probe as steps, each done, under way, failed or still to come.

use maud::{Markup, html};

use crate::domain::probe::{Kind, Probe, State, between};
use crate::domain::verdict::{Placement, Standing};
use crate::store::{Made, ProbeView, Stage};
use crate::web::{states, words};

use super::{again, at, is_under_way, sentence};

/// How a step stands: its class, its icon's owner, and the word for those who do not see either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stand {
    Done,
    Now,
    Failed,
    /// Done, and not well.
    Doubtful,
    ToCome,
}

impl Stand {
    fn class(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Now => "now",
            Self::Failed => "bad",
            Self::Doubtful => "odd",
            Self::ToCome => "open",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Done => "Done",
            Self::Now => "Under way",
            Self::Failed => "Failed",
            Self::Doubtful => "Not as it should be",
            Self::ToCome => "Still to come",
        }
    }

    fn icon(self) -> Option<Standing> {
        match self {
            Self::Done => Some(Standing::Ok),
            Self::Now => Some(Standing::Pending),
            Self::Failed => Some(Standing::Missing),
            Self::Doubtful => Some(Standing::Late),
            Self::ToCome => None,
        }
    }
}

struct Step {
    stand: Stand,
    title: String,
    detail: Markup,
}

fn step(stand: Stand, title: impl Into<String>, detail: Markup) -> Step {
    Step { stand, title: title.into(), detail }
}

/// The live way of a probe, for any page: with the script `probe.js` (and the style `probe.css`) it keeps itself current.
pub fn way(view: &ProbeView) -> Markup {
    html! {
        div.probe.alone data-fetch={ "/probes/" (view.id) "/way" } data-again=[again(view)] {
            p.said { b data-said { (sentence::sentence(view)) } " " a href={ "/probes/" (view.id) } { "Everything about this probe" } }
            (steps(view))
        }
    }
}

/// Asked for, sent, accepted, seen.
pub fn steps(view: &ProbeView) -> Markup {
    let steps = match &view.stage {
        Stage::Unknown => Vec::new(),
        Stage::Requested(_) => requested(view),
        Stage::Made(made) => vec![asked(made), sent(&made.probe), accepted(&made.probe), seen(&made.probe)],
    };
    html! {
        ol.steps-of aria-label="The way of the probe" {
            @for step in &steps {
                li class=(step.stand.class()) aria-current=[(step.stand == Stand::Now).then_some("step")] {
                    span.knot aria-hidden="true" { @if let Some(standing) = step.stand.icon() { (states::icon(&states::look(standing))) } }
                    b { (step.title) }
                    span.unseen { ", " (step.stand.word()) ": " }
                    span.detail { (step.detail) }
                }
            }
        }
    }
}

fn requested(view: &ProbeView) -> Vec<Step> {
    let Stage::Requested(since) = view.stage else { return Vec::new() };
    let next = if view.has_run_out() {
        step(Stand::Failed, "Not sent", html! { "nobody took it within 2 min" })
    } else {
        step(Stand::Now, "Being taken", html! { "by the instance that is at work" })
    };
    vec![
        step(Stand::Done, "Asked for", at(since)),
        next,
        step(Stand::ToCome, "Accepted", html! {}),
        step(Stand::ToCome, "Seen", html! {}),
    ]
}

fn asked(made: &Made) -> Step {
    let title = if made.probe.kind == Kind::Manual { "Asked for" } else { "Due" };
    step(Stand::Done, title, at(made.probe.due_at))
}

fn sent(probe: &Probe) -> Step {
    let attempts = usize::try_from(probe.attempts).unwrap_or(1);
    let tried =
        if attempts > 1 { format!(", {} attempts", words::thousands(attempts)) } else { String::new() };
    match probe.state {
        State::Sending => step(
            Stand::Now,
            "Being sent",
            html! { "by the sender " (probe.sender) (tried) ", since " (at(probe.attempt_at)) },
        ),
        State::Deferred => step(
            Stand::Now,
            "Waits for the next attempt",
            html! {
                @if let Some(next) = probe.next_attempt_at { "at " (at(next)) }
                (tried) ": " (sentence::failed(probe))
            },
        ),
        State::SendFailed => step(
            Stand::Failed,
            "Not sent",
            html! { "by the sender " (probe.sender) (tried) ": " (sentence::failed(probe)) },
        ),
        _ => {
            let took = probe.accepted_at.map(|accepted| between(probe.attempt_at, accepted));
            step(
                Stand::Done,
                "Sent",
                html! {
                    "by the sender " (probe.sender)
                    @if let Some(took) = took { " in " (words::latency(took.as_secs_f64() * 1000.0)) }
                    (tried)
                },
            )
        }
    }
}

fn accepted(probe: &Probe) -> Step {
    match (probe.accepted_at, probe.state) {
        (Some(accepted), _) => {
            let reply = probe.reply.as_ref().map(words::reply);
            step(
                Stand::Done,
                "Accepted",
                html! { (at(accepted)) @if let Some(reply) = reply { ", “" (reply) "”" } },
            )
        }
        (None, State::Sending | State::Deferred | State::SendFailed) => {
            step(Stand::ToCome, "Accepted", html! {})
        }
        (None, _) => {
            let detail =
                probe.failure.as_ref().map(|failure| words::sentence(&words::shortened(&failure.detail)));
            step(Stand::Doubtful, "Perhaps accepted", html! { (detail.unwrap_or_default()) })
        }
    }
}

fn seen(probe: &Probe) -> Step {
    if let Some(arrival) = &probe.arrival {
        let title = format!("Seen in {}", arrival.folder);
        let is_well = probe.state == State::Delivered && arrival.placement != Placement::Junk;
        let latency = arrival.latency.map(|latency| words::latency(latency.as_secs_f64() * 1000.0));
        let detail = html! {
            (at(arrival.at))
            @if let Some(latency) = latency {
                ", " @if arrival.estimated { "about " } (latency) " after it was accepted"
                @if probe.state == State::Late { "; " (words::span(probe.threshold)) " are allowed" }
            }
        };
        return step(if is_well { Stand::Done } else { Stand::Doubtful }, title, detail);
    }
    match probe.state {
        state if is_under_way(state) => step(
            Stand::Now,
            "Not seen yet",
            html! {
                "the mailbox " (probe.mailbox) " is watched"
                @if let Some(deadline) = probe.deadline_at { "; in time until " (at(deadline)) }
            },
        ),
        State::Missing => step(
            Stand::Failed,
            "Not seen",
            html! { "every watched folder of " (probe.mailbox) " was looked through twice" },
        ),
        State::Bounced => {
            let note = probe.note.as_deref().map(words::shortened).unwrap_or_default();
            step(Stand::Failed, "Came back", html! { (note) })
        }
        State::Inconclusive => {
            let note = probe.note.as_deref().map(|note| words::sentence(&words::shortened(note)));
            step(Stand::Doubtful, "Not judged", html! { (note.unwrap_or_default()) })
        }
        _ => step(Stand::ToCome, "Seen", html! {}),
    }
}
