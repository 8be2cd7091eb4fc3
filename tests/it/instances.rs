//! Several instances on one database, pauses and restarts: one works, none does twice what is to be done once.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::lab::app::{App, Recipient};
use crate::lab::policy::Fate;
use crate::lab::proxy::Proxy;
use crate::lab::wait::{Look, eventually, s, same, so, throughout};
use crate::lab::world::World;

fn is_active(app: &App) -> Look<bool> {
    Ok(app.metrics()?.count("maildt_active") > 0.5)
}

fn one_is_active(apps: [&App; 2]) -> Look {
    so(is_active(apps[0])? != is_active(apps[1])?, || "not exactly one is active".to_owned())
}

#[test]
fn two_instances_send_one_probe_for_each_due_time() {
    let Some(world) = World::new("two_instances_send_one_probe_for_each_due_time") else { return };
    let names: Vec<String> = (0..10).map(|n| format!("r{n}")).collect();
    let setup = world.setup().recipients(names.iter().map(|n| Recipient::new(n, &world.address(n))));
    let second = setup.beside();
    let (one, two) = (setup.launch(), second.launch());
    let (one, two) = (one.listening(), two.listening());
    eventually(s(30), "all are delivered", || {
        same(&world.records().read()?.iter().filter(|p| p.state == "delivered").count(), &names.len())
    });
    eventually(s(5), "one is active", || one_is_active([&one, &two]));
    assert_eq!(world.records().probes().len(), names.len());
    let tokens = world.smtp().tokens_sent();
    assert_eq!(tokens.len(), names.len(), "one message for each: {tokens:?}");
    eventually(s(5), "both together count each once", || {
        let (a, b) = (one.metrics()?, two.metrics()?);
        same(&(a.sum("maildt_probes_sent_total") + b.sum("maildt_probes_sent_total")), &10.0)
    });
}

#[test]
fn a_standby_takes_over_within_20_s_of_a_kill() {
    let Some(world) = World::new("a_standby_takes_over_within_20_s_of_a_kill") else { return };
    let address = world.address("alice");
    world.lab.policy.set(&address, Fate::Held);
    let recipient = Recipient::new("alice", &address).threshold("1m");
    // The lease as users have it.
    let setup = world.setup().without_limit("lease").without_limit("lease_renew").recipient(recipient);
    let second = setup.beside();
    let mut one = setup.start();
    one.await_active();
    let two = second.start();
    eventually(s(10), "the second stands by", || {
        two.ready()?;
        so(!is_active(&two)?, || "it is active".to_owned())
    });
    eventually(s(20), "it is accepted", || world.records().first("alice", &["accepted"]));
    one.kill9();
    let killed = Instant::now();
    eventually(s(20), "the standby is active", || {
        so(is_active(&two)?, || format!("not after {:?}", killed.elapsed()))
    });
    world.lab.release(&address);
    eventually(s(20), "it finishes what the other began", || world.records().first("alice", &["delivered"]));
    assert_eq!(world.smtp().tokens_sent().len(), 1);
}

#[test]
fn an_instance_paused_past_its_lease_changes_nothing_when_it_resumes() {
    let Some(world) = World::new("an_instance_paused_past_its_lease_changes_nothing_when_it_resumes") else {
        return;
    };
    let names = ["held", "lost"];
    world.lab.policy.set(&world.address("held"), Fate::Held);
    world.lab.policy.set(&world.address("lost"), Fate::Lost);
    let setup = world.setup().recipients(names.map(|n| Recipient::new(n, &world.address(n))));
    let second = setup.beside();
    let one = setup.start();
    one.await_active();
    let two = second.start();
    eventually(s(20), "both are accepted", || {
        same(&world.records().read()?.iter().filter(|p| p.state == "accepted").count(), &2)
    });
    one.signal(Signal::SIGSTOP);
    eventually(s(20), "the other takes over", || so(is_active(&two)?, || "not active".to_owned()));
    world.lab.release(&world.address("held"));
    eventually(s(20), "it sees the one", || world.records().first("held", &["delivered"]));
    eventually(s(30), "it misses the other", || world.records().first("lost", &["missing"]));
    let decided = world.records().probes();
    one.signal(Signal::SIGCONT);
    throughout(s(4), "nothing that is decided changes", || same(&world.records().read()?, &decided));
    eventually(s(5), "the first stands by", || {
        so(!is_active(&one)? && is_active(&two)?, || "not the second alone is active".to_owned())
    });
    let missing = one.metrics().unwrap().sum("maildt_probes_missing_total")
        + two.metrics().unwrap().sum("maildt_probes_missing_total");
    assert!((missing - 1.0).abs() < 0.5, "counted once, not {missing}");
}

#[test]
fn a_deposed_instance_sends_nothing_more() {
    let Some(world) = World::new("a_deposed_instance_sends_nothing_more") else { return };
    let names: Vec<String> = (0..6).map(|n| format!("r{n}")).collect();
    // It notices late by itself that the lease is another's, while probes fall due several times a second.
    let setup = world
        .setup()
        .limit("interval_min", "\"2s\"")
        .limit("lease", "\"12s\"")
        .limit("lease_renew", "\"6s\"")
        .recipients(names.iter().map(|n| Recipient::new(n, &world.address(n)).interval("2s")));
    let wire = Proxy::to(world.lab.postfix.plain);
    let second = setup.beside().env("SMTP_PORT", &wire.port().to_string());
    let one = setup.start();
    one.await_active();
    let two = second.start();
    eventually(s(20), "it works", || so(world.smtp().tokens_sent().len() > 6, || "not yet".to_owned()));
    one.signal(Signal::SIGSTOP);
    eventually(s(30), "the other one works", || so(wire.tokens_sent().len() > 6, || "not yet".to_owned()));
    let before = world.smtp().tokens_sent().len();
    one.signal(Signal::SIGCONT);
    throughout(s(5), "the first one sends nothing", || same(&world.smtp().tokens_sent().len(), &before));
    eventually(s(10), "and stands by", || so(!is_active(&one)? && is_active(&two)?, || "not yet".to_owned()));
    let tokens = [world.smtp().tokens_sent(), wire.tokens_sent()].concat();
    let different: HashSet<&String> = tokens.iter().collect();
    assert_eq!(different.len(), tokens.len(), "a token was sent twice");
}

#[test]
fn a_lease_taken_unnoticed_is_noticed_at_the_next_claim() {
    let Some(world) = World::new("a_lease_taken_unnoticed_is_noticed_at_the_next_claim") else { return };
    let names: Vec<String> = (0..6).map(|n| format!("r{n}")).collect();
    // By itself it would look after the lease only in 20 s.
    let one = world
        .setup()
        .limit("interval_min", "\"2s\"")
        .limit("lease", "\"60s\"")
        .limit("lease_renew", "\"20s\"")
        .recipients(names.iter().map(|n| Recipient::new(n, &world.address(n)).interval("2s")))
        .start();
    eventually(s(20), "it works", || so(world.smtp().tokens_sent().len() > 6, || "not yet".to_owned()));
    let taken = "UPDATE maildt.lease SET holder = gen_random_uuid(), epoch = epoch + 1, \
        expires_at = clock_timestamp() + interval '1 minute', renewed_at = clock_timestamp()";
    world.database.query(taken, &[]).unwrap();
    eventually(s(10), "it stands by", || so(!is_active(&one)?, || "it is active".to_owned()));
    let before = world.smtp().tokens_sent().len();
    throughout(s(4), "it sends nothing", || same(&world.smtp().tokens_sent().len(), &before));
}

#[test]
fn a_restart_storm_sends_no_burst() {
    let Some(world) = World::new("a_restart_storm_sends_no_burst") else { return };
    let names: Vec<String> = (0..4).map(|n| format!("r{n}")).collect();
    let mut app = world
        .setup()
        .recipients(
            names.iter().map(|n| Recipient::new(n, &world.address(n)).interval("30s").threshold("30s")),
        )
        .start();
    let storm = Instant::now();
    while storm.elapsed() < s(18) {
        app.await_active();
        app.kill9();
        app.start_again();
    }
    eventually(s(40), "each recipient has two probes", || {
        let probes = world.records().read()?;
        let few = names.iter().find(|name| probes.iter().filter(|p| p.recipient == **name).count() < 2);
        so(few.is_none(), || format!("{few:?} has not"))
    });
    for name in &names {
        let due: Vec<f64> = world.records().of(name).iter().map(|p| p.due_at).collect();
        for pair in due.windows(2) {
            assert!(pair[1] - pair[0] >= 14.9, "less than half the interval apart: {due:?}");
        }
    }
    let tokens = world.smtp().tokens_sent();
    let different: HashSet<&String> = tokens.iter().collect();
    assert_eq!(different.len(), tokens.len());
}

#[test]
fn sigterm_ends_an_idle_program_at_once_with_0() {
    let Some(world) = World::new("sigterm_ends_an_idle_program_at_once_with_0") else { return };
    let mut app = world.setup().recipient(Recipient::new("alice", &world.address("alice"))).start();
    eventually(s(20), "it is delivered", || world.records().first("alice", &["delivered"]));
    let (status, took) = app.term();
    assert_eq!(status.code(), Some(0));
    assert!(took < s(5), "{took:?}");
}

#[test]
fn sigterm_drains_within_10_s_and_leaves_no_row_behind() {
    let Some(world) = World::new("sigterm_drains_within_10_s_and_leaves_no_row_behind") else { return };
    let address = world.address("alice");
    let trap =
        world.smtp().hold_at(crate::lab::proxy::Towards::Server, crate::lab::proxy::At::Before(b"RCPT TO"));
    let mut app = world.setup().recipient(Recipient::new("alice", &address)).start();
    trap.wait(s(20));
    let (status, took) = app.term();
    assert_eq!(status.code(), Some(0));
    assert!(took < s(10) + Duration::from_secs(1), "{took:?}");
    trap.cut();
    app.start_again();
    eventually(s(40), "the probe gets its result", || {
        let probe = world.records().read()?.into_iter().next().ok_or("no probe")?;
        so(probe.result.is_some(), || probe.to_string())
    });
}

#[test]
fn sighup_changes_recipients_and_loses_no_probe() {
    let Some(world) = World::new("sighup_changes_recipients_and_loses_no_probe") else { return };
    world.lab.policy.set(&world.address("old"), Fate::Held);
    let old = Recipient::new("old", &world.address("old")).threshold("1m");
    let new = Recipient::new("new", &world.address("new"));
    let mut app = world.setup().recipient(old.clone()).start();
    eventually(s(20), "it is accepted", || world.records().first("old", &["accepted"]));

    app.setup = app.setup.clone().recipient(new.clone());
    app.setup.write();
    app.signal(Signal::SIGHUP);
    eventually(s(20), "the new one is delivered", || world.records().first("new", &["delivered"]));
    world.lab.release(&world.address("old"));
    eventually(s(20), "the old one too", || world.records().first("old", &["delivered"]));

    app.setup = app.setup.clone().without_recipients().recipient(new);
    app.setup.write();
    app.signal(Signal::SIGHUP);
    eventually(s(10), "who is removed from the file is paused", || {
        same(&app.metrics()?.get("maildt_recipient_active{recipient=\"old\"}"), &Some(0.0))
    });
    assert_eq!(world.records().of("old").len(), 1, "its history is kept");

    app.setup = app.setup.clone().top("colour = \"blue\"");
    app.setup.write();
    app.signal(Signal::SIGHUP);
    eventually(s(10), "a broken file changes nothing and is told", || {
        let scrape = app.metrics()?;
        same(&scrape.get("maildt_config_last_reload_successful"), &Some(0.0))?;
        same(&scrape.get("maildt_recipient_active{recipient=\"new\"}"), &Some(1.0))
    });
    so(app.log().contains("colour"), || app.log_tail(20)).unwrap();
}
