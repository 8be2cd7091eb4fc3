//! Incidents with what was told of them, for people to read.

use std::collections::HashMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use crate::domain::alert::{Channel, Incident, IncidentId, Kind, Scope, Telling};

use super::row::{INCIDENT, word};
use super::{Error, Problem, Store, row};

/// Open incidents that are shown at most; more would be no use to anybody.
const OPEN: i64 = 500;
/// For how long it is said at a glance that alerts got lost.
pub const LOST_FOR_DAYS: i32 = 7;

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

/// What incidents must be like besides; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    pub kind: Option<Kind>,
    /// A recipient whom it concerns: an id, or a part of a name or address.
    pub recipient: Option<String>,
    /// A notification of it was given up.
    pub lost: bool,
}

/// One message about an incident on one channel.
#[derive(Clone, Debug)]
pub struct Notice {
    pub event: Telling,
    pub channel: Channel,
    pub created_at: Timestamp,
    /// `pending`, `sending`, `delivered`, `dead` or `dropped`.
    pub state: String,
    /// It waits because everybody concerned is muted.
    pub held: bool,
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
        self.cases_like(which, &Choice::default()).await
    }

    /// Those of a choice.
    ///
    /// # Errors
    /// When the database is away or a row makes no sense.
    pub async fn cases_like(&self, which: Which, choice: &Choice) -> Result<(Timestamp, Vec<Case>), Error> {
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
        let kind = choice.kind.map(Kind::as_str);
        self.run("cases", async |client| {
            let recipients = match &choice.recipient {
                Some(wanted) => Some(matching(client, wanted).await?),
                None => None,
            };
            let mut text = format!("-- cases()\nselect {INCIDENT} from maildt.incidents i where {condition}");
            let mut values: Vec<&(dyn ToSql + Sync)> = vec![&id, &limit];
            if let Some(kind) = &kind {
                values.push(kind);
                let _ = write!(text, " and i.kind = ${}", values.len());
            }
            if let Some(recipients) = &recipients {
                values.push(recipients);
                let _ = write!(text, " and i.recipients && ${}", values.len());
            }
            if choice.lost {
                values.push(&LOST_FOR_DAYS);
                let _ = write!(
                    text,
                    " and i.id in (select n.incident_id from maildt.notifications n where n.state = 'dead'
                         and n.settled_at > clock_timestamp() - make_interval(days => ${}))",
                    values.len()
                );
            }
            text.push_str(" order by i.id desc limit $2");
            let incidents = client.prepare_cached(&text).await?;
            let now = client.query_one("-- cases_now()\nselect clock_timestamp()", &[]).await?.try_get(0)?;
            let incidents: Vec<Incident> = client
                .query(&incidents, &values)
                .await?
                .iter()
                .map(row::incident)
                .collect::<Result<_, _>>()?;
            let told = client
                .prepare_cached(
                    "-- cases_told()
                     select incident_id, event, channel, created_at, state, held, tries, next_try_at, settled_at, last_error
                     from maildt.notifications where incident_id = any($1) order by id",
                )
                .await?;
            let ids: Vec<i64> = incidents.iter().map(|incident| incident.id.0).collect();
            let mut by_incident: HashMap<i64, Vec<Notice>> = HashMap::new();
            for row in client.query(&told, &[&ids]).await? {
                by_incident.entry(row.try_get("incident_id")?).or_default().push(notice(&row)?);
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
                    Ok((word(&Kind::ALL, Kind::as_str, found.try_get("kind")?)?, scope))
                })
                .collect()
        })
        .await
    }
}

/// The ids of the recipients that are meant, deleted ones too as long as they are known.
async fn matching(client: &deadpool_postgres::ClientWrapper, wanted: &str) -> Result<Vec<i32>, Problem> {
    let statement = client
        .prepare_cached(
            "-- recipients_like()
             select id from maildt.recipients
             where strpos(lower(name), lower($1)) > 0 or strpos(lower(address), lower($1)) > 0",
        )
        .await?;
    let rows = client.query(&statement, &[&wanted]).await?;
    let mut ids = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i32>, _>>()?;
    // A number may be part of a name as well as an id.
    ids.extend(wanted.parse::<i32>());
    Ok(ids)
}

fn notice(row: &Row) -> Result<Notice, Problem> {
    let channel: &str = row.try_get("channel")?;
    let state: String = row.try_get("state")?;
    Ok(Notice {
        event: word(&Telling::ALL, Telling::as_str, row.try_get("event")?)?,
        channel: channel.parse().map_err(|e| Error::Row(format!("{e}")))?,
        created_at: row.try_get("created_at")?,
        held: row.try_get::<_, bool>("held")? && state == "pending",
        state,
        tries: row.try_get("tries")?,
        next_try_at: row.try_get("next_try_at")?,
        settled_at: row.try_get("settled_at")?,
        last_error: row.try_get("last_error")?,
    })
}
