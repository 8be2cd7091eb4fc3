//! Lists: bounded, filtered, in pages without gaps.

use jiff::Timestamp;
use maildt::domain::alert::{Concerned, Details, Evidence, IncidentId};
use maildt::domain::id::{ProbeId, RecipientId};
use serde_json::{Value, json};

use super::program::Program;
use super::service;
use crate::lab::postgres::Database;

/// Probes of one recipient, by the minute, three of them at the same moment each; every third is missing.
fn probes(database: &Database, recipient: i64, count: i32) -> Vec<String> {
    let recipient = i32::try_from(recipient).unwrap();
    let start: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
    let mut ids = Vec::new();
    for n in 0..count {
        let at = start + jiff::SignedDuration::from_mins(i64::from(n / 3));
        let ms = u64::try_from(at.as_millisecond()).unwrap();
        let id = ProbeId::new(ms, RecipientId(recipient), u64::try_from(n).unwrap());
        let result = if n % 3 == 0 { "missing" } else { "delivered" };
        let due = at + jiff::SignedDuration::from_secs(i64::from(n % 3));
        let statement = "insert into maildt.probes (id, recipient_id, key_id, kind, sender, mailbox, return_mode,
                threshold_ms, due_at, created_at, first_attempt_at, attempt_at, result_at, state, result)
            select $1, $2, min(id), 'scheduled', 'default', 'default', 'direct', 10000, $4, $3, $3, $3, $3, $5, $5
            from maildt.signing_keys";
        database.query(statement, &[&id.uuid(), &recipient, &at, &due, &result]).unwrap();
        ids.push(id.to_string());
    }
    ids.sort();
    ids.reverse();
    ids
}

/// All pages of a list, one after the other.
fn all(program: &mut Program, list: &str, member: &str, query: &str, limit: usize) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    for _ in 0..100 {
        let answer = program.get(&format!("/api/v1/{list}?{query}limit={limit}{cursor}"));
        assert_eq!(answer.status(), 200, "{answer:?}");
        let page = answer.json[member].as_array().unwrap();
        found.extend(page.iter().cloned());
        match answer.json["next_cursor"].as_str() {
            None => return found,
            Some(next) => {
                assert_eq!(page.len(), limit);
                cursor = format!("&cursor={next}");
            }
        }
    }
    panic!("no end");
}

fn ids(found: &[Value]) -> Vec<String> {
    found.iter().map(|one| one["id"].as_str().map_or_else(|| one["id"].to_string(), str::to_owned)).collect()
}

#[test]
fn probes_come_in_pages_without_gaps_whatever_the_filter() {
    let (app, lab) = service(|setup| setup.env("RETENTION_DAYS", "3650"));
    app.await_active();
    let mut program = Program::new(&app);
    let mut add = |address: &str| {
        let wanted = json!({"address": address, "active": false});
        program.post("/api/v1/recipients", &wanted).json["id"].as_i64().unwrap()
    };
    let (one, other) = (add("one@demo.test"), add("other@demo.test"));
    let mut expected = probes(&lab.database, one, 100);
    let of_one = expected.clone();
    expected.extend(probes(&lab.database, other, 50));
    expected.sort();
    expected.reverse();
    for limit in [2, 7, 50, 1000] {
        assert_eq!(ids(&all(&mut program, "probes", "probes", "", limit)), expected, "{limit}");
        let found = all(&mut program, "probes", "probes", &format!("recipient={one}&"), limit);
        assert_eq!(ids(&found), of_one, "{limit}");
    }
    let missing = all(&mut program, "probes", "probes", "state=missing&", 10);
    assert!(
        missing.len() == 51 && missing.iter().all(|probe| probe["state"] == "missing"),
        "{}",
        missing.len()
    );
    let query = format!("state=delivered&recipient={other}&since=2026-11-01T10:10:00Z&");
    let since = all(&mut program, "probes", "probes", &query, 5);
    assert_eq!(since.len(), 13, "{since:?}");
    let since = all(&mut program, "probes", "probes", "since=2026-11-01T11:30:00%2B01:00&", 5);
    assert_eq!(since.len(), 10, "{since:?}");
    for nothing in ["recipient=99999", "state=bounced", "state=sending", "since=2099-01-01T00:00:00Z"] {
        assert_eq!(program.get(&format!("/api/v1/probes?{nothing}")).json["probes"], json!([]), "{nothing}");
    }
    assert_eq!(program.get("/api/v1/probes").json["probes"].as_array().unwrap().len(), 100, "the default");
}

#[test]
fn recipients_and_incidents_come_in_pages_without_gaps() {
    let (app, lab) = service(|setup| setup);
    app.await_active();
    let mut program = Program::new(&app);
    for n in 0..12 {
        program.post("/api/v1/recipients", &json!({"address": format!("r{n}@demo.test"), "active": false}));
    }
    let found = all(&mut program, "recipients", "recipients", "", 5);
    let expected: Vec<String> = (0..12).map(|n| format!("r{n}@demo.test")).collect();
    let addresses: Vec<&str> = found.iter().map(|one| one["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, expected);
    assert_eq!(program.get("/api/v1/recipients?name=nobody").json["recipients"], json!([]));

    // Not so old that it would be removed.
    let hour_ago = "select date_trunc('second', clock_timestamp()) - interval '1 hour'";
    let at: Timestamp = lab.database.query(hour_ago, &[]).unwrap()[0].get(0);
    let probe = ProbeId::new(1, RecipientId(1), 1);
    let evidence = Evidence::Bounced {
        probe,
        accepted_at: None,
        at,
        note: "5.1.1 no such user".to_owned(),
        queue_id: None,
    };
    let concerned =
        (0..150).map(|n| Concerned { id: RecipientId(n), name: n.to_string(), address: "a@b".to_owned() });
    let details = Details { concerned: concerned.collect(), ..Details::new(at, at, evidence) };
    for n in 1_i64..=25 {
        let (scope, resolved) = (format!("sender:s{n}"), (n > 4).then_some(at));
        let statement =
            "insert into maildt.incidents (id, kind, scope, opened_at, resolved_at, details, version)
            values ($1, 'sender_unreachable', $2, $3, $4, $5, 1)";
        let json = serde_json::to_value(&details).unwrap();
        lab.database.query(statement, &[&n, &scope, &at, &resolved, &json]).unwrap();
    }
    let id = |n: i64| IncidentId(n).to_string();
    for (query, expected) in [("", 1..=25), ("state=open&", 1..=4), ("state=past&", 5..=25)] {
        let found = all(&mut program, "incidents", "incidents", query, 4);
        assert_eq!(ids(&found), expected.rev().map(id).collect::<Vec<_>>(), "{query}");
    }
    let incident = program.get(&format!("/api/v1/incidents/{}", id(3))).json;
    assert_eq!(incident["scope"], json!({"type": "sender", "recipient_id": null, "name": "s3"}));
    assert_eq!(incident["evidence"], "Came back: 5.1.1 no such user.");
    assert_eq!(
        (&incident["recipients_count"], incident["recipients"].as_array().unwrap().len()),
        (&json!(150), 100)
    );
    assert_eq!(program.get("/api/v1/status").json["incidents_open"]["sender_unreachable"], 4);
}
