//! The dashboards as they are in the repository.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One file of `grafana/dashboards`.
pub struct Dashboard {
    /// The name of the file, without `.json`.
    pub name: &'static str,
    pub json: Value,
}

/// One question to Prometheus.
#[derive(Clone, Debug)]
pub struct Query {
    pub dashboard: &'static str,
    /// The title of its panel.
    pub title: String,
    pub expr: String,
    /// Asked for now, not for the time range.
    pub instant: bool,
    pub exemplars: bool,
    /// The smallest step, in seconds, that the panel allows.
    pub least_step: Option<u64>,
}

impl Query {
    /// Where it stands, for a message.
    pub fn place(&self) -> String {
        format!("{}: \"{}\"", self.dashboard, self.title)
    }
}

/// The dashboards, in the order of the names of their files.
pub fn dashboards() -> Vec<Dashboard> {
    ["overview", "recipient", "service"]
        .map(|name| {
            let text = fs::read_to_string(grafana().join(format!("dashboards/{name}.json"))).unwrap();
            Dashboard { name, json: serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}")) }
        })
        .into()
}

pub fn grafana() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("grafana")
}

/// The elements of an array, none where there is no array.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A string, empty where there is none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Dashboard {
    /// Rows too; none of them is collapsed.
    pub fn panels(&self) -> Vec<&Value> {
        list(&self.json["panels"]).collect()
    }

    /// Those that show something.
    pub fn views(&self) -> Vec<&Value> {
        self.panels().into_iter().filter(|panel| panel["type"] != "row").collect()
    }

    pub fn variables(&self) -> Vec<&Value> {
        list(&self.json["templating"]["list"]).collect()
    }

    pub fn variable(&self, name: &str) -> Option<&Value> {
        self.variables().into_iter().find(|variable| variable["name"] == name)
    }

    /// What its panels ask.
    pub fn queries(&self) -> Vec<Query> {
        let of_panel = |panel: &Value| -> Vec<Query> {
            let ask = |target: &Value| Query {
                dashboard: self.name,
                title: text(&panel["title"]).to_owned(),
                expr: text(&target["expr"]).to_owned(),
                instant: target["instant"] == true,
                exemplars: target["exemplar"] == true,
                least_step: panel["interval"].as_str().map(minutes),
            };
            list(&panel["targets"]).map(ask).collect()
        };
        self.views().into_iter().flat_map(of_panel).collect()
    }

    /// What its annotations ask; Grafana's own one asks nothing.
    pub fn annotations(&self) -> Vec<Query> {
        list(&self.json["annotations"]["list"])
            .filter(|annotation| annotation["builtIn"] != 1)
            .map(|annotation| Query {
                dashboard: self.name,
                title: format!("annotation {}", text(&annotation["name"])),
                expr: text(&annotation["expr"]).to_owned(),
                instant: false,
                exemplars: false,
                least_step: None,
            })
            .collect()
    }

    /// What its variables ask: name, selector and label of `label_values(selector, label)`.
    pub fn lookups(&self) -> Vec<(&str, &str, &str)> {
        self.variables()
            .into_iter()
            .filter(|variable| variable["type"] == "query")
            .map(|variable| {
                let definition = text(&variable["definition"]);
                assert_eq!(variable["query"]["query"], definition, "the same twice");
                let inner = definition.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
                let (selector, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
                (text(&variable["name"]), selector, label)
            })
            .collect()
    }
}

/// `5m` in seconds.
fn minutes(interval: &str) -> u64 {
    interval.strip_suffix('m').and_then(|number| number.parse::<u64>().ok()).unwrap() * 60
}
