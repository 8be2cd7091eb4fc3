//! The database's clock is set: no burst, no false verdict, and probes go on.

use std::time::Instant;

use crate::lab::app::{App, Recipient};
use crate::lab::ground::not_run;
use crate::lab::policy::Fate;
use crate::lab::postgres::Cluster;
use crate::lab::wait::{eventually, s, same, so, throughout};
use crate::lab::world::World;

fn tokens(world: &World) -> usize {
    world.smtp().tokens_sent().len()
}

fn nothing_wrong(app: &App) -> Result<(), String> {
    let scrape = app.metrics()?;
    for result in ["missing", "late", "send_failed", "bounced", "inconclusive"] {
        let wrong: f64 = (0..4)
            .map(|n| {
                scrape.count(&format!("maildt_probe_results_total{{recipient=\"r{n}\",result=\"{result}\"}}"))
            })
            .sum();
        same(&(result, wrong), &(result, 0.0))?;
    }
    Ok(())
}

/// Every recipient gets another probe soon.
fn go_on(world: &World) {
    let count =
        |name: &str| Ok::<_, String>(world.records().read()?.iter().filter(|p| p.recipient == name).count());
    for name in ["r0", "r1", "r2", "r3"] {
        let before = count(name).unwrap();
        eventually(s(20), "probes go on", || so(count(name)? > before, || format!("none for {name}")));
    }
}

fn clock_is_set(test: &str, offset: &str) {
    let (cluster, clock) = match Cluster::with_clock() {
        Ok(both) => both,
        Err(why) => return not_run(test, &why),
    };
    let Some(world) = World::on(test, &cluster) else { return };
    for name in ["held", "lost"] {
        world.lab.policy.set(&world.address(name), if name == "held" { Fate::Held } else { Fate::Lost });
    }
    let names: Vec<String> = (0..4).map(|n| format!("r{n}")).collect();
    let app = world
        .setup()
        .limit("interval_min", "\"3s\"")
        .recipients(
            names.iter().map(|n| Recipient::new(n, &world.address(n)).interval("6s").threshold("20s")),
        )
        .recipient(Recipient::new("held", &world.address("held")).threshold("25s"))
        .recipient(Recipient::new("lost", &world.address("lost")).threshold("12s"))
        .start();
    eventually(s(20), "all are accepted", || {
        world.records().first("held", &["accepted"])?;
        world.records().first("lost", &["accepted"])?;
        names.iter().try_for_each(|n| world.records().first(n, &["delivered"]).map(drop))
    });
    let held = Instant::now();
    let true_time = world.records().now().unwrap();
    let before = tokens(&world);
    clock.set(offset);
    eventually(s(5), "the database's clock is set", || {
        so((world.records().now()? - true_time).abs() > 3000.0, || "not yet".to_owned())
    });
    // Two intervals later each recipient has had at most two or three more, not six hundred.
    throughout(s(10), "nothing is misjudged", || nothing_wrong(&app));
    let sent = tokens(&world) - before;
    assert!(sent <= 4 * 3 + 2, "{sent} probes in 10 s after the clock was set");
    // The deadline of the held one has not come, whatever the database's clock says.
    assert!(held.elapsed() < s(22));
    world.records().first("held", &["accepted"]).unwrap();
    world.lab.release(&world.address("held"));
    eventually(s(10), "it is delivered in time", || world.records().first("held", &["delivered"]));
    eventually(s(20), "the lost one is missing in its time", || world.records().first("lost", &["missing"]));
    go_on(&world);
    clock.set("+0");
    let back = tokens(&world);
    throughout(s(8), "nothing is misjudged", || nothing_wrong(&app));
    let sent = tokens(&world) - back;
    assert!(sent <= 4 * 3 + 2, "{sent} probes in 8 s after the clock was set again");
    go_on(&world);
    app.healthy().unwrap();
}

#[test]
fn a_database_clock_set_forward_makes_no_burst_and_no_false_verdict() {
    clock_is_set("a_database_clock_set_forward_makes_no_burst_and_no_false_verdict", "+3600s");
}

#[test]
fn a_database_clock_set_back_makes_no_pause_and_no_false_verdict() {
    clock_is_set("a_database_clock_set_back_makes_no_pause_and_no_false_verdict", "-3600s");
}
