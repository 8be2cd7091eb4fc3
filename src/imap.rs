//! Watching mailboxes: strict IMAP (RFC 3501) sessions, and one loop for each watched folder.
//!
//! Everything that MailDT says about a lost mail rests on what is read here, so a reply counts only when it was read
//! whole and its tagged status was OK. The protocol is spoken by `async-imap`, in the strict way: its convenient methods
//! take a refused search for an empty one, so [`session`] sends bare commands and looks at each tagged status itself;
//! and [`guard`] stands between it and the network, because it reads ahead without a bound and ends the session at any
//! response that it does not know.
//!
//! From the wire up: [`guard`] cuts bounded responses out of the stream and `screen` decides which come through,
//! `connect` and `login` open it, [`session`] runs commands, `view` remembers when the server announced what, [`watch`]
//! looks for probes and tells the engine through [`watch::Event`].

mod command;
mod connect;
mod error;
pub mod folders;
pub mod guard;
pub mod interest;
mod login;
mod loss;
pub mod outlook;
mod pace;
mod response;
mod screen;
pub mod session;
mod syntax;
mod uids;
mod utf7;
mod view;
pub mod watch;

pub use error::{Error, Reason};
pub use outlook::Outlook;
pub use session::Session;
pub use watch::{Event, Found, Lost, MessageRef, Resume, Synced, Watch};
