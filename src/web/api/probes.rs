//! `/api/v1/probes`: what was sent and what became of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::Response;
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::{Kind, Probe, State as ProbeState, between};
use crate::store::{ProbeList, RUNS_OUT, Requested};
use crate::web::visit::Visit;
use crate::web::{Site, probe};

use super::body;
use super::problem::{Problem, Refusal};
use super::query::{Query, cursor_of, place, probe_id, whole};

/// After that time a probe can be asked for again: the ones under way have ended or run out.
const AGAIN: Duration = Duration::from_secs(30);

#[derive(Serialize)]
struct View<'a> {
    id: String,
    recipient_id: i32,
    kind: &'static str,
    sender: &'a str,
    mailbox: &'a str,
    return_mode: &'static str,
    /// Seconds.
    alert_threshold: u64,
    due_at: Timestamp,
    state: &'static str,
    result: Option<&'static str>,
    result_at: Option<Timestamp>,
    was_missing: bool,
    attempts: i32,
    first_attempt_at: Timestamp,
    last_attempt_at: Timestamp,
    next_attempt_at: Option<Timestamp>,
    accepted_at: Option<Timestamp>,
    deadline_at: Option<Timestamp>,
    arrived_at: Option<Timestamp>,
    latency_ms: Option<f64>,
    latency_estimated: bool,
    placement: Option<&'static str>,
    folder: Option<&'a str>,
    duplicates: i32,
    misrouted: i32,
    reply: Option<ReplyView<'a>>,
    queue_id: Option<&'a str>,
    failure: Option<FailureView<'a>>,
    phases_ms: BTreeMap<&'static str, f64>,
    note: Option<&'a str>,
}

#[derive(Serialize)]
struct ReplyView<'a> {
    code: u16,
    enhanced: Option<&'a str>,
    text: &'a str,
}

#[derive(Serialize)]
struct FailureView<'a> {
    phase: &'static str,
    reason: &'static str,
    detail: &'a str,
}

/// A probe that is asked for and not made yet.
#[derive(Serialize)]
struct RequestedView {
    id: String,
    recipient_id: i32,
    kind: &'static str,
    state: &'static str,
    due_at: Timestamp,
}

#[derive(Serialize)]
struct List<'a> {
    probes: Vec<View<'a>>,
    next_cursor: Option<String>,
}

/// Milliseconds, to the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}

impl<'a> View<'a> {
    fn new(probe: &'a Probe) -> Self {
        let arrival = probe.arrival.as_ref();
        let reply = |reply: &'a crate::domain::submission::Reply| ReplyView {
            code: reply.code,
            enhanced: reply.enhanced.as_deref(),
            text: &reply.text,
        };
        let failure = |failure: &'a crate::domain::probe::Failure| FailureView {
            phase: failure.phase.as_str(),
            reason: failure.reason.as_str(),
            detail: &failure.detail,
        };
        let phases = probe.phases.iter().map(|(phase, took)| (phase.as_str(), milliseconds(*took)));
        Self {
            id: probe.id.to_string(),
            recipient_id: probe.recipient().0,
            kind: probe.kind.as_str(),
            sender: &probe.sender,
            mailbox: &probe.mailbox,
            return_mode: probe.return_mode.as_str(),
            alert_threshold: probe.threshold.as_secs(),
            due_at: probe.due_at,
            state: probe.state.as_str(),
            result: probe.result.map(crate::domain::verdict::Verdict::as_str),
            result_at: probe.result_at,
            was_missing: probe.was_missing,
            attempts: probe.attempts,
            first_attempt_at: probe.first_attempt_at,
            last_attempt_at: probe.attempt_at,
            next_attempt_at: probe.next_attempt_at,
            accepted_at: probe.accepted_at,
            deadline_at: probe.deadline_at,
            arrived_at: arrival.map(|arrival| arrival.at),
            latency_ms: arrival.and_then(|arrival| arrival.latency).map(milliseconds),
            latency_estimated: arrival.is_some_and(|arrival| arrival.estimated),
            placement: arrival.map(|arrival| arrival.placement.as_str()),
            folder: arrival.map(|arrival| &*arrival.folder),
            duplicates: probe.duplicates,
            misrouted: probe.misrouted,
            reply: probe.reply.as_ref().map(reply),
            queue_id: probe.queue_id.as_deref(),
            failure: probe.failure.as_ref().map(failure),
            phases_ms: phases.collect(),
            note: probe.note.as_deref(),
        }
    }
}

impl RequestedView {
    fn new(id: ProbeId, at: Timestamp) -> Self {
        let kind = Kind::Manual.as_str();
        Self { id: id.to_string(), recipient_id: id.recipient().0, kind, state: "requested", due_at: at }
    }
}

/// `GET /api/v1/probes`: newest first.
pub async fn list(State(site): State<Arc<Site>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri, &["recipient", "state", "since", "limit", "cursor"])?;
    let limit = query.limit()?;
    let words = ProbeState::ALL.map(ProbeState::as_str).join(", ");
    let wanted = ProbeList {
        recipient: query.parsed("recipient", "must be a recipient's id", whole)?.map(RecipientId),
        state: query.parsed("state", &format!("must be one of: {words}"), |text| {
            ProbeState::ALL.into_iter().find(|state| state.as_str() == text)
        })?,
        since: query.time("since")?,
        after: query.cursor(place)?,
        limit: limit + 1,
    };
    let mut found = site.store()?.probe_list(&wanted).await?;
    let has_more = found.len() > usize::try_from(limit).unwrap_or(usize::MAX);
    if has_more {
        found.pop();
    }
    let next_cursor = found.last().filter(|_| has_more).map(|(place, _)| cursor_of(*place));
    let list = List { next_cursor, probes: found.iter().map(|(_, probe)| View::new(probe)).collect() };
    Ok(body::json(StatusCode::OK, &list)?)
}

/// `GET /api/v1/probes/{id}`.
pub async fn one(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let id = path.ok().and_then(|Path(text)| probe_id(&text)).ok_or_else(Problem::not_found)?;
    Query::of(&uri, &[])?;
    let store = site.store()?;
    // In this order: a request becomes a probe between two looks, never the other way round.
    let requested = store.requested_at(id).await?;
    if let Some(probe) = store.probes(&[id]).await?.first() {
        return Ok(body::json(StatusCode::OK, &View::new(probe))?);
    }
    let at = requested.ok_or_else(Problem::not_found)?;
    if between(at, store.now().await?.time) > RUNS_OUT {
        return Err(Problem::not_found().into());
    }
    Ok(body::json(StatusCode::OK, &RequestedView::new(id, at))?)
}

/// `POST /api/v1/recipients/{id}/probe`: a probe now, exempt from the schedule.
pub async fn request(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let recipient = super::recipients::id(path)?;
    Query::of(&uri, &[])?;
    let store = site.store()?;
    let sender = store.recipient(recipient).await?.ok_or_else(Problem::not_found)?.sender;
    if !visit.config.senders.contains_key(&*sender) {
        let detail = format!("Its sender {sender:?} is not configured any more, so nothing can be sent.");
        return Err(Problem::new(StatusCode::CONFLICT, detail).into());
    }
    let id = probe::new_id(recipient);
    match store.request_probe(id).await? {
        Requested::Yes => {}
        Requested::TooMany => return Err(Problem::too_many(AGAIN).into()),
        Requested::Gone => return Err(Problem::not_found().into()),
    }
    tracing::info!(%recipient, probe = %id, "a probe was asked for by the API");
    let at = store.requested_at(id).await?.unwrap_or_else(crate::clock::now);
    let mut response = body::json(StatusCode::ACCEPTED, &RequestedView::new(id, at))?;
    if let Ok(location) = HeaderValue::try_from(format!("/api/v1/probes/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}
