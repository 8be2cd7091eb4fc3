//! Incidents and what is to be told about them, as the engine writes them: in the transaction of what caused them.

use futures_util::future::try_join_all;
use tokio_postgres::Statement;

use crate::domain::alert::{Change, Channel, Incident, Scope, Snapshot, Telling};
use crate::domain::id::RecipientId;

use super::row::INCIDENT;
use super::{Error, Problem, Store, Tx, row};

impl Store {
    /// What the database remembers of incidents and of what may become one.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn alert_snapshot(&self) -> Result<Snapshot, Error> {
        self.run("alert_snapshot", async |client| {
            let text = format!(
                "-- alert_snapshot_incidents()\nselect {INCIDENT} from maildt.incidents i where i.resolved_at is null"
            );
            let open = client.query(&text, &[]).await?;
            let open = open.iter().filter_map(|row| readable(row::incident(row))).collect();
            let states = client
                .query("-- alert_snapshot_states()\nselect scope, state from maildt.alert_states", &[])
                .await?
                .iter()
                .filter_map(|row| {
                    let state = || {
                    let scope: &str = row.try_get("scope")?;
                    let scope: Scope = scope.parse().map_err(|e| Error::Row(format!("{e}")))?;
                    Ok::<_, Problem>((scope, row.try_get("state")?))
                    };
                    readable(state())
                })
                .collect();
            let last_good = client
                .query(
                    "-- alert_snapshot_last_good()
                     select r.id, good.arrived_at, good.first_attempt_at
                     from maildt.recipients r
                     cross join lateral (select p.arrived_at, p.first_attempt_at from maildt.probes p
                         where p.recipient_id = r.id and p.result = 'delivered' and p.arrived_at is not null
                         order by p.created_at desc limit 1) good
                     where r.deleted_at is null",
                    &[],
                )
                .await?
                .iter()
                .map(|row| Ok::<_, Problem>((RecipientId(row.try_get(0)?), row.try_get(1)?, row.try_get(2)?)))
                .collect::<Result<_, _>>()?;
            Ok(Snapshot { open, states, last_good })
        })
        .await
    }
}

/// A row that a newer version of this program has left is nothing that this one could look after.
fn readable<T>(row: Result<T, Problem>) -> Option<T> {
    row.inspect_err(|_| tracing::warn!("a row about an incident cannot be read and is left alone")).ok()
}

/// The statements that write changes, prepared before anything is sent, so that all of it can be sent together.
pub(super) struct Statements {
    put: Statement,
    tell: Statement,
    tell_end: Statement,
    keep: Statement,
    let_go: Statement,
}

impl Statements {
    pub(super) async fn prepare(tx: &Tx<'_>) -> Result<Self, Problem> {
        Ok(Self {
            put: tx
                .prepare_cached(
                    "-- put_incident()
                     insert into maildt.incidents as i (id, kind, scope, opened_at, resolved_at, recipients, details, version)
                     values ($1, $2, $3, $4, $5, $6, $7, $8)
                     on conflict (id) do update set resolved_at = $5, recipients = $6, details = $7, version = $8
                     where i.version < $8",
                )
                .await?,
            tell: tx
                .prepare_cached(
                    "-- tell()
                     insert into maildt.notifications (incident_id, event, number, channel, created_at)
                     select $1, $2, $3, channel, statement_timestamp() from unnest($4::text[]) channel
                     on conflict do nothing",
                )
                .await?,
            tell_end: tx
                .prepare_cached(
                    "-- tell_end()
                     insert into maildt.notifications (incident_id, event, number, channel, created_at)
                     select distinct incident_id, $2::text, 0, channel, statement_timestamp() from maildt.notifications
                     where incident_id = $1 and event <> $2
                     on conflict do nothing",
                )
                .await?,
            keep: tx
                .prepare_cached(
                    "-- keep_alert_state()
                     insert into maildt.alert_states (scope, state) values ($1, $2)
                     on conflict (scope) do update set state = $2",
                )
                .await?,
            let_go: tx
                .prepare_cached("-- drop_alert_state()\ndelete from maildt.alert_states where scope = $1")
                .await?,
        })
    }

    /// Writes changes in their order. Safe to repeat: a commit whose answer was lost is tried again.
    pub(super) async fn write(&self, tx: &Tx<'_>, changes: &[Change]) -> Result<(), Problem> {
        // Sent together, executed in this order.
        try_join_all(changes.iter().map(|change| self.write_one(tx, change))).await?;
        Ok(())
    }

    async fn write_one(&self, tx: &Tx<'_>, change: &Change) -> Result<(), Problem> {
        match change {
            Change::Put(incident) => self.put(tx, incident).await,
            Change::Tell { incident, telling: Telling::Resolved, .. } => {
                tx.execute(&self.tell_end, &[&incident.0, &Telling::Resolved.as_str()]).await?;
                Ok(())
            }
            Change::Tell { incident, telling, number, channels } => {
                let number = i32::try_from(*number).unwrap_or(i32::MAX);
                let channels: Vec<String> = channels.iter().map(Channel::to_string).collect();
                tx.execute(&self.tell, &[&incident.0, &telling.as_str(), &number, &channels]).await?;
                Ok(())
            }
            Change::Keep { scope, state: Some(state) } => {
                tx.execute(&self.keep, &[&scope.to_string(), state]).await?;
                Ok(())
            }
            Change::Keep { scope, state: None } => {
                tx.execute(&self.let_go, &[&scope.to_string()]).await?;
                Ok(())
            }
        }
    }

    async fn put(&self, tx: &Tx<'_>, incident: &Incident) -> Result<(), Problem> {
        let recipients: Vec<i32> =
            incident.details.concerned.iter().map(|concerned| concerned.id.0).collect();
        let details = serde_json::to_value(&incident.details).map_err(|e| Error::Row(e.to_string()))?;
        tx.execute(
            &self.put,
            &[
                &incident.id.0,
                &incident.kind.as_str(),
                &incident.scope.to_string(),
                &incident.opened_at,
                &incident.resolved_at,
                &recipients,
                &details,
                &incident.version,
            ],
        )
        .await?;
        Ok(())
    }
}
