//! What is refused at once, with words that help: bad configurations and bad certificates.

use crate::lab::app::{Recipient, Setup};
use crate::lab::certificates::Presents;
use crate::lab::wait::{eventually, s, so};
use crate::lab::world::World;

/// A complete configuration; nothing behind it has to work.
fn valid() -> Setup {
    Setup::new()
        .env("SMTP_HOST", "127.0.0.1")
        .env("SMTP_USER", "monitor@lab.test")
        .env("SMTP_PASS", "canary-smtp-pass")
        .env("IMAP_HOST", "127.0.0.1")
        .env("IMAP_USER", "monitor@lab.test")
        .env("IMAP_PASS", "canary-imap-pass")
        .env("ADMIN_PASSWORD", "canary-admin-password")
        .env("DATABASE_URL", "postgresql://lab:canary-database-pass@127.0.0.1:1/x")
        .recipient(Recipient::new("alice", "alice@lab.test"))
}

#[test]
fn a_valid_configuration_is_not_refused() {
    let mut app = valid().start();
    app.healthy().unwrap();
    let (status, _) = app.term();
    assert_eq!(status.code(), Some(0));
}

#[test]
fn a_bad_configuration_ends_with_78_and_names_the_setting() {
    let top = |toml: &str| valid().top(toml);
    let recipient = |key: &str, value: &str| {
        valid().without_recipients().recipient(Recipient::new("alice", "alice@lab.test").text(key, value))
    };
    let cases: Vec<(Setup, &str)> = vec![
        (top("colour = \"blue\""), "colour"),
        (top("smtp_port = ["), "maildt.toml"),
        (valid().without("ADMIN_PASSWORD"), "ADMIN_PASSWORD"),
        (valid().env("ADMIN_PASSWORD", "short"), "ADMIN_PASSWORD"),
        (valid().env("SMTP_PORT", "70000"), "SMTP_PORT"),
        (valid().env("SMTP_TLS", "maybe"), "SMTP_TLS"),
        (valid().env("SMTP_HOST", "mail.lab.test").env("SMTP_TLS", "none"), "SMTP_TLS"),
        (valid().env("IMAP_HOST", "mail.lab.test").env("IMAP_TLS", "none"), "IMAP_TLS"),
        (valid().env("SMTP_FROM", "not an address"), "SMTP_FROM"),
        (valid().env("SMTP_PASS_FILE", "/dev/null"), "SMTP_PASS"),
        (valid().env("TLS_CA_FILE", "/nowhere/ca.pem"), "TLS_CA_FILE"),
        (valid().env("CHECK_INTERVAL", "soon"), "CHECK_INTERVAL"),
        (valid().env("DATABASE_URL", "mysql://somewhere/x"), "DATABASE_URL"),
        (valid().env("DISCORD_WEBHOOK_URL", "http://discord.com/api/webhooks/1/x"), "DISCORD_WEBHOOK_URL"),
        (recipient("address", "a@b\r\nRCPT TO:<c@d>"), "address"),
        (recipient("address", "nobody"), "address"),
        (recipient("interval", "10s"), "interval"),
        (recipient("interval", "8d"), "interval"),
        (recipient("alert_threshold", "5s"), "alert_threshold"),
        (recipient("sender", "nobody"), "sender"),
        (recipient("mailbox", "nowhere"), "mailbox"),
        (recipient("return_mode", "pigeon"), "return_mode"),
        (valid().recipient(Recipient::new("alice", "other@lab.test")), "alice"),
    ];
    for (setup, named) in cases {
        let mut app = setup.launch();
        let status = app.exit(s(10));
        let log = app.log();
        assert_eq!(status.code(), Some(78), "for {named}:\n{log}");
        assert!(log.contains(named), "{named} is not named:\n{log}");
        assert!(!log.contains("canary"), "a secret is printed:\n{log}");
    }
}

/// Neither protocol may log in where the certificate is not the right one.
fn refused(test: &str, presents: Presents, fault: &str) {
    let Some(world) = World::new(test) else { return };
    let host = presents.address().to_string();
    let app = world
        .setup_with_tls()
        .env("SMTP_HOST", &host)
        .env("IMAP_HOST", &host)
        .limit("sender_retry", "[\"200ms\", \"200ms\"]")
        .recipient(Recipient::new("alice", &world.address("alice")))
        .start();
    eventually(s(20), "the probe is a send failure", || world.records().first("alice", &["send_failed"]));
    eventually(s(10), "the metrics tell the reason", || {
        let scrape = app.metrics()?;
        let smtp = scrape.count("maildt_send_failures_total{recipient=\"alice\",reason=\"tls\"}");
        so(smtp > 0.5, || format!("SMTP: {smtp}"))?;
        let imap = scrape.count("maildt_imap_connection_failures_total{mailbox=\"default\",reason=\"tls\"}");
        so(imap > 0.5, || format!("IMAP: {imap}"))?;
        so(scrape.sum("maildt_imap_up") < 0.5, || "maildt_imap_up".to_owned())
    });
    let log = app.log();
    for what in ["submission failed", "mailbox cannot be watched"] {
        let told = log.lines().any(|line| line.contains(what) && line.contains(fault));
        assert!(told, "the log does not say {fault:?} where it says {what:?}:\n{}", app.log_tail(30));
    }
}

#[test]
fn a_certificate_for_another_name_is_refused_with_a_clear_error() {
    refused(
        "a_certificate_for_another_name_is_refused_with_a_clear_error",
        Presents::WrongName,
        "certificate is not for",
    );
}

#[test]
fn an_untrusted_certificate_is_refused_with_a_clear_error() {
    refused("an_untrusted_certificate_is_refused_with_a_clear_error", Presents::Untrusted, "is not trusted");
}

#[test]
fn an_expired_certificate_is_refused_with_a_clear_error() {
    refused("an_expired_certificate_is_refused_with_a_clear_error", Presents::Expired, "certificate expired");
}

#[test]
fn starttls_is_required_where_it_is_asked_for() {
    let Some(world) = World::new("starttls_is_required_where_it_is_asked_for") else { return };
    // The plain port does not offer it: no login, no mail.
    let app = world
        .setup_with_tls()
        .env("SMTP_PORT", &world.smtp().port().to_string())
        .env("SMTP_TLS", "starttls")
        .limit("sender_retry", "[\"200ms\", \"200ms\"]")
        .recipient(Recipient::new("alice", &world.address("alice")))
        .start();
    eventually(s(20), "the probe is a send failure", || world.records().first("alice", &["send_failed"]));
    let said = world.smtp().transcript(crate::lab::proxy::Towards::Server);
    assert!(!said.contains("AUTH") && !said.contains("MAIL FROM"), "{said}");
    drop(app);
    // Where it is offered, it works, on both protocols.
    let Some(world) = World::new("starttls_is_required_where_it_is_asked_for") else { return };
    let _app = world
        .setup_with_tls()
        .env("SMTP_PORT", &world.lab.postfix.submission.to_string())
        .env("SMTP_TLS", "starttls")
        .env("IMAP_PORT", &world.lab.dovecot.imap.to_string())
        .env("IMAP_TLS", "starttls")
        .recipient(Recipient::new("alice", &world.address("alice")))
        .start();
    eventually(s(20), "it is delivered", || world.records().first("alice", &["delivered"]));
}
