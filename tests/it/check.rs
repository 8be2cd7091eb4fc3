//! `maildt check ADDRESS`: one round trip, told in the exit code and in one line.

use crate::lab::policy::{Fate, Stage};
use crate::lab::wait::{eventually, s, same};
use crate::lab::world::World;

#[test]
fn check_tells_by_its_exit_code_what_became_of_the_mail() {
    let Some(world) = World::new("check_tells_by_its_exit_code_what_became_of_the_mail") else { return };
    world.lab.policy.set(&world.address("lost"), Fate::Lost);
    let refusal = Fate::Refused(Stage::Rcpt, "550 5.1.1 No such user".to_owned());
    world.lab.policy.set(&world.address("refused"), refusal);
    // No database: the command needs none.
    let setup = world.setup_with_tls().without("DATABASE_URL").env("ALERT_THRESHOLD", "10");
    for (tag, code, status) in [("fine", 0, "OK"), ("lost", 2, "CRITICAL"), ("refused", 2, "CRITICAL")] {
        let file = setup.file();
        let (exit, out, err) = setup.run(&["check", &world.address(tag), "--config", file.to_str().unwrap()]);
        assert_eq!(exit.code(), Some(code), "{tag}: {out}\n{err}");
        assert_eq!(out.trim_end().lines().count(), 1, "one line on stdout: {out}");
        assert!(out.contains(status), "{out}");
    }
    let blind = setup.env("IMAP_PASS", "not-the-password");
    let file = blind.file();
    let (exit, out, err) = blind.run(&["check", &world.address("blind"), "--config", file.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(3), "{out}\n{err}");
}

#[test]
fn the_service_ignores_the_messages_of_check() {
    let Some(world) = World::new("the_service_ignores_the_messages_of_check") else { return };
    let app = world.setup().start();
    app.await_active();
    let setup = world.setup().without("DATABASE_URL").env("IMAP_CLEANUP", "keep");
    let file = setup.file();
    let (exit, out, err) = setup.run(&["check", &world.monitor(), "--config", file.to_str().unwrap()]);
    assert_eq!(exit.code(), Some(0), "{out}\n{err}");
    eventually(s(5), "the message stays", || same(&world.mail().count("INBOX"), &1));
    let scrape = app.metrics().unwrap();
    assert!(scrape.sum("maildt_foreign_tokens_total") < 0.5, "it is not foreign either");
}
