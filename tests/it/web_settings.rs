//! What the admin UI shows and does about alerts, and how it says each part fares.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::app::{App, Recipient, Setup};
use crate::lab::browser::Browser;
use crate::lab::discord::{Answer, TOKEN};
use crate::lab::dovecot::PASSWORD;
use crate::lab::oncall::OnCall;
use crate::lab::policy::Fate;
use crate::lab::wait::{eventually, s, so};
use crate::lab::world::World;
use crate::web::{await_pages, logged_in, service};

/// A page as text, without its tags and with ordinary spaces.
fn text(page: &str) -> String {
    let text: String =
        page.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| text).collect();
    text.replace('\u{a0}', " ").replace("&quot;", "\"")
}

fn settings(browser: &mut Browser) -> String {
    let page = browser.get("/settings");
    assert_eq!(page.status, 200, "{page:?}");
    shows_no_secret(&page.body);
    text(&page.body)
}

#[track_caller]
fn shows_no_secret(page: &str) {
    for secret in [TOKEN, PASSWORD, "99887766"] {
        assert!(!page.contains(secret), "{secret} is on the page: {page}");
    }
}

#[track_caller]
fn has(page: &str, words: &[&str]) {
    for words in words {
        assert!(page.contains(words), "no {words:?} in: {page}");
    }
}

/// Presses the button of a channel.
fn test_alert(browser: &mut Browser, channel: &str) {
    let page = browser.post("/settings/test", &[("channel", channel)]);
    assert_eq!(page.leads_to(), "/settings#channels");
}

fn ready(setup: Setup) -> (App, Browser) {
    let app = setup.start();
    await_pages(&app);
    app.await_active();
    let browser = logged_in(&app);
    (app, browser)
}

#[test]
fn a_test_alert_is_sent_from_the_settings_and_its_result_is_shown() {
    let test = "a_test_alert_is_sent_from_the_settings_and_its_result_is_shown";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let (app, mut browser) = ready(ops.on(world.setup()));
    let page = settings(&mut browser);
    has(&page, &["No alert went out by it yet", "sent at once by this instance", &ops.address()]);
    assert!(!page.contains("Test alert of"), "{page}");

    test_alert(&mut browser, "discord");
    has(&settings(&mut browser), &["delivered after", "It should be in the channel."]);
    test_alert(&mut browser, &format!("email:{}", ops.address()));
    has(&settings(&mut browser), &["The mail server took it"]);
    ops.hear(s(10), &["Test alert"]);

    // Two presses of the button at once are one.
    std::thread::sleep(Duration::from_secs(3));
    let presses: Vec<_> = (0..2)
        .map(|_| {
            let mut browser = browser.clone();
            std::thread::spawn(move || test_alert(&mut browser, "discord"))
        })
        .collect();
    for press in presses {
        press.join().unwrap();
    }
    assert_eq!(ops.discord.alerts().len(), 2, "one more than before");

    // What the channel says of a refusal is shown, its secret is not.
    std::thread::sleep(Duration::from_secs(3));
    ops.discord.replace_webhook();
    test_alert(&mut browser, "discord");
    has(&settings(&mut browser), &["not delivered. 404 Unknown Webhook", "make a new webhook in Discord"]);

    // Only what is configured, and nothing that an address says.
    for channel in ["email:somebody@else.test", "", "discord\0", "email:"] {
        assert_eq!(browser.post("/settings/test", &[("channel", channel)]).status, 400, "{channel:?}");
    }
    assert_eq!(browser.post("/settings/test", &[]).status, 400);
    assert_eq!(browser.get("/settings/test").status, 405);
    assert_eq!(browser.ask("POST", "/settings/test", &[], b"channel=discord").unwrap().status, 403);
    let mail = ops.mail().len();
    let page = text(&browser.get("/settings?test=delivered&result=delivered").body);
    assert_eq!(page.matches("Test alert of").count(), 2, "{page}");
    assert_eq!(ops.mail().len(), mail);
    assert!(!app.log().contains(TOKEN) && app.log().contains("somebody sends a test alert"));
}

#[test]
fn a_test_alert_that_hangs_holds_up_no_page_and_too_many_are_refused() {
    let test = "a_test_alert_that_hangs_holds_up_no_page_and_too_many_are_refused";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let more: Vec<String> = (0..6).map(|n| format!("more{n}@lab.test")).collect();
    let setup =
        ops.on(world.setup()).env("ALERT_MAIL_RECIPIENT", &format!("{},{}", ops.address(), more.join(",")));
    let (_app, mut browser) = ready(setup.limit("channel_send", "\"12s\""));
    ops.discord.answer(Answer::Hangs);
    let began = Instant::now();
    test_alert(&mut browser, "discord");
    assert!(began.elapsed() < s(11), "the answer took {:?}", began.elapsed());
    let page = browser.get("/settings");
    assert!(page.body.contains("http-equiv=\"refresh\"") && page.body.contains("under way"), "{page:?}");
    test_alert(&mut browser, "discord");
    assert_eq!(ops.discord.calls().len(), 1, "it is under way already");
    eventually(s(15), "it is given up", || {
        let page = settings(&mut browser);
        so(page.contains("not delivered. No answer within 12 s"), || page.clone())
    });
    for address in &more[..5] {
        test_alert(&mut browser, &format!("email:{address}"));
    }
    let page = browser.post("/settings/test", &[("channel", &format!("email:{}", more[5]))]);
    assert_eq!(page.status, 429, "{page:?}");
    assert!(page.header("retry-after").is_some());
    has(&text(&page.body), &["Enough test alerts for now", "Try again in"]);
}

#[test]
fn settings_say_what_is_wrong_with_each_part_and_since_when() {
    let test = "settings_say_what_is_wrong_with_each_part_and_since_when";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    world.lab.policy.set(&world.address("alice"), Fate::Lost);
    let setup = ops.on(world.setup().limit("channel_down_after", "\"2s\""));
    let setup = setup.recipient(Recipient::new("alice", &world.address("alice")).threshold("2s"));
    let (app, mut browser) = ready(setup);
    ops.hear(s(40), &["Missing: alice"]);
    let page = settings(&mut browser);
    has(
        &page,
        &[
            "MailDT itself is well.",
            "Took the last probe",
            "Mailbox default, INBOX",
            "Watched since",
            "Took the last message",
            ", schema ",
            "Its clock and ours agree",
            "Active: it does the work since",
            "As it was read at the start.",
        ],
    );

    // A broken file changes nothing, and says so.
    std::fs::write(app.setup.file(), "alert_reminder = \"nonsense\"\n").unwrap();
    app.signal(Signal::SIGHUP);
    eventually(s(10), "the refused configuration is told", || {
        let page = settings(&mut browser);
        so(page.contains("was refused, so that nothing changed: ") && page.contains("ALERT_REMINDER"), || {
            page.clone()
        })
    });
    app.setup.write();
    app.signal(Signal::SIGHUP);
    eventually(s(10), "and the next one that is read", || {
        let page = settings(&mut browser);
        so(page.contains("Read again at"), || page.clone())
    });

    // The mailbox, the sender and a channel fail.
    world.imap().refuse();
    world.smtp().refuse();
    ops.discord.replace_webhook();
    eventually(s(20), "the mailbox is told", || {
        let page = settings(&mut browser);
        so(page.contains("Cannot be looked into since") && page.contains("not well."), || page.clone())
    });
    // And a channel that refuses us: in its own words, with what waits for it.
    world
        .database
        .query(
            "update maildt.channels set failing_since = clock_timestamp() - interval '1 hour',
        last_error = '500 <b>broken' where channel = 'discord'",
            &[],
        )
        .unwrap();
    world.database.query("insert into maildt.notifications (incident_id, event, channel, created_at, next_try_at)
        select id, 'reminder', 'discord', clock_timestamp(), clock_timestamp() + interval '1 hour' from maildt.incidents", &[]).unwrap();
    let page = settings(&mut browser);
    has(&page, &["Takes nothing since", "500 &lt;b&gt;broken.", "1 alert waits, the oldest since"]);
}

#[test]
fn a_standby_claims_nothing_that_it_cannot_know() {
    let test = "a_standby_claims_nothing_that_it_cannot_know";
    let Some(world) = World::new(test) else { return };
    let (app, mut browser) = ready(world.setup());
    eventually(s(20), "the mailbox is watched", || {
        let page = settings(&mut browser);
        so(page.contains("Watched since"), || page.clone())
    });
    let second = app.setup.beside().start();
    await_pages(&second);
    let mut beside = browser.moved(second.pages());
    eventually(s(20), "it stands by", || {
        let page = settings(&mut beside);
        so(page.contains("This instance stands by."), || page.clone())
    });
    let page = settings(&mut beside);
    has(
        &page,
        &[
            "another instance does the work since",
            "Its last sign of life was",
            "The active instance watches it",
        ],
    );
    assert!(!page.contains("Watched since"), "{page}");
}

#[test]
fn what_is_quiet_is_said_on_every_page_about_alerts() {
    let tables = "[[maintenance]]\nname = \"backup <b>\"\nfrom = \"2020-01-01T00:00:00Z\"\nto = \"2099-01-01T00:00:00Z\"\n
        [[maintenance]]\nname = \"sundays\"\ndays = [\"sun\"]\nstart = \"02:00\"\nduration = \"1h\"\nrecipients = [\"alice\"]\n";
    let (app, database) = service(|setup| setup.tables(tables).env("TZ", "Europe/Vienna"));
    app.await_active();
    database
        .query(
            "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
                 alert_after, discord, email, active, provisioned, next_due_at, muted_until)
             values ('hushed', 'hushed@lab.test', 'default', 'default', 'direct', 3600, 10, 1, true, true, true, false,
                 clock_timestamp() + interval '1 hour', clock_timestamp() + interval '2 hours')",
            &[],
        )
        .unwrap();
    let mut browser = logged_in(&app);
    for path in ["/", "/incidents", "/settings"] {
        let page = browser.get(path).body;
        assert!(page.contains("Nothing is told until 2099-01-01 01:00 CET (maintenance "), "{path}: {page}");
        assert!(!page.contains("<b>\""), "{path}: {page}");
    }
    let page = settings(&mut browser);
    has(&page, &["sundays", " 02:00 CE", "sun 02:00 for 1h (Europe/Vienna): alice", "hushed until "]);
    assert!(browser.get("/rows").body.contains("Nothing is told until"));
}

#[test]
fn alerts_that_got_lost_are_seen_at_a_glance() {
    let (app, database) = service(|setup| setup);
    app.await_active();
    let mut browser = logged_in(&app);
    assert!(!browser.get("/settings").body.contains("could not be delivered"));
    crate::web_pages::lost_alerts(&database);
    for path in ["/settings", "/incidents?lost=1"] {
        let page = text(&browser.get(path).body);
        let words = if path == "/settings" {
            "2 alerts of the last 7 days could not be delivered."
        } else {
            "3 given up"
        };
        has(&page, &[words]);
    }
    database
        .query(
            "insert into maildt.recipients (name, address, sender, mailbox, return_mode, interval_s, alert_threshold_s,
                 alert_after, discord, email, active, provisioned, next_due_at)
             values ('a', 'a@lab.test', 'default', 'default', 'direct', 3600, 10, 1, true, true, true, false,
                 clock_timestamp() + interval '1 hour')",
            &[],
        )
        .unwrap();
    eventually(s(5), "the board says it", || {
        let page = text(&browser.get("/").body);
        so(page.contains("2 alerts of the last 7 days could not be delivered."), || page)
    });
}
