//! How a probe comes back: redirected and tagged on the way, forwarded, answered. What counts is the recipient's return mode.

use crate::lab::app::Recipient;
use crate::lab::letter::Letter;
use crate::lab::wait::{eventually, s, same};
use crate::lab::world::World;

/// An address elsewhere from which Sieve sends mail on to the monitor: `how` is `redirect` or `list`.
fn by_way_of(world: &World, elsewhere: &World, how: &str) -> String {
    elsewhere.address(&format!("{how}-{}", world.user))
}

#[test]
fn redirected_by_sieve_and_tagged_by_a_list_it_is_delivered() {
    let test = "redirected_by_sieve_and_tagged_by_a_list_it_is_delivered";
    let (Some(world), Some(elsewhere)) = (World::new(test), World::new(test)) else { return };
    let app = world
        .setup()
        .recipient(Recipient::new("redirect", &by_way_of(&world, &elsewhere, "redirect")))
        .recipient(Recipient::new("list", &by_way_of(&world, &elsewhere, "list")))
        .start();
    for name in ["redirect", "list"] {
        let probe = eventually(s(20), "it is delivered", || world.records().first(name, &["delivered"]));
        assert_eq!(probe.placement.as_deref(), Some("inbox"), "{probe}");
    }
    eventually(s(10), "both are removed", || same(&world.mail().count("INBOX"), &0));
    assert_eq!(elsewhere.mail().count("INBOX"), 0);
    drop(app);
}

/// What another mailbox does with the probe it got.
fn answers(token: &str) -> [(&'static str, Letter); 3] {
    let probe = format!("<{token}@lab.test>");
    [
        (
            "forward",
            Letter::new(&format!("Fwd: MAILDT-PROBE: {token}"))
                .body(format!("---------- Forwarded message\r\nSubject: MAILDT-PROBE: {token}\r\n")),
        ),
        (
            "echo",
            Letter::new(&format!("Re: MAILDT-PROBE: {token}"))
                .field("Auto-Submitted", "auto-replied")
                .field("In-Reply-To", &probe)
                .field("References", &probe),
        ),
        (
            "report",
            Letter::new("Undelivered Mail Returned to Sender")
                .with_null_reverse_path()
                .field("Content-Type", "multipart/report; report-type=delivery-status; boundary=b")
                .field("Auto-Submitted", "auto-replied")
                .body(format!(
                    "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: delayed\r\n\
                     Status: 4.0.0\r\n\r\n--b\r\nContent-Type: text/rfc822-headers\r\n\r\nX-MailDT-Probe: {token}\r\n\r\n--b--\r\n"
                )),
        ),
    ]
}

/// In this mode these answers deliver, and no others.
fn mode(test: &str, mode: &str, deliver: &[&str]) {
    let (Some(world), Some(elsewhere)) = (World::new(test), World::new(test)) else { return };
    let names = ["forward", "echo", "report"];
    let recipients =
        names.map(|name| Recipient::new(name, &elsewhere.address(name)).text("return_mode", mode));
    let _app = world.setup().recipients(recipients).start();
    eventually(s(20), "the probes are there", || same(&elsewhere.mail().count("INBOX"), &3));
    for stored in elsewhere.mail().messages("INBOX") {
        let to = stored.field("To").unwrap();
        let name = names.into_iter().find(|name| to.contains(name)).unwrap();
        let answers = answers(&stored.token().unwrap());
        let (_, letter) = answers.into_iter().find(|(kind, _)| *kind == name).unwrap();
        world.lab.deliver(&letter, &world.monitor());
    }
    for name in names {
        let state = if deliver.contains(&name) { "delivered" } else { "missing" };
        eventually(s(30), "the verdict is that of the mode", || world.records().first(name, &[state]));
    }
    eventually(s(10), "what is not ours to take is kept", || {
        same(&world.mail().count("INBOX"), &(names.len() - deliver.len()))
    });
}

#[test]
fn in_mode_forward_a_forwarded_probe_counts() {
    mode("in_mode_forward_a_forwarded_probe_counts", "forward", &["forward"]);
}

#[test]
fn in_mode_echo_an_automatic_answer_counts() {
    mode("in_mode_echo_an_automatic_answer_counts", "echo", &["forward", "echo"]);
}
