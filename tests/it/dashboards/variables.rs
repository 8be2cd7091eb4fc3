//! Grafana's variables, put into a query as Grafana does it.

use std::time::Duration;

use super::bundle::{Dashboard, Query};

/// What is chosen on top of a dashboard.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// Of a variable that is a choice of several; empty: all.
    pub job: Vec<String>,
    pub instance: Vec<String>,
    pub recipient: Vec<String>,
    pub window: &'static str,
    /// From the left to the right edge.
    pub range: Duration,
    /// Between two points.
    pub step: Duration,
    /// As the data source has it.
    pub scrape_interval: Duration,
}

impl Chosen {
    /// The expression that Prometheus gets.
    ///
    /// # Panics
    /// When a variable stays.
    pub fn put_into(&self, dashboard: &Dashboard, query: &Query) -> String {
        self.put(dashboard, &query.expr, query.least_step.map(Duration::from_secs))
    }

    /// The same for a text that belongs to no panel.
    pub fn put(&self, dashboard: &Dashboard, expr: &str, least_step: Option<Duration>) -> String {
        let step = self.step.max(least_step.unwrap_or_default());
        let rate_interval = (step + self.scrape_interval).max(self.scrape_interval * 4);
        let seconds = |duration: Duration| format!("{}s", duration.as_secs());
        let done = [
            ("__rate_interval", seconds(rate_interval)),
            ("__interval", seconds(step)),
            ("__range", seconds(self.range)),
            ("window", self.window.to_owned()),
            ("job", matched(dashboard, "job", &self.job)),
            ("instance", matched(dashboard, "instance", &self.instance)),
            ("recipient", matched(dashboard, "recipient", &self.recipient)),
        ]
        .iter()
        .fold(expr.to_owned(), |expr, (name, value)| expr.replace(&format!("${name}"), value));
        assert!(!done.contains('$'), "a variable without a value in {done}");
        done
    }
}

/// A choice of several is a regular expression, escaped for one inside of a string; of one it is the plain text.
fn matched(dashboard: &Dashboard, name: &str, chosen: &[String]) -> String {
    let Some(variable) = dashboard.variable(name) else { return format!("${name}") };
    let several = variable["multi"] == true || variable["includeAll"] == true;
    match (chosen, variable["allValue"].as_str()) {
        ([one], _) if !several => one.replace('\\', "\\\\"),
        ([], Some(all)) if several => all.to_owned(),
        ([one], _) => escaped(one),
        (some, _) => format!("({})", some.iter().map(|one| escaped(one)).collect::<Vec<_>>().join("|")),
    }
}

fn escaped(value: &str) -> String {
    value.chars().fold(String::new(), |mut text, character| {
        match character {
            '\\' => text.push_str(r"\\\\"),
            _ if r"$^*{}[]'+?.()|".contains(character) => {
                text.push_str(r"\\");
                text.push(character);
            }
            _ => text.push(character),
        }
        text
    })
}

#[test]
fn a_name_with_signs_of_regular_expressions_matches_itself() {
    assert_eq!(escaped(r"a+b@x.org\"), r"a\\+b@x\\.org\\\\");
}
