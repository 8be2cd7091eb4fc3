//! The names of all settings. In the file they are written in lower case.

/// A setting that stands by itself, in the environment or at the top of the file.
pub(super) struct Setting {
    pub name: &'static str,
    /// Never shown; may also be given as `NAME_FILE`.
    pub secret: bool,
    /// Empty: unset, or derived from other settings.
    pub default: &'static str,
}

const fn unset(name: &'static str) -> Setting {
    Setting { name, secret: false, default: "" }
}

const fn preset(name: &'static str, default: &'static str) -> Setting {
    Setting { name, secret: false, default }
}

const fn secret(name: &'static str) -> Setting {
    Setting { name, secret: true, default: "" }
}

/// Every setting, in the order in which they are checked and shown.
pub(super) const SETTINGS: &[Setting] = &[
    secret("DATABASE_URL"),
    secret("DATABASE_PASSWORD"),
    unset("DATA_DIR"),
    unset("SMTP_HOST"),
    unset("SMTP_PORT"),
    unset("SMTP_USER"),
    secret("SMTP_PASS"),
    unset("SMTP_TLS"),
    unset("SMTP_FROM"),
    unset("IMAP_HOST"),
    unset("IMAP_PORT"),
    unset("IMAP_USER"),
    secret("IMAP_PASS"),
    unset("IMAP_TLS"),
    preset("IMAP_FOLDERS", "INBOX,\\Junk"),
    preset("IMAP_CLEANUP", "delete"),
    preset("ACTIVE_LOOK", "on"),
    preset("ALLOW_PLAINTEXT", "false"),
    unset("TLS_CA_FILE"),
    preset("SEND_INTERVAL", "3600"),
    preset("ALERT_THRESHOLD", "300"),
    preset("CHECK_INTERVAL", "30"),
    preset("SEND_WINDOW", "900"),
    preset("RETENTION_DAYS", "7"),
    secret("DISCORD_WEBHOOK_URL"),
    unset("ALERT_MAIL_RECIPIENT"),
    unset("ALERT_SMTP_HOST"),
    unset("ALERT_SMTP_PORT"),
    unset("ALERT_SMTP_USER"),
    secret("ALERT_SMTP_PASS"),
    unset("ALERT_SMTP_TLS"),
    unset("ALERT_SMTP_FROM"),
    preset("ALERT_REMINDER", "6h"),
    secret("HEARTBEAT_URL"),
    preset("LISTEN", "127.0.0.1:5000"),
    preset("METRICS_LISTEN", "127.0.0.1:9025"),
    preset("PUBLIC_URL", "http://localhost:5000"),
    preset("ALLOW_INSECURE_HTTP", "false"),
    preset("ADMIN_USER", "admin"),
    secret("ADMIN_PASSWORD"),
    secret("ADMIN_PASSWORD_HASH"),
    secret("ADMIN_TOTP_SECRET"),
    secret("API_TOKEN"),
    secret("SECRET_KEY"),
    preset("ENABLE_PROXY", "false"),
    unset("TRUSTED_PROXIES"),
    preset("CERT_WARN_DAYS", "14"),
    preset("TZ", "UTC"),
    preset("LOG_LEVEL", "info"),
    preset("LOG_FORMAT", "text"),
];

/// Tables that the file may hold besides the settings.
pub(super) const TABLES: [&str; 5] = ["limits", "senders", "mailboxes", "recipients", "maintenance"];

/// Settings that the file alone holds: the environment of a running process stays as it is, so that nobody could take
/// them back.
pub(super) const FILE_ONLY: [&str; 1] = ["muted_until"];

/// Variables of `docker-compose.yml`, which the program itself never reads.
const COMPOSE_ONLY: [&str; 5] = ["PORT", "DB_USER", "DB_PASS", "DB_PASS_FILE", "DB_NAME"];

/// Names that people write, and the right ones.
const MISNOMERS: &[(&str, &str)] = &[
    ("SMTP_PASSWORD", "SMTP_PASS"),
    ("SMTP_PASSWD", "SMTP_PASS"),
    ("SMTP_USERNAME", "SMTP_USER"),
    ("SMTP_LOGIN", "SMTP_USER"),
    ("SMTP_SERVER", "SMTP_HOST"),
    ("SMTP_HOSTNAME", "SMTP_HOST"),
    ("SMTP_SENDER", "SMTP_FROM"),
    ("SMTP_SECURE", "SMTP_TLS"),
    ("SMTP_SSL", "SMTP_TLS"),
    ("IMAP_PASSWORD", "IMAP_PASS"),
    ("IMAP_PASSWD", "IMAP_PASS"),
    ("IMAP_USERNAME", "IMAP_USER"),
    ("IMAP_LOGIN", "IMAP_USER"),
    ("IMAP_SERVER", "IMAP_HOST"),
    ("IMAP_HOSTNAME", "IMAP_HOST"),
    ("IMAP_SECURE", "IMAP_TLS"),
    ("IMAP_SSL", "IMAP_TLS"),
    ("IMAP_FOLDER", "IMAP_FOLDERS"),
    ("IMAP_MAILBOX", "IMAP_FOLDERS"),
    ("DISCORD_WEBHOOK", "DISCORD_WEBHOOK_URL"),
    ("DISCORD_URL", "DISCORD_WEBHOOK_URL"),
    ("ALERT_EMAIL", "ALERT_MAIL_RECIPIENT"),
    ("ALERT_MAIL", "ALERT_MAIL_RECIPIENT"),
    ("ALERT_EMAIL_RECIPIENT", "ALERT_MAIL_RECIPIENT"),
    ("ADMIN_PASS", "ADMIN_PASSWORD"),
    ("ADMIN_USERNAME", "ADMIN_USER"),
    ("ADMIN_TOTP", "ADMIN_TOTP_SECRET"),
    ("TOTP_SECRET", "ADMIN_TOTP_SECRET"),
    ("DATABASE_URI", "DATABASE_URL"),
    ("POSTGRES_URL", "DATABASE_URL"),
    ("METRICS_PORT", "METRICS_LISTEN"),
    ("RETENTION", "RETENTION_DAYS"),
    ("HEARTBEAT", "HEARTBEAT_URL"),
    ("BASE_URL", "PUBLIC_URL"),
];

/// Beginnings of names that nothing but MailDT is likely to use: there a near miss is worth a word.
const OWN_PREFIXES: [&str; 14] = [
    "SMTP_",
    "IMAP_",
    "ALERT_",
    "ADMIN_",
    "DISCORD_",
    "HEARTBEAT_",
    "RETENTION_",
    "METRICS_",
    "SEND_",
    "CHECK_",
    "TRUSTED_",
    "PUBLIC_",
    "MAILDT_",
    "CERT_",
];

/// Variables that do nothing: of the Python MailDT, or meant for the file.
const GONE: &[(&str, &str)] = &[
    ("WEBHOOK_URL", "alerts go to DISCORD_WEBHOOK_URL and ALERT_MAIL_RECIPIENT only"),
    (
        "CW_PRIVATE_KEY",
        "there are no ConnectWise tickets; alerts go to DISCORD_WEBHOOK_URL and ALERT_MAIL_RECIPIENT only",
    ),
    ("MUTED_UNTIL", "it belongs into the file, as muted_until, where SIGHUP reads it again"),
];

/// The setting of an environment variable: its own or, of a secret, `NAME_FILE`.
pub(super) fn by_variable(name: &str) -> Option<&'static Setting> {
    let secret_of_file = name.strip_suffix("_FILE");
    SETTINGS.iter().find(|s| s.name == name || s.secret && Some(s.name) == secret_of_file)
}

/// Whether the file may hold `key` at its top.
pub(super) fn is_file_key(key: &str) -> bool {
    let upper = key.to_ascii_uppercase();
    let by_itself = TABLES.contains(&key) || FILE_ONLY.contains(&key);
    by_itself || key == key.to_ascii_lowercase() && by_variable(&upper).is_some()
}

/// What may stand at the top of the file.
pub(super) fn file_keys() -> Vec<String> {
    let settings = SETTINGS.iter().flat_map(|s| {
        let name = s.name.to_ascii_lowercase();
        let file = s.secret.then(|| format!("{name}_file"));
        std::iter::once(name).chain(file)
    });
    settings.chain(TABLES.into_iter().chain(FILE_ONLY).map(str::to_owned)).collect()
}

/// Of `known`, the word that differs from `word` by a slip of the fingers.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_lowercase().replace('-', "_");
    let allowed = if word.len() < 5 { 1 } else { 2 };
    known
        .into_iter()
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Of the keys `known`, the one that was probably meant by `key`: by a slip, or as `password` means `pass`.
pub(super) fn nearest_key<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = key.to_ascii_lowercase();
    let is_part = |candidate: &&&str| {
        lower.len() >= 4
            && candidate.len() >= 4
            && (lower.contains(**candidate) || candidate.contains(&lower))
    };
    let part = || known.iter().filter(is_part).max_by_key(|candidate| candidate.len()).copied();
    nearest(key, known.iter().copied()).or_else(part)
}

/// The right name for a variable that looks like one of ours and is none.
pub(super) fn meant_by(variable: &str) -> Option<&'static str> {
    if by_variable(variable).is_some() || COMPOSE_ONLY.contains(&variable) {
        return None;
    }
    let (stem, _) = variable.strip_suffix("_FILE").map_or((variable, false), |stem| (stem, true));
    let unprefixed = stem.strip_prefix("MAILDT_").and_then(by_variable).map(|s| s.name);
    let misnomer = || MISNOMERS.iter().find(|(wrong, _)| *wrong == stem).map(|(_, right)| *right);
    let close = || {
        let ours = OWN_PREFIXES.iter().any(|prefix| stem.starts_with(prefix));
        ours.then(|| nearest(stem, SETTINGS.iter().map(|s| s.name))).flatten()
    };
    unprefixed.or_else(misnomer).or_else(close)
}

/// What to say about a key of the file that is written as people often write it, or that only compose knows.
pub(super) fn meant_by_key(key: &str) -> Option<String> {
    let upper = key.to_ascii_uppercase();
    if COMPOSE_ONLY.contains(&upper.as_str()) {
        return Some(
            "it belongs into .env, for docker-compose.yml only; the database is database_url".to_owned(),
        );
    }
    let known = file_keys();
    let misnomer =
        MISNOMERS.iter().find(|(wrong, _)| *wrong == upper).map(|(_, right)| right.to_ascii_lowercase());
    let right = misnomer.or_else(|| nearest(key, known.iter().map(String::as_str)).map(str::to_owned))?;
    Some(format!("did you mean {right}?"))
}

/// What to say about a variable that does nothing.
pub(super) fn gone(variable: &str) -> Option<&'static str> {
    GONE.iter().find(|(name, _)| *name == variable).map(|(_, text)| *text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_misses_lead_to_the_right_name() {
        for (wrong, right) in [
            ("SMTP_PASSWORD", "SMTP_PASS"),
            ("IMAP_PASSWORD_FILE", "IMAP_PASS"),
            ("DISCORD_WEBHOOK", "DISCORD_WEBHOOK_URL"),
            ("SMTP_PROT", "SMTP_PORT"),
            ("ALERT_TRESHOLD", "ALERT_THRESHOLD"),
            ("MAILDT_SMTP_HOST", "SMTP_HOST"),
        ] {
            assert_eq!(meant_by(wrong), Some(right), "{wrong}");
        }
    }

    #[test]
    fn other_programs_variables_are_left_alone() {
        for name in [
            "PATH",
            "PORT",
            "DB_PASS",
            "SMTP_PASS",
            "SMTP_PASS_FILE",
            "HOME",
            "LISTEN_FDS",
            "SMTP_RELAY_NETWORKS",
            "SMTP_PORT_25_TCP_ADDR",
            "TZDIR",
        ] {
            assert_eq!(meant_by(name), None, "{name}");
        }
    }

    #[test]
    fn only_lower_case_stands_in_the_file() {
        assert!(is_file_key("smtp_pass_file"));
        assert!(is_file_key("recipients"));
        assert!(!is_file_key("smtp_host_file"));
        assert!(!is_file_key("SMTP_HOST"));
        assert_eq!(meant_by_key("SMTP_HOST").as_deref(), Some("did you mean smtp_host?"));
        assert_eq!(meant_by_key("frobnicate"), None);
        assert_eq!(nearest_key("password", &["host", "pass", "pass_file"]), Some("pass"));
        assert_eq!(nearest_key("threshold", &["alert_threshold", "alert_after"]), Some("alert_threshold"));
    }
}
