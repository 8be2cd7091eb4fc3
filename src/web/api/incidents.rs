//! `/api/v1/incidents`: what is wrong, what was, and whom it was told.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::alert::{IncidentId, Resolution, Scope};
use crate::store::{Case, Notice, Which};
use crate::web::{Site, words};

use super::body;
use super::problem::{Problem, Refusal};
use super::query::Query;

/// Recipients that are listed in full; a shared cause may concern thousands.
const RECIPIENTS: usize = 100;

#[derive(Serialize)]
struct View<'a> {
    id: String,
    kind: &'static str,
    scope: ScopeView<'a>,
    is_open: bool,
    opened_at: Timestamp,
    resolved_at: Option<Timestamp>,
    failing_since: Timestamp,
    failures: u32,
    last_good_at: Option<Timestamp>,
    evidence: String,
    probe_id: Option<String>,
    resolution: Option<&'static str>,
    recipients_count: usize,
    recipients: Vec<ConcernedView<'a>>,
    notifications: Vec<NotificationView<'a>>,
}

/// What it is about. A recipient has an id, everything else a name.
#[derive(Serialize)]
struct ScopeView<'a> {
    r#type: &'static str,
    recipient_id: Option<i32>,
    name: Option<&'a str>,
}

#[derive(Serialize)]
struct ConcernedView<'a> {
    id: i32,
    name: &'a str,
    address: &'a str,
}

#[derive(Serialize)]
struct NotificationView<'a> {
    event: &'static str,
    channel: String,
    state: &'a str,
    created_at: Timestamp,
    tries: i32,
    next_try_at: Option<Timestamp>,
    settled_at: Option<Timestamp>,
    last_error: Option<&'a str>,
}

#[derive(Serialize)]
struct List<'a> {
    incidents: Vec<View<'a>>,
    next_cursor: Option<String>,
}

impl<'a> ScopeView<'a> {
    fn new(scope: &'a Scope) -> Self {
        let named = |r#type, name: &'a Arc<str>| Self { r#type, recipient_id: None, name: Some(name) };
        match scope {
            Scope::Recipient(id) => Self { r#type: "recipient", recipient_id: Some(id.0), name: None },
            Scope::Sender(name) => named("sender", name),
            Scope::Mailbox(name) => named("mailbox", name),
            Scope::Channel(name) => named("channel", name),
        }
    }
}

impl<'a> View<'a> {
    fn new(case: &'a Case) -> Self {
        let (incident, details) = (&case.incident, &case.incident.details);
        let concerned = details.concerned.iter().take(RECIPIENTS);
        Self {
            id: incident.id.to_string(),
            kind: incident.kind.as_str(),
            scope: ScopeView::new(&incident.scope),
            is_open: incident.is_open(),
            opened_at: incident.opened_at,
            resolved_at: incident.resolved_at,
            failing_since: details.since,
            failures: details.failures,
            last_good_at: details.last_good_at,
            evidence: words::evidence(&details.latest),
            probe_id: details.latest.probe().map(|probe| probe.to_string()),
            resolution: details.resolution.as_ref().map(|resolution| match resolution {
                Resolution::Recovered { .. } => "recovered",
                Resolution::Arrived { .. } => "arrived",
                Resolution::Paused => "paused",
                Resolution::Removed => "removed",
            }),
            recipients_count: details.concerned.len(),
            recipients: concerned
                .map(|one| ConcernedView { id: one.id.0, name: &one.name, address: &one.address })
                .collect(),
            notifications: case.told.iter().map(NotificationView::new).collect(),
        }
    }
}

impl<'a> NotificationView<'a> {
    fn new(notice: &'a Notice) -> Self {
        Self {
            event: notice.event.as_str(),
            channel: notice.channel.to_string(),
            state: &notice.state,
            created_at: notice.created_at,
            tries: notice.tries,
            next_try_at: notice.next_try_at,
            settled_at: notice.settled_at,
            last_error: notice.last_error.as_deref(),
        }
    }
}

/// An id as we write it, or in capitals.
fn id(text: &str) -> Option<IncidentId> {
    text.parse().ok()
}

/// `GET /api/v1/incidents`: newest first.
pub async fn list(State(site): State<Arc<Site>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri, &["state", "limit", "cursor"])?;
    let limit = query.limit()?;
    let is_open = query.parsed("state", "must be open or past", |text| match text {
        "open" => Some(true),
        "past" => Some(false),
        _ => None,
    })?;
    let before = query.cursor(id)?;
    let (_, mut found) = site.store()?.cases(Which::Listed { is_open, before, limit: limit + 1 }).await?;
    let has_more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if has_more {
        found.pop();
    }
    let list = List {
        next_cursor: found.last().filter(|_| has_more).map(|case| case.incident.id.to_string()),
        incidents: found.iter().map(View::new).collect(),
    };
    Ok(body::json(StatusCode::OK, &list)?)
}

/// `GET /api/v1/incidents/{id}`.
pub async fn one(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let id = path.ok().and_then(|Path(text)| id(&text)).ok_or_else(Problem::not_found)?;
    Query::of(&uri, &[])?;
    let (_, cases) = site.store()?.cases(Which::One(id)).await?;
    let case = cases.first().ok_or_else(Problem::not_found)?;
    Ok(body::json(StatusCode::OK, &View::new(case))?)
}
