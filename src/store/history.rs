//! A recipient's probes over time: as points for the picture and the figures, and as rows to read.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::Probe;
use crate::domain::verdict::{Placement, Standing, Verdict};

use super::row::probe_in_brief;
use super::{Error, Problem, Store, row};

/// Points are read in slices of that length, some at once, so that no statement runs long and no answer is huge. At the
/// shortest interval one has about ten thousand.
const SLICE: SignedDuration = SignedDuration::from_hours(84);
/// Slices that are read at once.
const AT_ONCE: usize = 2;

/// From one moment to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Period {
    #[must_use]
    pub fn length(self) -> SignedDuration {
        self.to.duration_since(self.from)
    }

    /// The same as parts of at most [`SLICE`] that do not overlap.
    fn slices(self) -> Vec<Self> {
        let mut slices = Vec::new();
        let mut from = self.from;
        while let Ok(end) = from.checked_add(SLICE)
            && end < self.to
        {
            slices.push(Self { from, to: end });
            // What the database can tell apart.
            let Ok(next) = end.checked_add(SignedDuration::from_micros(1)) else { return slices };
            from = next;
        }
        slices.push(Self { from, to: self.to });
        slices
    }
}

/// One probe in the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub at: Timestamp,
    /// How the recipient stood after it; [`Standing::Pending`]: under way.
    pub standing: Standing,
    /// Of a probe that arrived; `None` where nobody can tell.
    pub latency_ms: Option<f32>,
    /// The latency is worked out afterwards.
    pub estimated: bool,
    /// Somebody asked for it: it counts nowhere.
    pub manual: bool,
}

/// One probe to read about.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub created_at: Timestamp,
    pub probe: Probe,
}

impl Entry {
    #[must_use]
    pub fn standing(&self) -> Standing {
        let placement = self.probe.arrival.as_ref().map(|arrival| arrival.placement);
        self.probe.result.map_or(Standing::Pending, |verdict| Standing::after(verdict, placement))
    }

    #[must_use]
    pub fn place(&self) -> Place {
        Place { created_at: self.created_at, id: self.probe.id }
    }
}

/// Where a probe is in the order of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub created_at: Timestamp,
    pub id: ProbeId,
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Newest,
    /// What comes next below this place.
    Older(Place),
    /// What comes next above it.
    Newer(Place),
}

/// How far a history reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Database time.
    pub now: Timestamp,
    pub oldest: Option<Timestamp>,
}

impl Store {
    /// How far a recipient's history goes back, and what time it is.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn history_reach(&self, id: RecipientId) -> Result<Reach, Error> {
        self.run("history_reach", async |client| {
            let statement = client
                .prepare_cached(
                    "-- history_reach()
                     select clock_timestamp(), (select p.created_at from maildt.probes p where p.recipient_id = $1
                         order by p.created_at limit 1)",
                )
                .await?;
            let row = client.query_one(&statement, &[&id.0]).await?;
            Ok(Reach { now: row.try_get(0)?, oldest: row.try_get(1)? })
        })
        .await
    }

    /// Every probe of a period, in no order: each exactly once, as it is when it is read.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn history_points(&self, id: RecipientId, period: Period) -> Result<Vec<Vec<Point>>, Error> {
        stream::iter(period.slices())
            .map(|slice| self.history_slice(id, slice))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn history_slice(&self, id: RecipientId, slice: Period) -> Result<Vec<Point>, Error> {
        self.run("history_slice", async |client| {
            // Three arrays cost a quarter of as many rows. Everything is in the index.
            let statement = client
                .prepare_cached(
                    "-- history_slice()
                     select array_agg(p.created_at), array_agg(p.latency_ms::float4),
                         array_agg((case when p.kind = 'manual' then 'x'
                             when p.result = 'delivered' then case when p.placement = 'junk'
                                 then case when p.latency_estimated then 'J' else 'j' end
                                 else case when p.latency_estimated then 'D' else 'd' end end
                             when p.result = 'late' then case when p.latency_estimated then 'L' else 'l' end
                             when p.result = 'missing' then 'm' when p.result = 'send_failed' then 's'
                             when p.result = 'bounced' then 'b' when p.result = 'inconclusive' then 'i'
                             else '.' end)::\"char\")
                     from maildt.probes p where p.recipient_id = $1 and p.created_at >= $2 and p.created_at <= $3",
                )
                .await?;
            let row = client.query_one(&statement, &[&id.0, &slice.from, &slice.to]).await?;
            points(&row)
        })
        .await
    }

    /// At most `limit` probes of a period, newest first, and whether there are more in the direction that was asked for;
    /// `standing`: only those that ended like that.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn history_entries(
        &self,
        id: RecipientId,
        period: Period,
        standing: Option<Standing>,
        part: Part,
        limit: usize,
    ) -> Result<(Vec<Entry>, bool), Error> {
        let (comparison, order, place) = match part {
            Part::Newest => ("<=", "desc", None),
            Part::Older(place) => ("<", "desc", Some(place)),
            Part::Newer(place) => (">", "asc", Some(place)),
        };
        let (at, probe) = place.map_or((period.to, Uuid::max()), |place| (place.created_at, place.id.uuid()));
        let condition = standing.map_or("", condition);
        let columns = probe_in_brief();
        // The second line says what the third does, in a way that the index understands.
        let text = format!(
            "-- history_entries()
             select {columns}, p.created_at from maildt.probes p
             where p.recipient_id = $1 and p.created_at >= $2 and p.created_at <= $3 {condition}
                 and p.created_at {}= $4
                 and (p.created_at, p.id) {comparison} ($4, $5)
             order by p.created_at {order}, p.id {order} limit $6",
            comparison.get(..1).unwrap_or_default()
        );
        let asked = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        self.run("history_entries", async |client| {
            let statement = client.prepare_cached(&text).await?;
            let rows =
                client.query(&statement, &[&id.0, &period.from, &period.to, &at, &probe, &asked]).await?;
            let mut entries: Vec<Entry> = rows.iter().map(entry).collect::<Result<_, _>>()?;
            let more = entries.len() > limit;
            entries.truncate(limit);
            if matches!(part, Part::Newer(_)) {
                entries.reverse();
            }
            Ok((entries, more))
        })
        .await
    }
}

/// Written out, so that the planner can tell which index has them.
fn condition(standing: Standing) -> &'static str {
    match standing {
        Standing::Ok => "and p.result = 'delivered' and p.placement is distinct from 'junk'",
        Standing::Junk => "and p.result = 'delivered' and p.placement = 'junk'",
        Standing::Late => "and p.result = 'late'",
        Standing::Missing => "and p.result = 'missing'",
        Standing::SendFailed => "and p.result = 'send_failed'",
        Standing::Bounced => "and p.result = 'bounced'",
        Standing::Unknown => "and p.result = 'inconclusive'",
        Standing::Pending => "and p.result is null",
        // No probe ends like that.
        Standing::Paused => "and false",
    }
}

fn entry(row: &Row) -> Result<Entry, Problem> {
    Ok(Entry { created_at: row.try_get("created_at")?, probe: row::probe(row)? })
}

fn points(row: &Row) -> Result<Vec<Point>, Problem> {
    let times: Option<Vec<Timestamp>> = row.try_get(0)?;
    let latencies: Option<Vec<Option<f32>>> = row.try_get(1)?;
    let marks: Option<Vec<i8>> = row.try_get(2)?;
    let all =
        times.into_iter().flatten().zip(latencies.into_iter().flatten()).zip(marks.into_iter().flatten());
    all.map(|((at, latency), mark)| {
        let mark = char::from(mark.cast_unsigned());
        let (verdict, placement) = match mark.to_ascii_lowercase() {
            'd' => (Some(Verdict::Delivered), None),
            'j' => (Some(Verdict::Delivered), Some(Placement::Junk)),
            'l' => (Some(Verdict::Late), None),
            'm' => (Some(Verdict::Missing), None),
            's' => (Some(Verdict::SendFailed), None),
            'b' => (Some(Verdict::Bounced), None),
            'i' => (Some(Verdict::Inconclusive), None),
            '.' | 'x' => (None, None),
            other => return Err(Error::Row(format!("unknown mark {other:?}")).into()),
        };
        // A probe that was told missing may have arrived since; its mark stays.
        let is_timed = matches!(verdict, Some(Verdict::Delivered | Verdict::Late));
        Ok(Point {
            at,
            standing: verdict.map_or(Standing::Pending, |verdict| Standing::after(verdict, placement)),
            latency_ms: latency.filter(|ms| is_timed && ms.is_finite() && *ms >= 0.0),
            estimated: mark.is_ascii_uppercase(),
            manual: mark == 'x',
        })
    })
    .collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slices_cover_a_period_and_no_moment_twice(from in 0_i64..4_000_000_000, seconds in 0_i64..400_000_000) {
            let from = Timestamp::from_second(from).unwrap();
            let to = from.checked_add(SignedDuration::from_secs(seconds)).unwrap();
            let slices = Period { from, to }.slices();
            prop_assert_eq!(slices.first().map(|slice| slice.from), Some(from));
            prop_assert_eq!(slices.last().map(|slice| slice.to), Some(to));
            for pair in slices.windows(2) {
                prop_assert_eq!(pair[1].from.duration_since(pair[0].to), SignedDuration::from_micros(1));
            }
            for slice in slices {
                prop_assert!(slice.from <= slice.to && slice.length() <= SLICE);
            }
        }
    }
}
