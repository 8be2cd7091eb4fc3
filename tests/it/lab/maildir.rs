//! What lies in a mailbox, read past all servers from its Maildir.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::dovecot::mail_uid;
use super::tokens::tokens_in;

/// A stored message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub path: PathBuf,
    /// Maildir's letters: D draft, F flagged, R replied, S seen, T deleted.
    pub flags: String,
    pub bytes: Vec<u8>,
}

impl Stored {
    /// The first token in it, if any.
    pub fn token(&self) -> Option<String> {
        tokens_in(&self.bytes).into_iter().next()
    }

    /// The value of a header field, unfolded no further than its first line.
    pub fn field(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let header = text.split("\n\n").next()?.split("\r\n\r\n").next()?.to_owned();
        header.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }
}

/// A user's mail.
#[derive(Clone, Debug)]
pub struct Maildir(pub PathBuf);

impl Maildir {
    /// All messages of a folder (`INBOX`, `Junk`, …).
    pub fn messages(&self, folder: &str) -> Vec<Stored> {
        let mut found = Vec::new();
        for part in ["new", "cur"] {
            for entry in fs::read_dir(self.folder(folder).join(part)).into_iter().flatten().flatten() {
                let path = entry.path();
                // A message may be renamed (flags) or removed between the listing and this.
                let Ok(bytes) = fs::read(&path) else { continue };
                let name = entry.file_name().to_string_lossy().into_owned();
                let flags = name.split_once(":2,").map(|(_, flags)| flags.to_owned()).unwrap_or_default();
                found.push(Stored { path, flags, bytes });
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// The file names of all messages of a folder, their flags among them.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = ["new", "cur"]
            .iter()
            .flat_map(|part| fs::read_dir(self.folder(folder).join(part)).into_iter().flatten().flatten())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    /// Puts a message into the inbox past all servers, so that nothing makes it better than it is.
    pub fn put(&self, message: &[u8]) {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("1700000000.M{}P2.hostile", NEXT.fetch_add(1, Ordering::Relaxed));
        let path = self.folder("INBOX").join("tmp").join(&name);
        fs::write(&path, message).unwrap();
        chown(&path, Some(mail_uid()), Some(mail_uid())).unwrap();
        fs::rename(&path, self.folder("INBOX").join("new").join(&name)).unwrap();
    }

    /// How many messages a folder has, without reading them.
    pub fn count(&self, folder: &str) -> usize {
        ["new", "cur"]
            .map(|part| fs::read_dir(self.folder(folder).join(part)).map_or(0, Iterator::count))
            .iter()
            .sum()
    }

    /// Puts `count` equal old messages there at once, read and unread ones by turns: hard links, so that 100,000 take a moment.
    pub fn fill(&self, count: usize, message: &[u8]) {
        let cur = self.folder("INBOX").join("cur");
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(self.folder("INBOX").join(part)).unwrap();
            chown(self.folder("INBOX").join(part), Some(mail_uid()), Some(mail_uid())).unwrap();
        }
        chown(&self.0, Some(mail_uid()), Some(mail_uid())).unwrap();
        let mut first = PathBuf::new();
        for number in 0..count {
            let flags = if number % 2 == 0 { "S" } else { "" };
            let path = cur.join(format!("{}.M{number}P1.old:2,{flags}", 1_500_000_000 + number));
            // A file system allows a limited number of links to one file (ext4: 65,000).
            if number % 10_000 == 0 {
                fs::write(&path, message).unwrap();
                chown(&path, Some(mail_uid()), Some(mail_uid())).unwrap();
                first = path;
            } else {
                fs::hard_link(&first, &path).unwrap();
            }
        }
    }

    /// Loses the server's numbering of a folder, so that UIDVALIDITY changes.
    pub fn lose_numbering(&self, folder: &str) {
        for entry in fs::read_dir(self.folder(folder)).unwrap().flatten() {
            if entry.file_name().to_string_lossy().starts_with("dovecot") {
                drop(fs::remove_file(entry.path()));
            }
        }
    }

    fn folder(&self, name: &str) -> PathBuf {
        if name == "INBOX" { self.0.clone() } else { self.0.join(format!(".{name}")) }
    }
}

impl AsRef<Path> for Maildir {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}
