//! The load benchmark: the release binary from outside, next to a bare client in the same run.
//!
//! `cargo bench --bench load` runs all parts, `cargo bench --bench load -- ceiling start` only those. A part on Postfix and
//! Dovecot needs root and both installed; where that is not so, it says so. `MAILDT_BENCH_SECONDS` is how long the long
//! measurements take (default 60; the promise of 200 probes a second is for 300). Figures that fall short do not make it
//! fail, a lost probe does.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark fails by panicking"
)]

mod bare;
mod endpoint;
mod pages;
mod parts;
mod program;
mod table;
mod usage;

/// The servers that the tests use too.
#[expect(dead_code, reason = "a benchmark needs a part of it")]
#[path = "../../tests/it/lab"]
mod lab {
    pub mod app;
    pub mod browser;
    pub mod certificates;
    pub mod dovecot;
    pub mod ground;
    pub mod letter;
    pub mod mail;
    pub mod maildir;
    pub mod metrics;
    pub mod policy;
    pub mod postfix;
    pub mod postgres;
    pub mod process;
    pub mod tokens;
    pub mod wait;
}

use std::process::ExitCode;
use std::time::Duration;

use parts::Bench;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if !arguments.iter().any(|argument| argument == "--bench") {
        // `cargo test --benches` only wants to know that it builds.
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.starts_with("--")).collect();
    let seconds = std::env::var("MAILDT_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    println!("{}", usage::machine());
    println!("long measurements take {seconds} s (MAILDT_BENCH_SECONDS)");
    let mut bench = Bench::new(Duration::from_secs(seconds));
    for (name, part) in parts::ALL {
        if wanted.is_empty() || wanted.contains(&name) {
            println!("\n{name} (load average {})", usage::load());
            part(&mut bench);
        }
    }
    if bench.table.print() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
