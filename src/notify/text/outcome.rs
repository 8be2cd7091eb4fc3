//! How an incident ended.

use super::proof::fact;
use super::single::{failures, first_failure};
use super::words::{count, duration};
use super::{Desk, PREFIX, name, whom};
use crate::domain::alert::{Incident, Kind, Resolution};
use crate::notify::letter::{Letter, Tone};

const RECOVERED: Resolution = Resolution::Recovered { latency: None };

pub(super) fn of(incident: &Incident) -> &Resolution {
    incident.details.resolution.as_ref().unwrap_or(&RECOVERED)
}

/// Whether it works again, as far as was seen.
pub(super) fn is_good(incident: &Incident) -> bool {
    matches!(of(incident), Resolution::Recovered { .. } | Resolution::Arrived { .. })
}

pub(super) fn compose(incident: &Incident, desk: &Desk) -> Letter {
    let details = &incident.details;
    let end = incident.resolved_at.unwrap_or(desk.now);
    let lasted = duration(incident.lasted(desk.now));
    let from = desk.moment(details.since);
    let mut facts = vec![fact("Lasted", format!("{lasted}, from {from} until {}", desk.moment(end)))];
    facts.extend(failures(incident).map(|failures| fact("Failed", failures.value)));
    if let Resolution::Recovered { latency: Some(latency) } = of(incident) {
        facts.push(fact("Newest probe took", duration(*latency)));
    }
    facts.push(first_failure(incident, desk));
    Letter {
        tone: if is_good(incident) { Tone::Good } else { Tone::Neutral },
        subject: format!("{PREFIX}{}", heading(incident)),
        lead: lead(incident),
        facts,
        items: Vec::new(),
        names: Vec::new(),
        remarks: remarks(incident),
        incidents: vec![incident.id],
        link: Some(desk.link(Some(incident.id))),
        at: end,
    }
}

fn heading(incident: &Incident) -> String {
    let who = name(incident);
    let what = match incident.kind {
        Kind::Missing | Kind::SendFailure => who,
        Kind::SenderUnreachable => format!("sender {who}"),
        Kind::MailboxUnreachable => format!("mailbox {who}"),
        Kind::ChannelDown => format!("alert channel {who}"),
    };
    match (of(incident), incident.kind) {
        (Resolution::Arrived { slowest }, _) => {
            format!("Recovered: {what} (arrived after {})", duration(*slowest))
        }
        (Resolution::Recovered { .. }, kind) => format!("Recovered: {what} ({})", again(kind)),
        (Resolution::Paused, _) => format!("Closed (paused): {what}"),
        (Resolution::Removed, _) => format!("Closed (removed): {what}"),
    }
}

/// What works again.
pub(super) fn again(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "mail arrives again",
        Kind::SendFailure => "mail is accepted again",
        Kind::SenderUnreachable => "its server takes mail again",
        Kind::MailboxUnreachable => "can be read again",
        Kind::ChannelDown => "takes alerts again",
    }
}

fn lead(incident: &Incident) -> String {
    let who = whom(incident);
    let failed = usize::try_from(incident.details.failures).unwrap_or(usize::MAX);
    match (of(incident), incident.kind) {
        (Resolution::Arrived { slowest }, _) if failed <= 1 => {
            format!("Mail to {who} arrived after all, after {}.", duration(*slowest))
        }
        (Resolution::Arrived { slowest }, _) => {
            let probes = count(failed, "missing probe", "missing probes");
            format!("All {probes} to {who} arrived after all, the slowest after {}.", duration(*slowest))
        }
        (Resolution::Recovered { .. }, Kind::Missing) => format!("Mail to {who} arrives again."),
        (Resolution::Recovered { .. }, Kind::SendFailure) => {
            format!("Mail to {who} is accepted again, and arrives.")
        }
        (Resolution::Recovered { .. }, Kind::SenderUnreachable) => {
            format!("The submission server of sender {who} takes mail again.")
        }
        (Resolution::Recovered { .. }, Kind::MailboxUnreachable) => {
            format!("Mailbox {who} can be read again.")
        }
        (Resolution::Recovered { .. }, Kind::ChannelDown) => format!("Alerts get out by {who} again."),
        (Resolution::Paused, Kind::SenderUnreachable) => {
            format!(
                "Closed: every recipient of sender {who} was paused; nothing is known about its server now."
            )
        }
        (Resolution::Paused, Kind::MailboxUnreachable) => {
            format!(
                "Closed: every recipient of mailbox {who} was paused; whether it can be read is not known now."
            )
        }
        (Resolution::Paused, _) => {
            format!("Closed: {who} was paused (or deleted); nothing is known about its mail now.")
        }
        (Resolution::Removed, Kind::SenderUnreachable) => {
            format!("Closed: sender {who} was removed from the configuration; nothing is known about it now.")
        }
        (Resolution::Removed, Kind::MailboxUnreachable) => {
            format!(
                "Closed: mailbox {who} was removed from the configuration; nothing is known about it now."
            )
        }
        (Resolution::Removed, Kind::ChannelDown) => {
            format!(
                "Closed: alert channel {who} was removed from the configuration; nothing is sent there any more."
            )
        }
        (Resolution::Removed, _) => {
            format!("Closed: {who} was removed; nothing is known about its mail now.")
        }
    }
}

fn remarks(incident: &Incident) -> Vec<String> {
    let details = &incident.details;
    let mut remarks = Vec::new();
    match (of(incident), incident.kind) {
        (Resolution::Arrived { .. }, _) => {
            remarks.push("Nothing was lost, it was late. Nothing newer is overdue.".to_owned());
        }
        (Resolution::Recovered { .. }, Kind::Missing) if details.outstanding > 0 => {
            let number = usize::try_from(details.outstanding).unwrap_or(usize::MAX);
            let (probes, have) = (count(number, "probe", "probes"), if number == 1 { "has" } else { "have" });
            remarks.push(format!("{probes} from the time of the incident {have} not arrived so far."));
        }
        (Resolution::Recovered { .. }, Kind::SenderUnreachable) => {
            remarks.push("Whether mail arrives, the probes that go out now will tell.".to_owned());
        }
        (Resolution::Recovered { .. }, Kind::MailboxUnreachable) => remarks.push(
            "What came due meanwhile is judged now. Mail that is missing is told in an alert of its own."
                .to_owned(),
        ),
        (Resolution::Paused | Resolution::Removed, _) => {
            remarks.push("This is not a recovery.".to_owned());
        }
        _ => {}
    }
    remarks
}

/// That an incident is over by the time when its beginning is told.
pub(super) fn already(incident: &Incident, desk: &Desk) -> Option<String> {
    let end = incident.resolved_at?;
    let how = if is_good(incident) { "It is over" } else { "It was closed" };
    Some(format!(
        "{how} by now: {}, at {}. This message had to wait.",
        in_short(incident, desk),
        desk.clock(end)
    ))
}

/// The end in a few words.
pub(super) fn in_short(incident: &Incident, desk: &Desk) -> String {
    match of(incident) {
        Resolution::Recovered { .. } => format!("recovered after {}", duration(incident.lasted(desk.now))),
        Resolution::Arrived { slowest } => format!("arrived after {}", duration(*slowest)),
        Resolution::Paused => "paused".to_owned(),
        Resolution::Removed => "removed".to_owned(),
    }
}
