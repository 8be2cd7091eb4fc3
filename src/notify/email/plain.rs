//! The text part.

use super::{incidents, listed};
use crate::notify::letter::Letter;
use crate::notify::text::words::one_line;

pub(super) fn body(letter: &Letter) -> String {
    let mut blocks = vec![one_line(&letter.lead)];
    let width = letter.facts.iter().map(|fact| fact.label.len()).max().unwrap_or_default() + 2;
    let facts = letter.facts.iter().map(|fact| {
        let label = format!("{}:", fact.label);
        format!("{label:<width$}{}", one_line(&fact.value))
    });
    blocks.push(lines(facts));
    let (items, more) = listed(letter);
    blocks.push(lines(items.chain(more).map(|item| format!("- {item}"))));
    blocks.extend(letter.remarks.iter().map(|remark| one_line(remark)));
    let link = letter.link.as_deref().map(one_line);
    blocks.push(lines(link.into_iter().chain(incidents(&letter.incidents))));
    blocks.retain(|block| !block.is_empty());
    let mut text = blocks.join("\n\n");
    text.push('\n');
    text
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n")
}
