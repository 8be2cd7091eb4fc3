//! Where a fault strikes and what it does.

use std::time::Duration;

/// A moment in an SMTP session (RFC 5321) at which a rule can step in. Unless it says otherwise, the moment is after
/// the command was read and before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SmtpPoint {
    /// Before the greeting (on the implicit-TLS port: after the handshake).
    Connect,
    /// After accept, before a byte is read or written, TLS included.
    Accept,
    /// EHLO or HELO.
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    /// DATA, before its 354.
    Data,
    /// After the final dot, before anything is stored: a closed connection loses the message.
    Body,
    /// After the message was stored, before the reply: a closed connection does not lose the message.
    Saved,
    Rset,
    Noop,
    Quit,
}

/// A moment in an IMAP session (RFC 3501), after the command was read and before it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImapPoint {
    /// Before the greeting (on the implicit-TLS port: after the handshake).
    Connect,
    /// After accept, before a byte is read or written, TLS included.
    Accept,
    Capability,
    StartTls,
    /// LOGIN and AUTHENTICATE.
    Login,
    /// SELECT and EXAMINE.
    Select,
    /// CLOSE and UNSELECT.
    Close,
    List,
    Status,
    Append,
    Search,
    Fetch,
    Store,
    /// EXPUNGE and UID EXPUNGE.
    Expunge,
    /// COPY and MOVE.
    Copy,
    Noop,
    /// IDLE, before its `+`.
    Idle,
    /// Something is to be announced in IDLE.
    IdleNews,
    /// DONE was read.
    IdleDone,
    Logout,
}

/// What happens to the connection after [`Action::Raw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It goes on with the next command.
    GoOn,
    Close,
    /// Nothing more is ever said.
    Hang,
}

/// What a rule does at a point of a protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Answers this and does not do the command. SMTP: the whole reply, several lines if need be
    /// (`550-5.7.1 no\r\n550 5.7.1 never`). IMAP: `NO text` or `BAD text`, the tag is put before it; before the greeting:
    /// the whole line.
    Reply(String),
    /// Writes these bytes and does not do the command.
    Raw(Vec<u8>, Then),
    /// Closes the connection and does not do the command.
    Close,
    /// Does not do the command and never speaks again.
    Hang,
    /// Does the command after this time.
    Delay(Duration),
    /// Does the command; from now on each byte is written alone, after this pause.
    Tarpit(Duration),
    /// Does the command, writes at most so many bytes of the reply, and closes the connection.
    CutReply(usize),
    /// Writes these bytes, then does the command as usual.
    Before(Vec<u8>),
}

impl Action {
    #[must_use]
    pub fn reply(text: impl Into<String>) -> Self {
        Self::Reply(text.into())
    }

    /// Refuses an IMAP command with NO.
    #[must_use]
    pub fn no(text: &str) -> Self {
        Self::Reply(format!("NO {text}"))
    }

    /// Does the command, replies, and then closes the connection.
    #[must_use]
    pub fn close_after() -> Self {
        Self::CutReply(usize::MAX)
    }

    /// Announces an IMAP literal of 4 GiB and never sends it.
    #[must_use]
    pub fn huge_literal() -> Self {
        Self::Raw(b"* 1 FETCH (UID 1 FLAGS () BODY[HEADER] {4294967295}\r\n".to_vec(), Then::Hang)
    }

    /// Bytes that are no protocol at all, then the command as usual.
    #[must_use]
    pub fn garbage() -> Self {
        Self::Before(b"\x00\xff\xfe* (((( {9}\"\r\r\n%$ \x80garbage\r\n".to_vec())
    }

    /// An SMTP reply whose text alone has `length` bytes, in one line.
    #[must_use]
    pub fn huge_reply(code: u16, length: usize) -> Self {
        let mut bytes = format!("{code} ").into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        bytes.extend_from_slice(b"\r\n");
        Self::Raw(bytes, Then::GoOn)
    }
}

/// What becomes of one accepted message for one recipient. Without any: it is saved in the INBOX at once.
///
/// [`Fate::Bounce`], [`Fate::AutoReply`] and [`Fate::Forward`] take the place of the message; [`Fate::Hold`] and
/// [`Fate::Folder`] then apply to what takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It vanishes.
    Drop,
    /// It is held this long before it is saved.
    Hold(Duration),
    /// As [`Fate::Hold`], for a time between the two, evenly spread over the messages.
    HoldBetween(Duration, Duration),
    /// It is saved in this folder instead of INBOX.
    Folder(String),
    /// It is saved in the mailbox of another account.
    Account(String),
    /// So many copies are saved.
    Copies(u32),
    /// It is saved, but for this long neither EXISTS nor SEARCH nor FETCH shows it. Its UID is that of the moment of
    /// saving, so it may appear below others. No well-behaved server does that.
    Hide(Duration),
    /// The return path gets a delivery status notification (RFC 3464).
    Bounce {
        /// Enhanced status code, as `5.1.1`.
        status: String,
        /// What the remote server is said to have answered.
        diagnostic: String,
    },
    /// The return path gets an automatic reply (RFC 3834) with the Subject and In-Reply-To of the message.
    AutoReply,
    /// The recipient's mailbox gets a new message with the old one's Subject and header quoted in its body, as the
    /// Forward button of a mail client makes it.
    Forward,
}

/// A lasting oddity of the IMAP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// IDLE is neither offered nor understood.
    NoIdle,
    /// UIDPLUS is neither offered nor understood.
    NoUidPlus,
    /// STARTTLS is neither offered nor understood, in SMTP and IMAP.
    NoStartTls,
    /// In IDLE nothing is ever announced; DONE is answered.
    SilentIdle,
    /// In IDLE nothing is ever announced, and DONE is not answered either.
    DeadIdle,
    /// What is new at the start of IDLE is announced before the `+`.
    ExistsBeforeContinuation,
}
