//! Alert channels as settings: tried by `check-config`, and their secrets shown nowhere.

use nix::sys::signal::Signal;

use crate::lab::alert::Told;
use crate::lab::app::{Recipient, Setup};
use crate::lab::discord::{Answer, TOKEN};
use crate::lab::heartbeat::{HEARTBEAT_TOKEN, Heartbeat};
use crate::lab::metrics::get;
use crate::lab::oncall::OnCall;
use crate::lab::policy::Fate;
use crate::lab::wait::{eventually, s, so};
use crate::lab::world::World;

const PASSWORD: &str = "canary-alert-77aa";

fn run(setup: &Setup, arguments: &[&str]) -> (Option<i32>, String) {
    let file = setup.file().to_str().unwrap().to_owned();
    let (status, out, err) = setup.run(&[&["check-config", "--config", &file], arguments].concat());
    (status.code(), format!("{out}\n{err}"))
}

#[track_caller]
fn shows_no_secret(what: &str, text: &str) {
    for secret in [TOKEN, HEARTBEAT_TOKEN, PASSWORD] {
        let forms =
            [secret.to_owned(), data_encoding::BASE64.encode(secret.as_bytes()), secret.replace('-', "%2D")];
        for form in forms {
            assert!(!text.contains(&form), "{what} shows {secret}:\n{text}");
        }
    }
}

#[test]
fn check_config_tries_the_alert_channels_and_sends_nothing() {
    let test = "check_config_tries_the_alert_channels_and_sends_nothing";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let setup = ops.on(world.setup());
    let (code, said) = run(&setup, &[]);
    assert_eq!(code, Some(0), "{said}");
    shows_no_secret("check-config", &said);
    ops.were_told(&[]).unwrap();
    ops.discord.replace_webhook();
    let (code, said) = run(&setup, &[]);
    assert_eq!(code, Some(1), "the webhook is gone: {said}");
    assert!(said.contains("404") || said.to_lowercase().contains("unknown webhook"), "{said}");
    shows_no_secret("check-config", &said);
    let wrong = ops.on(world.setup()).env("ALERT_SMTP_PASS", PASSWORD);
    let (code, said) = run(&wrong, &[]);
    assert_eq!(code, Some(1), "the login is refused: {said}");
    assert!(said.contains("535"), "{said}");
    shows_no_secret("check-config", &said);
    let (code, said) = run(&wrong, &["--offline"]);
    assert_eq!(code, Some(0), "nothing is tried: {said}");
}

#[test]
fn check_config_sends_one_test_alert_on_each_channel_when_asked_to() {
    let test = "check_config_sends_one_test_alert_on_each_channel_when_asked_to";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let setup = ops.on(world.setup());
    let (code, said) = run(&setup, &["--test-alerts"]);
    assert_eq!(code, Some(0), "{said}");
    let [discord, mail] = ops.hear(s(10), &["Test alert"]);
    for alert in [&discord[0], &mail[0]] {
        assert_eq!((alert.told, alert.incidents.len()), (Told::Other, 0), "{alert:?}");
    }
    ops.discord.answer(Answer::Status(500));
    let (code, said) = run(&setup, &["--test-alerts"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("500"), "{said}");
    eventually(s(10), "mail went out all the same", || so(ops.mail().len() == 2, || "not yet".to_owned()));
}

#[test]
fn no_alert_and_nothing_said_about_alerts_shows_a_secret() {
    let test = "no_alert_and_nothing_said_about_alerts_shows_a_secret";
    let (Some(world), Some(ops)) = (World::new(test), OnCall::new(test)) else { return };
    let heartbeat = Heartbeat::new();
    let setup =
        heartbeat.on(ops.on(world.setup())).env("LOG_LEVEL", "trace").limit("channel_down_after", "\"3s\"");
    for name in ["alice", "bob", "carol"] {
        world.lab.policy.set(&world.address(name), Fate::Lost);
    }
    let lost = |name: &str| Recipient::new(name, &world.address(name)).threshold("2s");
    let everything = |app: &crate::lab::app::App| {
        for path in ["/", "/metrics", "/-/ready", "/-/healthy"] {
            let answer = get(app.address(), path, "").unwrap();
            shows_no_secret(path, &format!("{}\n{}", answer.header, answer.body));
        }
        app.signal(Signal::SIGHUP);
        eventually(s(10), "it is read again", || {
            so(app.log().contains("configuration read again"), || "not yet".to_owned())
        });
        assert!(app.log().len() > 500, "no log at all");
        shows_no_secret("the log", &app.log());
        for alert in ops.told().concat() {
            shows_no_secret("an alert", &alert.text);
        }
        let rows = world.database.query(
            "SELECT i::text FROM maildt.incidents i UNION ALL SELECT n::text FROM maildt.notifications n \
             UNION ALL SELECT c::text FROM maildt.channels c",
            &[],
        );
        let rows: Vec<String> = rows.unwrap().iter().map(|row| row.get(0)).collect();
        shows_no_secret("the database", &rows.join("\n"));
    };
    // All is well.
    let mut app = setup.recipient(lost("alice")).start();
    ops.hear(s(40), &["Missing: alice"]);
    eventually(s(10), "it beats", || heartbeat.beats());
    everything(&app);
    let (status, _) = app.term();
    assert!(status.success());
    // The webhook is refused, and the login of alert mail too: each is told by nobody, but written down.
    ops.discord.answer(Answer::Status(404));
    app.setup = app.setup.clone().env("ALERT_SMTP_PASS", PASSWORD).recipient(lost("bob"));
    app.start_again();
    eventually(s(40), "both are down", || {
        let rows = world.database.query("SELECT 1 FROM maildt.channels WHERE last_error IS NOT NULL", &[]);
        let count = rows.map_err(|e| e.to_string())?.len();
        so(count >= 2, || format!("{count} channels have an error"))
    });
    everything(&app);
    let (status, _) = app.term();
    assert!(status.success());
    // Nobody is there, whoever is asked.
    ops.discord.replace_webhook();
    ops.discord.wire().refuse();
    ops.mail_wire().refuse();
    app.setup = app.setup.clone().env("HEARTBEAT_URL", &format!("http://127.0.0.1:1/{HEARTBEAT_TOKEN}"));
    app.setup = app.setup.clone().env("DISCORD_WEBHOOK_URL", &ops.discord.url()).recipient(lost("carol"));
    app.start_again();
    eventually(s(40), "it is tried", || {
        let failures = app.metrics()?.sum("maildt_notification_failures_total");
        so(failures >= 2.0, || format!("{failures} failures"))
    });
    everything(&app);
}
