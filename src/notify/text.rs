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
