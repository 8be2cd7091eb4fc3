//! One MailDT for each data directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use super::{DataDir, Error, Holder, path_error};

/// Two MailDT on one server would have the first to stop take the database from the other. The kernel gives the lock back
/// however we end.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub fn acquire(data_dir: &DataDir) -> Result<Self, Error> {
        let path = data_dir.path().join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(path_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                // Whoever it is: an unreadable number does not make the directory free.
                file.read_to_string(&mut text).ok();
                let holder = Holder(text.trim().parse().ok());
                return Err(Error::InUse { data_dir: data_dir.path().to_owned(), holder });
            }
            Err(TryLockError::Error(err)) => return Err(path_error("lock", &path)(err)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .map_err(path_error("write", &path))?;
        Ok(Self { _file: file })
    }
}
