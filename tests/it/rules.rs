//! The rules for Prometheus: they are sound, tested, explained in the runbooks, and know only what the program exports.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use crate::lab::app::Recipient;
use crate::lab::policy::{Fate, Stage};
use crate::lab::tools::{ask, repository, tool};
use crate::lab::wait::{eventually, s, so};
use crate::lab::world::World;

/// Metrics and label values that the rules know and the program does not show, with the reason.
const NOT_SHOWN: [(&str, &str); 3] = [
    ("maildt_auth_results_total", "reserved: the program does not read Authentication-Results yet"),
    ("maildt_auth_results_total result=fail", "as the metric"),
    ("maildt_auth_results_total result=pass", "as the metric"),
];

/// One rule, as it stands in its file.
struct Rule {
    /// Of the alert; `None` for a recording rule.
    alert: Option<String>,
    text: String,
}

impl Rule {
    /// The expression, which stands between its key and the next one, and the queries in the texts.
    fn expressions(&self) -> String {
        let from = self.text.find("expr:").expect("a rule has an expression");
        let text = &self.text[from + "expr:".len()..];
        let ends = ["\n        for:", "\n        labels:", "\n        annotations:", "\n      #", "\n  #"];
        let (expression, rest) =
            text.split_at(ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len()));
        let queries = rest.lines().filter(|line| line.contains("| query"));
        [expression].into_iter().chain(queries).collect::<Vec<_>>().join("\n")
    }
}

fn read(directory: &str) -> String {
    let mut files: Vec<_> =
        fs::read_dir(repository(directory)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read_to_string(file).unwrap()).collect::<Vec<_>>().join("\n")
}

fn rules() -> Vec<Rule> {
    let text = read("prometheus/rules");
    let starts: Vec<usize> = ["\n      - alert: ", "\n      - record: "]
        .iter()
        .flat_map(|start| text.match_indices(start).map(|(at, _)| at))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let rules: Vec<Rule> = starts
        .iter()
        .zip(ends)
        .map(|(from, to)| {
            let text = text[*from..to].split("\ngroups:").next().unwrap().to_owned();
            let alert = text.trim_start().strip_prefix("- alert: ");
            Rule { alert: alert.and_then(|rest| rest.lines().next()).map(str::to_owned), text }
        })
        .collect();
    assert!(rules.len() > 30, "only {} rules were read", rules.len());
    rules
}

#[test]
fn promtool_finds_the_rules_sound_and_their_tests_pass() {
    let Some(promtool) =
        tool("promtool", "prometheus", "promtool_finds_the_rules_sound_and_their_tests_pass")
    else {
        return;
    };
    let (good, said) =
        ask(Command::new(&promtool).args(["check", "config"]).arg(repository("prometheus/prometheus.yml")));
    assert!(good && said.contains("3 rule files found"), "{said}");
    for file in fs::read_dir(repository("prometheus/tests")).unwrap() {
        let (good, said) = ask(Command::new(&promtool).args(["test", "rules"]).arg(file.unwrap().path()));
        assert!(good, "{said}");
    }
}

#[test]
fn every_alert_has_a_text_a_runbook_and_both_kinds_of_test() {
    let tests = read("prometheus/tests");
    let runbooks = fs::read_to_string(repository("docs/runbooks.md")).unwrap();
    let mut alerts = BTreeSet::new();
    for rule in rules() {
        let Some(alert) = rule.alert else { continue };
        for key in ["summary:", "description:", "severity:"] {
            assert!(rule.text.contains(&format!("          {key} ")), "{alert} has no {key}");
        }
        let link = format!("runbook_url: docs/runbooks.md#{}\n", alert.to_lowercase());
        assert!(rule.text.contains(&link), "{alert} does not link to its runbook");
        assert!(
            tests.contains(&format!("alertname: {alert}\n        exp_alerts:")),
            "{alert} has no test in which it fires"
        );
        let is_silent = tests.contains(&format!("alertname: {alert}}}"));
        assert!(is_silent || alert == "Watchdog", "{alert} has no test in which it does not fire");
        alerts.insert(alert);
    }
    let explained: BTreeSet<String> =
        runbooks.lines().filter_map(|line| line.strip_prefix("## ")).map(str::to_owned).collect();
    assert_eq!(alerts, explained, "alerts, and the sections of docs/runbooks.md");
}

/// A metric in an expression, with what it asks of its labels.
#[derive(Debug, PartialEq)]
struct Selector<'a> {
    name: &'a str,
    labels: Vec<(&'a str, Vec<&'a str>)>,
}

fn selectors(expression: &str) -> Vec<Selector<'_>> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find("maildt_") {
        let start = rest[..at].rfind(|c| !is_name(c)).map_or(0, |before| before + 1);
        let end = rest[at..].find(|c| !is_name(c)).map_or(rest.len(), |length| at + length);
        let name = &rest[start..end];
        rest = &rest[end..];
        let labels =
            rest.strip_prefix('{').and_then(|labels| labels.split_once('}')).map_or("", |both| both.0);
        let labels = labels.split(", ").filter_map(|label| {
            let (key, value) = label.split_once('=')?;
            let values: Vec<&str> = value.trim_matches(['~', '"', '\'']).split('|').collect();
            // In the texts a template fills some in.
            (values != ["%q"]).then(|| (key.trim_end_matches('!'), values))
        });
        found.push(Selector { name, labels: labels.collect() });
    }
    found
}

#[test]
fn selectors_are_read_with_their_labels() {
    let text = "sum(increase(maildt_a_total{r=~\"x|y\", s!=\"z\"}[1h])) > job:maildt_b:sum / maildt_c";
    let labels = vec![("r", vec!["x", "y"]), ("s", vec!["z"])];
    let plain = |name| Selector { name, labels: Vec::new() };
    let first = Selector { name: "maildt_a_total", labels };
    assert_eq!(selectors(text), [first, plain("job:maildt_b:sum"), plain("maildt_c")]);
}

#[test]
fn the_rules_know_only_what_the_program_exports() {
    let Some(world) = World::new("the_rules_know_only_what_the_program_exports") else { return };
    world
        .lab
        .policy
        .set(&world.address("bob"), Fate::Refused(Stage::Rcpt, "550 5.1.1 no such user".to_owned()));
    let app = ["alice", "bob"]
        .into_iter()
        .fold(world.setup_with_tls(), |setup, name| {
            setup.recipient(Recipient::new(name, &world.address(name)))
        })
        .start();
    let page = eventually(s(30), "it has sent, received and been refused", || {
        let page = app.metrics()?.text;
        let lines = ["result=\"delivered\"} 1", "result=\"send_failed\"} 1", "protocol=\"imap\""];
        so(lines.iter().all(|line| page.contains(line)), || page.clone())?;
        Ok(page)
    });
    let series: Vec<&str> = page.lines().filter(|line| !line.starts_with('#')).collect();
    let rules = rules();
    let recorded: BTreeSet<&str> = rules
        .iter()
        .filter_map(|rule| rule.text.trim_start().strip_prefix("- record: ")?.lines().next())
        .collect();
    let mut unknown = BTreeSet::new();
    for rule in &rules {
        assert!(!rule.text.contains("le="), "no literal bucket: Prometheus 3 writes it in another way");
        for Selector { name, labels } in selectors(&rule.expressions()) {
            if name.contains(':') {
                assert!(recorded.contains(name), "{name} is not recorded");
                continue;
            }
            let of_name = |line: &&&str| {
                line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
            };
            if !series.iter().any(|line| of_name(&line)) {
                unknown.insert(name.to_owned());
            }
            for (key, value) in labels.iter().flat_map(|(key, values)| values.iter().map(move |v| (key, v))) {
                let shown = format!("{key}=\"{value}\"");
                if !series.iter().filter(of_name).any(|line| line.contains(&shown)) {
                    unknown.insert(format!("{name} {key}={value}"));
                }
            }
        }
    }
    let expected: BTreeSet<String> = NOT_SHOWN.iter().map(|(what, _)| (*what).to_owned()).collect();
    assert_eq!(unknown, expected, "known to the rules and not exported, and the exceptions");
}
