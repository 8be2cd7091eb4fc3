//! From what the library and the server say to an [`Error`] that may be shown.

use std::io;

use crate::config::Account;
use crate::secret::Secret;

use super::command::{quoted, sasl_plain_base64};
use super::error::{Error, printable};
use super::response::Outcome;

/// What no error text may contain: the password in each form in which it is sent.
#[derive(Clone, Debug)]
pub(super) struct Secrets(Vec<Secret>);

impl Secrets {
    pub(super) fn of(account: &Account) -> Self {
        let pass = account.pass.reveal();
        let mut secrets = vec![account.pass.clone()];
        secrets.extend(quoted(pass).ok().map(Secret::new));
        secrets.push(Secret::new(sasl_plain_base64(&account.user, pass)));
        Self(secrets)
    }

    fn printable(&self, words: &str) -> String {
        let secrets: Vec<&str> = self.0.iter().map(Secret::reveal).collect();
        printable(words, &secrets)
    }

    pub(super) fn masked(&self, error: Error) -> Error {
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

/// Why nothing more can be read or sent.
pub(super) fn lost(error: async_imap::error::Error) -> Error {
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

pub(super) fn hung_up() -> Error {
    Error::Closed("the server hung up".to_owned())
}

pub(super) fn goodbye(outcome: &Outcome) -> Error {
    Error::Closed(format!("the server says: {}", outcome.words))
}

pub(super) fn refused(what: &'static str, outcome: &Outcome) -> Error {
    Error::Refused { what, code: outcome.other_code(), words: outcome.words.clone() }
}
