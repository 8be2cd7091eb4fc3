//! Incidents to tell of: a night in November.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::domain::alert::{Concerned, Details, Evidence, Incident, IncidentId, Kind, Resolution, Scope};
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::later;
use crate::domain::submission::{Phase, Reason, Reply};
use crate::notify::text::Desk;

/// Minutes and seconds after three o'clock.
pub fn at(minutes: u64, seconds: u64) -> Timestamp {
    let three: Timestamp = "2026-11-22T03:00:00Z".parse().unwrap();
    later(three, Duration::from_secs(minutes * 60 + seconds))
}

pub fn desk(now: Timestamp) -> Desk {
    Desk { now, tz: TimeZone::UTC, public_url: "https://maildt.example.org/".parse().unwrap() }
}

pub fn probe(recipient: i32) -> ProbeId {
    let ms = u64::try_from(at(0, 3).as_millisecond()).unwrap();
    ProbeId::new(ms, RecipientId(recipient), 7)
}

pub fn concerned(id: i32) -> Concerned {
    let (name, address) = match id {
        1 => ("alice".to_owned(), "alice@example.org".to_owned()),
        2 => ("bob@example.net".to_owned(), "bob@example.net".to_owned()),
        3 => ("carol".to_owned(), "carol.smith@sales.example.com".to_owned()),
        n => (format!("user{n:04}"), format!("user{n}@example.org")),
    };
    Concerned { id: RecipientId(id), name, address }
}

pub fn reply(code: u16, enhanced: &str, text: &str) -> Reply {
    let enhanced = (!enhanced.is_empty()).then(|| enhanced.to_owned());
    Reply { code, enhanced, text: text.to_owned() }
}

pub fn not_arrived() -> Evidence {
    Evidence::NotArrived {
        probe: probe(1),
        accepted_at: at(0, 4),
        deadline_at: at(5, 4),
        folders: vec!["INBOX".to_owned(), "Junk".to_owned()],
        looked_at: at(5, 15),
        queue_id: Some("4c9XyZ1abcz2".to_owned()),
        reply: Some(reply(250, "2.0.0", "Ok: queued as 4c9XyZ1abcz2")),
        misrouted: 0,
    }
}

pub fn astray() -> Evidence {
    let mut evidence = not_arrived();
    if let Evidence::NotArrived { misrouted, queue_id, reply, .. } = &mut evidence {
        (*misrouted, *queue_id, *reply) = (2, None, None);
    }
    evidence
}

pub fn bounced() -> Evidence {
    Evidence::Bounced {
        probe: probe(1),
        accepted_at: Some(at(0, 4)),
        at: at(0, 9),
        note: "5.2.2 smtp; 552 5.2.2 <alice@example.org>: Mailbox full".to_owned(),
        queue_id: Some("4c9XyZ1abcz2".to_owned()),
    }
}

pub fn refused() -> Evidence {
    Evidence::NotSent {
        probe: probe(1),
        at: at(0, 6),
        phase: Phase::Rcpt,
        reason: Reason::Smtp5xx,
        reply: Some(reply(550, "5.1.1", "<alice@example.org>: Recipient address rejected: User unknown")),
        detail: String::new(),
        attempts: 1,
    }
}

pub fn deferred() -> Evidence {
    Evidence::NotSent {
        probe: probe(1),
        at: at(15, 6),
        phase: Phase::Rcpt,
        reason: Reason::Smtp4xx,
        reply: Some(reply(450, "4.2.0", "<alice@example.org>: Greylisted, see https://postgrey.example/")),
        detail: String::new(),
        attempts: 5,
    }
}

pub fn login_refused() -> Evidence {
    Evidence::NotSent {
        probe: probe(1),
        at: at(0, 36),
        phase: Phase::Auth,
        reason: Reason::Auth,
        reply: Some(reply(535, "5.7.8", "Error: authentication failed")),
        detail: String::new(),
        attempts: 3,
    }
}

pub fn no_connection() -> Evidence {
    Evidence::NotSent {
        probe: probe(1),
        at: at(0, 36),
        phase: Phase::Connect,
        reason: Reason::Connect,
        reply: None,
        detail: "mail.example.org port 465: Connection refused (os error 111)".to_owned(),
        attempts: 3,
    }
}

pub fn unanswered() -> Evidence {
    let detail = "after the final dot: no reply within 120s".to_owned();
    Evidence::Unanswered { probe: probe(1), at: at(6, 3), detail, in_a_row: 3 }
}

pub fn unreadable() -> Evidence {
    Evidence::Unreadable {
        folder: "INBOX".to_owned(),
        since: at(0, 0),
        detail: "login refused: [AUTHENTICATIONFAILED] Invalid credentials".to_owned(),
    }
}

pub fn undeliverable(channel: &str, refused: bool) -> Evidence {
    let detail = if refused { "404 Unknown Webhook (10015)" } else { "no answer within 30s" };
    Evidence::Undeliverable {
        channel: channel.to_owned(),
        since: at(0, 0),
        detail: detail.to_owned(),
        refused,
    }
}

/// An incident that opened a moment after its evidence.
pub fn incident(number: i32, kind: Kind, evidence: Evidence) -> Incident {
    let scope = match kind {
        Kind::Missing | Kind::SendFailure => Scope::Recipient(RecipientId(number)),
        Kind::SenderUnreachable => Scope::Sender(Arc::from("default")),
        Kind::MailboxUnreachable => Scope::Mailbox(Arc::from("default")),
        Kind::ChannelDown => Scope::Channel(Arc::from("discord")),
    };
    let opened_at = later(evidence.at(), Duration::from_secs(1));
    let concerned = match kind {
        Kind::Missing | Kind::SendFailure => vec![concerned(number)],
        Kind::SenderUnreachable | Kind::MailboxUnreachable => (1..=3).map(concerned).collect(),
        Kind::ChannelDown => Vec::new(),
    };
    Incident {
        id: IncidentId::new(opened_at, u64::try_from(number).unwrap()),
        kind,
        scope,
        opened_at,
        resolved_at: None,
        details: Details {
            since: at(0, 3),
            failing_until: at(0, 3),
            failures: 1,
            outstanding: u32::from(kind == Kind::Missing),
            slowest: Duration::ZERO,
            first: evidence.clone(),
            latest: evidence,
            last_good_at: Some(at(0, 0).checked_sub(Duration::from_secs(3598)).unwrap()),
            concerned,
            reminders: 0,
            resolution: None,
        },
        version: 1,
    }
}

/// The same, over.
pub fn ended(mut incident: Incident, at: Timestamp, resolution: Resolution) -> Incident {
    incident.resolved_at = Some(at);
    incident.details.resolution = Some(resolution);
    incident
}

pub fn recovered(latency_ms: Option<u64>) -> Resolution {
    Resolution::Recovered { latency: latency_ms.map(Duration::from_millis) }
}
