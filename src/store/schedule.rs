//! Claiming what is due. A probe's row is committed here before the first byte goes to a server.

use std::time::Duration;

use futures_util::future::{try_join, try_join_all};
use jiff::Timestamp;

use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::plan::following;
use crate::domain::probe::{Kind, Probe, State};
use crate::domain::recipient::Recipient;

use super::row::RECIPIENT;
use super::{Error, Fence, Problem, Store, Tx, row};

/// A probe that is `sending` and ours to send.
#[derive(Clone, Debug)]
pub struct Claimed {
    pub probe: Probe,
    /// Where it goes.
    pub address: String,
    /// As it was when its slot was claimed; absent for a retry, whose recipient is known.
    pub recipient: Option<Recipient>,
    /// How long after its due time it was claimed.
    pub lag: Duration,
}

/// What a claim gave.
#[derive(Debug, Default)]
pub struct Claim {
    pub claimed: Vec<Claimed>,
    /// Slots passed over, and each recipient's next due time.
    pub planned: Vec<(RecipientId, Timestamp, u64)>,
}

/// What a sender has to do.
#[derive(Clone, Debug)]
pub struct Outstanding {
    pub sender: String,
    /// Until the next recipient is due; zero when one is. `None` without any.
    pub wait: Option<Duration>,
    /// Somebody asked for a probe.
    pub requested: bool,
}

impl Store {
    /// When each of these senders has to act next.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn outstanding(&self, senders: &[&str]) -> Result<Vec<Outstanding>, Error> {
        self.run("outstanding", async |client| {
            // One look into an index for each sender: this is asked many times a second.
            let statement = client
                .prepare_cached(
                    "-- outstanding()
                     select s.name,
                         extract(epoch from (select min(r.next_due_at) from maildt.recipients r
                             where r.sender = s.name and r.active and r.deleted_at is null) - clock_timestamp())::float8,
                         exists (select from maildt.requests q join maildt.recipients r on r.id = q.recipient_id
                             where r.sender = s.name)
                     from unnest($1::text[]) s (name)",
                )
                .await?;
            let rows = client.query(&statement, &[&senders]).await?;
            rows.iter()
                .map(|row| {
                    let seconds: Option<f64> = row.try_get(1)?;
                    let wait = seconds.map(|s| Duration::try_from_secs_f64(s.max(0.0)).unwrap_or(Duration::MAX));
                    Ok(Outstanding { sender: row.try_get(0)?, wait, requested: row.try_get(2)? })
                })
                .collect()
        })
        .await
    }

    /// Claims at most `limit` due recipients of a sender: commits a probe in state `sending` for each and sets the next due
    /// time. `id` makes an identity from Unix milliseconds and the recipient. A recipient whose last probe is still being sent or
    /// retried passes over this slot.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours. If the commit's answer was lost, the probes may exist all the
    /// same: `id` was asked for each of them.
    pub async fn claim_due(
        &self,
        fence: Fence,
        key_id: i32,
        sender: &str,
        limit: usize,
        mut id: impl FnMut(u64, RecipientId) -> ProbeId,
    ) -> Result<Claim, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.run_tx("claim_due", async |tx| {
            let text = format!(
                "-- claim_due()
                 select {RECIPIENT}, clock_timestamp() as now,
                     -- Not `exists`: that may be planned as one reading of all open probes.
                     coalesce((select true from maildt.probes p where p.recipient_id = r.id and p.result is null
                         and p.state in ('sending', 'deferred') and p.kind = 'scheduled' limit 1), false) as busy
                 from maildt.recipients r
                 where r.active and r.deleted_at is null and r.sender = $1
                     and r.next_due_at <= (select clock_timestamp())
                 order by r.next_due_at limit $2 for update of r skip locked"
            );
            let look = async {
                let statement = tx.prepare_cached(&text).await?;
                Ok(tx.query(&statement, &[&sender, &limit]).await?)
            };
            let ((), rows) = try_join(fence.check(tx), look).await?;
            let mut claim = Claim::default();
            for found in &rows {
                let recipient = row::recipient(found)?;
                let (now, busy): (Timestamp, bool) = (found.try_get("now")?, found.try_get("busy")?);
                let due = recipient.next_due_at;
                let (next, passed) = following(recipient.id, recipient.interval, due, now);
                claim.planned.push((recipient.id, next, passed + u64::from(busy)));
                if !busy {
                    let unix_ms = u64::try_from(now.as_millisecond()).unwrap_or_default();
                    let probe = fresh((Kind::Scheduled, id(unix_ms, recipient.id)), key_id, &recipient, due, now);
                    let lag = crate::domain::probe::between(due, now);
                    let address = recipient.address.to_string();
                    claim.claimed.push(Claimed { probe, address, recipient: Some(recipient), lag });
                }
            }
            let (inserted, ()) = try_join(insert(tx, &claim.claimed), plan(tx, &claim.planned)).await?;
            // A due time that has its probe already: the database's clock was set back. The slot is passed over.
            let mut inserted = inserted.into_iter();
            claim.claimed.retain(|_| inserted.next() == Some(1));
            Ok(claim)
        })
        .await
    }

    /// Brings due times back that lie further ahead than any plan puts them: the database's clock was set back, or
    /// an interval was shortened.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours.
    pub async fn repair_plans(&self, fence: Fence) -> Result<u64, Error> {
        self.run_tx("repair_plans", async |tx| {
            fence.check(tx).await?;
            let statement = tx
                .prepare_cached(
                    "-- repair_plans()
                     update maildt.recipients
                     set next_due_at = clock_timestamp() + make_interval(secs => interval_s * random())
                     where active and deleted_at is null
                         and next_due_at > clock_timestamp() + make_interval(secs => interval_s * 1.5 + 5)",
                )
                .await?;
            Ok(tx.execute(&statement, &[]).await?)
        })
        .await
    }
}

/// A probe at the beginning of its way.
pub(super) fn fresh(
    (kind, id): (Kind, ProbeId),
    key_id: i32,
    recipient: &Recipient,
    due_at: Timestamp,
    now: Timestamp,
) -> Probe {
    Probe {
        id,
        key_id,
        kind,
        sender: recipient.sender.clone(),
        mailbox: recipient.mailbox.clone(),
        return_mode: recipient.return_mode,
        threshold: recipient.alert_threshold,
        due_at,
        state: State::Sending,
        result: None,
        result_at: None,
        was_missing: false,
        attempts: 1,
        faults: 0,
        first_attempt_at: now,
        attempt_at: now,
        next_attempt_at: None,
        accepted_at: None,
        deadline_at: None,
        arrival: None,
        prints: Vec::new(),
        duplicates: 0,
        misrouted: 0,
        reply: None,
        queue_id: None,
        failure: None,
        phases: Vec::new(),
        note: None,
        sightings: Vec::new(),
        searches: Vec::new(),
        version: 1,
    }
}

/// Tells for each whether it was inserted.
pub(super) async fn insert(tx: &Tx<'_>, claimed: &[Claimed]) -> Result<Vec<u64>, Problem> {
    let statement = tx
        .prepare_cached(
            "-- insert_probe()
             insert into maildt.probes (id, recipient_id, key_id, kind, sender, mailbox, return_mode, threshold_ms, due_at,
                 state, first_attempt_at, attempt_at)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)
             on conflict (recipient_id, due_at) do nothing",
        )
        .await?;
    let inserts = claimed.iter().map(async |Claimed { probe, .. }| {
        tx.execute(
            &statement,
            &[
                &probe.id.uuid(),
                &probe.recipient().0,
                &probe.key_id,
                &probe.kind.as_str(),
                &&*probe.sender,
                &&*probe.mailbox,
                &probe.return_mode.as_str(),
                &i64::try_from(probe.threshold.as_millis()).unwrap_or(i64::MAX),
                &probe.due_at,
                &probe.state.as_str(),
                &probe.first_attempt_at,
            ],
        )
        .await
    });
    Ok(try_join_all(inserts).await?)
}

async fn plan(tx: &Tx<'_>, planned: &[(RecipientId, Timestamp, u64)]) -> Result<(), Problem> {
    if planned.is_empty() {
        return Ok(());
    }
    let (ids, times): (Vec<i32>, Vec<Timestamp>) = planned.iter().map(|(id, at, _)| (id.0, *at)).unzip();
    let statement = tx
        .prepare_cached(
            "-- plan()
             update maildt.recipients r set next_due_at = p.at
             from unnest($1::int[], $2::timestamptz[]) as p (id, at) where r.id = p.id",
        )
        .await?;
    tx.execute(&statement, &[&ids, &times]).await?;
    Ok(())
}
