//! Incidents with what was told of them, for people to read.

use std::collections::HashMap;

use jiff::Timestamp;

use crate::domain::alert::{Channel, Incident, IncidentId, Kind, Scope, Telling};

use super::row::INCIDENT;
use super::{Error, Problem, Store, row};

/// Open incidents that are shown at most; more would be no use to anybody.
const OPEN: i64 = 500;

/// Which incidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Open,
    /// Resolved ones, newest first, older than this one.
    Past {
        before: Option<IncidentId>,
        limit: i64,
    },
    One(IncidentId),
    /// Open ones, resolved ones or both, newest first, older than this one.
    Listed {
        is_open: Option<bool>,
        before: Option<IncidentId>,
        limit: i64,
    },
}

/// One message about an incident on one channel.
#[derive(Clone, Debug)]
pub struct Notice {
    pub event: Telling,
    pub channel: Channel,
    pub created_at: Timestamp,
    /// `pending`, `sending`, `delivered`, `dead` or `dropped`.
    pub state: String,
    pub tries: i32,
    pub next_try_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub last_error: Option<String>,
}

/// An incident and everything told of it, oldest first.
#[derive(Clone, Debug)]
pub struct Case {
    pub incident: Incident,
    pub told: Vec<Notice>,
}

impl Store {
    /// The incidents, newest first, and database time.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn cases(&self, which: Which) -> Result<(Timestamp, Vec<Case>), Error> {
        let (condition, id, limit) = match which {
            Which::Open => ("i.resolved_at is null and i.id <> $1", -1, OPEN),
            Which::Past { before, limit } => {
                ("i.resolved_at is not null and i.id < $1", before.map_or(i64::MAX, |id| id.0), limit)
            }
            Which::One(id) => ("i.id = $1", id.0, 1),
            Which::Listed { is_open, before, limit } => {
                let condition = match is_open {
                    None => "i.id < $1",
                    Some(true) => "i.resolved_at is null and i.id < $1",
                    Some(false) => "i.resolved_at is not null and i.id < $1",
                };
                (condition, before.map_or(i64::MAX, |id| id.0), limit)
            }
        };
        self.run("cases", async |client| {
            let text = format!(
                "-- cases()\nselect {INCIDENT} from maildt.incidents i where {condition} order by i.id desc limit $2"
            );
            let incidents = client.prepare_cached(&text).await?;
            let told = client
                .prepare_cached(
                    "-- cases_told()
                     select incident_id, event, channel, created_at, state, tries, next_try_at, settled_at, last_error
                     from maildt.notifications where incident_id = any($1) order by id",
                )
                .await?;
            let now = client.query_one("-- cases_now()\nselect clock_timestamp()", &[]).await?.try_get(0)?;
            let incidents: Vec<Incident> = client
                .query(&incidents, &[&id, &limit])
                .await?
                .iter()
                .map(row::incident)
                .collect::<Result<_, _>>()?;
            let ids: Vec<i64> = incidents.iter().map(|incident| incident.id.0).collect();
            let mut by_incident: HashMap<i64, Vec<Notice>> = HashMap::new();
            for row in client.query(&told, &[&ids]).await? {
                by_incident.entry(row.try_get("incident_id")?).or_default().push(one_told(&row)?);
            }
            let cases = incidents
                .into_iter()
                .map(|incident| Case { told: by_incident.remove(&incident.id.0).unwrap_or_default(), incident });
            Ok((now, cases.collect()))
        })
        .await
    }
}

impl Store {
    /// What is not all right now: kinds and scopes of the open incidents.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn open_scopes(&self) -> Result<Vec<(Kind, Scope)>, Error> {
        self.run("open_scopes", async |client| {
            let statement = client
                .prepare_cached(
                    "-- open_scopes()\nselect kind, scope from maildt.incidents where resolved_at is null",
                )
                .await?;
            let rows = client.query(&statement, &[]).await?;
            rows.iter()
                .map(|found| {
                    let scope: &str = found.try_get("scope")?;
                    let scope = scope.parse().map_err(|e| Error::Row(format!("{e}")))?;
                    Ok((row::word(&Kind::ALL, Kind::as_str, found.try_get("kind")?)?, scope))
                })
                .collect()
        })
        .await
    }
}

fn one_told(row: &tokio_postgres::Row) -> Result<Notice, Problem> {
    let event: &str = row.try_get("event")?;
    let channel: &str = row.try_get("channel")?;
    let event = Telling::ALL.into_iter().find(|telling| telling.as_str() == event);
    Ok(Notice {
        event: event.ok_or_else(|| Error::Row("unknown event of a notification".to_owned()))?,
        channel: channel.parse().map_err(|e| Error::Row(format!("{e}")))?,
        created_at: row.try_get("created_at")?,
        state: row.try_get("state")?,
        tries: row.try_get("tries")?,
        next_try_at: row.try_get("next_try_at")?,
        settled_at: row.try_get("settled_at")?,
        last_error: row.try_get("last_error")?,
    })
}
