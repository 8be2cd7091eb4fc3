//! What a channel does next, decided from its queue: pure, so that it can be driven through any history.
//!
//! For one kind and scope the order is kept, across incidents: a later notification waits until the earlier one is delivered,
//! closed or kept back, or a reader's last word of an outage would be an older recovery. Otherwise there is none. Notifications of one kind and telling that came within a moment share a message, and stay
//! together from then on.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::alert::{IncidentId, Kind, Scope, Telling};
use crate::domain::probe::{between, later};
use crate::store::{Closing, Pending};

/// The bounds that a plan goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How long a notification waits for others to share its message; with more coming in, up to twice as long.
    pub gather: Duration,
    /// What nobody took for this long is given up.
    pub dead_after: Duration,
    /// Since when the channel takes nothing, where trying is of no use: it refused us, or nothing got through for as long
    /// as it takes to give up. Otherwise only a try that fails gives up: age alone may be that of our own absence.
    pub hopeless_since: Option<Timestamp>,
    /// No try is ever put off for longer; what says so was written by another clock.
    pub longest_pause: Duration,
    /// Nothing at all is to be told now.
    pub silence: bool,
}

/// What to do next. Rows are named by their ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nobody will be told these.
    Close(Vec<i64>, Closing),
    /// Everybody concerned is muted: keep these back.
    Hold(Vec<i64>),
    /// The quiet is over: let go of these.
    Release(Vec<i64>),
    /// These are one message, and it is due.
    Send(Vec<i64>),
    /// There is nothing to do until then, or until something comes in.
    Wait(Option<Timestamp>),
}

/// The next step of a channel whose queue is `rows`, the oldest first.
#[must_use]
pub fn next(rows: &[Pending], rules: &Rules, now: Timestamp) -> Step {
    tidy(rows, rules, now).unwrap_or_else(|| send(rows, rules, now))
}

/// What comes before any sending: closing, keeping back and letting go. One kind of step at a time, all rows of it at once.
fn tidy(rows: &[Pending], rules: &Rules, now: Timestamp) -> Option<Step> {
    let quiet = quiet(rows, rules);
    let pending = Tellings::of(rows);
    let mut closed: BTreeMap<&'static str, Vec<i64>> = BTreeMap::new();
    for row in rows {
        if let Some(why) = pointless(row, &pending, &quiet) {
            closed.entry(why).or_default().push(row.id);
        }
    }
    if let Some((why, ids)) = closed.pop_first() {
        return Some(Step::Close(ids, Closing::Dropped(why)));
    }
    let ids = |which: &dyn Fn(&Pending) -> bool| -> Option<Vec<i64>> {
        let ids: Vec<i64> = rows.iter().filter(|row| which(row)).map(|row| row.id).collect();
        (!ids.is_empty()).then_some(ids)
    };
    let is_quiet = |row: &Pending| quiet.contains(&row.id);
    // What was over when the quiet began only waited for its channel: it is told afterwards, unlike what the quiet kept back.
    let was_late = |row: &Pending| row.telling == Telling::Opened && row.resolved_at.is_some();
    if let Some(ids) = ids(&|row| is_quiet(row) && !row.held && !was_late(row)) {
        return Some(Step::Hold(ids));
    }
    if let Some(ids) = ids(&|row| !is_quiet(row) && row.held) {
        return Some(Step::Release(ids));
    }
    let hopeless = rules.hopeless_since?;
    let dead = |row: &Pending| {
        // The time when its quiet ended is the time of its next try.
        let since = row.first_try_at.or(row.next_try_at).unwrap_or(row.created_at);
        !is_quiet(row) && between(since.max(hopeless), now) >= rules.dead_after
    };
    ids(&dead).map(|ids| Step::Close(ids, Closing::Dead))
}

/// The rows that must not be told now. What was composed into one message already is told whole as long as anybody of it
/// may be: nobody knows whether it was seen.
fn quiet(rows: &[Pending], rules: &Rules) -> HashSet<i64> {
    let loud: HashSet<i64> = rows.iter().filter(|row| !row.quiet).filter_map(|row| row.message).collect();
    rows.iter()
        .filter(|row| {
            rules.silence || row.quiet && row.message.is_none_or(|message| !loud.contains(&message))
        })
        .map(|row| row.id)
        .collect()
}

/// What else waits to be told of an incident.
#[derive(Default)]
struct Tellings {
    /// Incidents whose beginning waits.
    openings: HashSet<IncidentId>,
    /// The number of the newest reminder that waits.
    reminders: HashMap<IncidentId, i32>,
}

impl Tellings {
    fn of(rows: &[Pending]) -> Self {
        let mut tellings = Self::default();
        for row in rows {
            match row.telling {
                Telling::Opened => {
                    tellings.openings.insert(row.incident);
                }
                Telling::Reminder => {
                    let newest = tellings.reminders.entry(row.incident).or_insert(row.number);
                    *newest = row.number.max(*newest);
                }
                Telling::Resolved => {}
            }
        }
        tellings
    }
}

/// Why a row is not worth telling.
fn pointless(row: &Pending, pending: &Tellings, quiet: &HashSet<i64>) -> Option<&'static str> {
    let resolved = row.resolved_at.is_some();
    match row.telling {
        Telling::Opened if resolved && row.held => Some("it was over before the quiet was"),
        Telling::Reminder if resolved => Some("it is over"),
        Telling::Reminder if quiet.contains(&row.id) => Some("it was due in the quiet"),
        Telling::Reminder if pending.openings.contains(&row.incident) => {
            Some("its beginning is still to be told")
        }
        Telling::Reminder
            if pending.reminders.get(&row.incident).is_some_and(|newest| *newest > row.number) =>
        {
            Some("a newer reminder is there")
        }
        Telling::Resolved if row.unheard => Some("its beginning was not told"),
        _ => None,
    }
}

/// Messages that may be sent in any order: fresh ones gathered, and those that were tried before.
fn send(rows: &[Pending], rules: &Rules, now: Timestamp) -> Step {
    let quiet = quiet(rows, rules);
    let mut first: HashMap<(Kind, &Scope), i64> = HashMap::new();
    for row in rows.iter().filter(|row| !quiet.contains(&row.id)) {
        first.entry((row.kind, &row.scope)).or_insert(row.id);
    }
    // What was composed had its turn; its message must not come apart.
    let is_next =
        |row: &Pending| row.message.is_some() || first.get(&(row.kind, &row.scope)) == Some(&row.id);
    let ready = rows.iter().filter(|row| is_next(row) && !quiet.contains(&row.id));
    let mut composed: BTreeMap<i64, Vec<&Pending>> = BTreeMap::new();
    let mut fresh: BTreeMap<(Kind, u8), Vec<&Pending>> = BTreeMap::new();
    for row in ready {
        match row.message {
            Some(message) => composed.entry(message).or_default().push(row),
            None => fresh.entry((row.kind, row.telling as u8)).or_default().push(row),
        }
    }
    let mut waits: Vec<Timestamp> = Vec::new();
    let mut due: Vec<Vec<&Pending>> = Vec::new();
    for rows in composed.into_values() {
        match rows.iter().filter_map(|row| put_off(row, rules, now)).max() {
            Some(until) => waits.push(until),
            None => due.push(rows),
        }
    }
    for mut rows in fresh.into_values() {
        rows.sort_by_key(|row| appeared(row));
        let (complete, open) = gather(&rows, rules, now);
        waits.extend(open);
        if !complete.is_empty() {
            due.push(complete);
        }
    }
    // Those tried least first: a message that no server takes keeps no other waiting.
    let next = due
        .into_iter()
        .min_by_key(|rows| (rows.iter().map(|row| row.tries).max(), rows.iter().map(|row| row.id).min()));
    match next {
        Some(rows) => {
            let mut ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            ids.sort_unstable();
            Step::Send(ids)
        }
        None => Step::Wait(waits.into_iter().min()),
    }
}

/// Until when a row is put off.
fn put_off(row: &Pending, rules: &Rules, now: Timestamp) -> Option<Timestamp> {
    row.next_try_at.filter(|at| *at > now && *at <= later(now, rules.longest_pause))
}

/// When a row came up: when it was written, or when its quiet ended.
fn appeared(row: &Pending) -> Timestamp {
    row.next_try_at.map_or(row.created_at, |released| released.max(row.created_at))
}

/// Splits rows, sorted by when they came up, into those for which nothing more is waited, and the end of the wait of the
/// others. What is left from an outage is complete and goes as one message.
fn gather<'a>(rows: &[&'a Pending], rules: &Rules, now: Timestamp) -> (Vec<&'a Pending>, Option<Timestamp>) {
    let mut complete = Vec::new();
    let mut rows = rows.iter().copied().peekable();
    while let Some(row) = rows.next() {
        let began = appeared(row);
        let latest = later(began, rules.gather * 2);
        let mut end = later(began, rules.gather);
        let mut together = vec![row];
        while let Some(row) = rows.next_if(|row| appeared(row) <= end) {
            end = later(appeared(row), rules.gather).min(latest);
            together.push(row);
        }
        // From the future, and not by a few milliseconds between two clocks: the clock was set back.
        if now >= end || began > later(now, rules.gather) {
            complete.append(&mut together);
        } else {
            return (complete, Some(end));
        }
    }
    (complete, None)
}

#[cfg(test)]
mod tests;
