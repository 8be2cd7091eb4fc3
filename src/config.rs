//! The configuration: defaults < `maildt.toml` < environment; validated as a whole before anything starts.
//!
//! [`Config::load`] merges the layers ([`source`]), reads every setting from a [`table`] with the parsers of [`parse`],
//! and answers either a whole configuration or every [`Problem`] at once. Each section validates itself in a file of its
//! own. Nothing in here reads the environment of the process, the clock or the network.

pub mod account;
mod accounts;
pub mod admin;
pub mod alerts;
pub mod database;
mod describe;
mod gaps;
pub mod limits;
mod log;
mod parse;
mod placeholder;
mod problem;
mod quiet;
pub mod recipient;
mod setting;
mod source;
mod table;
pub mod web;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use tracing::level_filters::LevelFilter;

pub use account::{Account, Cleanup, Mailbox, Sender, TlsMode};
pub use admin::{Admin, Credential, TotpSecret};
pub use alerts::Alerts;
pub use database::{Database, DatabaseUrl};
pub use describe::Described;
pub use limits::Limits;
pub use log::LogFormat;
pub use parse::{Network, duration as parse_duration, is_loopback, show_duration};
pub use problem::{Fault, Origin, Place, Problem, Problems};
pub use recipient::{RecipientDefaults, Refusal, return_mode as parse_return_mode};
pub use web::{Proxy, PublicUrl};

use crate::domain::quiet::Quiet;
use crate::domain::recipient::Wanted;
use crate::secret::Secret;
use jiff::Timestamp;
use problem::{Findings, Late};
use recipient::{INTERVAL_MAX, Surroundings, THRESHOLD_MAX};
use table::{Table, bounded};

/// What the configuration is read for: not everything needs all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The service and `check-config`: there must be a way to log in.
    Serve,
    /// `maildt check` and the demo: who may log in does not matter and is not looked at.
    Check,
}

/// Everything that can be set, valid as a whole. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    pub database: Database,
    pub data_dir: PathBuf,
    /// Submission accounts by name; the environment's is `default`.
    pub senders: BTreeMap<String, Arc<Sender>>,
    /// Watched accounts by name; the environment's is `default`.
    pub mailboxes: BTreeMap<String, Arc<Mailbox>>,
    pub recipients: Vec<Wanted>,
    pub defaults: RecipientDefaults,
    /// Between two full syncs of a folder.
    pub check_interval: Duration,
    /// How long a 4xx is retried.
    pub send_window: Duration,
    /// How long history is kept.
    pub retention: Duration,
    pub listen: SocketAddr,
    pub metrics_listen: SocketAddr,
    pub public_url: PublicUrl,
    pub admin: Admin,
    pub alerts: Alerts,
    pub quiet: Quiet,
    pub tls_ca_file: Option<PathBuf>,
    /// For SMTP, IMAP, HTTP and PostgreSQL, with the certificates of `tls_ca_file`.
    pub tls: Arc<rustls::ClientConfig>,
    /// Signs probe tokens; `None`: the key in the database does.
    pub secret_key: Option<Secret>,
    /// Bearer token of the API; `None`: by session only.
    pub api_token: Option<Secret>,
    pub proxy: Proxy,
    pub cert_warn_days: u32,
    pub tz: TimeZone,
    pub log_level: LevelFilter,
    pub log_format: LogFormat,
    pub limits: Limits,
    /// What is allowed and yet worth a word, one line each, at any time.
    pub warnings: Vec<String>,
    /// What will be, from some time on.
    later: Vec<Late>,
    described: Vec<Described>,
}

impl Config {
    /// Reads the configuration from `file` and from an environment.
    ///
    /// # Errors
    /// With every problem there is, each with its setting, its place and its remedy; secrets are not shown.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        purpose: Purpose,
    ) -> Result<Self, Problems> {
        let mut findings = Findings::default();
        let source =
            source::read(file, environment.into_iter().collect(), &mut findings).map_err(Problems::from)?;
        let config = Self::build(&source, purpose, &mut findings);
        let later = findings.take_later();
        let warnings = findings.finish()?;
        // Whatever made `build` answer nothing has been noted as a problem.
        let mut config = config.unwrap_or_else(|| unreachable!("a refused configuration has a problem"));
        (config.warnings, config.later) = (warnings, later);
        config.described = describe::rows(&source, &config);
        Ok(config)
    }

    /// The warnings and, besides, what is over by `now` and could be removed.
    pub fn warnings_at(&self, now: Timestamp) -> impl Iterator<Item = &str> {
        let over = self.later.iter().filter(move |late| late.from <= now).map(|late| late.text.as_str());
        self.warnings.iter().map(String::as_str).chain(over)
    }

    /// Every setting that counts, with secrets masked: its name, its value and where it came from.
    #[must_use]
    pub fn described(&self) -> &[Described] {
        &self.described
    }

    /// Reads every setting, even when one is refused: all problems shall be told at once.
    fn build(source: &source::Source, purpose: Purpose, findings: &mut Findings) -> Option<Self> {
        let top = &source.top;
        let database = Database::read(top, findings);
        let data_dir = read_data_dir(source, findings);
        let plaintext = top.scalar("allow_plaintext", findings, parse::boolean).unwrap_or(false);
        let senders = accounts::read_senders(source, plaintext, findings);
        let mailboxes = accounts::read_mailboxes(source, plaintext, findings);
        let tls_ca_file = top.text("tls_ca_file", findings).map(PathBuf::from);
        let tls = read_tls(top, tls_ca_file.as_deref(), findings);
        let limits = Limits::read(&source.limits, findings);
        let send_interval = top.scalar("send_interval", findings, bounded(limits.interval_min, INTERVAL_MAX));
        let alert_threshold =
            top.scalar("alert_threshold", findings, bounded(limits.threshold_min, THRESHOLD_MAX));
        let hour = Duration::from_hours(1);
        let check_interval = top.scalar("check_interval", findings, bounded(Duration::from_secs(1), hour));
        let send_window = top.scalar("send_window", findings, bounded(Duration::ZERO, hour * 24));
        let retention_days = top.scalar("retention_days", findings, |text| {
            parse::number_within(text.strip_suffix('d').unwrap_or(text), 1, 3650)
        });
        let alerts = Alerts::read(top, &senders, plaintext, findings);
        let listen = web::read_listen(top, findings);
        let public_url = PublicUrl::read(top, findings);
        let admin = match purpose {
            Purpose::Serve => Admin::read(top, findings),
            Purpose::Check => Admin::closed(),
        };
        let api_token = read_key(top, "api_token", findings);
        let secret_key = read_key(top, "secret_key", findings);
        let proxy = Proxy::read(top, findings);
        let cert_warn_days =
            top.scalar("cert_warn_days", findings, |text| parse::number_within(text, 0, 365));
        let tz = top.parsed("tz", findings, log::time_zone);
        let log_level = top.parsed("log_level", findings, log::level);
        let log_format = top.parsed("log_format", findings, log::format);
        let defaults = RecipientDefaults {
            // A refused default has been told; recipients are checked all the same.
            send_interval: send_interval.unwrap_or(hour),
            alert_threshold: alert_threshold.unwrap_or(Duration::from_mins(5)),
        };
        let around = Surroundings { senders: &senders, mailboxes: &mailboxes, defaults, limits: &limits };
        let recipients = recipient::read(&source.recipients, &around, findings);
        let quiet = quiet::read(source, tz.as_ref().unwrap_or(&TimeZone::UTC), &recipients, findings);
        gaps::tell(source, &around, &alerts, &recipients, purpose, findings);
        let (send_interval, alert_threshold) = (send_interval?, alert_threshold?);
        let (listen, metrics_listen) = listen?;
        Some(Self {
            database: database?,
            data_dir: data_dir?,
            senders: senders.built,
            mailboxes: mailboxes.built,
            recipients,
            defaults: RecipientDefaults { send_interval, alert_threshold },
            check_interval: check_interval?,
            send_window: send_window?,
            retention: Duration::from_hours(24) * retention_days?,
            listen,
            metrics_listen,
            public_url: public_url?,
            admin,
            alerts,
            quiet: quiet?,
            tls_ca_file,
            tls: tls?,
            secret_key,
            api_token,
            proxy: proxy?,
            cert_warn_days: cert_warn_days?,
            tz: tz?,
            log_level: log_level?,
            log_format: log_format?,
            limits,
            warnings: Vec::new(),
            later: Vec::new(),
            described: Vec::new(),
        })
    }
}

/// Reads `METRICS_LISTEN` alone, so that a health check needs neither secrets nor a valid rest.
///
/// # Errors
/// When it is not an address, or the file cannot be read.
pub fn metrics_listen(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<SocketAddr, Problems> {
    let mut others = Findings::default();
    let source =
        source::read(file, environment.into_iter().collect(), &mut others).map_err(Problems::from)?;
    let mut findings = Findings::default();
    let listen = source.top.parsed("metrics_listen", &mut findings, parse::listen);
    findings.finish()?;
    Ok(listen.unwrap_or_else(|| unreachable!("it has a default, and a refused value is a problem")))
}

/// `DATA_DIR`, else where programs of this user keep their data.
fn read_data_dir(source: &source::Source, findings: &mut Findings) -> Option<PathBuf> {
    if source.top.has("data_dir") {
        let text = source.top.text("data_dir", findings)?;
        return findings.keep(&source.top.place("data_dir"), absolute(&text));
    }
    let variable =
        |name: &str| source.environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/maildt"));
    }
    let home = variable("XDG_DATA_HOME").or_else(|| Some(variable("HOME")?.join(".local/share")));
    Some(home.map_or_else(|| PathBuf::from("/var/lib/maildt"), |home| home.join("maildt")))
}

fn absolute(text: &str) -> Result<PathBuf, Fault> {
    std::path::absolute(text).map_err(|e| {
        Fault::new(format!("{} cannot be made absolute: {e}", parse::shown(text)), "give an absolute path")
    })
}

fn read_tls(
    top: &Table,
    ca_file: Option<&Path>,
    findings: &mut Findings,
) -> Option<Arc<rustls::ClientConfig>> {
    let config = crate::tls::client_config(ca_file).map_err(|error| match error {
        crate::tls::Error::CaFile { path, reason } => Fault::new(
            format!("{}: {reason}", path.display()),
            "give a readable file with at least one PEM certificate",
        ),
        crate::tls::Error::NoStore(e) => Fault::new(
            format!("no usable certificate store on this system: {e}"),
            "install ca-certificates, or name a file here",
        ),
    });
    findings.keep(&top.place("tls_ca_file"), config)
}

/// A key or token that others must not be able to guess.
fn read_key(top: &Table, field: &str, findings: &mut Findings) -> Option<Secret> {
    let found = top.secret(field, findings)?;
    let text = found.value.reveal();
    let remedy = "make one with `openssl rand -hex 32`";
    let checked = if text.len() < 16 {
        Err(Fault::new("is shorter than 16 characters", remedy))
    } else if field == "api_token" && !text.bytes().all(|b| b.is_ascii_graphic()) {
        Err(Fault::new("holds characters that no HTTP header can carry", remedy))
    } else {
        Ok(())
    };
    findings.keep(&found.place, checked).map(|()| found.value)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
