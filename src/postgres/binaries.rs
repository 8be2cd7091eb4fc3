//! Where the server's binaries are, and of which major version.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::{Account, DataDir, Error, command};

/// Where systems put versions next to each other, outside of PATH: parent, start of the entry's name, path below it.
const VERSIONED: [(&str, &str, &str); 6] = [
    ("/usr/lib/postgresql", "", "bin"),
    ("/usr", "pgsql-", "bin"),
    ("/usr/libexec", "postgresql", ""),
    ("/opt/homebrew/opt", "postgresql@", "bin"),
    ("/usr/local/opt", "postgresql@", "bin"),
    ("/usr/lib", "postgresql", "bin"),
];
const FIXED: [&str; 4] = [
    "/usr/local/pgsql/bin",
    "/opt/homebrew/bin",
    "/opt/homebrew/opt/postgresql/bin",
    "/usr/lib/postgresql/bin",
];

/// The directories to look in: those of PATH, then the usual places of the systems, higher versions first.
pub fn bin_directories(path: Option<&OsStr>) -> Vec<PathBuf> {
    let on_path = path.into_iter().flat_map(std::env::split_paths).filter(|dir| dir.is_absolute());
    let versioned =
        VERSIONED.iter().flat_map(|(parent, prefix, below)| versions(Path::new(parent), prefix, below));
    on_path.chain(versioned).chain(FIXED.iter().map(PathBuf::from)).collect()
}

fn versions(parent: &Path, prefix: &str, below: &str) -> Vec<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let version = leading_number(name.to_str()?.strip_prefix(prefix)?)?;
            Some((version, entry.path().join(below)))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// The server binaries of one major version.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    dir: PathBuf,
    pub major: u32,
}

impl Binaries {
    pub fn initdb(&self) -> PathBuf {
        self.dir.join("initdb")
    }

    pub fn postgres(&self) -> PathBuf {
        self.dir.join("postgres")
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first that suits: for new data the preferred, for existing data the one that wrote them. `Err` has what is there
    /// instead.
    pub async fn find(
        dirs: &[PathBuf],
        wanted: Option<u32>,
        account: &Account,
        data_dir: &DataDir,
    ) -> Result<Result<Self, Vec<Self>>, Error> {
        let mut others = Vec::new();
        let mut failure = None;
        for dir in dirs {
            if !(dir.join("postgres").is_file() && dir.join("initdb").is_file()) {
                continue;
            }
            let major = match major(&dir.join("postgres"), account, data_dir).await {
                Ok(Some(major)) => major,
                Ok(None) => continue,
                Err(err) => {
                    failure.get_or_insert(err);
                    continue;
                }
            };
            let found = Self { dir: dir.clone(), major };
            if wanted.is_none_or(|wanted| wanted == major) {
                return Ok(Ok(found));
            }
            others.push(found);
        }
        match failure {
            Some(failure) if others.is_empty() => Err(failure),
            _ => Ok(Err(others)),
        }
    }
}

/// Runs as the server will, so that a binary or a data directory that this user cannot reach shows here.
async fn major(postgres: &Path, account: &Account, data_dir: &DataDir) -> Result<Option<u32>, Error> {
    let output = command(postgres, account, data_dir).arg("--version").output().await;
    let output = output.map_err(|err| data_dir.spawn_error(postgres, account, err))?;
    Ok(parse_version(&String::from_utf8_lossy(&output.stdout)))
}

/// The major version in `postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)`.
fn parse_version(text: &str) -> Option<u32> {
    leading_number(text.split("(PostgreSQL) ").nth(1)?)
}

fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn reads_the_major_version_of_releases_betas_and_builds() {
        for (text, major) in [
            ("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n", Some(15)),
            ("postgres (PostgreSQL) 18beta1", Some(18)),
            ("postgres (PostgreSQL) 17devel", Some(17)),
            ("postgres (PostgreSQL) 9.6.24", Some(9)),
            ("bash: postgres: not found", None),
            ("", None),
        ] {
            assert_eq!(parse_version(text), major, "{text}");
        }
    }

    #[test]
    fn prefers_higher_versions_by_number_and_not_by_letter() {
        let parent = tempfile::tempdir().unwrap();
        for name in ["9.6", "15", "9", "17", "share"] {
            std::fs::create_dir(parent.path().join(name)).unwrap();
        }
        let names: Vec<_> = versions(parent.path(), "", "bin")
            .iter()
            .take(2)
            .map(|path| path.strip_prefix(parent.path()).unwrap().to_owned())
            .collect();
        assert_eq!(names, [Path::new("17/bin"), Path::new("15/bin")]);
    }

    #[test]
    fn looks_on_path_first_and_ignores_relative_entries() {
        let dirs = bin_directories(Some(OsStr::new("/first:relative:/second")));
        assert_eq!(dirs.first().unwrap(), Path::new("/first"));
        assert_eq!(dirs.get(1).unwrap(), Path::new("/second"));
    }
}
