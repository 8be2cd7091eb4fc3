//! The outbox: what is to be told, and what became of it. Only the holder of the lease drains it, so each write checks the
//! fence; on top of that each is a compare-and-set on the row's state.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::row::{INCIDENT, incident, word};
use super::{Error, Fence, Problem, Store};
use crate::domain::alert::{Channel, Incident, IncidentId, Kind, Scope, Telling};
use crate::domain::probe::between;

/// Rows of one channel that are looked at together; what is beyond waits for them. More than twice what a burst can bring,
/// so that it is one message.
const AT_ONCE: i64 = 25_000;

/// A notification that is neither delivered nor given up. What its incident has to tell is read when it is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub id: i64,
    pub incident: IncidentId,
    pub kind: Kind,
    pub scope: Scope,
    /// When the incident was over, if it is.
    pub resolved_at: Option<Timestamp>,
    pub telling: Telling,
    /// Of the reminder; 0 for the others.
    pub number: i32,
    pub created_at: Timestamp,
    /// It is kept back because everybody concerned is muted.
    pub held: bool,
    /// The first row of those that share its message, once it was composed.
    pub message: Option<i64>,
    /// The incident of that row: with it, the message's identity in the world outside.
    pub message_incident: Option<IncidentId>,
    pub tries: i32,
    pub first_try_at: Option<Timestamp>,
    pub next_try_at: Option<Timestamp>,
    /// Every recipient concerned is muted now; never true of an incident without recipients.
    pub quiet: bool,
    /// It is the end of an incident of which nothing was told here, and whose opening does not wait to be.
    pub unheard: bool,
}

/// The queue of one channel.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Database time.
    pub now: Timestamp,
    /// The oldest first.
    pub rows: Vec<Pending>,
    /// Rows that cannot be read, such as those of a newer version of this program.
    pub unreadable: Vec<i64>,
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    Delivered,
    /// To be tried again, not before `at`.
    Again {
        at: Timestamp,
        reason: String,
        /// Whether it counts as a try.
        counts: bool,
        /// Whether the channel did not take it; otherwise our own stop came in between.
        failed: bool,
    },
    /// It failed, and is not tried again.
    GivenUp {
        reason: String,
    },
}

impl Settlement {
    /// The same, but that a failed try is the last one when the first was `dead_after` or longer ago.
    #[must_use]
    pub fn or_give_up(self, first_try_at: Option<Timestamp>, now: Timestamp, dead_after: Duration) -> Self {
        let too_long = first_try_at.is_some_and(|first| between(first, now) >= dead_after);
        match self {
            Self::Again { reason, failed: true, .. } if too_long => Self::GivenUp { reason },
            other => other,
        }
    }
}

/// Why a notification is closed without having been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// Given up after too many tries.
    Dead,
    /// Not worth telling any more, for this reason.
    Dropped(&'static str),
}

/// A message that told of an incident: its first row, and the incident of that row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    pub message: i64,
    pub incident: IncidentId,
}

impl Store {
    /// What waits on `channel`, without what is kept back and has to be for now: that may be any number of rows, and hides
    /// nothing. A row is quiet when all its recipients are muted or among `silenced` (by name); in a `silence` all are.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn pending_notifications(
        &self,
        channel: &Channel,
        silenced: &[Arc<str>],
        silence: bool,
    ) -> Result<Queue, Error> {
        let channel = channel.to_string();
        let silenced: Vec<&str> = silenced.iter().map(|name| &**name).collect();
        self.run("pending_notifications", async |client| {
            // Of a message that was composed all rows are kept back, or none. Those that were tried a moment ago are read
            // last: many of them that nobody takes keep no other from being seen.
            let text = "-- pending_notifications()
                 with waiting as (
                     select n.*, i.kind, i.scope, i.resolved_at,
                         -- By their ids alone: without statistics anything else reads all recipients for each row.
                         (select coalesce(bool_and(coalesce(r.muted_until > clock_timestamp(), false) or r.name = any($2))
                              filter (where r.deleted_at is null), false)
                          from maildt.recipients r where r.id = any(i.recipients)) as quiet
                     from maildt.notifications n join maildt.incidents i on i.id = n.incident_id
                     where n.channel = $1 and n.state in ('pending', 'sending')
                 ), composed as (
                     select w.*, bool_and(w.quiet) over (partition by coalesce(w.message, w.id)) as all_quiet
                     from waiting w
                 ), told as (
                     select c.* from composed c
                     where not (c.held and ($4 or c.all_quiet))
                     order by c.message is not null and coalesce(c.next_try_at > now(), false), c.id limit $3
                 )
                 select t.id as row_id, t.incident_id, t.kind, t.scope, t.resolved_at, t.event, t.number, t.created_at,
                     t.held, t.message, m.incident_id as message_incident, t.tries, t.first_try_at, t.next_try_at, t.quiet,
                     t.event = 'resolved' and not exists (select 1 from maildt.notifications o
                         where o.incident_id = t.incident_id and o.channel = t.channel
                             and (o.state = 'delivered' or o.event = 'opened' and o.state in ('pending', 'sending')))
                         as unheard
                 from told t left join maildt.notifications m on m.id = t.message
                 order by t.id";
            let (clock, rows) = try_join(
                client.prepare_cached("-- now()\nselect clock_timestamp()"),
                client.prepare_cached(text),
            )
            .await?;
            let (now, rows) = try_join(
                client.query_one(&clock, &[]),
                client.query(&rows, &[&channel, &silenced, &AT_ONCE, &silence]),
            )
            .await?;
            let mut queue = Queue { now: now.try_get(0)?, rows: Vec::new(), unreadable: Vec::new() };
            for row in &rows {
                match pending(row) {
                    Ok(pending) => queue.rows.push(pending),
                    Err(_) => queue.unreadable.push(row.try_get("row_id")?),
                }
            }
            Ok(queue)
        })
        .await
    }

    /// The incidents of these rows, by row; and the rows whose incident cannot be read.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn incidents_to_tell(&self, ids: &[i64]) -> Result<(BTreeMap<i64, Incident>, Vec<i64>), Error> {
        self.run("incidents_to_tell", async |client| {
            let text = format!(
                "-- incidents_to_tell()
                 select {INCIDENT}, n.id as row_id
                 from maildt.notifications n join maildt.incidents i on i.id = n.incident_id
                 where n.id = any($1)"
            );
            let statement = client.prepare_cached(&text).await?;
            let (mut incidents, mut unreadable) = (BTreeMap::new(), Vec::new());
            for row in &client.query(&statement, &[&ids]).await? {
                let id = row.try_get("row_id")?;
                match incident(row) {
                    Ok(incident) => {
                        incidents.insert(id, incident);
                    }
                    Err(_) => unreadable.push(id),
                }
            }
            Ok((incidents, unreadable))
        })
        .await
    }

    /// Makes `ids` one message that is being sent by `dispatcher`. Gives those that still waited; the others are settled.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn claim_notifications(
        &self,
        fence: Fence,
        dispatcher: Uuid,
        ids: &[i64],
    ) -> Result<Vec<i64>, Error> {
        let first = ids.iter().min().copied();
        self.run_tx("claim_notifications", async |tx| {
            fence.check(tx).await?;
            let statement = tx
                .prepare_cached(
                    "-- claim_notifications()
                     update maildt.notifications set state = 'sending', claimed_by = $2, message = coalesce(message, $3),
                         tries = tries + 1, first_try_at = coalesce(first_try_at, clock_timestamp())
                     where id = any($1) and state in ('pending', 'sending')
                     returning id",
                )
                .await?;
            let rows = tx.query(&statement, &[&ids, &dispatcher, &first]).await?;
            Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Writes down what became of a try by `dispatcher`. Rows that are not its own any more stay as they are.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn settle_notifications(
        &self,
        fence: Fence,
        dispatcher: Uuid,
        ids: &[i64],
        settlement: &Settlement,
    ) -> Result<(), Error> {
        self.run_tx("settle_notifications", async |tx| {
            fence.check(tx).await?;
            match settlement {
                Settlement::Delivered => {
                    let statement = tx
                        .prepare_cached(
                            "-- settle_delivered()
                             update maildt.notifications set state = 'delivered', settled_at = clock_timestamp(),
                                 claimed_by = null, next_try_at = null, last_error = null
                             where id = any($1) and state = 'sending' and claimed_by = $2",
                        )
                        .await?;
                    tx.execute(&statement, &[&ids, &dispatcher]).await?;
                }
                Settlement::Again { at, reason, counts, .. } => {
                    let statement = tx
                        .prepare_cached(
                            "-- settle_again()
                             update maildt.notifications set state = 'pending', claimed_by = null, next_try_at = $3,
                                 last_error = $4, tries = tries - (case when $5 then 0 else 1 end)
                             where id = any($1) and state = 'sending' and claimed_by = $2",
                        )
                        .await?;
                    tx.execute(&statement, &[&ids, &dispatcher, at, reason, counts]).await?;
                }
                Settlement::GivenUp { reason } => {
                    let statement = tx
                        .prepare_cached(
                            "-- settle_given_up()
                             update maildt.notifications set state = 'dead', settled_at = clock_timestamp(),
                                 claimed_by = null, next_try_at = null, last_error = $3
                             where id = any($1) and state = 'sending' and claimed_by = $2",
                        )
                        .await?;
                    tx.execute(&statement, &[&ids, &dispatcher, reason]).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Ends notifications that nobody will be told.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn close_notifications(
        &self,
        fence: Fence,
        ids: &[i64],
        closing: Closing,
    ) -> Result<(), Error> {
        let (state, why) = match closing {
            Closing::Dead => ("dead", None),
            Closing::Dropped(why) => ("dropped", Some(why)),
        };
        self.run_tx("close_notifications", async |tx| {
            fence.check(tx).await?;
            let statement = tx
                .prepare_cached(
                    "-- close_notifications()
                     update maildt.notifications set state = $2, settled_at = clock_timestamp(), claimed_by = null,
                         next_try_at = null, last_error = coalesce($3, last_error)
                     where id = any($1) and state in ('pending', 'sending')",
                )
                .await?;
            tx.execute(&statement, &[&ids, &state, &why]).await?;
            Ok(())
        })
        .await
    }

    /// Keeps notifications back while everybody concerned is muted.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn hold_notifications(&self, fence: Fence, ids: &[i64]) -> Result<(), Error> {
        self.run_tx("hold_notifications", async |tx| {
            fence.check(tx).await?;
            let statement = tx
                .prepare_cached(
                    "-- hold_notifications()
                     update maildt.notifications set held = true, state = 'pending', claimed_by = null
                     where id = any($1) and state in ('pending', 'sending')",
                )
                .await?;
            tx.execute(&statement, &[&ids]).await?;
            Ok(())
        })
        .await
    }

    /// Lets go of what was kept back: it is due from now on, and its time until it is given up begins now.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn release_notifications(&self, fence: Fence, ids: &[i64]) -> Result<(), Error> {
        self.run_tx("release_notifications", async |tx| {
            fence.check(tx).await?;
            let statement = tx
                .prepare_cached(
                    "-- release_notifications()
                     update maildt.notifications set held = false, first_try_at = null, next_try_at = clock_timestamp()
                     where id = any($1) and held and state in ('pending', 'sending')",
                )
                .await?;
            tx.execute(&statement, &[&ids]).await?;
            Ok(())
        })
        .await
    }

    /// The messages that told of `incident` on `channel` so far, the first one first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn told(&self, channel: &Channel, incident: IncidentId) -> Result<Vec<Told>, Error> {
        let channel = channel.to_string();
        self.run("told", async |client| {
            let statement = client
                .prepare_cached(
                    "-- told()
                     select m.id, m.incident_id
                     from maildt.notifications n join maildt.notifications m on m.id = n.message
                     where n.incident_id = $1 and n.channel = $2 and n.state = 'delivered'
                     order by n.id",
                )
                .await?;
            let rows = client.query(&statement, &[&incident.0, &channel]).await?;
            let told =
                |row: &Row| Ok(Told { message: row.try_get(0)?, incident: IncidentId(row.try_get(1)?) });
            rows.iter().map(told).collect()
        })
        .await
    }
}

fn pending(row: &Row) -> Result<Pending, Problem> {
    let scope: &str = row.try_get("scope")?;
    Ok(Pending {
        id: row.try_get("row_id")?,
        incident: IncidentId(row.try_get("incident_id")?),
        kind: word(&Kind::ALL, Kind::as_str, row.try_get("kind")?)?,
        scope: scope.parse().map_err(|e| Error::Row(format!("{e}")))?,
        resolved_at: row.try_get("resolved_at")?,
        telling: word(&Telling::ALL, Telling::as_str, row.try_get("event")?)?,
        number: row.try_get("number")?,
        created_at: row.try_get("created_at")?,
        held: row.try_get("held")?,
        message: row.try_get("message")?,
        message_incident: row.try_get::<_, Option<i64>>("message_incident")?.map(IncidentId),
        tries: row.try_get("tries")?,
        first_try_at: row.try_get("first_try_at")?,
        next_try_at: row.try_get("next_try_at")?,
        quiet: row.try_get("quiet")?,
        unheard: row.try_get("unheard")?,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_try_gives_up_and_only_a_day_after_the_first() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let day = Duration::from_hours(24);
        let again = |failed| Settlement::Again { at: at(0), reason: "500".to_owned(), counts: true, failed };
        let dead = Settlement::GivenUp { reason: "500".to_owned() };
        assert_eq!(again(true).or_give_up(Some(at(0)), at(86_399), day), again(true));
        assert_eq!(again(true).or_give_up(Some(at(0)), at(86_400), day), dead);
        assert_eq!(again(true).or_give_up(None, at(86_400), day), again(true), "its first try");
        assert_eq!(again(false).or_give_up(Some(at(0)), at(86_400), day), again(false));
        assert_eq!(Settlement::Delivered.or_give_up(Some(at(0)), at(86_400), day), Settlement::Delivered);
    }
}
