//! A program that uses the API, and holds every answer against the OpenAPI document.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::lab::app::App;
use crate::lab::browser::{Browser, Page};

use super::document::Document;

pub const TOKEN: &str = "canary-token-0123456789";
const JSON: (&str, &str) = ("Content-Type", "application/json");

/// One program with its own way to be known.
pub struct Program {
    pub browser: Browser,
    document: Document,
    /// Operations and statuses that were answered.
    pub seen: BTreeSet<(String, u16)>,
}

/// An answer that fits the document.
#[derive(Clone, Debug)]
pub struct Answer {
    pub page: Page,
    pub json: Value,
}

impl Answer {
    pub fn status(&self) -> u16 {
        self.page.status
    }

    pub fn header(&self, name: &str) -> &str {
        self.page.header(name).unwrap_or_else(|| panic!("no {name}: {self:?}"))
    }

    /// The names of what is wrong, in the order in which they are told.
    pub fn wrong(&self) -> Vec<&str> {
        self.json["errors"].as_array().unwrap().iter().map(|wrong| wrong["name"].as_str().unwrap()).collect()
    }
}

impl Program {
    /// One that has the token.
    pub fn new(app: &App) -> Self {
        Self::by(Browser::new(app.pages()).with("Authorization", &format!("Bearer {TOKEN}")))
    }

    pub fn by(browser: Browser) -> Self {
        Self { browser, document: Document::ours(), seen: BTreeSet::new() }
    }

    pub fn document(&self) -> &Document {
        &self.document
    }

    #[track_caller]
    pub fn get(&mut self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &[JSON], &body.to_string())
    }

    #[track_caller]
    pub fn put(&mut self, path: &str, tag: &str, body: &Value) -> Answer {
        self.ask("PUT", path, &[JSON, ("If-Match", tag)], &body.to_string())
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str, tag: &str) -> Answer {
        self.ask("DELETE", path, &[("If-Match", tag)], "")
    }

    /// Any request to what the document describes. The answer must be one that it describes.
    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let page = self.browser.ask(method, path, headers, body.as_bytes()).unwrap();
        assert!(!page.text().contains(TOKEN), "the token is in {page:?}");
        let json = if page.body.is_empty() { Value::Null } else { serde_json::from_str(&page.body).unwrap() };
        let plain = path.split('?').next().unwrap();
        let operation = self.document.check(method, plain, &page, &json).unwrap_or_else(|unfit| {
            panic!("{method} {path}: {unfit}\n{page:?}");
        });
        self.seen.insert((operation, page.status));
        Answer { page, json }
    }
}
