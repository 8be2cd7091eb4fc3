//! Recipients in pages, each with how it stands.

use std::sync::Arc;

use tokio_postgres::types::ToSql;

use crate::domain::id::RecipientId;

use super::board::{LAST, last};
use super::row::{INCIDENT, RECIPIENT};
use super::{BoardData, BoardRow, Error, Store, row};

/// Which recipients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Roster<'a> {
    /// Those with greater ids.
    After {
        after: RecipientId,
        limit: i64,
    },
    Named(&'a str),
    One(RecipientId),
}

impl Store {
    /// These recipients in the order of their ids, with their last results, without traces and what was lost.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn roster(&self, which: Roster<'_>) -> Result<BoardData, Error> {
        let limit = match which {
            Roster::After { limit, .. } => limit,
            Roster::Named(_) | Roster::One(_) => 1,
        };
        let (condition, value): (_, &(dyn ToSql + Sync)) = match &which {
            Roster::After { after, .. } => ("r.id > $2", &after.0),
            Roster::Named(name) => ("r.name = $2", name),
            Roster::One(id) => ("r.id = $2", &id.0),
        };
        let text = format!(
            "-- roster()
             select {RECIPIENT}, {LAST}, success.arrived_at as success_at
             from (select * from maildt.recipients r where r.deleted_at is null and {condition} order by r.id limit $1) r
             left join lateral (select p.* from maildt.probes p
                 where p.recipient_id = r.id and p.result is not null and p.kind = 'scheduled'
                 order by p.created_at desc limit 1) last on true
             left join lateral (select p.arrived_at from maildt.probes p
                 where p.recipient_id = r.id and p.result = 'delivered' and p.kind = 'scheduled'
                 order by p.created_at desc limit 1) success on true
             order by r.id"
        );
        let incidents = format!(
            "-- roster_incidents()\nselect {INCIDENT} from maildt.incidents i where i.resolved_at is null"
        );
        self.run("roster", async |client| {
            let (rows, open) =
                (client.prepare_cached(&text).await?, client.prepare_cached(&incidents).await?);
            let now = client.query_one("-- roster_now()\nselect clock_timestamp()", &[]).await?.try_get(0)?;
            let rows = client.query(&rows, &[&limit, value]).await?;
            let rows = rows.iter().map(|found| {
                Ok(BoardRow {
                    recipient: row::recipient(found)?,
                    last: last(found)?,
                    last_success_at: found.try_get("success_at")?,
                    trace: Vec::new(),
                })
            });
            let rows = rows.collect::<Result<_, super::Problem>>()?;
            let incidents = client.query(&open, &[]).await?;
            let incidents =
                incidents.iter().map(|found| row::incident(found).map(Arc::new)).collect::<Result<_, _>>()?;
            Ok(BoardData { now, rows, incidents, lost: 0 })
        })
        .await
    }
}
