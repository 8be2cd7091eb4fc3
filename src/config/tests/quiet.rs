//! Quiet times and what is said around alerts.

use super::*;

fn at(text: &str) -> jiff::Timestamp {
    text.parse().unwrap()
}

/// The warnings at a time that are about alerts or quiet.
fn warnings(config: &Config, now: &str) -> Vec<String> {
    let about = |warning: &&str| {
        !["ADMIN_", "ALERT_SMTP_HOST", "PUBLIC_URL", "TZ"].iter().any(|s| warning.starts_with(s))
    };
    config
        .warnings_at(at(now))
        .filter(about)
        .map(|warning| warning.replace("(maildt.toml", "(file"))
        .collect()
}

const WINDOWS: &str = r#"
    tz = "Europe/Berlin"
    muted_until = 2026-06-01T10:00:00+02:00
    [[recipients]]
    name = "Sales"
    address = "sales@lab.test"
    [[maintenance]]
    name = "move"
    from = 2026-06-01T22:00:00
    to = "2026-06-02 02:00+02:00"
    [[maintenance]]
    name = "zone"
    from = "2026-06-10T22:00[America/New_York]"
    to = "2026-06-11T06:00Z"
    recipients = "Sales"
    [[maintenance]]
    name = "backup"
    days = ["Sat", "sunday"]
    start = 22:30:00
    end = "2:00"
    recipients = ["Sales"]
    [[maintenance]]
    name = "updates"
    days = "daily"
    start = "04:00"
    duration = "90m"
    recipients = ["Sales", "Archive"]
    [[maintenance]]
    name = "new year"
    days = "wed"
    start = "00:00"
    end = "24:00"
"#;

#[test]
fn windows_come_from_the_file_and_clock_times_are_in_tz() {
    let config = load_toml(WINDOWS, &account()).unwrap();
    let quiet = &config.quiet;
    let names = |now: &str| quiet.names(at(now)).join(",");
    for (now, total) in [
        ("2026-05-01T00:00Z", true),
        ("2026-06-01T08:00Z", false),
        ("2026-06-01T19:59:59Z", false),
        ("2026-06-01T20:00Z", true),
        ("2026-06-01T23:59:59Z", true),
        ("2026-06-02T00:00Z", false),
        // Wednesday the 3rd, by the clock of Berlin.
        ("2026-06-02T21:59:59Z", false),
        ("2026-06-02T22:00Z", true),
        ("2026-06-03T21:59:59Z", true),
        ("2026-06-03T22:00Z", false),
    ] {
        assert_eq!(quiet.is_total(at(now)), total, "{now}");
    }
    for (now, who) in [
        ("2026-06-06T20:29:59Z", ""),
        ("2026-06-06T20:30Z", "Sales"),
        ("2026-06-07T00:00Z", ""),
        ("2026-06-07T23:59:59Z", "Sales"),
        ("2026-06-08T02:00Z", "Archive,Sales"),
        ("2026-06-08T03:30Z", ""),
        ("2026-06-11T01:59:59Z", ""),
        ("2026-06-11T05:59:59Z", "Sales"),
    ] {
        assert_eq!(names(now), who, "{now}");
    }
}

#[test]
fn quiet_times_are_shown_with_value_and_source() {
    let config = load_toml(WINDOWS, &account()).unwrap();
    let rows: Vec<String> = config
        .described()
        .iter()
        .filter(|row| row.name.starts_with('m') && !row.name.starts_with("mailboxes"))
        .map(|row| format!("{} | {} | {}", row.name, row.value, row.source))
        .collect();
    insta::assert_snapshot!(rows.join("\n"), @r#"
    muted_until | 2026-06-01 10:00 CEST | maildt.toml:muted_until
    maintenance["move"] | 2026-06-01 22:00 CEST to 2026-06-02 02:00 CEST: all recipients | maildt.toml
    maintenance["zone"] | 2026-06-11 04:00 CEST to 2026-06-11 08:00 CEST: Sales | maildt.toml
    maintenance["backup"] | sat, sun 22:30 to 02:00 (Europe/Berlin): Sales | maildt.toml
    maintenance["updates"] | daily 04:00 for 1h 30m (Europe/Berlin): Archive, Sales | maildt.toml
    maintenance["new year"] | wed 00:00 to 24:00 (Europe/Berlin): all recipients | maildt.toml
    "#);
    let config = load(&account()).unwrap();
    let row = config.described().iter().find(|row| row.name == "muted_until").unwrap();
    assert_eq!((row.value.as_str(), row.source.as_str()), ("", "unset"));
    assert_eq!(config.quiet, crate::domain::quiet::Quiet::default());
}

#[test]
fn what_is_over_or_never_ends_or_names_nobody_is_a_warning() {
    let channel = "discord_webhook_url = 'https://discord.com/api/webhooks/1/token'\n";
    let config = load_toml(&format!("{channel}{WINDOWS}"), &account()).unwrap();
    insta::assert_snapshot!(warnings(&config, "2026-05-01T00:00Z").join("\n"), @r#"maintenance["updates"].recipients (file): no recipient in this file is called "Archive"; it counts once there is one"#);
    // From the very end on, each by itself.
    assert_eq!(warnings(&config, "2026-06-01T07:59:59Z").len(), 1);
    assert_eq!(warnings(&config, "2026-06-01T08:00Z").len(), 2);
    insta::assert_snapshot!(warnings(&config, "2026-06-11T06:00Z").join("\n"), @r#"
    maintenance["updates"].recipients (file): no recipient in this file is called "Archive"; it counts once there is one
    muted_until (file:muted_until): is over; remove it
    maintenance["move"].to (file): is over; remove the window
    maintenance["zone"].to (file): is over; remove the window
    "#);

    let text = "[[maintenance]]\nname = 'x'\ndays = 'daily'\nstart = '01:00'\nduration = '24h'\nrecipients = ['sale']\n\
                [[recipients]]\nname = 'Sales'\naddress = 'sales@lab.test'";
    let config = load_toml(&format!("{channel}{text}"), &account()).unwrap();
    insta::assert_snapshot!(warnings(&config, "2026-05-01T00:00Z").join("\n"), @r#"
    maintenance["x"].duration (file): each window reaches into the next one, so that it never ends
    maintenance["x"].recipients (file): no recipient in this file is called "sale"; did you mean "Sales"?
    "#);
}

#[test]
fn the_environment_does_not_mute() {
    let environment = with(&[("MUTED_UNTIL", "2030-01-31T08:00:00Z"), ("MAINTENANCE", "daily")]);
    let config = load(&environment).unwrap();
    assert_eq!(config.quiet.muted_until, None);
    let said = "MUTED_UNTIL (environment): does nothing: it belongs into the file, as muted_until, where SIGHUP reads it again";
    assert!(config.warnings.iter().any(|warning| warning == said), "{:?}", config.warnings);
}

#[test]
fn alerts_that_reach_nobody_are_a_warning() {
    let said = |text: &str, pairs: &[(&str, &str)]| {
        let environment = account().into_iter().chain(with(pairs)).collect();
        warnings(&load_toml(text, &environment).unwrap(), "2026-05-01T00:00Z")
    };
    let discord = ("DISCORD_WEBHOOK_URL", "https://discord.com/api/webhooks/1/token");
    let mail = ("ALERT_MAIL_RECIPIENT", "ops@lab.test");
    let recipient = |discord: bool, email: bool| {
        let name = format!("{discord}-{email}");
        format!("[[recipients]]\naddress = '{name}@lab.test'\ndiscord = {discord}\nemail = {email}\n")
    };
    let (off, mail_only) = (recipient(false, false), recipient(false, true));
    insta::assert_snapshot!(said(&off, &[discord]).join("\n"), @r"DISCORD_WEBHOOK_URL (environment): nothing is told about any recipient in the file: discord and email are off for all, or on only where there is no channel");
    insta::assert_snapshot!(said(&format!("{off}{mail_only}"), &[discord]).join("\n"), @r"DISCORD_WEBHOOK_URL (environment): nothing is told about any recipient in the file: discord and email are off for all, or on only where there is no channel");
    insta::assert_snapshot!(said(&off, &[mail]).join("\n"), @r"ALERT_MAIL_RECIPIENT (environment): nothing is told about any recipient in the file: discord and email are off for all, or on only where there is no channel");
    assert_eq!(said(&format!("{off}{mail_only}"), &[discord, mail]), [""; 0]);
    assert_eq!(said(&format!("{off}{}", recipient(true, false)), &[discord]), [""; 0]);
    assert_eq!(said("", &[discord]), [""; 0]);

    let heartbeat = ("HEARTBEAT_URL", "https://hc.lab.test/canary");
    insta::assert_snapshot!(said("", &[heartbeat]).join("\n"), @r"
    DISCORD_WEBHOOK_URL (unset): nobody is told of an incident; set it, or ALERT_MAIL_RECIPIENT
    HEARTBEAT_URL (environment): tells whether alerts can get out, and there is no way for them; set DISCORD_WEBHOOK_URL or ALERT_MAIL_RECIPIENT
    ");
    assert_eq!(said("", &[heartbeat, mail]), [""; 0]);
}

#[test]
fn limits_that_contradict_each_other_are_a_warning() {
    let text = "[limits]\nnotification_dead_after = '4m'";
    let discord = with(&[("DISCORD_WEBHOOK_URL", "https://discord.com/api/webhooks/1/token")]);
    let environment = account().into_iter().chain(discord).collect();
    let config = load_toml(text, &environment).unwrap();
    insta::assert_snapshot!(warnings(&config, "2026-05-01T00:00Z").join("\n"), @r"limits.notification_dead_after (file): notifications are given up after 4m, before their channel counts as down after 5m");
    let text = "[limits]\nnotification_dead_after = '5m'";
    assert_eq!(warnings(&load_toml(text, &environment).unwrap(), "2026-05-01T00:00Z"), [""; 0]);
}
