//! The command line: what can be asked for, and the small commands that need no service.

pub mod hash_password;
pub mod healthcheck;
pub mod totp;

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand};

use crate::config::Purpose;

/// Exit codes that are the same for all commands; `check` has its own (monitoring plugins: 0 to 3).
pub mod exit {
    /// A connection failed, a check was negative, or anything else went wrong.
    pub const FAILURE: u8 = 1;
    /// `check` could not tell.
    pub const UNKNOWN: u8 = 3;
    /// A wrong command line (`EX_USAGE` of sysexits).
    pub const USAGE: u8 = 64;
    /// A refused configuration (`EX_CONFIG` of sysexits).
    pub const CONFIG: u8 = 78;
}

/// Version and revision, as `maildt --version` shows them.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (revision ", env!("MAILDT_REVISION"), ")");
/// The commit that this program was built from, or `unknown`.
pub const REVISION: &str = env!("MAILDT_REVISION");

/// The file that is read when `--config` names none and it is there.
const DEFAULT_FILE: &str = "maildt.toml";

/// Proves that mail arrives: signed probes by SMTP, watched by IMAP, as metrics, history and alerts.
#[derive(Debug, Parser)]
#[command(name = "maildt", version = VERSION, about)]
pub struct Cli {
    /// Configuration file (TOML); by default maildt.toml in the current directory, if there is one
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Without one: serve
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[expect(clippy::doc_markdown, reason = "clap shows these comments as they are")]
pub enum Command {
    /// Run the service (this is the default)
    Serve,
    /// Show everything on this machine: own database, built-in mail server, example recipients; no account needed
    Demo,
    /// Make one round trip now, without a database; output and exit codes of a monitoring plugin
    Check(CheckArgs),
    /// Read the configuration and try every connection, one line a check
    CheckConfig(CheckConfigArgs),
    /// Make an argon2id hash for ADMIN_PASSWORD_HASH; the password is read from the terminal or from stdin
    HashPassword,
    /// Make a new secret for ADMIN_TOTP_SECRET, with its otpauth URI and a QR code
    Totp(TotpArgs),
    /// Ask the running service whether it is healthy (for containers)
    Healthcheck,
}

/// `maildt check`.
#[derive(Debug, Args)]
#[expect(clippy::doc_markdown, reason = "clap shows these comments as they are")]
pub struct CheckArgs {
    /// Where the probe goes
    #[arg(value_name = "ADDRESS")]
    pub address: String,
    /// Sender to submit by
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub sender: String,
    /// Mailbox to watch
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub mailbox: String,
    /// What counts as its return: direct, forward or echo
    #[arg(long, value_name = "MODE", default_value = "direct", value_parser = return_mode)]
    pub return_mode: crate::domain::return_mode::ReturnMode,
    /// Later than this is late, as 90s, 5m or 1h; by default ALERT_THRESHOLD
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub threshold: Option<std::time::Duration>,
    /// How long to look for it before it is missing; by default twice the threshold
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub timeout: Option<std::time::Duration>,
}

/// `maildt check-config`.
#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Only read; connect to nothing
    #[arg(long)]
    pub offline: bool,
    /// Send one test alert on each channel
    #[arg(long, conflicts_with = "offline")]
    pub test_alerts: bool,
}

/// `maildt totp`.
#[derive(Debug, Args)]
pub struct TotpArgs {
    /// The account's name in the authenticator app
    #[arg(long, value_name = "NAME", default_value = "admin")]
    pub account: String,
}

/// A command line that is not run: help, version, or a mistake.
#[derive(Debug)]
pub struct NotRun {
    /// What to print; `clap` knows whether it belongs on stdout.
    pub message: clap::Error,
    pub exit_code: u8,
}

impl Cli {
    /// Understands a command line; its first item is the program's name.
    ///
    /// # Errors
    /// With what to print and the exit code: 0 for help and version, 3 for a mistake after `check`, which a monitoring
    /// system would otherwise take for missing mail, else 64.
    pub fn from_arguments(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, NotRun> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let is_check = arguments.iter().skip(1).any(|argument| argument == "check");
        Self::try_parse_from(arguments).map_err(|message| {
            let exit_code = match message.use_stderr() {
                false => 0,
                true if is_check => exit::UNKNOWN,
                true => exit::USAGE,
            };
            NotRun { message, exit_code }
        })
    }

    /// What is to be done.
    #[must_use]
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve)
    }

    /// The configuration file: the named one, which must be there, or `maildt.toml` if it is in `directory`.
    #[must_use]
    pub fn config_file(&self, directory: &Path) -> Option<PathBuf> {
        self.config.clone().or_else(|| Some(directory.join(DEFAULT_FILE)).filter(|path| path.exists()))
    }
}

impl Command {
    /// What the configuration is read for.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Serve | Self::CheckConfig(_) => Purpose::Serve,
            _ => Purpose::Check,
        }
    }
}

/// The environment of this process. What is not UTF-8 is passed on with replacement characters: a setting then fails with
/// its name, other programs' variables do no harm.
#[must_use]
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

fn return_mode(text: &str) -> Result<crate::domain::return_mode::ReturnMode, String> {
    crate::config::parse_return_mode(text).map_err(|fault| fault.to_string())
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let duration = crate::config::parse_duration(text).map_err(|fault| fault.to_string())?;
    if duration.is_zero() { Err("must be longer than 0".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, NotRun> {
        Cli::from_arguments(line.split(' ').map(OsString::from))
    }

    #[test]
    fn the_declaration_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves() {
        assert!(matches!(parse("maildt").unwrap().into_command(), Command::Serve));
        let cli = parse("maildt check-config --offline --config /etc/maildt.toml").unwrap();
        assert_eq!(cli.config_file(Path::new("/")), Some(PathBuf::from("/etc/maildt.toml")));
        assert!(matches!(
            cli.into_command(),
            Command::CheckConfig(CheckConfigArgs { offline: true, test_alerts: false })
        ));
    }

    #[test]
    fn the_file_of_the_current_directory_is_read_when_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let cli = parse("maildt serve").unwrap();
        assert_eq!(cli.config_file(directory.path()), None);
        std::fs::write(directory.path().join("maildt.toml"), "").unwrap();
        assert_eq!(cli.config_file(directory.path()), Some(directory.path().join("maildt.toml")));
    }

    #[test]
    fn check_takes_durations_and_modes() {
        let cli =
            parse("maildt check probe@lab.test --threshold 90s --timeout 5m --return-mode echo").unwrap();
        let Command::Check(args) = cli.into_command() else { unreachable!() };
        assert_eq!(args.threshold, Some(std::time::Duration::from_secs(90)));
        assert_eq!(args.return_mode.as_str(), "echo");
        assert_eq!((args.sender.as_str(), args.mailbox.as_str()), ("default", "default"));
    }

    #[test]
    fn a_mistake_after_check_is_unknown_and_not_missing_mail() {
        for (line, code) in [
            ("maildt --version", 0),
            ("maildt check --help", 0),
            ("maildt check", exit::UNKNOWN),
            ("maildt check a@b --threshold soon", exit::UNKNOWN),
            ("maildt check a@b --timeout 0", exit::UNKNOWN),
            ("maildt frobnicate", exit::USAGE),
            ("maildt check-config --nonsense", exit::USAGE),
            ("maildt check-config --offline --test-alerts", exit::USAGE),
        ] {
            assert_eq!(parse(line).unwrap_err().exit_code, code, "{line}");
        }
    }

    #[test]
    fn the_version_tells_the_revision() {
        let message = parse("maildt --version").unwrap_err().message.to_string();
        assert_eq!(message, format!("maildt {} (revision {REVISION})\n", env!("CARGO_PKG_VERSION")));
    }
}
