//! The lab tested with itself: a fault that does not happen proves nothing.

use std::time::{Duration, Instant};

use crate::lab::letter::Letter;
use crate::lab::policy::{Fate, Stage};
use crate::lab::postgres::Cluster;
use crate::lab::proxy::{At, Proxy, Towards};
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

#[test]
fn the_lab_delivers_and_its_logs_tell_when() {
    let Some(world) = World::new("the_lab_delivers_and_its_logs_tell_when") else { return };
    let letter = Letter::new("one").field("Message-ID", "<one@elsewhere.example>");
    world.lab.deliver(&letter, &world.address("x"));
    eventually(s(5), "the letter is stored", || same(&world.mail().count("INBOX"), &1));
    let stored = &world.mail().messages("INBOX")[0];
    assert_eq!(stored.field("subject").as_deref(), Some("one"));
    let saved = eventually(s(5), "the log tells it", || {
        world.lab.saved(&world.user).pop().ok_or_else(|| world.lab.log_of(&world.user))
    });
    assert_eq!(saved.message_id, "one@elsewhere.example");
    assert_eq!(saved.folder, "INBOX");
    assert_eq!(
        world
            .lab
            .accepted_from("stranger@elsewhere.example")
            .iter()
            .filter(|id| **id == saved.message_id)
            .count(),
        1
    );
}

#[test]
fn the_lab_holds_loses_refuses_doubles_and_bounces() {
    let Some(world) = World::new("the_lab_holds_loses_refuses_doubles_and_bounces") else { return };
    let (lab, mail) = (world.lab, world.mail());
    let letter = Letter::new("x").field("Message-ID", "<x@elsewhere.example>");

    lab.policy.set(&world.address("held"), Fate::Held);
    lab.policy.set(&world.address("lost"), Fate::Lost);
    lab.deliver(&letter, &world.address("held"));
    lab.deliver(&letter, &world.address("lost"));
    eventually(s(5), "it is on hold", || same(&lab.postfix.held(&world.address("held")).len(), &1));
    assert_eq!(mail.count("INBOX"), 0);
    lab.release(&world.address("held"));
    eventually(s(5), "what was held comes", || same(&mail.count("INBOX"), &1));

    let refused = world.address("refused");
    lab.policy.set(&refused, Fate::RefusedFirst(1, Stage::Rcpt, "451 4.7.1 greylisted".to_owned()));
    let attempt = || letter.send(lab.postfix.plain, &refused).is_ok();
    assert!(!attempt(), "the first attempt is refused");
    assert!(attempt(), "the second is not");
    assert_eq!(lab.policy.attempts(&refused, Stage::Rcpt), 2);
    lab.policy.set(&refused, Fate::Refused(Stage::Dot, "554 5.7.1 spam".to_owned()));
    assert!(!attempt(), "it is refused after the dot");
    eventually(s(5), "what was accepted comes", || same(&mail.count("INBOX"), &2));

    lab.deliver(&letter, &world.address("twice"));
    eventually(s(5), "two copies come", || same(&mail.count("INBOX"), &4));
    lab.deliver(&letter, &world.address("junk"));
    eventually(s(5), "Junk is filled", || same(&mail.count("Junk"), &1));

    let from_monitor = Letter::new("back").with_null_reverse_path();
    lab.deliver(&from_monitor, &world.address("bounce"));
    eventually(s(5), "a bounce to nobody is dropped", || {
        so(lab.postfix.log().contains("bounced by the test"), String::new)
    });
    assert_eq!(mail.count("INBOX"), 4);
}

#[test]
fn the_wire_can_be_refused_stalled_held_and_cut() {
    let Some(world) = World::new("the_wire_can_be_refused_stalled_held_and_cut") else { return };
    let proxy = Proxy::to(world.lab.postfix.plain);
    let to = world.address("wire");
    let token = "v1.0190d4f5-7a2b-8c3d-9e4f-001122334455.abcdefghijklmnopqrstuvwxyz";
    let letter = Letter::new(token);
    let attempt = || letter.send(proxy.port(), &to).is_ok();
    let arrived = |count: usize| eventually(s(5), "mail came", || same(&world.mail().count("INBOX"), &count));

    assert!(attempt());
    arrived(1);
    assert_eq!(proxy.tokens_sent(), [token]);

    proxy.refuse();
    let error = std::net::TcpStream::connect(("127.0.0.1", proxy.port())).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    proxy.pass();
    assert!(attempt());
    arrived(2);

    // The dot passes and the reply does not: the client fails and the mail comes.
    proxy.cut_at(Towards::Server, At::After(b"\r\n.\r\n"));
    assert!(!attempt());
    arrived(3);
    // The dot does not pass: nothing comes.
    proxy.cut_at(Towards::Server, At::Before(b"\r\n.\r\n"));
    assert!(!attempt());

    let trap = proxy.hold_at(Towards::Server, At::Before(b"DATA"));
    std::thread::scope(|scope| {
        let held = scope.spawn(|| letter.send(proxy.port(), &to));
        trap.wait(s(5));
        throughout(s(1), "nothing moves", || so(!held.is_finished(), String::new));
        trap.release();
    });
    arrived(4);

    proxy.delay(Duration::from_millis(100));
    let start = Instant::now();
    assert!(attempt());
    assert!(start.elapsed() > s(1), "every line and every reply waited");
    proxy.delay(Duration::ZERO);
    arrived(5);

    proxy.stall();
    std::thread::scope(|scope| {
        let held = scope.spawn(|| letter.send(proxy.port(), &to));
        throughout(s(1), "nothing moves", || so(!held.is_finished(), String::new));
        proxy.pass();
    });
    arrived(6);
}

#[test]
fn a_cluster_can_be_stopped_frozen_and_started() {
    let cluster = Cluster::new();
    let database = cluster.database();
    let one = || database.query("SELECT 1", &[]).is_ok();
    assert!(one());
    cluster.stop();
    assert!(!one());
    cluster.start();
    assert!(one());
    cluster.freeze();
    std::thread::scope(|scope| {
        let start = Instant::now();
        let waiting = scope.spawn(one);
        throughout(s(1), "no answer while frozen", || {
            so(!waiting.is_finished(), || format!("{:?}", start.elapsed()))
        });
        cluster.thaw();
    });
    assert!(one());
}

#[test]
fn the_people_on_call_read_what_is_sent_to_them() {
    use crate::lab::alert::Told;
    use crate::lab::heartbeat::Heartbeat;
    use crate::lab::oncall::OnCall;
    let Some(ops) = OnCall::new("the_people_on_call_read_what_is_sent_to_them") else { return };
    ops.were_told(&[]).unwrap();
    let letters = [("Missing: alice", "<one@x.example>"), ("Recovered: alice", "<two@x.example>")];
    for (number, (subject, id)) in (1..).zip(letters) {
        let letter = Letter::new(subject).field("Message-ID", id).field("In-Reply-To", "<one@x.example>");
        letter.send(ops.mail_wire().port(), &ops.address()).unwrap();
        // A mail server may deliver at once what it was given one after the other.
        eventually(s(20), "it has come", || same(&ops.mail().len(), &number));
    }
    let mail = ops.mail();
    let told: Vec<Told> = mail.iter().map(|alert| alert.told).collect();
    assert_eq!(told, [Told::Opened, Told::Recovered], "in the order of their coming");
    assert_eq!(mail[1].headers.message_id, "two@x.example");
    assert_eq!(mail[1].headers.in_reply_to.as_deref(), Some("one@x.example"));
    let instead = ops.were_told(&["Missing: alice", "Recovered: alice"]).unwrap_err();
    assert!(instead.contains("Discord"), "{instead}");

    let heartbeat = Heartbeat::new();
    heartbeat.is_still().unwrap();
    assert!(heartbeat.beats().is_err());
    assert_eq!(heartbeat.pings(), 0);
}
