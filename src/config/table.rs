//! A group of settings that can be read one by one, wherever each came from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use figment::value::{Dict, Value};

use super::parse;
use super::placeholder;
use super::problem::{Fault, Findings, Origin, Place};
use super::setting;
use crate::secret::Secret;

/// More than any password, key or token needs.
const SECRET_FILE_MAX: usize = 64 * 1024;

/// How the settings of a table are called in messages.
#[derive(Clone)]
enum Naming {
    /// As environment variables with this prefix.
    Variables(&'static str),
    /// As keys of the file below this path.
    Keys(String),
}

impl Naming {
    fn setting(&self, field: &str) -> String {
        match self {
            Self::Variables("") if setting::FILE_ONLY.contains(&field) => field.to_owned(),
            Self::Variables(prefix) => format!("{prefix}{}", field.to_ascii_uppercase()),
            Self::Keys(path) => format!("{path}.{field}"),
        }
    }
}

#[derive(Clone)]
struct Entry {
    value: Value,
    place: Place,
}

/// A value that was read, and where it stood.
pub(super) struct Found<T> {
    pub value: T,
    pub place: Place,
}

/// Settings by field name. What reads a field notes what is wrong with it and answers `None`; [`Table::has`] tells a
/// missing field from a refused one.
#[derive(Clone)]
pub(super) struct Table {
    naming: Naming,
    /// Where relative paths in the file start.
    directory: PathBuf,
    entries: BTreeMap<String, Entry>,
}

impl Table {
    /// The settings outside all tables. `origin` tells for each value where it came from, by its lower-case name.
    pub(super) fn top(dict: &Dict, directory: &Path, origin: impl Fn(&str, &Value) -> Origin) -> Self {
        let entry = |(key, value): (&String, &Value)| {
            let place = Place { setting: Naming::Variables("").setting(key), origin: origin(key, value) };
            (key.clone(), Entry { value: value.clone(), place })
        };
        let entries = dict.iter().filter(|(_, value)| !is_blank(value)).map(entry).collect();
        Self { naming: Naming::Variables(""), directory: directory.to_owned(), entries }
    }

    /// A table of the file; `path` is its name there, such as `senders.work`.
    pub(super) fn nested(path: &str, dict: &Dict, file: &str, directory: &Path) -> Self {
        let entry = |(key, value): (&String, &Value)| {
            let place = Place { setting: format!("{path}.{key}"), origin: Origin::File(file.to_owned()) };
            (key.clone(), Entry { value: value.clone(), place })
        };
        let entries = dict.iter().filter(|(_, value)| !is_blank(value)).map(entry).collect();
        Self { naming: Naming::Keys(path.to_owned()), directory: directory.to_owned(), entries }
    }

    /// The fields of one account among the settings at the top: `prefix` is `SMTP_` or the like.
    pub(super) fn group(&self, prefix: &'static str, fields: &[&str]) -> Self {
        let lower = prefix.to_ascii_lowercase();
        let entries = fields
            .iter()
            .filter_map(|field| {
                Some(((*field).to_owned(), self.entries.get(&format!("{lower}{field}"))?.clone()))
            })
            .collect();
        Self { naming: Naming::Variables(prefix), directory: self.directory.clone(), entries }
    }

    /// Puts the fields of this table over those of `under`. The same field twice in the file is refused: nobody could
    /// tell which one counts.
    pub(super) fn over(mut self, under: Self, findings: &mut Findings) -> Self {
        for (field, entry) in under.entries {
            match self.entries.get(&field) {
                Some(own) if matches!(own.place.origin, Origin::File(_)) => findings.refuse(
                    entry.place,
                    Fault::new(format!("is set a second time by {}", own.place), "remove one of them"),
                ),
                Some(own) if own.place.origin == Origin::Environment => {}
                _ => {
                    self.entries.insert(field, entry);
                }
            }
        }
        self
    }

    /// Adds a field from another table under a name of its own.
    pub(super) fn with(mut self, field: &str, other: &Self, other_field: &str) -> Self {
        if let Some(entry) = other.entries.get(other_field) {
            self.entries.entry(field.to_owned()).or_insert_with(|| entry.clone());
        }
        self
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.entries.contains_key(field)
    }

    /// Whether a secret is given, by itself or as a file.
    pub(super) fn has_secret(&self, field: &str) -> bool {
        self.has(field) || self.has(&format!("{field}_file"))
    }

    /// The place of a field; of a missing one, the place where it should be.
    pub(super) fn place(&self, field: &str) -> Place {
        let unset = || Place { setting: self.naming.setting(field), origin: Origin::Unset };
        self.entries.get(field).map_or_else(unset, |entry| entry.place.clone())
    }

    /// Refuses fields that are not `known`.
    pub(super) fn refuse_unknown(&self, known: &[&str], findings: &mut Findings) {
        for (field, entry) in &self.entries {
            if !known.contains(&field.as_str()) {
                let remedy = match setting::nearest_key(field, known) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("known here: {}", known.join(", ")),
                };
                findings.refuse(entry.place.clone(), Fault::new("is not a known key", remedy));
            }
        }
    }

    /// Text that must be written as text.
    pub(super) fn text(&self, field: &str, findings: &mut Findings) -> Option<String> {
        self.parsed_from(field, findings, text, |text| Ok(text.to_owned()))
    }

    /// Text that means something: a name, a host, a mode.
    pub(super) fn parsed<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        self.parsed_from(field, findings, text, parse)
    }

    /// A number, a duration or a switch: in the file also without quotes.
    pub(super) fn scalar<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        self.parsed_from(field, findings, scalar, parse)
    }

    /// Like [`Table::scalar`], with a value for a field that is not set.
    pub(super) fn scalar_or<T>(
        &self,
        field: &str,
        unset: T,
        findings: &mut Findings,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        if self.has(field) { self.scalar(field, findings, parse) } else { Some(unset) }
    }

    /// What `read` makes of a field that is set: `None` when it was refused, `Some(None)` when it is not set.
    #[expect(
        clippy::option_option,
        reason = "refused and not set must be told apart, and `?` takes off the outer one"
    )]
    pub(super) fn optional<T>(&self, field: &str, read: impl FnOnce(&str) -> Option<T>) -> Option<Option<T>> {
        if self.has(field) { read(field).map(Some) } else { Some(None) }
    }

    fn parsed_from<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        read: impl FnOnce(&Value) -> Result<String, Fault>,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let entry = self.entries.get(field)?;
        let value = read(&entry.value).and_then(|text| {
            placeholder::refuse(&text)?;
            parse(&text)
        });
        findings.keep(&entry.place, value)
    }

    /// A list: in the file an array, anywhere text with commas. Every wrong item is told; then the answer is `None`.
    pub(super) fn list<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        self.list_from(field, findings, scalar, parse)
    }

    /// Like [`Table::list`], of names or words: a number or a switch is none.
    pub(super) fn words<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        self.list_from(field, findings, text, parse)
    }

    fn list_from<T>(
        &self,
        field: &str,
        findings: &mut Findings,
        read: impl Fn(&Value) -> Result<String, Fault>,
        parse: impl Fn(&str) -> Result<T, Fault>,
    ) -> Option<Vec<T>> {
        let entry = self.entries.get(field)?;
        let items = findings.keep(&entry.place, items(&entry.value, read))?;
        let count = items.len();
        let parsed: Vec<T> = items
            .iter()
            .filter_map(|item| {
                let value = placeholder::refuse(item).and_then(|()| parse(item));
                findings.keep(&entry.place, value)
            })
            .collect();
        (parsed.len() == count).then_some(parsed)
    }

    /// A secret, by itself or read from the file that `FIELD_file` names.
    pub(super) fn secret(&self, field: &str, findings: &mut Findings) -> Option<Found<Secret>> {
        let found = self.secret_as_is(field, findings)?;
        let is_spaced = found.value.reveal().trim() != found.value.reveal();
        if is_spaced && self.entries.contains_key(field) {
            findings.warn(&found.place, "begins or ends with white space, which counts as part of it");
        }
        Some(found)
    }

    /// The same for a URL, to which white space around it does not belong.
    pub(super) fn secret_url(&self, field: &str, findings: &mut Findings) -> Option<Found<Secret>> {
        let Found { value, place } = self.secret_as_is(field, findings)?;
        Some(Found { value: Secret::new(value.reveal().trim()), place })
    }

    fn secret_as_is(&self, field: &str, findings: &mut Findings) -> Option<Found<Secret>> {
        let file_field = format!("{field}_file");
        match (self.entries.get(field), self.entries.get(&file_field)) {
            (None, None) => None,
            (Some(entry), Some(file)) => {
                let reason = format!("{} is set as well", file.place);
                findings.refuse(entry.place.clone(), Fault::new(reason, "set only one of the two"));
                None
            }
            (Some(entry), None) => {
                let value = findings.keep(&entry.place, secret_text(&entry.value))?;
                Some(Found { value, place: entry.place.clone() })
            }
            (None, Some(file)) => {
                let value = text(&file.value).and_then(|path| {
                    let path = match file.place.origin {
                        Origin::File(_) => self.directory.join(path),
                        _ => PathBuf::from(path),
                    };
                    secret_file(&path)
                });
                let value = findings.keep(&file.place, value)?;
                Some(Found { value, place: file.place.clone() })
            }
        }
    }

    /// A field as it was written, for showing; secrets are the caller's business.
    pub(super) fn written(&self, field: &str) -> Option<String> {
        items(&self.entries.get(field)?.value, scalar).ok().map(|items| items.join(","))
    }
}

/// Empty values are unset.
fn is_blank(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim().is_empty())
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(..) | Value::Char(..) => "text",
        Value::Bool(..) => "true or false",
        Value::Num(..) => "a number",
        Value::Empty(..) => "nothing",
        Value::Dict(..) => "a table",
        Value::Array(..) => "a list",
    }
}

fn text(value: &Value) -> Result<String, Fault> {
    let wrong = || Fault::new(format!("is {}, not text", kind(value)), "write it as text in quotes");
    let text = value.as_str().ok_or_else(wrong)?.trim();
    if text.chars().any(char::is_control) {
        return Err(Fault::new("holds control characters", "write it on one line, without them"));
    }
    Ok(text.to_owned())
}

fn scalar(value: &Value) -> Result<String, Fault> {
    match value {
        Value::String(..) => text(value),
        Value::Bool(_, bool) => Ok(bool.to_string()),
        Value::Num(_, number) => Ok(match (number.to_i128(), number.to_u128(), number.to_f64()) {
            (Some(n), ..) => n.to_string(),
            (None, Some(n), _) => n.to_string(),
            (None, None, Some(n)) => n.to_string(),
            (None, None, None) => String::new(),
        }),
        // The TOML reader hands dates on in this form.
        Value::Dict(_, dict) if dict.len() == 1 => {
            match dict.get("$__toml_private_datetime").and_then(Value::as_str) {
                Some(datetime) => Ok(datetime.to_owned()),
                None => Err(Fault::new("is a table, not a single value", "give one value")),
            }
        }
        _ => Err(Fault::new(format!("is {}, not a single value", kind(value)), "give one value")),
    }
}

fn items(value: &Value, read: impl Fn(&Value) -> Result<String, Fault>) -> Result<Vec<String>, Fault> {
    match value {
        Value::Array(_, array) => array.iter().map(read).collect(),
        _ => Ok(read(value)?
            .split(',')
            .map(|item| item.trim().to_owned())
            .filter(|item| !item.is_empty())
            .collect()),
    }
}

fn secret_text(value: &Value) -> Result<Secret, Fault> {
    let wrong = || Fault::new(format!("is {}, not text", kind(value)), "write it as text in quotes");
    check_secret(value.as_str().ok_or_else(wrong)?)
}

fn check_secret(text: &str) -> Result<Secret, Fault> {
    placeholder::refuse(text)?;
    if text.contains(['\r', '\n', '\0']) {
        return Err(Fault::new("holds a line break or NUL", "give it in one line"));
    }
    Ok(Secret::new(text))
}

fn secret_file(path: &Path) -> Result<Secret, Fault> {
    let shown = path.display();
    let unreadable = |e: std::io::Error| {
        Fault::new(format!("cannot read {shown}: {e}"), "name a file that this user may read")
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = zeroize::Zeroizing::new(Vec::new());
    let limit = u64::try_from(SECRET_FILE_MAX + 1).unwrap_or(u64::MAX);
    std::io::Read::read_to_end(&mut std::io::Read::take(file, limit), &mut bytes).map_err(unreadable)?;
    if bytes.len() > SECRET_FILE_MAX {
        return Err(Fault::new(
            format!("{shown} is larger than 64 KiB"),
            "name the file that holds the secret alone",
        ));
    }
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| Fault::new(format!("{shown} is not UTF-8 text"), "write the secret as text"))?;
    let text = text.trim_end_matches(['\r', '\n']);
    if text.trim().is_empty() {
        return Err(Fault::new(format!("{shown} is empty"), "write the secret into it"));
    }
    check_secret(text).map_err(|fault| Fault::new(format!("{shown} {}", fault.reason), fault.remedy))
}

/// A bounded duration that a field may hold.
pub(super) fn bounded(
    min: std::time::Duration,
    max: std::time::Duration,
) -> impl Fn(&str) -> Result<std::time::Duration, Fault> {
    move |text| parse::duration_within(text, min, max)
}
