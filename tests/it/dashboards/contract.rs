//! Dashboards ask only for what the program shows, and show all that it has.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use super::bundle::{Query, dashboards};
use super::lint::selected;
use super::promql::{Selector, selectors};
use super::scene::scene;
use crate::lab::wait::{Look, eventually, s, so};

/// Made by Prometheus itself.
const OF_PROMETHEUS: [&str; 4] = ["up", "scrape_duration_seconds", "scrape_samples_scraped", "ALERTS"];

/// Metrics that no dashboard and no rule needs, with the reason.
const EXEMPT: [(&str, &str); 0] = [];

/// What the program shows: the metrics by name, each with its labels and their values.
struct Shown(BTreeMap<String, BTreeMap<String, BTreeSet<String>>>);

impl Shown {
    /// Reads the text format 0.0.4. Families without a sample are there by their head alone.
    fn read(text: &str) -> Self {
        let mut metrics: BTreeMap<String, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for line in text.lines() {
            if let Some(head) = line.strip_prefix("# TYPE ") {
                let (name, kind) = head.split_once(' ').unwrap();
                if kind == "histogram" {
                    for suffix in ["_bucket", "_sum", "_count"] {
                        metrics.entry(format!("{name}{suffix}")).or_default();
                    }
                } else {
                    metrics.entry(name.to_owned()).or_default();
                }
            } else if let Some((name, labels)) = line.split_once('{') {
                let labels = labels.rsplit_once('}').unwrap().0;
                let of_metric = metrics.entry(name.to_owned()).or_default();
                for pair in labels.split("\",") {
                    let (label, value) = pair.split_once("=\"").unwrap();
                    let value = value.trim_end_matches('"').to_owned();
                    of_metric.entry(label.to_owned()).or_default().insert(value);
                }
            }
        }
        Self(metrics)
    }

    fn has(&self, selector: &Selector) -> Look {
        let metric = &selector.metric;
        let labels = self.0.get(metric).ok_or_else(|| format!("{metric} is not exported"))?;
        for matcher in &selector.matchers {
            if ["job", "instance"].contains(&matcher.label.as_str()) || matcher.value.contains('$') {
                continue;
            }
            let values =
                labels.get(&matcher.label).ok_or_else(|| format!("{metric} has no {}", matcher.label))?;
            for value in matcher.literals() {
                so(values.contains(value), || {
                    format!("{metric} has no {}=\"{value}\", but {values:?}", matcher.label)
                })?;
            }
        }
        Ok(())
    }
}

fn asked() -> Vec<(Query, Selector)> {
    let of_board = |board: super::bundle::Dashboard| {
        let lookups: Vec<(Query, Selector)> = board
            .lookups()
            .iter()
            .flat_map(|(name, selector, _)| {
                let query = Query {
                    dashboard: board.name,
                    title: format!("variable {name}"),
                    expr: (*selector).to_owned(),
                    instant: false,
                    exemplars: false,
                    least_step: None,
                };
                selectors(selector).unwrap().into_iter().map(move |found| (query.clone(), found))
            })
            .collect();
        let queries = board.queries().into_iter().chain(board.annotations());
        let of_query = |query: Query| selected(&query).into_iter().map(move |found| (query.clone(), found));
        queries.flat_map(of_query).chain(lookups).collect::<Vec<_>>()
    };
    dashboards().into_iter().flat_map(of_board).collect()
}

#[test]
fn every_metric_and_label_value_that_is_asked_for_is_exported() {
    let Some(scene) = scene("every_metric_and_label_value_that_is_asked_for_is_exported") else { return };
    eventually(s(50), "all of it is exported", || {
        let shown = Shown::read(&scene.exposition()?);
        let wanting: Vec<String> = asked()
            .iter()
            .filter(|(_, selector)| !OF_PROMETHEUS.contains(&selector.metric.as_str()))
            .filter_map(|(query, selector)| {
                Some(format!("{}: {}", query.place(), shown.has(selector).err()?))
            })
            .collect();
        so(wanting.is_empty(), || wanting.join("\n"))
    });
}

#[test]
fn every_exported_metric_is_shown_or_alerted_on_or_exempt() {
    let Some(scene) = scene("every_exported_metric_is_shown_or_alerted_on_or_exempt") else { return };
    let shown = Shown::read(&scene.exposition().unwrap());
    let rules = rules();
    let asked: BTreeSet<String> = asked().into_iter().map(|(_, selector)| selector.metric).collect();
    // A histogram is used by any of its parts.
    let whole = |name: &str| {
        let part = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
        part.unwrap_or(name).to_owned()
    };
    let used: BTreeSet<String> = asked.iter().map(|name| whole(name)).collect();
    for name in shown.0.keys().map(|name| whole(name)) {
        let exempt = EXEMPT.iter().any(|(other, _)| *other == name);
        let is_used = used.contains(&name) || rules.contains(&name);
        assert!(is_used || exempt, "{name} is exported and nobody looks at it");
        assert!(!(is_used && exempt), "{name} is used and no exception any more");
    }
}

#[test]
fn what_belongs_to_a_recipient_follows_the_choice_of_recipients() {
    let Some(scene) = scene("what_belongs_to_a_recipient_follows_the_choice_of_recipients") else { return };
    let shown = Shown::read(&scene.exposition().unwrap());
    for (query, selector) in asked().iter().filter(|(query, _)| query.dashboard != "service") {
        let of_recipient =
            shown.0.get(&selector.metric).is_some_and(|labels| labels.contains_key("recipient"));
        if !of_recipient || query.title.starts_with("variable") {
            continue;
        }
        let follows = selector.matcher("recipient").is_some_and(|matcher| matcher.value == "$recipient");
        assert!(follows, "{}: {} of all recipients", query.place(), selector.metric);
        // One name of one recipient is no regular expression: a name may hold any sign.
        let regex = selector.matcher("recipient").unwrap().regex;
        assert_eq!(regex, query.dashboard == "overview", "{}: {}", query.place(), selector.metric);
    }
}

/// The text of the rules, where there are any.
fn rules() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("prometheus/rules");
    let files = fs::read_dir(folder).into_iter().flatten();
    files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
}
