//! What a program can do with recipients.

use serde_json::json;

use crate::lab::app::Recipient;
use crate::lab::browser::Browser;
use crate::lab::wait::{eventually, s, so};
use crate::web::logged_in;

use super::program::Program;
use super::service;

#[test]
fn a_recipient_lives_by_the_api_alone() {
    let (app, _lab) = service(|setup| setup);
    app.await_active();
    let mut program = Program::new(&app);
    let wanted =
        json!({"address": "alice@demo.test", "interval": "1h", "alert_threshold": 20, "name": "Alice ü"});
    let added = program.post("/api/v1/recipients", &wanted);
    assert_eq!(added.status(), 201, "{added:?}");
    let path = added.header("location").to_owned();
    assert_eq!((added.header("etag"), added.json["interval"].as_u64()), ("\"1\"", Some(3600)));
    assert_eq!(path, format!("/api/v1/recipients/{}", added.json["id"]));
    assert_eq!(program.get(&path).json["name"], "Alice ü");
    assert_eq!(
        program.get("/api/v1/recipients?name=Alice%20%C3%BC").json["recipients"][0]["id"],
        added.json["id"]
    );

    // It is probed at once, and again when asked for.
    let list = format!("/api/v1/probes?recipient={}", added.json["id"]);
    let first = eventually(s(30), "the first probe arrives", || {
        let probes = program.get(&list).json["probes"].clone();
        so(probes[0]["state"] == "delivered", || probes.to_string())?;
        Ok(probes[0].clone())
    });
    assert!(first["kind"] == "scheduled" && first["latency_ms"].as_f64().unwrap() < 20_000.0, "{first}");
    let asked = program.ask("POST", &format!("{path}/probe"), &[], "");
    assert_eq!((asked.status(), &asked.json["state"]), (202, &json!("requested")));
    let probe = asked.header("location").to_owned();
    let second = eventually(s(30), "the second probe arrives", || {
        let probe = program.get(&probe).json;
        so(probe["state"] == "delivered", || probe.to_string())?;
        Ok(probe)
    });
    assert_eq!((&second["kind"], &second["id"]), (&json!("manual"), &asked.json["id"]));
    let observed = program.get(&path).json["observed"].clone();
    assert_eq!(
        (&observed["state"], &observed["last_result"]),
        (&json!("ok"), &json!("delivered")),
        "{observed}"
    );
    assert!(observed["last_success_at"].is_string() && observed["next_probe_at"].is_string(), "{observed}");
    assert_eq!(program.get("/api/v1/status").json["recipients"]["by_state"]["ok"], 1);

    // A change replaces all: what is not said gets its default. It needs the version that was seen.
    let change = json!({"address": "alice@demo.test", "active": false});
    assert_eq!(
        program.ask("PUT", &path, &[("Content-Type", "application/json")], &change.to_string()).status(),
        428
    );
    for tag in ["\"2\"", "W/\"1\"", "\"x\""] {
        assert_eq!(program.put(&path, tag, &change).status(), 412, "{tag}");
        assert_eq!(program.delete(&path, tag).status(), 412, "{tag}");
    }
    let changed = program.put(&path, "\"1\"", &change);
    assert_eq!((changed.status(), changed.header("etag")), (200, "\"2\""), "{changed:?}");
    assert_eq!(
        (&changed.json["name"], &changed.json["alert_threshold"]),
        (&json!("alice@demo.test"), &json!(300))
    );
    assert_eq!(
        (&changed.json["observed"]["state"], &changed.json["observed"]["next_probe_at"]),
        (&json!("paused"), &json!(null))
    );
    assert_eq!(program.put(&path, "\"1\"", &change).status(), 412, "an old version is changed");

    assert_eq!(program.delete(&path, "\"2\"").status(), 204);
    assert_eq!((program.get(&path).status(), program.delete(&path, "*").status()), (404, 404));
    assert_eq!(program.get("/api/v1/recipients").json["recipients"], json!([]));
    assert_eq!(program.get(&list).json["probes"].as_array().unwrap().len(), 2, "its probes stay");
}

#[test]
fn recipients_of_the_file_are_read_only_by_the_api() {
    let (app, _lab) = service(|setup| setup.recipient(Recipient::new("filed", "filed@demo.test")));
    app.await_active();
    let mut program = Program::new(&app);
    let listed = program.get("/api/v1/recipients").json["recipients"][0].clone();
    assert_eq!((&listed["name"], &listed["provisioned"]), (&json!("filed"), &json!(true)));
    let path = format!("/api/v1/recipients/{}", listed["id"]);
    let refused = [program.put(&path, "*", &json!({"address": "b@demo.test"})), program.delete(&path, "*")];
    for refused in refused {
        assert_eq!(refused.status(), 409);
        assert!(refused.json["detail"].as_str().unwrap().contains("configuration file"), "{refused:?}");
    }
    assert_eq!(program.get(&path).json["address"], "filed@demo.test");
}

#[test]
fn a_session_is_enough_for_the_api_and_its_changes_must_come_from_our_own_pages() {
    let (app, _lab) = service(|setup| setup);
    let mut inside = Program::by(logged_in(&app));
    assert_eq!(inside.get("/api/v1/recipients").status(), 200);
    let body = json!({"address": "bob@demo.test"}).to_string();
    let kind = ("Content-Type", "application/json");
    let mut add = |headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().copied().chain([kind]).collect();
        inside.ask("POST", "/api/v1/recipients", &headers, &body).status()
    };
    for foreign in [&[][..], &[("Sec-Fetch-Site", "cross-site")], &[("Origin", "https://evil.example")]] {
        assert_eq!(add(foreign), 403, "{foreign:?}");
    }
    assert_eq!(add(&[("Sec-Fetch-Site", "same-origin")]), 201);
    // No browser sends a token on its own, so it may come from anywhere.
    let mut program = Program::new(&app);
    assert_eq!(program.post("/api/v1/recipients", &json!({"address": "carol@demo.test"})).status(), 201);
    let mut stranger = Program::by(Browser::new(app.pages()));
    for (path, methods) in stranger.document().paths() {
        for method in methods {
            let path = path.replace("{id}", "1");
            let answer = stranger.ask(&method, &path, &[("Sec-Fetch-Site", "same-origin")], "");
            assert_eq!(answer.status(), 401, "{method} {path}");
        }
    }
}
