//! Accounts on mail servers: senders (SMTP) and mailboxes (IMAP).

use crate::secret::Secret;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the first byte (RFC 8314).
    Implicit,
    /// STARTTLS, required: a server that does not offer it, or refuses it, is an error.
    StartTls,
    /// No TLS. The configuration allows it to loopback only, or with `ALLOW_PLAINTEXT=true`.
    None,
}

/// Where and as whom to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    pub host: String,
    pub port: u16,
    /// Empty on a sender: no AUTH (a relay that trusts our address).
    pub user: String,
    pub pass: Secret,
    pub tls: TlsMode,
}

/// A submission account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The key in the file and in labels; the environment's account is `default`.
    pub name: String,
    pub account: Account,
    /// From and reverse-path.
    pub from: String,
    /// How many connections may be open at once: the bound on concurrent submissions.
    pub connections: usize,
}

/// What becomes of a verified probe once its arrival is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cleanup {
    /// `UID STORE +FLAGS (\Deleted)` and `UID EXPUNGE` (RFC 4315); without UIDPLUS: flag and leave.
    Delete,
    /// `UID STORE +FLAGS (\Seen)`.
    Seen,
    /// Nothing: the folder is opened read-only by EXAMINE.
    Keep,
}

/// A watched account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// The key in the file and in labels; the environment's account is `default`.
    pub name: String,
    pub account: Account,
    /// Folder names, or special-use attributes such as `\Junk` (RFC 6154).
    pub folders: Vec<String>,
    pub cleanup: Cleanup,
    /// Whether to ask by NOOP while young probes are expected.
    pub active_look: bool,
}
