//! Which PostgreSQL.

use tokio_postgres::config::{Host, SslMode};

use super::placeholder;
use super::problem::{Fault, Findings};
use super::table::Table;
use crate::secret::Secret;

const FORM: &str = "write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, special characters as %XX";

/// Where history, incidents and keys are kept.
#[derive(Clone, Debug)]
pub enum Database {
    /// A server that somebody else runs.
    Url(Box<DatabaseUrl>),
    /// A PostgreSQL of our own, in `DATA_DIR`.
    Private,
}

/// `DATABASE_URL`, understood. Its `Debug` shows no password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseUrl {
    pub config: tokio_postgres::Config,
    /// Whether a TLS connector is needed; whether a server without TLS will do is `ssl_mode` in `config`.
    pub tls: bool,
}

impl Database {
    pub(super) fn read(top: &Table, findings: &mut Findings) -> Option<Self> {
        let has_password = top.has_secret("database_password");
        if !top.has_secret("database_url") {
            if has_password {
                let place = top.place("database_password");
                findings.warn(
                    &place,
                    "does nothing without DATABASE_URL: a private PostgreSQL needs no password",
                );
            }
            return Some(Self::Private);
        }
        let found = top.secret("database_url", findings)?;
        let mut url = findings.keep(&found.place, DatabaseUrl::parse(&found.value))?;
        if has_password {
            let password = top.secret("database_password", findings)?;
            if url.config.get_password().is_some() {
                let fault = Fault::new("DATABASE_URL holds a password as well", "give it only once");
                findings.refuse(password.place, fault);
                return None;
            }
            url.config.password(password.value.reveal());
        }
        Some(Self::Url(Box::new(url)))
    }
}

impl DatabaseUrl {
    /// Reads a URL. `verify-ca` and `verify-full` are the same as `require` here: certificates are always verified.
    pub(super) fn parse(url: &Secret) -> Result<Self, Fault> {
        let (scheme, rest) =
            url.reveal().trim().split_once("://").ok_or_else(|| Fault::new("is not a URL", FORM))?;
        // SQLAlchemy names its driver in the scheme: postgresql+psycopg2.
        let dialect = scheme.split('+').next().unwrap_or_default().to_ascii_lowercase();
        if !matches!(dialect.as_str(), "postgresql" | "postgres") {
            let remedy = format!("{FORM}; or unset it for a private PostgreSQL");
            return Err(Fault::new("is not the URL of a PostgreSQL", remedy));
        }
        let rest = match rest.split_once('?') {
            Some((server, query)) => format!("{server}?{}", query_for_driver(query)?),
            None => rest.to_owned(),
        };
        let mut config: tokio_postgres::Config =
            format!("postgresql://{rest}").parse().map_err(|_| Fault::new("cannot be understood", FORM))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Fault::new("names no host", FORM));
        }
        if let Some(password) = config.get_password().and_then(|password| std::str::from_utf8(password).ok())
        {
            placeholder::refuse(password)?;
        }
        if config.get_application_name().is_none() {
            config.application_name("maildt");
        }
        let by_network = !config.get_hostaddrs().is_empty()
            || config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        let tls = by_network && config.get_ssl_mode() != SslMode::Disable;
        Ok(Self { config, tls })
    }

    /// The URL for people: no password, no options.
    pub(super) fn masked(&self) -> String {
        let host = match self.config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            #[cfg(unix)]
            Some(Host::Unix(path)) => path.display().to_string(),
            None => self.config.get_hostaddrs().first().map(ToString::to_string).unwrap_or_default(),
        };
        let user = self.config.get_user().unwrap_or("(this user)");
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let database = self.config.get_dbname().unwrap_or(user);
        let tls = match self.config.get_ssl_mode() {
            SslMode::Disable => "disable",
            SslMode::Require => "require",
            _ => "prefer",
        };
        format!("postgresql://{user}@{host}:{port}/{database}?sslmode={tls}")
    }
}

/// Brings the parameters that libpq knows into the form that the driver understands.
fn query_for_driver(query: &str) -> Result<String, Fault> {
    let mut parameters = Vec::new();
    for parameter in query.split('&').filter(|p| !p.is_empty()) {
        let (key, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match (key, value) {
            ("sslmode", "verify-ca" | "verify-full") => parameters.push("sslmode=require".to_owned()),
            ("sslmode", "allow") => parameters.push("sslmode=prefer".to_owned()),
            ("sslmode", "disable" | "prefer" | "require") => parameters.push(parameter.to_owned()),
            ("sslmode", _) => {
                let remedy = "write disable, prefer, require or verify-full";
                return Err(Fault::new("has an unknown sslmode", remedy));
            }
            ("sslrootcert", _) => {
                return Err(Fault::new("has sslrootcert", "leave it out and name the file in TLS_CA_FILE"));
            }
            ("sslcert" | "sslkey", _) => {
                return Err(Fault::new(
                    "asks for a client certificate, which is not supported",
                    "use a password",
                ));
            }
            _ => parameters.push(parameter.to_owned()),
        }
    }
    Ok(parameters.join("&"))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<DatabaseUrl, Fault> {
        DatabaseUrl::parse(&Secret::new(url))
    }

    #[test]
    fn sslmode_says_whether_tls_is_needed() {
        for (mode, tls, driver) in [
            ("disable", false, SslMode::Disable),
            ("prefer", true, SslMode::Prefer),
            ("require", true, SslMode::Require),
            ("verify-full", true, SslMode::Require),
        ] {
            let url = parse(&format!("postgresql://u:p@db/x?sslmode={mode}&connect_timeout=3")).unwrap();
            assert_eq!((url.tls, url.config.get_ssl_mode()), (tls, driver), "{mode}");
        }
        assert!(!parse("postgresql://u@%2Frun%2Fpostgresql/x").unwrap().tls);
    }

    #[test]
    fn a_password_of_its_own_may_hold_any_character() {
        let environment =
            [("DATABASE_URL", "postgresql://maildt@db/mail"), ("DATABASE_PASSWORD", "p@ss/w:rd?%20#'\\")];
        let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = crate::config::Config::load(None, environment, crate::config::Purpose::Check).unwrap();
        let Database::Url(url) = config.database else { panic!("{:?}", config.database) };
        assert_eq!(url.config.get_password(), Some(b"p@ss/w:rd?%20#'\\".as_slice()));
        assert_eq!(url.masked(), "postgresql://maildt@db:5432/mail?sslmode=prefer");
    }

    #[test]
    fn what_is_shown_has_no_password() {
        let url =
            parse("postgresql+psycopg2://maildt:hunter%32@db:5433/mail?options=-csearch_path%3Dhunter2")
                .unwrap();
        assert_eq!(url.config.get_password(), Some(b"hunter2".as_slice()));
        assert_eq!(url.masked(), "postgresql://maildt@db:5433/mail?sslmode=prefer");
    }
}
