//! What every panel and every query must have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use maildt::domain::verdict::Standing;
use serde_json::Value;

use super::bundle::{Dashboard, Query, dashboards, list, text};
use super::promql::{Selector, selectors};
use super::variables::Chosen;
use crate::lab::wait::s;

fn queries() -> impl Iterator<Item = (Dashboard, Query)> {
    dashboards().into_iter().flat_map(|board| {
        let queries = board.queries().into_iter().chain(board.annotations()).collect::<Vec<_>>();
        queries
            .into_iter()
            .map(move |query| (Dashboard { name: board.name, json: board.json.clone() }, query))
    })
}

/// The selectors of a query, its variables left as they are but for those in places where only a number may stand.
pub fn selected(query: &Query) -> Vec<Selector> {
    let expr = ["$__rate_interval", "$__range", "$window"]
        .iter()
        .fold(query.expr.clone(), |expr, name| expr.replace(name, "5m"));
    selectors(&expr).unwrap_or_else(|e| panic!("{}: {e}: {expr}", query.place()))
}

#[test]
fn every_query_is_promql_whatever_is_chosen() {
    let several = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for (board, query) in queries() {
        for recipients in [&[][..], &["a+b@example.org"], &["a+b@example.org", "(x)|y", r"back\slash"]] {
            let chosen = Chosen {
                job: several(&["maildt"]),
                instance: several(&[]),
                recipient: several(if board.name == "recipient" { &["a+b@example.org"] } else { recipients }),
                window: "15m",
                range: s(3600),
                step: s(15),
                scrape_interval: s(15),
            };
            let expr = chosen.put_into(&board, &query);
            selectors(&expr).unwrap_or_else(|e| panic!("{}: {e}: {expr}", query.place()));
        }
    }
}

#[test]
fn every_panel_says_what_it_shows() {
    for board in dashboards() {
        let mut titles = BTreeSet::new();
        for panel in board.views() {
            let title = text(&panel["title"]);
            let place = format!("{}: \"{title}\"", board.name);
            assert!(!title.is_empty() && titles.insert(title), "{place}: a title of its own");
            let description = text(&panel["description"]);
            assert!(!description.is_empty() && description.ends_with('.'), "{place}: {description:?}");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{place}: a unit");
            for datasource in list(&panel["targets"]).chain([panel]).map(|of| &of["datasource"]) {
                assert_eq!(datasource["type"], "prometheus", "{place}");
                assert_eq!(datasource["uid"], "${datasource}", "{place}");
            }
            let refs: Vec<&str> = list(&panel["targets"]).map(|target| text(&target["refId"])).collect();
            let distinct: BTreeSet<&str> = refs.iter().copied().collect();
            assert!(!refs.is_empty() && distinct.len() == refs.len(), "{place}: {refs:?}");
        }
        for row in board.panels().iter().filter(|panel| panel["type"] == "row") {
            assert!(row["collapsed"] == false && !text(&row["title"]).is_empty(), "{}: {row}", board.name);
        }
    }
}

#[test]
fn every_selector_carries_job_and_instance() {
    for (_, query) in queries() {
        let found = selected(&query);
        assert!(!found.is_empty(), "{}", query.place());
        for selector in found {
            for label in ["job", "instance"] {
                // An alert that is about a whole job has no instance.
                let or_none = if selector.metric == "ALERTS" { "|" } else { "" };
                let wanted = format!("${label}{or_none}");
                let has = selector.matcher(label).is_some_and(|m| m.regex && !m.not && m.value == wanted);
                assert!(has, "{}: {} without {label}=~\"{wanted}\"", query.place(), selector.metric);
            }
        }
    }
    for board in dashboards() {
        for (name, selector, label) in board.lookups() {
            let found = selectors(selector).unwrap();
            let narrowed = ["job", "instance"].iter().filter(|by| found[0].matcher(by).is_some()).count();
            let expected = match name {
                "job" => 0,
                "instance" => 1,
                _ => 2,
            };
            assert_eq!((name, narrowed), (label, expected), "{}: {selector}", board.name);
        }
    }
}

#[test]
fn counters_are_read_as_increase_or_rate_and_buckets_by_no_literal_bound() {
    for (_, query) in queries() {
        for selector in selected(&query) {
            let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| selector.metric.ends_with(suffix));
            let grows = ends(&["_total", "_bucket", "_sum", "_count"]);
            let as_growth = matches!(selector.function, Some("increase" | "rate"));
            assert_eq!(grows, as_growth, "{}: {}", query.place(), selector.metric);
            // Prometheus 3 writes 60.0 where 2 writes 60.
            assert!(selector.matcher("le").is_none(), "{}", query.place());
        }
    }
}

#[test]
fn what_is_true_now_is_asked_for_now() {
    for board in dashboards() {
        for panel in board.views() {
            // The last value of a range may be long gone.
            let now = matches!(text(&panel["type"]), "stat" | "table" | "bargauge");
            for target in list(&panel["targets"]) {
                assert_eq!(target["instant"] == true, now, "{}: {}", board.name, panel["title"]);
            }
        }
    }
}

/// The colours of the dark theme by class.
fn colours_of_the_pages() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/assets/maildt.css");
    let css = fs::read_to_string(path).unwrap();
    let (_, dark) = css.split_once("(prefers-color-scheme: dark)").unwrap();
    let variables = dark.split(';').filter_map(|part| part.trim().strip_prefix("--")?.split_once(": "));
    variables
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .take_while(|(name, _)| name != "ok-b")
        .collect()
}

#[test]
fn states_look_as_on_the_pages_and_only_ok_looks_good() {
    let colours = colours_of_the_pages();
    let colour = |state: Standing| {
        let class = if state == Standing::SendFailed { "failed" } else { state.as_str() };
        colours[class].clone()
    };
    let good = colour(Standing::Ok);
    let mut panels = 0;
    for board in dashboards() {
        for panel in board.views() {
            let words = text(&panel["targets"][0]["expr"]).matches("maildt_recipient_state{").count();
            if words < Standing::ALL.len() {
                continue;
            }
            panels += 1;
            let expr = text(&panel["targets"][0]["expr"]);
            let place = format!("{}: {}", board.name, panel["title"]);
            let defaults = std::iter::once(&panel["fieldConfig"]["defaults"]["mappings"]);
            let overrides = list(&panel["fieldConfig"]["overrides"])
                .flat_map(|over| list(&over["properties"]))
                .filter(|property| property["id"] == "mappings")
                .map(|property| &property["value"]);
            let all = |mappings: &&Value| mappings[0]["options"].as_object().is_some_and(|o| o.len() >= 9);
            let mappings =
                defaults.chain(overrides).find(all).unwrap_or_else(|| panic!("{place}: no mapping"));
            for state in Standing::ALL {
                // `7 * (maildt_recipient_state{…, state="send_failed"} == 1)`
                let before = expr.split(&format!("state=\"{}\"", state.as_str())).next().unwrap();
                let number = before.rsplit(" * (maildt_recipient_state").nth(1).unwrap();
                let number = number.rsplit([' ', '(']).next().unwrap();
                let shown = &mappings[0]["options"][number]["color"];
                assert_eq!(shown, &Value::from(colour(state)), "{place}: {}", state.as_str());
                assert!(state == Standing::Ok || colour(state) != good, "{place}: {}", state.as_str());
            }
        }
    }
    assert_eq!(panels, 5, "now, timeline and table of the overview, now and timeline of a recipient");
}
