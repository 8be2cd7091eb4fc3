//! The mailboxes, in memory: accounts, their folders, the messages in them.

mod folder;
mod message;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::secret::Secret;

pub(super) use folder::{Change, Entry, Flags, Folder, State};
pub(super) use message::{Message, field_values, header_of, name_bit, unfold};

/// The folder that every account has (RFC 3501 section 5.1).
pub const INBOX: &str = "INBOX";
/// The folder with the special use `\Junk` (RFC 6154).
pub const JUNK: &str = "Junk";

/// Most folders that one account may have.
const MOST_FOLDERS: usize = 1000;

/// One account: a login, and the folders that belong to it.
pub(super) struct Account {
    pub name: String,
    pub password: Secret,
    folders: Mutex<BTreeMap<String, Arc<Folder>>>,
    folder_messages: usize,
    first_uid_validity: u32,
}

impl Account {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Folder>>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name by which a folder is kept: INBOX in any case is INBOX.
    fn key(name: &str) -> String {
        if name.eq_ignore_ascii_case(INBOX) { INBOX.to_owned() } else { name.to_owned() }
    }

    pub fn folder(&self, name: &str) -> Option<Arc<Folder>> {
        self.lock().get(&Self::key(name)).cloned()
    }

    /// The folder, made if need be; none if there are too many.
    pub fn folder_or_new(&self, name: &str) -> Option<Arc<Folder>> {
        let mut folders = self.lock();
        let key = Self::key(name);
        if let Some(folder) = folders.get(&key) {
            return Some(Arc::clone(folder));
        }
        if folders.len() >= MOST_FOLDERS {
            return None;
        }
        let number = u32::try_from(folders.len()).unwrap_or(u32::MAX);
        let validity = self.first_uid_validity.saturating_add(number);
        let folder = Arc::new(Folder::new(key.clone(), validity, self.folder_messages));
        folders.insert(key, Arc::clone(&folder));
        Some(folder)
    }

    pub fn remove_folder(&self, name: &str) -> bool {
        let key = Self::key(name);
        key != INBOX && self.lock().remove(&key).is_some()
    }

    pub fn folders(&self) -> Vec<Arc<Folder>> {
        self.lock().values().cloned().collect()
    }
}

/// All accounts.
pub(super) struct Spool {
    accounts: BTreeMap<String, Arc<Account>>,
    catch_all: Option<String>,
}

impl Spool {
    /// `uid_validity` must grow from one start to the next, as seconds since 1970 do.
    pub fn new(
        accounts: &[(String, Secret)],
        catch_all: Option<&str>,
        folder_messages: usize,
        uid_validity: u32,
    ) -> Self {
        let account = |(name, password): &(String, Secret)| {
            let account = Account {
                name: name.clone(),
                password: password.clone(),
                folders: Mutex::default(),
                folder_messages,
                first_uid_validity: uid_validity,
            };
            account.folder_or_new(INBOX);
            account.folder_or_new(JUNK);
            (name.to_ascii_lowercase(), Arc::new(account))
        };
        Self {
            accounts: accounts.iter().map(account).collect(),
            catch_all: catch_all.map(str::to_ascii_lowercase),
        }
    }

    pub fn account(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts.get(&name.to_ascii_lowercase())
    }

    pub fn accounts(&self) -> impl Iterator<Item = &Arc<Account>> {
        self.accounts.values()
    }

    /// The account that gets the mail for an address.
    pub fn route(&self, address: &str) -> Option<&Arc<Account>> {
        self.account(address).or_else(|| self.accounts.get(self.catch_all.as_ref()?))
    }

    pub fn login(&self, user: &str, password: &str) -> Option<&Arc<Account>> {
        self.account(user).filter(|account| account.password.reveal() == password)
    }
}
