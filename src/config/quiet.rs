//! When nothing is told: `muted_until` and `[[maintenance]]`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::{DateTime, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::parse;
use super::problem::{Fault, Findings};
use super::recipient::timestamp;
use super::setting;
use super::source::Source;
use super::table::{Table, bounded};
use crate::domain::quiet::{Days, End, Quiet, Weekly, When, Window, short_name};
use crate::domain::recipient::Wanted;

const KEYS: [&str; 8] = ["name", "recipients", "from", "to", "days", "start", "end", "duration"];
/// What belongs to a window that is there once, and to one that comes back.
const ONCE: [&str; 2] = ["from", "to"];
const WEEKLY: [&str; 4] = ["days", "start", "end", "duration"];
const KINDS: &str = "give from and to, or days and start with end or duration";
const WEEK: Duration = Duration::from_hours(7 * 24);

/// Reads what is quiet. The clock times are in `tz`; whom a window names should be among `recipients`.
pub(super) fn read(
    source: &Source,
    tz: &TimeZone,
    recipients: &[Wanted],
    findings: &mut Findings,
) -> Option<Quiet> {
    let top = &source.top;
    let muted_until = top.optional("muted_until", |field| top.scalar(field, findings, timestamp));
    if let Some(Some(until)) = muted_until {
        findings.past(until, &top.place("muted_until"), "is over; remove it");
    }
    let mut names = BTreeSet::new();
    let mut windows = Vec::new();
    for table in &source.maintenance {
        table.refuse_unknown(&KEYS, findings);
        let Some(window) = read_window(table, tz, findings) else { continue };
        if !names.insert(Arc::clone(&window.name)) {
            let reason = format!("{} names a second window", parse::shown(&window.name));
            findings.refuse(table.place("name"), Fault::new(reason, "give each window a name of its own"));
        }
        warn_of_unknown(table, &window, recipients, findings);
        windows.push(window);
    }
    Some(Quiet { muted_until: muted_until?, windows, tz: tz.clone() })
}

fn read_window(table: &Table, tz: &TimeZone, findings: &mut Findings) -> Option<Window> {
    let name = required(table, "name", "give the window a name", findings)
        .and_then(|name| table.parsed(name, findings, window_name));
    let recipients = table.optional("recipients", |field| {
        let names = table.words(field, findings, parse::recipient_name)?;
        if names.is_empty() {
            let fault = Fault::new("names nobody", "name at least one recipient, or leave it out for all");
            findings.refuse(table.place(field), fault);
            return None;
        }
        Some(names.into_iter().map(Arc::from).collect::<BTreeSet<Arc<str>>>())
    });
    let is_set = |field: &&&str| table.has(field);
    let when = match (ONCE.iter().find(is_set), WEEKLY.iter().find(is_set)) {
        (Some(once), Some(weekly)) => {
            let reason = format!("is for a weekly window, but {once} is set as well");
            findings.refuse(table.place(weekly), Fault::new(reason, KINDS));
            None
        }
        (None, None) => {
            findings.refuse(
                table.place("from"),
                Fault::new("is missing, and so are days: the window never opens", KINDS),
            );
            None
        }
        (Some(_), None) => read_once(table, tz, findings),
        (None, Some(_)) => read_weekly(table, findings).map(When::Weekly),
    };
    Some(Window { name: name?.into(), recipients: recipients?, when: when? })
}

/// A field that must be there.
fn required<'a>(table: &Table, field: &'a str, remedy: &str, findings: &mut Findings) -> Option<&'a str> {
    if table.has(field) {
        return Some(field);
    }
    findings.refuse(table.place(field), Fault::new("is missing", remedy));
    None
}

fn read_once(table: &Table, tz: &TimeZone, findings: &mut Findings) -> Option<When> {
    let mut read = |field, remedy| {
        let field = required(table, field, remedy, findings)?;
        table.scalar(field, findings, |text| moment(text, tz))
    };
    let (from, to) =
        (read("from", "give the time at which it begins"), read("to", "give the time at which it ends"));
    let (from, to) = (from?, to?);
    if to <= from {
        let reason = if to == from { "is the time at which it begins" } else { "is before from" };
        findings.refuse(table.place("to"), Fault::new(reason, "give a time after from"));
        return None;
    }
    findings.past(to, &table.place("to"), "is over; remove the window");
    Some(When::Once { from, to })
}

fn read_weekly(table: &Table, findings: &mut Findings) -> Option<Weekly> {
    let days = required(table, "days", "give a list such as [\"sat\", \"sun\"], or \"daily\"", findings)
        .and_then(|field| {
            let days = table.words(field, findings, days)?;
            if days.is_empty() {
                let fault =
                    Fault::new("names no day", "give a list such as [\"sat\", \"sun\"], or \"daily\"");
                findings.refuse(table.place(field), fault);
                return None;
            }
            Some(days.into_iter().flat_map(Days::iter).collect::<Days>())
        });
    let start = required(table, "start", "give a time such as start = \"22:00\"", findings)
        .and_then(|field| table.scalar(field, findings, |text| clock_time(text, false)));
    let end = match (table.has("end"), table.has("duration")) {
        (true, true) => {
            findings
                .refuse(table.place("duration"), Fault::new("is set besides end", "set only one of the two"));
            None
        }
        (false, false) => {
            required(table, "end", "give end = \"02:00\" or duration = \"4h\"", findings);
            None
        }
        (true, false) => table.scalar("end", findings, |text| {
            let end = clock_time(text, true)?;
            if start == Some(end) && !text.starts_with("24") {
                let remedy = "give another time; for a whole day duration = \"24h\"";
                return Err(Fault::new("is the time at which it starts", remedy));
            }
            Ok(End::At(end))
        }),
        (false, true) => table.scalar("duration", findings, |text| {
            let length = bounded(Duration::from_secs(1), WEEK)(text)?;
            Ok(End::After(SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX)))
        }),
    };
    let weekly = Weekly { days: days?, start: start?, end: end? };
    if weekly.is_endless() {
        let place = table.place(if table.has("end") { "end" } else { "duration" });
        findings.warn(&place, "each window reaches into the next one, so that it never ends");
    }
    Some(weekly)
}

fn window_name(text: &str) -> Result<String, Fault> {
    parse::recipient_name(text).map_err(|fault| {
        Fault::new(format!("{} is not a name for a window", parse::shown(text)), fault.remedy)
    })
}

/// A point in time; without an offset, on the clock of `tz`.
fn moment(text: &str, tz: &TimeZone) -> Result<Timestamp, Fault> {
    let fault = || {
        let reason = format!("{} is not a point in time", parse::shown(text));
        Fault::new(
            reason,
            "write date and time, such as 2026-01-31T08:00:00, with an offset if it is not in TZ",
        )
    };
    // A date alone would be read as its first moment, which is hardly meant for an end.
    if !text.contains(':') {
        return Err(fault());
    }
    // With the name of a zone in brackets, which the other two forms would pass over.
    let zoned = || text.parse::<Zoned>().ok().map(|zoned| zoned.timestamp());
    let local = || text.parse::<DateTime>().ok().and_then(|shown| tz.to_timestamp(shown).ok());
    let read = if text.contains('[') { zoned() } else { text.parse().ok().or_else(local) };
    read.ok_or_else(fault)
}

/// `HH:MM`, with seconds if need be. 24:00 is the midnight at which a day ends.
fn clock_time(text: &str, is_end: bool) -> Result<Time, Fault> {
    let parse = || {
        let mut parts = text.split(':').map(|part| {
            let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
            part.parse::<i8>().ok().filter(|_| is_number)
        });
        let (hour, minute) = (parts.next()??, parts.next()?.filter(|minute| *minute < 60)?);
        let second = parts.next().unwrap_or(Some(0))?;
        let is_midnight = is_end && (hour, minute, second) == (24, 0, 0);
        let time = Time::new(if is_midnight { 0 } else { hour }, minute, second, 0).ok()?;
        parts.next().is_none().then_some(time)
    };
    parse().ok_or_else(|| {
        let reason = format!("{} is not a time of day", parse::shown(text));
        Fault::new(reason, "write hours and minutes, such as \"22:00\"")
    })
}

/// A day by its short or whole name, or `daily`.
fn days(text: &str) -> Result<Days, Fault> {
    let lower = text.to_ascii_lowercase();
    if lower == "daily" {
        return Ok(Days::DAILY);
    }
    let day = Weekday::Monday
        .cycle_forward()
        .take(7)
        .find(|day| lower == short_name(*day) || lower == format!("{day:?}").to_ascii_lowercase());
    day.map(|day| Days::default().with(day)).ok_or_else(|| {
        let reason = format!("{} is not a day", parse::shown(text));
        Fault::new(reason, "write mon, tue, wed, thu, fri, sat, sun or daily")
    })
}

/// Recipients may also be made elsewhere than in the file, so that an unknown name is no error.
fn warn_of_unknown(table: &Table, window: &Window, recipients: &[Wanted], findings: &mut Findings) {
    let known: Vec<&str> = recipients.iter().map(|recipient| recipient.name.as_str()).collect();
    for name in window.recipients.iter().flatten().filter(|name| !known.contains(&&***name)) {
        let meant = match setting::nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean {}?", parse::shown(near)),
            None => "it counts once there is one".to_owned(),
        };
        let text = format!("no recipient in this file is called {}; {meant}", parse::shown(name));
        findings.warn(&table.place("recipients"), text);
    }
}
