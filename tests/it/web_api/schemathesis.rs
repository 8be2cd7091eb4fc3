//! Schemathesis derives requests from the OpenAPI document, right and wrong ones, alone and in sequences, and holds the answers
//! against it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::lab::builtin::BuiltIn;
use crate::lab::ground::{ground, not_run, test_env};
use crate::web::await_pages;

use super::program::TOKEN;

/// What the run may take. Seconds.
const TIME: &str = "40";

/// What is valid by its form may still be refused for what it says: a name that is no sender, an interval in words that is too
/// short, a cursor that nobody gave, a probe that is one too many.
const CONFIG: &str = r#"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "401", "403", "404", "409", "412", "422", "429"]
[checks.missing_required_header]
expected-statuses = ["400", "401", "415", "422", "428"]
"#;

#[test]
fn schemathesis_agrees_with_the_document() {
    let test = "schemathesis_agrees_with_the_document";
    let Some(program) = test_env("MAILDT_TEST_SCHEMATHESIS").map(PathBuf::from).filter(|file| file.exists())
    else {
        not_run(test, "schemathesis is missing (scripts/setup.sh test)");
        return;
    };
    let lab = BuiltIn::new();
    let app = lab.setup().env("API_TOKEN", TOKEN).env("LOG_LEVEL", "info").start();
    await_pages(&app);
    app.await_active();
    let directory = ground().directory("schemathesis");
    let config = directory.join("schemathesis.toml");
    fs::write(&config, CONFIG).unwrap();
    let out = Command::new(program)
        .arg("--config-file")
        .arg(&config)
        .args(["run", &format!("http://{}/api/v1/openapi.json", app.pages())])
        .args(["-H", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", "all", "--mode", "all", "--seed", "1", "--max-time", TIME, "--max-examples", "30"])
        .args(["--no-color", "--continue-on-failure"])
        .current_dir(&directory)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
    assert!(said.contains("Test cases"), "{said}");
    let faults = app.log().lines().filter(|line| line.contains("ERROR")).count();
    assert_eq!(faults, 0, "{}", app.log());
}
