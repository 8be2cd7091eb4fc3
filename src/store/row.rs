//! Rows as the domain's values.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::Row;

use crate::domain::alert::{self, Incident, IncidentId};
use crate::domain::id::{ProbeId, RecipientId};
use crate::domain::probe::{Arrival, Failure, Kind, Probe, State};
use crate::domain::recipient::{Recipient, ReturnMode};
use crate::domain::submission::{Phase, Reason, Reply};
use crate::domain::verdict::{Placement, Verdict};

use super::{Error, Problem};

/// The columns that [`recipient`] reads.
pub(super) const RECIPIENT: &str = "r.id, r.name, r.address, r.sender, r.mailbox, r.return_mode, r.interval_s, \
    r.alert_threshold_s, r.alert_after, r.discord, r.email, r.muted_until, r.active, r.provisioned, r.next_due_at, r.version";

/// The columns that [`probe`] reads.
pub(super) const PROBE: &str = "p.id, p.key_id, p.kind, p.sender, p.mailbox, p.return_mode, p.threshold_ms, p.due_at, \
    p.state, p.result, p.result_at, p.was_missing, p.attempts, p.faults, p.first_attempt_at, p.attempt_at, \
    p.next_attempt_at, p.accepted_at, p.deadline_at, p.arrived_at, p.latency_ms, p.latency_estimated, p.placement, \
    p.folder, p.prints, p.duplicates, p.misrouted, p.reply_code, p.reply_enhanced, p.reply_text, p.queue_id, \
    p.failure_phase, p.failure_reason, p.failure_detail, p.phases, p.note, p.sightings, p.searches, p.version";

/// As [`PROBE`], without the evidence, of which lists show nothing and which may be long.
pub(super) fn probe_in_brief() -> String {
    PROBE.replace("p.sightings, p.searches", "'[]'::jsonb as sightings, '[]'::jsonb as searches")
}

/// The columns that [`incident`] reads.
pub(super) const INCIDENT: &str = "i.id, i.kind, i.scope, i.opened_at, i.resolved_at, i.details, i.version";

/// The member of `all` that the database calls `word`.
pub(super) fn word<T: Copy>(all: &[T], name: impl Fn(T) -> &'static str, word: &str) -> Result<T, Problem> {
    all.iter()
        .copied()
        .find(|value| name(*value) == word)
        .ok_or_else(|| Error::Row(format!("unknown word {word:?}")).into())
}

fn shared(row: &Row, column: &str) -> Result<Arc<str>, Problem> {
    Ok(Arc::from(row.try_get::<_, &str>(column)?))
}

pub(super) fn optional<T: Copy>(
    row: &Row,
    column: &str,
    all: &[T],
    name: impl Fn(T) -> &'static str,
) -> Result<Option<T>, Problem> {
    row.try_get::<_, Option<&str>>(column)?.map(|text| word(all, name, text)).transpose()
}

fn seconds(row: &Row, column: &str) -> Result<Duration, Problem> {
    let value: i32 = row.try_get(column)?;
    Ok(Duration::from_secs(value.unsigned_abs().into()))
}

pub(super) fn recipient(row: &Row) -> Result<Recipient, Problem> {
    Ok(Recipient {
        id: RecipientId(row.try_get("id")?),
        name: shared(row, "name")?,
        address: shared(row, "address")?,
        sender: shared(row, "sender")?,
        mailbox: shared(row, "mailbox")?,
        return_mode: word(&ReturnMode::ALL, ReturnMode::as_str, row.try_get("return_mode")?)?,
        interval: seconds(row, "interval_s")?,
        alert_threshold: seconds(row, "alert_threshold_s")?,
        alert_after: row.try_get("alert_after")?,
        discord: row.try_get("discord")?,
        email: row.try_get("email")?,
        muted_until: row.try_get("muted_until")?,
        active: row.try_get("active")?,
        provisioned: row.try_get("provisioned")?,
        next_due_at: row.try_get("next_due_at")?,
        version: row.try_get("version")?,
    })
}

pub(super) fn probe(row: &Row) -> Result<Probe, Problem> {
    Ok(Probe {
        id: ProbeId::from_uuid(row.try_get("id")?),
        key_id: row.try_get("key_id")?,
        kind: word(&[Kind::Scheduled, Kind::Manual], Kind::as_str, row.try_get("kind")?)?,
        sender: shared(row, "sender")?,
        mailbox: shared(row, "mailbox")?,
        return_mode: word(&ReturnMode::ALL, ReturnMode::as_str, row.try_get("return_mode")?)?,
        threshold: Duration::from_millis(row.try_get::<_, i64>("threshold_ms")?.unsigned_abs()),
        due_at: row.try_get("due_at")?,
        state: word(&State::ALL, State::as_str, row.try_get("state")?)?,
        result: optional(row, "result", &Verdict::ALL, Verdict::as_str)?,
        result_at: row.try_get("result_at")?,
        was_missing: row.try_get("was_missing")?,
        attempts: row.try_get("attempts")?,
        faults: row.try_get("faults")?,
        first_attempt_at: row.try_get("first_attempt_at")?,
        attempt_at: row.try_get("attempt_at")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        accepted_at: row.try_get("accepted_at")?,
        deadline_at: row.try_get("deadline_at")?,
        arrival: arrival(row)?,
        prints: row.try_get("prints")?,
        duplicates: row.try_get("duplicates")?,
        misrouted: row.try_get("misrouted")?,
        reply: reply(row)?,
        queue_id: row.try_get("queue_id")?,
        failure: failure(row)?,
        phases: phases(&row.try_get("phases")?),
        note: row.try_get("note")?,
        sightings: records(row.try_get("sightings")?),
        searches: records(row.try_get("searches")?),
        version: row.try_get("version")?,
    })
}

/// A column of evidence. What this program cannot read is left out: it decides nothing.
fn records<T: DeserializeOwned>(json: serde_json::Value) -> Vec<Arc<T>> {
    let serde_json::Value::Array(all) = json else { return Vec::new() };
    all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).map(Arc::new).collect()
}

/// The inverse of [`records`].
pub(super) fn records_json<T: Serialize>(records: &[Arc<T>]) -> serde_json::Value {
    records.iter().filter_map(|one| serde_json::to_value(&**one).ok()).collect()
}

pub(super) fn incident(row: &Row) -> Result<Incident, Problem> {
    let scope: &str = row.try_get("scope")?;
    let details = serde_json::from_value(row.try_get("details")?);
    Ok(Incident {
        id: IncidentId(row.try_get("id")?),
        kind: word(&alert::Kind::ALL, alert::Kind::as_str, row.try_get("kind")?)?,
        scope: scope.parse().map_err(|e| Error::Row(format!("{e}")))?,
        opened_at: row.try_get("opened_at")?,
        resolved_at: row.try_get("resolved_at")?,
        details: details.map_err(|e| Error::Row(format!("details of an incident: {e}")))?,
        version: row.try_get("version")?,
    })
}

fn arrival(row: &Row) -> Result<Option<Arrival>, Problem> {
    let Some(at) = row.try_get("arrived_at")? else { return Ok(None) };
    let latency: Option<f64> = row.try_get("latency_ms")?;
    Ok(Some(Arrival {
        at,
        estimated: row.try_get("latency_estimated")?,
        placement: optional(row, "placement", &Placement::ALL, Placement::as_str)?
            .unwrap_or(Placement::Other),
        folder: Arc::from(row.try_get::<_, Option<&str>>("folder")?.unwrap_or_default()),
        latency: latency.map(|ms| Duration::try_from_secs_f64(ms / 1000.0).unwrap_or_default()),
    }))
}

pub(super) fn reply(row: &Row) -> Result<Option<Reply>, Problem> {
    let Some(code) = row.try_get::<_, Option<i32>>("reply_code")? else { return Ok(None) };
    Ok(Some(Reply {
        code: u16::try_from(code).unwrap_or_default(),
        enhanced: row.try_get("reply_enhanced")?,
        text: row.try_get::<_, Option<String>>("reply_text")?.unwrap_or_default(),
    }))
}

pub(super) fn failure(row: &Row) -> Result<Option<Failure>, Problem> {
    let phase = optional(row, "failure_phase", &Phase::ALL, Phase::as_str)?;
    let reason = optional(row, "failure_reason", &Reason::ALL, Reason::as_str)?;
    let detail: Option<String> = row.try_get("failure_detail")?;
    Ok(phase.zip(reason).map(|(phase, reason)| Failure { phase, reason, detail: detail.unwrap_or_default() }))
}

/// `{"connect": 1.5}` in milliseconds, in the order of [`Phase::ALL`].
fn phases(json: &serde_json::Value) -> Vec<(Phase, Duration)> {
    Phase::ALL
        .into_iter()
        .filter_map(|phase| {
            let ms = json.get(phase.as_str())?.as_f64()?;
            Some((phase, Duration::try_from_secs_f64(ms / 1000.0).ok()?))
        })
        .collect()
}

/// The inverse of [`phases`].
pub(super) fn phases_json(phases: &[(Phase, Duration)]) -> serde_json::Value {
    phases
        .iter()
        .map(|(phase, duration)| (phase.as_str().to_owned(), milliseconds(*duration).into()))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(super) fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000_000.0).round() / 1000.0
}
