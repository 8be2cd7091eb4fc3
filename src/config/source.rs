//! Defaults < file < environment, merged by figment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};

use super::parse;
use super::problem::{Fault, Findings, Origin, Place, Problem};
use super::setting::{self, SETTINGS};
use super::table::Table;

const DEFAULTS: &str = "defaults";
const FILE: &str = "file";
const ENVIRONMENT: &str = "environment";

/// All settings with their origins, before any of them is understood.
pub(super) struct Source {
    pub top: Table,
    pub limits: Table,
    /// `[senders.NAME]`, by name.
    pub senders: BTreeMap<String, Table>,
    /// `[mailboxes.NAME]`, by name.
    pub mailboxes: BTreeMap<String, Table>,
    /// `[[recipients]]`, in the order of the file.
    pub recipients: Vec<Table>,
    /// `[[maintenance]]`, in the order of the file.
    pub maintenance: Vec<Table>,
    /// The environment as given, for what is not a setting (`HOME`).
    pub environment: BTreeMap<String, String>,
}

/// A flat layer of texts.
struct Layer {
    name: &'static str,
    values: Dict,
}

impl Provider for Layer {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.name)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// The file's name in messages, and where its relative paths start.
struct FileNames {
    name: String,
    directory: PathBuf,
}

/// Reads and merges all layers.
///
/// # Errors
/// When the file cannot be read or is not TOML: what it would have said is unknown, so nothing else is worth telling.
pub(super) fn read(
    file: Option<&Path>,
    environment: BTreeMap<String, String>,
    findings: &mut Findings,
) -> Result<Source, Problem> {
    let names = FileNames {
        name: file
            .and_then(Path::file_name)
            .map_or_else(|| "maildt.toml".into(), |n| n.to_string_lossy().into_owned()),
        directory: file.and_then(Path::parent).map(Path::to_owned).unwrap_or_default(),
    };
    let from_file = file.map(read_file).transpose()?.unwrap_or_default();
    let figment = Figment::from(Layer { name: DEFAULTS, values: defaults() })
        .merge(Layer { name: FILE, values: from_file })
        .merge(Layer { name: ENVIRONMENT, values: variables(&environment, findings) });
    let mut settings =
        figment.data().ok().and_then(|mut profiles| profiles.remove(&Profile::Default)).unwrap_or_default();

    let limits = table(&mut settings, "limits", &names, findings);
    let senders = named_tables(&mut settings, "senders", &names, findings);
    let mailboxes = named_tables(&mut settings, "mailboxes", &names, findings);
    let recipients = listed_tables(&mut settings, "recipients", &["name", "address"], &names, findings);
    let maintenance = listed_tables(&mut settings, "maintenance", &["name"], &names, findings);
    settings.retain(|key, _| {
        let known = setting::is_file_key(key);
        if !known {
            let remedy = setting::meant_by_key(key).unwrap_or_else(|| "remove it".to_owned());
            findings.refuse(names.key(key, key), Fault::new("is not a known key", remedy));
        }
        known
    });
    let origin = |key: &str, value: &Value| match figment.get_metadata(value.tag()).map(|m| m.name.as_ref()) {
        Some(FILE) => Origin::File(format!("{}:{key}", names.name)),
        Some(ENVIRONMENT) => Origin::Environment,
        _ => Origin::Default,
    };
    let top = Table::top(&settings, &names.directory, origin);
    Ok(Source { top, limits, senders, mailboxes, recipients, maintenance, environment })
}

impl FileNames {
    fn key(&self, setting: &str, key: &str) -> Place {
        Place { setting: setting.to_owned(), origin: Origin::File(format!("{}:{key}", self.name)) }
    }

    fn table(&self, path: &str, dict: &Dict) -> Table {
        Table::nested(path, dict, &self.name, &self.directory)
    }
}

fn defaults() -> Dict {
    let set = SETTINGS.iter().filter(|s| !s.default.is_empty());
    set.map(|s| (s.name.to_ascii_lowercase(), Value::from(s.default))).collect()
}

/// The variables that are settings. Empty ones count as unset; a pair of quotes that an env file left around a value is
/// taken off.
fn variables(environment: &BTreeMap<String, String>, findings: &mut Findings) -> Dict {
    let mut values = Dict::new();
    for (name, value) in environment {
        let place = Place { setting: name.clone(), origin: Origin::Environment };
        if setting::by_variable(name).is_some() {
            let unquoted = without_quotes(value);
            if unquoted.is_some() {
                findings.warn(&place, "the quotes around the value were taken off; remove them there");
            }
            let value = unquoted.unwrap_or(value);
            if !value.trim().is_empty() {
                values.insert(name.to_ascii_lowercase(), Value::from(value));
            }
        } else if value.trim().is_empty() {
            // Unset, as far as anybody can tell.
        } else if let Some(text) = setting::gone(name) {
            findings.warn(&place, format_args!("does nothing: {text}"));
        } else if let Some(right) = setting::meant_by(name).filter(|right| !environment.contains_key(*right))
        {
            findings.warn(&place, format_args!("means nothing to MailDT; did you mean {right}?"));
        }
    }
    values
}

fn without_quotes(value: &str) -> Option<&str> {
    let value = value.trim();
    ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
}

fn read_file(path: &Path) -> Result<Dict, Problem> {
    let problem = |reason: String, remedy: &str| Problem {
        place: Place { setting: "--config".to_owned(), origin: Origin::File(path.display().to_string()) },
        fault: Fault::new(reason, remedy),
    };
    let text = std::fs::read_to_string(path)
        .map_err(|e| problem(format!("cannot read it: {e}"), "name a readable TOML file"))?;
    let mut dict = Toml::string(&text)
        .data()
        .map_err(|e| problem(not_toml(&e.to_string()), "correct the file there"))?
        .remove(&Profile::Default)
        .unwrap_or_default();
    dict.retain(|_, value| !value.as_str().is_some_and(|text| text.trim().is_empty()));
    Ok(dict)
}

/// The place of a syntax error. The parser's own words quote the line, which may hold a password.
fn not_toml(message: &str) -> String {
    let place = message.lines().next().and_then(|line| line.split_once("at ")).map_or("", |(_, place)| place);
    let reason = if message.contains("duplicate key") { "a key is there twice" } else { "is not valid TOML" };
    if place.starts_with("line ") { format!("{place}: {reason}") } else { reason.to_owned() }
}

fn table(settings: &mut Dict, key: &str, names: &FileNames, findings: &mut Findings) -> Table {
    match settings.remove(key) {
        None => names.table(key, &Dict::new()),
        Some(Value::Dict(_, dict)) => names.table(key, &dict),
        Some(_) => {
            findings
                .refuse(names.key(key, key), Fault::new("is not a table", format!("write it as [{key}]")));
            names.table(key, &Dict::new())
        }
    }
}

fn named_tables(
    settings: &mut Dict,
    key: &str,
    names: &FileNames,
    findings: &mut Findings,
) -> BTreeMap<String, Table> {
    let not_a_table = || Fault::new("is not a table", format!("write it as [{key}.NAME]"));
    let dict = match settings.remove(key) {
        None => return BTreeMap::new(),
        Some(Value::Dict(_, dict)) => dict,
        Some(_) => {
            findings.refuse(names.key(key, key), not_a_table());
            return BTreeMap::new();
        }
    };
    let mut tables = BTreeMap::new();
    for (name, value) in dict {
        let path = format!("{key}.{name}");
        let place = Place { setting: path.clone(), origin: Origin::File(names.name.clone()) };
        let Some(dict) = value.as_dict() else {
            findings.refuse(place, not_a_table());
            continue;
        };
        if findings.keep(&place, parse::account_name(&name)).is_some() {
            tables.insert(name, names.table(&path, dict));
        }
    }
    tables
}

/// `[[KEY]]`; in messages each table is called by the first of the fields `called_by` that it has.
fn listed_tables(
    settings: &mut Dict,
    key: &str,
    called_by: &[&str],
    names: &FileNames,
    findings: &mut Findings,
) -> Vec<Table> {
    let items = match settings.remove(key) {
        None => return Vec::new(),
        Some(Value::Array(_, items)) => items,
        Some(value) => vec![value],
    };
    let mut tables = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let number = index + 1;
        let Some(dict) = item.as_dict() else {
            let each = if key == "recipients" { "recipient" } else { "window" };
            let remedy = format!("write each {each} below a [[{key}]] line");
            let fault = Fault::new("is not a list of tables", remedy);
            findings.refuse(names.key(key, key), fault);
            return Vec::new();
        };
        let called = called_by.iter().find_map(|field| dict.get(*field)?.as_str());
        let path = match called {
            Some(called) => format!("{key}[{}]", parse::shown(called)),
            None => format!("{key}[{number}]"),
        };
        tables.push(names.table(&path, dict));
    }
    tables
}
