//! "Probe now": a probe that somebody asks for is sent at once, and counts nowhere.

use uuid::Uuid;

use crate::lab::app::Recipient;
use crate::lab::browser::Browser;
use crate::lab::policy::Fate;
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;
use crate::web::{logged_in, service};
use crate::web_recipients::{added, version, with_accounts};

fn id_of(database: &Database, name: &str) -> i32 {
    let rows =
        database.query("select id from maildt.recipients where name = $1 and deleted_at is null", &[&name]);
    rows.unwrap()[0].get(0)
}

/// Asks for a probe; its identity.
#[track_caller]
fn ask(browser: &mut Browser, recipient: i32) -> Uuid {
    let page = browser.post(&format!("/recipients/{recipient}/probe"), &[]);
    page.leads_to().split("try=").nth(1).unwrap().split('#').next().unwrap().parse().unwrap()
}

fn state(database: &Database, probe: Uuid) -> String {
    let rows = database.query("select state || ' ' || kind from maildt.probes where id = $1", &[&probe]);
    rows.unwrap().first().map(|row| row.get(0)).unwrap_or_default()
}

#[test]
fn a_probe_by_hand_is_sent_at_once_and_counts_nowhere() {
    let Some(world) = World::new("a_probe_by_hand_is_sent_at_once_and_counts_nowhere") else { return };
    let app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    eventually(s(30), "the scheduled one is delivered", || world.records().first("alice", &["delivered"]));
    let id = id_of(&world.database, "alice");
    let mut browser = logged_in(&app);
    let series = [
        "maildt_probe_results_total{recipient=\"alice\",result=\"delivered\"}",
        "maildt_probes_sent_total{recipient=\"alice\"}",
        "maildt_delivery_latency_seconds_count{recipient=\"alice\"}",
        "maildt_recipient_state{recipient=\"alice\",state=\"ok\"}",
        "maildt_last_send_timestamp_seconds{recipient=\"alice\"}",
        "maildt_last_delivery_latency_seconds{recipient=\"alice\"}",
        "maildt_probes_in_flight{recipient=\"alice\"}",
    ];
    let read = || series.map(|series| app.metrics().unwrap().get(series));
    eventually(s(10), "it is counted", || so(read()[0] == Some(1.0), || format!("{:?}", read())));
    let before = read();
    let due = || -> String {
        world.database.query("select next_due_at::text from maildt.recipients", &[]).unwrap()[0].get(0)
    };
    let due_before = due();
    // The best of two: other tests run at the same time.
    let took = (0..2).map(|_| {
        let start = std::time::Instant::now();
        let probe = ask(&mut browser, id);
        eventually(s(20), "it is under way", || {
            so(!state(&world.database, probe).is_empty(), || "no row".to_owned())
        });
        let took = start.elapsed();
        eventually(s(30), "it is delivered", || {
            same(&state(&world.database, probe), &"delivered manual".to_owned())
        });
        let page = browser.get(&format!("/recipients/{id}?try={probe}"));
        assert!(
            page.body.contains("id=\"trial\"") && page.body.contains("Delivered to INBOX"),
            "{}",
            page.body
        );
        took
    });
    let best = took.min().unwrap();
    assert!(best < s(2), "taken after {best:?}");
    eventually(s(10), "all is taken out of the mailbox", || same(&world.mail().count("INBOX"), &0));
    assert_eq!(read(), before);
    assert_eq!(due(), due_before);
    assert_eq!(world.smtp().tokens_sent().len(), 3);
}

#[test]
fn a_paused_recipient_can_be_probed_by_hand_and_a_lost_probe_raises_no_alarm() {
    let test = "a_paused_recipient_can_be_probed_by_hand_and_a_lost_probe_raises_no_alarm";
    let Some(world) = World::new(test) else { return };
    let address = world.address("lost");
    world.lab.policy.set(&address, Fate::Lost);
    let app = world.setup().start();
    app.await_active();
    let mut browser = logged_in(&app);
    let path = added(
        &mut browser,
        &[("name", "lost"), ("address", &address), ("alert_threshold", "10s"), ("interval", "1d")],
    );
    assert_eq!(browser.post(&format!("{path}/pause"), &[]).status, 303);
    let id = id_of(&world.database, "lost");
    let probe = ask(&mut browser, id);
    eventually(s(60), "it is missing", || same(&state(&world.database, probe), &"missing manual".to_owned()));
    let page = browser.get(&format!("{path}?try={probe}"));
    for words in
        ["Where it was looked for", "What must be set up for", "redirect", "automatic reply", "INBOX"]
    {
        assert!(page.body.contains(words), "{words}: {}", page.body);
    }
    throughout(s(2), "nobody is told", || same(&world.records().incidents()?.len(), &0));
    let scrape = app.metrics().unwrap();
    assert!(scrape.count("maildt_recipient_state{recipient=\"lost\",state=\"paused\"}") > 0.5);
    assert!(scrape.sum("maildt_probe_results_total") < 0.5);
    assert!(scrape.sum("maildt_probes_missing_total") < 0.5);
    // A deleted one cannot.
    let version = version(&mut browser, &path);
    browser.post(&format!("{path}/delete"), &[("version", &version)]).leads_to();
    assert_eq!(browser.post(&format!("{path}/probe"), &[]).status, 404);
}

#[test]
fn no_more_than_three_probes_by_hand_are_under_way_even_when_asked_for_at_once() {
    // Nobody takes them: what is asked for adds up.
    let (app, database) = service(with_accounts);
    app.await_active();
    let mut browser = logged_in(&app);
    let path = added(&mut browser, &[]);
    database.query("update maildt.recipients set sender = 'gone'", &[]).unwrap();
    database.query("delete from maildt.requests", &[]).unwrap();
    database.query("delete from maildt.probes", &[]).unwrap();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                let (mut browser, path) = (browser.clone(), path.clone());
                scope.spawn(move || browser.post(&format!("{path}/probe"), &[]).status)
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 3, "{statuses:?}");
    assert!(statuses.iter().all(|status| matches!(status, 303 | 429)), "{statuses:?}");
    let page = browser.post(&format!("{path}/probe"), &[]);
    assert!(page.status == 429 && page.body.contains("Enough probes are under way"), "{page:?}");
    // Those that nobody took run out and make room.
    database
        .query("update maildt.requests set requested_at = requested_at - interval '3 minutes'", &[])
        .unwrap();
    let first: Uuid = database.query("select probe_id from maildt.requests limit 1", &[]).unwrap()[0].get(0);
    let page = browser.get(&format!("{path}?try={first}"));
    assert!(page.body.contains("Nobody took it within 2 minutes"), "{}", page.body);
    assert_eq!(browser.post(&format!("{path}/probe"), &[]).status, 303);
}

#[test]
fn a_request_that_has_run_out_is_not_sent_later() {
    let Some(world) = World::new("a_request_that_has_run_out_is_not_sent_later") else { return };
    let app = world.setup().start();
    app.await_active();
    let mut browser = logged_in(&app);
    added(&mut browser, &[("address", &world.address("x"))]);
    let id = id_of(&world.database, "sales");
    let old = maildt::domain::id::ProbeId::new(1_000, maildt::domain::id::RecipientId(id), 7).uuid();
    world
        .database
        .query(
            "insert into maildt.requests (probe_id, recipient_id, requested_at)
             values ($1, $2, clock_timestamp() - interval '121 seconds')",
            &[&old, &id],
        )
        .unwrap();
    eventually(s(10), "it is taken off the list", || {
        let left: i64 = world.database.query("select count(*) from maildt.requests", &[]).unwrap()[0].get(0);
        same(&left, &0)
    });
    assert_eq!(state(&world.database, old), "");
    let token = old.simple().to_string();
    assert!(world.smtp().tokens_sent().iter().all(|sent| !sent.contains(&token)));
}

#[test]
fn a_request_whose_commit_is_not_answered_is_sent_once() {
    let Some(world) = World::new("a_request_whose_commit_is_not_answered_is_sent_once") else { return };
    let app = world.setup().limit("lease", "\"20s\"").start();
    app.await_active();
    let mut browser = logged_in(&app);
    let path = added(
        &mut browser,
        &[("address", &world.address("x")), ("interval", "1d"), ("alert_threshold", "1d")],
    );
    eventually(s(20), "its trial is over", || {
        so(world.records().of("sales").iter().any(|p| p.state == "delivered"), || "not yet".to_owned())
    });
    let sent = world.smtp().tokens_sent().len();
    // The commit of such a probe takes a second, in which the line is cut: it happens, and nobody hears of it.
    for statement in [
        "create function maildt.slow() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return null; end $$",
        "create constraint trigger slow after insert on maildt.probes deferrable initially deferred
             for each row when (new.kind = 'manual') execute function maildt.slow()",
    ] {
        world.database.query(statement, &[]).unwrap();
    }
    let id = id_of(&world.database, "sales");
    let probe = ask(&mut browser, id);
    eventually(s(10), "it is being committed", || {
        let rows = world.database.query(
            "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
            &[],
        );
        so(!rows.unwrap().is_empty(), || "not yet".to_owned())
    });
    world.sql().refuse();
    assert_eq!(state(&world.database, probe), "", "it was committed before the line was cut");
    eventually(s(10), "it is committed", || {
        same(&state(&world.database, probe), &"sending manual".to_owned())
    });
    assert_eq!(world.smtp().tokens_sent().len(), sent, "sent before anybody knew");
    world.database.query("drop trigger slow on maildt.probes", &[]).unwrap();
    world.sql().pass();
    eventually(s(30), "it is delivered", || {
        same(&state(&world.database, probe), &"delivered manual".to_owned())
    });
    throughout(s(2), "it is sent once", || same(&world.smtp().tokens_sent().len(), &(sent + 1)));
    assert_eq!(browser.get(&path).status, 200);
}
