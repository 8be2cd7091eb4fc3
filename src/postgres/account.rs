//! Which user the server runs as. PostgreSQL refuses root.

use std::path::Path;

use nix::unistd::{Gid, Uid, User, geteuid};

use super::Error;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Account {
    /// The user that runs MailDT.
    Ourselves,
    /// We are root and drop to this user, for the server only.
    Other { name: String, uid: Uid, gid: Gid },
}

impl Account {
    /// Ourselves, or as root the user `postgres`, else `nobody`.
    pub fn of_this_process() -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self::Ourselves);
        }
        ["postgres", "nobody"].into_iter().find_map(Self::named).ok_or(Error::NoAccount)
    }

    /// The user of this name, if there is one and it is not root.
    pub fn named(name: &str) -> Option<Self> {
        User::from_name(name).ok().flatten().and_then(Self::from_entry)
    }

    fn from_entry(user: User) -> Option<Self> {
        (!user.uid.is_root()).then_some(Self::Other { name: user.name, uid: user.uid, gid: user.gid })
    }

    pub(super) fn uid(&self) -> Uid {
        match self {
            Self::Ourselves => geteuid(),
            Self::Other { uid, .. } => *uid,
        }
    }

    pub(super) fn name(&self) -> String {
        match self {
            Self::Ourselves => {
                let uid = geteuid();
                User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name)
            }
            Self::Other { name, .. } => name.clone(),
        }
    }

    /// The account for a cluster that belongs to `owner`: PostgreSQL runs on its own files only. Root follows the owner
    /// (the account's name or number may have changed since), everybody else has to be the owner.
    pub(super) fn for_owner(&self, owner: u32, pgdata: &Path) -> Result<Self, Error> {
        let owner_uid = Uid::from_raw(owner);
        if self.uid() == owner_uid {
            return Ok(self.clone());
        }
        let followed = match self {
            Self::Other { .. } => User::from_uid(owner_uid).ok().flatten().and_then(Self::from_entry),
            Self::Ourselves => None,
        };
        followed.ok_or_else(|| Error::Owner {
            pgdata: pgdata.to_owned(),
            owner,
            user: self.name(),
            uid: self.uid().as_raw(),
        })
    }
}
