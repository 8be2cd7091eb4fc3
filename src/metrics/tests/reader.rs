//! A strict reader of both text formats, written from their descriptions and not from our writer.

use std::collections::BTreeMap;

pub(super) type Labels = BTreeMap<String, String>;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: Labels,
    pub(super) value: f64,
    /// Labels and value.
    pub(super) exemplar: Option<(Labels, f64)>,
}

#[derive(Debug, Default)]
pub(super) struct Read {
    /// Type by family, as declared.
    pub(super) types: BTreeMap<String, String>,
    pub(super) units: BTreeMap<String, String>,
    pub(super) samples: Vec<Sample>,
    pub(super) eof: bool,
}

impl Read {
    /// Reads a whole exposition; panics where it is not well-formed or says something twice.
    pub(super) fn of(text: &str) -> Self {
        let mut read = Self::default();
        let mut family = String::new();
        assert!(text.ends_with('\n'), "no line feed at the end");
        for line in text.strip_suffix('\n').unwrap().split('\n') {
            assert!(!read.eof, "a line after the end: {line}");
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words[..] {
                ["#", "EOF"] => read.eof = true,
                ["#", "HELP", name, help] => {
                    assert!(!help.is_empty() && !help.contains('\\'), "{line}");
                    name.clone_into(&mut family);
                }
                ["#", "TYPE", name, kind] => {
                    assert_eq!(name, family, "TYPE without its HELP");
                    assert_eq!(read.types.insert(name.to_owned(), kind.to_owned()), None, "twice: {line}");
                }
                ["#", "UNIT", name, unit] => {
                    assert_eq!(name, family);
                    assert!(name.ends_with(&format!("_{unit}")), "{line}");
                    read.units.insert(name.to_owned(), unit.to_owned());
                }
                _ => {
                    let sample = sample(line);
                    assert!(belongs(&sample.name, &family), "{} stands in family {family}", sample.name);
                    read.samples.push(sample);
                }
            }
        }
        let mut keys: Vec<_> = read.samples.iter().map(|sample| (&sample.name, &sample.labels)).collect();
        keys.sort();
        assert!(keys.windows(2).all(|pair| pair[0] != pair[1]), "a series stands twice");
        read
    }

    /// Series and values of our own metrics, by name and labels.
    pub(super) fn own_series(&self) -> BTreeMap<(String, Labels), f64> {
        let own = self.samples.iter().filter(|sample| sample.name.starts_with("maildt_"));
        own.map(|sample| ((sample.name.clone(), sample.labels.clone()), sample.value)).collect()
    }

    pub(super) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        self.samples.iter().find(|sample| sample.name == name && sample.labels == of(labels)).map(|s| s.value)
    }

    pub(super) fn of_recipient(&self, name: &str) -> Vec<&Sample> {
        let wanted = |sample: &&Sample| sample.labels.get("recipient").is_some_and(|value| value == name);
        self.samples.iter().filter(wanted).collect()
    }
}

pub(super) fn of(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn belongs(sample: &str, family: &str) -> bool {
    let suffix = sample.strip_prefix(family);
    suffix.is_some_and(|suffix| ["", "_total", "_info", "_sum", "_count", "_bucket"].contains(&suffix))
}

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).unwrap();
    let (name, rest) = line.split_at(end);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(!name.is_empty() && name.chars().all(plain), "{line}");
    let (labels, rest) = labels(rest);
    let rest = rest.strip_prefix(' ').unwrap_or_else(|| panic!("no value: {line}"));
    let (value, exemplar) = match rest.split_once(" # ") {
        None => (rest, None),
        Some((value, exemplar)) => {
            let (labels, rest) = self::labels(exemplar);
            let mut numbers = rest.strip_prefix(' ').unwrap().split(' ').map(number);
            let exemplar = (labels, numbers.next().unwrap());
            assert!(numbers.next().is_some_and(|at| at > 1e9), "an exemplar without its time: {line}");
            assert_eq!(numbers.next(), None);
            (value, Some(exemplar))
        }
    };
    Sample { name: name.to_owned(), labels, value: number(value), exemplar }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// The labels in braces, if any, and what follows them.
fn labels(text: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    let Some(mut rest) = text.strip_prefix('{') else { return (labels, text) };
    while !rest.starts_with('}') {
        let (key, after) = rest.split_once("=\"").unwrap();
        let mut value = String::new();
        let mut characters = after.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (index, '"') => break index,
                (_, '\\') => value.push(match characters.next().unwrap().1 {
                    'n' => '\n',
                    escaped @ ('"' | '\\') => escaped,
                    other => panic!("unknown escape {other}"),
                }),
                (_, '\n') => panic!("a raw line feed in a label"),
                (_, plain) => value.push(plain),
            }
        };
        assert_eq!(labels.insert(key.to_owned(), value), None, "label {key} twice");
        rest = &after[end + 1..];
        rest = rest.strip_prefix(',').unwrap_or(rest);
    }
    (labels, &rest[1..])
}
