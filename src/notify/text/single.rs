//! One incident, with everything that is known of it.

use super::outcome;
use super::proof::{self, fact, in_row, said};
use super::words::{count, duration, recipient, roughly};
use super::{Desk, PREFIX, name, tone, whom};
use crate::domain::alert::{Evidence, Incident, Kind, Telling};
use crate::domain::probe::between;
use crate::notify::letter::{Fact, Letter, Tone};

pub(super) fn compose(telling: Telling, incident: &Incident, desk: &Desk) -> Letter {
    if telling == Telling::Resolved {
        return outcome::compose(incident, desk);
    }
    let still = (telling == Telling::Reminder).then(|| incident.lasted(desk.now));
    let evidence = &incident.details.latest;
    let over = outcome::already(incident, desk);
    let (mark, over) = over.map_or(("", None), |over| (" (over by now)", Some(over)));
    let mut remarks = proof::remarks(evidence, &name(incident), desk);
    remarks.extend(disclaimers(incident));
    Letter {
        tone: if incident.is_open() { tone(incident.kind) } else { Tone::Neutral },
        subject: format!("{PREFIX}{}{mark}", heading(incident, still.map(roughly).as_deref())),
        lead: followed(lead(incident, still.map(duration).as_deref(), desk), over.as_deref()),
        facts: facts(incident, desk),
        items: items(incident),
        names: names(incident),
        remarks,
        incidents: vec![incident.id],
        link: Some(desk.link(Some(incident.id))),
        at: if still.is_some() { desk.now } else { incident.opened_at },
    }
}

fn heading(incident: &Incident, still: Option<&str>) -> String {
    let who = name(incident);
    let came_back = matches!(incident.details.latest, Evidence::Bounced { .. });
    let users = count(incident.details.concerned.len(), "recipient", "recipients");
    match (incident.kind, still) {
        (Kind::Missing, None) if came_back => format!("Missing: {who} (came back)"),
        (Kind::Missing, None) => format!("Missing: {who}"),
        (Kind::Missing, Some(since)) => format!("Still missing: {who} ({since})"),
        (Kind::SendFailure, None) => format!("Send failure: {who}"),
        (Kind::SendFailure, Some(since)) => format!("Still failing to send: {who} ({since})"),
        (Kind::SenderUnreachable, None) => format!("Submission server unreachable: sender {who} ({users})"),
        (Kind::SenderUnreachable, Some(since)) => {
            format!("Submission server still unreachable: sender {who} ({since})")
        }
        (Kind::MailboxUnreachable, None) => format!("Mailbox unreadable: {who}"),
        (Kind::MailboxUnreachable, Some(since)) => format!("Mailbox still unreadable: {who} ({since})"),
        (Kind::ChannelDown, None) => format!("Alert channel down: {}", channel(incident)),
        (Kind::ChannelDown, Some(since)) => {
            format!("Alert channel still down: {} ({since})", channel(incident))
        }
    }
}

fn lead(incident: &Incident, still: Option<&str>, desk: &Desk) -> String {
    let who = whom(incident);
    let evidence = &incident.details.latest;
    let why = proof::reason(evidence, desk);
    let (still, for_long) = match still {
        Some(lasted) => (" still", format!(", for {lasted} now")),
        None => ("", String::new()),
    };
    match (incident.kind, evidence) {
        (Kind::Missing, Evidence::Bounced { .. }) if still.is_empty() => format!("Mail to {who} {why}"),
        (Kind::Missing, Evidence::Bounced { note, .. }) => {
            format!("Mail to {who} still comes back{for_long}: {}", said(note))
        }
        (Kind::Missing, _) if still.is_empty() => {
            format!("Mail to {who} was accepted by the submission server and has not arrived.")
        }
        (Kind::Missing, _) => format!("Mail to {who} is accepted and still does not arrive{for_long}."),
        (Kind::SendFailure, _) => format!("Mail to {who}{still} cannot be sent{for_long}: {why}"),
        (Kind::SenderUnreachable, Evidence::Unanswered { .. }) => {
            let (row, server) = (unanswered(incident), "The submission server of sender");
            if still.is_empty() {
                format!("{server} {who} took the final dot and never answered{row}.")
            } else {
                format!("{server} {who} still takes the final dot and never answers{for_long}{row}.")
            }
        }
        (Kind::SenderUnreachable, _) => {
            format!("Mail{still} cannot be handed to the submission server of sender {who}{for_long}: {why}")
        }
        (Kind::MailboxUnreachable, _) => {
            format!("We are{still} blind{for_long}: mailbox {who} cannot be read ({why}).")
        }
        (Kind::ChannelDown, Evidence::Undeliverable { refused: true, .. }) => {
            format!("Alert channel {}{still} refuses what we send{for_long}: {why}", channel(incident))
        }
        (Kind::ChannelDown, _) => {
            format!("Alerts{still} do not get out by {}{for_long}: {why}", channel(incident))
        }
    }
}

/// The longest row that is known.
fn unanswered(incident: &Incident) -> String {
    let row = |evidence: &Evidence| match evidence {
        Evidence::Unanswered { in_a_row, .. } => *in_a_row,
        _ => 0,
    };
    in_row(row(&incident.details.first).max(row(&incident.details.latest)))
}

/// What the last good thing is called.
fn last_good(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Missing | Kind::SendFailure | Kind::MailboxUnreachable => Some("Last good delivery"),
        Kind::SenderUnreachable => Some("Last accepted"),
        Kind::ChannelDown => None,
    }
}

fn facts(incident: &Incident, desk: &Desk) -> Vec<Fact> {
    let details = &incident.details;
    let mut facts = vec![since(incident, desk)];
    facts.extend(failures(incident));
    facts.extend(last_good(incident.kind).map(|label| {
        let when = |at| format!("{} ({} ago)", desk.moment(at), duration(between(at, desk.now)));
        fact(label, details.last_good_at.map_or("none known".to_owned(), when))
    }));
    if details.first != details.latest {
        facts.push(first_failure(incident, desk));
    }
    facts.extend(proof::facts(&details.latest, desk));
    facts
}

pub(super) fn first_failure(incident: &Incident, desk: &Desk) -> Fact {
    let first = &incident.details.first;
    let reason = proof::reason(first, desk);
    let when = format!("{} – ", desk.moment(first.at()));
    // Why a probe is missing says when it was looked for.
    let when = if matches!(first, Evidence::NotArrived { .. }) { "" } else { &when };
    fact("First failure", format!("{when}{reason}"))
}

fn since(incident: &Incident, desk: &Desk) -> Fact {
    let start = desk.moment(incident.details.since);
    let lasted = duration(incident.lasted(desk.now));
    fact(
        "Since",
        match incident.resolved_at {
            None => format!("{start} (for {lasted})"),
            Some(end) => format!("{start} until {} ({lasted})", desk.clock(end)),
        },
    )
}

/// How often it failed, where it is something that is counted.
pub(super) fn failures(incident: &Incident) -> Option<Fact> {
    let details = &incident.details;
    let number = usize::try_from(details.failures).unwrap_or(usize::MAX);
    let value = match incident.kind {
        Kind::Missing => {
            let probes = count(number, "probe", "probes");
            match details.failures.saturating_sub(details.outstanding) {
                0 => probes,
                arrived if arrived == details.failures => format!("{probes}, all of which arrived after all"),
                arrived => format!("{probes}, {arrived} of them arrived after all"),
            }
        }
        Kind::SendFailure => count(number, "probe", "probes"),
        Kind::SenderUnreachable => {
            let of = count(details.concerned.len(), "recipient", "recipients");
            format!("{}, of {of}", count(number, "submission", "submissions"))
        }
        Kind::MailboxUnreachable | Kind::ChannelDown => return None,
    };
    Some(fact("Failed so far", value))
}

/// Whom a shared cause concerns.
fn items(incident: &Incident) -> Vec<String> {
    match incident.kind {
        Kind::SenderUnreachable | Kind::MailboxUnreachable => {
            incident.details.concerned.iter().map(recipient).collect()
        }
        Kind::Missing | Kind::SendFailure | Kind::ChannelDown => Vec::new(),
    }
}

fn names(incident: &Incident) -> Vec<String> {
    let shown = items(incident).len();
    incident.details.concerned.iter().take(shown).map(|concerned| concerned.name.clone()).collect()
}

/// An alert channel; of alert mail the address that gets none, as others may get theirs.
fn channel(incident: &Incident) -> String {
    match &incident.details.latest {
        Evidence::Undeliverable { channel, .. } if channel.contains('@') => {
            format!("{} to {}", name(incident), super::words::foreign(channel))
        }
        _ => name(incident),
    }
}

/// A sentence, and another one if there is one.
fn followed(mut first: String, second: Option<&str>) -> String {
    if let Some(second) = second {
        first.push_str(if first.ends_with(['.', '!', '?']) { " " } else { ". " });
        first.push_str(second);
    }
    first
}

/// What the kind of an incident does not mean.
pub(super) fn disclaimers(incident: &Incident) -> Vec<String> {
    let refused = matches!(incident.details.latest, Evidence::Undeliverable { refused: true, .. });
    let remark = match incident.kind {
        Kind::SenderUnreachable if matches!(incident.details.latest, Evidence::Unanswered { .. }) => {
            "They are looked for like any other, and are not sent again."
        }
        Kind::SenderUnreachable => "Nothing can be sent, so nothing is known about delivery.",
        Kind::MailboxUnreachable => {
            "This is not a report of missing mail: whether mail arrives is not known. Verdicts wait, and alerts of \
             missing mail pause until the mailbox can be read."
        }
        // It did work again.
        Kind::ChannelDown if !incident.is_open() => return Vec::new(),
        Kind::ChannelDown if refused => {
            "It is left alone until its setting changes or a test alert gets through. Probing goes on."
        }
        Kind::ChannelDown => {
            "It is tried again and again, and its alerts wait. Probing goes on, and so do alerts by other channels."
        }
        Kind::SendFailure => "No mail is lost: the server did not take it. Delivery was not tested.",
        Kind::Missing => return Vec::new(),
    };
    vec![remark.to_owned()]
}
