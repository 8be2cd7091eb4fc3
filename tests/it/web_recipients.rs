//! The recipients' pages: a recipient's whole life by forms, and what becomes of forms that do not fit.

use crate::lab::app::{App, Recipient, Setup};
use crate::lab::browser::{Browser, FORM, Page};
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, so};
use crate::web::{logged_in, service};

/// With accounts at which nobody answers: what matters here is what is written down.
pub fn with_accounts(setup: Setup) -> Setup {
    setup
        .env("SMTP_HOST", "127.0.0.1")
        .env("SMTP_PORT", "9")
        .env("SMTP_TLS", "none")
        .env("SMTP_USER", "monitor@lab.test")
        .env("SMTP_PASS", "unused-password")
        .env("IMAP_HOST", "127.0.0.1")
        .env("IMAP_PORT", "9")
        .env("IMAP_TLS", "none")
        .env("IMAP_USER", "monitor@lab.test")
        .env("IMAP_PASS", "unused-password")
}

/// The fields of a form that is all right, with these in the place of others.
pub fn form<'a>(changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("address", "sales@lab.test"),
        ("name", "sales"),
        ("interval", "1h"),
        ("alert_threshold", "5m"),
        ("alert_after", "1"),
        ("return_mode", "direct"),
        ("discord", "true"),
        ("email", "true"),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        if *value != "-" {
            fields.push((name, value));
        }
    }
    fields
}

/// Adds a recipient by the form; the path of its page.
#[track_caller]
pub fn added(browser: &mut Browser, changes: &[(&str, &str)]) -> String {
    let page = browser.post("/recipients", &form(changes));
    page.leads_to().split('?').next().unwrap().to_owned()
}

/// What its page says of its version, as the edit form has it.
#[track_caller]
pub fn version(browser: &mut Browser, path: &str) -> String {
    let page = browser.get(&format!("{path}/edit")).body;
    page.split("name=\"version\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// The one recipient: name, address, interval, threshold, after, mode, discord, email, active, deleted.
fn columns(database: &Database) -> Vec<String> {
    let rows = database.query(
        "select concat_ws(' ', name, address, interval_s, alert_threshold_s, alert_after, return_mode, discord, email, active,
             deleted_at is not null) from maildt.recipients order by id",
        &[],
    );
    rows.unwrap().iter().map(|row| row.get(0)).collect()
}

fn said(page: &Page, words: &[&str]) {
    for words in words {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
}

#[test]
fn a_recipient_lives_and_dies_by_forms() {
    let (app, database) = service(|setup| with_accounts(setup).env("TZ", "Europe/Vienna"));
    app.await_active();
    let mut browser = logged_in(&app);
    let empty = browser.get("/recipients");
    said(&empty, &["No recipient yet.", "href=\"/recipients/new\""]);
    let blank = browser.get("/recipients/new");
    said(&blank, &["action=\"/recipients\"", "value=\"1h\"", "value=\"5m\"", "for=\"address\""]);
    assert!(!blank.body.contains("<select id=\"sender\""), "a choice of one: {}", blank.body);

    let answer = browser.post("/recipients", &form(&[("interval", "5400"), ("alert_threshold", "90s")]));
    let path = answer.leads_to().to_owned();
    assert!(path.contains("done=added&try="), "{path}");
    assert_eq!(columns(&database), ["sales sales@lab.test 5400 90 1 direct t t t f"]);
    let due = database.query(
        "select extract(epoch from next_due_at - clock_timestamp())::float8 from maildt.recipients",
        &[],
    );
    let due: f64 = due.unwrap()[0].get(0);
    assert!((60.0..=90.0).contains(&due), "the trial comes first: due in {due} s");
    let page = browser.get(path.split('#').next().unwrap());
    said(&page, &["role=\"status\"", "Added.", "id=\"trial\"", "90m", "90s", "Probe now"]);
    let path = path.split('?').next().unwrap().to_owned();
    said(&browser.get("/recipients"), &["1 recipient", &format!("href=\"{path}\""), "Discord, e-mail"]);
    said(&browser.get("/"), &[&format!("href=\"{path}\"")]);

    let old = version(&mut browser, &path);
    let changes = [
        ("name", "Sales & <Co>"),
        ("return_mode", "echo"),
        ("email", "-"),
        ("alert_after", "3"),
        ("version", &old),
    ];
    let answer = browser.post(&format!("{path}/edit"), &form(&changes));
    assert_eq!(answer.leads_to(), format!("{path}?done=saved"));
    assert_eq!(columns(&database), ["Sales & <Co> sales@lab.test 3600 300 3 echo t f t f"]);
    said(
        &browser.get(&format!("{path}?done=saved")),
        &["Saved.", "Sales &amp; &lt;Co&gt;", "after 3 failures"],
    );

    for (deed, done, active) in
        [("pause", "paused", "f"), ("pause", "paused", "f"), ("resume", "resumed", "t")]
    {
        let answer = browser.post(&format!("{path}/{deed}"), &[]);
        assert_eq!(answer.leads_to(), format!("{path}?done={done}"));
        assert!(columns(&database)[0].ends_with(&format!("{active} f")), "{:?}", columns(&database));
        let state = if active == "f" { "Paused" } else { "Waiting" };
        said(&browser.get("/recipients"), &[state]);
    }

    let mute = |browser: &mut Browser, until: &str, at: &str| {
        browser.post(&format!("{path}/mute"), &[("until", until), ("at", at)])
    };
    let muted_for = || -> Option<f64> {
        let rows = database.query(
            "select extract(epoch from muted_until - clock_timestamp())::float8 from maildt.recipients",
            &[],
        );
        rows.unwrap()[0].get(0)
    };
    assert_eq!(mute(&mut browser, "4h", "").leads_to(), format!("{path}?done=muted"));
    assert!((14_300.0..=14_400.0).contains(&muted_for().unwrap()));
    said(&browser.get(&path), &["class=\"tag\">muted", "not any more"]);
    said(&browser.get("/recipients?state=muted"), &["Sales &amp; &lt;Co&gt;"]);
    assert_eq!(mute(&mut browser, "at", "2099-07-01T08:00").status, 303);
    let until = database.query(
        "select to_char(muted_until at time zone 'UTC', 'YYYY-MM-DD HH24:MI') from maildt.recipients",
        &[],
    );
    assert_eq!(until.unwrap()[0].get::<_, String>(0), "2099-07-01 06:00", "on the clock of TZ");
    let refused = mute(&mut browser, "at", "2001-07-01T08:00");
    assert_eq!(refused.status, 422);
    said(&refused, &["id=\"mute-refused\"", "aria-invalid=\"true\"", "2001-07-01T08:00"]);
    assert_eq!(mute(&mut browser, "off", "").leads_to(), format!("{path}?done=unmuted"));
    assert_eq!(muted_for(), None);

    let question = browser.get(&format!("{path}/delete"));
    said(&question, &["Delete Sales &amp; &lt;Co&gt;?", "Keep it", "series in the metrics end"]);
    let now = version(&mut browser, &path);
    let answer = browser.post(&format!("{path}/delete"), &[("version", &now)]);
    assert_eq!(answer.leads_to(), "/recipients?done=deleted");
    assert!(columns(&database)[0].ends_with("f t"), "{:?}", columns(&database));
    said(&browser.get("/recipients?done=deleted"), &["Deleted.", "No recipient yet."]);
    let again = browser.post(&format!("{path}/delete"), &[("version", &now)]);
    assert_eq!(again.leads_to(), "/recipients?done=deleted-before");
    for (method, rest) in
        [("GET", ""), ("GET", "/edit"), ("GET", "/delete"), ("POST", "/pause"), ("POST", "/probe")]
    {
        let headers = [("Sec-Fetch-Site", "same-origin"), FORM];
        let page = browser.ask(method, &format!("{path}{rest}"), &headers, b"").unwrap();
        assert_eq!(page.status, 404, "{method} {rest}: {page:?}");
        said(&page, &["There is no such recipient"]);
    }
    // The name is free again.
    assert_eq!(browser.post("/recipients", &form(&[("name", "Sales & <Co>")])).status, 303);
}

#[test]
fn the_same_form_sent_twice_or_at_once_makes_one_recipient() {
    let (app, database) = service(with_accounts);
    let mut browser = logged_in(&app);
    let path = added(&mut browser, &[]);
    let again = browser.post("/recipients", &form(&[]));
    assert_eq!(again.leads_to(), format!("{path}?done=exists"));
    said(&browser.get(&format!("{path}?done=exists")), &["has been added already"]);
    let other = browser.post("/recipients", &form(&[("address", "other@lab.test")]));
    assert_eq!(other.status, 422);
    said(&other, &["nother recipient is called", &format!("href=\"{path}\""), "value=\"other@lab.test\""]);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let mut browser = browser.clone();
            scope.spawn(move || {
                let address = format!("n{n}@lab.test");
                let page = browser.post("/recipients", &form(&[("name", "race"), ("address", &address)]));
                assert!(matches!(page.status, 303 | 422), "{page:?}");
            });
        }
    });
    let names = columns(&database);
    assert_eq!(names.iter().filter(|row| row.starts_with("race ")).count(), 1, "{names:?}");
    // Another one cannot take the name later either.
    let path = added(&mut browser, &[("name", "third")]);
    let version = version(&mut browser, &path);
    let page = browser.post(&format!("{path}/edit"), &form(&[("name", "race"), ("version", &version)]));
    assert_eq!(page.status, 422);
    said(&page, &["nother recipient is called", "id=\"name-refused\""]);
}

#[test]
fn what_does_not_fit_is_said_beside_its_field_and_what_was_typed_is_kept() {
    let (app, database) = service(with_accounts);
    let mut browser = logged_in(&app);
    let long = "ab".repeat(65);
    for (field, value, why) in [
        ("address", "", "It is missing. Give the address to be monitored."),
        ("address", "nobody", "it has no @"),
        ("address", "a b@lab.test", "no address"),
        ("address", "ü@lab.test", "xn--"),
        ("address", "<script>@lab.test", "no address"),
        ("name", &long, "1 to 128 characters"),
        ("name", "a\u{7}b", "control characters"),
        ("interval", "soon", "is not a duration"),
        ("interval", "29s", "29s is shorter than 30s. Choose 30s to 7d."),
        ("interval", "8d", "longer than 7d"),
        ("interval", "-1", "is not a duration"),
        ("alert_threshold", "9", "9s is shorter than 10s"),
        ("alert_threshold", "2d", "longer than 1d"),
        ("alert_after", "0", "whole number from 1 to 1000"),
        ("alert_after", "1.5", "whole number"),
        ("return_mode", "maybe", "is not a return mode"),
        ("sender", "nobody", "there is no sender"),
        ("mailbox", "\"><b>", "there is no mailbox"),
        ("discord", "perhaps", "neither true nor false"),
    ] {
        let page = browser.post("/recipients", &form(&[(field, value)]));
        let what = format!("{field}={value}: {}", page.body);
        assert_eq!(page.status, 422, "{what}");
        let text = page.body.to_lowercase();
        assert!(text.contains(&why.to_lowercase()), "{why}: {what}");
        assert!(page.body.contains("One field needs another value"), "{what}");
        assert!(page.body.contains(&format!("id=\"{field}-refused\"")), "{what}");
        let link = if field == "return_mode" { "mode-direct" } else { field };
        assert!(
            page.body.contains(&format!("href=\"#{link}\"")) && page.body.contains(&format!("id=\"{link}\"")),
            "{what}"
        );
        if field != "return_mode" {
            assert!(
                page.body.contains(&format!("aria-describedby=\"{field}-refused {field}-hint\"")),
                "{what}"
            );
        }
        let kept =
            value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
        if !matches!(field, "return_mode" | "discord") && !value.is_empty() {
            assert!(page.body.contains(&format!("value=\"{kept}\"")), "{what}");
        }
        assert!(page.body.contains("value=\"1h\"") || field == "interval", "{what}");
        assert!(!page.body.contains("<script>@") && !page.body.contains("\"><b>"), "{what}");
    }
    let both =
        browser.post("/recipients", &form(&[("address", "x"), ("interval", "y"), ("alert_after", "z")]));
    said(
        &both,
        &[
            "3 fields need other values",
            "href=\"#address\"",
            "href=\"#interval\"",
            "href=\"#alert_after\"",
            "autofocus",
        ],
    );
    assert_eq!(columns(&database), Vec::<String>::new());
}

#[test]
fn two_people_do_not_overwrite_each_other() {
    let (app, database) = service(with_accounts);
    let mut one = logged_in(&app);
    let path = added(&mut one, &[]);
    let mut other = logged_in(&app);
    let old = version(&mut one, &path);
    let theirs = other.post(&format!("{path}/edit"), &form(&[("interval", "2h"), ("version", &old)]));
    assert_eq!(theirs.status, 303);
    let mine = [("alert_threshold", "3m"), ("name", "mine"), ("version", &old)];
    let page = one.post(&format!("{path}/edit"), &form(&mine));
    assert_eq!(page.status, 409);
    said(
        &page,
        &[
            "Somebody else has changed this recipient meanwhile",
            "in 3 fields",
            "value=\"mine\"",
            "value=\"3m\"",
        ],
    );
    let rows: Vec<&str> = page.body.split("<tr").filter(|row| row.contains("differs</span>")).collect();
    let differs = |field: &str, now: &str, typed: &str| {
        let row = rows
            .iter()
            .find(|row| row.contains(&format!(">{field}</th>")))
            .unwrap_or_else(|| panic!("{rows:?}"));
        assert!(row.contains(&format!("<td>{now}</td><td>{typed}</td>")), "{row}");
    };
    differs("Name", "sales", "mine");
    differs("Interval", "2h", "1h");
    differs("Threshold", "5m", "3m");
    assert_eq!(rows.len(), 3);
    assert_eq!(columns(&database), ["sales sales@lab.test 7200 300 1 direct t t t f"], "nothing of mine yet");
    let newer =
        page.body.split("name=\"version\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_ne!(newer, old);
    let saved = one.post(
        &format!("{path}/edit"),
        &form(&[("alert_threshold", "3m"), ("name", "mine"), ("version", &newer)]),
    );
    assert_eq!(saved.leads_to(), format!("{path}?done=saved"));
    assert_eq!(columns(&database), ["mine sales@lab.test 3600 180 1 direct t t t f"]);
    // The same form once more is no conflict with oneself.
    let again = one.post(
        &format!("{path}/edit"),
        &form(&[("alert_threshold", "3m"), ("name", "mine"), ("version", &newer)]),
    );
    assert_eq!(again.leads_to(), format!("{path}?done=saved"));
    // What one has not seen is not deleted.
    let page = other.post(&format!("{path}/delete"), &[("version", &old)]);
    assert_eq!(page.status, 409);
    said(&page, &["Look at it again"]);
    assert!(columns(&database)[0].ends_with("t f"));
    // An edit that was begun before somebody paused it does not start it again.
    let begun = version(&mut one, &path);
    assert_eq!(other.post(&format!("{path}/pause"), &[]).status, 303);
    let page = one.post(&format!("{path}/edit"), &form(&[("name", "still mine"), ("version", &begun)]));
    assert_eq!(page.status, 409);
    said(&page, &["<td>paused</td>"]);
}

#[test]
fn a_recipient_of_the_file_is_looked_at_and_probed_and_not_changed() {
    let (app, database) =
        service(|setup| with_accounts(setup).recipient(Recipient::new("filed", "filed@lab.test")));
    app.await_active();
    let mut browser = logged_in(&app);
    let id: i32 = database.query("select id from maildt.recipients", &[]).unwrap()[0].get(0);
    let path = format!("/recipients/{id}");
    let page = browser.get(&path);
    said(&page, &["maildt.toml", "SIGHUP", "filed@lab.test", "Probe now", "class=\"tag\">file"]);
    for absent in ["/pause", "/mute", "/edit", "/delete"] {
        assert!(!page.body.contains(&format!("{path}{absent}\"")), "{absent} is offered: {}", page.body);
    }
    let before = columns(&database);
    for (rest, fields) in [
        ("/edit", form(&[("version", "1")])),
        ("/pause", vec![]),
        ("/resume", vec![]),
        ("/mute", vec![("until", "1h"), ("at", "")]),
        ("/mute", vec![("until", "at"), ("at", "")]),
        ("/delete", vec![("version", "1")]),
        ("/adopt", vec![("version", "1"), ("return_mode", "echo")]),
    ] {
        let answer = browser.post(&format!("{path}{rest}"), &fields);
        assert_eq!(answer.status, 409, "{rest}: {answer:?}");
        said(&answer, &["maildt.toml", "SIGHUP"]);
    }
    for rest in ["/edit", "/delete"] {
        assert_eq!(browser.get(&format!("{path}{rest}")).status, 409, "{rest}");
    }
    assert_eq!(columns(&database), before);
    let answer = browser.post(&format!("{path}/probe"), &[]);
    assert!(answer.leads_to().starts_with(&format!("{path}?done=asked&try=")), "{answer:?}");
    said(&browser.get("/recipients?state=file"), &["filed"]);
}

#[test]
fn without_accounts_it_says_what_to_set_first() {
    let (app, database) = service(|setup| setup);
    let mut browser = logged_in(&app);
    for path in ["/recipients", "/recipients/new"] {
        said(
            &browser.get(path),
            &["no account that sends, and no mailbox that is watched", "SMTP_HOST", "IMAP_HOST"],
        );
    }
    let page = browser.post("/recipients", &form(&[]));
    assert_eq!(page.status, 422);
    said(&page, &["SMTP_HOST"]);
    assert_eq!(columns(&database), Vec::<String>::new());
}

#[test]
fn several_accounts_are_offered_and_one_is_not() {
    let (app, database) = service(|setup| {
        with_accounts(setup).tables(
            "[senders.bulk]\nhost = \"127.0.0.1\"\nport = 9\ntls = \"none\"\nuser = \"bulk@lab.test\"\npass = \"unused\"\n",
        )
    });
    let mut browser = logged_in(&app);
    said(
        &browser.get("/recipients/new"),
        &["<select id=\"sender\"", "<select id=\"mailbox\"", ">bulk</option>"],
    );
    let path = added(&mut browser, &[("sender", "bulk"), ("mailbox", "default")]);
    let sender: String = database.query("select sender from maildt.recipients", &[]).unwrap()[0].get(0);
    assert_eq!(sender, "bulk");
    said(&browser.get("/recipients"), &["bulk → default"]);
    said(&browser.get(&path), &["<dt>Sender</dt><dd>bulk</dd>"]);
    said(&browser.get(&format!("{path}/edit")), &["value=\"bulk\" selected"]);
    said(&browser.get("/recipients?q=bulk"), &["sales"]);
}

#[test]
fn a_thousand_recipients_are_listed_and_found() {
    let (app, database) = service(with_accounts);
    database
        .query(
            "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
                 alert_after, discord, email, active, provisioned, next_due_at)
             select 'r' || n, n || '@lab.test', 'default', 'default', 'direct', 3600, 300, 1, true, n % 2 = 0, n % 10 > 0, false,
                 clock_timestamp() + interval '1 hour' from generate_series(1, 1000) n",
            &[],
        )
        .unwrap();
    let mut browser = logged_in(&app);
    let rows = |page: &Page| page.body.matches("class=\"who\"").count();
    let whole = eventually(s(5), "all are there", || {
        let page = browser.get("/recipients");
        so(rows(&page) == 1000, || format!("{} rows", rows(&page)))?;
        Ok(page)
    });
    said(&whole, &["1,000 recipients", "100 are paused"]);
    assert!(whole.body.len() < 700_000, "{} octets", whole.body.len());
    for (query, expected) in [
        ("q=r77", 11),
        ("q=%20R999%20", 1),
        ("state=paused", 100),
        ("q=r1&state=paused", 12),
        ("q=nobody", 0),
        ("state=nonsense", 0),
    ] {
        let page = browser.get(&format!("/recipients?{query}"));
        assert_eq!(rows(&page), expected, "{query}");
    }
    said(
        &browser.get("/recipients?q=%22%3E%3Cb%3E"),
        &["value=\"&quot;&gt;&lt;b&gt;\"", "No recipient is like that."],
    );
    let start = std::time::Instant::now();
    let best = (0..5)
        .map(|_| {
            let start = std::time::Instant::now();
            browser.get("/recipients");
            start.elapsed()
        })
        .min()
        .unwrap();
    eprintln!("the list of 1,000 recipients took {best:?}, unoptimised; {:?} in all", start.elapsed());
    assert!(best < s(1), "{best:?}");
}

#[test]
fn a_notice_is_never_text_of_somebody_else() {
    let (app, _database) = service(with_accounts);
    let mut browser = logged_in(&app);
    let path = added(&mut browser, &[]);
    for done in ["Your+password+has+expired", "%3Cb%3E", "saved%20", "SAVED", "%00"] {
        for page in
            [browser.get(&format!("{path}?done={done}")), browser.get(&format!("/recipients?done={done}"))]
        {
            assert!(page.status == 200 && !page.body.contains("id=\"done\""), "{done}: {}", page.body);
        }
    }
}

/// Shared by the tests of odd requests.
pub fn is_well(app: &App) {
    assert!(app.healthy().is_ok());
    assert!(!app.log().contains("panicked"), "{}", app.log_tail(40));
}
