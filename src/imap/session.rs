//! One connection to a mailbox: commands whose tagged status is always looked at.
//!
//! A command that fails in any way other than a plain refusal leaves the connection in an unknown state: the session is
//! then to be dropped, never to be used again.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_imap::{Authenticator, Client};
use bytes::Bytes;
use jiff::Timestamp;
use rustls::ClientConfig;

use crate::config::{Account, Limits, TlsMode};
use crate::secret::Secret;

use super::command::{self, quoted};
use super::connect::{self, within};
use super::error::{Error, printable};
use super::folders::Folder;
use super::guard::Guard;
use super::response::{Code, Outcome, Response, Status, Untagged};
use super::uids::Uids;
use super::view::View;

/// How much of a header or body is asked for, in bytes.
pub const SECTION_MAX: usize = 64 * 1024;

/// A logged-in connection.
#[derive(Debug)]
pub struct Session {
    imap: async_imap::Session<Guard>,
    capabilities: Vec<String>,
    /// How long the server may take for a command.
    limit: Duration,
    secrets: Secrets,
    certificate_not_after: Option<i64>,
    uidvalidity: Option<u32>,
    /// The tag of the IDLE that we are in.
    idle: Option<String>,
    /// When the last command was sent that obliges the server to tell everything new: all that was in the folder then is
    /// known.
    pub(super) told_up_to: Instant,
    pub(super) view: View,
}

/// A folder that was just opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    pub uidvalidity: u32,
    /// Absent where the server does not tell (RFC 3501 makes it a mere "should").
    pub uid_next: Option<u32>,
    pub exists: u32,
    pub read_only: bool,
}

/// One message as FETCH brought it.
#[derive(Clone, Debug)]
pub struct Message {
    pub sequence: u32,
    pub uid: u32,
    /// `None` where the server's INTERNALDATE cannot be read.
    pub internal_date: Option<Timestamp>,
    /// At most [`SECTION_MAX`] bytes of the section that was asked for.
    pub section: Bytes,
    pub read_at: Instant,
}

/// Which part of the messages to fetch; never marks them as seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Header,
    /// The whole message, cut off at [`SECTION_MAX`].
    Whole,
}

/// A command that was sent and whose tagged status is still to come.
#[derive(Debug)]
pub struct Running {
    what: &'static str,
    tag: String,
    /// How much longer the server may keep us waiting.
    left: Duration,
}

enum Step {
    Data(Untagged, Instant),
    Continue,
    Done(Outcome),
}

impl Session {
    /// Connects, protects the connection as the account wants it, and logs in.
    ///
    /// # Errors
    /// Whatever kept us from it; see [`Error`].
    pub async fn open(account: &Account, tls: &Arc<ClientConfig>, limits: &Limits) -> Result<Self, Error> {
        let secrets = Secrets::of(account);
        let opened = Self::try_open(account, tls, limits, secrets.clone()).await;
        opened.map_err(|error| secrets.masked(error))
    }

    async fn try_open(
        account: &Account,
        tls: &Arc<ClientConfig>,
        limits: &Limits,
        secrets: Secrets,
    ) -> Result<Self, Error> {
        let tcp = connect::tcp(account, limits.connect).await?;
        let mut certificate_not_after = None;
        let mut client = if account.tls == TlsMode::Implicit {
            let stream = connect::tls(tcp, account, Arc::clone(tls), limits.connect).await?;
            certificate_not_after = connect::certificate_not_after(&stream);
            Client::new(Guard::new(stream))
        } else {
            Client::new(Guard::new(tcp))
        };
        greeting(&mut client, account, limits.command).await?;
        if account.tls == TlsMode::StartTls {
            before_login(&mut client, "STARTTLS", limits.command).await.map_err(|error| match error {
                Error::Refused { words, .. } => Error::Tls(format!(
                    "the server refuses STARTTLS ({words}); use the port of implicit TLS (993) if it has one"
                )),
                other => other,
            })?;
            let plain = connect::stream_for_tls(client.into_inner())?;
            let stream = connect::tls(plain, account, Arc::clone(tls), limits.connect).await?;
            certificate_not_after = connect::certificate_not_after(&stream);
            client = Client::new(Guard::new(stream));
        }
        let imap = log_in(client, account, limits.command).await?;
        let mut session = Self {
            capabilities: imap.get_ref().capabilities().to_vec(),
            imap,
            limit: limits.command,
            secrets,
            certificate_not_after,
            uidvalidity: None,
            idle: None,
            told_up_to: Instant::now(),
            view: View::default(),
        };
        if session.capabilities.is_empty() {
            session.exec("CAPABILITY", "CAPABILITY").await?;
        }
        Ok(session)
    }

    /// When the server's certificate expires, in seconds since the epoch; `None` without TLS.
    pub fn certificate_not_after(&self) -> Option<i64> {
        self.certificate_not_after
    }

    pub fn has_capability(&self, name: &str) -> bool {
        self.capabilities.iter().any(|capability| capability.eq_ignore_ascii_case(name))
    }

    /// All folders (LIST), with their special-use attributes (RFC 6154).
    ///
    /// # Errors
    /// When the command fails.
    pub async fn folders(&mut self) -> Result<Vec<Folder>, Error> {
        let extended = self.has_capability("SPECIAL-USE") && self.has_capability("LIST-EXTENDED");
        let command = if extended { "LIST \"\" \"*\" RETURN (SPECIAL-USE)" } else { "LIST \"\" \"*\"" };
        let mut folders = Vec::new();
        self.run("LIST", command, |data, _| {
            if let Untagged::List(listed) = data {
                folders.push(Folder::from(listed));
            }
        })
        .await?;
        Ok(folders)
    }

    /// Opens a folder by its name on the wire; `read_only` by EXAMINE.
    ///
    /// # Errors
    /// When the command fails, or the server gives no UIDVALIDITY.
    pub async fn select(&mut self, wire_name: &str, read_only: bool) -> Result<Opened, Error> {
        let name = quoted(wire_name)
            .map_err(|_| Error::Folder("the folder name contains a line break".to_owned()))?;
        self.uidvalidity = None;
        self.view.opened(0);
        let (mut uidvalidity, mut uid_next) = (None, None);
        let sent = Instant::now();
        let verb = if read_only { "EXAMINE" } else { "SELECT" };
        let done = self
            .run(verb, &format!("{verb} {name}"), |data, _| {
                if let Untagged::Status(outcome) = data {
                    match outcome.code {
                        Some(Code::UidValidity(number)) => uidvalidity = Some(number),
                        Some(Code::UidNext(number)) => uid_next = Some(number),
                        _ => {}
                    }
                }
            })
            .await?;
        let exists = self.view.count();
        self.view.opened(exists);
        let uidvalidity = uidvalidity.ok_or_else(|| {
            Error::Protocol("the server gives no UIDVALIDITY, so messages have no lasting number".to_owned())
        })?;
        self.uidvalidity = Some(uidvalidity);
        self.told_up_to = sent;
        Ok(Opened {
            uidvalidity,
            uid_next,
            exists,
            read_only: read_only || done.code == Some(Code::ReadOnly),
        })
    }

    /// NOOP: the server tells what is new.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn noop(&mut self) -> Result<(), Error> {
        let sent = Instant::now();
        self.exec("NOOP", "NOOP").await?;
        self.told_up_to = sent;
        Ok(())
    }

    /// UID SEARCH: the UIDs that match, ascending.
    ///
    /// # Errors
    /// When the command fails; a refused search is never an empty one.
    pub async fn search(&mut self, criteria: &str) -> Result<Vec<u32>, Error> {
        let mut uids = Vec::new();
        self.run("UID SEARCH", &format!("UID SEARCH {criteria}"), |data, _| {
            if let Untagged::Search(found) = data {
                uids.extend(found);
            }
        })
        .await?;
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }

    /// UID FETCH of one section of each message in `set` (a sequence-set). Read the messages by
    /// [`Session::next_message`] until it yields `None`; only then the fetch is complete.
    ///
    /// # Errors
    /// When the connection is gone.
    pub async fn fetch(&mut self, set: &str, section: Section) -> Result<Running, Error> {
        let section = match section {
            Section::Header => "HEADER",
            Section::Whole => "",
        };
        let command = format!("UID FETCH {set} (UID INTERNALDATE BODY.PEEK[{section}]<0.{SECTION_MAX}>)");
        self.begin("UID FETCH", &command).await
    }

    /// The next message of a running fetch; `None` when the server has said OK to all of it.
    ///
    /// # Errors
    /// When the fetch fails, also in its middle.
    pub async fn next_message(&mut self, running: &mut Running) -> Result<Option<Message>, Error> {
        loop {
            match self.step(running).await? {
                Step::Data(Untagged::Fetch(fetched), read_at) => {
                    // Without a section it is a mere change of flags.
                    let Some(section) = fetched.section else { continue };
                    let uid = fetched.uid.ok_or_else(|| {
                        Error::Protocol("the server sends a message without its UID".to_owned())
                    })?;
                    let internal_date = fetched.internal_date.as_deref().and_then(internal_date);
                    return Ok(Some(Message {
                        sequence: fetched.sequence,
                        uid,
                        internal_date,
                        section,
                        read_at,
                    }));
                }
                Step::Data(..) => {}
                Step::Continue => return Err(unexpected_continue()),
                Step::Done(_) => return Ok(None),
            }
        }
    }

    /// Adds a flag, such as `\Deleted`.
    ///
    /// # Errors
    /// When the command fails.
    pub(super) async fn add_flag(&mut self, uids: &Uids, flag: &str) -> Result<(), Error> {
        self.exec("UID STORE", &format!("UID STORE {uids} +FLAGS.SILENT ({flag})")).await.map(drop)
    }

    /// UID EXPUNGE (RFC 4315): removes these messages and no others.
    ///
    /// # Errors
    /// When the command fails.
    pub(super) async fn expunge(&mut self, uids: &Uids) -> Result<(), Error> {
        self.exec("UID EXPUNGE", &format!("UID EXPUNGE {uids}")).await.map(drop)
    }

    pub fn is_idle(&self) -> bool {
        self.idle.is_some()
    }

    /// Enters IDLE (RFC 2177); `false` when the server refuses. What it announces before its `+` is not lost.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn idle(&mut self) -> Result<bool, Error> {
        let mut running = self.begin("IDLE", "IDLE").await?;
        loop {
            match self.step(&mut running).await {
                Ok(Step::Continue) => {
                    self.idle = Some(running.tag);
                    return Ok(true);
                }
                Ok(Step::Data(..)) => {}
                Ok(Step::Done(_)) | Err(Error::Refused { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Leaves IDLE; `false` when the server says that it did not work.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn done(&mut self) -> Result<bool, Error> {
        let Some(tag) = self.idle.take() else { return Ok(true) };
        let sent = async { self.imap.run_command_untagged("DONE").await.map_err(lost) };
        within(self.limit, "DONE", sent).await?;
        let mut running = Running { what: "DONE", tag, left: self.limit };
        loop {
            match self.step(&mut running).await {
                Ok(Step::Data(..)) => {}
                Ok(Step::Continue) => return Err(unexpected_continue()),
                Ok(Step::Done(_)) => return Ok(true),
                Err(Error::Refused { .. }) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the server to say something by itself, in IDLE or not, and takes note of it. Safe to be dropped while
    /// waiting.
    ///
    /// # Errors
    /// When the connection ends: that is a loss, never a mere wake.
    pub async fn listen(&mut self) -> Result<(), Error> {
        let (response, read_at) = self.read().await?;
        match response {
            Response::Untagged(data) => self.note(&data, read_at),
            Response::Tagged(tag, _) if self.idle.as_deref() == Some(tag.as_str()) => {
                self.idle = None;
                Ok(())
            }
            Response::Tagged(tag, _) => Err(unexpected_tag(&tag)),
            Response::Continue => Err(unexpected_continue()),
        }
    }

    /// Says goodbye. It does not matter whether that is heard.
    pub async fn log_out(mut self) {
        let goodbye = async {
            self.done().await?;
            self.exec("LOGOUT", "LOGOUT").await
        };
        let _ = tokio::time::timeout(Duration::from_secs(1), goodbye).await;
    }

    async fn exec(&mut self, what: &'static str, command: &str) -> Result<Outcome, Error> {
        self.run(what, command, |_, _| {}).await
    }

    async fn run(
        &mut self,
        what: &'static str,
        command: &str,
        mut each: impl FnMut(Untagged, Instant),
    ) -> Result<Outcome, Error> {
        let mut running = self.begin(what, command).await?;
        loop {
            match self.step(&mut running).await? {
                Step::Data(data, read_at) => each(data, read_at),
                Step::Continue => return Err(unexpected_continue()),
                Step::Done(outcome) => return Ok(outcome),
            }
        }
    }

    async fn begin(&mut self, what: &'static str, command: &str) -> Result<Running, Error> {
        let sent = async { self.imap.run_command(command).await.map_err(lost) };
        let tag = within(self.limit, what, sent).await?.0;
        Ok(Running { what, tag, left: self.limit })
    }

    /// The next response and when it was read. Safe to be dropped while waiting: nothing read is lost.
    async fn read(&mut self) -> Result<(Response, Instant), Error> {
        match self.imap.read_response().await {
            Ok(Some(data)) => Ok((Response::from(data.parsed()), self.imap.get_ref().last_read())),
            Ok(None) => Err(hung_up()),
            Err(error) => Err(self.secrets.masked(lost(error.into()))),
        }
    }

    async fn step(&mut self, running: &mut Running) -> Result<Step, Error> {
        let waiting = Instant::now();
        let timeout = Error::Timeout { what: running.what, limit: self.limit };
        let (response, read_at) =
            tokio::time::timeout(running.left, self.read()).await.map_err(|_| timeout)??;
        running.left = running.left.saturating_sub(waiting.elapsed());
        match response {
            Response::Untagged(data) => {
                self.note(&data, read_at)?;
                Ok(Step::Data(data, read_at))
            }
            Response::Continue => Ok(Step::Continue),
            Response::Tagged(tag, outcome) if tag == running.tag => match outcome.status {
                Status::Ok => Ok(Step::Done(outcome)),
                _ => Err(self.secrets.masked(refused(running.what, &outcome))),
            },
            Response::Tagged(tag, _) => Err(unexpected_tag(&tag)),
        }
    }

    /// What concerns the whole session, whichever command it comes with.
    fn note(&mut self, data: &Untagged, read_at: Instant) -> Result<(), Error> {
        match data {
            Untagged::Exists(count) => self.view.exists(*count, read_at),
            Untagged::Expunge(sequence) => self.view.expunge(*sequence),
            Untagged::Capability(capabilities) => self.capabilities.clone_from(capabilities),
            Untagged::Status(outcome) if outcome.status == Status::Bye => {
                return Err(self.secrets.masked(goodbye(outcome)));
            }
            Untagged::Status(Outcome { code: Some(Code::UidValidity(told)), .. }) => {
                if self.uidvalidity.is_some_and(|known| known != *told) {
                    return Err(Error::Closed("UIDVALIDITY changed while the folder was open".to_owned()));
                }
            }
            Untagged::Status(_)
            | Untagged::List(_)
            | Untagged::Search(_)
            | Untagged::Fetch(_)
            | Untagged::Other => {}
        }
        Ok(())
    }
}

/// What no error text may contain: the password in each form in which it is sent.
#[derive(Clone, Debug)]
struct Secrets(Vec<Secret>);

impl Secrets {
    fn of(account: &Account) -> Self {
        let pass = account.pass.reveal();
        let mut secrets = vec![account.pass.clone()];
        secrets.extend(quoted(pass).ok().map(Secret::new));
        secrets.push(Secret::new(command::sasl_plain_base64(&account.user, pass)));
        Self(secrets)
    }

    fn printable(&self, words: &str) -> String {
        let secrets: Vec<&str> = self.0.iter().map(Secret::reveal).collect();
        printable(words, &secrets)
    }

    fn masked(&self, error: Error) -> Error {
        match error {
            Error::Protocol(text) => Error::Protocol(self.printable(&text)),
            Error::Closed(text) => Error::Closed(self.printable(&text)),
            Error::Auth(text) => Error::Auth(self.printable(&text)),
            Error::Tls(text) => Error::Tls(self.printable(&text)),
            Error::Refused { what, code, words } => {
                Error::Refused { what, code, words: self.printable(&words) }
            }
            Error::Dns { .. } | Error::Connect { .. } | Error::Timeout { .. } | Error::Folder(_) => error,
        }
    }
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
        command::sasl_plain(self.user, self.pass)
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

/// Why nothing more can be read or sent.
fn lost(error: async_imap::error::Error) -> Error {
    use async_imap::error::Error as Library;
    match error {
        Library::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => hung_up(),
        // The guard's own errors come through the library as they are.
        Library::Io(error) => {
            error.downcast::<Error>().unwrap_or_else(|error: io::Error| Error::Closed(error.to_string()))
        }
        Library::ConnectionLost => hung_up(),
        other => Error::Protocol(other.to_string()),
    }
}

fn hung_up() -> Error {
    Error::Closed("the server hung up".to_owned())
}

fn goodbye(outcome: &Outcome) -> Error {
    Error::Closed(format!("the server says: {}", outcome.words))
}

fn refused(what: &'static str, outcome: &Outcome) -> Error {
    Error::Refused { what, code: outcome.other_code(), words: outcome.words.clone() }
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

fn unexpected_tag(tag: &str) -> Error {
    Error::Protocol(format!("the server answers a command {tag} that is not open"))
}

fn unexpected_continue() -> Error {
    Error::Protocol("the server asks for more of a command that was whole".to_owned())
}

/// `22-Nov-2026 13:00:00 +0100`, the day padded with a space or not (RFC 3501, date-time).
fn internal_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::strtime::parse("%d-%b-%Y %H:%M:%S %z", text.trim()).ok()?.to_timestamp().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn internal_dates() {
        let expected = "2026-11-02T12:00:00Z".parse().ok();
        assert_eq!(internal_date("02-Nov-2026 13:00:00 +0100"), expected);
        assert_eq!(internal_date(" 2-Nov-2026 13:00:00 +0100"), expected);
        assert_eq!(internal_date("2-nov-2026 12:00:00 +0000"), expected);
        for text in ["", "yesterday", "31-Feb-2026 00:00:00 +0000", "02-Nov-2026 13:00:00"] {
            assert_eq!(internal_date(text), None, "{text}");
        }
    }
}
