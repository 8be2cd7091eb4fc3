//! Tells the program which commit it is built from.
//!
//! `MAILDT_REVISION` wins, for builds without a repository such as those of containers. Development builds do not ask git:
//! every commit would compile the whole crate anew.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=MAILDT_REVISION");
    let given = std::env::var("MAILDT_REVISION").ok().filter(|revision| is_revision(revision));
    let is_release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let revision = given.or_else(|| if is_release { revision_of_repository() } else { None });
    println!("cargo::rustc-env=MAILDT_REVISION={}", revision.as_deref().unwrap_or("unknown"));
}

fn revision_of_repository() -> Option<String> {
    // The log of HEAD grows with every commit and checkout; without it, HEAD itself is the best sign there is.
    for name in ["logs/HEAD", "HEAD"] {
        let path = git(&["rev-parse", "--git-path", name])?;
        if Path::new(&path).exists() {
            println!("cargo::rerun-if-changed={path}");
            break;
        }
    }
    // A package below somebody else's repository is not of its revision.
    git(&["ls-files", "--error-unmatch", "Cargo.toml"])?;
    git(&["rev-parse", "--short=12", "HEAD"]).filter(|revision| is_revision(revision))
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success()).then(|| text.trim().to_owned())
}

fn is_revision(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b))
}
