//! What the query of a request asks for.

use axum::extract::Query as Pairs;
use axum::http::Uri;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use uuid::Uuid;

use crate::domain::id::ProbeId;
use crate::store::Place;

use super::problem::Problem;
use super::{LIMIT_DEFAULT, LIMIT_MAX};

/// Parameters, each at most once.
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The query of `uri`, which may name these parameters.
    ///
    /// # Errors
    /// When a parameter is unknown or there twice: a list that is silently not the one asked for helps nobody.
    pub fn of(uri: &Uri, known: &[&str]) -> Result<Self, Problem> {
        let pairs = Pairs::<Vec<(String, String)>>::try_from_uri(uri)
            .map_err(|_| Problem::query("", "is not encoded as name=value&name=value"))?;
        let pairs = pairs.0;
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() {
                    "none is".to_owned()
                } else {
                    format!("known: {}", known.join(", "))
                };
                return Err(Problem::query(name, format!("is not known here; {known}")));
            }
            if pairs.iter().take(place).any(|(other, _)| other == name) {
                return Err(Problem::query(name, "is there twice; give it once"));
            }
        }
        Ok(Self(pairs))
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// A parameter's value, if it means something.
    ///
    /// # Errors
    /// When it is there and does not; `form` says what it should be.
    pub fn parsed<T>(
        &self,
        name: &str,
        form: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        parse(value).map(Some).ok_or_else(|| Problem::query(name, form))
    }

    /// How many objects are wanted.
    ///
    /// # Errors
    /// When that is no number within the bounds.
    pub fn limit(&self) -> Result<i64, Problem> {
        let limit = self.parsed("limit", "must be a whole number from 1 to 1000", |text| {
            whole(text).filter(|limit| (1..=LIMIT_MAX).contains(limit))
        })?;
        Ok(limit.unwrap_or(LIMIT_DEFAULT))
    }

    /// Where the last page ended.
    ///
    /// # Errors
    /// When it is none that we gave.
    pub fn cursor<T>(&self, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        self.parsed("cursor", "must be the next_cursor of an answer", parse)
    }

    /// A point in time.
    ///
    /// # Errors
    /// When it is none. Before 1970 there was nothing to see.
    pub fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        let form = "must be an RFC 3339 time such as 2026-01-31T08:00:00Z (write + as %2B)";
        let time = self.parsed(name, form, |text| text.parse::<Timestamp>().ok())?;
        Ok(time.map(|time| time.max(Timestamp::UNIX_EPOCH)))
    }
}

/// A whole number in its one usual form: no sign, no leading zeros, so that each resource has one address.
pub fn whole<T: std::str::FromStr + ToString>(text: &str) -> Option<T> {
    text.parse::<T>().ok().filter(|value| value.to_string() == text && !text.starts_with('-'))
}

/// A probe's id, as we write it or in capitals.
pub fn probe_id(text: &str) -> Option<ProbeId> {
    text.parse::<ProbeId>().ok().filter(|id| id.to_string().eq_ignore_ascii_case(text))
}

/// A place in a list of probes as text.
pub fn cursor_of(place: Place) -> String {
    let mut octets = place.created_at.as_microsecond().to_be_bytes().to_vec();
    octets.extend(place.id.uuid().as_bytes());
    BASE64URL_NOPAD.encode(&octets)
}

/// The inverse of [`cursor_of`].
pub fn place(cursor: &str) -> Option<Place> {
    let octets = BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
    let (time, id) = octets.split_first_chunk::<8>()?;
    let created_at = Timestamp::from_microsecond(i64::from_be_bytes(*time)).ok()?;
    let id = ProbeId::from_uuid(Uuid::from_slice(id).ok()?);
    (created_at >= Timestamp::UNIX_EPOCH).then_some(Place { created_at, id })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &str) -> Result<Query, Problem> {
        Query::of(&format!("/x?{query}").parse().unwrap(), &["limit", "since", "cursor"])
    }

    #[test]
    fn a_query_is_read_or_refused() {
        assert_eq!(read("").ok().unwrap().limit().ok(), Some(100));
        for (query, limit) in [("limit=1", Some(1)), ("limit=1000", Some(1000)), ("limit=%31", Some(1))] {
            assert_eq!(read(query).ok().unwrap().limit().ok(), limit, "{query}");
        }
        for query in
            ["limit=0", "limit=1001", "limit=-1", "limit=", "limit=01", "limit=+1", "limit=1e2", "limit=%00"]
        {
            assert!(read(query).ok().unwrap().limit().is_err(), "{query}");
        }
        for query in ["limit=1&limit=1", "limits=1", "=", "limit=1&x=%ff"] {
            assert!(read(query).is_err(), "{query}");
        }
        let time =
            |query: &str| read(query).ok().unwrap().time("since").ok().flatten().map(|t| t.to_string());
        assert_eq!(time("since=2026-01-31T08:00:00%2B01:00").as_deref(), Some("2026-01-31T07:00:00Z"));
        assert_eq!(time("since=-009999-01-31T08:00:00Z").as_deref(), Some("1970-01-01T00:00:00Z"));
        for query in ["since=2026-01-31T08:00:00+01:00", "since=yesterday", "since=", "since=2026-01-31"] {
            assert_eq!(time(query), None, "{query}");
        }
    }

    proptest! {
        #[test]
        fn a_cursor_reads_back(us in 0_i64..253_402_207_200_000_000, id: u128) {
            let place_there =
                Place { created_at: Timestamp::from_microsecond(us).unwrap(), id: ProbeId::from_uuid(Uuid::from_u128(id)) };
            prop_assert_eq!(place(&cursor_of(place_there)), Some(place_there));
        }

        #[test]
        fn nothing_makes_a_cursor_panic(text in "\\PC{0,40}|[A-Za-z0-9_-]{32}") {
            let _ = place(&text);
        }
    }
}
