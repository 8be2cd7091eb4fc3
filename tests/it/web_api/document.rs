//! The OpenAPI document, as a judge of answers. It is stricter than a client need be: an answer may have no member that is not
//! described, so that the description stays whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::lab::browser::Page;

pub struct Document(Value);

/// Keywords that say nothing about what is valid, or that other tests see to.
const REMARKS: [&str; 6] = ["description", "default", "example", "pattern", "minLength", "minProperties"];

impl Document {
    pub fn ours() -> Self {
        Self(serde_json::from_str(include_str!("../../../src/web/api/openapi.json")).unwrap())
    }

    /// Every operation with every status that it may answer with.
    pub fn promised(&self) -> BTreeSet<(String, u16)> {
        let mut all = BTreeSet::new();
        for (_, item) in self.0["paths"].as_object().unwrap() {
            for (_, operation) in methods(item) {
                let id = operation["operationId"].as_str().unwrap();
                for status in operation["responses"].as_object().unwrap().keys() {
                    all.insert((id.to_owned(), status.parse().unwrap()));
                }
            }
        }
        all
    }

    /// Each path with the methods that it takes.
    pub fn paths(&self) -> Vec<(String, Vec<String>)> {
        let base = self.0["servers"][0]["url"].as_str().unwrap();
        let paths = self.0["paths"].as_object().unwrap().iter();
        paths
            .map(|(path, item)| {
                let methods = methods(item).map(|(method, _)| method.to_uppercase()).collect();
                (format!("{base}{path}"), methods)
            })
            .collect()
    }

    /// The operation that this is an answer of, if the answer is one that it describes.
    pub fn check(&self, method: &str, path: &str, page: &Page, json: &Value) -> Result<String, String> {
        let operation = self.operation(method, path).ok_or("is not described")?;
        let response = operation["responses"].get(page.status.to_string());
        let response = self.resolved(response.ok_or_else(|| format!("{} is not described", page.status))?);
        let headers = response["headers"].as_object().cloned().unwrap_or_default();
        for (name, header) in &headers {
            if header["required"] == true && page.header(name).is_none() {
                return Err(format!("{name} is missing"));
            }
        }
        if page.status >= 400 && json["status"] != page.status {
            return Err("the status in the body is another one".to_owned());
        }
        match response.get("content") {
            None if page.body.is_empty() => {}
            None => return Err("has a body".to_owned()),
            Some(content) => {
                let (kind, content) = content.as_object().unwrap().iter().next().unwrap();
                if page.header("content-type") != Some(kind) {
                    return Err(format!("is no {kind}"));
                }
                self.fits(&content["schema"], json, "body")?;
            }
        }
        Ok(operation["operationId"].as_str().unwrap().to_owned())
    }

    fn operation(&self, method: &str, path: &str) -> Option<&Value> {
        let path = path.strip_prefix(self.0["servers"][0]["url"].as_str()?)?;
        let is_like = |template: &str| {
            let (wanted, given): (Vec<_>, Vec<_>) =
                (template.split('/').collect(), path.split('/').collect());
            wanted.len() == given.len()
                && wanted.iter().zip(&given).all(|(wanted, given)| wanted.starts_with('{') || wanted == given)
        };
        let item = self.0["paths"].as_object()?.iter().find(|(template, _)| is_like(template))?.1;
        item.get(method.to_lowercase())
    }

    fn resolved<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(place) => self.0.pointer(place.trim_start_matches('#')).unwrap(),
            None => value,
        }
    }

    fn fits(&self, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
        let schema = self.resolved(schema).as_object().unwrap();
        for (keyword, wanted) in schema {
            let fits = match keyword.as_str() {
                "type" => wanted.as_array().map_or_else(
                    || is_of(wanted, value),
                    |wanted| wanted.iter().any(|wanted| is_of(wanted, value)),
                ),
                "const" => wanted == value,
                "enum" => wanted.as_array().unwrap().contains(value),
                "format" => value.as_str().is_none_or(|text| has_format(wanted.as_str().unwrap(), text)),
                "minimum" => value.as_f64().is_none_or(|number| number >= wanted.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|number| number <= wanted.as_f64().unwrap()),
                "maxItems" => value.as_array().is_none_or(|all| all.len() as u64 <= wanted.as_u64().unwrap()),
                "anyOf" => self.fitting(wanted, value) > 0,
                "oneOf" => self.fitting(wanted, value) == 1,
                "required" => {
                    let names = wanted.as_array().unwrap();
                    value.as_object().is_none_or(|object| {
                        names.iter().all(|name| object.contains_key(name.as_str().unwrap()))
                    })
                }
                "items" => {
                    for (place, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.fits(wanted, item, &format!("{at}[{place}]"))?;
                    }
                    true
                }
                "properties" | "additionalProperties" => true,
                remark if REMARKS.contains(&remark) => true,
                other => return Err(format!("{other} is not known to this test")),
            };
            if !fits {
                return Err(format!("{at} does not fit {keyword} {wanted}: {value}"));
            }
        }
        self.members_fit(schema, value, at)
    }

    fn members_fit(&self, schema: &Map<String, Value>, value: &Value, at: &str) -> Result<(), String> {
        let (Some(object), true) = (value.as_object(), schema.contains_key("required")) else {
            let inner = schema.get("additionalProperties");
            for (name, value) in value.as_object().filter(|_| inner.is_some()).into_iter().flatten() {
                self.fits(inner.unwrap(), value, &format!("{at}.{name}"))?;
            }
            return Ok(());
        };
        for (name, value) in object {
            let Some(inner) = schema["properties"].get(name) else {
                return Err(format!("{at}.{name} is not described"));
            };
            self.fits(inner, value, &format!("{at}.{name}"))?;
        }
        Ok(())
    }

    fn fitting(&self, schemas: &Value, value: &Value) -> usize {
        schemas.as_array().unwrap().iter().filter(|schema| self.fits(schema, value, "").is_ok()).count()
    }
}

fn methods(item: &Value) -> impl Iterator<Item = (&String, &Value)> {
    item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters")
}

fn is_of(kind: &Value, value: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("{other} is not known to this test"),
    }
}

fn has_format(format: &str, text: &str) -> bool {
    match format {
        // In UTC, as promised.
        "date-time" => text.ends_with('Z') && text.parse::<jiff::Timestamp>().is_ok(),
        "uuid" => text.len() == 36 && text.parse::<uuid::Uuid>().is_ok(),
        other => panic!("{other} is not known to this test"),
    }
}

#[test]
fn what_does_not_fit_the_document_is_seen() {
    let document = Document::ours();
    let problem = |json: &str| {
        let schema = serde_json::json!({"$ref": "#/components/schemas/Problem"});
        document.fits(&schema, &serde_json::from_str(json).unwrap(), "body").is_ok()
    };
    let rest = "\"type\":\"about:blank\",\"title\":\"x\",\"detail\":\"x\"";
    assert!(problem(&format!("{{{rest},\"status\":400}}")));
    for wrong in [
        "\"status\":\"400\"",
        "\"status\":200",
        "\"status\":400,\"more\":1",
        "\"status\":400,\"errors\":[{}]",
        "\"status\":null",
        "\"more\":1",
    ] {
        assert!(!problem(&format!("{{{rest},{wrong}}}")), "{wrong}");
    }
}
