//! What the log says, and in which form; the time zone of what people read.

use std::path::Path;

use jiff::tz::TimeZone;
use tracing::level_filters::LevelFilter;

use super::parse;
use super::problem::Fault;

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

/// Also the names that the Python MailDT took.
pub(super) fn level(text: &str) -> Result<LevelFilter, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "error" | "critical" => Ok(LevelFilter::ERROR),
        "warn" | "warning" => Ok(LevelFilter::WARN),
        "info" => Ok(LevelFilter::INFO),
        "debug" => Ok(LevelFilter::DEBUG),
        "trace" => Ok(LevelFilter::TRACE),
        _ => {
            let reason = format!("{} is not a log level", parse::shown(text));
            Err(Fault::new(reason, "write error, warn, info, debug or trace"))
        }
    }
}

pub(super) fn format(text: &str) -> Result<LogFormat, Fault> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(Fault::new(format!("{} is not a log format", parse::shown(text)), "write text or json")),
    }
}

/// `TZ` in the forms that the C library takes: a name, a rule, or a file after a colon.
pub(super) fn time_zone(text: &str) -> Result<TimeZone, Fault> {
    let name = text.strip_prefix(':').unwrap_or(text);
    let from_file = || {
        let path = Path::new(name);
        path.is_absolute().then(|| TimeZone::tzif(name, &std::fs::read(path).ok()?).ok()).flatten()
    };
    if matches!(name, "UTC" | "Etc/UTC") {
        return Ok(TimeZone::UTC);
    }
    TimeZone::get(name).ok().or_else(|| TimeZone::posix(name).ok()).or_else(from_file).ok_or_else(|| {
        let reason = format!("{} is not a time zone that this system knows", parse::shown(text));
        Fault::new(reason, "give a name such as UTC or Europe/Vienna; the package tzdata has the zones")
    })
}
