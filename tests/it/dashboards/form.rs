//! The form of the files: what every Grafana since 10 reads, from files as well as by import.

use std::collections::BTreeSet;
use std::fs;

use serde_json::{Value, json};

use super::bundle::{Dashboard, dashboards, grafana, list, text};

/// Every object and array below `value`, with the key that leads to it.
fn visit<'a>(key: &'a str, value: &'a Value, see: &mut impl FnMut(&'a str, &'a Value)) {
    see(key, value);
    match value {
        Value::Object(fields) => fields.iter().for_each(|(key, value)| visit(key, value, see)),
        Value::Array(items) => items.iter().for_each(|item| visit(key, item, see)),
        _ => {}
    }
}

#[test]
fn dashboards_are_classic_and_leave_nothing_for_a_migration_to_do() {
    for Dashboard { name, json } in dashboards() {
        assert_eq!(json["schemaVersion"], 39, "{name}");
        for absent in ["id", "__inputs", "__requires", "__elements", "apiVersion", "spec", "gnetId"] {
            assert!(json.get(absent).is_none(), "{name} has {absent}");
        }
        assert_eq!(json["editable"], false, "{name}");
        assert_eq!(json["graphTooltip"], 1, "{name}: a shared crosshair");
        // Version 40 of the schema makes it a string, 41 takes `time_options` out, 42 hides from tooltips what is hidden, 43
        // replaces the transformation `formatTime`.
        assert!(!text(&json["refresh"]).is_empty(), "{name}");
        assert_eq!(json["timepicker"], json!({}), "{name}");
        visit("", &json, &mut |key, value| {
            let word = value.as_str().unwrap_or(key);
            for old in ["hideFrom", "formatTime", "time_options", "${DS_"] {
                assert!(!word.contains(old), "{name}: {word}");
            }
        });
    }
}

#[test]
fn dashboards_keep_their_names_and_lead_to_one_another() {
    let boards = dashboards();
    let found: Vec<(&str, &str)> =
        boards.iter().map(|board| (text(&board.json["uid"]), text(&board.json["title"]))).collect();
    let stable = [
        ("maildt-overview", "Mail delivery: overview"),
        ("maildt-recipient", "Mail delivery: recipient"),
        ("maildt-service", "MailDT: service"),
    ];
    assert_eq!(found, stable);
    for Dashboard { name, json } in &boards {
        assert_eq!(json["tags"], json!(["maildt"]), "{name}");
        let menu = list(&json["links"]).find(|link| link["type"] == "dashboards").unwrap();
        assert_eq!(menu["tags"], json["tags"], "{name}");
        for on in ["asDropdown", "includeVars", "keepTime"] {
            assert_eq!(menu[on], true, "{name}: {on}");
        }
    }
}

#[test]
fn every_dashboard_has_the_same_variables() {
    for board in dashboards() {
        let names: Vec<&str> = board.variables().iter().map(|variable| text(&variable["name"])).collect();
        let all = ["datasource", "job", "instance", "recipient", "window", "maildt_url"];
        let expected = all.iter().copied().filter(|name| board.name != "service" || *name != "recipient");
        assert_eq!(names, expected.collect::<Vec<_>>(), "{}", board.name);
        let variable = |name: &str| board.variable(name).unwrap();
        assert_eq!(variable("datasource")["type"], "datasource");
        assert_eq!(variable("datasource")["label"], "Data source");
        // Everything would also be every other job: the metrics of the process are not ours alone.
        assert!(variable("job").get("allValue").is_none());
        assert_eq!(variable("instance")["allValue"], ".+");
        assert_eq!(variable("window")["query"], "15m,1h,6h,1d,7d");
        assert_eq!(variable("maildt_url")["query"], "http://localhost:5000");
        for variable in board.variables() {
            let name = format!("{}: {}", board.name, text(&variable["name"]));
            assert!(
                !text(&variable["label"]).is_empty() && !text(&variable["description"]).is_empty(),
                "{name}"
            );
            if variable["type"] == "query" {
                assert_eq!(variable["refresh"], 2, "{name}: looked up when the time range changes");
                assert_eq!(variable["datasource"]["uid"], "${datasource}", "{name}");
            }
            if let (Some(current), options) = (variable["current"]["value"].as_str(), &variable["options"]) {
                let selected: Vec<&str> = list(options)
                    .filter(|option| option["selected"] == true)
                    .map(|option| text(&option["value"]))
                    .collect();
                assert_eq!(selected, [current], "{name}");
            }
        }
    }
}

#[test]
fn variables_that_are_used_are_there() {
    for board in dashboards() {
        let known: BTreeSet<&str> =
            board.variables().iter().map(|variable| text(&variable["name"])).collect();
        let global = ["__interval", "__rate_interval", "__range", "__url_time_range", "__value", "__field"];
        visit("", &board.json, &mut |_, value| {
            let Some(value) = value.as_str() else { return };
            for after in value.split('$').skip(1) {
                let name = after.trim_start_matches('{');
                let end = name.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(name.len());
                let name = &name[..end];
                // `$__all` is a value.
                let there = name == "__all" || known.contains(name) || global.contains(&name);
                assert!(there, "{}: ${name} in {value}", board.name);
            }
        });
    }
}

#[test]
fn provisioning_is_fixed_and_leads_exemplars_to_their_probes() {
    let read = |path: &str| fs::read_to_string(grafana().join("provisioning").join(path)).unwrap();
    let source = read("datasources/maildt.yml");
    for line in [
        "    uid: maildt-prometheus",
        "      timeInterval: 15s",
        "        - name: probe_id",
        // `$$` is Grafana's way to write a `$` that is no variable of the environment.
        "          url: $PUBLIC_URL/probes/$${__value.raw}",
    ] {
        assert!(source.lines().any(|other| other == line), "{line}");
    }
    let provider = read("dashboards/maildt.yml");
    for line in ["    folderUid: maildt", "    allowUiUpdates: false"] {
        assert!(provider.lines().any(|other| other == line), "{line}");
    }
    let path = provider.lines().find_map(|line| line.trim().strip_prefix("path: ")).unwrap();
    assert!(path.starts_with('/') && !path.starts_with("/etc/grafana/provisioning"), "{path}");
}
