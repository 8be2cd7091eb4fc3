//! The page of a probe, and the evidence that it shows.

use maildt::domain::id::{ProbeId, RecipientId};
use uuid::Uuid;

use crate::lab::app::{App, Recipient};
use crate::lab::browser::Browser;
use crate::lab::letter::Letter;
use crate::lab::policy::{Fate, Stage};
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;
use crate::web::{await_pages, logged_in, service};

/// The page as one reads it.
fn page(browser: &mut Browser, id: Uuid) -> String {
    let page = browser.get(&format!("/probes/{id}"));
    assert_eq!(page.status, 200, "{page:?}");
    page.body.replace('\u{a0}', " ")
}

fn browser(app: &App) -> Browser {
    await_pages(app);
    logged_in(app)
}

/// What is kept of the messages that carried a probe's token.
fn sightings(database: &Database, id: Uuid) -> Vec<serde_json::Value> {
    let rows = database.query("select sightings from maildt.probes where id = $1", &[&id]).unwrap();
    rows[0].get::<_, serde_json::Value>(0).as_array().unwrap().clone()
}

#[track_caller]
fn says(page: &str, words: &[&str]) {
    for words in words {
        assert!(page.contains(words), "{words:?} is not in {page}");
    }
}

#[test]
fn a_delivered_probe_shows_the_way_that_the_servers_wrote_down() {
    let Some(world) = World::new("a_delivered_probe_shows_the_way_that_the_servers_wrote_down") else {
        return;
    };
    let app = world.setup_with_tls().recipient(Recipient::new("alice", &world.address("alice"))).start();
    let probe = eventually(s(20), "it is delivered", || world.records().first("alice", &["delivered"]));
    let [seen] = sightings(&world.database, probe.id).try_into().unwrap();
    assert_eq!(
        (&seen["bearing"], &seen["form"], &seen["folder"]),
        (&"proof".into(), &"direct".into(), &"INBOX".into())
    );
    let hops = seen["hops"].as_array().unwrap();
    let protocols: Vec<&str> =
        hops.iter().map(|hop| hop["stamp"]["protocol"].as_str().unwrap_or("none")).collect();
    assert_eq!(protocols.first(), Some(&"ESMTPSA"), "submitted first: {hops:?}");
    assert!(protocols.iter().all(|protocol| *protocol != "none"), "{hops:?}");
    assert!(
        hops.iter().all(|hop| hop["stamp"]["at"].is_string() && hop["stamp"]["by"].is_string()),
        "{hops:?}"
    );

    let mut browser = browser(&app);
    let page = page(&mut browser, probe.id);
    let latency = format!("{:.2} s", probe.latency_ms.unwrap() / 1000.0);
    says(
        &page,
        &[
            "Delivered to INBOX after ",
            &latency,
            "ESMTPSA",
            "It proves the delivery",
            "final reply",
            "Accepted until seen in INBOX",
        ],
    );
    for hop in hops {
        says(&page, &[hop["stamp"]["by"].as_str().unwrap(), hop["stamp"]["id"].as_str().unwrap()]);
    }
    assert!(!page.contains("clock ahead") && !page.contains("clock behind"), "{page}");
    assert!(!page.contains("style="), "{page}");
    let way = browser.get(&format!("/probes/{}/way", probe.id));
    assert!(way.status == 200 && way.body.starts_with("<div class=\"probe alone\""), "{way:?}");
}

#[test]
fn what_does_not_count_is_on_record_once_and_the_probe_is_missing_all_the_same() {
    let test = "what_does_not_count_is_on_record_once_and_the_probe_is_missing_all_the_same";
    let (Some(world), Some(elsewhere)) = (World::new(test), World::new(test)) else { return };
    let mut app =
        world.setup().recipient(Recipient::new("forwarded", &elsewhere.address("forwarded"))).start();
    eventually(s(20), "the probe is there", || same(&elsewhere.mail().count("INBOX"), &1));
    let token = elsewhere.mail().messages("INBOX").remove(0).token().unwrap();
    let forward = Letter::new(&format!("Fwd: MAILDT-PROBE: {token} <script>alert(1)</script>"))
        .field("Received", "from <b>x</b> by <script>alert(2)</script>; nonsense")
        .field("Received", "<i>unreadable")
        .field("Authentication-Results", "mx.lab.test; spf=pass smtp.mailfrom=<u>y");
    world.lab.deliver(&forward, &world.monitor());
    let delayed = Letter::new("Delivery delayed")
        .with_null_reverse_path()
        .field("Content-Type", "multipart/report; report-type=delivery-status; boundary=b")
        .body(format!(
            "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: delayed\r\n\
             Status: 4.0.0\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nX-MailDT-Probe: {token}\r\n\r\n--b--\r\n"
        ));
    world.lab.deliver(&delayed, &world.monitor());
    let missing = eventually(s(30), "it is missing", || world.records().first("forwarded", &["missing"]));
    let bearings = || -> Vec<String> {
        let all = sightings(&world.database, missing.id);
        let mut all: Vec<String> =
            all.iter().map(|seen| seen["bearing"].as_str().unwrap().to_owned()).collect();
        all.sort();
        all
    };
    assert_eq!(bearings(), ["notice", "other_form"]);

    let mut browser = browser(&app);
    let shown = page(&mut browser, missing.id);
    says(
        &shown,
        &[
            "<em>Missing</em> since ",
            "2 messages carried its token",
            "Not counted",
            "A new message about the probe in INBOX",
            "by the recipient's return mode, direct",
            "It tells of no failure",
            "Fwd: MAILDT-PROBE",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
            "from &lt;b&gt;x&lt;/b&gt;",
            "&lt;i&gt;unreadable",
            "smtp.mailfrom=&lt;u&gt;y",
            "Where it was looked for",
        ],
    );
    assert!(
        !shown.contains("<script>alert") && !shown.contains("<u>y") && !shown.contains("<i>un"),
        "{shown}"
    );
    // Two rounds over both folders.
    let looked = shown
        .split("aria-label=\"Where it was looked for\"")
        .nth(1)
        .unwrap()
        .split("</table>")
        .next()
        .unwrap();
    assert_eq!((looked.matches(">INBOX").count(), looked.matches("<tr>").count()), (2, 5), "{looked}");
    assert!(shown.contains("/incidents?id="), "it opened an incident: {shown}");

    // Seen anew by the next process, they are what is known already; and they are left alone.
    app.term();
    app.start_again();
    app.await_active();
    throughout(s(6), "nothing is written twice, nothing is taken", || {
        same(&bearings().len(), &2)?;
        same(&world.mail().count("INBOX"), &2)
    });
}

#[test]
fn a_refusal_is_told_with_the_server_s_words_and_the_page_is_there_while_it_is_sent() {
    let Some(world) =
        World::new("a_refusal_is_told_with_the_server_s_words_and_the_page_is_there_while_it_is_sent")
    else {
        return;
    };
    let address = world.address("refused");
    world.lab.policy.set(&address, Fate::Hung(Stage::Rcpt));
    let app = world.setup().recipient(Recipient::new("refused", &address)).start();
    let probe = eventually(s(20), "it is being sent", || world.records().first("refused", &["sending"]));
    let mut browser = browser(&app);
    let text = page(&mut browser, probe.id);
    says(&text, &["Being sent.", "data-again=\"700\"", "aria-current=\"step\"", "Look again"]);
    world.lab.policy.set(&address, Fate::Refused(Stage::Rcpt, "550 5.7.1 <b>Not</b> welcome".to_owned()));
    eventually(s(20), "it is refused", || world.records().first("refused", &["send_failed"]));
    let text = page(&mut browser, probe.id);
    says(&text, &["Refused at RCPT: 550 5.7.1", "&lt;b&gt;Not&lt;/b&gt; welcome", "class=\"broken\""]);
    assert!(!text.contains("<b>Not</b>"), "{text}");
}

/// A recipient of a sender; its id.
fn recipient(database: &Database, sender: &str) -> i32 {
    let row = database.query(
        "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
             alert_after, discord, email, active, provisioned, next_due_at)
         values ('<b>sales', 'sales@lab.test', $1, 'default', 'direct', 3600, 10, 1, true, true, true, false,
             clock_timestamp() + interval '1 hour') returning id",
        &[&sender],
    );
    row.unwrap()[0].get(0)
}

/// An identity as the program makes it.
fn identity(database: &Database, recipient: i32, age_s: i32) -> Uuid {
    let statement = "select (extract(epoch from clock_timestamp() - make_interval(secs => $1)) * 1000)::int8";
    let made: i64 = database.query(statement, &[&f64::from(age_s)]).unwrap()[0].get(0);
    ProbeId::new(made.unsigned_abs(), RecipientId(recipient), rand::random()).uuid()
}

#[test]
fn a_request_that_nobody_takes_says_so_and_an_unknown_probe_is_a_helpful_404() {
    let (app, database) = service(|setup| setup.env("RETENTION_DAYS", "30"));
    app.await_active();
    let id = recipient(&database, "elsewhere");
    let ask = |age_s: i32| {
        let probe = identity(&database, id, age_s);
        let statement = "insert into maildt.requests (probe_id, recipient_id, requested_at)
            values ($1, $2, clock_timestamp() - make_interval(secs => $3))";
        database.query(statement, &[&probe, &id, &f64::from(age_s)]).unwrap();
        probe
    };
    let (young, old) = (ask(1), ask(125));
    let mut browser = logged_in(&app);
    let text = page(&mut browser, young);
    says(
        &text,
        &[
            "Asked for, and not begun yet.",
            "Being taken",
            "data-again=\"700\"",
            "&lt;b&gt;sales",
            "does not count",
        ],
    );
    let text = page(&mut browser, old);
    says(&text, &["Nobody took this probe.", "Its sender <code>elsewhere</code> is not configured here."]);
    assert!(!text.contains("data-again"), "there will be no news: {text}");

    for (unknown, words) in [
        (identity(&database, id, 60).to_string(), "nobody took it within 2 minutes"),
        (identity(&database, id, 40 * 86_400).to_string(), "History is kept for 30 days"),
        (Uuid::nil().to_string(), "There is no such probe"),
        (Uuid::max().to_string(), "There is no such probe"),
        ("x".to_owned(), "names no probe"),
        ("%00".to_owned(), "names no probe"),
        ("%F0%28".to_owned(), "<h1>"),
        ("9".repeat(3000), "names no probe"),
    ] {
        let page = browser.get(&format!("/probes/{unknown}"));
        assert!((400..500).contains(&page.status) && page.body.contains(words), "{unknown}: {page:?}");
        for part in ["part", "way"] {
            let status = browser.get(&format!("/probes/{unknown}/{part}")).status;
            assert!((400..500).contains(&status), "{unknown}/{part}: {status}");
        }
    }
    let text = browser.get(&format!("/probes/{}", identity(&database, id, 60))).body;
    so(text.contains(&format!("/recipients/{id}/history")), || text.clone()).unwrap();
}

#[test]
fn evidence_of_an_older_version_and_evidence_that_makes_no_sense_are_shown_as_far_as_they_go() {
    let (app, database) = service(|setup| setup);
    app.await_active();
    let id = recipient(&database, "default");
    let columns = "id, recipient_id, key_id, kind, sender, mailbox, return_mode, threshold_ms, due_at,
        first_attempt_at, attempt_at, accepted_at, result_at, state, result, was_missing, sightings, searches, reply_code,
        reply_text, phases";
    let insert = |state: &str, sightings: serde_json::Value, searches: serde_json::Value| {
        let probe = identity(&database, id, 60);
        let statement = format!(
            "insert into maildt.probes ({columns})
             select $1, $2, min(id), 'manual', 'default', 'default', 'direct', 10000, clock_timestamp(), clock_timestamp(),
                 clock_timestamp(), clock_timestamp(), clock_timestamp(), $3, $3, $3 = 'missing', $4, $5, 250,
                 '</td><script>x', '{{\"dns\": -5, \"connect\": 1e300, \"tls\": \"x\", \"nonsense\": 1}}'
             from maildt.signing_keys"
        );
        database.query(&statement, &[&probe, &id, &state, &sightings, &searches]).unwrap();
        probe
    };
    let old = insert("missing", serde_json::json!([]), serde_json::json!([]));
    let odd = insert(
        "delivered",
        serde_json::json!([{"print": 1}, 7, null, {"at": "x"}]),
        serde_json::json!({"not": "a list"}),
    );
    let mut browser = logged_in(&app);
    let text = page(&mut browser, old);
    says(
        &text,
        &["was not kept: it was before this version", "&lt;/td&gt;&lt;script&gt;x", "it does not count"],
    );
    assert!(!text.contains("<script>x"), "{text}");
    says(&page(&mut browser, odd), &["Delivered."]);
}
