//! Probes in pages, newest first, however many there are.

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::domain::id::RecipientId;
use crate::domain::probe::{Probe, State};

use super::history::Place;
use super::row::probe_in_brief;
use super::{Error, Store, row};

/// How far the wall clock of an instance, by which ids sort, may differ from the database's.
const CLOCKS: SignedDuration = SignedDuration::from_hours(1);

/// Which probes.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeList {
    pub recipient: Option<RecipientId>,
    pub state: Option<State>,
    /// Made then or later, by database time.
    pub since: Option<Timestamp>,
    /// Those that come after it, that is, older ones.
    pub after: Option<Place>,
    pub limit: i64,
}

impl ProbeList {
    /// What the state says about the result. The database has indexes of results, as these change once; a state is in none.
    fn of_result(&self) -> &'static str {
        let Some(state) = self.state else { return "true" };
        match state {
            State::Sending | State::Deferred | State::Accepted | State::Unconfirmed => "p.result is null",
            State::Delivered => "p.result = 'delivered'",
            State::Missing => "p.result = 'missing'",
            State::SendFailed => "p.result = 'send_failed'",
            State::Bounced => "p.result = 'bounced'",
            State::Inconclusive => "p.result = 'inconclusive'",
            // It may have been told missing or bounced before it came.
            State::Late => "p.result in ('late', 'missing', 'bounced')",
        }
    }
}

impl Store {
    /// A page of probes, newest first: those of one recipient by the time when they were made, those of all by their ids,
    /// which sort by age. Both are read from an index and no further than the page needs.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn probe_list(&self, list: &ProbeList) -> Result<Vec<(Place, Probe)>, Error> {
        let of_result = list.of_result();
        let state = list.state.map(State::as_str);
        let recipient = list.recipient.map(|id| id.0);
        let after = list.after.map(|place| place.created_at);
        let after_id = list.after.map(|place| place.id.uuid());
        let oldest = list.since.map(oldest_id);
        let columns = probe_in_brief();
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&list.limit, &state, &list.since, &after_id];
        let text = if recipient.is_some() {
            values.extend([&recipient as &(dyn ToSql + Sync), &after]);
            format!(
                "-- probe_list_of_recipient()
                 select {columns}, p.created_at from maildt.probes p
                 where {of_result} and p.recipient_id = $5 and ($2::text is null or p.state = $2)
                     and ($3::timestamptz is null or p.created_at >= $3)
                     and ($6::timestamptz is null or p.created_at <= $6 and (p.created_at, p.id) < ($6, $4::uuid))
                 order by p.created_at desc, p.id desc limit $1"
            )
        } else {
            values.push(&oldest);
            // Without a condition that is always there the plan would have to serve both with and without it.
            let after = if after_id.is_some() { "p.id < $4" } else { "$4::uuid is null" };
            let since = if oldest.is_some() {
                "p.id >= $5 and p.created_at >= $3"
            } else {
                "$5::uuid is null and $3::timestamptz is null"
            };
            format!(
                "-- probe_list()
                 select {columns}, p.created_at from maildt.probes p
                 where {of_result} and ($2::text is null or p.state = $2) and {since} and {after}
                 order by p.id desc limit $1"
            )
        };
        self.run("probe_list", async |client| {
            let statement = client.prepare_cached(&text).await?;
            let rows = client.query(&statement, &values).await?;
            rows.iter()
                .map(|found| {
                    let probe = row::probe(found)?;
                    Ok((Place { created_at: found.try_get("created_at")?, id: probe.id }, probe))
                })
                .collect()
        })
        .await
    }
}

/// An id that is lower than those of all probes made since then.
fn oldest_id(since: Timestamp) -> Uuid {
    let from = since.checked_sub(CLOCKS).unwrap_or(Timestamp::UNIX_EPOCH);
    let unix_ms = u128::try_from(from.as_millisecond()).unwrap_or_default();
    Uuid::from_u128(unix_ms << 80)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::domain::id::ProbeId;

    #[test]
    fn ids_made_since_then_are_not_below_the_oldest() {
        let since: Timestamp = "2026-11-01T10:00:00Z".parse().unwrap();
        for (ahead_s, is_in) in [(1, true), (0, true), (-3_500, true), (-3_700, false)] {
            let ms = u64::try_from(since.as_millisecond() + ahead_s * 1000).unwrap();
            let id = ProbeId::new(ms, RecipientId(1), 0);
            assert_eq!(id.uuid() >= oldest_id(since), is_in, "{ahead_s}");
        }
        assert_eq!(oldest_id(Timestamp::UNIX_EPOCH), Uuid::nil());
    }
}
