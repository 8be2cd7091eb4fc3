//! The server's log: a bounded file, and its last lines for our own messages.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::{Error, path_error};

/// Bytes after which the log becomes `postgres.log.1`.
const LIMIT: u64 = 4 << 20;
/// Bytes of it that an error message may show.
const TAIL: u64 = 1500;

#[derive(Debug)]
pub(super) struct ServerLog {
    path: PathBuf,
    file: File,
}

impl ServerLog {
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        let path = data_dir.join("postgres.log");
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(path_error("open", &path))?;
        let log = Self { path, file };
        log.bound();
        Ok(log)
    }

    /// The file for the server to write to. We open it, so the server's user needs no right to it.
    pub fn writer(&self) -> Result<Stdio, Error> {
        self.file.try_clone().map(Stdio::from).map_err(path_error("open", &self.path))
    }

    /// Moves the content away when there is a lot. The server appends to the same file, so it is emptied and not replaced.
    pub fn bound(&self) {
        let moved = self.file.metadata().and_then(|meta| {
            if meta.len() <= LIMIT {
                return Ok(());
            }
            std::fs::copy(&self.path, self.path.with_extension("log.1"))?;
            self.file.set_len(0)
        });
        if let Err(err) = moved {
            tracing::warn!(path = %self.path.display(), error = %err, "cannot shorten the log of the private PostgreSQL");
        }
    }

    /// The last lines, in one.
    pub fn tail(&self) -> String {
        let mut text = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            file.read_to_end(&mut text)
        });
        if let Err(err) = read {
            return format!("cannot read {}: {err}", self.path.display());
        }
        format!("{} (all of it: {})", last_lines(&String::from_utf8_lossy(&text)), self.path.display())
    }
}

/// The last three lines of a program's output, in one.
pub(super) fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let (_, last) = lines.split_at(lines.len().saturating_sub(3));
    last.join(" | ")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_long_log_is_moved_away_and_writing_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let log = ServerLog::open(dir.path()).unwrap();
        let mut server = log.file.try_clone().unwrap();
        let big = vec![b'x'; usize::try_from(LIMIT).unwrap() + 1];
        server.write_all(&big).unwrap();
        log.bound();
        server.write_all(b"one\ntwo\n").unwrap();
        assert_eq!(std::fs::read(dir.path().join("postgres.log")).unwrap(), b"one\ntwo\n");
        assert_eq!(std::fs::metadata(dir.path().join("postgres.log.1")).unwrap().len(), LIMIT + 1);
        assert!(log.tail().starts_with("one | two (all of it: "), "{}", log.tail());
    }
}
