//! The IMAP side: one session of `IMAP4rev1` (RFC 3501) with IDLE (2177), UIDPLUS (4315), MOVE (6851), UNSELECT (3691),
//! LITERAL+ (7888), SASL-IR (4959), ID (2971) and SPECIAL-USE (6154). Commands are parsed by imap-codec; responses are
//! written by hand, because some of them must be wrong.

mod fetch;
mod folders;
mod idle;
mod login;
mod messages;
mod search;
mod selected;
mod sets;

use std::fmt::Write;
use std::sync::Arc;

use imap_codec::CommandCodec;
use imap_codec::decode::Decoder;
use imap_codec::imap_types::command::{Command, CommandBody};

use super::connection::{Connection, Ended, Next};
use super::faults::{ImapPoint, Quirk, Scene};
use super::spool::Account;
use super::{Service, Shared};
use selected::Selected;

/// Longest line of a command; sets of UIDs may be long.
const LINE: usize = 256 * 1024;
/// Longest literal before login.
const STRANGERS_LITERAL: usize = 8 * 1024;
/// Longest command with all its literals, beyond the largest message.
const COMMAND: usize = 1024 * 1024;
/// Commands that made no sense before the session is ended.
const PATIENCE: u32 = 20;

struct Session<'a> {
    shared: &'a Arc<Shared>,
    service: Service,
    connection: &'a mut Connection,
    number: u64,
    account: Option<Arc<Account>>,
    selected: Option<Selected>,
    errors: u32,
}

/// How a command ends: the tagged response without its tag, or nothing more to say.
enum Outcome {
    Tagged(String),
    Said,
}

impl Outcome {
    fn ok(text: &str) -> Self {
        Self::Tagged(format!("OK {text}"))
    }

    fn no(text: &str) -> Self {
        Self::Tagged(format!("NO {text}"))
    }

    fn bad(text: &str) -> Self {
        Self::Tagged(format!("BAD {text}"))
    }
}

/// Serves one connection until it ends, and says why it did.
pub(super) async fn session(
    shared: &Arc<Shared>,
    service: Service,
    mut connection: Connection,
    number: u64,
    full: bool,
) -> Ended {
    let mut session = Session {
        shared,
        service,
        connection: &mut connection,
        number,
        account: None,
        selected: None,
        errors: 0,
    };
    let ended = match session.run(full).await {
        Err(ended) => ended,
        Ok(()) => Ended::Goodbye,
    };
    match ended {
        Ended::Severed => {
            connection.sever().await;
            return ended;
        }
        Ended::Stopping => connection.push("* BYE The server stops\r\n"),
        Ended::Silent => connection.push("* BYE Silent for too long\r\n"),
        Ended::LineTooLong => connection.push("* BYE Line too long\r\n"),
        Ended::Peer | Ended::Io(_) | Ended::Goodbye => {}
    }
    connection.close().await;
    ended
}

impl Session<'_> {
    async fn run(&mut self, full: bool) -> Result<(), Ended> {
        self.interfere(ImapPoint::Accept, None, "").await?;
        if self.service.implicit_tls() {
            self.connection.start_tls(&self.shared.tls.acceptor).await?;
        }
        if full {
            self.connection.push("* BYE Too many connections\r\n");
            return Ok(());
        }
        if self.interfere(ImapPoint::Connect, None, "").await? == Next::Go {
            let greeting = format!("* OK [CAPABILITY {}] MailDT demo\r\n", self.capabilities());
            self.connection.push(greeting);
        }
        loop {
            self.connection.reply_complete().await?;
            let Some(input) = self.command().await? else { continue };
            let Ok(([], command)) = CommandCodec::default().decode(&input) else {
                let reply = format!("{} BAD Command not understood\r\n", tag_of(&input));
                self.connection.push(reply);
                self.errors += 1;
                if self.errors > PATIENCE {
                    self.connection.push("* BYE Too many errors\r\n");
                    return Ok(());
                }
                continue;
            };
            let Command { tag, body } = command;
            let tag = tag.as_ref();
            let (point, folder) = point_of(&body);
            if let Some(point) = point
                && self.interfere(point, folder.as_deref(), tag).await? == Next::Answered
            {
                continue;
            }
            let leaving = matches!(body, CommandBody::Logout);
            if let Outcome::Tagged(response) = self.perform(tag, body).await? {
                self.connection.push(tag);
                self.connection.push(" ");
                self.connection.push(response);
                self.connection.push("\r\n");
            }
            if leaving {
                self.connection.reply_complete().await?;
                return Ok(());
            }
        }
    }

    /// Reads one command with its literals; none if it was refused already.
    async fn command(&mut self) -> Result<Option<Vec<u8>>, Ended> {
        let patience = self.shared.options.limits.imap_silence;
        let most_literal =
            if self.account.is_some() { self.shared.options.limits.message } else { STRANGERS_LITERAL };
        let mut input = Vec::new();
        loop {
            let line = self.connection.line(LINE, patience).await?;
            input.extend_from_slice(&line);
            let Some((length, synchronizing)) = literal_at_end(&line) else { return Ok(Some(input)) };
            let fits = length <= most_literal && input.len() + length <= most_literal.saturating_add(COMMAND);
            match (fits, synchronizing) {
                (true, true) => self.connection.push("+ Go ahead\r\n"),
                (true, false) => {}
                (false, true) => {
                    let reply = format!("{} NO [TOOBIG] Literal too big\r\n", tag_of(&input));
                    self.connection.push(reply);
                    return Ok(None);
                }
                // What is coming cannot be stopped (RFC 7888 section 4).
                (false, false) => {
                    self.connection.push("* BYE [TOOBIG] Literal too big\r\n");
                    return Err(Ended::Goodbye);
                }
            }
            input.extend_from_slice(&self.connection.exact(length, patience).await?);
        }
    }

    fn scene<'s>(&'s self, folder: Option<&'s str>) -> Scene<'s> {
        let selected = self.selected.as_ref().map(|selected| selected.folder.name.as_str());
        Scene {
            connection: self.number,
            user: self.account.as_ref().map(|account| account.name.as_str()),
            folder: folder.or(selected),
            ..Scene::default()
        }
    }

    async fn interfere(&mut self, point: ImapPoint, folder: Option<&str>, tag: &str) -> Result<Next, Ended> {
        let Some(action) = self.shared.faults.imap(point, &self.scene(folder)) else { return Ok(Next::Go) };
        let answer = |text: &str| {
            if tag.is_empty() { format!("{text}\r\n") } else { format!("{tag} {text}\r\n") }
        };
        self.connection.act(action, answer).await
    }

    fn quirk(&self, quirk: Quirk) -> bool {
        self.shared.faults.quirk(quirk, &self.scene(None))
    }

    fn offers_starttls(&self) -> bool {
        self.service == Service::Imap && !self.connection.is_tls() && !self.quirk(Quirk::NoStartTls)
    }

    fn capabilities(&self) -> String {
        let mut list = "IMAP4rev1 LITERAL+ SASL-IR ID MOVE UNSELECT SPECIAL-USE AUTH=PLAIN".to_owned();
        for (offered, name) in [
            (!self.quirk(Quirk::NoIdle), "IDLE"),
            (!self.quirk(Quirk::NoUidPlus), "UIDPLUS"),
            (self.offers_starttls(), "STARTTLS"),
        ] {
            if offered {
                let _ = write!(list, " {name}");
            }
        }
        list
    }

    async fn perform(&mut self, tag: &str, body: CommandBody<'_>) -> Result<Outcome, Ended> {
        match body {
            CommandBody::Capability => {
                let line = format!("* CAPABILITY {}\r\n", self.capabilities());
                self.connection.push(line);
                Ok(Outcome::ok("Done"))
            }
            CommandBody::Noop | CommandBody::Check => {
                self.news()?;
                Ok(Outcome::ok("Done"))
            }
            CommandBody::Logout => {
                self.connection.push("* BYE Logging out\r\n");
                Ok(Outcome::ok("Bye"))
            }
            CommandBody::Id { .. } => {
                self.connection.push("* ID (\"name\" \"MailDT demo\")\r\n");
                Ok(Outcome::ok("Done"))
            }
            CommandBody::StartTLS => self.start_tls(tag).await,
            CommandBody::Login { username, password } => {
                Ok(self.login(username.as_ref(), password.declassify().as_ref()))
            }
            CommandBody::Authenticate { mechanism, initial_response } => {
                let initial = initial_response.map(|secret| secret.declassify().to_vec());
                self.authenticate(&mechanism, initial).await
            }
            _ if self.account.is_none() => Ok(Outcome::bad("Log in first")),
            CommandBody::Idle => self.idle().await,
            body => self.perform_with_account(body).await,
        }
    }

    async fn start_tls(&mut self, tag: &str) -> Result<Outcome, Ended> {
        if !self.offers_starttls() || self.account.is_some() {
            return Ok(Outcome::bad("STARTTLS is not available"));
        }
        self.connection.push(format!("{tag} OK Begin TLS\r\n"));
        self.connection.start_tls(&self.shared.tls.acceptor).await?;
        Ok(Outcome::Said)
    }
}

/// Length of the literal that a line announces at its end, and whether the client waits for a `+`.
fn literal_at_end(line: &[u8]) -> Option<(usize, bool)> {
    let line = line.strip_suffix(b"\r\n")?.strip_suffix(b"}")?;
    let (line, synchronizing) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let digits = line.get(line.iter().rposition(|b| *b == b'{')? + 1..)?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    // A number too large to be read is a length that is too large.
    let length = std::str::from_utf8(digits).ok()?.parse().unwrap_or(usize::MAX / 2);
    Some((length, synchronizing))
}

/// The tag of a command that may be nonsense; `*` if there is none.
fn tag_of(input: &[u8]) -> String {
    let end = input.iter().position(u8::is_ascii_whitespace).unwrap_or(input.len());
    let tag = input.get(..end).unwrap_or_default();
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-._/:".contains(b);
    if tag.is_empty() || tag.len() > 64 || !tag.iter().all(fits) {
        return "*".to_owned();
    }
    String::from_utf8_lossy(tag).into_owned()
}

/// Where rules step in for a command, and the folder that it names.
fn point_of(body: &CommandBody<'_>) -> (Option<ImapPoint>, Option<String>) {
    let mut folder = None;
    let point = match body {
        CommandBody::Capability => ImapPoint::Capability,
        CommandBody::StartTLS => ImapPoint::StartTls,
        CommandBody::Noop | CommandBody::Check => ImapPoint::Noop,
        CommandBody::Logout => ImapPoint::Logout,
        CommandBody::Select { mailbox } | CommandBody::Examine { mailbox } => {
            folder = Some(folders::name_of(mailbox));
            ImapPoint::Select
        }
        CommandBody::Close | CommandBody::Unselect => ImapPoint::Close,
        CommandBody::List { .. } | CommandBody::Lsub { .. } => ImapPoint::List,
        CommandBody::Status { mailbox, .. } => {
            folder = Some(folders::name_of(mailbox));
            ImapPoint::Status
        }
        CommandBody::Append { mailbox, .. } => {
            folder = Some(folders::name_of(mailbox));
            ImapPoint::Append
        }
        CommandBody::Search { .. } => ImapPoint::Search,
        CommandBody::Fetch { .. } => ImapPoint::Fetch,
        CommandBody::Store { .. } => ImapPoint::Store,
        CommandBody::Expunge | CommandBody::ExpungeUid { .. } => ImapPoint::Expunge,
        CommandBody::Copy { .. } | CommandBody::Move { .. } => ImapPoint::Copy,
        CommandBody::Idle => ImapPoint::Idle,
        CommandBody::Login { .. } | CommandBody::Authenticate { .. } => ImapPoint::Login,
        _ => return (None, None),
    };
    (Some(point), folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_seen_only_at_the_end() {
        assert_eq!(literal_at_end(b"a LOGIN {5}\r\n"), Some((5, true)));
        assert_eq!(literal_at_end(b"a LOGIN {5+}\r\n"), Some((5, false)));
        assert_eq!(literal_at_end(b"a LOGIN {99999999999999999999999}\r\n"), Some((usize::MAX / 2, true)));
        for line in ["a NOOP\r\n", "a X {}\r\n", "a X {5}", "a X {5} \r\n", "a X {a}\r\n", "}\r\n", "{+}\r\n"]
        {
            assert_eq!(literal_at_end(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn tags_of_nonsense() {
        assert_eq!(tag_of(b"a1 WHAT\r\n"), "a1");
        assert_eq!(tag_of(b"\xff\xfe WHAT\r\n"), "*");
        assert_eq!(tag_of(b"\r\n"), "*");
    }
}
