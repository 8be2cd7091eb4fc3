//! The way of a probe in legs: how long each took, as far as anybody knows.

use std::time::Duration;

use jiff::SignedDuration;

use crate::domain::probe::{Probe, State, between};
use crate::domain::record::{Bearing, Seen};
use crate::domain::trace::{Hop, Stamp};
use crate::domain::transit::{Delay, Transit, transit};

use super::sentence;

/// Below this the stamps of the servers, in whole seconds, say nothing about where the time went.
const RESOLVED: Duration = Duration::from_secs(2);
/// How far an arrival by INTERNALDATE may be off.
const ESTIMATE: Duration = Duration::from_secs(5);

/// What a leg is, as the picture colours it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Submission,
    /// The step of the submission at which it failed.
    Broken,
    Transit,
    Retrieval,
    /// Nothing was seen in that time.
    Silence,
}

impl Part {
    pub fn class(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Broken => "broken",
            Self::Transit => "transit",
            Self::Retrieval => "retrieval",
            Self::Silence => "silence",
        }
    }
}

/// One leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leg {
    pub part: Part,
    pub name: String,
    pub took: Duration,
    /// By stamps in whole seconds, or an estimate.
    pub about: bool,
}

/// The message that proved the delivery, as it is on record.
pub fn proof(probe: &Probe) -> Option<&Seen> {
    probe.sightings.iter().map(|seen| &**seen).find(|seen| seen.bearing == Bearing::Proof)
}

/// The trace of a message, read against what our own clock knows of the probe.
pub fn read(probe: &Probe, seen: &Seen) -> Transit {
    let slack = if seen.estimated { ESTIMATE } else { Duration::ZERO };
    transit(&seen.content.trace.hops, probe.attempt_at, seen.at, slack)
}

/// All legs, in order. Empty while nothing has been done.
pub fn legs(probe: &Probe) -> Vec<Leg> {
    let mut legs = submission(probe);
    let Some(accepted) = probe.accepted_at else { return legs };
    let arrival = probe.arrival.as_ref();
    if let Some((arrival, latency)) = arrival.and_then(|arrival| Some((arrival, arrival.latency?))) {
        let resolved = proof(probe).filter(|_| latency >= RESOLVED).map(|seen| hops(probe, seen, latency));
        match resolved.filter(|legs| !legs.is_empty()) {
            Some(hops) => legs.extend(hops),
            None => legs.push(Leg {
                part: Part::Transit,
                name: format!("Accepted until seen in {}", arrival.folder),
                took: latency,
                about: arrival.estimated,
            }),
        }
    } else if let (Some(judged), State::Missing | State::Bounced | State::Inconclusive) =
        (probe.result_at, probe.state)
    {
        let name = if probe.state == State::Bounced { "Until the report came" } else { "Not seen" };
        legs.push(Leg {
            part: Part::Silence,
            name: name.to_owned(),
            took: between(accepted, judged),
            about: false,
        });
    }
    legs
}

fn submission(probe: &Probe) -> Vec<Leg> {
    let leg = |name: String, took, part| Leg { part, name, took, about: false };
    if probe.phases.is_empty() {
        let whole = probe.accepted_at.map(|accepted| between(probe.attempt_at, accepted));
        return whole.map(|took| leg("Submission".to_owned(), took, Part::Submission)).into_iter().collect();
    }
    let failed_at = probe.failure.as_ref().map(|failure| failure.phase);
    let part = |phase| if Some(phase) == failed_at { Part::Broken } else { Part::Submission };
    let name = |phase| format!("Submission, {}", sentence::phase(phase));
    probe.phases.iter().map(|(phase, took)| leg(name(*phase), *took, part(*phase))).collect()
}

/// The transit by the stamps that can be believed, and from the last of them until it was seen.
fn hops(probe: &Probe, seen: &Seen, latency: Duration) -> Vec<Leg> {
    let transit = read(probe, seen);
    // The first stamps are of the time before it was accepted.
    let submission = probe.accepted_at.map_or(Duration::ZERO, |accepted| between(probe.attempt_at, accepted));
    let (mut since_sent, mut reached) = (Duration::ZERO, Duration::ZERO);
    let mut legs = Vec::new();
    for (hop, delay) in seen.content.trace.hops.iter().zip(&transit.delays) {
        let Delay::Took(took) = delay else { continue };
        since_sent += *took;
        let here = since_sent.saturating_sub(submission).min(latency);
        if here > reached {
            let name = format!("To {}", server(hop));
            legs.push(Leg { part: Part::Transit, name, took: here.saturating_sub(reached), about: true });
            reached = here;
        }
    }
    if transit.last.is_some() {
        let name = format!("Until seen in {}", seen.folder);
        legs.push(Leg { part: Part::Retrieval, name, took: latency.saturating_sub(reached), about: true });
    }
    legs
}

/// Who took it at a hop, in a word.
pub fn server(hop: &Hop) -> &str {
    match hop {
        Hop::Stamp(Stamp { by: Some(by), .. }) => by,
        Hop::Stamp(Stamp { note: Some(note), .. }) => note,
        Hop::Stamp(_) => "a server without a name",
        Hop::Unreadable(_) => "a server whose field cannot be read",
    }
}

/// By how much a clock is off, in words.
pub fn off(by: SignedDuration) -> String {
    let amount = super::words::span(by.unsigned_abs());
    if by.is_negative() { format!("behind by {amount}") } else { format!("ahead by {amount}") }
}

#[cfg(test)]
mod tests;
