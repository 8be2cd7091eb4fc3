//! What the API refuses, and how it says so.

use serde_json::{Value, json};

use crate::lab::browser::Browser;
use crate::lab::builtin::BuiltIn;
use crate::lab::proxy::Proxy;
use crate::lab::wait::{eventually, s, same};
use crate::web::{await_pages, logged_in};

use super::program::{Program, TOKEN};
use super::service;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[test]
fn every_wrong_member_is_named_and_nothing_is_changed() {
    let (app, _lab) = service(|setup| setup);
    let mut program = Program::new(&app);
    let right = json!({"address": "a@demo.test"});
    for (member, value) in [
        ("address", json!(5)),
        ("address", json!("nobody")),
        ("address", json!("a@b@c d")),
        ("address", json!("")),
        ("address", json!("a@demo.test\r\nBcc: b@demo.test")),
        ("name", json!(true)),
        ("name", json!("x".repeat(129))),
        ("name", json!("a\u{0}b")),
        ("sender", json!("nobody")),
        ("mailbox", json!(["default"])),
        ("return_mode", json!("pigeon")),
        ("interval", json!(29)),
        ("interval", json!(604_801)),
        ("interval", json!(90.5)),
        ("interval", json!(-90)),
        ("interval", json!(1e300)),
        ("interval", json!("soon")),
        ("interval", json!(true)),
        ("alert_threshold", json!({"s": 10})),
        ("alert_threshold", json!("9s")),
        ("alert_after", json!(0)),
        ("alert_after", json!("3")),
        ("discord", json!("yes")),
        ("email", json!(1)),
        ("muted_until", json!("tomorrow")),
        ("muted_until", json!("-009999-01-01T00:00:00Z")),
        ("muted_until", json!(1_800_000_000)),
        ("active", json!("false")),
        ("threshold", json!(10)),
        ("threshold", json!(null)),
        ("threshold", json!("")),
        ("id", json!(1)),
        ("version", json!(1)),
        ("observed", json!({})),
    ] {
        let mut body = right.clone();
        body[member] = value;
        let refused = program.post("/api/v1/recipients", &body);
        assert_eq!(refused.status(), 422, "{body}: {refused:?}");
        assert_eq!(refused.wrong(), [member], "{body}");
    }
    let everything = program.post("/api/v1/recipients", &json!({"interval": 1, "x": 1, "active": 2}));
    let mut wrong = everything.wrong();
    wrong.sort_unstable();
    assert_eq!(wrong, ["active", "address", "interval", "x"]);
    assert_eq!(program.get("/api/v1/recipients").json["recipients"], json!([]));

    assert_eq!(program.post("/api/v1/recipients", &right).status(), 201);
    let taken = program.post("/api/v1/recipients", &right);
    assert_eq!((taken.status(), taken.wrong()), (409, vec!["name"]));
    // null is as good as absent, and a number may be written in either way.
    let odd = json!({"address": "b@demo.test", "name": null, "interval": 90.0, "alert_threshold": " 5m ", "muted_until": null});
    let added = program.post("/api/v1/recipients", &odd);
    assert_eq!(
        (added.status(), &added.json["interval"], &added.json["alert_threshold"]),
        (201, &json!(90), &json!(300))
    );
}

#[test]
fn odd_requests_get_a_4xx_with_a_reason() {
    let (app, _lab) = service(|setup| setup);
    let mut program = Program::new(&app);
    let deep = format!("{{\"address\":{}", "[".repeat(30_000));
    for body in ["", "{", "{\"address\":\"a@demo.test\",\"address\":\"b@demo.test\"}", "\u{feff}{}", &deep] {
        assert_eq!(program.ask("POST", "/api/v1/recipients", &[JSON], body).status(), 400, "{body:.40}");
    }
    for query in [
        "recipients?limit=0",
        "probes?limit=1001",
        "probes?limit=5&limit=5",
        "probes?state=lost",
        "probes?since=now",
        "probes?recipient=x",
        "probes?recipient=99999999999",
        "probes?cursor=x",
        "probes?recipent=1",
        "incidents?state=closed",
        "incidents?cursor=%00",
        "recipients?cursor=-1",
        "recipients?name=%00",
        "status?x",
        "openapi.json?x=1",
    ] {
        let refused = program.get(&format!("/api/v1/{query}"));
        assert_eq!(refused.status(), 400, "{query}");
        assert_eq!(refused.wrong().len(), 1, "{query}");
    }
    for path in [
        "recipients/0",
        "recipients/-1",
        "recipients/01",
        "recipients/1e3",
        "recipients/99999999999",
        "recipients/%00",
        "recipients/%ff",
        "probes/1",
        "probes/00000000-0000-0000-0000-000000000000",
        "incidents/0000000000000",
        "incidents/x",
    ] {
        assert_eq!(program.get(&format!("/api/v1/{path}")).status(), 404, "{path}");
    }
    // What is not described is not there, and says so in the same form.
    let mut bare = Browser::new(app.pages()).with("Authorization", &format!("Bearer {TOKEN}"));
    for (method, path, status) in [
        ("GET", "/api/v1/", 404),
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v2/status", 404),
        ("GET", "/api/v1/recipients/", 404),
        ("PATCH", "/api/v1/recipients/1", 405),
        ("DELETE", "/api/v1/recipients", 405),
        ("POST", "/api/v1/status", 405),
        ("OPTIONS", "/api/v1/probes", 405),
        ("TRACE", "/api/v1/probes", 405),
    ] {
        let page = bare.ask(method, path, &[], b"").unwrap();
        assert_eq!(page.status, status, "{method} {path}");
        assert_eq!(page.header("content-type"), Some("application/problem+json"), "{method} {path}");
        let problem: Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(
            (&problem["type"], problem["status"].as_u64()),
            (&json!("about:blank"), Some(u64::from(status)))
        );
        assert_eq!(page.header("allow").is_some(), status == 405, "{method} {path}");
    }
    let head = bare.ask("HEAD", "/api/v1/status", &[], b"").unwrap();
    assert_eq!((head.status, head.header("content-type"), &*head.body), (200, Some("application/json"), ""));
}

#[test]
fn every_answer_of_the_document_is_given() {
    let lab = BuiltIn::new();
    let wire = Proxy::to(lab.database.port());
    let mut app = lab
        .setup()
        .env("DATABASE_URL", &lab.database.url_through(wire.port()))
        .env("API_TOKEN", TOKEN)
        .limit("database", "\"2s\"")
        .start();
    await_pages(&app);
    app.await_active();
    let mut program = Program::new(&app);
    let added = program.post("/api/v1/recipients", &json!({"address": "a@demo.test", "active": false}));
    let path = added.header("location").to_owned();
    let other = program.post("/api/v1/recipients", &json!({"address": "b@demo.test", "active": false}));
    let other = other.header("location").to_owned();
    open_incident(&lab);
    for list in ["recipients", "probes", "incidents", "incidents/0000000000007", "status", "openapi.json"] {
        assert_eq!(program.get(&format!("/api/v1/{list}")).status(), 200, "{list}");
    }
    program.get(&path);
    let asked = program.ask("POST", &format!("{path}/probe"), &[], "");
    program.get(asked.header("location"));
    eventually(s(5), "too many are asked for", || {
        same(&program.ask("POST", &format!("{path}/probe"), &[], "").status(), &429)
    });
    let body = json!({"address": "c@demo.test", "active": false});
    for (tag, status) in [("\"9\"", 412), ("*", 200)] {
        assert_eq!(program.put(&path, tag, &body).status(), status);
    }
    program.put(&path, "*", &json!({"address": "b@demo.test"}));
    program.put(&path, "*", &json!({}));
    program.post("/api/v1/recipients", &json!({}));
    program.post("/api/v1/recipients", &body);
    program.ask("PUT", &path, &[JSON], &body.to_string());
    program.ask("DELETE", &path, &[], "");
    program.delete(&path, "\"9\"");
    let mut session = Program::by(logged_in(&app));
    let mut stranger = Program::by(Browser::new(app.pages()));
    let paths = program.document().paths();
    let real = path.rsplit('/').next().unwrap();
    sweep(&paths, real, &mut program, &mut session, &mut stranger);
    let probe = asked.header("location").to_owned();
    program.get(&format!("{probe}?x"));
    program.get("/api/v1/incidents/0000000000007?x");
    program.get("/api/v1/incidents/0000000000008");
    let number: i32 = other.rsplit('/').next().unwrap().parse().unwrap();
    let statement = "update maildt.recipients set provisioned = true, sender = 'gone' where id = $1";
    lab.database.query(statement, &[&number]).unwrap();
    program.delete(&other, "*");
    program.ask("POST", &format!("{other}/probe"), &[], "");
    assert_eq!(program.delete(&path, "*").status(), 204);

    wire.refuse();
    eventually(s(20), "the outage is told", || same(&program.get("/api/v1/status").status(), &503));
    for (template, methods) in &paths {
        for method in methods {
            let id = if template.contains("probes") {
                probe.rsplit('/').next().unwrap()
            } else if template.contains("incidents") {
                "0000000000007"
            } else {
                real
            };
            let headers = [JSON, ("If-Match", "*")];
            let answer = program.ask(method, &template.replace("{id}", id), &headers, &body.to_string());
            let expected = if template.ends_with("openapi.json") { 200 } else { 503 };
            assert_eq!(answer.status(), expected, "{method} {template}");
        }
    }
    session.get("/api/v1/openapi.json");
    wire.pass();
    eventually(s(20), "it is over", || same(&program.get("/api/v1/status").status(), &200));

    let mut promised = program.document().promised();
    for seen in [&program.seen, &session.seen, &stranger.seen] {
        promised.retain(|promise| !seen.contains(promise));
    }
    // Whoever sends a body too slowly is the gate's business, and its tests'.
    promised.retain(|(_, status)| *status != 408);
    assert!(promised.is_empty(), "described and never given: {promised:?}");
    app.term();
}

/// `0000000000007`.
fn open_incident(lab: &BuiltIn) {
    let incident = "insert into maildt.incidents (id, kind, scope, opened_at, details, version) values (7, 'missing', 'recipient:1',
        now(), '{\"since\":\"2026-11-01T10:00:00Z\",\"failing_until\":\"2026-11-01T10:00:00Z\",\"failures\":1,\"last_good_at\":null,
        \"resolution\":null,\"first\":{\"what\":\"unreadable\",\"folder\":\"INBOX\",\"since\":\"2026-11-01T10:00:00Z\",\"detail\":\"x\"},
        \"latest\":{\"what\":\"unreadable\",\"folder\":\"INBOX\",\"since\":\"2026-11-01T10:00:00Z\",\"detail\":\"x\"}}', 1)";
    lab.database.query(incident, &[]).unwrap();
}

/// Asks everything of everything, mostly in the wrong way.
fn sweep(
    paths: &[(String, Vec<String>)],
    real: &str,
    program: &mut Program,
    session: &mut Program,
    stranger: &mut Program,
) {
    let large = "x".repeat(70_000);
    let ours = [("Sec-Fetch-Site", "same-origin")];
    let of = |template: &str, id: &str| template.replace("{id}", id);
    for (template, methods) in paths {
        for method in methods {
            stranger.ask(method, &of(template, real), &ours, "");
            if method != "GET" {
                session.ask(method, &of(template, real), &[], "");
                program.ask(method, &of(template, real), &[JSON, ("If-Match", "*")], &large);
            }
            if template.contains("{id}") {
                program.ask(
                    method,
                    &of(template, "2000000000"),
                    &[JSON, ("If-Match", "*")],
                    "{\"address\":\"d@demo.test\"}",
                );
                if template.contains("probes") || template.contains("incidents") {
                    continue;
                }
            }
            program.ask(method, &format!("{}?x=1", of(template, real)), &[JSON], "{}");
            if matches!(&**method, "POST" | "PUT") && !template.ends_with("probe") {
                program.ask(method, &of(template, real), &[("If-Match", "*")], "{}");
            }
        }
    }
}
