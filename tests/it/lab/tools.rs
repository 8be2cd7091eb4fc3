//! Programs that some tests use beside the servers.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ground::not_run;

/// Where the program `name` is.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(name)).find(|file| file.exists())
}

/// Where the tool `name` of Debian's `package` is, or a note that `test` was not run.
pub fn tool(name: &str, package: &str, test: &str) -> Option<PathBuf> {
    let found = find(name);
    if found.is_none() {
        not_run(test, &format!("{name} is missing (Debian: {package})"));
    }
    found
}

/// Whether `command` ended well, and all that it said.
pub fn ask(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    (output.status.success(), said)
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
