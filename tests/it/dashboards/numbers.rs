//! The numbers that panels show, by promtool: at a probe an hour and at one a second, over a restart, and without a probe.

use std::fmt::Write;
use std::fs;
use std::process::Command;

use super::bundle::dashboards;
use super::variables::Chosen;
use crate::lab::ground::ground;
use crate::lab::tools::{ask, tool};
use crate::lab::wait::s;

/// The scrape interval of these series.
const MINUTE: u64 = 60;

/// A counter that is scraped each minute for `minutes`, and how much it has grown at each of them.
fn counter(series: &str, minutes: u64, at: impl Fn(u64) -> u64) -> String {
    let values: Vec<String> = (0..=minutes).map(|minute| at(minute).to_string()).collect();
    format!("      - series: '{series}'\n        values: '{}'\n", values.join(" "))
}

/// The expression of a panel with one query, for all recipients and `window`.
fn shown(dashboard: &str, title: &str, window: &'static str) -> String {
    let board = dashboards().into_iter().find(|board| board.name == dashboard).unwrap();
    let query = board.queries().into_iter().find(|query| query.title == title).unwrap();
    let chosen = Chosen {
        job: vec!["maildt".to_owned()],
        instance: Vec::new(),
        recipient: vec!["a".to_owned()],
        window,
        range: s(86_400),
        step: s(MINUTE),
        scrape_interval: s(MINUTE),
    };
    chosen.put_into(&board, &query)
}

/// What the panels show at the end of a scene, to three decimals.
struct Scene {
    series: String,
    end_minute: u64,
    expected: Vec<(&'static str, &'static str, &'static str, Option<f64>)>,
}

impl Scene {
    fn test(&self) -> String {
        let mut text = format!("  - interval: 1m\n    input_series:\n{}    promql_expr_test:\n", self.series);
        for (dashboard, title, window, value) in &self.expected {
            let expr = shown(dashboard, title, window).replace('\n', " ");
            // No probe is no share: not 100 % and not 0 %.
            let (expr, sample) = match value {
                Some(value) => {
                    (format!("round({expr}, 0.001)"), format!("[{{labels: '{{}}', value: {value}}}]"))
                }
                None => (format!("({expr}) >= -Inf"), "[]".to_owned()),
            };
            let minute = self.end_minute;
            writeln!(
                text,
                "      - expr: {expr:?}\n        eval_time: {minute}m\n        exp_samples: {sample}"
            )
            .unwrap();
        }
        text
    }
}

const OF: &str = "job=\"maildt\",instance=\"i\",recipient=\"a\"";

fn results(minutes: u64, delivered: impl Fn(u64) -> u64, missing: impl Fn(u64) -> u64) -> String {
    let name = |result: &str| format!("maildt_probe_results_total{{{OF},result=\"{result}\"}}");
    // Nobody knows what became of these: they count neither way.
    let unclear = |minute| minute / 120;
    counter(&name("delivered"), minutes, delivered)
        + &counter(&name("missing"), minutes, missing)
        + &counter(&name("inconclusive"), minutes, unclear)
}

fn folders(minutes: u64, inbox: impl Fn(u64) -> u64, junk: impl Fn(u64) -> u64) -> String {
    let name = |folder: &str| format!("maildt_folder_placements_total{{{OF},folder=\"{folder}\"}}");
    counter(&name("inbox"), minutes, inbox) + &counter(&name("junk"), minutes, junk)
}

/// One probe an hour for 40 hours, at half past; the one of the last but two is missing. A quarter lands in Junk.
fn hourly() -> Scene {
    let end = 40 * 60;
    let probes = |minute: u64| (minute + 30) / 60;
    let missing = move |minute: u64| u64::from(minute >= end - 150);
    Scene {
        series: results(end, move |minute| probes(minute) - missing(minute), missing)
            + &folders(
                end,
                move |minute| probes(minute) - probes(minute) / 4,
                move |minute| probes(minute) / 4,
            ),
        end_minute: end,
        expected: vec![
            // 23 of 24, 5 of 6, 1 of 1, and no probe at all.
            ("overview", "In time, $window", "1d", Some(0.958)),
            ("overview", "In time, $window", "6h", Some(0.833)),
            ("overview", "In time, $window", "1h", Some(1.0)),
            ("overview", "In time, $window", "15m", None),
            // One of 40 failed, where one of 100 may.
            ("overview", "Error budget left, 30 days", "1d", Some(-1.5)),
            ("overview", "Share in Junk, $window", "1d", Some(0.25)),
        ],
    }
}

/// A probe a second for two hours, one of 200 missing, with a restart after an hour.
fn each_second() -> Scene {
    let since_start = |minute: u64| if minute < 60 { minute } else { minute - 60 } * MINUTE;
    Scene {
        series: results(120, move |minute| since_start(minute) * 199, since_start),
        end_minute: 120,
        expected: vec![
            ("overview", "In time, $window", "1h", Some(0.995)),
            ("overview", "In time, $window", "15m", Some(0.995)),
            ("overview", "Error budget left, 30 days", "1h", Some(0.5)),
        ],
    }
}

#[test]
fn shares_are_right_at_a_probe_an_hour_and_at_one_a_second() {
    let test = "shares_are_right_at_a_probe_an_hour_and_at_one_a_second";
    let Some(promtool) = tool("promtool", "prometheus", test) else { return };
    let file = ground().directory("numbers").join("tests.yml");
    fs::write(&file, format!("tests:\n{}{}", hourly().test(), each_second().test())).unwrap();
    let (passed, said) = ask(Command::new(promtool).args(["test", "rules"]).arg(&file));
    assert!(passed, "{said}");
}
