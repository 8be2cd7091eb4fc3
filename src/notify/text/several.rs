//! Several incidents of one kind in one message.

use std::time::Duration;

use super::outcome;
use super::proof::{self, fact};
use super::single::disclaimers;
use super::words::{count, duration, few, roughly};
use super::{Desk, PREFIX, name, tone, whom};
use crate::domain::alert::{Evidence, Incident, Kind, Telling};
use crate::notify::letter::{Fact, Letter, Tone};

/// `incidents` are not empty and of one kind.
pub(super) fn compose(telling: Telling, incidents: &[&Incident], desk: &Desk) -> Letter {
    let Some(kind) = incidents.first().map(|incident| incident.kind) else {
        return super::aside::nothing(desk);
    };
    let mut sorted = incidents.to_vec();
    sorted.sort_by_cached_key(|incident| name(incident));
    let group = Group { telling, kind, incidents: &sorted, desk };
    let (tone, subject, lead) = if telling == Telling::Resolved {
        (group.outcome_tone(), group.outcome_subject(), group.outcome_lead())
    } else {
        (group.tone(), group.subject(), group.lead())
    };
    let newest = |time: fn(&Incident) -> Option<jiff::Timestamp>| {
        incidents.iter().filter_map(|incident| time(incident)).max().unwrap_or(desk.now)
    };
    Letter {
        tone,
        subject: format!("{PREFIX}{subject}"),
        lead,
        facts: group.facts(),
        items: sorted.iter().map(|incident| group.item(incident)).collect(),
        names: sorted.iter().map(|incident| name(incident)).collect(),
        remarks: group.remarks(),
        incidents: sorted.iter().map(|incident| incident.id).collect(),
        link: Some(desk.link(None)),
        at: match telling {
            Telling::Opened => newest(|incident| Some(incident.opened_at)),
            Telling::Reminder => desk.now,
            Telling::Resolved => newest(|incident| incident.resolved_at),
        },
    }
}

struct Group<'a> {
    telling: Telling,
    kind: Kind,
    incidents: &'a [&'a Incident],
    desk: &'a Desk,
}

impl Group<'_> {
    /// `200 recipients`.
    fn number(&self) -> String {
        let (one, many) = match self.kind {
            Kind::Missing | Kind::SendFailure => ("recipient", "recipients"),
            Kind::SenderUnreachable => ("sender", "senders"),
            Kind::MailboxUnreachable => ("mailbox", "mailboxes"),
            Kind::ChannelDown => ("channel", "channels"),
        };
        count(self.incidents.len(), one, many)
    }

    /// `200 recipients (alice, bob, carol, …)`.
    fn who(&self) -> String {
        let names: Vec<String> = self.incidents.iter().take(4).map(|incident| name(incident)).collect();
        format!("{} ({})", self.number(), few(&names))
    }

    fn longest(&self) -> Duration {
        self.incidents.iter().map(|incident| incident.lasted(self.desk.now)).max().unwrap_or_default()
    }

    fn over(&self) -> usize {
        self.incidents.iter().filter(|incident| !incident.is_open()).count()
    }

    fn tone(&self) -> Tone {
        if self.over() < self.incidents.len() { tone(self.kind) } else { Tone::Neutral }
    }

    fn subject(&self) -> String {
        let who = self.who();
        let over = if self.over() < self.incidents.len() { "" } else { " (over by now)" };
        if self.telling == Telling::Opened {
            let what = match self.kind {
                Kind::Missing => "Missing",
                Kind::SendFailure => "Send failure",
                Kind::SenderUnreachable => "Submission servers unreachable",
                Kind::MailboxUnreachable => "Mailboxes unreadable",
                Kind::ChannelDown => "Alert channels down",
            };
            return format!("{what}: {who}{over}");
        }
        let what = match self.kind {
            Kind::Missing => "Still missing",
            Kind::SendFailure => "Still failing to send",
            Kind::SenderUnreachable => "Submission servers still unreachable",
            Kind::MailboxUnreachable => "Mailboxes still unreadable",
            Kind::ChannelDown => "Alert channels still down",
        };
        format!("{what}: {who}, up to {}{over}", roughly(self.longest()))
    }

    fn lead(&self) -> String {
        let number = self.number();
        let (still, for_long) = if self.telling == Telling::Reminder {
            (" still", format!(", for up to {} now", duration(self.longest())))
        } else {
            ("", String::new())
        };
        let came_back = self.came_back();
        match self.kind {
            Kind::Missing if came_back == self.incidents.len() => {
                format!("Mail to {number}{still} comes back{for_long}.")
            }
            Kind::Missing if came_back > 0 => {
                format!(
                    "Mail to {number}{still} does not arrive{for_long}; it came back from {came_back} of them."
                )
            }
            Kind::Missing if still.is_empty() => {
                format!("Mail to {number} was accepted by the submission server and has not arrived.")
            }
            Kind::Missing => format!("Mail to {number} is accepted and still does not arrive{for_long}."),
            Kind::SendFailure => format!("Mail to {number}{still} cannot be sent{for_long}."),
            Kind::SenderUnreachable => {
                format!("Mail{still} cannot be handed to the submission servers of {number}{for_long}.")
            }
            Kind::MailboxUnreachable => format!("We are{still} blind{for_long}: {number} cannot be read."),
            Kind::ChannelDown => format!("Alerts{still} do not get out by {number}{for_long}."),
        }
    }

    fn item(&self, incident: &Incident) -> String {
        let who = whom(incident);
        if self.telling == Telling::Resolved {
            let short = outcome::in_short(incident, self.desk);
            let closed = if outcome::is_good(incident) { "" } else { "closed, " };
            return format!("{who}: {closed}{short}");
        }
        let users = match self.kind {
            Kind::SenderUnreachable | Kind::MailboxUnreachable => {
                format!(" ({})", count(incident.details.concerned.len(), "recipient", "recipients"))
            }
            _ => String::new(),
        };
        let lasted = if self.telling == Telling::Reminder {
            format!(", for {}", duration(incident.lasted(self.desk.now)))
        } else {
            String::new()
        };
        let over = if incident.is_open() { "" } else { " (over by now)" };
        format!("{who}{users}{lasted}: {}{over}", proof::reason(&incident.details.first, self.desk))
    }

    fn facts(&self) -> Vec<Fact> {
        let since = self.incidents.iter().map(|incident| incident.details.since).min();
        let mut facts: Vec<Fact> = since.map(|at| fact("Since", self.desk.moment(at))).into_iter().collect();
        if let (Telling::Opened | Telling::Reminder, Some(first)) = (self.telling, self.incidents.first()) {
            facts.push(fact("Evidence of", name(first)));
            facts.extend(proof::facts(&first.details.first, self.desk));
        } else {
            facts.push(fact("Longest", duration(self.longest())));
        }
        facts
    }

    fn remarks(&self) -> Vec<String> {
        if self.telling == Telling::Resolved {
            let good = self.good();
            let closed = self.incidents.len() - good;
            return (closed > 0)
                .then(|| "Closed is not recovered: nothing is known about those now.".to_owned())
                .into_iter()
                .collect();
        }
        let mut remarks = Vec::new();
        match self.over() {
            0 => {}
            over if over == self.incidents.len() => {
                remarks.push("All of it is over by now. This message had to wait.".to_owned());
            }
            over => remarks.push(format!("Over by now: {over} of these. This message had to wait.")),
        }
        match self.kind {
            Kind::Missing if self.came_back() == self.incidents.len() => {}
            Kind::Missing => remarks.push(
                "The mailboxes could be read: each probe was looked for in every watched folder after its deadline."
                    .to_owned(),
            ),
            Kind::ChannelDown => remarks.push(
                "A channel that refuses what we send is left alone until its setting changes or a test alert gets \
                 through; the others are tried again and again. Probing goes on."
                    .to_owned(),
            ),
            _ => remarks.extend(self.incidents.first().map(|first| disclaimers(first)).unwrap_or_default()),
        }
        remarks
    }

    fn came_back(&self) -> usize {
        self.incidents.iter().filter(|i| matches!(i.details.latest, Evidence::Bounced { .. })).count()
    }

    fn good(&self) -> usize {
        self.incidents.iter().filter(|incident| outcome::is_good(incident)).count()
    }

    fn outcome_tone(&self) -> Tone {
        if self.good() > 0 { Tone::Good } else { Tone::Neutral }
    }

    fn outcome_subject(&self) -> String {
        let who = self.who();
        match self.good() {
            0 => format!("Closed: {who}"),
            good if good == self.incidents.len() => format!("Recovered: {who}, {}", self.again()),
            _ => format!("Recovered or closed: {who}"),
        }
    }

    fn outcome_lead(&self) -> String {
        let good = self.good();
        let closed = self.incidents.len() - good;
        let number = self.number();
        match (good, closed) {
            (0, _) => format!("Closed: {number} paused or removed."),
            (_, 0) => format!("{number} recovered: {}.", self.again()),
            _ => format!("{good} of {number} recovered, {closed} closed: paused or removed."),
        }
    }

    fn again(&self) -> &'static str {
        match self.kind {
            Kind::SenderUnreachable => "mail is taken again",
            Kind::MailboxUnreachable => "they can be read again",
            Kind::ChannelDown => "they take alerts again",
            kind => outcome::again(kind),
        }
    }
}
