//! One probe with what stands around it, for people to read.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;

use crate::domain::alert::Incident;
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::{Probe, between};

use super::requests::RUNS_OUT;
use super::row::{INCIDENT, PROBE};
use super::{Error, Problem, Store, row};

/// Incidents that are named at most.
const INCIDENTS: i64 = 20;

/// Whose probe it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub id: RecipientId,
    pub name: Arc<str>,
    pub address: Arc<str>,
    pub sender: Arc<str>,
    pub is_deleted: bool,
}

/// A probe that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    pub probe: Probe,
    /// The recipient's probe before and after this one.
    pub earlier: Option<ProbeId>,
    pub later: Option<ProbeId>,
    /// Incidents that it may belong to, newest first.
    pub incidents: Vec<Incident>,
}

/// How far it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Asked for at that time, and made by nobody yet.
    Requested(Timestamp),
    Made(Box<Made>),
    /// Neither a probe nor a request has this identity, or no longer.
    Unknown,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeView {
    pub id: ProbeId,
    /// Database time.
    pub now: Timestamp,
    /// `None` where no recipient has the number that the identity names.
    pub owner: Option<Owner>,
    pub stage: Stage,
}

impl ProbeView {
    /// Nobody has taken the request in the time that it has (see [`Store::request_probe`]).
    #[must_use]
    pub fn has_run_out(&self) -> bool {
        matches!(self.stage, Stage::Requested(at) if between(at, self.now) >= RUNS_OUT)
    }
}

impl Store {
    /// The probe of this identity, or the request for it.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn probe_view(&self, id: ProbeId) -> Result<ProbeView, Error> {
        let probes = format!(
            "-- probe_view()
             select {PROBE},
                 (select e.id from maildt.probes e where e.recipient_id = p.recipient_id and e.created_at < p.created_at
                  order by e.created_at desc limit 1) as earlier,
                 (select l.id from maildt.probes l where l.recipient_id = p.recipient_id and l.created_at > p.created_at
                  order by l.created_at limit 1) as later
             from maildt.probes p where p.id = $1"
        );
        let incidents = format!(
            "-- probe_incidents()
             select {INCIDENT} from maildt.incidents i
             where i.recipients @> array[$1::int4] and i.opened_at <= $3 and (i.resolved_at is null or i.resolved_at >= $2)
             order by i.id desc limit {INCIDENTS}"
        );
        self.run("probe_view", async |client| {
            let around = client
                .prepare_cached(
                    "-- probe_owner()
                     select clock_timestamp() as now, r.name, r.address, r.sender, r.deleted_at is not null as deleted,
                         (select q.requested_at from maildt.requests q where q.probe_id = $2) as requested_at
                     from (select) one left join maildt.recipients r on r.id = $1",
                )
                .await?;
            let probe = client.prepare_cached(&probes).await?;
            // First the request: it goes in the transaction in which the probe comes.
            let around = client.query_one(&around, &[&id.recipient().0, &id.uuid()]).await?;
            let found = client.query_opt(&probe, &[&id.uuid()]).await?;
            let now: Timestamp = around.try_get("now")?;
            let requested: Option<Timestamp> = around.try_get("requested_at")?;
            let stage = match (found, requested) {
                (Some(found), _) => {
                    let probe = row::probe(&found)?;
                    // An alert is opened a moment after the verdict at the latest.
                    let end = probe.result_at.unwrap_or(now).max(probe.attempt_at);
                    let end = end.checked_add(SignedDuration::from_secs(2)).unwrap_or(end);
                    let statement = client.prepare_cached(&incidents).await?;
                    let rows =
                        client.query(&statement, &[&id.recipient().0, &probe.first_attempt_at, &end]).await?;
                    let incidents = rows.iter().map(row::incident).collect::<Result<_, _>>()?;
                    let neighbour = |column| Ok::<_, Problem>(found.try_get::<_, Option<_>>(column)?);
                    let earlier = neighbour("earlier")?.map(ProbeId::from_uuid);
                    let later = neighbour("later")?.map(ProbeId::from_uuid);
                    Stage::Made(Box::new(Made { probe, earlier, later, incidents }))
                }
                (None, Some(at)) => Stage::Requested(at),
                (None, None) => Stage::Unknown,
            };
            Ok(ProbeView { id, now, owner: owner(id.recipient(), &around)?, stage })
        })
        .await
    }
}

fn owner(id: RecipientId, row: &Row) -> Result<Option<Owner>, Problem> {
    let Some(name) = row.try_get::<_, Option<&str>>("name")? else { return Ok(None) };
    Ok(Some(Owner {
        id,
        name: Arc::from(name),
        address: Arc::from(row.try_get::<_, &str>("address")?),
        sender: Arc::from(row.try_get::<_, &str>("sender")?),
        is_deleted: row.try_get("deleted")?,
    }))
}
