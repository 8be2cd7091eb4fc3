//! When nothing is to be told: muting of everything and maintenance windows. Probing and history go on meanwhile, and what
//! is still open at the end is told then.

mod weekly;
mod window;

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

pub use weekly::{Days, End, Weekly, short_name};
pub use window::{When, Window, show_time};

/// How far [`Quiet::until`] looks ahead: windows that follow one another without a gap never end.
const HORIZON: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Muting as configured. That of a single recipient is in its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Nothing at all is told until then.
    pub muted_until: Option<Timestamp>,
    pub windows: Vec<Window>,
    /// In which the clock times of weekly windows are.
    pub tz: TimeZone,
}

impl Default for Quiet {
    fn default() -> Self {
        Self { muted_until: None, windows: Vec::new(), tz: TimeZone::UTC }
    }
}

impl Quiet {
    /// Whether nothing at all is to be told now.
    #[must_use]
    pub fn is_total(&self, now: Timestamp) -> bool {
        let muted = self.muted_until.is_some_and(|until| now < until);
        muted || self.active(now).any(|(window, _)| window.recipients.is_none())
    }

    /// The names of the recipients of which nothing is to be told now, sorted: those that an active window names. A window
    /// that names nobody is for all and makes the quiet [total](Self::is_total) instead.
    #[must_use]
    pub fn names(&self, now: Timestamp) -> Vec<Arc<str>> {
        let names: BTreeSet<Arc<str>> = self
            .active(now)
            .filter_map(|(window, _)| window.recipients.as_ref())
            .flatten()
            .cloned()
            .collect();
        names.into_iter().collect()
    }

    /// When the present quiet of a recipient ends, over all that follows on without a gap; `None`: there is none now.
    /// Looks ahead for a year. Its own `muted_until` is not part of it.
    #[must_use]
    pub fn until(&self, now: Timestamp, name: &str) -> Option<Timestamp> {
        let horizon = now.checked_add(HORIZON).unwrap_or(Timestamp::MAX);
        let mut end = now;
        while end < horizon {
            let windows = self.active(end).filter(|(window, _)| window.concerns(name)).map(|(_, end)| end);
            let Some(later) = windows.chain(self.muted_until).filter(|later| *later > end).max() else {
                break;
            };
            end = later;
        }
        (end > now).then_some(end)
    }

    /// The windows that are open at `at`, each with its end.
    pub fn active(&self, at: Timestamp) -> impl Iterator<Item = (&Window, Timestamp)> {
        self.windows.iter().filter_map(move |window| Some((window, window.when.end(at, &self.tz)?)))
    }

    /// What is not told now and until when, a sentence each for people; none when everything is told.
    #[must_use]
    pub fn sentences(&self, now: Timestamp) -> Vec<String> {
        let muted = self.muted_until.filter(|until| now < *until);
        let muted = muted.map(|until| format!("nothing is told until {} (muted_until)", self.show(until)));
        let windows = self.active(now).map(|(window, end)| {
            let whom = if window.recipients.is_none() { "" } else { " about " };
            let names = window.names();
            format!("nothing is told{whom}{names} until {} (maintenance {:?})", self.show(end), window.name)
        });
        muted.into_iter().chain(windows).collect()
    }

    /// A point in time on the clock of these windows.
    #[must_use]
    pub fn show(&self, time: Timestamp) -> String {
        show_time(time, &self.tz)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests;
