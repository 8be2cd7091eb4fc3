//! A real Prometheus answers every panel, annotation and variable, and has something to say.

use std::time::Duration;

use serde_json::Value;

use super::bundle::{Dashboard, Query, dashboards, list, text};
use super::scene::{SCRAPE_INTERVAL, Scene, scene};
use super::variables::Chosen;
use crate::lab::wait::{Look, eventually, s, so};

/// Panels that have nothing to show here, by dashboard and title, with the reason.
const EMPTY: [(&str, &str, &str); 3] = [
    ("recipient", "Delays of the hops of the last probe", "reserved: the program has no such series yet"),
    ("recipient", "Authentication results", "reserved: the program has no such series yet"),
    ("service", "Connections that failed or were lost", "none was: a panel of what is above 0"),
];

fn is_empty_here(query: &Query) -> bool {
    EMPTY.iter().any(|(dashboard, title, _)| query.dashboard == *dashboard && query.title == *title)
}

/// What is chosen: everything, or, `narrow`, one instance and two jobs. No recipients are all of them.
fn choice(scene: &Scene, narrow: bool, recipients: &[&str]) -> Chosen {
    let (from, to) = scene.span();
    let several = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Chosen {
        job: several(if narrow { &["maildt", "another+one"] } else { &["maildt"] }),
        instance: if narrow { vec![scene.instance()] } else { Vec::new() },
        recipient: several(recipients),
        window: "15m",
        range: Duration::try_from(to.duration_since(from)).unwrap().max(s(5)),
        step: s(1),
        scrape_interval: SCRAPE_INTERVAL,
    }
}

/// The choice with which a panel is looked at, once wide and once narrow.
fn looked_at(scene: &Scene, query: &Query, narrow: bool) -> Chosen {
    let one = narrow || query.dashboard == "recipient";
    choice(scene, narrow, &one.then(|| whose(query)).into_iter().collect::<Vec<_>>())
}

/// Asks as Grafana does.
fn answer(scene: &Scene, query: &Query, expr: &str) -> Look<Value> {
    let (from, to) = scene.span();
    let (from, to) = (from.to_string(), to.to_string());
    if query.exemplars {
        let told = scene.ask("query_exemplars", &[("query", expr), ("start", &from), ("end", &to)])?;
        let first = &told[0]["exemplars"][0]["labels"]["probe_id"];
        so(first.as_str().is_some_and(|id| id.len() == 36), || format!("no probe in an exemplar: {told}"))?;
    }
    let mut told = if query.instant {
        scene.ask("query", &[("query", expr)])?
    } else {
        scene.ask("query_range", &[("query", expr), ("start", &from), ("end", &to), ("step", "1")])?
    };
    Ok(told["result"].take())
}

/// Whether any point of any series is a number.
fn says_something(result: &Value) -> bool {
    let points = |series: &Value| {
        let points: Vec<String> = list(&series["values"])
            .chain([&series["value"]])
            .map(|point| text(&point[1]).to_owned())
            .collect();
        points.into_iter().any(|value| value.parse::<f64>().is_ok_and(f64::is_finite))
    };
    list(result).any(points)
}

#[test]
fn every_panel_and_annotation_has_data_from_a_real_prometheus() {
    let Some(scene) = scene("every_panel_and_annotation_has_data_from_a_real_prometheus") else { return };
    let boards = dashboards();
    let queries =
        |board: &Dashboard| board.queries().into_iter().chain(board.annotations()).collect::<Vec<_>>();
    let of_boards =
        || boards.iter().flat_map(|board| queries(board).into_iter().map(move |query| (board, query)));
    let mut open: Vec<(&Dashboard, Query, bool)> = of_boards()
        .filter(|(_, query)| !is_empty_here(query))
        .flat_map(|(board, query)| [false, true].map(|narrow| (board, query.clone(), narrow)))
        .collect();
    eventually(s(60), "every panel has data", || {
        let mut wanting = Vec::new();
        open.retain(|(board, query, narrow)| {
            let expr = looked_at(&scene, query, *narrow).put_into(board, query);
            let told = answer(&scene, query, &expr)
                .and_then(|result| so(says_something(&result), || "no data".to_owned()))
                .map_err(|why| wanting.push(format!("{}: {why}: {expr}", query.place())));
            told.is_err()
        });
        so(open.is_empty(), || wanting.join("\n"))
    });
    for (board, query) in of_boards().filter(|(_, query)| is_empty_here(query)) {
        let expr = looked_at(&scene, &query, true).put_into(board, &query);
        let result = answer(&scene, &query, &expr).unwrap();
        assert!(!says_something(&result), "{} has data and is no exception any more", query.place());
    }
    for (dashboard, title, _) in EMPTY {
        let there =
            |board: &Dashboard| board.name == dashboard && board.views().iter().any(|p| p["title"] == title);
        assert!(boards.iter().any(there), "{dashboard} has no panel {title}");
    }
}

/// Whose mail shows what is asked for.
fn whose(query: &Query) -> &'static str {
    let of = |metric: &str| query.expr.contains(metric);
    if of("maildt_send_failures_total") {
        "rejected"
    } else if of("ALERTS") || of("folder=\"junk\"") {
        "junk"
    } else if query.title.starts_with("Least in time") {
        "lossy"
    } else {
        "healthy"
    }
}

#[test]
fn every_variable_has_something_to_choose() {
    let Some(scene) = scene("every_variable_has_something_to_choose") else { return };
    for board in dashboards() {
        for (name, selector, label) in board.lookups() {
            let matched = choice(&scene, true, &[]).put(&board, selector, None);
            let expected = match name {
                "job" => "maildt".to_owned(),
                "instance" => scene.instance(),
                _ => "slow".to_owned(),
            };
            eventually(s(30), name, || {
                let values = scene.ask(&format!("label/{label}/values"), &[("match[]", &matched)])?;
                so(list(&values).any(|value| text(value) == expected), || format!("{matched}: {values}"))
            });
        }
    }
}

/// The number that a panel with one value shows.
fn shown(scene: &Scene, dashboard: &str, title: &str, recipient: &[&str]) -> Look<f64> {
    let boards = dashboards();
    let board = boards.iter().find(|board| board.name == dashboard).unwrap();
    let query = board.queries().into_iter().find(|query| query.title == title).unwrap();
    let result = answer(scene, &query, &choice(scene, false, recipient).put_into(board, &query))?;
    text(&result[0]["value"][1]).parse().map_err(|_| format!("{title}: {result}"))
}

#[test]
fn the_first_row_tells_good_from_bad_and_bad_from_unknown() {
    let Some(scene) = scene("the_first_row_tells_good_from_bad_and_bad_from_unknown") else { return };
    let tells = |title: &str, recipient: &[&str], expected: f64| {
        eventually(s(40), title, || {
            let value = shown(&scene, "overview", title, recipient)?;
            so((value - expected).abs() < 1e-6, || {
                format!("{title} of {recipient:?}: {value}, not {expected}")
            })
        });
    };
    tells("Mail now", &["healthy"], 2.0);
    tells("In time, $window", &["healthy"], 1.0);
    tells("Mail now", &["healthy", "rejected"], 7.0);
    tells("Not all right", &["healthy", "rejected", "junk", "bouncing"], 3.0);
    tells("In time, $window", &["rejected"], 0.0);
    tells("Mail now", &["nobody"], 0.0);
}
