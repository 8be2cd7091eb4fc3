//! The mailboxes as a test sees them, past all protocols: put in, look, take away.

use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;

use super::ledger::Moment;
use super::spool::{Account, Entry, Flags, Folder, Message};
use super::{MailServer, Shared, delivery, hostile};

/// No such account, folder or message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    #[error("the built-in mail server has no account {0}")]
    NoAccount(String),
    #[error("the account {0} has no folder {1}, or too many to add one")]
    NoFolder(String, String),
}

/// A message as it lies in a folder.
#[derive(Clone, Debug)]
pub struct Stored {
    pub uid: u32,
    /// Flags and keywords as in FETCH, without `\Recent`.
    pub flags: Vec<String>,
    pub internal_date: Timestamp,
    pub raw: Bytes,
    /// When it was saved.
    pub saved: Moment,
}

impl Shared {
    fn account(&self, name: &str) -> Result<&Arc<Account>, Error> {
        self.spool.account(name).ok_or_else(|| Error::NoAccount(name.to_owned()))
    }

    fn folder(&self, account: &str, folder: &str) -> Result<Arc<Folder>, Error> {
        let no_folder = || Error::NoFolder(account.to_owned(), folder.to_owned());
        self.account(account)?.folder(folder).ok_or_else(no_folder)
    }
}

impl MailServer {
    /// The names of the accounts.
    #[must_use]
    pub fn accounts(&self) -> Vec<String> {
        self.shared.spool.accounts().map(|account| account.name.clone()).collect()
    }

    /// The names of an account's folders.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn folders(&self, account: &str) -> Result<Vec<String>, Error> {
        Ok(self.shared.account(account)?.folders().iter().map(|folder| folder.name.clone()).collect())
    }

    /// Puts a message into a folder, which is made if need be, as it is and without any fault. Tells its UID. Without
    /// an INTERNALDATE it is now.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn deliver(
        &self,
        account: &str,
        folder: &str,
        raw: impl Into<Bytes>,
        internal_date: Option<Timestamp>,
    ) -> Result<u32, Error> {
        let home = self.shared.account(account)?;
        let date = internal_date.unwrap_or_else(crate::clock::now);
        delivery::save(&self.shared, home, folder, raw.into(), date, None)
            .map(|saved| saved.uid)
            .ok_or_else(|| Error::NoFolder(account.to_owned(), folder.to_owned()))
    }

    /// Puts `count` messages that have nothing to do with anybody into a folder. Their dates lie one minute apart and
    /// end now.
    ///
    /// # Errors
    /// When there is no such account.
    pub fn fill(&self, account: &str, folder: &str, count: u32) -> Result<(), Error> {
        let home = self.shared.account(account)?;
        let folder = home
            .folder_or_new(folder)
            .ok_or_else(|| Error::NoFolder(account.to_owned(), folder.to_owned()))?;
        let saved = Moment::now();
        for number in 0..count {
            let age = jiff::SignedDuration::from_secs(60 * i64::from(count - number));
            let date = saved.wall.checked_sub(age).unwrap_or(saved.wall);
            let message = Message::new(hostile::foreign(number).into(), date, saved);
            folder.save(message, Flags::default(), false);
        }
        Ok(())
    }

    /// All messages of a folder that are not hidden, by UID.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn messages(&self, account: &str, folder: &str) -> Result<Vec<Stored>, Error> {
        let folder = self.shared.folder(account, folder)?;
        let state = folder.lock();
        let stored = |(uid, entry): (&u32, &Entry)| Stored {
            uid: *uid,
            flags: entry.flags.names().map(str::to_owned).collect(),
            internal_date: entry.message.internal_date,
            raw: entry.message.raw().clone(),
            saved: entry.message.saved,
        };
        Ok(state.entries().iter().map(stored).collect())
    }

    /// The UIDs of a folder's messages that are not hidden, in order.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn uids(&self, account: &str, folder: &str) -> Result<Vec<u32>, Error> {
        Ok(self.shared.folder(account, folder)?.lock().entries().keys().copied().collect())
    }

    /// UIDVALIDITY and UIDNEXT of a folder.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn uid_state(&self, account: &str, folder: &str) -> Result<(u32, u32), Error> {
        let folder = self.shared.folder(account, folder)?;
        let state = folder.lock();
        Ok((state.uid_validity, state.uid_next))
    }

    /// Removes a message as another client would; false if there is none.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn delete(&self, account: &str, folder: &str, uid: u32) -> Result<bool, Error> {
        Ok(self.shared.folder(account, folder)?.change(|state| state.remove(uid)))
    }

    /// Removes all messages of a folder.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn empty(&self, account: &str, folder: &str) -> Result<(), Error> {
        self.shared.folder(account, folder)?.change(|state| {
            let uids: Vec<u32> = state.entries().keys().copied().collect();
            for uid in uids {
                state.remove(uid);
            }
        });
        Ok(())
    }

    /// Gives a folder a new UIDVALIDITY and its messages new UIDs. Sessions that have it selected are told to go.
    /// Returns the new UIDVALIDITY.
    ///
    /// # Errors
    /// When there is no such account or folder.
    pub fn change_uid_validity(&self, account: &str, folder: &str) -> Result<u32, Error> {
        Ok(self.shared.folder(account, folder)?.renumber())
    }
}
