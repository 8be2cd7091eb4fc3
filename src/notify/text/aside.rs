//! What is told besides incidents.

use jiff::Timestamp;

use super::proof::fact;
use super::words::{count, duration, foreign};
use super::{Desk, PREFIX, whom};
use crate::domain::alert::{Incident, Kind};
use crate::domain::probe::between;
use crate::notify::letter::{Letter, Tone};

/// A test of a channel, which `channel` names.
#[must_use]
pub fn test(place: &Desk, channel: &str) -> Letter {
    let channel = foreign(channel);
    Letter {
        facts: vec![fact("Sent", place.moment(place.now))],
        remarks: vec!["Nothing is wrong, and there is nothing to do.".to_owned()],
        ..plain(
            Tone::Neutral,
            &format!("Test alert: {channel}"),
            format!("This is a test of the alert channel {channel}. That you read it shows that it works."),
            place,
        )
    }
}

/// The database is gone: told from memory. `results_waiting` are not written yet, `open` are the incidents known; `None`: the
/// database was not there when we started, and nobody knows.
#[must_use]
pub fn emergency(
    since: Timestamp,
    results_waiting: usize,
    open: Option<&[Incident]>,
    place: &Desk,
) -> Letter {
    let lasted = duration(between(since, place.now));
    let open_words = |incident: &Incident| {
        let what = match incident.kind {
            Kind::Missing => "Missing: ",
            Kind::SendFailure => "Send failure: ",
            Kind::SenderUnreachable => "Submission server unreachable: sender ",
            Kind::MailboxUnreachable => "Mailbox unreadable: ",
            Kind::ChannelDown => "Alert channel down: ",
        };
        format!("{what}{}, for {}", whom(incident), duration(incident.lasted(place.now)))
    };
    Letter {
        facts: vec![
            fact("Since", format!("{} (for {lasted})", place.moment(since))),
            fact("Results waiting", format!("{results_waiting}, kept in memory")),
            fact("Open incidents", open.map_or("not known".to_owned(), |open| open.len().to_string())),
        ],
        items: open.unwrap_or_default().iter().map(open_words).collect(),
        names: Vec::new(),
        remarks: vec![
            "This comes from memory; nothing newer can be told until the database is back.".to_owned(),
            "It says nothing about mail: new trouble goes unnoticed meanwhile.".to_owned(),
        ],
        ..plain(
            Tone::Blind,
            "Database unreachable: no probes, alerts wait",
            format!(
                "MailDT's database has been unreachable since {}: no probes are sent, alerts wait; {}.",
                place.moment(since),
                match open.map(<[Incident]>::len) {
                    None => "it was so when MailDT started, and what was open is not known".to_owned(),
                    Some(0) => "no incident was open".to_owned(),
                    Some(open) =>
                        format!("{} known from memory", count(open, "open incident is", "open incidents are")),
                }
            ),
            place,
        )
    }
}

/// The database is back.
#[must_use]
pub fn emergency_over(since: Timestamp, place: &Desk) -> Letter {
    let lasted = duration(between(since, place.now));
    let span = format!("{lasted}, from {} until {}", place.moment(since), place.moment(place.now));
    Letter {
        facts: vec![fact("Lasted", span)],
        remarks: vec!["Alerts that waited are told now. No probe was sent meanwhile.".to_owned()],
        ..plain(
            Tone::Good,
            "Database reachable again",
            format!("MailDT's database can be reached again, after {lasted}; probing goes on."),
            place,
        )
    }
}

/// For a message whose incidents are gone.
pub(super) fn nothing(place: &Desk) -> Letter {
    plain(
        Tone::Neutral,
        "Nothing to tell",
        "What this message was about is no longer on record.".to_owned(),
        place,
    )
}

fn plain(tone: Tone, subject: &str, lead: String, place: &Desk) -> Letter {
    Letter {
        tone,
        subject: format!("{PREFIX}{subject}"),
        lead,
        facts: Vec::new(),
        items: Vec::new(),
        names: Vec::new(),
        remarks: Vec::new(),
        incidents: Vec::new(),
        link: Some(place.link(None)),
        at: place.now,
    }
}
