//! `/api/v1/recipients`: what is monitored, and how it stands.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use serde::Serialize;

use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;
use crate::store::{BoardRow, Edited, Roster, Store};
use crate::web::Site;
use crate::web::board::{Troubles, standing};
use crate::web::visit::Visit;

use super::problem::{Problem, Refusal};
use super::query::{Query, whole};
use super::{body, precondition, recipient_fields};

#[derive(Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of the user")]
struct View<'a> {
    id: i32,
    address: &'a str,
    name: &'a str,
    sender: &'a str,
    mailbox: &'a str,
    return_mode: &'static str,
    /// Seconds.
    interval: u64,
    /// Seconds.
    alert_threshold: u64,
    alert_after: i32,
    discord: bool,
    email: bool,
    muted_until: Option<Timestamp>,
    active: bool,
    provisioned: bool,
    version: i32,
    observed: Observed,
}

/// What MailDT found out; nobody sets it.
#[derive(Serialize)]
struct Observed {
    state: &'static str,
    last_result: Option<&'static str>,
    last_result_at: Option<Timestamp>,
    last_latency_ms: Option<f64>,
    last_latency_estimated: bool,
    last_success_at: Option<Timestamp>,
    next_probe_at: Option<Timestamp>,
    incident_id: Option<String>,
}

#[derive(Serialize)]
struct List<'a> {
    recipients: Vec<View<'a>>,
    next_cursor: Option<String>,
}

impl<'a> View<'a> {
    fn new(row: &'a BoardRow, troubles: &Troubles) -> Self {
        let recipient = &row.recipient;
        let last = row.last.as_ref();
        let incident = troubles.of_row(row).filter(|_| recipient.active);
        Self {
            id: recipient.id.0,
            address: &recipient.address,
            name: &recipient.name,
            sender: &recipient.sender,
            mailbox: &recipient.mailbox,
            return_mode: recipient.return_mode.as_str(),
            interval: recipient.interval.as_secs(),
            alert_threshold: recipient.alert_threshold.as_secs(),
            alert_after: recipient.alert_after,
            discord: recipient.discord,
            email: recipient.email,
            muted_until: recipient.muted_until,
            active: recipient.active,
            provisioned: recipient.provisioned,
            version: recipient.version,
            observed: Observed {
                state: standing(row, troubles).as_str(),
                last_result: last.map(|last| last.verdict.as_str()),
                last_result_at: last.map(|last| last.at),
                last_latency_ms: last.and_then(|last| last.latency_ms),
                last_latency_estimated: last.is_some_and(|last| last.estimated),
                last_success_at: row.last_success_at,
                next_probe_at: recipient.active.then_some(recipient.next_due_at),
                incident_id: incident.map(|incident| incident.id.to_string()),
            },
        }
    }
}

/// The recipient that a path names.
pub fn id(path: Result<Path<String>, PathRejection>) -> Result<RecipientId, Problem> {
    let id = path.ok().and_then(|Path(text)| whole(&text));
    id.map(RecipientId).ok_or_else(Problem::not_found)
}

/// `GET /api/v1/recipients`: by id, oldest first.
pub async fn list(State(site): State<Arc<Site>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri, &["name", "limit", "cursor"])?;
    let limit = query.limit()?;
    let after = query.cursor(whole::<i32>)?.map_or(RecipientId(0), RecipientId);
    let data = match query.get("name") {
        // No recipient has such a name, and the database takes no NUL.
        Some(name) if name.contains('\0') => {
            return Err(Problem::query("name", "holds a character that no name has").into());
        }
        Some(name) => site.store()?.roster(Roster::Named(name)).await?,
        None => site.store()?.roster(Roster::After { after, limit: limit + 1 }).await?,
    };
    let troubles = Troubles::of(&data);
    let page = data.rows.get(..usize::try_from(limit).unwrap_or(usize::MAX));
    let next = page.filter(|page| page.len() < data.rows.len()).and_then(|page| page.last());
    let list = List {
        next_cursor: next.map(|row| row.recipient.id.to_string()),
        recipients: page.unwrap_or(&data.rows).iter().map(|row| View::new(row, &troubles)).collect(),
    };
    Ok(body::json(StatusCode::OK, &list)?)
}

/// `GET /api/v1/recipients/{id}`.
pub async fn one(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
) -> Result<Response, Refusal> {
    let id = id(path)?;
    Query::of(&uri, &[])?;
    let data = site.store()?.roster(Roster::One(id)).await?;
    let row = data.rows.first().ok_or_else(Problem::not_found)?;
    shown(StatusCode::OK, row, &Troubles::of(&data))
}

/// `POST /api/v1/recipients`.
pub async fn add(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    Query::of(&uri, &[])?;
    let wanted = recipient_fields::wanted(&visit.config, body::object(&headers, &body)?)?;
    let store = site.store()?;
    let Edited::Done(added) = store.add_recipient(&wanted).await? else {
        return Err(Problem::name_taken(&wanted.name).into());
    };
    tracing::info!(recipient = %added.id, "a recipient was added by the API");
    let location = format!("/api/v1/recipients/{}", added.id);
    let mut response = edited(&store, StatusCode::CREATED, *added).await?;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// `PUT /api/v1/recipients/{id}`: replaces all settings; what is absent gets its default.
pub async fn replace(
    State(site): State<Arc<Site>>,
    Extension(visit): Extension<Arc<Visit>>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Refusal> {
    let id = id(path)?;
    Query::of(&uri, &[])?;
    let wanted = recipient_fields::wanted(&visit.config, body::object(&headers, &body)?)?;
    let store = site.store()?;
    let version = editable(&store, id, &headers).await?;
    match store.change_recipient(id, version, &wanted).await? {
        Edited::Done(changed) => {
            tracing::info!(recipient = %id, "a recipient was changed by the API");
            edited(&store, StatusCode::OK, *changed).await
        }
        Edited::NameTaken => Err(Problem::name_taken(&wanted.name).into()),
        refused => Err(conflict(&refused).into()),
    }
}

/// `DELETE /api/v1/recipients/{id}`.
pub async fn delete(
    State(site): State<Arc<Site>>,
    path: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let id = id(path)?;
    Query::of(&uri, &[])?;
    let store = site.store()?;
    let version = editable(&store, id, &headers).await?;
    match store.delete_recipient(id, version).await? {
        Edited::Done(_) => {
            tracing::info!(recipient = %id, "a recipient was deleted by the API");
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        refused => Err(conflict(&refused).into()),
    }
}

/// The version of a recipient that this request may change.
async fn editable(store: &Store, id: RecipientId, headers: &HeaderMap) -> Result<i32, Refusal> {
    let recipient = store.recipient(id).await?.ok_or_else(Problem::not_found)?;
    if recipient.provisioned {
        return Err(Problem::provisioned().into());
    }
    precondition::check(headers, recipient.version)?;
    Ok(recipient.version)
}

/// What happened between the look at the precondition and the edit.
fn conflict(edited: &Edited) -> Problem {
    match edited {
        Edited::Provisioned => Problem::provisioned(),
        Edited::Gone => Problem::not_found(),
        Edited::Changed(_) | Edited::NameTaken | Edited::Done(_) => precondition::failed(),
    }
}

/// A recipient as this edit has made it, whatever others have done since.
async fn edited(store: &Store, status: StatusCode, recipient: Recipient) -> Result<Response, Refusal> {
    let unknown = |recipient| BoardRow { recipient, last: None, last_success_at: None, trace: Vec::new() };
    // It is done: a fault from here on must not look as if it were not.
    let Ok(mut data) = store.roster(Roster::One(recipient.id)).await else {
        return shown(status, &unknown(recipient), &Troubles::default());
    };
    let row = match data.rows.pop() {
        Some(row) => BoardRow { recipient, ..row },
        None => unknown(recipient),
    };
    shown(status, &row, &Troubles::of(&data))
}

fn shown(status: StatusCode, row: &BoardRow, troubles: &Troubles) -> Result<Response, Refusal> {
    let mut response = body::json(status, &View::new(row, troubles))?;
    response.headers_mut().insert(ETAG, precondition::tag(row.recipient.version));
    Ok(response)
}
