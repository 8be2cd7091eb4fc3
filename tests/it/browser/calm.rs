//! Nothing jumps or flickers while the board changes.

use super::{log_in, opened};
use crate::lab::chromium::{Scheme, Tab};
use crate::lab::gallery;
use crate::lab::postgres::Database;
use crate::lab::wait::{eventually, s, so};
use crate::web_board::probe;

/// Counts how far what is seen moves without having been asked to, as browsers measure it (Layout Instability).
const COUNT_SHIFTS: &str = "window.shifted = 0;
    new PerformanceObserver((list) => {
      for (const shift of list.getEntries()) if (!shift.hadRecentInput) window.shifted += shift.value;
    }).observe({ type: 'layout-shift', buffered: true });";

fn shifted(tab: &Tab) -> f64 {
    tab.script("return window.shifted").unwrap().as_f64().unwrap()
}

fn id(database: &Database, name: &str) -> i32 {
    database.query("select id from maildt.recipients where name = $1", &[&name]).unwrap()[0].get(0)
}

/// A probe that arrives, and its row on the screen.
fn arrives(tab: &Tab, database: &Database, name: &str, latency_ms: u32, shown: &str) {
    let id = id(database, name);
    let values = format!("'delivered', 'delivered', clock_timestamp(), {latency_ms}, 'inbox'");
    probe(database, id, "state, result, arrived_at, latency_ms, placement", &values);
    tab.reads(&format!("#r{id} .latency"), shown);
}

#[test]
fn a_board_that_changes_does_not_shift() {
    let Some((app, database, tab)) = opened("layout shifts of the board", |setup| setup) else { return };
    app.await_active();
    gallery::fill(&database);
    for (width, height) in [(1280, 900), (360, 740)] {
        tab.resize(width, height);
        if width == 1280 {
            log_in(&tab, &app, "/");
        }
        tab.script("location.reload()").unwrap();
        tab.reads("#mark", "live");
        tab.script(COUNT_SHIFTS).unwrap();
        for (name, latency_ms, shown) in [
            ("hello", 16, "0.02 s"),
            ("invoices", 12_345, "12 s"),
            ("accounts", 999, "1.0 s"),
            ("warehouse", 59_949, "60 s"),
            ("hello", 4_321, "4.3 s"),
        ] {
            arrives(&tab, &database, name, latency_ms, shown);
        }
        let shift = shifted(&tab);
        eprintln!("five changes shift the board by {shift:.4} at {width} px");
        assert!(shift < 0.02, "the board has shifted by {shift} at {width} px");
        tab.script("document.body.prepend('x', document.createElement('hr'))").unwrap();
        eventually(s(5), "the measure measures", || so(shifted(&tab) > 0.02, || "no shift".to_owned()));
    }
}

#[test]
fn whoever_wants_no_motion_gets_none() {
    let Some((app, database, tab)) = opened("reduced motion", |setup| setup) else { return };
    app.await_active();
    gallery::fill(&database);
    log_in(&tab, &app, "/");
    tab.reads("#mark", "live");
    let moves = |tab: &Tab| {
        let moving =
            tab.script("return document.querySelector('tr.fresh') && document.getAnimations().length");
        moving.unwrap().as_u64()
    };
    arrives(&tab, &database, "hello", 7_000, "7.0 s");
    eventually(s(2), "a new row glows", || so(moves(&tab).is_some_and(|n| n > 0), || "no".to_owned()));
    tab.prefer(Scheme::Light, true);
    arrives(&tab, &database, "hello", 8_000, "8.0 s");
    assert_eq!(moves(&tab), Some(0));
}

#[test]
fn a_thousand_recipients_take_the_browser_less_than_a_second() {
    let Some((app, database, tab)) = opened("a thousand recipients in a browser", |setup| setup) else {
        return;
    };
    app.await_active();
    gallery::fill_with(&database, 1000);
    database.query("analyze maildt.probes", &[]).unwrap();
    log_in(&tab, &app, "/");
    tab.reads("h1", "Mail arrives at all 1,000 recipients.");
    // In processor time: other tests run at the same time.
    tab.devtools("Performance.enable", &serde_json::json!({ "timeDomain": "threadTicks" }));
    let worked = || {
        let metrics = tab.devtools("Performance.getMetrics", &serde_json::json!({}));
        let all = metrics["metrics"].as_array().unwrap();
        all.iter().find(|metric| metric["name"] == "TaskDuration").unwrap()["value"].as_f64().unwrap()
    };
    let took = (0..3).map(|_| {
        let before = worked();
        tab.go(&super::at(&app, "/"));
        tab.reads("#mark", "live");
        let after = worked();
        if after > before { after - before } else { after }
    });
    let best = took.fold(f64::INFINITY, f64::min);
    eprintln!("a page of a thousand recipients takes the browser {best:.2} s of a processor");
    assert!(best < 1.0, "{best} s");
    let id = id(&database, "branch 0500");
    probe(&database, id, "state, result", "'missing', 'missing'");
    tab.reads("h1", "Mail does not arrive at 1 of 1,000 recipients.");
}
