//! What is told, in words: from incidents to a [`Letter`].
//!
//! A reader woken at night gets what is wrong in the first line, then since when and how often, the last good delivery, the
//! evidence itself, and what the message does *not* say.

mod aside;
mod outcome;
mod proof;
mod several;
mod single;
pub(in crate::notify) mod words;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::Url;

use super::letter::{Letter, Tone};
use crate::domain::alert::{Incident, IncidentId, Kind, Scope, Telling};

pub use aside::{emergency, emergency_over, test};

/// How every subject begins.
pub const PREFIX: &str = "[MailDT] ";

/// Where and when a message is written.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Database time.
    pub now: Timestamp,
    /// The zone of the times in texts.
    pub tz: TimeZone,
    /// The admin UI, as people reach it.
    pub public_url: Url,
}

impl Desk {
    /// Day, time and zone.
    fn moment(&self, at: Timestamp) -> String {
        words::moment(at, &self.tz)
    }

    /// Time and zone; with the day where it is not today's.
    fn clock(&self, at: Timestamp) -> String {
        let (at, now) = (at.to_zoned(self.tz.clone()), self.now.to_zoned(self.tz.clone()));
        let form = if at.date() == now.date() { "%H:%M:%S %Z" } else { "%Y-%m-%d %H:%M:%S %Z" };
        at.strftime(form).to_string()
    }

    /// The page of all incidents, at one of them.
    fn link(&self, incident: Option<IncidentId>) -> String {
        let mut url = self.public_url.clone();
        url.set_path("/incidents");
        url.set_query(None);
        url.set_fragment(incident.map(|id| id.to_string()).as_deref());
        url.into()
    }
}

/// The message about incidents of one kind.
#[must_use]
pub fn compose(telling: Telling, incidents: &[&Incident], place: &Desk) -> Letter {
    match *incidents {
        [] => aside::nothing(place),
        [incident] => single::compose(telling, incident, place),
        _ => several::compose(telling, incidents, place),
    }
}

/// What an incident is about, as short as it can be said.
fn name(incident: &Incident) -> String {
    match (&incident.scope, incident.details.concerned.first()) {
        (Scope::Recipient(_), Some(concerned)) => words::name(&concerned.name),
        (Scope::Recipient(id), None) => format!("recipient {id}"),
        (Scope::Sender(name) | Scope::Mailbox(name) | Scope::Channel(name), _) => words::name(name),
    }
}

/// The same with its address, where it has one.
fn whom(incident: &Incident) -> String {
    match (&incident.scope, incident.details.concerned.first()) {
        (Scope::Recipient(_), Some(concerned)) => words::recipient(concerned),
        _ => name(incident),
    }
}

fn tone(kind: Kind) -> Tone {
    match kind {
        Kind::Missing | Kind::SendFailure | Kind::SenderUnreachable => Tone::Bad,
        Kind::MailboxUnreachable | Kind::ChannelDown => Tone::Blind,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_another_day_has_its_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let desk = Desk {
            now: at("2026-11-22T00:30:00Z"),
            tz: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
            public_url: "http://localhost:5000".parse().unwrap(),
        };
        assert_eq!(desk.clock(at("2026-11-21T23:00:00.9Z")), "00:00:00 CET");
        assert_eq!(desk.clock(at("2026-11-21T22:59:59.9Z")), "2026-11-21 23:59:59 CET");
        assert_eq!(desk.moment(at("2026-07-01T10:00:00Z")), "2026-07-01 12:00:00 CEST");
        assert_eq!(desk.link(None), "http://localhost:5000/incidents");
        let id: IncidentId = "6h02ck6j00001".parse().unwrap();
        assert_eq!(desk.link(Some(id)), "http://localhost:5000/incidents#6h02ck6j00001");
    }
}
