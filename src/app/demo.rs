//! `maildt demo`: everything on one machine, no account needed.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{Origin, init_logging, run, signals};
use crate::config::{Config, Purpose};
use crate::demo::{MailServer, cast};

/// What the user's environment may set.
const FROM_USER: [&str; 5] = ["METRICS_LISTEN", "LISTEN", "LOG_LEVEL", "LOG_FORMAT", "TZ"];

/// Runs the built-in mail server, a private PostgreSQL of its own and the service on top, until a signal ends it.
///
/// `directory` keeps the demo's data; a later demo goes on from there. Ports come from `environment` where it sets `LISTEN` or
/// `METRICS_LISTEN`.
///
/// # Errors
/// As [`super::serve`], and when the directory cannot be written.
pub async fn demo(directory: &Path, environment: &[(String, String)]) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("the demo's directory {} cannot be made", directory.display()))?;
    let stop = CancellationToken::new();
    signals::stop_on_signal(&stop)?;
    let password = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 15]>()).to_ascii_lowercase();
    let server = MailServer::start(cast::options(&password))
        .await
        .context("the built-in mail server does not start")?;
    cast::direct(server.faults());
    let file = write_files(directory, &server)?;
    let settings = settings(directory, &server, &password, environment);
    let config = Config::load(Some(&file), settings.clone(), Purpose::Check)
        .map_err(|problems| anyhow::anyhow!("the demo's configuration is refused: {problems}"))?;
    init_logging(config.log_level, config.log_format);
    introduce(&config, directory);
    let origin = Origin { file: Some(file), environment: Some(settings), purpose: Purpose::Check };
    let result = run(origin, config, stop).await;
    server.stop().await;
    result
}

/// The recipients and the certificate authority, as files that a reload reads again.
fn write_files(directory: &Path, server: &MailServer) -> anyhow::Result<PathBuf> {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok::<_, anyhow::Error>(path)
    };
    write("ca.pem", server.ca_pem())?;
    let mut text = String::from("# Written by `maildt demo`.\n");
    for member in cast::MEMBERS {
        use std::fmt::Write as _;
        let _ = write!(
            text,
            "\n# {}\n[[recipients]]\nname = \"{}\"\naddress = \"{}\"\ninterval = {}\nalert_threshold = {}\n",
            member.about, member.name, member.address, member.interval, member.alert_threshold
        );
    }
    write("maildt.toml", &text)
}

fn settings(
    directory: &Path,
    server: &MailServer,
    password: &str,
    environment: &[(String, String)],
) -> Vec<(String, String)> {
    let addresses = server.addresses();
    let mut settings = vec![
        ("DATA_DIR", directory.join("data").display().to_string()),
        ("TLS_CA_FILE", directory.join("ca.pem").display().to_string()),
        ("SMTP_HOST", "localhost".to_owned()),
        ("SMTP_PORT", addresses.smtps.port().to_string()),
        ("SMTP_TLS", "implicit".to_owned()),
        ("SMTP_USER", cast::MAILBOX.to_owned()),
        ("SMTP_PASS", password.to_owned()),
        ("IMAP_HOST", "localhost".to_owned()),
        ("IMAP_PORT", addresses.imaps.port().to_string()),
        ("IMAP_TLS", "implicit".to_owned()),
        ("IMAP_USER", cast::MAILBOX.to_owned()),
        ("IMAP_PASS", password.to_owned()),
    ];
    for (name, value) in environment {
        if let Some(known) = FROM_USER.iter().find(|known| *known == name) {
            settings.push((known, value.clone()));
        }
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Says on standard output what there is to see.
fn introduce(config: &Config, directory: &Path) {
    println!("MailDT demo: a mail server with faults, and {} recipients behind it:\n", cast::MEMBERS.len());
    for member in cast::MEMBERS {
        println!("  {:<11} {}", member.name, member.about);
    }
    println!("\n  Metrics    http://{}/metrics", config.metrics_listen);
    println!("  Readiness  http://{}/-/ready", config.metrics_listen);
    println!("  Data       {}", directory.display());
    println!("\nEvery state shows within two minutes. Stop with Ctrl-C.\n");
}
