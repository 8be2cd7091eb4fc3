//! How a part of the service fares, as it looks.

use maud::{Markup, html};

use crate::domain::verdict::Standing;

use super::states;

/// How well a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    Well,
    /// It works, and somebody should have a look.
    Doubtful,
    Ill,
    /// This instance cannot know.
    Unknown,
}

impl Condition {
    pub fn chip(self) -> Markup {
        let (standing, word) = match self {
            Self::Well => (Standing::Ok, "Well"),
            Self::Doubtful => (Standing::Late, "Have a look"),
            Self::Ill => (Standing::Missing, "Not well"),
            Self::Unknown => (Standing::Unknown, "Not known"),
        };
        let look = states::look(standing);
        html! { span class={ "chip " (look.class) } { (states::icon(&look)) (word) } }
    }
}

/// One part.
pub struct Part {
    pub name: String,
    /// Where it is, in small letters.
    pub place: String,
    pub state: Condition,
    /// A paragraph each.
    pub words: Vec<Markup>,
}

impl Part {
    pub fn new(name: impl Into<String>, place: impl Into<String>) -> Self {
        Self { name: name.into(), place: place.into(), state: Condition::Well, words: Vec::new() }
    }

    /// Says something of it.
    pub fn say(&mut self, words: Markup) {
        self.words.push(words);
    }

    /// Says something that makes it no better than `state`.
    pub fn complain(&mut self, state: Condition, words: Markup) {
        let rank = |state| match state {
            Condition::Well => 0,
            Condition::Unknown => 1,
            Condition::Doubtful => 2,
            Condition::Ill => 3,
        };
        if rank(state) > rank(self.state) {
            self.state = state;
        }
        self.words.push(words);
    }

    /// Its cells in a row of a table.
    pub fn cells(&self) -> Markup {
        html! {
            th scope="row" { (self.name) @if !self.place.is_empty() { small { (self.place) } } }
            td.state { (self.state.chip()) }
            td.why { @for words in &self.words { p { (words) } } }
        }
    }
}

pub fn table(label: &str, parts: &[Part]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label) {
            table.parts {
                thead { tr { @for name in ["Part", "State", "In words"] { th scope="col" { (name) } } } }
                tbody { @for part in parts { tr { (part.cells()) } } }
            }
        }
    }
}
