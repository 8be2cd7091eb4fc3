//! docs/promises.md names a test for every promise, or says "open". A named test must exist.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_promise_names_an_existing_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for directory in ["src", "tests"] {
        rust_files(&root.join(directory), &mut sources);
    }
    let tests: HashSet<String> =
        sources.iter().flat_map(|file| tests_in(&fs::read_to_string(file).unwrap())).collect();
    let document = fs::read_to_string(root.join("docs/promises.md")).unwrap();
    let mut rows = 0;
    for line in document.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [_, proof] = cells[..] else { panic!("not two cells: {line}") };
        if proof == "test" || proof.starts_with("---") {
            continue;
        }
        rows += 1;
        let named: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty() || proof.starts_with("open"), "neither a test nor \"open\": {line}");
        for name in named {
            assert!(tests.contains(name), "there is no test `{name}`: {line}");
        }
    }
    assert!(rows > 40, "only {rows} rows were read");
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of the functions that carry a `#[test]` of some kind (also within `proptest!`).
fn tests_in(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        }
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if let Some(rest) = function.filter(|_| is_test) {
            found.extend(rest.split(['(', '<']).next().map(str::to_owned));
            is_test = false;
        }
    }
    found
}

#[test]
fn only_tests_count_as_tests() {
    let source = "fn a() {}\n#[test]\n#[ignore]\nfn b() {}\n#[tokio::test(x)]\nasync fn c() {}\nfn d() {}\n";
    assert_eq!(tests_in(source), ["b", "c"]);
}
