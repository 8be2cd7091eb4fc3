//! When nothing is to be told: muting of everything and maintenance windows. Probing and history go on meanwhile, and what
//! is still open at the end is told then.

use std::sync::Arc;

use jiff::Timestamp;

/// Muting as configured. That of a single recipient is in its row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quiet {
    /// Nothing at all is told until then.
    pub muted_until: Option<Timestamp>,
}

impl Quiet {
    /// Whether nothing at all is to be told now.
    #[must_use]
    pub fn is_total(&self, now: Timestamp) -> bool {
        self.muted_until.is_some_and(|until| now < until)
    }

    /// The names of the recipients of which nothing is to be told now.
    #[must_use]
    pub fn names(&self, _now: Timestamp) -> Vec<Arc<str>> {
        Vec::new()
    }
}
