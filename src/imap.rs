//! Watching mailboxes: strict IMAP (RFC 3501) sessions, and one loop for each watched folder.
//!
//! Everything that MailDT says about a lost mail rests on what is read here, so a reply counts only when it was read
//! whole and its tagged status was OK. That is why the protocol is spoken by this module itself and not by a client
//! library: those tried report a refused search as an empty one, end the session at any response they do not know, and
//! read ahead without a bound.
//!
//! From the wire up: [`wire`] cuts bounded responses out of the stream, `syntax` and `response` give them a meaning,
//! `connect` opens the stream, [`session`] runs commands, `view` remembers when the server announced what, [`watch`]
//! looks for probes and tells the engine through [`watch::Event`].

mod command;
mod connect;
mod error;
pub mod folders;
pub mod interest;
pub mod outlook;
mod pace;
mod response;
pub mod session;
mod syntax;
mod uids;
mod utf7;
mod view;
pub mod watch;
pub mod wire;

pub use error::{Error, Reason};
pub use outlook::Outlook;
pub use session::Session;
pub use watch::{Event, Found, Lost, MessageRef, Resume, Synced, Watch};
