//! The database fails in every way it can while probes are in all states: nothing is lost, nothing misjudged.

use crate::lab::app::{App, Recipient};
use crate::lab::ground::not_run;
use crate::lab::policy::{Fate, Stage};
use crate::lab::postgres::Cluster;
use crate::lab::proxy::{At, Towards};
use crate::lab::wait::{eventually, s, same, so};
use crate::lab::world::World;

/// Starts with one probe held back on its way, one lost, and one whose submission has not been answered yet.
fn probes_in_all_states(world: &World) -> App {
    world.lab.policy.set(&world.address("held"), Fate::Held);
    world.lab.policy.set(&world.address("lost"), Fate::Lost);
    world.lab.policy.set(&world.address("sending"), Fate::Hung(Stage::Dot));
    let mut app = world
        .setup()
        .limit("lease_renew", "\"1500ms\"")
        .recipient(Recipient::new("held", &world.address("held")).threshold("12s"))
        .recipient(Recipient::new("lost", &world.address("lost")).threshold("12s"))
        .start();
    app.join_watched(2, Recipient::new("sending", &world.address("sending")).threshold("12s"));
    eventually(s(20), "all are on their way", || {
        world.records().first("held", &["accepted"])?;
        world.records().first("lost", &["accepted"])?;
        world.records().first("sending", &["sending"])?;
        same(&world.lab.policy.attempts(&world.address("sending"), Stage::Dot), &1)
    });
    app
}

/// What happens while the database is away: the submission is answered, and both messages come.
fn goes_on_without(world: &World, app: &App) {
    world.lab.policy.clear(&world.address("sending"));
    world.lab.release(&world.address("held"));
    eventually(s(10), "both are stored", || same(&world.lab.saved(&world.user).len(), &2));
    // Beyond every deadline.
    let until = std::time::Instant::now() + s(15);
    eventually(s(20), "it is alive all the time", || {
        app.healthy().unwrap();
        same(&world.mail().count("INBOX"), &2).unwrap();
        so(std::time::Instant::now() > until, || "a while yet".to_owned())
    });
}

fn nothing_is_lost(world: &World, app: &App) {
    for (name, result) in [("held", "delivered"), ("sending", "delivered"), ("lost", "missing")] {
        let probe = eventually(s(40), "the verdict is right", || world.records().first(name, &[result]));
        assert_eq!(probe.result.as_deref(), Some(result), "{probe}");
        assert_eq!((probe.was_missing, probe.duplicates), (name == "lost", 0), "{probe}");
        eventually(s(5), "it counts once", || {
            let scrape = app.metrics()?;
            same(
                &scrape.count(&format!(
                    "maildt_probe_results_total{{recipient=\"{name}\",result=\"{result}\"}}"
                )),
                &1.0,
            )?;
            same(&scrape.count(&format!("maildt_probes_sent_total{{recipient=\"{name}\"}}")), &1.0)
        });
    }
    let sending = &world.records().of("sending")[0];
    assert!(!sending.latency_estimated && sending.latency_ms.is_some(), "it was seen live: {sending:?}");
    eventually(s(5), "no false alarm is counted", || {
        same(&app.metrics()?.sum("maildt_probes_missing_total"), &1.0)
    });
    eventually(s(10), "the mailbox is clean", || same(&world.mail().count("INBOX"), &0));
    assert_eq!(world.smtp().tokens_sent().len(), 3, "nothing was sent twice");
    eventually(s(10), "it says that it is ready", || app.ready());
}

/// A test with a cluster of its own, of which one part breaks and heals it.
fn survives(test: &str, cluster: &Cluster, breaks: impl FnOnce(&World), heals: impl FnOnce(&World)) {
    let Some(world) = World::on(test, cluster) else { return };
    let app = probes_in_all_states(&world);
    breaks(&world);
    goes_on_without(&world, &app);
    let errors = app.metrics().unwrap().sum("maildt_db_errors_total");
    assert!(errors > 0.5, "the fault did not work");
    heals(&world);
    nothing_is_lost(&world, &app);
}

#[test]
fn a_frozen_database_loses_nothing() {
    let cluster = Cluster::new();
    survives("a_frozen_database_loses_nothing", &cluster, |_| cluster.freeze(), |_| cluster.thaw());
}

#[test]
fn a_killed_database_loses_nothing() {
    let cluster = Cluster::new();
    survives("a_killed_database_loses_nothing", &cluster, |_| cluster.stop(), |_| cluster.start());
}

#[test]
fn a_full_database_loses_nothing() {
    let test = "a_full_database_loses_nothing";
    let cluster = match Cluster::on_small_disk(160) {
        Ok(cluster) => cluster,
        Err(why) => return not_run(test, &why),
    };
    let breaks = |world: &World| {
        cluster.fill_disk();
        // What room is left in its files is used up too.
        let bloat = "CREATE TABLE bloat AS SELECT repeat('x', 1000) FROM generate_series(1, 100000)";
        assert!(world.database.query(bloat, &[]).is_err(), "there is room left");
        for table in ["probes", "recipients", "lease", "folders"] {
            let _ = world.database.query(&format!("UPDATE maildt.{table} SET version = version"), &[]);
        }
        let _ = world.database.query("SELECT pg_switch_wal()", &[]);
    };
    let heals = |_: &World| {
        cluster.free_disk();
        cluster.start_if_ended();
    };
    survives(test, &cluster, breaks, heals);
}

#[test]
fn a_database_that_has_become_read_only_loses_nothing() {
    let cluster = Cluster::new();
    let set = |world: &World, on: &str| {
        world.database.administer(&format!(
            "ALTER DATABASE {} SET default_transaction_read_only = {on}",
            world.database.name()
        ));
        world.database.administer(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'maildt'",
        );
    };
    survives(
        "a_database_that_has_become_read_only_loses_nothing",
        &cluster,
        |world| set(world, "on"),
        |world| set(world, "off"),
    );
}

#[test]
fn a_locked_table_loses_nothing() {
    let cluster = Cluster::new();
    let lock = std::cell::RefCell::new(None);
    survives(
        "a_locked_table_loses_nothing",
        &cluster,
        |world| {
            let locked = world.database.transaction("LOCK TABLE maildt.probes IN ACCESS EXCLUSIVE MODE");
            lock.replace(Some(locked));
        },
        |_| drop(lock.take()),
    );
}

#[test]
fn commits_whose_answers_are_lost_count_once() {
    let Some(world) = World::new("commits_whose_answers_are_lost_count_once") else { return };
    let mut app = world.setup().start();
    app.await_active();
    let traps: Vec<_> =
        (0..12).map(|_| world.sql().cut_at(Towards::Client, At::Before(b"COMMIT\0"))).collect();
    app.join_watched(2, Recipient::new("alice", &world.address("alice")).threshold("30s"));
    eventually(s(30), "the answers are lost", || {
        so(traps.iter().filter(|trap| trap.has_sprung()).count() >= 10, || "not all".to_owned())
    });
    let probe = eventually(s(30), "it is delivered", || world.records().first("alice", &["delivered"]));
    assert_eq!((probe.duplicates, probe.attempts), (0, 1), "{probe}");
    eventually(s(5), "it counts once", || {
        let scrape = app.metrics()?;
        same(&scrape.sum("maildt_probe_results_total"), &1.0)?;
        same(&scrape.sum("maildt_probes_sent_total"), &1.0)
    });
    eventually(s(10), "the mailbox is clean", || same(&world.mail().count("INBOX"), &0));
    assert_eq!(world.smtp().tokens_sent().len(), 1);
    assert_eq!(world.records().probes().len(), 1);
}

#[test]
fn old_history_goes_and_the_last_success_stays() {
    let Some(world) = World::new("old_history_goes_and_the_last_success_stays") else { return };
    world.lab.policy.set(&world.address("open"), Fate::Held);
    let app = world
        .setup()
        .env("RETENTION_DAYS", "1")
        .recipient(Recipient::new("alice", &world.address("alice")))
        .recipient(Recipient::new("quiet", &world.address("quiet")))
        .recipient(Recipient::new("open", &world.address("open")).threshold("10m"))
        .start();
    for (name, state) in [("alice", "delivered"), ("quiet", "delivered"), ("open", "accepted")] {
        eventually(s(20), "the first probes", || world.records().first(name, &[state]));
    }
    // History of a year: every tenth of 2,000 failed. `quiet` had its last success long ago; `open` still waits.
    let copies = "INSERT INTO maildt.probes \
        SELECT (p.r).* FROM (SELECT jsonb_populate_record(p, jsonb_build_object('id', gen_random_uuid(), \
            'due_at', p.due_at - make_interval(hours => 48 + n), 'created_at', p.created_at - make_interval(hours => 48 + n), \
            'state', CASE WHEN n % 10 = 0 THEN 'missing' ELSE 'delivered' END, \
            'result', CASE WHEN n % 10 = 0 THEN 'missing' ELSE 'delivered' END)) AS r \
        FROM maildt.probes p JOIN maildt.recipients c ON c.id = p.recipient_id, generate_series(1, 2000) n \
        WHERE c.name = 'alice') p";
    world.database.query(copies, &[]).unwrap();
    let aged = "UPDATE maildt.probes SET created_at = created_at - interval '30 days' \
        WHERE recipient_id IN (SELECT id FROM maildt.recipients WHERE name IN ('quiet', 'open'))";
    world.database.query(aged, &[]).unwrap();
    assert_eq!(world.records().of("alice").len(), 2001);
    eventually(s(60), "what is older than a day is gone", || same(&world.records().of("alice").len(), &1));
    assert_eq!(world.records().of("quiet").len(), 1, "the last success stays");
    assert_eq!(world.records().of("open").len(), 1, "what has no result stays");
    world.lab.release(&world.address("open"));
    eventually(s(20), "and gets its result", || world.records().first("open", &["delivered"]));
    app.ready().unwrap();
}
