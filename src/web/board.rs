//! `/`: the live board. A sentence first, then what is wrong, then the rest.

mod row;
mod spark;
mod view;

use std::time::Instant;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::id::RecipientId;
use crate::domain::verdict::Standing;
use crate::store::BoardData;

pub use row::{Line, Troubles, standing};
pub use view::{page, rows};

use super::states;

/// What a viewer asks for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Wish {
    /// Part of a name or address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    q: String,
    /// A class of [`states::look`], or `down`, `doubtful`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    state: String,
    /// A column; with a minus the other way round.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    sort: String,
}

/// The board at one moment, shared by all viewers.
pub struct Board {
    /// By our own clock, to know how old it is.
    pub read: Instant,
    pub now: Timestamp,
    /// Grows with each change.
    pub revision: u64,
    /// Alerts that nobody got.
    lost: usize,
    /// Worst first, each with the revision that changed it last.
    lines: Vec<(u64, Line)>,
}

impl Board {
    /// The board of `data`, after `before`.
    pub fn new(data: &BoardData, read: Instant, before: Option<&Self>) -> Self {
        let troubles = Troubles::of(data);
        let next = before.map_or(1, |before| before.revision + 1);
        let known: std::collections::HashMap<_, _> = before
            .iter()
            .flat_map(|board| &board.lines)
            .map(|(since, line)| (line.id, (*since, line)))
            .collect();
        let mut lines: Vec<(u64, Line)> = data
            .rows
            .iter()
            .map(|row| {
                let line = Line::new(row, &troubles, data.now);
                let since = known
                    .get(&line.id)
                    .filter(|(_, old)| old.is_like(&line))
                    .map_or(next, |(since, _)| *since);
                (since, line)
            })
            .collect();
        lines.sort_by(|(_, a), (_, b)| {
            let rank = |line: &Line| states::look(line.standing).rank;
            rank(a).cmp(&rank(b)).then_with(|| a.name.cmp(&b.name))
        });
        let is_same = before.is_some_and(|before| {
            before.lost == data.lost
                && before.lines.len() == lines.len()
                && lines.iter().all(|(since, _)| *since < next)
        });
        let revision = if is_same { next - 1 } else { next };
        Self { read, now: data.now, revision, lost: data.lost, lines }
    }

    /// How each recipient stands.
    pub fn standings(&self) -> impl Iterator<Item = (RecipientId, Standing)> {
        self.lines.iter().map(|(_, line)| (line.id, line.standing))
    }

    /// How many recipients stand like this.
    pub fn count(&self, is: impl Fn(Standing) -> bool) -> usize {
        self.lines.iter().filter(|(_, line)| is(line.standing)).count()
    }

    /// The lines that are wished for, in the wished order, each with the revision that changed it last.
    fn chosen(&self, wish: &Wish) -> Vec<&(u64, Line)> {
        let part = wish.q.trim().to_lowercase();
        let mut chosen: Vec<&(u64, Line)> = self
            .lines
            .iter()
            .filter(|(_, line)| {
                let is_state = match wish.state.as_str() {
                    "" => true,
                    "down" => states::is_down(line.standing),
                    "doubtful" => states::is_doubtful(line.standing),
                    state => states::look(line.standing).class == state,
                };
                let is_named = part.is_empty()
                    || line.name.to_lowercase().contains(&part)
                    || line.address.to_lowercase().contains(&part);
                is_state && is_named
            })
            .collect();
        let (column, backwards) = match wish.sort.strip_prefix('-') {
            Some(column) => (column, true),
            None => (wish.sort.as_str(), false),
        };
        match column {
            "name" => chosen.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name)),
            // What has no value comes last, whichever way round.
            "latency" => chosen.sort_by(|(_, a), (_, b)| {
                let key =
                    |line: &Line| line.latency_ms.unwrap_or(if backwards { -1.0 } else { f64::INFINITY });
                key(a).total_cmp(&key(b))
            }),
            "success" => chosen.sort_by_key(|(_, line)| line.last_success_at.unwrap_or(Timestamp::MIN)),
            "next" => chosen.sort_by_key(|(_, line)| {
                line.next_due_at.unwrap_or(if backwards { Timestamp::MIN } else { Timestamp::MAX })
            }),
            _ => {}
        }
        if backwards {
            chosen.reverse();
        }
        chosen
    }
}
