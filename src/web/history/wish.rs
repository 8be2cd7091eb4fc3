//! What a viewer asks for: which time, which outcome, which part of the list.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::verdict::Standing;
use crate::store::{Part, Period, Place, Reach};
use crate::web::{states, words};

/// As it stands in the address.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// A [`Range`].
    range: String,
    /// Times: RFC 3339, or a date and perhaps a time in UTC. With one of them there is no range.
    pub from: String,
    pub to: String,
    /// A class of [`states::look`].
    state: String,
    /// The list goes on below or above this [`Place`].
    before: String,
    after: String,
}

/// A time that ends now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Range {
    Hour,
    SixHours,
    Day,
    Week,
    All,
}

impl Range {
    pub const ALL: [Self; 5] = [Self::Hour, Self::SixHours, Self::Day, Self::Week, Self::All];

    /// In addresses, and on the links.
    pub fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Hour => ("1h", "1 hour"),
            Self::SixHours => ("6h", "6 hours"),
            Self::Day => ("24h", "24 hours"),
            Self::Week => ("7d", "7 days"),
            Self::All => ("all", "All"),
        }
    }

    fn length(self) -> Option<SignedDuration> {
        let hours = match self {
            Self::Hour => 1,
            Self::SixHours => 6,
            Self::Day => 24,
            Self::Week => 168,
            Self::All => return None,
        };
        Some(SignedDuration::from_hours(hours))
    }
}

/// What is to be shown, as far as it can be understood.
#[derive(Clone, Debug)]
pub struct Wish {
    pub asked: Asked,
    range: Option<Range>,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    pub standing: Option<Standing>,
    pub part: Part,
    /// What cannot be understood, in words.
    pub faults: Vec<&'static str>,
}

impl Wish {
    pub fn of(asked: Asked) -> Self {
        let mut faults = Vec::new();
        let mut time = |text: &str, fault| match text.trim() {
            "" => None,
            text => moment(text).or_else(|| {
                faults.push(fault);
                None
            }),
        };
        let from = time(&asked.from, "“From” is no time that MailDT can read.");
        let to = time(&asked.to, "“To” is no time that MailDT can read.");
        if from.zip(to).is_some_and(|(from, to)| from > to) {
            faults.push("“From” is later than “To”.");
        }
        let range = Range::ALL.into_iter().find(|range| range.name().0 == asked.range);
        if range.is_none() && !asked.range.is_empty() {
            faults.push("There is no such range.");
        }
        let standing = Standing::ALL
            .into_iter()
            .find(|standing| *standing != Standing::Paused && states::look(*standing).class == asked.state);
        if standing.is_none() && !asked.state.is_empty() {
            faults.push("There is no such state.");
        }
        let part = match (asked.before.as_str(), asked.after.as_str()) {
            ("", "") => Some(Part::Newest),
            (before, "") => place(before).map(Part::Older),
            ("", after) => place(after).map(Part::Newer),
            _ => None,
        };
        if part.is_none() {
            faults.push("This part of the list does not exist.");
        }
        Self { asked, range, from, to, standing, part: part.unwrap_or(Part::Newest), faults }
    }

    /// The range that is shown; `None`: from one time to another. Without a wish it is the shortest that shows everything,
    /// at most a week.
    pub fn range(&self, reach: Reach) -> Option<Range> {
        if self.from.is_some() || self.to.is_some() {
            return None;
        }
        let age = reach.oldest.map_or(SignedDuration::MAX, |oldest| reach.now.duration_since(oldest));
        let fits = |range: &Range| range.length().is_some_and(|length| age <= length);
        Some(self.range.or_else(|| Range::ALL.into_iter().find(fits)).unwrap_or(Range::Week))
    }

    pub fn period(&self, reach: Reach) -> Period {
        let now = reach.now;
        let week = || now - SignedDuration::from_hours(168);
        if let Some(range) = self.range(reach) {
            let from = range.length().map(|length| now - length).or(reach.oldest).unwrap_or_else(week);
            return Period { from, to: now };
        }
        let to = self.to.unwrap_or(now).max(self.from.unwrap_or(Timestamp::UNIX_EPOCH));
        let from = self.from.unwrap_or_else(|| reach.oldest.unwrap_or_else(week));
        Period { from: from.min(to), to }
    }

    /// The range that the address names, if it counts.
    pub fn chosen_range(&self) -> Option<Range> {
        self.range.filter(|_| self.asked.from.is_empty() && self.asked.to.is_empty())
    }

    /// Whether something is left out that could be shown.
    pub fn is_narrow(&self) -> bool {
        let asked = &self.asked;
        [&asked.from, &asked.to, &asked.state].into_iter().any(|text| !text.is_empty())
    }

    pub fn asked_state(&self) -> &str {
        &self.asked.state
    }

    /// Whether what is shown goes on as time goes on.
    pub fn is_live(&self) -> bool {
        self.to.is_none() && self.part == Part::Newest && self.faults.is_empty()
    }

    /// The address of a part of the list.
    pub fn part_link(&self, id: RecipientId, name: &str, place: Place) -> String {
        let mut pairs = self.pairs();
        pairs.push((name, written(place)));
        format!("{}#probes", link(id, "", &pairs))
    }

    /// The address of the same with this outcome.
    pub fn state_link(&self, id: RecipientId, class: &str) -> String {
        let mut pairs = self.pairs();
        pairs.retain(|(name, _)| *name != "state");
        if !class.is_empty() {
            pairs.push(("state", class.to_owned()));
        }
        format!("{}#probes", link(id, "", &pairs))
    }

    /// The address of another range with this outcome.
    pub fn range_link(&self, id: RecipientId, range: Range) -> String {
        link(id, "", &[("range", range.name().0.to_owned()), ("state", self.asked.state.clone())])
    }

    /// The address of the same as CSV.
    pub fn csv_link(&self, id: RecipientId) -> String {
        link(id, ".csv", &self.pairs())
    }

    fn pairs(&self) -> Vec<(&str, String)> {
        let at = |at: Option<Timestamp>| at.map(words::exact).unwrap_or_default();
        vec![
            ("range", self.chosen_range().map(|range| range.name().0.to_owned()).unwrap_or_default()),
            ("from", at(self.from)),
            ("to", at(self.to)),
            ("state", self.asked.state.clone()),
        ]
    }
}

fn link(id: RecipientId, ending: &str, pairs: &[(&str, String)]) -> String {
    let mut url = reqwest::Url::parse("http://here/").unwrap_or_else(|_| unreachable!("a constant"));
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        url.query_pairs_mut().append_pair(name, value);
    }
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    format!("/recipients/{id}/history{ending}{query}")
}

/// A time, within what makes sense to everybody who has to work with it.
fn moment(text: &str) -> Option<Timestamp> {
    if text.len() > 40 {
        return None;
    }
    let at: Timestamp = text.parse().ok().or_else(|| {
        let local: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(local).ok()
    })?;
    (Timestamp::UNIX_EPOCH..FAR).contains(&at).then_some(at)
}

/// The year 2200.
const FAR: Timestamp = Timestamp::constant(7_258_118_400, 0);

/// `MICROSECONDS.UUID`.
fn place(text: &str) -> Option<Place> {
    let (micros, id) = text.split_once('.')?;
    let created_at = Timestamp::from_microsecond(micros.parse().ok()?).ok()?;
    let id: ProbeId = id.parse().ok()?;
    (Timestamp::UNIX_EPOCH..FAR).contains(&created_at).then_some(Place { created_at, id })
}

fn written(place: Place) -> String {
    format!("{}.{}", place.created_at.as_microsecond(), place.id.uuid().simple())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn asked(from: &str, to: &str, range: &str) -> Wish {
        Wish::of(Asked { from: from.into(), to: to.into(), range: range.into(), ..Asked::default() })
    }

    #[test]
    fn times_are_understood_as_people_write_them() {
        for text in ["2026-11-01T10:00", "2026-11-01 10:00", "2026-11-01T10:00:00Z", "2026-11-01T11:00+01:00"]
        {
            assert_eq!(moment(text), Some(at("2026-11-01T10:00:00Z")), "{text}");
        }
        assert_eq!(moment("2026-11-01"), Some(at("2026-11-01T00:00:00Z")));
        for text in ["x", "2026-13-01", "-009999-01-01", "9999-12-31", "1969-12-31", "2026", &"1".repeat(500)]
        {
            assert_eq!(moment(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told() {
        assert_eq!(asked("x", "y", "z").faults.len(), 3);
        assert_eq!(asked("2026-11-02", "2026-11-01", "").faults, ["“From” is later than “To”."]);
        let state = |state: &str| Wish::of(Asked { state: state.into(), ..Asked::default() });
        assert_eq!(state("paused").faults.len(), 1);
        assert_eq!(state("failed").standing, Some(Standing::SendFailed));
        for before in ["x", "1.x", ".", "99999999999999999999.0", "-1.00000000000080008000000000000000"] {
            assert_eq!(
                Wish::of(Asked { before: before.into(), ..Asked::default() }).faults.len(),
                1,
                "{before}"
            );
        }
    }

    #[test]
    fn without_a_wish_a_young_history_fills_the_picture() {
        let now = at("2026-11-22T12:00:00Z");
        for (minutes, expected) in
            [(5, Range::Hour), (90, Range::SixHours), (700, Range::Day), (1_500, Range::Week)]
        {
            let reach = Reach { now, oldest: Some(now - SignedDuration::from_mins(minutes)) };
            assert_eq!(asked("", "", "").range(reach), Some(expected), "{minutes}");
        }
        let old = Reach { now, oldest: Some(at("2025-11-22T12:00:00Z")) };
        assert_eq!(asked("", "", "").range(old), Some(Range::Week));
        assert_eq!(asked("", "", "all").period(old), Period { from: at("2025-11-22T12:00:00Z"), to: now });
        assert_eq!(asked("2026-11-01", "", "1h").range(old), None);
        assert_eq!(
            asked("2026-11-01", "", "1h").period(old),
            Period { from: at("2026-11-01T00:00:00Z"), to: now }
        );
        // A start in the future shows nothing, and makes no fault.
        let period = asked("2027-01-01", "", "").period(old);
        assert!(period.from <= period.to);
    }

    proptest! {
        #[test]
        fn a_place_is_found_again(micros in 0_i64..7_258_118_400_000_000, bits: u128) {
            let id = ProbeId::from_uuid(uuid::Uuid::from_u128(bits));
            let one = Place { created_at: Timestamp::from_microsecond(micros).unwrap(), id };
            prop_assert_eq!(place(&written(one)), Some(one));
        }

        #[test]
        fn nothing_that_is_asked_panics(range: String, from: String, to: String, state: String, before: String, after: String) {
            let wish = Wish::of(Asked { range, from, to, state, before, after });
            let now = at("2026-11-22T12:00:00Z");
            let period = wish.period(Reach { now, oldest: None });
            prop_assert!(period.from <= period.to);
        }
    }
}
