//! One connection to a mailbox: commands whose tagged status is always looked at.
//!
//! A command that fails in any way other than a plain refusal leaves the connection in an unknown state: the session is
//! then to be dropped, never to be used again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use rustls::ClientConfig;

use crate::config::{Account, Limits};

use super::command::quoted;
use super::connect::within;
use super::error::Error;
use super::folders::Folder;
use super::guard::Guard;
use super::login::{Greeted, LoggedIn};
use super::loss::{Secrets, goodbye, hung_up, lost, refused};
use super::response::{Code, Outcome, Response, Status, Untagged};
use super::uids::Uids;
use super::view::{Announced, View};

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
    idle_since: Option<Instant>,
    /// When the last command was completed.
    completed_at: Instant,
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
        let login = Greeted::connect(account, tls, limits).await?.log_in(account).await?;
        Self::begin_with(login, limits.command).await
    }

    /// A session on a connection that is logged in.
    pub(super) async fn begin_with(login: LoggedIn, limit: Duration) -> Result<Self, Error> {
        let LoggedIn { imap, secrets, certificate_not_after } = login;
        let mut session = Self {
            capabilities: imap.get_ref().capabilities().to_vec(),
            imap,
            limit,
            secrets,
            certificate_not_after,
            uidvalidity: None,
            idle: None,
            idle_since: None,
            completed_at: Instant::now(),
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

    /// When the last command was completed.
    pub(super) fn completed_at(&self) -> Instant {
        self.completed_at
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
                    self.idle_since = Some(Instant::now());
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
        self.idle_since = None;
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
                self.idle_since = None;
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
                Status::Ok => {
                    self.completed_at = read_at;
                    Ok(Step::Done(outcome))
                }
                _ => Err(self.secrets.masked(refused(running.what, &outcome))),
            },
            Response::Tagged(tag, _) => Err(unexpected_tag(&tag)),
        }
    }

    /// When the server could last have said what it says at `read_at`. In IDLE it speaks as soon as it knows (that takes a moment
    /// after entering it); otherwise only with a command's reply.
    fn silent_until(&self, read_at: Instant) -> Instant {
        const SETTLED: Duration = Duration::from_secs(1);
        let settled =
            self.idle_since.is_some_and(|since| read_at.saturating_duration_since(since) >= SETTLED);
        if settled { read_at } else { self.completed_at }
    }

    /// What concerns the whole session, whichever command it comes with.
    fn note(&mut self, data: &Untagged, read_at: Instant) -> Result<(), Error> {
        match data {
            Untagged::Exists(count) => {
                let silent_until = self.silent_until(read_at);
                self.view.exists(*count, Announced { read_at, silent_until });
            }
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
