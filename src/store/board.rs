//! What the live board shows: every recipient with its last probes, in one question however many there are.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::domain::alert::Incident;
use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;
use crate::domain::submission::{Phase, Reason, Reply};
use crate::domain::verdict::{Placement, Verdict};

use super::cases::LOST_FOR_DAYS;
use super::row::{INCIDENT, RECIPIENT};
use super::{Error, Problem, Store, row};

/// Probes in a sparkline.
pub const TRACE: i64 = 30;

/// The columns of `last` that say how a probe ended.
pub(super) const LAST: &str = "last.result, last.result_at, last.placement, last.folder, last.latency_ms, last.latency_estimated, \
    last.reply_code, last.reply_enhanced, last.reply_text, last.failure_phase, last.failure_reason, \
    last.failure_detail, last.note";

/// One probe of a sparkline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dot {
    /// `None`: under way.
    pub verdict: Option<Verdict>,
    pub in_junk: bool,
    pub latency_ms: Option<f32>,
}

/// The last judged probe.
#[derive(Clone, Debug, PartialEq)]
pub struct Last {
    pub verdict: Verdict,
    pub at: Timestamp,
    pub placement: Option<Placement>,
    pub folder: Option<String>,
    pub latency_ms: Option<f64>,
    pub estimated: bool,
    pub reply: Option<Reply>,
    pub failure: Option<(Phase, Reason, String)>,
    pub note: Option<String>,
}

/// A recipient on the board.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardRow {
    pub recipient: Recipient,
    pub last: Option<Last>,
    pub last_success_at: Option<Timestamp>,
    /// Oldest first, at most [`TRACE`].
    pub trace: Vec<Dot>,
}

/// The board as it is at one moment of database time.
#[derive(Clone, Debug)]
pub struct BoardData {
    pub now: Timestamp,
    pub rows: Vec<BoardRow>,
    /// The open ones.
    pub incidents: Vec<Arc<Incident>>,
    /// Alerts that were given up in the last [`LOST_FOR_DAYS`].
    pub lost: usize,
}

impl Store {
    /// Everything that the board shows.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn board(&self) -> Result<BoardData, Error> {
        self.board_where("r.deleted_at is null and $1::int is null", None).await
    }

    /// The same of one recipient, which may not be there.
    ///
    /// # Errors
    /// As [`Store::board`].
    pub async fn board_of(&self, id: RecipientId) -> Result<BoardData, Error> {
        self.board_where("r.deleted_at is null and r.id = $1", Some(id.0)).await
    }

    async fn board_where(&self, condition: &str, id: Option<i32>) -> Result<BoardData, Error> {
        let text = format!(
            "-- board()
             select {RECIPIENT}, {LAST}, success.arrived_at as success_at, trace.marks, trace.latencies
             from maildt.recipients r
             left join lateral (select p.* from maildt.probes p
                 where p.recipient_id = r.id and p.result is not null and p.kind = 'scheduled'
                 order by p.created_at desc limit 1) last on true
             left join lateral (select p.arrived_at from maildt.probes p
                 where p.recipient_id = r.id and p.result = 'delivered' and p.kind = 'scheduled'
                 order by p.created_at desc limit 1) success on true
             left join lateral (
                 -- Newest first, as the index gives them: sorting a thousand times costs more than all the rest.
                 select string_agg(mark, '') as marks, array_agg(coalesce(latency_ms, -1)::float4) as latencies
                 from (select p.latency_ms, case p.result
                         when 'delivered' then case p.placement when 'junk' then 'j' else 'd' end
                         when 'late' then 'l' when 'missing' then 'm' when 'send_failed' then 's' when 'bounced' then 'b'
                         when 'inconclusive' then 'i' else '.' end as mark
                     from maildt.probes p where p.recipient_id = r.id and p.kind = 'scheduled'
                     order by p.created_at desc limit {TRACE}) probe) trace on true
             where {condition}"
        );
        let incidents = format!(
            "-- board_incidents()\nselect {INCIDENT} from maildt.incidents i where i.resolved_at is null"
        );
        self.run("board", async |client| {
            let (rows, open) =
                (client.prepare_cached(&text).await?, client.prepare_cached(&incidents).await?);
            let now = client.query_one("-- board_now()\nselect clock_timestamp()", &[]).await?.try_get(0)?;
            let lost: i64 = client
                .query_one(
                    "-- board_lost()
                     select count(*) from maildt.notifications
                     where state = 'dead' and settled_at > clock_timestamp() - make_interval(days => $1)",
                    &[&LOST_FOR_DAYS],
                )
                .await?
                .try_get(0)?;
            let lost = usize::try_from(lost).unwrap_or_default();
            let rows = client.query(&rows, &[&id]).await?.iter().map(board_row).collect::<Result<_, _>>()?;
            let incidents = client.query(&open, &[]).await?;
            let incidents =
                incidents.iter().map(|row| row::incident(row).map(Arc::new)).collect::<Result<_, _>>()?;
            Ok(BoardData { now, rows, incidents, lost })
        })
        .await
    }

    /// A number that changes with every transaction that writes: as long as it is the same, so is the board.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn pulse(&self) -> Result<String, Error> {
        self.run("pulse", async |client| {
            let statement = client.prepare_cached("-- pulse()\nselect pg_current_snapshot()::text").await?;
            Ok(client.query_one(&statement, &[]).await?.try_get(0)?)
        })
        .await
    }
}

fn board_row(row: &Row) -> Result<BoardRow, Problem> {
    let marks: Option<&str> = row.try_get("marks")?;
    let latencies: Option<Vec<f32>> = row.try_get("latencies")?;
    let trace =
        marks.unwrap_or_default().chars().zip(latencies.unwrap_or_default()).map(|(mark, latency)| Dot {
            verdict: match mark {
                'd' | 'j' => Some(Verdict::Delivered),
                'l' => Some(Verdict::Late),
                'm' => Some(Verdict::Missing),
                's' => Some(Verdict::SendFailed),
                'b' => Some(Verdict::Bounced),
                'i' => Some(Verdict::Inconclusive),
                _ => None,
            },
            in_junk: mark == 'j',
            latency_ms: (latency >= 0.0).then_some(latency),
        });
    let mut trace: Vec<Dot> = trace.collect();
    trace.reverse();
    Ok(BoardRow {
        trace,
        recipient: row::recipient(row)?,
        last: last(row)?,
        last_success_at: row.try_get("success_at")?,
    })
}

pub(super) fn last(row: &Row) -> Result<Option<Last>, Problem> {
    let Some(verdict) = row::optional(row, "result", &Verdict::ALL, Verdict::as_str)? else {
        return Ok(None);
    };
    Ok(Some(Last {
        verdict,
        at: row.try_get("result_at")?,
        placement: row::optional(row, "placement", &Placement::ALL, Placement::as_str)?,
        folder: row.try_get("folder")?,
        latency_ms: row.try_get("latency_ms")?,
        estimated: row.try_get("latency_estimated")?,
        reply: row::reply(row)?,
        failure: row::failure(row)?.map(|failure| (failure.phase, failure.reason, failure.detail)),
        note: row.try_get("note")?,
    }))
}
