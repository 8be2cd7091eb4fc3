//! The live board: what it says of each recipient, and how soon.

use std::time::Instant;

use jiff::Timestamp;
use maildt::domain::alert::{Concerned, Details, Evidence};
use maildt::domain::id::{ProbeId, RecipientId};

use crate::lab::browser::Browser;
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, so};
use crate::web::{PASSWORD, logged_in, service};

/// A recipient that is not due, with one judged probe; its id.
pub fn recipient(database: &Database, name: &str, columns: &str, values: &str) -> i32 {
    let row = database.query(
        "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
             alert_after, discord, email, active, provisioned, next_due_at)
         values ($1, $1 || '@lab.test', 'default', 'default', 'direct', 3600, 10, 1, true, true, true, false,
             clock_timestamp() + interval '1 hour') returning id",
        &[&name],
    );
    let id: i32 = row.unwrap()[0].get(0);
    probe(database, id, columns, values);
    id
}

pub fn probe(database: &Database, recipient: i32, columns: &str, values: &str) {
    let statement = format!(
        "insert into maildt.probes (id, recipient_id, key_id, kind, sender, mailbox, return_mode, threshold_ms, due_at,
             first_attempt_at, attempt_at, accepted_at, result_at, {columns})
         select gen_random_uuid(), $1, min(id), 'scheduled', 'default', 'default', 'direct', 10000, clock_timestamp(),
             clock_timestamp(), clock_timestamp(), clock_timestamp(), clock_timestamp(), {values}
         from maildt.signing_keys"
    );
    database.query(&statement, &[&recipient]).unwrap();
}

const DELIVERED: &str = "state, result, arrived_at, latency_ms, placement";

pub fn delivered(database: &Database, name: &str, latency_ms: u32) -> i32 {
    recipient(
        database,
        name,
        DELIVERED,
        &format!("'delivered', 'delivered', clock_timestamp(), {latency_ms}, 'inbox'"),
    )
}

/// The rows of the table, in their order: name and text without its tags.
fn rows(page: &str) -> Vec<(String, String)> {
    page.split("<tr id=\"r")
        .skip(1)
        .map(|row| {
            let row = row.split("</tr>").next().unwrap();
            let name = row.split("class=\"name\">").nth(1).unwrap().split('<').next().unwrap();
            let text: String =
                row.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
            (name.to_owned(), text.replace('\u{a0}', " "))
        })
        .collect()
}

#[test]
fn the_board_shows_every_state_worst_first_with_its_reason() {
    let (app, database) = service(|setup| setup);
    app.await_active();
    let judged = |name: &str, columns: &str, values: &str| recipient(&database, name, columns, values);
    delivered(&database, "fine", 412);
    judged("lost", "state, result", "'missing', 'missing'");
    judged("back", "state, result, note", "'bounced', 'bounced', '5.2.2 The mailbox is full'");
    judged(
        "refused",
        "state, result, reply_code, reply_enhanced, reply_text, failure_phase, failure_reason, failure_detail",
        "'send_failed', 'send_failed', 550, '5.1.1', 'No such <b>user', 'rcpt', 'smtp_5xx', ''",
    );
    judged("slow", DELIVERED, "'late', 'late', clock_timestamp(), 41000, 'inbox'");
    judged("spam", DELIVERED, "'delivered', 'delivered', clock_timestamp(), 2200, 'junk'");
    judged("unsure", "state, result", "'inconclusive', 'inconclusive'");
    let paused = delivered(&database, "old", 500);
    database.query("update maildt.recipients set active = false where id = $1", &[&paused]).unwrap();
    let mut browser = logged_in(&app);
    let page = eventually(s(5), "all are there", || {
        let page = browser.get("/").body;
        so(rows(&page).len() == 8, || page.clone())?;
        Ok(page)
    });
    let expected = [
        ("lost", "Missing", "not there when all folders were looked through"),
        ("back", "Bounced", "5.2.2 The mailbox is full"),
        ("refused", "Send failed", "Refused at RCPT: 550 5.1.1 No such &lt;b&gt;user"),
        ("slow", "Late", "41 s"),
        ("spam", "In Junk", "2.2 s"),
        ("unsure", "Not observed", "could not be judged"),
        ("fine", "Arrives", "0.41 s"),
        ("old", "Paused", "old@lab.test"),
    ];
    for ((name, text), (expected, state, why)) in rows(&page).iter().zip(expected) {
        assert_eq!(name, expected);
        assert!(text.contains(state) && text.contains(why), "{name}: {text}");
    }
    assert!(page.contains("Mail does not arrive at <em>3 of 7</em> recipients."), "{page}");
    assert!(page.contains("3 more need a look."), "{page}");
}

#[test]
fn an_open_incident_tells_since_when_and_a_shared_one_whom_it_blinds() {
    let (app, database) = service(|setup| setup);
    app.await_active();
    let lost = recipient(&database, "lost", "state, result", "'missing', 'missing'");
    delivered(&database, "blind", 400);
    database.query("update maildt.recipients set mailbox = 'other' where name = 'blind'", &[]).unwrap();
    let at: Timestamp = "2026-11-01T10:02:00Z".parse().unwrap();
    let evidence = Evidence::NotArrived {
        probe: ProbeId::from_uuid(uuid::Uuid::nil()),
        accepted_at: at,
        deadline_at: at,
        looked_at: at,
        folders: vec!["INBOX".to_owned(), "Junk".to_owned()],
        queue_id: None,
        reply: None,
        misrouted: 0,
    };
    let mut details = Details { failures: 6, ..Details::new(at, at, evidence) };
    details.concerned =
        vec![Concerned { id: RecipientId(lost), name: "lost".into(), address: "lost@lab.test".into() }];
    let unreadable =
        Evidence::Unreadable { folder: "INBOX".into(), since: at, detail: "login refused <x>".into() };
    for (id, kind, scope, details) in [
        (1_i64, "missing", format!("recipient:{lost}"), details),
        (2, "mailbox_unreachable", "mailbox:other".to_owned(), Details::new(at, at, unreadable)),
    ] {
        let statement = "insert into maildt.incidents (id, kind, scope, opened_at, details, version) values ($1, $2, $3, $4, $5, 1)";
        database
            .query(statement, &[&id, &kind, &scope, &at, &serde_json::to_value(&details).unwrap()])
            .unwrap();
    }
    let mut browser = logged_in(&app);
    let page = eventually(s(5), "both are told", || {
        let page = browser.get("/").body;
        so(page.contains("We cannot look"), || page.clone())?;
        Ok(page)
    });
    let rows = rows(&page);
    assert!(
        rows[0].1.contains("Since 2026-11-01T10:02:00Z, 6 failures. Accepted, then silence; INBOX and Junk"),
        "{rows:?}"
    );
    assert!(rows[1].1.contains("Not observed") && rows[1].1.contains("login refused &lt;x&gt;"), "{rows:?}");
    assert!(!rows[1].1.contains("0.40 s"), "a figure from before shows as the present one: {rows:?}");
}

#[test]
fn the_board_can_be_filtered_and_sorted_and_escapes_names() {
    let (app, database) = service(|setup| setup);
    app.await_active();
    delivered(&database, "<script>alert(1)</script>", 300);
    delivered(&database, "beta", 100);
    delivered(&database, "alpha", 200);
    recipient(&database, "lost", "state, result", "'missing', 'missing'");
    let mut browser = logged_in(&app);
    eventually(s(5), "all are there", || {
        so(rows(&browser.get("/").body).len() == 4, || "not yet".to_owned())
    });
    let mut names = |query: &str| -> Vec<String> {
        let page = browser.get(&format!("/?{query}"));
        assert_eq!(page.status, 200);
        assert!(!page.body.contains("<script>a"), "{}", page.body);
        rows(&page.body)
            .into_iter()
            .map(|(name, _)| name.replace("&lt;script&gt;alert(1)&lt;/script&gt;", "X"))
            .collect()
    };
    assert_eq!(names("sort=name"), ["X", "alpha", "beta", "lost"]);
    assert_eq!(names("sort=-name"), ["lost", "beta", "alpha", "X"]);
    assert_eq!(names("sort=latency"), ["beta", "alpha", "X", "lost"]);
    assert_eq!(names("sort=-latency"), ["X", "alpha", "beta", "lost"]);
    assert_eq!(names("state=missing"), ["lost"]);
    assert_eq!(names("state=down&q=LOST%40lab"), ["lost"]);
    assert_eq!(names("q=ET"), ["beta"]);
    assert_eq!(names("q=%3Cscript%3E&state=ok"), ["X"]);
    assert_eq!(names("q=nobody"), Vec::<String>::new());
    assert_eq!(names("sort=nonsense&state=").len(), 4);
}

#[test]
fn a_change_is_told_within_a_second_and_only_its_row_is_sent() {
    let (app, database) = service(|setup| setup);
    app.await_active();
    let first = delivered(&database, "first", 400);
    delivered(&database, "second", 400);
    let mut browser = logged_in(&app);
    let page = eventually(s(5), "both are there", || {
        let page = browser.get("/").body;
        so(rows(&page).len() == 2, || page.clone())?;
        Ok(page)
    });
    let revision = page.split("data-revision=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let events = browser.follow("/events");
    let next = |what: &str| loop {
        let (at, line) = events.recv_timeout(s(5)).unwrap_or_else(|_| panic!("no {what}"));
        if let Some(found) = line.strip_prefix("data: ") {
            return (at, found.to_owned());
        }
    };
    let (_, now) = next("first word");
    assert_eq!(now, revision, "nothing has changed yet");
    // The best of some: other tests run at the same time.
    let mut changed = revision.clone();
    let took = (0..4).map(|_| {
        let start = Instant::now();
        probe(&database, first, "state, result", "'missing', 'missing'");
        let (at, told) = next("change");
        changed = told;
        at - start
    });
    let best = took.min().unwrap();
    assert!(best < s(1), "told after {best:?} at best");
    assert_ne!(changed, revision);
    let answer = browser.get(&format!("/rows?since={revision}"));
    let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["revision"], *changed);
    let sent = answer["rows"].as_object().unwrap();
    assert_eq!(sent.keys().collect::<Vec<_>>(), [&format!("r{first}")], "{answer}");
    assert!(sent[&format!("r{first}")].as_str().unwrap().contains("Missing"));
    assert_eq!(answer["order"].as_array().unwrap().len(), 2);
    assert!(answer["head"].as_str().unwrap().contains("1 of 2"), "{answer}");
    for unknown in ["", "x", "0-0", "ffffffff-1"] {
        let answer = browser.get(&format!("/rows?since={unknown}"));
        let answer: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(answer["rows"].as_object().unwrap().len(), 2, "{unknown:?}");
    }
}

#[test]
fn live_events_need_a_session_and_end_with_it() {
    let (mut app, _database) = service(|setup| setup);
    for path in ["/events", "/rows"] {
        assert_eq!(Browser::new(app.pages()).get(path).status, 303);
    }
    let mut browser = logged_in(&app);
    let events = browser.follow("/events");
    let wait = |what: &str| {
        let start = Instant::now();
        let told = || Some(events.recv_timeout(s(30).checked_sub(start.elapsed())?).ok()?.1);
        assert!(std::iter::from_fn(told).any(|line| line.contains(what)), "no {what} within 30 s");
    };
    wait("event: changed");
    browser.post("/logout", &[]);
    wait("event: over");
    // A page that is open does not hold up a stop.
    let browser = logged_in(&app);
    let events = browser.follow("/events");
    events.recv_timeout(s(5)).unwrap();
    let (status, took) = app.term();
    assert!(status.success() && took < s(5), "{status} after {took:?}");
}

#[test]
fn a_first_visit_tells_the_next_step() {
    let (app, _database) = service(|setup| setup);
    let page = logged_in(&app).get("/").body;
    for words in ["Nothing is monitored yet", "SMTP_HOST", "[[recipients]]", "SIGHUP"] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains(PASSWORD));
}

#[test]
fn a_thousand_recipients_are_on_one_quick_page() {
    let (app, database) = service(|setup| setup);
    app.await_active();
    database
        .query(
            "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
                 alert_after, discord, email, active, provisioned, next_due_at)
             select 'r' || n, n || '@lab.test', 'default', 'default', 'direct', 3600, 10, 1, true, true, true, false,
                 clock_timestamp() + interval '1 hour' from generate_series(1, 1000) n",
            &[],
        )
        .unwrap();
    database
        .query(
            "insert into maildt.probes (id, recipient_id, key_id, kind, sender, mailbox, return_mode, threshold_ms, due_at,
                 created_at, first_attempt_at, attempt_at, result_at, state, result, arrived_at, latency_ms, placement)
             select gen_random_uuid(), r.id, (select min(id) from maildt.signing_keys), 'scheduled', 'default', 'default', 'direct',
                 10000, t, t, t, t, t, 'delivered', 'delivered', t, 300 + n, 'inbox'
             from maildt.recipients r, generate_series(1, 40) n, lateral (select clock_timestamp() - make_interval(hours => n) as t) x",
            &[],
        )
        .unwrap();
    database.query("analyze maildt.probes", &[]).unwrap();
    let mut browser = logged_in(&app).with("Accept-Encoding", "gzip");
    browser.get("/");
    // The best of some: other tests run at the same time.
    // How long that takes tells `make bench`.
    let page = browser.get("/");
    assert_eq!((page.status, page.header("content-encoding")), (200, Some("gzip")));
    assert!(page.header("content-length").unwrap().parse::<usize>().unwrap() < 300_000);
}
