//! A database as it looks after some days at a firm of moderate luck: recipients in every state, with their history and
//! incidents. For pictures, and for looks at pages that have something to show.

use jiff::{SignedDuration, Timestamp};
use maildt::domain::alert::{Concerned, Details, Evidence, IncidentId, Resolution};
use maildt::domain::id::{ProbeId, RecipientId};
use maildt::domain::submission::{Phase, Reason, Reply};
use serde_json::{Value, json};
use std::time::Duration;

use super::postgres::Database;

/// How a recipient fares: how all but its last probes ended, and how the last ones did.
struct Cast {
    name: &'static str,
    /// Between probes, in seconds.
    interval_s: i32,
    /// Of a usual delivery, in milliseconds; 0: there was no probe yet.
    usual_ms: f64,
    last: Ending,
    /// How many of the last probes ended so.
    times: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Ending {
    Delivered,
    Junk,
    Late,
    Missing,
    SendFailed,
    Bounced,
    Unjudged,
}

const fn cast(name: &'static str, interval_s: i32, usual_ms: f64, last: Ending, times: usize) -> Cast {
    Cast { name, interval_s, usual_ms, last, times }
}

const ALL: [Cast; 13] = [
    cast("sales", 600, 900.0, Ending::Missing, 3),
    cast("press", 900, 1400.0, Ending::Bounced, 2),
    cast("partner relay", 300, 2400.0, Ending::SendFailed, 7),
    cast("support", 300, 3100.0, Ending::Late, 2),
    cast("newsletter", 900, 1100.0, Ending::Junk, 4),
    cast("archive", 1800, 700.0, Ending::Unjudged, 2),
    cast("new colleague", 600, 0.0, Ending::Delivered, 0),
    cast("accounts", 600, 640.0, Ending::Delivered, 0),
    cast("hello", 300, 410.0, Ending::Delivered, 0),
    cast("invoices", 600, 520.0, Ending::Delivered, 0),
    cast("orders", 300, 1250.0, Ending::Delivered, 0),
    cast("warehouse", 900, 4200.0, Ending::Delivered, 0),
    cast("old office", 600, 800.0, Ending::Delivered, 0),
];

/// A number between 0 and 1 that is always the same for the same place.
fn chance(place: usize) -> f64 {
    let mixed = (place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    f64::from(u32::try_from((mixed ^ (mixed >> 32)) & 0xffff_ffff).unwrap()) / f64::from(u32::MAX)
}

/// Fills a database of which the program has made the tables.
pub fn fill(database: &Database) {
    let now = now(database);
    let (mut ids, mut all) = (Vec::new(), Vec::new());
    for (place, cast) in ALL.iter().enumerate() {
        let id = recipient(database, cast, place);
        all.extend(probes(id, cast, place, now));
        ids.push(id);
    }
    save(database, &all);
    database.query("update maildt.recipients set active = false where name = 'old office'", &[]).unwrap();
    let muted = "update maildt.recipients set muted_until = clock_timestamp() + interval '5 hours' where name = 'newsletter'";
    database.query(muted, &[]).unwrap();
    incidents(database, &ids, now);
}

/// So many recipients, all well.
pub fn fill_with(database: &Database, number: i32) {
    let recipients = "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
             alert_after, discord, email, active, provisioned, next_due_at)
         select 'branch ' || to_char(n + c, 'FM0000'), 'branch' || n + c || '@example.org', 'default', 'default', 'direct', 600, 60, 1,
             true, true, true, false, clock_timestamp() + make_interval(secs => 60 + n * 37 % 540) from generate_series(1, $1) n, (select count(*) as c from maildt.recipients) x";
    database.query(recipients, &[&number]).unwrap();
    let probes = "insert into maildt.probes (id, recipient_id, key_id, kind, sender, mailbox, return_mode, threshold_ms, due_at,
             created_at, first_attempt_at, attempt_at, accepted_at, result_at, state, result, arrived_at, latency_ms, placement, folder)
         select gen_random_uuid(), r.id, (select min(id) from maildt.signing_keys), 'scheduled', 'default', 'default', 'direct',
             60000, t, t, t, t, t, t, 'delivered', 'delivered', t, 300 + (r.id * 7919 + n * 104729) % 2500, 'inbox', 'INBOX'
         from maildt.recipients r, generate_series(1, 30) n, lateral (select clock_timestamp() - make_interval(mins => n * 10) as t) x";
    database.query(probes, &[]).unwrap();
}

fn now(database: &Database) -> Timestamp {
    database.query("select clock_timestamp()", &[]).unwrap()[0].get(0)
}

fn recipient(database: &Database, cast: &Cast, place: usize) -> i32 {
    let address = format!("{}@example.org", cast.name.replace(' ', "."));
    let (sender, mailbox) = match cast.name {
        "partner relay" => ("relay", "default"),
        "archive" => ("default", "archive"),
        _ => ("default", "default"),
    };
    let due_s = 20.0 + f64::from(cast.interval_s - 40) * chance(place + 7);
    let statement = "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
             alert_after, discord, email, active, provisioned, next_due_at)
         values ($1, $2, $3, $4, 'direct', $5, 60, 1, true, true, true, false, clock_timestamp() + make_interval(secs => $6))
         returning id";
    let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
        &[&cast.name, &address, &sender, &mailbox, &cast.interval_s, &due_s];
    database.query(statement, values).unwrap()[0].get(0)
}

/// Two days of probes, or none where there was none.
fn probes(id: i32, cast: &Cast, place: usize, now: Timestamp) -> Vec<Value> {
    if cast.usual_ms == 0.0 {
        return Vec::new();
    }
    let number = 2 * 86_400 / usize::try_from(cast.interval_s).unwrap();
    let each = (0..number).map(|back| {
        let luck = chance(place * 1000 + back);
        let ending = match luck {
            _ if back < cast.times => cast.last,
            _ if back < cast.times + 4 => Ending::Delivered,
            _ if luck > 0.992 => Ending::Missing,
            _ if luck > 0.965 => Ending::Late,
            _ => Ending::Delivered,
        };
        let spread = (chance(place * 7000 + back * 3) * 2.0 - 1.0) * 0.9;
        let latency = match ending {
            Ending::Delivered | Ending::Junk => Some(cast.usual_ms * spread.exp()),
            Ending::Late => Some(61_000.0 + 90_000.0 * chance(place * 31 + back)),
            _ => None,
        };
        let before = i64::from(cast.interval_s) * i64::try_from(back).unwrap() + 100;
        probe(id, now - SignedDuration::from_secs(before), ending, latency)
    });
    each.collect()
}

/// A row of the table of probes.
fn probe(id: i32, at: Timestamp, ending: Ending, latency_ms: Option<f64>) -> Value {
    let state = match ending {
        Ending::Delivered | Ending::Junk => "delivered",
        Ending::Late => "late",
        Ending::Missing => "missing",
        Ending::SendFailed => "send_failed",
        Ending::Bounced => "bounced",
        Ending::Unjudged => "inconclusive",
    };
    let folder = match ending {
        Ending::Junk => Some(("junk", "Junk")),
        Ending::Delivered | Ending::Late => Some(("inbox", "INBOX")),
        _ => None,
    };
    let is_refused = ending == Ending::SendFailed;
    let (code, enhanced, text) =
        if is_refused { (550, "5.7.1", "Relaying denied") } else { (250, "2.0.0", "Ok: queued") };
    let judged =
        at + SignedDuration::from_secs(if latency_ms.is_some_and(|ms| ms < 60_000.0) { 5 } else { 83 });
    let ms = u64::try_from(at.as_millisecond()).unwrap();
    json!({
        "id": ProbeId::new(ms, RecipientId(id), chance(usize::try_from(ms).unwrap()).to_bits()).uuid(),
        "recipient_id": id,
        "due_at": at,
        "created_at": at,
        "first_attempt_at": at,
        "attempt_at": at,
        "accepted_at": (!is_refused).then_some(at),
        "deadline_at": (!is_refused).then(|| at + SignedDuration::from_secs(60)),
        "result_at": judged,
        "state": state,
        "arrived_at": latency_ms.map(|ms| at + SignedDuration::from_secs_f64(ms / 1000.0)),
        "latency_ms": latency_ms,
        "placement": folder.map(|(placement, _)| placement),
        "folder": folder.map(|(_, name)| name),
        "reply_code": code,
        "reply_enhanced": enhanced,
        "reply_text": text,
        "failure_phase": is_refused.then_some("rcpt"),
        "failure_reason": is_refused.then_some("smtp_5xx"),
        "failure_detail": is_refused.then_some(""),
        "note": match ending {
            Ending::Bounced => Some("5.2.2 (552 5.2.2 The mailbox is full)"),
            Ending::Unjudged => Some("The mailbox could not be read for a day."),
            _ => None,
        },
    })
}

fn save(database: &Database, probes: &[Value]) {
    const COLUMNS: &str = "id, recipient_id, due_at, created_at, first_attempt_at, attempt_at, accepted_at, deadline_at, result_at, state,
        arrived_at, latency_ms, placement, folder, reply_code, reply_enhanced, reply_text, failure_phase, failure_reason,
        failure_detail, note";
    let statement = format!(
        "insert into maildt.probes (key_id, kind, sender, mailbox, return_mode, threshold_ms, result, {COLUMNS})
         select (select min(id) from maildt.signing_keys), 'scheduled', r.sender, r.mailbox, 'direct', 60000,
             p.state, {}
         from jsonb_populate_recordset(null::maildt.probes, $1) p join maildt.recipients r on r.id = p.recipient_id",
        COLUMNS.split(',').map(|column| format!("p.{}", column.trim())).collect::<Vec<_>>().join(", ")
    );
    database.query(&statement, &[&Value::from(probes)]).unwrap();
}

/// Four that are open and two that are over, with what was told of them.
fn incidents(database: &Database, ids: &[i32], now: Timestamp) {
    let ago = |minutes: i64| now - SignedDuration::from_mins(minutes);
    let probe = ProbeId::from_uuid(uuid::Uuid::nil());
    let lost = |since: Timestamp| Evidence::NotArrived {
        probe,
        accepted_at: since,
        deadline_at: since + SignedDuration::from_mins(1),
        looked_at: since + SignedDuration::from_secs(83),
        folders: vec!["INBOX".into(), "Junk".into()],
        queue_id: Some("4bX7kQ2zRs".into()),
        reply: Some(Reply {
            code: 250,
            enhanced: Some("2.0.0".into()),
            text: "Ok: queued as 4bX7kQ2zRs".into(),
        }),
        misrouted: 0,
    };
    let refused = Evidence::NotSent {
        probe,
        at: ago(2),
        phase: Phase::Rcpt,
        reason: Reason::Smtp5xx,
        reply: Some(Reply { code: 550, enhanced: Some("5.7.1".into()), text: "Relaying denied".into() }),
        detail: String::new(),
        attempts: 1,
    };
    let back = Evidence::Bounced {
        probe,
        accepted_at: Some(ago(17)),
        at: ago(17),
        note: "5.2.2 (552 5.2.2 The mailbox is full)".into(),
        queue_id: None,
    };
    let unreadable = Evidence::Unreadable {
        folder: "INBOX".into(),
        since: ago(64),
        detail: "the server refused the login: [AUTHENTICATIONFAILED] Authentication failed".into(),
    };
    let recovered = Resolution::Recovered { latency: Some(Duration::from_millis(640)) };
    for (place, kind, minutes, failures, evidence, end) in [
        (0, "missing", 22, 3, lost(ago(22)), None),
        (1, "missing", 17, 2, back, None),
        (2, "send_failure", 33, 7, refused, None),
        (5, "mailbox_unreachable", 64, 1, unreadable, None),
        (7, "missing", 1510, 2, lost(ago(1510)), Some((1489, recovered))),
        (
            10,
            "missing",
            2404,
            1,
            lost(ago(2404)),
            Some((2398, Resolution::Arrived { slowest: Duration::from_secs(364) })),
        ),
    ] {
        let concerned = Concerned {
            id: RecipientId(ids[place]),
            name: ALL[place].name.into(),
            address: format!("{}@example.org", ALL[place].name.replace(' ', ".")),
        };
        let mut details = Details { failures, ..Details::new(ago(minutes), ago(minutes), evidence) };
        details.concerned = vec![concerned];
        details.resolution = end.as_ref().map(|(_, how)| how.clone());
        let scope = if kind == "mailbox_unreachable" {
            "mailbox:archive".to_owned()
        } else {
            format!("recipient:{}", ids[place])
        };
        let id = IncidentId::new(ago(minutes), chance(place).to_bits());
        let resolved = end.map(|(minutes, _)| ago(minutes));
        let details = serde_json::to_value(&details).unwrap();
        let statement = "insert into maildt.incidents (id, kind, scope, opened_at, resolved_at, recipients, details, version)
             values ($1, $2, $3, $4, $5, $6, $7, 1)";
        let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&id.0, &kind, &scope, &ago(minutes), &resolved, &vec![ids[place]], &details];
        database.query(statement, values).unwrap();
        told(database, id, ago(minutes), resolved);
    }
}

fn told(database: &Database, incident: IncidentId, opened: Timestamp, resolved: Option<Timestamp>) {
    let events = [Some(("opened", opened)), resolved.map(|at| ("resolved", at))];
    for (event, at) in events.into_iter().flatten() {
        for channel in ["discord", "email:ops@example.org"] {
            let statement = "insert into maildt.notifications (incident_id, event, channel, created_at, settled_at, state, tries)
                 values ($1, $2, $3, $4, $4::timestamptz + interval '1 second', 'delivered', 1)";
            database.query(statement, &[&incident.0, &event, &channel, &at]).unwrap();
        }
    }
}
