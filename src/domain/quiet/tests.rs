//! Muting and windows, weekly ones against a clock that is watched minute by minute.

use std::collections::BTreeMap;

use jiff::Span;
use jiff::civil::{Date, DateTime, Time, Weekday, date, time};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn weekly(days: Days, start: Time, end: End) -> When {
    When::Weekly(Weekly { days, start, end })
}

fn window(name: &str, recipients: &[&str], when: When) -> Window {
    let recipients: BTreeSet<Arc<str>> = recipients.iter().map(|name| Arc::from(*name)).collect();
    Window { name: name.into(), recipients: Some(recipients).filter(|names| !names.is_empty()), when }
}

fn quiet(tz: &str, windows: Vec<Window>) -> Quiet {
    Quiet { windows, tz: zone(tz), ..Quiet::default() }
}

fn names(quiet: &Quiet, now: &str) -> Vec<String> {
    quiet.names(at(now)).iter().map(ToString::to_string).collect()
}

#[test]
fn the_next_time_is_after_the_present_one() {
    let tz = zone("Europe/Vienna");
    let nights = weekly(Days::default().with(Weekday::Sunday), time(22, 0, 0, 0), End::At(time(2, 0, 0, 0)));
    for (now, from, to) in [
        // 22 November 2026 is a Sunday; Vienna is an hour ahead.
        ("2026-11-22T20:59:59Z", "2026-11-22T21:00:00Z", "2026-11-23T01:00:00Z"),
        ("2026-11-22T21:00:00Z", "2026-11-29T21:00:00Z", "2026-11-30T01:00:00Z"),
        ("2026-11-23T12:00:00Z", "2026-11-29T21:00:00Z", "2026-11-30T01:00:00Z"),
    ] {
        assert_eq!(nights.next(at(now), &tz), Some((at(from), at(to))), "{now}");
    }
    let once = When::Once { from: at("2026-11-22T10:00:00Z"), to: at("2026-11-22T11:00:00Z") };
    assert!(once.next(at("2026-11-22T09:59:59Z"), &tz).is_some());
    assert_eq!(once.next(at("2026-11-22T10:00:00Z"), &tz), None);
}

#[test]
fn muting_ends_at_its_time() {
    let quiet = Quiet { muted_until: Some(at("2026-01-31T08:00:00Z")), ..Quiet::default() };
    assert!(quiet.is_total(at("2026-01-31T07:59:59.999Z")));
    assert!(!quiet.is_total(at("2026-01-31T08:00:00Z")));
    assert_eq!(quiet.until(at("2026-01-30T08:00:00Z"), "any"), quiet.muted_until);
    assert_eq!(quiet.until(at("2026-01-31T08:00:00Z"), "any"), None);
    let nothing = Quiet::default();
    assert!(!nothing.is_total(at("2026-01-31T08:00:00Z")) && nothing.sentences(Timestamp::MIN).is_empty());
}

#[test]
fn a_window_is_for_all_or_for_those_that_it_names() {
    let once = |from: &str, to: &str| When::Once { from: at(from), to: at(to) };
    let quiet = quiet(
        "UTC",
        vec![
            window("two", &["b", "a"], once("2026-01-01T10:00Z", "2026-01-01T12:00Z")),
            window("one", &["c", "a"], once("2026-01-01T11:00Z", "2026-01-01T13:00Z")),
            window("all", &[], once("2026-01-01T13:00Z", "2026-01-01T14:00Z")),
        ],
    );
    assert_eq!(names(&quiet, "2026-01-01T09:59:59Z"), [""; 0]);
    assert_eq!(names(&quiet, "2026-01-01T10:00:00Z"), ["a", "b"]);
    assert_eq!(names(&quiet, "2026-01-01T11:00:00Z"), ["a", "b", "c"]);
    assert_eq!(names(&quiet, "2026-01-01T12:00:00Z"), ["a", "c"]);
    assert!(!quiet.is_total(at("2026-01-01T12:59:59Z")));
    assert!(quiet.is_total(at("2026-01-01T13:00:00Z")) && !quiet.is_total(at("2026-01-01T14:00:00Z")));
    assert_eq!(names(&quiet, "2026-01-01T13:00:00Z"), [""; 0]);
    // What follows on without a gap is one quiet: of a by three windows, of b by one, of d by that for all.
    let until = |now: &str, name: &str| quiet.until(at(now), name);
    assert_eq!(until("2026-01-01T10:00:00Z", "a"), Some(at("2026-01-01T14:00Z")));
    assert_eq!(until("2026-01-01T10:00:00Z", "b"), Some(at("2026-01-01T12:00Z")));
    assert_eq!(until("2026-01-01T10:00:00Z", "d"), None);
    assert_eq!(until("2026-01-01T13:30:00Z", "d"), Some(at("2026-01-01T14:00Z")));
    insta::assert_snapshot!(quiet.sentences(at("2026-01-01T11:30:00Z")).join("\n"), @r#"
    nothing is told about a, b until 2026-01-01 12:00 UTC (maintenance "two")
    nothing is told about a, c until 2026-01-01 13:00 UTC (maintenance "one")
    "#);
    insta::assert_snapshot!(quiet.sentences(at("2026-01-01T13:30:00Z")).join("\n"), @r#"nothing is told until 2026-01-01 14:00 UTC (maintenance "all")"#);
}

#[test]
fn a_quiet_without_end_is_looked_at_for_a_year() {
    let always = weekly(Days::DAILY, time(5, 0, 0, 0), End::After(SignedDuration::from_hours(24)));
    let quiet = quiet("UTC", vec![window("always", &[], always)]);
    let until = quiet.until(at("2026-01-01T00:00Z"), "any").unwrap();
    assert!(until >= at("2027-01-01T00:00Z") && until < at("2027-02-01T00:00Z"), "{until}");
    assert!(quiet.until(Timestamp::MAX, "any").is_none_or(|until| until <= Timestamp::MAX));
    assert_eq!(quiet.names(Timestamp::MIN), []);
}

#[test]
fn windows_over_the_change_of_the_clock_are_as_documented() {
    // Europe/Berlin in 2026: forward on 29 March at 01:00Z, back on 25 October at 01:00Z.
    let tz = zone("Europe/Berlin");
    let berlin = |day: Date, start: Time, end: Time| {
        let weekly = Weekly { days: Days::DAILY, start, end: End::At(end) };
        let (start, end) = weekly.occurrence(day, &tz).unwrap();
        format!("{} to {}", show_time(start, &tz), show_time(end, &tz))
    };
    let (forward, back) = (date(2026, 3, 29), date(2026, 10, 25));
    let (two, three) = (time(2, 0, 0, 0), time(3, 0, 0, 0));
    let answers = [
        berlin(forward, two, three),
        berlin(forward, time(2, 30, 0, 0), time(5, 0, 0, 0)),
        berlin(forward, time(1, 0, 0, 0), time(2, 30, 0, 0)),
        berlin(date(2026, 3, 28), time(22, 0, 0, 0), time(6, 0, 0, 0)),
        berlin(date(2026, 3, 28), two, two),
        berlin(back, two, three),
        berlin(back, time(1, 0, 0, 0), time(2, 30, 0, 0)),
        berlin(back, time(2, 30, 0, 0), time(4, 0, 0, 0)),
    ];
    insta::assert_snapshot!(answers.join("\n"), @r"
    2026-03-29 03:00 CEST to 2026-03-29 04:00 CEST
    2026-03-29 03:30 CEST to 2026-03-29 06:00 CEST
    2026-03-29 01:00 CET to 2026-03-29 03:30 CEST
    2026-03-28 22:00 CET to 2026-03-29 06:00 CEST
    2026-03-28 02:00 CET to 2026-03-29 03:00 CEST
    2026-10-25 02:00 CEST to 2026-10-25 03:00 CET
    2026-10-25 01:00 CEST to 2026-10-25 02:30 CEST
    2026-10-25 02:30 CEST to 2026-10-25 04:00 CET
    ");
}

#[test]
fn windows_describe_themselves() {
    let weekend: Days = [Weekday::Sunday, Weekday::Saturday].into_iter().collect();
    let night = End::At(time(2, 0, 0, 0));
    let long = End::After(SignedDuration::from_mins(90));
    let once = When::Once { from: at("2026-03-28T23:30:05Z"), to: at("2026-03-29T06:00:00Z") };
    let windows = [
        (window("a", &[], weekly(weekend, time(22, 0, 0, 0), night)), "Europe/Berlin"),
        (window("b", &["Sales", "Archive"], weekly(Days::DAILY, time(2, 0, 30, 0), long)), "UTC"),
        (window("c", &[], once), "Europe/Berlin"),
    ];
    let lines: Vec<String> = windows.iter().map(|(window, tz)| window.describe(&zone(tz))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    sat, sun 22:00 to 02:00 (Europe/Berlin): all recipients
    daily 02:00:30 for 1h 30m (UTC): Archive, Sales
    2026-03-29 00:30:05 CET to 2026-03-29 08:00 CEST: all recipients
    ");
}

#[test]
fn what_never_ends_is_told_from_what_does() {
    let days = |text: &str| -> Days {
        Weekday::Monday.cycle_forward().take(7).filter(|day| text.contains(short_name(*day))).collect()
    };
    let is_endless = |text: &str, hours: i64| {
        let end = End::After(SignedDuration::from_hours(hours));
        Weekly { days: days(text), start: time(1, 0, 0, 0), end }.is_endless()
    };
    assert!(is_endless("mon", 168) && !is_endless("mon", 167));
    assert!(is_endless("mon tue wed thu fri sat sun", 24) && !is_endless("mon tue wed thu fri sat sun", 23));
    assert!(is_endless("mon thu", 96) && !is_endless("mon thu", 95));
    assert!(is_endless("sun", 168) && !is_endless("sun mon", 143) && is_endless("sun mon", 144));
    let whole_days = Weekly { days: Days::DAILY, start: time(0, 0, 0, 0), end: End::At(time(0, 0, 0, 0)) };
    assert!(whole_days.is_endless());
}

/// What a clock on the wall shows, minute by minute.
struct Wall {
    /// Each minute, in order, with what the clock shows then.
    minutes: Vec<(Timestamp, DateTime)>,
    /// When it shows a time for the first time.
    first: BTreeMap<DateTime, Timestamp>,
}

impl Wall {
    fn watch(tz: &TimeZone, from: Timestamp, days: i64) -> Self {
        let minutes: Vec<_> = (0..days * 24 * 60)
            .map(|minute| from + SignedDuration::from_mins(minute))
            .map(|minute| (minute, tz.to_datetime(minute)))
            .collect();
        let mut first = BTreeMap::new();
        for (minute, shown) in &minutes {
            first.entry(*shown).or_insert(*minute);
        }
        Self { minutes, first }
    }

    /// The minute that shows a time first; of a skipped one what a clock would show that nobody puts forward.
    fn when(&self, shown: DateTime) -> Option<Timestamp> {
        self.first.get(&shown).copied().or_else(|| {
            let jump = self.minutes.windows(2).find(|pair| pair[0].1 < shown && shown < pair[1].1)?;
            Some(jump[0].0 + jump[0].1.duration_until(shown))
        })
    }

    /// The occurrences of a weekly window, of all days that are watched from their beginning.
    fn occurrences(&self, weekly: &Weekly) -> Vec<(Timestamp, Timestamp)> {
        // By the calendar: the clock may skip a whole day.
        let days = self.minutes[0].1.date().series(Span::new().days(1)).take(self.minutes.len() / 24 / 60);
        let days = days.filter(|day| weekly.days.contains(day.weekday()));
        days.filter_map(|day| {
            let shown = day.to_datetime(weekly.start);
            let start = self.when(shown)?;
            let end = match weekly.end {
                End::After(length) => start + length,
                End::At(end) => {
                    let mut closing = day.to_datetime(end);
                    if closing <= shown {
                        closing = day.tomorrow().unwrap().to_datetime(end);
                    }
                    if self.first.contains_key(&shown) {
                        self.when(closing)?
                    } else {
                        start + shown.duration_until(closing)
                    }
                }
            };
            Some((start, end))
        })
        .collect()
    }
}

fn any_time() -> impl Strategy<Value = Time> {
    // Half of them near the hours at which clocks are changed.
    prop_oneof![(0i8..24, 0i8..60), (0i8..5, prop_oneof![Just(0i8), Just(30), Just(59), 0i8..60])]
        .prop_map(|(hour, minute)| time(hour, minute, 0, 0))
}

fn any_weekly() -> impl Strategy<Value = Weekly> {
    let days = proptest::collection::vec(0i8..7, 1..5).prop_map(|days| {
        days.into_iter().map(|day| Weekday::from_monday_zero_offset(day).unwrap()).collect::<Days>()
    });
    let end = prop_oneof![
        3 => any_time().prop_map(End::At),
        1 => (1i64..=7 * 24 * 60).prop_map(|minutes| End::After(SignedDuration::from_mins(minutes))),
    ];
    (days, any_time(), end).prop_map(|(days, start, end)| Weekly { days, start, end })
}

/// Around changes of the clock: forward and back, by an hour, by half of one, by a whole day, and by none.
const CHANGES: [(&str, &str); 8] = [
    ("Europe/Berlin", "2026-03-29T01:00Z"),
    ("Europe/Berlin", "2026-10-25T01:00Z"),
    ("America/New_York", "2026-03-08T07:00Z"),
    ("America/New_York", "2026-11-01T06:00Z"),
    ("Australia/Lord_Howe", "2026-10-03T15:30Z"),
    ("America/Havana", "2026-03-08T05:00Z"),
    ("Pacific/Apia", "2011-12-30T10:00Z"),
    ("UTC", "2026-12-31T00:00Z"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn weekly_windows_are_open_when_a_watched_clock_says_so(
        (tz, change) in proptest::sample::select(&CHANGES[..]),
        weekly in any_weekly(),
    ) {
        let tz = zone(tz);
        let change = at(change);
        let wall = Wall::watch(&tz, change - SignedDuration::from_hours(12 * 24), 17);
        let occurrences = wall.occurrences(&weekly);
        for (start, end) in &occurrences {
            prop_assert!(start < end);
        }
        let quiet = Quiet { windows: vec![window("w", &["me"], When::Weekly(weekly))], tz, ..Quiet::default() };
        let looked_at = change - SignedDuration::from_hours(60)..change + SignedDuration::from_hours(60);
        for (minute, shown) in wall.minutes.iter().filter(|(minute, _)| looked_at.contains(minute)) {
            for now in [*minute, *minute + SignedDuration::from_millis(59_999)] {
                let end = occurrences.iter().filter(|(start, end)| *start <= now && now < *end).map(|o| o.1).max();
                let found = quiet.active(now).next().map(|(_, end)| end);
                prop_assert_eq!(found.is_some(), end.is_some(), "{} shown as {}", now, shown);
                // Ends beyond what is watched are not known to the oracle.
                if let (Some(found), Some(end)) = (found, end) {
                    prop_assert_eq!(found, end, "{} shown as {}", now, shown);
                }
            }
        }
    }

    #[test]
    fn until_is_the_first_moment_that_is_not_quiet(
        windows in proptest::collection::vec((any_weekly(), any::<bool>()), 1..4),
        offset in 0i64..7 * 24 * 60,
    ) {
        let windows: Vec<Window> = windows
            .into_iter()
            .map(|(weekly, for_all)| window("w", if for_all { &[] } else { &["me"] }, When::Weekly(weekly)))
            .collect();
        let quiet = quiet("Europe/Berlin", windows);
        let is_quiet = |now| quiet.is_total(now) || quiet.names(now).iter().any(|name| &**name == "me");
        let mut now = at("2026-03-26T00:00Z") + SignedDuration::from_mins(offset);
        let until = quiet.until(now, "me");
        prop_assert_eq!(until.is_some(), is_quiet(now));
        if let Some(until) = until {
            prop_assert!(!is_quiet(until) || until >= now + HORIZON);
            let last = until.min(now + SignedDuration::from_hours(10 * 24));
            while now < last {
                prop_assert!(is_quiet(now), "{now}");
                now += SignedDuration::from_mins(1);
            }
        }
        prop_assert_eq!(quiet.until(at("2026-03-26T00:00Z"), "other").is_some(), quiet.is_total(at("2026-03-26T00:00Z")));
    }
}
