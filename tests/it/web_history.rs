//! The history of a recipient: what the page says of its probes, and the same as CSV.

use std::collections::HashSet;

use crate::lab::app::App;
use crate::lab::browser::Browser;
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, same};
use crate::web::{logged_in, service};

/// A recipient that is not due, without probes; its id.
fn recipient(database: &Database, name: &str) -> i32 {
    let rows = database.query(
        "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
             alert_after, discord, email, active, provisioned, next_due_at)
         values ($1, 'someone@lab.test', 'default', 'default', 'direct', 3600, 10, 1, true, true, true, false,
             clock_timestamp() + interval '1 hour') returning id",
        &[&name],
    );
    rows.unwrap()[0].get(0)
}

/// `number` probes of the last days, one every `seconds`, the newest that long ago; `columns` besides what each has.
fn probes(database: &Database, recipient: i32, number: i32, seconds: f64, columns: &str, values: &str) {
    let statement = format!(
        "insert into maildt.probes (id, recipient_id, key_id, sender, mailbox, return_mode, threshold_ms, due_at,
             created_at, first_attempt_at, attempt_at, accepted_at, {columns})
         select gen_random_uuid(), $1, (select min(id) from maildt.signing_keys), 'default', 'default', 'direct', 10000,
             clock_timestamp(), t, t, t, t, {values}
         from generate_series(1, $2) n, lateral (select clock_timestamp() - make_interval(secs => n * $3::float8) as t) x"
    );
    database.query(&statement, &[&recipient, &number, &seconds]).unwrap();
}

const ENDED: &str = "kind, state, result, result_at";
const ARRIVED: &str = "kind, state, result, result_at, arrived_at, latency_ms, placement, folder";

fn delivered(latency: &str) -> String {
    format!("'scheduled', 'delivered', 'delivered', t, t, {latency}, 'inbox', 'INBOX'")
}

fn text(page: &str) -> String {
    page.split('<')
        .filter_map(|part| part.split_once('>'))
        .map(|(_, text)| text)
        .collect::<String>()
        .replace('\u{a0}', " ")
}

fn start() -> (App, Database, Browser) {
    let (app, database) = service(|setup| setup);
    app.await_active();
    let browser = logged_in(&app);
    (app, database, browser)
}

/// The probes that the table of a page links to.
fn listed(page: &str) -> Vec<String> {
    page.split("href=\"/probes/").skip(1).map(|part| part.split('"').next().unwrap().to_owned()).collect()
}

/// The address of the link with this relation.
fn leads(page: &str, relation: &str) -> Option<String> {
    let link = page.split("<a ").find(|part| part.starts_with(&format!("rel=\"{relation}\"")))?;
    let href = link.split("href=\"").nth(1)?.split(['"', '#']).next()?;
    Some(href.replace("&amp;", "&"))
}

#[test]
fn a_history_tells_each_outcome_in_words_figures_and_marks() {
    let (_app, database, mut browser) = start();
    let id = recipient(&database, "<sales>");
    let path = format!("/recipients/{id}/history");
    let page = browser.get(&path);
    assert_eq!(page.status, 200);
    assert!(text(&page.body).contains("No probe has been sent to &lt;sales&gt; yet."), "{}", page.body);
    // 100 in time within 1 … 100 ms × 10, and of each other kind some.
    probes(&database, id, 100, 60.0, ARRIVED, &delivered("n * 10"));
    probes(&database, id, 4, 61.0, ENDED, "'scheduled', 'missing', 'missing', t");
    probes(
        &database,
        id,
        3,
        62.0,
        &format!("{ENDED}, note"),
        "'scheduled', 'bounced', 'bounced', t, '5.2.2 <b>full'",
    );
    let refused = "'scheduled', 'send_failed', 'send_failed', t, 550, 'No such user', 'rcpt', 'smtp_5xx', ''";
    probes(
        &database,
        id,
        2,
        63.0,
        &format!("{ENDED}, reply_code, reply_text, failure_phase, failure_reason, failure_detail"),
        refused,
    );
    probes(&database, id, 1, 64.0, ENDED, "'scheduled', 'inconclusive', 'inconclusive', t");
    probes(&database, id, 5, 65.0, ARRIVED, "'scheduled', 'late', 'late', t, t, 41000, 'inbox', 'INBOX'");
    probes(
        &database,
        id,
        6,
        66.0,
        ARRIVED,
        "'scheduled', 'delivered', 'delivered', t, t, 500, 'junk', 'Spam'",
    );
    // These are in no figure: sent by hand, under way, estimated.
    probes(&database, id, 7, 67.0, ENDED, "'manual', 'missing', 'missing', t");
    probes(&database, id, 8, 68.0, "kind, state", "'scheduled', 'accepted'");
    let estimated = "'scheduled', 'delivered', 'delivered', t, t, 9000, 'inbox', 'INBOX', true";
    probes(&database, id, 9, 69.0, &format!("{ARRIVED}, latency_estimated"), estimated);
    let page = browser.get(&path).body;
    let words = text(&page);
    // 115 of 129: 100 + 6 + 9 in time, 4 + 3 + 2 + 5 not.
    assert!(words.contains("89.1 % of 129 probes to &lt;sales&gt; arrived in time"), "{words}");
    for expected in [
        "6 in Junk, 5 late, 4 missing, 3 bounced, 2 not sent.",
        "8 under way; 1 not observed, in no share; 9 with an estimated latency, in no figure; 7 sent by hand",
        "Half within0.50 s",
        "95 % within1.0 s",
        "Slowest41 s",
        "threshold 10 s",
    ] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    for (class, number) in [("missing", 4), ("bounced", 3), ("failed", 2), ("unknown", 1)] {
        assert_eq!(page.matches(&format!("<use href=\"#mark-{class}\"")).count(), number, "{class}");
    }
    for class in ["d junk", "d late", "d ok", "d hole", "s missing", "s junk"] {
        assert!(page.contains(&format!("class=\"{class}\"")), "{class}");
    }
    for (state, number, seen) in [
        ("missing", 11, "Accepted, then silence."),
        ("bounced", 3, "Came back: 5.2.2 &lt;b&gt;full."),
        ("failed", 2, "Refused at RCPT: 550 No such user."),
        ("unknown", 1, "It could not be judged."),
        ("late", 5, "After the threshold of 10 s."),
        ("junk", 6, "Spam"),
        ("pending", 8, "Sent, not seen yet."),
        ("ok", 50, "≈"),
    ] {
        let page = browser.get(&format!("{path}?state={state}")).body;
        assert_eq!(listed(&page).len(), number, "{state}");
        assert!(text(&page).contains(seen), "{state}: {}", text(&page));
        assert_eq!(
            text(&page).contains("by hand7") || page.matches("by hand</span>").count() == 7,
            state == "missing",
            "{state}"
        );
    }
    let none = text(&browser.get(&format!("{path}?from=2026-01-01&to=2026-01-02")).body);
    assert!(none.contains("no probe to &lt;sales&gt; was judged."), "{none}");
}

#[test]
fn the_pages_of_a_history_have_no_gap_and_no_double() {
    let (_app, database, mut browser) = start();
    let (id, other) = (recipient(&database, "sales"), recipient(&database, "other"));
    probes(&database, id, 60, 60.0, ENDED, "'scheduled', 'missing', 'missing', t");
    probes(&database, other, 60, 60.0, ENDED, "'scheduled', 'missing', 'missing', t");
    // Many of the very same moment, more than a page.
    probes(&database, id, 130, 0.0, ARRIVED, &delivered("400"));
    database
        .query(
            "update maildt.probes set created_at = (select max(created_at) from maildt.probes where recipient_id = $1)
                 - interval '10 minutes' where result = 'delivered'",
            &[&id],
        )
        .unwrap();
    let all = "select id::text from maildt.probes where recipient_id = $1 order by created_at desc, id desc";
    let expected: Vec<String> = database.query(all, &[&id]).unwrap().iter().map(|row| row.get(0)).collect();
    let mut path = format!("/recipients/{id}/history?range=24h");
    let (mut seen, mut first) = (Vec::new(), Vec::new());
    let mut last = String::new();
    for _ in 0..10 {
        let page = browser.get(&path).body;
        if seen.is_empty() {
            first = listed(&page);
            assert!(leads(&page, "prev").is_none(), "there is something above the newest");
        }
        seen.extend(listed(&page));
        last = page;
        match leads(&last, "next") {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(seen, expected);
    // And back up again.
    let mut back = listed(&last);
    while let Some(newer) = leads(&last, "prev") {
        last = browser.get(&newer).body;
        let mut page = listed(&last);
        page.extend(back);
        back = page;
        assert!(back.len() <= expected.len());
    }
    assert_eq!(back, expected);
    assert_eq!(first.len(), 50);
    // The filter goes along.
    let page = browser.get(&format!("/recipients/{id}/history?range=24h&state=missing")).body;
    let next = leads(&page, "next").unwrap();
    assert!(next.contains("state=missing") && next.contains("range=24h"), "{next}");
    assert_eq!(listed(&browser.get(&next).body).len(), 10);
}

/// The rows of a CSV text (RFC 4180).
fn rows(csv: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut letters = csv.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => cell.push(letters.next().unwrap()),
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && letters.peek() == Some(&'\n') => {
                letters.next();
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            letter => cell.push(letter),
        }
    }
    assert!(cell.is_empty() && row.is_empty() && !quoted, "the last line has no end");
    rows
}

/// A body as it was sent, without the lengths of its chunks (RFC 9112, section 7.1).
fn unchunked(body: &str) -> String {
    let (mut rest, mut text) = (body, String::new());
    while let Some((length, after)) = rest.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        text.push_str(&after[..length]);
        rest = &after[length + 2..];
    }
    text
}

#[test]
fn the_csv_has_every_probe_of_the_filter_exactly() {
    let (_app, database, mut browser) = start();
    let id = recipient(&database, "=HYPERLINK(\"x\"),\"y\"");
    probes(&database, id, 4_500, 60.0, ARRIVED, &delivered("412.5"));
    let note = "'scheduled', 'bounced', 'bounced', t, E'=cmd|''/C calc''!A0, \"q\"\\r\\nnext'";
    probes(&database, id, 2, 61.0, &format!("{ENDED}, note"), note);
    let csv = |browser: &mut Browser, query: &str| {
        let answer = browser.get(&format!("/recipients/{id}/history.csv?{query}"));
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.header("content-type").unwrap().starts_with("text/csv; charset=utf-8"));
        let name = answer.header("content-disposition").unwrap();
        assert!(
            name.starts_with("attachment; filename=\"maildt-HYPERLINK") && name.ends_with(".csv\""),
            "{name}"
        );
        rows(&unchunked(&answer.body))
    };
    let all = csv(&mut browser, "range=all");
    assert_eq!(all.len(), 1 + 4_502);
    let ids: HashSet<&String> = all[1..].iter().map(|row| &row[0]).collect();
    assert_eq!(ids.len(), 4_502);
    assert!(all.iter().all(|row| row.len() == all[0].len()));
    let column =
        |name: &str| all[0].iter().position(|head| head == name).unwrap_or_else(|| panic!("no {name}"));
    let one = all[1..].iter().find(|row| row[column("result")] == "delivered").unwrap();
    assert_eq!(one[column("latency_ms")], "412.500");
    assert_eq!(one[column("threshold_ms")], "10000");
    assert_eq!(one[column("recipient")], "'=HYPERLINK(\"x\"),\"y\"");
    let created: jiff::Timestamp = one[column("created_at_utc")].parse().unwrap();
    let statement = "select created_at from maildt.probes where id::text = $1";
    let known: jiff::Timestamp = database.query(statement, &[&one[0]]).unwrap()[0].get(0);
    assert_eq!(created.as_millisecond(), known.as_millisecond());
    let bounced = csv(&mut browser, "range=all&state=bounced");
    assert_eq!(bounced.len(), 3);
    assert_eq!(bounced[1][column("note")], "'=cmd|'/C calc'!A0, \"q\"\r\nnext");
    assert_eq!(csv(&mut browser, "range=1h").len(), 1 + 59 + 2);
    assert_eq!(csv(&mut browser, "to=2020-01-01").len(), 1, "the head is there without any probe");
}

#[test]
fn odd_questions_about_a_history_get_a_helpful_answer() {
    let (app, database, mut browser) = start();
    let id = recipient(&database, "sales");
    probes(&database, id, 3, 60.0, ARRIVED, &delivered("400"));
    for path in [
        "/recipients/0/history",
        "/recipients/x/history",
        "/recipients/99999999999/history",
        "/recipients/-1/history.csv",
    ] {
        assert_eq!(browser.get(path).status, 404, "{path}");
    }
    for query in [
        "from=%3Cscript%3E",
        "from=2026-13-01",
        "to=-009999-01-01",
        "from=9999-12-31T23:59:59Z",
        "range=8d",
        "state=paused",
        "state=%00",
        "before=x",
        "before=1.x",
        "after=-1.00000000000080008000000000000000",
        "before=1.00000000000080008000000000000000&after=x",
        "from=2026-11-02&to=2026-11-01",
        "from=1&from=2",
        "from=%FF%FE",
    ] {
        let page = browser.get(&format!("/recipients/{id}/history?{query}"));
        assert_eq!(page.status, 400, "{query}: {}", page.body);
        assert!(page.body.contains("<h1>") && !page.body.contains("<script>"), "{query}");
        assert_eq!(browser.get(&format!("/recipients/{id}/history.csv?{query}")).status, 400, "{query}");
    }
    let kept = browser.get(&format!("/recipients/{id}/history?from=%3Cscript%3E&state=late")).body;
    assert!(kept.contains("value=\"&lt;script&gt;\"") && kept.contains("value=\"late\" selected"), "{kept}");
    for query in [
        "from=1970-01-01",
        "from=2199-01-01",
        "to=1970-01-01",
        "from=2026-11-01&to=2026-11-01",
        "range=all&state=missing",
    ] {
        let page = browser.get(&format!("/recipients/{id}/history?{query}"));
        assert_eq!(page.status, 200, "{query}: {}", page.body);
        assert!(!page.body.contains("NaN"), "{query}");
    }
    database
        .query("update maildt.recipients set active = false, deleted_at = now() where id = $1", &[&id])
        .unwrap();
    eventually(s(5), "a deleted recipient has no page", || {
        same(&browser.get(&format!("/recipients/{id}/history")).status, &404)
    });
    assert_eq!(Browser::new(app.pages()).get("/recipients/1/history.csv").status, 303);
}
