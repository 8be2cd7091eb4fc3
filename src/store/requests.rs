//! Probes that people ask for: put down by whatever instance they ask, taken by the one that holds the lease.

use std::time::Duration;

use futures_util::future::try_join;
use jiff::Timestamp;

use crate::domain::id::ProbeId;
use crate::domain::probe::Kind;

use super::row::RECIPIENT;
use super::schedule::{Claimed, fresh, insert};
use super::{Error, Fence, Store, row};

/// Probes that people may have under way at once, for one recipient: it is somebody's mailbox.
const UNDER_WAY: i64 = 3;
/// One that has been under way for longer does not count: where mail is lost and the threshold is a day, people must still be
/// able to try. Seconds.
const COUNTS_S: f64 = 600.0;
/// As many in a minute, for all recipients.
const IN_A_MINUTE: i64 = 30;
/// After that time nobody waits for it any more.
pub const RUNS_OUT: Duration = Duration::from_mins(2);

/// What became of a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Requested {
    Yes,
    /// Enough of them are under way.
    TooMany,
    /// There is no such recipient, or no longer.
    Gone,
}

impl Store {
    /// Asks for a probe of this identity now, whether its recipient is paused or not.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn request_probe(&self, id: ProbeId) -> Result<Requested, Error> {
        self.run_tx("request_probe", async |tx| {
            let recipient = id.recipient().0;
            tx.execute(
                "-- forget_requests()
                 delete from maildt.requests where requested_at < clock_timestamp() - make_interval(secs => $1)",
                &[&RUNS_OUT.as_secs_f64()],
            )
            .await?;
            // Requests for one recipient take turns. They are counted by a statement of its own: the one that waits for its turn
            // sees only what was there before it waited.
            let locked = tx
                .query_opt(
                    "-- lock_for_request()
                     select 1 from maildt.recipients where id = $1 and deleted_at is null for no key update",
                    &[&recipient],
                )
                .await?;
            if locked.is_none() {
                return Ok(Requested::Gone);
            }
            let row = tx
                .query_one(
                    "-- count_requests()
                     select (select count(*) from maildt.requests q where q.recipient_id = $1)
                             + (select count(*) from maildt.probes p where p.recipient_id = $1 and p.result is null
                                and p.kind = 'manual' and p.created_at > clock_timestamp() - make_interval(secs => $2)),
                         (select count(*) from maildt.requests)
                             + (select count(*) from maildt.probes p
                                where p.kind = 'manual' and p.created_at > (select clock_timestamp() - interval '1 minute'))",
                    &[&recipient, &COUNTS_S],
                )
                .await?;
            let (of_recipient, of_all): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            if of_recipient >= UNDER_WAY || of_all >= IN_A_MINUTE {
                return Ok(Requested::TooMany);
            }
            let text = "-- insert_request()
                insert into maildt.requests (probe_id, recipient_id) values ($1, $2)";
            tx.execute(text, &[&id.uuid(), &recipient]).await?;
            Ok(Requested::Yes)
        })
        .await
    }

    /// Since when a probe is asked for that nobody has made yet.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn requested_at(&self, id: ProbeId) -> Result<Option<Timestamp>, Error> {
        self.run("requested_at", async |client| {
            let statement = client
                .prepare_cached(
                    "-- requested_at()\nselect requested_at from maildt.requests where probe_id = $1",
                )
                .await?;
            let row = client.query_opt(&statement, &[&id.uuid()]).await?;
            Ok(row.map(|row| row.try_get(0)).transpose()?)
        })
        .await
    }

    /// Takes at most `limit` requests for a sender's recipients: commits a probe in state `sending` for each, as
    /// [`Store::claim_due`] does. `touched` is given the identities before the commit.
    ///
    /// # Errors
    /// As [`Store::claim_due`].
    pub async fn claim_requested(
        &self,
        fence: Fence,
        key_id: i32,
        sender: &str,
        limit: usize,
        touched: &mut Vec<ProbeId>,
    ) -> Result<Vec<Claimed>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run_tx("claim_requested", async |tx| {
            let text = format!(
                "-- claim_requested()
                 with taken as (
                     delete from maildt.requests where probe_id in (
                         select q.probe_id from maildt.requests q join maildt.recipients r on r.id = q.recipient_id
                         where r.sender = $1 order by q.requested_at limit $2 for update of q skip locked)
                     returning probe_id, recipient_id, requested_at)
                 select {RECIPIENT}, t.probe_id, t.requested_at, clock_timestamp() as now
                 from taken t join maildt.recipients r on r.id = t.recipient_id
                 where r.deleted_at is null and t.requested_at > clock_timestamp() - make_interval(secs => $3)"
            );
            let take = async { Ok(tx.query(&text, &[&sender, &limit, &RUNS_OUT.as_secs_f64()]).await?) };
            let ((), rows) = try_join(fence.check(tx), take).await?;
            let mut claimed = Vec::with_capacity(rows.len());
            for found in &rows {
                let recipient = row::recipient(found)?;
                let id = ProbeId::from_uuid(found.try_get("probe_id")?);
                let (requested_at, now): (Timestamp, Timestamp) =
                    (found.try_get("requested_at")?, found.try_get("now")?);
                touched.push(id);
                let probe = fresh((Kind::Manual, id), key_id, &recipient, requested_at, now);
                let lag = crate::domain::probe::between(requested_at, now);
                let address = recipient.address.to_string();
                claimed.push(Claimed { probe, address, recipient: Some(recipient), lag });
            }
            let mut inserted = insert(tx, &claimed).await?.into_iter();
            claimed.retain(|_| inserted.next() == Some(1));
            Ok(claimed)
        })
        .await
    }
}
