//! The configuration of Alertmanager: sound whatever is set, mute when nothing is, and every alert goes where it belongs.

use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::lab::ground::{free_port, ground};
use crate::lab::process::Process;
use crate::lab::tools::{ask, find, repository, tool};
use crate::lab::wait::{eventually, s, so};

const DISCORD: (&str, &str) = ("DISCORD_WEBHOOK_URL", "https://discord.com/api/webhooks/1/it's&\\1");
const MAIL: [(&str, &str); 4] = [
    ("ALERT_MAIL_RECIPIENT", "oncall@example.org,second@example.org"),
    ("ALERT_SMTP_HOST", "mail.example.org"),
    ("ALERT_SMTP_USER", "alerts@example.org"),
    ("ALERT_SMTP_PASS", "a 'quoted' \"pass\": #word &\\1 @ALERT_SMTP_HOST@"),
];
const WATCHDOG: (&str, &str) = ("WATCHDOG_URL", "https://hc.example.org/ping/1");

/// Renders the configuration in an environment of `settings` alone.
fn render(settings: &[(&str, &str)], out: &Path) -> (bool, String) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg(repository("alertmanager/render.sh")).arg(out).env_clear().env("PATH", path);
    ask(command.envs(settings.iter().copied()))
}

fn rendered(settings: &[(&str, &str)]) -> (PathBuf, String) {
    let file = ground().directory("alertmanager").join("alertmanager.yml");
    let (good, said) = render(settings, &file);
    assert!(good, "{said}");
    (file, said)
}

fn everything() -> Vec<(&'static str, &'static str)> {
    [&[DISCORD, WATCHDOG], &MAIL[..]].concat()
}

#[test]
fn alertmanager_takes_the_configuration_whatever_is_set() {
    let test = "alertmanager_takes_the_configuration_whatever_is_set";
    let Some(amtool) = tool("amtool", "prometheus-alertmanager", test) else { return };
    let files = [
        repository("alertmanager/alertmanager.yml"),
        rendered(&[]).0,
        rendered(&[DISCORD]).0,
        rendered(&[WATCHDOG]).0,
        rendered(&everything()).0,
    ];
    for file in files {
        let (good, said) = ask(Command::new(&amtool).arg("check-config").arg(&file));
        assert!(good && said.contains("1 templates"), "{}: {said}", file.display());
    }
}

#[test]
fn with_nothing_set_nobody_is_told_and_e_mail_is_never_alone() {
    let text = |file: &Path| std::fs::read_to_string(file).unwrap();
    for settings in [&[][..], &MAIL[..]] {
        let (file, said) = rendered(settings);
        assert!(!text(&file).contains("_configs:"), "{}", text(&file));
        assert!(said.contains("told to nobody"), "{said}");
    }
    assert!(rendered(&MAIL).1.contains("must not be the only way"));
    let all = text(&rendered(&everything()).0);
    for (what, times) in [("discord_configs:", 2), ("email_configs:", 2), ("webhook_configs:", 1)] {
        assert_eq!(all.matches(what).count(), times, "{what} in {all}");
    }
    assert!(all.contains(r#"auth_password: 'a ''quoted'' "pass": #word &\1 @ALERT_SMTP_HOST@'"#), "{all}");
    assert!(all.contains("smarthost: 'mail.example.org:465'"), "{all}");
}

#[test]
fn secrets_come_from_files_and_are_written_for_the_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = ground().directory("alertmanager-secrets");
    let secret = directory.join("webhook");
    std::fs::write(&secret, "https://discord.com/api/webhooks/1/from-a-file\n").unwrap();
    let from_file = ("DISCORD_WEBHOOK_URL_FILE", secret.to_str().unwrap());
    let (file, said) = rendered(&[from_file]);
    assert!(!said.contains("from-a-file"), "{said}");
    assert!(
        std::fs::read_to_string(&file).unwrap().contains("'https://discord.com/api/webhooks/1/from-a-file'")
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);

    let nowhere = ("WATCHDOG_URL_FILE", "/nowhere/at/all");
    for (settings, complaint) in [
        (vec![from_file, DISCORD], "both DISCORD_WEBHOOK_URL and DISCORD_WEBHOOK_URL_FILE are set"),
        (vec![nowhere], "WATCHDOG_URL_FILE: /nowhere/at/all cannot be read"),
    ] {
        let (good, said) = render(&settings, &directory.join("refused.yml"));
        assert!(!good && said.contains(complaint), "{said}");
    }
}

#[test]
fn mail_settings_that_do_not_fit_leave_the_other_ways_on() {
    for (setting, complaint) in [
        (("ALERT_SMTP_TLS", "tls"), "ALERT_SMTP_TLS=tls is none of"),
        (("ALERT_SMTP_TLS", "implicit"), "implicit works only on port 465 here, not on 2465"),
        (("ALERT_SMTP_USER", ""), "neither ALERT_SMTP_FROM nor ALERT_SMTP_USER is set"),
        (("ALERT_SMTP_HOST", ""), "ALERT_SMTP_HOST is not set"),
    ] {
        let (file, said) = rendered(&[&everything()[..], &[("ALERT_SMTP_PORT", "2465"), setting]].concat());
        assert!(said.contains(complaint), "{said}");
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.contains("discord_configs:") && !text.contains("email_configs:"), "{text}");
    }
    for (tls, port, expected) in [
        ("starttls", "", ["mail.example.org:587", "require_tls: true"]),
        ("none", "", ["mail.example.org:25", "require_tls: false"]),
        ("", "2525", ["mail.example.org:2525", "require_tls: true"]),
    ] {
        let settings = [("ALERT_SMTP_TLS", tls), ("ALERT_SMTP_PORT", port)];
        let (file, _) = rendered(&[&everything()[..], &settings].concat());
        let text = std::fs::read_to_string(file).unwrap();
        assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[test]
fn every_alert_goes_where_it_belongs() {
    let test = "every_alert_goes_where_it_belongs";
    let Some(amtool) = tool("amtool", "prometheus-alertmanager", test) else { return };
    for (receiver, labels) in [
        ("watchdog", ["alertname=Watchdog", "severity=none"]),
        ("people-urgent", ["alertname=MaildtDown", "severity=critical"]),
        ("people-urgent", ["alertname=MailDeliveryErrorBudgetBurn", "severity=critical"]),
        ("people", ["alertname=MailDeliveryErrorBudgetBurn", "severity=warning"]),
        ("people", ["alertname=SomebodyElses", "severity=page"]),
    ] {
        let mut command = Command::new(&amtool);
        command.args(["config", "routes", "test"]).arg(format!("--verify.receivers={receiver}"));
        command.arg("--config.file").arg(repository("alertmanager/alertmanager.yml")).args(labels);
        let (good, said) = ask(&mut command);
        assert!(good && said.lines().next() == Some(receiver), "{labels:?}: {said}");
    }
}

#[test]
fn one_cause_mutes_what_follows_from_it_and_nothing_else() {
    let test = "one_cause_mutes_what_follows_from_it_and_nothing_else";
    let package = "prometheus-alertmanager";
    let Some(amtool) = tool("amtool", package, test) else { return };
    // Debian's name, and its own.
    let Some(alertmanager) = find(package).or_else(|| tool("alertmanager", package, test)) else { return };
    let address = format!("127.0.0.1:{}", free_port());
    let directory = ground().directory("alertmanager-running");
    let mut command = Command::new(alertmanager);
    command
        .arg(format!("--config.file={}", repository("alertmanager/alertmanager.yml").display()))
        .arg(format!("--storage.path={}", directory.join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=");
    let _running = Process::start(&mut command, Signal::SIGTERM, &directory.join("log"));
    let amtool = |arguments: &[&str]| {
        let (good, said) =
            ask(Command::new(&amtool).arg(format!("--alertmanager.url=http://{address}")).args(arguments));
        so(good, || said.clone())?;
        Ok(said)
    };
    let critical = "severity=critical";
    for (job, name, labels) in [
        ("blind", "MailImapWatcherDown", &["instance=i", "mailbox=box", critical][..]),
        ("blind", "MailDeliveryStalled", &["instance=i", "mailbox=box", "recipient=muted", critical]),
        ("blind", "MailDeliveryStalled", &["instance=i", "mailbox=other", "recipient=told", critical]),
        ("blind", "MailDeliveryErrorBudgetBurn", &[critical, "recipient=told"]),
        ("down", "MaildtDown", &[critical]),
        ("down", "MailDeliveryErrorBudgetBurn", &[critical, "recipient=muted"]),
        ("down", "MaildtConfigReloadFailed", &["severity=warning", "recipient=told"]),
        ("burn", "MailDeliveryErrorBudgetBurn", &[critical]),
        ("burn", "MailDeliveryErrorBudgetBurn", &["severity=warning", "muted=yes"]),
        ("burn", "MailGoesToJunk", &["severity=warning", "recipient=told"]),
        ("cert", "MailTlsCertificateExpiring", &["account=a", "protocol=imap", critical]),
        (
            "cert",
            "MailTlsCertificateExpiring",
            &["account=a", "protocol=imap", "severity=warning", "muted=yes"],
        ),
        ("cert", "MailTlsCertificateExpiring", &["account=a", "protocol=smtp", "severity=warning"]),
        ("stalled", "MailDeliveryStalled", &["instance=i", "recipient=muted", critical, "told=yes"]),
        ("stalled", "MailDeliveryUnreliable", &["recipient=muted", "severity=warning"]),
    ] {
        let (job, name) = (format!("job={job}"), format!("alertname={name}"));
        let alert = [&["alert", "add", &name, &job], labels].concat();
        eventually(s(20), "the alert is taken", || amtool(&alert));
    }
    eventually(s(20), "what follows is muted", || {
        let all = ["alert", "query", "--active", "--inhibited", "-o", "json"];
        let alerts: serde_json::Value = serde_json::from_str(&amtool(&all)?).map_err(|e| e.to_string())?;
        let alerts = alerts.as_array().ok_or("not a list")?;
        let wrong = alerts.iter().filter(|alert| {
            let labels = &alert["labels"];
            let expected =
                labels["told"] != "yes" && (labels["recipient"] == "muted" || labels["muted"] == "yes");
            (alert["status"]["state"] == "suppressed") != expected
        });
        let wrong: Vec<String> = wrong.map(|alert| alert["labels"].to_string()).collect();
        so(alerts.len() == 15 && wrong.is_empty(), || format!("{} alerts, wrong: {wrong:?}", alerts.len()))
    });
}
