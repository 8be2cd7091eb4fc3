//! `maildt demo`: everything on one machine, no account needed.

mod story;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::{BUILD, Origin, init_logging, run_counting, signals};
use crate::clock;
use crate::config::{Config, Purpose};
use crate::demo::{MailServer, cast};
use crate::metrics::Metrics;

/// What the user's environment may set.
const FROM_USER: [&str; 5] = ["METRICS_LISTEN", "LISTEN", "LOG_LEVEL", "LOG_FORMAT", "TZ"];

/// Runs the built-in mail server, a private PostgreSQL of its own and the service on top, until a signal ends it.
///
/// `directory` keeps the demo's data; a later demo goes on from there. Ports come from `environment` where it sets `LISTEN` or
/// `METRICS_LISTEN`.
///
/// # Errors
/// As [`super::serve`], and when the directory cannot be written or is another user's.
pub async fn demo(directory: &Path, environment: &[(String, String)]) -> anyhow::Result<()> {
    make_directory(directory)?;
    let stop = CancellationToken::new();
    signals::stop_on_signal(&stop)?;
    let password = data_encoding::BASE32_NOPAD.encode(&rand::random::<[u8; 15]>()).to_ascii_lowercase();
    let server = MailServer::start(cast::options(&password))
        .await
        .context("the built-in mail server does not start")?;
    cast::direct(server.faults());
    let file = write_files(directory, &server)?;
    let settings = settings(directory, &server, &password, environment);
    let mut config = Config::load(Some(&file), settings.clone(), Purpose::Serve)
        .map_err(|problems| anyhow::anyhow!("the demo's configuration is refused: {problems}"))?;
    // They are about installations that are meant to last.
    config.warnings.clear();
    init_logging(config.log_level, config.log_format);
    introduce(&config, directory, &password);
    let origin = Origin { file: Some(file), environment: Some(settings), purpose: Purpose::Serve };
    let metrics = Arc::new(Metrics::new(BUILD, clock::now()));
    let server = Arc::new(server);
    let story = tokio::spawn(story::tell(Arc::clone(&metrics), Arc::clone(&server)));
    let result = run_counting(origin, config, metrics, stop).await;
    story.abort();
    let _ = story.await;
    if let Some(server) = Arc::into_inner(server) {
        server.stop().await;
    }
    if result.is_ok() {
        println!("\nThe demo has stopped. Its data stays in {}.", directory.display());
    }
    result
}

/// Makes the demo's directory, or sees that it is our own: by default its name is known to everybody.
fn make_directory(directory: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("the demo's directory {} cannot be made", directory.display()))?;
    let found = std::fs::symlink_metadata(directory)?;
    anyhow::ensure!(
        found.is_dir() && found.uid() == nix::unistd::geteuid().as_raw(),
        "the demo's directory {} belongs to another user; set DATA_DIR to one of your own",
        directory.display()
    );
    Ok(())
}

/// The recipients and the certificate authority, as files that a reload reads again.
fn write_files(directory: &Path, server: &MailServer) -> anyhow::Result<PathBuf> {
    let write = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        Ok::<_, anyhow::Error>(path)
    };
    write("ca.pem", server.ca_pem())?;
    let mut text = format!("# Written by `maildt demo`.\nalert_threshold = {}\n", cast::ALERT_THRESHOLD);
    for member in cast::MEMBERS {
        use std::fmt::Write as _;
        let _ = write!(
            text,
            "\n# {}\n[[recipients]]\nname = \"{}\"\naddress = \"{}\"\ninterval = {}\nactive = {}\n",
            member.about, member.name, member.address, member.interval, member.active
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
        ("ALERT_MAIL_RECIPIENT", cast::ON_CALL.to_owned()),
        ("ALERT_SMTP_HOST", "localhost".to_owned()),
        ("ALERT_SMTP_PORT", addresses.smtps.port().to_string()),
        ("ALERT_SMTP_TLS", "implicit".to_owned()),
        ("ALERT_SMTP_USER", cast::MAILBOX.to_owned()),
        ("ALERT_SMTP_PASS", password.to_owned()),
        ("ADMIN_PASSWORD", password.to_owned()),
        // What happens is told on standard output; LOG_LEVEL=info shows the service's own words too.
        ("LOG_LEVEL", "error".to_owned()),
    ];
    for (name, value) in environment {
        if let Some(known) = FROM_USER.iter().find(|known| *known == name) {
            settings.push((known, value.clone()));
        }
    }
    let listen = settings.iter().rev().find(|(name, _)| *name == "LISTEN");
    if let Some((_, port)) = listen.and_then(|(_, address)| address.rsplit_once(':')) {
        settings.push(("PUBLIC_URL", format!("http://localhost:{port}")));
    }
    settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Says on standard output what there is to see.
fn introduce(config: &Config, directory: &Path, password: &str) {
    println!("MailDT demo: a mail server with faults, and {} recipients behind it.", cast::MEMBERS.len());
    println!("A probe is late when it takes more than {} s.\n", cast::ALERT_THRESHOLD);
    println!("  recipient   states        what becomes of its mail");
    for member in cast::MEMBERS {
        println!("  {:<11} {:<13} {}", member.name, member.states, member.about);
    }
    println!(
        "\n  Any other address @demo.test arrives at once: add one in the admin UI and watch its first probe."
    );
    println!("\n  alerts      by mail to {}, of which the subjects are shown here", cast::ON_CALL);
    println!("  admin UI    http://{}/", config.listen);
    println!("  login       user admin, password {password}");
    println!("  metrics     http://{}/metrics", config.metrics_listen);
    println!("  readiness   http://{}/-/ready", config.metrics_listen);
    println!("  data        {}", directory.display());
    println!("\nEvery state shows within two minutes. Stop with Ctrl-C.\n");
}
