//! Canaries in every secret setting: no log, metric, page or error shows one, whatever goes wrong.

use data_encoding::BASE64;

use crate::lab::app::{App, Recipient, Setup};
use crate::lab::browser::Browser;
use crate::lab::metrics::get;
use crate::lab::wait::{eventually, s, so};
use crate::lab::world::World;
use crate::web_login::code_of;

const CANARIES: [(&str, &str); 9] = [
    ("SMTP_PASS", "canary-smtp-0a1b"),
    ("IMAP_PASS", "canary-imap-0a1b"),
    ("ADMIN_PASSWORD", "canary-admin-0a1b"),
    ("SECRET_KEY", "canary-key-0a1b-0123456789abcdef0123456789"),
    ("API_TOKEN", "canary-token-0a1b-0123456789abcdef"),
    ("ADMIN_TOTP_SECRET", "KZQWY2DFMFZDKNRXHA4TAMJSGM2DKNRX"),
    // Nobody listens there.
    ("DISCORD_WEBHOOK_URL", "http://127.0.0.1:9/api/webhooks/99887766/canary-discord-0a1b"),
    ("ALERT_SMTP_PASS", "canary-alert-0a1b"),
    ("HEARTBEAT_URL", "http://127.0.0.1:9/canary-heartbeat-0a1b"),
];

/// Fails when a text shows a secret, as it is or in an encoding that the wire has.
#[track_caller]
fn shows_none(what: &str, text: &str) {
    for (name, secret) in CANARIES.into_iter().chain([("DATABASE_URL", "canary-database-0a1b")]) {
        let core = secret.rsplit('/').next().unwrap();
        let plain = BASE64.encode(format!("\0user@lab.test\0{secret}").as_bytes());
        for form in [core.to_owned(), BASE64.encode(core.as_bytes()), core.replace('-', "%2D"), plain] {
            assert!(!text.contains(&form), "{what} shows {name}:\n{text}");
        }
    }
}

fn with_canaries(setup: Setup) -> Setup {
    let setup = CANARIES.into_iter().fold(setup, |setup, (name, secret)| setup.env(name, secret));
    setup
        .env("ALERT_SMTP_HOST", "127.0.0.1")
        .env("ALERT_SMTP_USER", "alerts@lab.test")
        .env("ALERT_MAIL_RECIPIENT", "ops@lab.test")
        .env("LOG_LEVEL", "trace")
        .limit("sender_retry", "[\"200ms\", \"200ms\"]")
        .limit("login_refused_min", "\"500ms\"")
        .limit("login_refused_max", "\"1s\"")
}

/// All that the admin UI says to a stranger, to a wrong login and to the admin.
fn admin_ui(app: &App) -> String {
    let secret = |wanted: &str| CANARIES.iter().find(|(name, _)| *name == wanted).unwrap().1;
    let code = code_of(secret("ADMIN_TOTP_SECRET"));
    let mut browser = Browser::new(app.pages());
    let mut said = String::new();
    for path in ["/", "/login", "/nowhere", "/api/v1/status"] {
        said.push_str(&browser.get(path).text());
    }
    for code in ["000000", &code] {
        let fields = [("user", "admin"), ("password", secret("ADMIN_PASSWORD")), ("code", code)];
        let page = browser.post("/login", &fields);
        assert_eq!(page.status == 303, code != "000000", "{page:?}");
        said.push_str(&page.text());
    }
    for path in [
        "/",
        "/rows",
        "/incidents",
        "/settings",
        "/nowhere",
        "/api/v1/status",
        "/api/v1/recipients",
        "/api/v1/probes",
        "/api/v1/incidents",
        "/api/v1/openapi.json",
    ] {
        said.push_str(&browser.get(path).text());
    }
    said
}

#[test]
fn no_output_shows_a_secret() {
    let Some(world) = World::new("no_output_shows_a_secret") else { return };
    // Every login is refused, so that every error is told.
    for format in ["text", "json"] {
        let setup = with_canaries(world.setup()).env("LOG_FORMAT", format);
        let app = setup.recipient(Recipient::new(format, &world.address(format))).start();
        eventually(s(20), "the login is refused", || world.records().first(format, &["send_failed"]));
        eventually(s(20), "and the other one", || {
            let auth = "maildt_imap_connection_failures_total{mailbox=\"default\",reason=\"auth\"}";
            so(app.metrics()?.count(auth) > 1.5, || "not yet".to_owned())
        });
        for path in ["/", "/metrics", "/-/ready", "/-/healthy", "/nowhere"] {
            let answer = get(app.address(), path, "").unwrap();
            shows_none(path, &format!("{}\n{}", answer.header, answer.body));
        }
        // Both formats may have their turn within one step, and a code is good for one login.
        world.database.query("update maildt.totp set last_step = 0", &[]).unwrap();
        shows_none("the admin UI", &admin_ui(&app));
        app.signal(nix::sys::signal::Signal::SIGHUP);
        eventually(s(10), "it is read again", || {
            let told = app.log().contains("configuration read again");
            so(told, || "not yet".to_owned())
        });
        assert!(app.log().len() > 2000, "no log at all");
        shows_none("the log", &app.log());
        for file in std::fs::read_dir(format!("/proc/{}/task", app.pid())).unwrap().take(1).flatten() {
            let line = std::fs::read_to_string(file.path().join("cmdline")).unwrap();
            shows_none("the command line", &line);
        }
    }
}

#[test]
fn no_command_shows_a_secret() {
    let Some(world) = World::new("no_command_shows_a_secret") else { return };
    let url = format!(
        "postgresql://lab:canary-database-0a1b@127.0.0.1:{}/nowhere?sslmode=disable",
        world.database.port()
    );
    let setup = with_canaries(world.setup()).env("DATABASE_URL", &url);
    let file = setup.file().to_str().unwrap().to_owned();
    let address = world.address("x");
    for arguments in [
        vec!["check-config", "--config", &file],
        vec!["check-config", "--offline", "--config", &file],
        vec!["check", &address, "--config", &file],
    ] {
        let (_, out, err) = setup.run(&arguments);
        shows_none(&arguments.join(" "), &format!("{out}\n{err}"));
        assert!(!out.is_empty() || !err.is_empty());
    }
    // A wrong setting is told without the right ones beside it, and a secret that is wrong itself without its value.
    let wrong = [
        ("DATABASE_URL", "mysql://lab:canary-database-0a1b@127.0.0.1/x"),
        ("DATABASE_URL", "postgresql://lab:canary-database-0a1b@[::1/x"),
        ("DISCORD_WEBHOOK_URL", "http://discord.com/api/webhooks/99887766/canary-discord-0a1b"),
        ("DISCORD_WEBHOOK_URL", "https://discord.com/canary-discord-0a1b"),
        ("HEARTBEAT_URL", "ftp://heartbeat.test/canary-heartbeat-0a1b"),
        ("ADMIN_TOTP_SECRET", "KZQWY2DFMFZDKNRXHA4TAMJSGM2DKNRX!"),
        ("SMTP_PASS_FILE", "/etc/hostname"),
        ("SMTP_PORT", "many"),
    ];
    for (name, value) in wrong {
        let (status, out, err) =
            setup.clone().env(name, value).run(&["check-config", "--offline", "--config", &file]);
        assert_eq!(status.code(), Some(78), "{name}={value}: {out}\n{err}");
        shows_none(name, &format!("{out}\n{err}"));
    }
}
