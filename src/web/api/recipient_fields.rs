//! The members of a recipient in a request: in the right form here, with the right meaning by [`Config::recipient`].

use serde_json::{Map, Value};

use crate::config::Config;
use crate::domain::recipient::Wanted;

use super::problem::{Part, Problem, Wrong};

/// What kind of JSON value a member takes, besides `null` for its default.
#[derive(Clone, Copy)]
enum Form {
    Text,
    Whole,
    /// Whole seconds, or text such as `5m`.
    Duration,
    Switch,
    Time,
}

/// As the configuration file has them.
const FIELDS: [(&str, Form); 12] = [
    ("address", Form::Text),
    ("name", Form::Text),
    ("sender", Form::Text),
    ("mailbox", Form::Text),
    ("return_mode", Form::Text),
    ("interval", Form::Duration),
    ("alert_threshold", Form::Duration),
    ("alert_after", Form::Whole),
    ("discord", Form::Switch),
    ("email", Form::Switch),
    ("muted_until", Form::Time),
    ("active", Form::Switch),
];

/// Members of our own answers that nobody can set.
const READ_ONLY: [&str; 4] = ["id", "version", "provisioned", "observed"];

impl Form {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Text | Self::Time => value.is_string(),
            Self::Whole => is_whole(value),
            Self::Duration => value.is_string() || is_whole(value),
            Self::Switch => value.is_boolean(),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Text => "must be text",
            Self::Time => "must be text, such as \"2026-01-31T08:00:00Z\"",
            Self::Whole => "must be a whole number",
            Self::Duration => "must be whole seconds, or text such as \"90s\" or \"5m\"",
            Self::Switch => "must be true or false",
        }
    }
}

/// `90` and `90.0` are one number in JSON.
fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

/// What a request wants of a recipient.
///
/// # Errors
/// 422 with everything that is wrong.
pub fn wanted(config: &Config, mut object: Map<String, Value>) -> Result<Wanted, Problem> {
    let mut wrong = Vec::new();
    object.retain(|name, value| {
        let detail = match FIELDS.iter().find(|(known, _)| known == name) {
            Some((_, form)) if value.is_null() || form.fits(value) => return true,
            Some((_, form)) => form.words().to_owned(),
            None if READ_ONLY.contains(&name.as_str()) => "cannot be set; leave it out".to_owned(),
            None => {
                let known: Vec<&str> = FIELDS.iter().map(|(known, _)| *known).collect();
                format!("is not known; known: {}", known.join(", "))
            }
        };
        let name: String = name.chars().take(64).collect();
        wrong.push(Wrong::new(Part::Body, name, detail));
        false
    });
    let is_named = |wrong: &[Wrong], field: &str| wrong.iter().any(|wrong| wrong.is_about(field));
    match config.recipient(&object) {
        Ok(wanted) if wrong.is_empty() => Ok(wanted),
        Ok(_) => Err(Problem::fields(wrong)),
        Err(refusals) => {
            for refusal in refusals {
                if !is_named(&wrong, &refusal.field) {
                    wrong.push(Wrong::new(Part::Body, refusal.field, refusal.fault.to_string()));
                }
            }
            Err(Problem::fields(wrong))
        }
    }
}
