//! The configuration as a whole: bad ones and what is said of them, the original's, and that no secret gets out.
//!
//! `testdata/invalid-*.env` and `invalid-*.toml` each begin with the expected lines, marked `#>`. `HOME` and a good
//! `ADMIN_PASSWORD` are in the environment of each unless the file says otherwise; relative paths start at the crate's
//! root. `UPDATE_TESTDATA=1 cargo test` writes the present answers into the files, to be read before they are believed.

mod quiet;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

const TESTDATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/testdata");
const PASSWORD: &str = "correct horse battery";

type Environment = BTreeMap<String, String>;

fn base() -> Environment {
    [("HOME", "/home/maildt"), ("ADMIN_PASSWORD", PASSWORD)].map(|(k, v)| (k.to_owned(), v.to_owned())).into()
}

fn with(pairs: &[(&str, &str)]) -> Environment {
    base().into_iter().chain(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))).collect()
}

fn account() -> Environment {
    with(&[
        ("SMTP_HOST", "mail.lab.test"),
        ("SMTP_USER", "probe@lab.test"),
        ("SMTP_PASS", "pw-smtp"),
        ("IMAP_HOST", "mail.lab.test"),
        ("IMAP_USER", "probe@lab.test"),
        ("IMAP_PASS", "pw-imap"),
    ])
}

fn load(environment: &Environment) -> Result<Config, Problems> {
    Config::load(None, environment.clone(), Purpose::Serve)
}

fn load_toml(text: &str, environment: &Environment) -> Result<Config, Problems> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("maildt.toml");
    std::fs::write(&path, text).unwrap();
    Config::load(Some(&path), environment.clone(), Purpose::Serve)
}

/// As docker reads an env file: one `NAME=VALUE` a line, nothing is unquoted.
fn env_file(text: &str) -> Environment {
    let lines = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    base()
        .into_iter()
        .chain(lines.filter_map(|l| l.split_once('=')).map(|(k, v)| (k.into(), v.into())))
        .collect()
}

fn testdata(prefix: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(TESTDATA).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix));
    files.sort();
    files
}

#[test]
fn bad_configurations_are_refused_with_these_words() {
    let files = testdata("invalid-");
    assert!(files.len() >= 60, "{} files", files.len());
    let mut wrong = String::new();
    for path in files {
        let text = std::fs::read_to_string(&path).unwrap();
        let answer = if path.extension().is_some_and(|e| e == "toml") {
            Config::load(Some(&path), base(), Purpose::Serve)
        } else {
            load(&env_file(&text))
        };
        let Err(problems) = answer else {
            writeln!(wrong, "{} was accepted", path.display()).unwrap();
            continue;
        };
        // Messages name the path of a file that they are about.
        let said = problems.to_string().replace(&format!("{TESTDATA}/"), "");
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#> ")).collect();
        if std::env::var_os("UPDATE_TESTDATA").is_some() {
            let rest: Vec<&str> = text.lines().filter(|line| !line.starts_with("#>")).collect();
            let expected: Vec<String> = said.lines().map(|line| format!("#> {line}")).collect();
            std::fs::write(&path, format!("{}\n{}\n", expected.join("\n"), rest.join("\n"))).unwrap();
        } else if said.lines().collect::<Vec<_>>() != expected {
            writeln!(wrong, "{}:\n{said}\n", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_problem_is_told_at_once() {
    let problems = load(&with(&[("SMTP_PORT", "x"), ("LISTEN", "y"), ("ADMIN_PASSWORD", "z")])).unwrap_err();
    assert_eq!(problems.iter().count(), 3, "{problems}");
}

#[test]
fn an_env_file_of_the_python_maildt_is_read_as_it_is() {
    let path = Path::new(TESTDATA).join("original.env");
    let config = load(&env_file(&std::fs::read_to_string(path).unwrap())).unwrap();
    let sender = &config.senders["default"];
    assert_eq!((sender.account.host.as_str(), sender.account.port), ("smtp.mailbox.org", 465));
    assert_eq!((sender.account.tls, sender.from.as_str()), (TlsMode::Implicit, "probe@mailbox.org"));
    assert_eq!(config.mailboxes["default"].folders, ["INBOX", "\\Junk"]);
    assert_eq!(config.defaults.send_interval, Duration::from_mins(30));
    assert_eq!(config.alerts.mail.len(), 2);
    assert!(config.alerts.discord.is_some() && config.admin.totp.is_some() && config.proxy.enabled);
    insta::assert_snapshot!(config.warnings.join("\n"), @r"
    ALERT_SMTP_HOST (unset): alert mail leaves by the account that is probed, and stays there when that account is what fails; give it one of its own
    ADMIN_TOTP_SECRET (environment): is shorter than 128 bit; `maildt totp` makes a longer one
    DATABASE_URL (unset): DB_USER is for docker-compose.yml only; without DATABASE_URL a private PostgreSQL is used
    PUBLIC_URL (default): links in alerts lead to localhost; set it to where people reach MailDT
    ");
}

#[test]
fn the_example_of_the_environment_must_be_filled_in() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/.env.example")).unwrap();
    let problems = load(&env_file(&text)).unwrap_err();
    let settings: Vec<&str> = problems.iter().map(|problem| problem.place.setting.as_str()).collect();
    assert_eq!(
        settings,
        ["SMTP_HOST", "SMTP_PASS", "SMTP_USER", "IMAP_HOST", "IMAP_PASS", "IMAP_USER", "ADMIN_PASSWORD"],
        "{problems}"
    );

    let filled = text.replace("example.com", "lab.test").replace("changeme", "filled in by hand");
    let config = load(&env_file(&filled)).unwrap();
    assert_eq!(config.senders["default"].from, "probe@lab.test");
    let defaults = text.lines().filter_map(|line| Some(line.strip_prefix("# ")?.split_once('=')?.0));
    for name in defaults.filter(|name| !name.contains(' ')) {
        assert!(setting::by_variable(name).is_some(), "{name} is not a setting");
    }
}

#[test]
fn the_example_file_names_only_what_there_is() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/maildt.example.toml")).unwrap();
    assert!(load_toml(&text, &account()).unwrap_err().to_string().contains("placeholder"));
    let config =
        load_toml(&text.replace("example.com", "lab.test").replace("changeme", "a password"), &account())
            .unwrap();
    assert_eq!(config.limits, Limits::default());
    // With every comment that holds a setting made a setting.
    let everything: String = text
        .replace("example.com", "lab.test")
        .replace("changeme", "a password")
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest) if rest.split(' ').nth(1) == Some("=") || rest.starts_with('[') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    if let Err(problems) = load_toml(&everything, &account()) {
        assert!(!problems.to_string().contains("not a known key"), "{problems}");
    }
}

#[test]
fn the_documentation_lists_every_setting_with_its_default() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    let rows: BTreeMap<&str, &str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| {
            let (name, rest) = line.split_once("` |")?;
            Some((name, rest.split('|').next()?.trim()))
        })
        .collect();
    for name in setting::FILE_ONLY.iter().chain(&setting::TABLES) {
        assert!(
            page.contains(&format!("`{name}`")) || page.contains(&format!("[{name}")),
            "{name} is missing"
        );
    }
    for setting in setting::SETTINGS {
        let default = rows.get(setting.name).unwrap_or_else(|| panic!("{} is missing", setting.name));
        if !setting.default.is_empty() {
            assert_eq!(*default, format!("`{}`", setting.default), "{}", setting.name);
        }
    }
    for (name, default) in Limits::default().by_name() {
        assert_eq!(rows.get(name), Some(&format!("`{default}`").as_str()), "{name}");
    }
    let is_setting = |name: &&&str| name.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    for name in rows.keys().filter(is_setting) {
        assert!(setting::by_variable(name).is_some(), "{name} is no setting");
    }
}

#[test]
fn nothing_but_a_password_is_enough_to_start() {
    let config = load(&base()).unwrap();
    assert!(matches!(config.database, Database::Private));
    assert!(config.senders.is_empty() && config.mailboxes.is_empty() && config.recipients.is_empty());
    assert!(config.warnings.iter().any(|w| w.contains("next step: set SMTP_HOST")), "{:?}", config.warnings);
    assert_eq!(config.listen, "127.0.0.1:5000".parse().unwrap());
    assert_eq!(config.metrics_listen, "127.0.0.1:9025".parse().unwrap());
    assert_eq!(config.retention, Duration::from_hours(7 * 24));
}

#[test]
fn a_check_does_not_ask_who_may_log_in() {
    let mut environment = account();
    environment.insert("ADMIN_PASSWORD".into(), "admin".into());
    environment.insert("ADMIN_TOTP_SECRET".into(), "nonsense!".into());
    assert!(load(&environment).is_err());
    let config = Config::load(None, environment, Purpose::Check).unwrap();
    assert_eq!(config.admin.credential, None);
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let text = "send_interval = \"2h\"\nalert_threshold = 60\ncheck_interval = \"\"\nlog_level = 'debug'";
    let config = load_toml(text, &with(&[("SEND_INTERVAL", "90m"), ("LOG_LEVEL", "")])).unwrap();
    assert_eq!(config.defaults.send_interval, Duration::from_mins(90));
    assert_eq!(config.defaults.alert_threshold, Duration::from_mins(1));
    assert_eq!(config.check_interval, Duration::from_secs(30));
    assert_eq!(config.log_level, LevelFilter::DEBUG);
    let source = |name: &str| config.described().iter().find(|row| row.name == name).unwrap().source.clone();
    assert_eq!(source("SEND_INTERVAL"), "environment");
    assert_eq!(source("ALERT_THRESHOLD"), "maildt.toml:alert_threshold");
    assert_eq!(source("CHECK_INTERVAL"), "default");
    assert_eq!(source("SMTP_HOST"), "unset");
}

#[test]
fn accounts_and_recipients_come_from_the_file() {
    let text = r#"
        [senders.default]
        host = "the.environment.wins.test"
        connections = 8
        [senders.relay]
        host = "127.0.0.1"
        port = 25
        tls = "none"
        from = "relay@lab.test"
        [mailboxes.second]
        host = "mail.lab.test"
        port = 143
        user = "second@lab.test"
        pass = "pw-second"
        folders = ["INBOX", "\\junk", "Probes"]
        cleanup = "keep"
        active_look = false
        [[recipients]]
        address = "one@lab.test"
        [[recipients]]
        name = "two"
        address = "two@lab.test"
        sender = "relay"
        mailbox = "second"
        return_mode = "forward"
        interval = "30s"
        alert_threshold = 10
        alert_after = 3
        discord = "no"
        email = false
        muted_until = 2030-01-31T08:00:00+01:00
        active = true
        [limits]
        connect = "250ms"
        deferred_retry = ["1s", 2]
    "#;
    let config = load_toml(text, &account()).unwrap();
    assert_eq!(config.senders["default"].connections, 8);
    assert_eq!(config.senders["default"].account.host, "mail.lab.test");
    let relay = &config.senders["relay"];
    assert_eq!((relay.account.user.as_str(), relay.account.port, relay.connections), ("", 25, 4));
    let second = &config.mailboxes["second"];
    assert_eq!(second.folders, ["INBOX", "\\Junk", "Probes"]);
    assert_eq!(
        (second.account.tls, second.cleanup, second.active_look),
        (TlsMode::StartTls, Cleanup::Keep, false)
    );
    let [one, two] = config.recipients.as_slice() else { panic!("{:?}", config.recipients) };
    assert_eq!(
        (one.name.as_str(), one.sender.as_str(), one.mailbox.as_str()),
        ("one@lab.test", "default", "default")
    );
    assert_eq!(
        (one.interval, one.alert_threshold, one.alert_after),
        (Duration::from_hours(1), Duration::from_mins(5), 1)
    );
    assert!(one.discord && one.email && one.active && one.muted_until.is_none());
    assert_eq!((two.return_mode.as_str(), two.interval), ("forward", Duration::from_secs(30)));
    assert_eq!(two.muted_until, Some("2030-01-31T07:00:00Z".parse().unwrap()));
    assert!(!two.discord && !two.email);
    assert_eq!(config.limits.connect, Duration::from_millis(250));
    assert_eq!(config.limits.deferred_retry, [Duration::from_secs(1), Duration::from_secs(2)]);
}

#[test]
fn tls_follows_the_port_and_the_port_follows_tls() {
    let tls_and_port = |pairs: &[(&str, &str)]| {
        let config = load(&account().into_iter().chain(with(pairs)).collect()).unwrap();
        let (smtp, imap) = (&config.senders["default"].account, &config.mailboxes["default"].account);
        (smtp.tls, smtp.port, imap.tls, imap.port)
    };
    let (implicit, starttls) = (TlsMode::Implicit, TlsMode::StartTls);
    assert_eq!(tls_and_port(&[]), (implicit, 465, implicit, 993));
    assert_eq!(tls_and_port(&[("SMTP_PORT", "587"), ("IMAP_PORT", "143")]), (starttls, 587, starttls, 143));
    assert_eq!(
        tls_and_port(&[("SMTP_TLS", "STARTTLS"), ("IMAP_TLS", "starttls")]),
        (starttls, 587, starttls, 143)
    );
    assert_eq!(tls_and_port(&[("SMTP_PORT", "2465"), ("SMTP_TLS", "implicit")]).0, implicit);
}

#[test]
fn no_tls_only_to_this_machine_or_when_asked_for() {
    let plain = |host: &str, allow: &str| {
        let pairs = [("SMTP_HOST", host), ("SMTP_TLS", "none"), ("ALLOW_PLAINTEXT", allow)];
        load(&account().into_iter().chain(with(&pairs)).collect())
    };
    for host in ["127.0.0.1", "127.9.9.9", "::1", "localhost", "mx.localhost."] {
        assert!(plain(host, "no").is_ok(), "{host}");
    }
    for host in ["10.0.0.1", "mail.lab.test", "localhost.lab.test", "127.0.0.1.lab.test"] {
        assert!(plain(host, "no").is_err(), "{host}");
        let warnings = plain(host, "yes").unwrap().warnings;
        assert!(warnings.iter().any(|w| w.contains("unprotected")), "{warnings:?}");
    }
}

#[test]
fn misspelt_variables_get_a_hint_and_foreign_ones_are_left_alone() {
    let config = load(&with(&[
        ("SMTP_PASSWORD", "canary-misnamed"),
        ("DISCORD_WEBHOOK", "https://canary"),
        ("WEBHOOK_URL", "https://canary"),
        ("SMTP_RELAYS", "x"),
        ("PATH", "/bin"),
        ("LOG_LEVEL", "\"debug\""),
    ]))
    .unwrap();
    insta::assert_snapshot!(config.warnings.join("\n"), @r"
    DISCORD_WEBHOOK (environment): means nothing to MailDT; did you mean DISCORD_WEBHOOK_URL?
    LOG_LEVEL (environment): the quotes around the value were taken off; remove them there
    SMTP_PASSWORD (environment): means nothing to MailDT; did you mean SMTP_PASS?
    WEBHOOK_URL (environment): does nothing: alerts go to DISCORD_WEBHOOK_URL and ALERT_MAIL_RECIPIENT only
    ADMIN_TOTP_SECRET (unset): login needs no second factor; `maildt totp` makes a secret for one
    SMTP_HOST (unset): nothing is monitored yet; next step: set SMTP_HOST, SMTP_USER, SMTP_PASS, IMAP_HOST, IMAP_USER and IMAP_PASS
    ");
    assert_eq!(config.log_level, LevelFilter::DEBUG);
}

#[test]
fn secrets_come_from_files_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("pass");
    std::fs::write(&file, " from file \r\n").unwrap();
    let mut environment = account();
    environment.remove("SMTP_PASS");
    environment.insert("SMTP_PASS_FILE".into(), file.display().to_string());
    let config = load(&environment).unwrap();
    assert_eq!(config.senders["default"].account.pass.reveal(), " from file ");
    let row = config.described().iter().find(|row| row.name == "SMTP_PASS").unwrap();
    assert_eq!((row.value.as_str(), row.source.as_str()), ("********", "environment (SMTP_PASS_FILE)"));

    // In the configuration file, a relative path starts where that file is.
    let toml = directory.path().join("maildt.toml");
    std::fs::write(&toml, "smtp_pass_file = \"pass\"").unwrap();
    environment.remove("SMTP_PASS_FILE");
    let config = Config::load(Some(&toml), environment, Purpose::Serve).unwrap();
    assert_eq!(config.senders["default"].account.pass.reveal(), " from file ");
}

#[test]
fn white_space_around_a_url_does_not_belong_to_it() {
    let url = "https://discord.com/api/webhooks/123/abc";
    let mut environment = account();
    environment.insert("DISCORD_WEBHOOK_URL".into(), format!(" {url}  "));
    let config = load(&environment).unwrap();
    assert_eq!(config.alerts.discord.unwrap().reveal(), url);
    assert!(!config.warnings.iter().any(|warning| warning.contains("white space")), "{:?}", config.warnings);
}

#[test]
fn a_health_check_needs_only_its_address() {
    let environment =
        with(&[("METRICS_LISTEN", "0.0.0.0:9999"), ("SMTP_PORT", "broken"), ("ADMIN_PASSWORD", "")]);
    assert_eq!(metrics_listen(None, environment).unwrap(), "0.0.0.0:9999".parse().unwrap());
    assert!(metrics_listen(None, with(&[("METRICS_LISTEN", "here")])).is_err());
}

/// A value for each secret setting that would be accepted, and the part that must not be seen again.
fn secrets() -> Vec<(&'static str, String)> {
    let hash = crate::cli::hash_password::hash("canary-hash-password", &[7; 16]).unwrap();
    vec![
        ("DATABASE_URL", "postgresql://maildt:canary-database@db.lab.test/maildt".to_owned()),
        ("DATABASE_PASSWORD", "canary-database-password".to_owned()),
        ("SMTP_PASS", "canary-smtp".to_owned()),
        ("IMAP_PASS", "canary-imap".to_owned()),
        ("DISCORD_WEBHOOK_URL", "https://discord.com/api/webhooks/123/canary-discord".to_owned()),
        ("ALERT_SMTP_PASS", "canary-alert".to_owned()),
        ("HEARTBEAT_URL", "https://hc.lab.test/canary-heartbeat".to_owned()),
        ("ADMIN_PASSWORD", "canary-admin-password".to_owned()),
        ("ADMIN_PASSWORD_HASH", hash),
        ("ADMIN_TOTP_SECRET", "CANARYTOTPCANARYTOTPCANARYTOTP22".to_owned()),
        ("API_TOKEN", "canary-api-token-canary".to_owned()),
        ("SECRET_KEY", "canary-secret-key-canary".to_owned()),
    ]
}

fn assert_no_canary(text: &str) {
    assert!(!text.to_lowercase().contains("canary") && !text.contains("$argon2id"), "{text}");
}

#[test]
fn no_secret_is_ever_shown() {
    assert_eq!(secrets().len(), setting::SETTINGS.iter().filter(|s| s.secret).count());
    let mut full = account();
    full.insert("ALERT_SMTP_HOST".into(), "alerts.lab.test".into());
    full.insert("ALERT_SMTP_USER".into(), "alerts@lab.test".into());
    full.insert("ALERT_MAIL_RECIPIENT".into(), "ops@lab.test".into());
    full.extend(secrets().into_iter().map(|(name, value)| (name.to_owned(), value)));
    for without in [["ADMIN_PASSWORD", "DATABASE_PASSWORD"], ["ADMIN_PASSWORD_HASH", "DATABASE_URL"]] {
        let mut environment = full.clone();
        environment.extend(without.map(|name| (name.to_owned(), String::new())));
        let text = "[senders.two]\nhost = 'two.lab.test'\nuser = 'two@lab.test'\npass = 'canary-two'";
        let config = load_toml(text, &environment).unwrap();
        assert_eq!(config.senders["two"].account.pass.reveal(), "canary-two");
        assert_no_canary(&format!("{config:?}\n{config:#?}\n{:?}", config.described()));
        assert_no_canary(&config.warnings.join("\n"));
    }
    // Each secret in each wrong form: what is said shows none of it.
    for (name, value) in secrets() {
        for broken in [
            format!("{value}\u{0}"),
            format!("\"{value}\""),
            value.to_lowercase(),
            format!("://{value}"),
            format!("{value}?sslmode=canary&canary=canary#canary"),
            value.replace("canary", "canary/canary@canary:"),
        ] {
            let mut environment = full.clone();
            environment.insert("ADMIN_PASSWORD_HASH".into(), String::new());
            environment.insert("DATABASE_PASSWORD".into(), String::new());
            environment.insert(name.into(), broken);
            match load(&environment) {
                Ok(config) => {
                    assert_no_canary(&format!("{config:?}{:?}{:?}", config.described(), config.warnings));
                }
                Err(problems) => assert_no_canary(&format!("{problems}\n{problems:?}")),
            }
        }
    }
    // A file that is not TOML, just where a secret stands.
    for text in [
        "smtp_pass = canary",
        "smtp_pass = \"canary",
        "smtp_pass = 'canary'\nsmtp_pass = 'canary'",
        "api_token canary",
    ] {
        assert_no_canary(&load_toml(text, &base()).unwrap_err().to_string());
    }
    assert_no_canary(
        &load_toml("smtp_pass = ['canary']\nsecret_key = { canary = 1 }", &base()).unwrap_err().to_string(),
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn no_environment_makes_it_panic(
        values in proptest::collection::vec(("\\PC{0,30}|[a-z0-9:/.@,\\[\\]%?=&\"' -]{0,40}", 0usize..60, any::<bool>()), 0..12),
    ) {
        let environment = values.into_iter().map(|(value, index, by_file)| {
            let setting = &setting::SETTINGS[index % setting::SETTINGS.len()];
            let name = if by_file && setting.secret { format!("{}_FILE", setting.name) } else { setting.name.to_owned() };
            (name, value)
        });
        let _ = Config::load(None, environment, Purpose::Serve).map(|config| config.described().len());
    }

    #[test]
    fn no_file_makes_it_panic(
        lines in proptest::collection::vec((0usize..64, "\"[^\"\\\\]{0,12}\"|[0-9]{1,20}|true|-1|1e9|\\[1, \"x\"\\]|\\{ a = 1 \\}|2030-01-01|22:00:00|\"(daily|mon|22:00|4h|2030-01-01T00:00)\"|\\[\\]"), 0..10),
    ) {
        let tables = ["[limits]", "[senders.a]", "[senders.default]", "[mailboxes.b]", "[[recipients]]", "[[maintenance]]"];
        let keys = ["host", "user", "pass", "from", "connections", "address", "name", "interval", "muted_until", "connect",
            "deferred_retry", "sender", "smtp_port", "smtp_pass", "listen", "tz", "recipients", "senders", "limits", "é",
            "muted_until", "maintenance", "from", "to", "days", "start", "end", "duration"];
        let text: String = lines.iter().map(|(index, value)| match tables.get(*index) {
            Some(table) => format!("{table}\n"),
            None => format!("{} = {value}\n", keys[index % keys.len()]),
        }).collect();
        let _ = load_toml(&text, &account()).map(|config| config.described().len());
    }
}
