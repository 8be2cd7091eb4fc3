//! The data of the server: created whole or not at all, and only ever opened by the major version that wrote it.

use std::path::{Path, PathBuf};

use nix::unistd::mkdtemp;

use super::log::last_lines;
use super::{Account, Binaries, DataDir, Error, NAME, Plan, command, leftovers, path_error};

/// Start of the names of directories in which `initdb` works. Only a finished one is renamed to `pgdata`, so one that is
/// found at a start was interrupted.
const UNFINISHED: &str = "initdb-";

/// The binaries for the cluster; makes the cluster first if there is none.
pub(super) async fn prepare(data_dir: &DataDir, plan: &Plan) -> Result<Binaries, Error> {
    remove_unfinished(data_dir).await?;
    let pgdata = data_dir.pgdata();
    let wanted = version(pgdata)?;
    let binaries = match Binaries::find(&plan.binaries, wanted, &plan.account, data_dir).await? {
        Ok(binaries) => binaries,
        Err(others) => return Err(no_binaries(&others, wanted, &plan.account, pgdata)),
    };
    if wanted.is_none() {
        initialise(data_dir, &plan.account, &binaries).await?;
    }
    Ok(binaries)
}

/// The major version that wrote the cluster; `None` without a cluster.
fn version(pgdata: &Path) -> Result<Option<u32>, Error> {
    let file = pgdata.join("PG_VERSION");
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(err) if err.kind() == std::io::ErrorKind::NotFound => {
            let empty = std::fs::read_dir(pgdata).map_or(true, |mut entries| entries.next().is_none());
            return if empty { Ok(None) } else { Err(Error::Foreign(pgdata.to_owned())) };
        }
        Err(err) => return Err(path_error("read", &file)(err)),
    };
    let major = text.trim().split('.').next().and_then(|major| major.parse().ok());
    major.map(Some).ok_or_else(|| Error::Foreign(pgdata.to_owned()))
}

fn no_binaries(others: &[Binaries], wanted: Option<u32>, account: &Account, pgdata: &Path) -> Error {
    let (Some(preferred), Some(found)) = (others.first(), wanted) else { return Error::NoServer };
    let installed: Vec<_> =
        others.iter().map(|other| format!("{} ({})", other.major, other.dir().display())).collect();
    Error::OtherMajor {
        pgdata: pgdata.to_owned(),
        found,
        installed: installed.join(" and "),
        upgrade: upgrade(preferred, found, account, pgdata),
    }
}

/// How the operator brings the data to the installed version.
fn upgrade(new: &Binaries, found: u32, account: &Account, pgdata: &Path) -> String {
    if new.major < found {
        return "an older PostgreSQL cannot read these data".to_owned();
    }
    let new_bin = new.dir().display().to_string();
    let version_of = |major: u32| format!("/{major}/");
    let old_bin = if new_bin.contains(&version_of(new.major)) {
        new_bin.replace(&version_of(new.major), &version_of(found))
    } else {
        format!("/PATH/TO/POSTGRESQL-{found}/bin")
    };
    let (pgdata, user) = (pgdata.display(), account.name());
    let steps = format!(
        "{new_bin}/initdb -D {pgdata}.new -U {NAME} -A trust -E UTF8 --locale=C -k && \
         {new_bin}/pg_upgrade -b {old_bin} -B {new_bin} -d {pgdata} -D {pgdata}.new -U {NAME}"
    );
    let steps = match account {
        Account::Ourselves => steps,
        Account::Other { .. } => {
            format!("install -d -o {user} -m 700 {pgdata}.new && runuser -u {user} -- sh -c '{steps}'")
        }
    };
    format!(
        "with both installed and MailDT stopped, the data can be upgraded: \
         `cd /tmp && {steps} && mv {pgdata} {pgdata}.{found} && mv {pgdata}.new {pgdata}`"
    )
}

async fn initialise(data_dir: &DataDir, account: &Account, binaries: &Binaries) -> Result<(), Error> {
    tracing::info!(data_dir = %data_dir.path().display(), version = binaries.major, "creating the private database");
    let template = data_dir.path().join(format!("{UNFINISHED}XXXXXX"));
    let unfinished = mkdtemp(&template).map_err(|err| path_error("create", &template)(err.into()))?;
    DataDir::give(&unfinished, account).map_err(path_error("hand to PostgreSQL's user", &unfinished))?;
    let program = binaries.initdb();
    let mut command = command(&program, account, data_dir);
    command.arg("-D").arg(&unfinished).args(["--username", NAME, "--auth=trust"]);
    // The locale decides the order of text in indexes for ever: C never changes with the system's libraries.
    command.args(["--encoding=UTF8", "--locale=C", "--data-checksums"]).kill_on_drop(true);
    let output = command.output().await.map_err(|err| data_dir.spawn_error(&program, account, err))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let output = last_lines(&format!("{}\n{text}", output.status));
        remove_unfinished(data_dir).await?;
        return Err(Error::Init { path: data_dir.path().to_owned(), output });
    }
    let pgdata = data_dir.pgdata();
    std::fs::rename(&unfinished, pgdata).map_err(path_error("create", pgdata))?;
    std::fs::File::open(data_dir.path())
        .and_then(|dir| dir.sync_all())
        .map_err(path_error("sync", data_dir.path()))
}

async fn remove_unfinished(data_dir: &DataDir) -> Result<(), Error> {
    let entries = std::fs::read_dir(data_dir.path()).map_err(path_error("list", data_dir.path()))?;
    let unfinished: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))
        .map(|entry| entry.path())
        .collect();
    for dir in unfinished {
        leftovers::clear(&dir, std::time::Duration::ZERO).await?;
        std::fs::remove_dir_all(&dir).map_err(path_error("remove the interrupted", &dir))?;
    }
    Ok(())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn reads_the_version_and_refuses_what_is_no_cluster() {
        let dir = tempfile::tempdir().unwrap();
        let pgdata = dir.path().join("pgdata");
        assert_eq!(version(&pgdata).unwrap(), None);
        std::fs::create_dir(&pgdata).unwrap();
        assert_eq!(version(&pgdata).unwrap(), None, "an empty directory is as good as none");
        std::fs::write(pgdata.join("letters"), "").unwrap();
        assert!(matches!(version(&pgdata), Err(Error::Foreign(_))));
        for (text, major) in [("15\n", 15), ("9.6\n", 9)] {
            std::fs::write(pgdata.join("PG_VERSION"), text).unwrap();
            assert_eq!(version(&pgdata).unwrap(), Some(major));
        }
    }
}
