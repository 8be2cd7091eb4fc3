//! From nothing to a logged-in connection.

use std::sync::Arc;
use std::time::Duration;

use async_imap::{Authenticator, Client};
use rustls::ClientConfig;

use crate::config::{Account, Limits, TlsMode};

use super::command::{quoted, sasl_plain};
use super::connect::{self, within};
use super::error::Error;
use super::guard::Guard;
use super::loss::{Secrets, goodbye, hung_up, lost, refused};
use super::response::{Response, Status, Untagged};

/// A connection, protected as the account wants it, that waits for a login.
#[derive(Debug)]
pub(super) struct Greeted {
    client: Client<Guard>,
    secrets: Secrets,
    certificate_not_after: Option<i64>,
    limit: Duration,
}

/// A connection on which the server knows who we are.
#[derive(Debug)]
pub(super) struct LoggedIn {
    pub imap: async_imap::Session<Guard>,
    pub secrets: Secrets,
    pub certificate_not_after: Option<i64>,
}

impl Greeted {
    /// Connects, and protects the connection.
    pub(super) async fn connect(
        account: &Account,
        tls: &Arc<ClientConfig>,
        limits: &Limits,
    ) -> Result<Self, Error> {
        let secrets = Secrets::of(account);
        let (client, certificate_not_after) =
            protected(account, tls, limits).await.map_err(|error| secrets.masked(error))?;
        Ok(Self { client, secrets, certificate_not_after, limit: limits.command })
    }

    pub(super) async fn log_in(self, account: &Account) -> Result<LoggedIn, Error> {
        let Self { client, secrets, certificate_not_after, limit } = self;
        let imap = log_in(client, account, limit).await.map_err(|error| secrets.masked(error))?;
        Ok(LoggedIn { imap, secrets, certificate_not_after })
    }
}

/// The greeted connection, and when the server's certificate expires.
async fn protected(
    account: &Account,
    tls: &Arc<ClientConfig>,
    limits: &Limits,
) -> Result<(Client<Guard>, Option<i64>), Error> {
    let tcp = connect::tcp(account, limits.connect).await?;
    if account.tls == TlsMode::Implicit {
        let stream = connect::tls(tcp, account, Arc::clone(tls), limits.connect).await?;
        let not_after = connect::certificate_not_after(&stream);
        let mut client = Client::new(Guard::new(stream));
        greeting(&mut client, account, limits.command).await?;
        return Ok((client, not_after));
    }
    let mut client = Client::new(Guard::new(tcp));
    greeting(&mut client, account, limits.command).await?;
    if account.tls == TlsMode::None {
        return Ok((client, None));
    }
    // RFC 3501, section 6.2.1. Never optional: a server that does not offer it is an error.
    before_login(&mut client, "STARTTLS", limits.command).await.map_err(|error| match error {
        Error::Refused { words, .. } => Error::Tls(format!(
            "the server refuses STARTTLS ({words}); use the port of implicit TLS (993) if it has one"
        )),
        other => other,
    })?;
    let plain = connect::stream_for_tls(client.into_inner())?;
    let stream = connect::tls(plain, account, Arc::clone(tls), limits.connect).await?;
    let not_after = connect::certificate_not_after(&stream);
    Ok((Client::new(Guard::new(stream)), not_after))
}

async fn greeting(client: &mut Client<Guard>, account: &Account, limit: Duration) -> Result<(), Error> {
    let read = async { client.read_response().await.map_err(|error| lost(error.into())) };
    let Some(data) = within(limit, "the connection: no greeting", read).await? else { return Err(hung_up()) };
    let Response::Untagged(Untagged::Status(outcome)) = Response::from(data.parsed()) else {
        let detail = "the server does not greet as IMAP servers do; check host and port";
        return Err(Error::Protocol(detail.to_owned()));
    };
    match outcome.status {
        Status::Ok => Ok(()),
        Status::Bye => Err(goodbye(&outcome)),
        Status::PreAuth if account.tls == TlsMode::StartTls => {
            let detail = "the server greets as already logged in, without TLS: is somebody in between?";
            Err(Error::Tls(detail.to_owned()))
        }
        Status::PreAuth => {
            let detail =
                "the server greets as already logged in (PREAUTH), nobody knows as whom; check the port";
            Err(Error::Protocol(detail.to_owned()))
        }
        Status::No | Status::Bad => Err(Error::Protocol(outcome.words)),
    }
}

/// A command that needs no login. What it brings is remembered by the guard.
async fn before_login(
    client: &mut Client<Guard>,
    command: &'static str,
    limit: Duration,
) -> Result<(), Error> {
    let done = tokio::time::timeout(limit, client.run_command_and_check_ok(command, None)).await;
    let done = done.map_err(|_| Error::Timeout { what: command, limit })?;
    done.map_err(|error| told_or_lost(client, command, error))
}

/// The login itself, in the form that the server offers and that can carry the user name and password.
async fn log_in(
    mut client: Client<Guard>,
    account: &Account,
    limit: Duration,
) -> Result<async_imap::Session<Guard>, Error> {
    if client.get_ref().capabilities().is_empty() {
        before_login(&mut client, "CAPABILITY", limit).await?;
    }
    let (user, pass) = (&account.user, account.pass.reveal());
    for (what, text) in [("user name", user.as_str()), ("password", pass)] {
        quoted(text)
            .map_err(|_| Error::Auth(format!("the {what} contains a line break or a NUL; correct it")))?;
    }
    let offers = client.get_ref().capabilities();
    let may_plain = offers.iter().any(|offer| offer == "AUTH=PLAIN");
    let may_log_in = !offers.iter().any(|offer| offer == "LOGINDISABLED");
    // Quoted strings are 7-bit (RFC 3501, section 4.3), PLAIN is UTF-8 (RFC 4616).
    let by_login = may_log_in && (user.is_ascii() && pass.is_ascii() || !may_plain);
    if !by_login && !may_plain {
        let detail = "the server offers no login here (LOGINDISABLED); it may want TLS first";
        return Err(Error::Auth(detail.to_owned()));
    }
    // After the login they may be others (RFC 3501, section 6.2.3).
    client.get_mut().forget_capabilities();
    let what = if by_login { "LOGIN" } else { "AUTHENTICATE" };
    let logged_in = async {
        if by_login {
            client.login(user, pass).await
        } else {
            client.authenticate("PLAIN", Plain { user, pass }).await
        }
    };
    let logged_in = tokio::time::timeout(limit, logged_in).await;
    let logged_in = logged_in.map_err(|_| Error::Timeout { what, limit })?;
    logged_in.map_err(|(error, client)| login_error(told_or_lost(&client, what, error)))
}

/// SASL PLAIN (RFC 4616).
struct Plain<'a> {
    user: &'a str,
    pass: &'a str,
}

impl Authenticator for Plain<'_> {
    type Response = String;

    fn process(&mut self, _challenge: &[u8]) -> String {
        sasl_plain(self.user, self.pass)
    }
}

/// What the server itself said, where the library only tells that it said no.
fn told_or_lost(client: &Client<Guard>, what: &'static str, error: async_imap::error::Error) -> Error {
    use async_imap::error::Error as Library;
    match (error, client.get_ref().outcome()) {
        (Library::No(_) | Library::Bad(_), Some(outcome)) => refused(what, outcome),
        (_, Some(outcome)) if outcome.status == Status::Bye => goodbye(outcome),
        (error, _) => lost(error),
    }
}

/// A refused login, unless the server says that it is its own trouble (RFC 5530): then it is tried again as after any
/// lost connection.
fn login_error(error: Error) -> Error {
    const NOT_OUR_FAULT: [&str; 4] = ["UNAVAILABLE", "INUSE", "SERVERBUG", "LIMIT"];
    match error {
        Error::Refused { code: Some(ref code), .. }
            if NOT_OUR_FAULT.iter().any(|other| other.eq_ignore_ascii_case(code)) =>
        {
            error
        }
        Error::Refused { words, .. } => Error::Auth(format!("the server says: {words}")),
        other => other,
    }
}
