//! Probes: loading and saving. Every save is a compare-and-set on `version`.

use std::collections::{HashMap, HashSet};

use futures_util::future::{try_join, try_join_all};

use tokio_postgres::Statement;

use crate::domain::alert::Change;
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::Probe;
use crate::domain::verdict::{Placement, Verdict};

use super::incidents::Statements;
use super::row::{PROBE, milliseconds, phases_json, records_json};
use super::{Error, Fence, Problem, Store, Tx, row};

/// What is written together.
#[derive(Clone, Debug)]
pub struct Save {
    /// As it shall be, with the version that the row has before.
    pub probe: Option<Probe>,
    pub changes: Vec<Change>,
}

/// What became of one save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saved {
    Yes,
    /// There is no such row any more.
    Gone,
}

/// What a recipient's last probes said, to restore the gauges after a start.
#[derive(Clone, Debug)]
pub struct Memory {
    pub recipient: RecipientId,
    pub last_result: Option<Verdict>,
    pub last_placement: Option<Placement>,
    pub last_latency_s: Option<f64>,
    pub last_success_at: Option<jiff::Timestamp>,
    pub last_send_at: Option<jiff::Timestamp>,
}

impl Store {
    /// Every probe without a result.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_probes(&self) -> Result<Vec<Probe>, Error> {
        self.run("open_probes", async |client| {
            let text =
                format!("-- open_probes()\nselect {PROBE} from maildt.probes p where p.result is null");
            client.query(&text, &[]).await?.iter().map(row::probe).collect()
        })
        .await
    }

    /// Probes without a result that are not among `known` and not brand new.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_probes_besides(&self, known: &HashSet<ProbeId>) -> Result<Vec<Probe>, Error> {
        let ids: Vec<ProbeId> = self
            .run("open_probes_besides", async |client| {
                let statement = client
                    .prepare_cached(
                        "-- open_probes_besides()
                         select p.id from maildt.probes p
                         where p.result is null and p.created_at < (select clock_timestamp() - interval '10 seconds')",
                    )
                    .await?;
                let rows = client.query(&statement, &[]).await?;
                let ids = rows.iter().map(|row| row.try_get(0).map(ProbeId::from_uuid));
                Ok(ids.collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        let strays: Vec<ProbeId> = ids.into_iter().filter(|id| !known.contains(id)).collect();
        if strays.is_empty() {
            return Ok(Vec::new());
        }
        let probes = self.probes(&strays).await?;
        Ok(probes.into_iter().filter(|probe| probe.state.is_open()).collect())
    }

    /// For each mailbox, the first attempt of the oldest probe of the last ten minutes.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn recent_probes(&self) -> Result<HashMap<String, jiff::Timestamp>, Error> {
        self.run("recent_probes", async |client| {
            let rows = client
                .query(
                    "-- recent_probes()
                     select mailbox, min(first_attempt_at) from maildt.probes
                     where result is not null and created_at > (select clock_timestamp() - interval '10 minutes')
                     group by mailbox",
                    &[],
                )
                .await?;
            rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
        })
        .await
    }

    /// The probes of these ids that exist.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn probes(&self, ids: &[ProbeId]) -> Result<Vec<Probe>, Error> {
        let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        self.run("probes", async |client| {
            let text = format!("-- probes()\nselect {PROBE} from maildt.probes p where p.id = any($1)");
            let statement = client.prepare_cached(&text).await?;
            client.query(&statement, &[&ids]).await?.iter().map(row::probe).collect()
        })
        .await
    }

    /// Saves transitions in order, in one transaction, each with the incidents and notifications that it causes. Each
    /// probe carries the version that it had before; the row gets the next one.
    ///
    /// # Errors
    /// When the database is away, or the lease is not ours. Nothing is saved then, unless the commit's answer was lost:
    /// a second try finds its own versions and tells [`Saved::Yes`].
    pub async fn save(&self, fence: Fence, batch: &[Save]) -> Result<Vec<Saved>, Error> {
        self.run_tx("save_probes", async |tx| {
            // Sent together, executed in this order; nothing is committed unless the first of them agrees.
            let all = async {
                let statement = save_statement(tx).await?;
                let alerts = if batch.iter().any(|save| !save.changes.is_empty()) {
                    Some(Statements::prepare(tx).await?)
                } else {
                    None
                };
                try_join_all(batch.iter().map(|save| write(tx, &statement, alerts.as_ref(), save))).await
            };
            let ((), saved) = try_join(fence.check(tx), all).await?;
            let mut results = Vec::with_capacity(saved.len());
            for (save, changed) in batch.iter().zip(saved) {
                results.push(match &save.probe {
                    Some(probe) if !changed => already_saved(tx, probe).await?,
                    _ => Saved::Yes,
                });
            }
            Ok(results)
        })
        .await
    }

    /// What each living recipient's history says about its present standing.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn memories(&self) -> Result<Vec<Memory>, Error> {
        self.run("memories", async |client| {
            let rows = client
                .query(
                    "-- memories()
                     select r.id, last.result, last.placement, success.latency_ms, success.result_at as success_at, sent.at as sent_at
                     from maildt.recipients r
                     left join lateral (select p.result, p.placement from maildt.probes p
                         where p.recipient_id = r.id and p.result is not null and p.kind = 'scheduled'
                         order by p.created_at desc limit 1) last on true
                     left join lateral (select p.latency_ms, p.result_at from maildt.probes p
                         where p.recipient_id = r.id and p.result = 'delivered' and p.kind = 'scheduled'
                         order by p.created_at desc limit 1) success on true
                     left join lateral (select p.accepted_at as at from maildt.probes p
                         where p.recipient_id = r.id and p.accepted_at is not null and p.kind = 'scheduled'
                             and p.created_at > (select clock_timestamp() - interval '30 days')
                         order by p.created_at desc limit 1) sent on true
                     where r.deleted_at is null",
                    &[],
                )
                .await?;
            rows.iter()
                .map(|row| {
                    let latency: Option<f64> = row.try_get("latency_ms")?;
                    Ok(Memory {
                        recipient: RecipientId(row.try_get("id")?),
                        last_result: row::optional(row, "result", &Verdict::ALL, Verdict::as_str)?,
                        last_placement: row::optional(
                            row,
                            "placement",
                            &Placement::ALL,
                            Placement::as_str,
                        )?,
                        last_latency_s: latency.map(|ms| ms / 1000.0),
                        last_success_at: row.try_get("success_at")?,
                        last_send_at: row.try_get("sent_at")?,
                    })
                })
                .collect()
        })
        .await
    }
}

/// The statement that [`save`] runs.
async fn save_statement(tx: &Tx<'_>) -> Result<Statement, Problem> {
    let statement = tx
        .prepare_cached(
            "-- save_probe()
             update maildt.probes set version = version + 1, state = $3, result = $4, result_at = $5, was_missing = $6,
                 attempts = $7, faults = $8, attempt_at = $9, next_attempt_at = $10, accepted_at = $11, deadline_at = $12,
                 arrived_at = $13, latency_ms = $14, latency_estimated = $15, placement = $16, folder = $17, prints = $18,
                 duplicates = $19, misrouted = $20, reply_code = $21, reply_enhanced = $22, reply_text = $23, queue_id = $24,
                 failure_phase = $25, failure_reason = $26, failure_detail = $27, phases = $28, note = $29,
                 sightings = $30, searches = $31
             where id = $1 and version = $2",
        )
        .await?;
    Ok(statement)
}

/// Writes one probe and what it causes. Tells whether the row still had the version that the probe was read with.
async fn write(
    tx: &Tx<'_>,
    statement: &Statement,
    alerts: Option<&Statements>,
    one: &Save,
) -> Result<bool, Problem> {
    let probe = async {
        match &one.probe {
            Some(probe) => save(tx, statement, probe).await,
            None => Ok(true),
        }
    };
    let consequences = async {
        match alerts {
            Some(alerts) => alerts.write(tx, &one.changes).await,
            None => Ok(()),
        }
    };
    let (changed, ()) = try_join(probe, consequences).await?;
    Ok(changed)
}

/// Writes one probe. Tells whether the row still had the version that the probe was read with.
async fn save(tx: &Tx<'_>, statement: &Statement, probe: &Probe) -> Result<bool, Problem> {
    let arrival = probe.arrival.as_ref();
    let reply = probe.reply.as_ref();
    let failure = probe.failure.as_ref();
    let changed = tx
        .execute(
            statement,
            &[
                &probe.id.uuid(),
                &probe.version,
                &probe.state.as_str(),
                &probe.result.map(Verdict::as_str),
                &probe.result_at,
                &probe.was_missing,
                &probe.attempts,
                &probe.faults,
                &probe.attempt_at,
                &probe.next_attempt_at,
                &probe.accepted_at,
                &probe.deadline_at,
                &arrival.map(|a| a.at),
                &arrival.and_then(|a| a.latency).map(milliseconds),
                &arrival.is_some_and(|a| a.estimated),
                &arrival.map(|a| a.placement.as_str()),
                &arrival.map(|a| &*a.folder),
                &probe.prints,
                &probe.duplicates,
                &probe.misrouted,
                &reply.map(|r| i32::from(r.code)),
                &reply.and_then(|r| r.enhanced.as_deref()),
                &reply.map(|r| r.text.as_str()),
                &probe.queue_id,
                &failure.map(|f| f.phase.as_str()),
                &failure.map(|f| f.reason.as_str()),
                &failure.map(|f| f.detail.as_str()),
                &phases_json(&probe.phases),
                &probe.note,
                &records_json(&probe.sightings),
                &records_json(&probe.searches),
            ],
        )
        .await?;
    Ok(changed == 1)
}

/// After a save that changed nothing: whether that was because an earlier try of the same save was committed and its
/// answer lost. Only the holder of the lease writes probes, one transition after the other, so a row that is further on has
/// this one behind it. A row that is gone was removed by the retention.
async fn already_saved(tx: &Tx<'_>, probe: &Probe) -> Result<Saved, Problem> {
    let statement =
        tx.prepare_cached("-- already_saved()\nselect version from maildt.probes where id = $1").await?;
    let row = tx.query_opt(&statement, &[&probe.id.uuid()]).await?;
    let Some(row) = row else { return Ok(Saved::Gone) };
    let version: i32 = row.try_get(0)?;
    Ok(if version > probe.version { Saved::Yes } else { Saved::Gone })
}
