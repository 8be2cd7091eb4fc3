//! `maildt demo`: what it promises on its first page.

use std::process::Command;

use nix::sys::signal::Signal;

use crate::lab::ground::ground;
use crate::lab::process::Process;
use crate::lab::wait::{eventually, s, so};

#[test]
fn every_state_shows_within_two_minutes_of_the_demo() {
    let directory = ground().directory("demo");
    let mut command = Command::new(env!("CARGO_BIN_EXE_maildt"));
    command
        .arg("demo")
        .env("DATA_DIR", &directory)
        .env("METRICS_LISTEN", "127.0.0.1:0")
        .env("LISTEN", "127.0.0.1:0");
    let mut demo = Process::start(&mut command, Signal::SIGINT, &directory.with_extension("log"));
    let told = |what: &str| so(demo.output().contains(what), || demo.output());
    eventually(s(30), "a first probe arrives", || told("arrived after"));
    eventually(s(120), "every state is seen", || told("now every state has been seen"));
    for what in ["refused for now", "a second copy", "not timed"] {
        eventually(s(120), what, || told(what));
    }
    eventually(s(60), "alert mail is shown", || told("alert mail  [MailDT] Send failure: rejected"));
    demo.stop();
    assert!(demo.output().contains("The demo has stopped."), "{}", demo.output());
}
