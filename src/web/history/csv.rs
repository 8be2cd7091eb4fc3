//! The probes of a period as CSV (RFC 4180), as long as there are some and somebody reads on.

use std::fmt::Write as _;
use std::io;

use axum::body::{Body, Bytes};
use jiff::Timestamp;

use crate::domain::id::RecipientId;
use crate::domain::recipient::Recipient;
use crate::domain::verdict::{Standing, Verdict};
use crate::listener::Alive;
use crate::store::{Entry, Error, Part, Period, Store};

/// Probes that are read at once.
const BATCH: usize = 2_000;

/// The columns, with their units. Times are UTC (RFC 3339).
const HEAD: &str = "probe_id,recipient,address,kind,result,state,created_at_utc,accepted_at_utc,arrived_at_utc,result_at_utc,\
    latency_ms,latency_estimated,threshold_ms,placement,folder,attempts,duplicates,reply_code,reply_enhanced,reply_text,\
    failure_phase,failure_reason,failure_detail,note,queue_id\r\n";

/// What is still to be written.
struct Rest {
    store: Store,
    recipient: Recipient,
    period: Period,
    standing: Option<Standing>,
    part: Part,
    alive: Option<Alive>,
    /// Written and not yet sent.
    ready: Option<String>,
    is_over: bool,
}

/// The whole answer, newest first. It is read from the database as the client takes it; a fault on the way breaks the
/// connection off, so that nobody takes a part for the whole.
///
/// # Errors
/// When the database cannot be asked in the first place.
pub async fn body(
    store: Store,
    recipient: Recipient,
    period: Period,
    standing: Option<Standing>,
    alive: Option<Alive>,
) -> Result<Body, Error> {
    let mut rest =
        Rest { store, recipient, period, standing, part: Part::Newest, alive, ready: None, is_over: false };
    let first = rest.batch().await?;
    rest.ready = Some(format!("{HEAD}{first}"));
    let stream = futures_util::stream::unfold(rest, async |mut rest| {
        if let Some(alive) = &rest.alive {
            alive.renew();
        }
        if let Some(ready) = rest.ready.take() {
            return Some((Ok(Bytes::from(ready)), rest));
        }
        if rest.is_over {
            return None;
        }
        let batch = rest.batch().await;
        let batch = batch.map(Bytes::from).map_err(|error| {
            tracing::warn!(reason = %error, "a CSV download was broken off");
            rest.is_over = true;
            io::Error::other(error)
        });
        Some((batch, rest))
    });
    Ok(Body::from_stream(stream))
}

impl Rest {
    async fn batch(&mut self) -> Result<String, Error> {
        let id: RecipientId = self.recipient.id;
        let (entries, more) =
            self.store.history_entries(id, self.period, self.standing, self.part, BATCH).await?;
        self.is_over = !more;
        if let Some(last) = entries.last() {
            self.part = Part::Older(last.place());
        }
        let mut text = String::with_capacity(entries.len() * 256);
        for entry in &entries {
            line(&mut text, &self.recipient, entry);
        }
        Ok(text)
    }
}

fn line(text: &mut String, recipient: &Recipient, entry: &Entry) {
    let probe = &entry.probe;
    let arrival = probe.arrival.as_ref();
    let reply = probe.reply.as_ref();
    let failure = probe.failure.as_ref();
    let cells = [
        probe.id.to_string(),
        quoted(&recipient.name),
        quoted(&recipient.address),
        probe.kind.as_str().to_owned(),
        probe.result.map_or("", Verdict::as_str).to_owned(),
        probe.state.as_str().to_owned(),
        time(Some(entry.created_at)),
        time(probe.accepted_at),
        time(arrival.map(|arrival| arrival.at)),
        time(probe.result_at),
        arrival
            .and_then(|a| a.latency)
            .map(|latency| format!("{:.3}", latency.as_secs_f64() * 1000.0))
            .unwrap_or_default(),
        arrival.map(|arrival| arrival.estimated.to_string()).unwrap_or_default(),
        probe.threshold.as_millis().to_string(),
        arrival.map_or("", |arrival| arrival.placement.as_str()).to_owned(),
        quoted(arrival.map_or("", |arrival| &arrival.folder)),
        probe.attempts.to_string(),
        probe.duplicates.to_string(),
        reply.map(|reply| reply.code.to_string()).unwrap_or_default(),
        quoted(reply.and_then(|reply| reply.enhanced.as_deref()).unwrap_or_default()),
        quoted(reply.map_or("", |reply| &reply.text)),
        failure.map_or("", |failure| failure.phase.as_str()).to_owned(),
        failure.map_or("", |failure| failure.reason.as_str()).to_owned(),
        quoted(failure.map_or("", |failure| &failure.detail)),
        quoted(probe.note.as_deref().unwrap_or_default()),
        quoted(probe.queue_id.as_deref().unwrap_or_default()),
    ];
    // Writing to a String cannot fail.
    let _ = write!(text, "{}\r\n", cells.join(","));
}

/// To the millisecond, in UTC.
fn time(at: Option<Timestamp>) -> String {
    at.map(|at| at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()).unwrap_or_default()
}

/// Foreign text as a cell. A spreadsheet takes what begins like a formula for one, so such a text gets an apostrophe before it.
fn quoted(text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    let mark = if text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'])
        || text.starts_with(['\t', '\r', '\n'])
    {
        "'"
    } else {
        ""
    };
    format!("\"{mark}{}\"", text.replace('"', "\"\""))
}

/// A name for the file: letters, digits and hyphens alone.
pub fn file_name(recipient: &Recipient, period: Period) -> String {
    let name: String =
        recipient.name.chars().take(60).map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let day = |at: Timestamp| at.strftime("%Y%m%dT%H%MZ").to_string();
    format!("maildt-{}-{}-{}.csv", name.trim_matches('-'), day(period.from), day(period.to))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_cell_is_never_a_formula() {
        for (text, cell) in [
            ("", ""),
            ("plain", "\"plain\""),
            ("a \"b\", c\r\nd", "\"a \"\"b\"\", c\r\nd\""),
            ("=1+1", "\"'=1+1\""),
            ("+49", "\"'+49\""),
            ("-1", "\"'-1\""),
            ("@x", "\"'@x\""),
            (" =1", "\"' =1\""),
            ("\t=1", "\"'\t=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("5.1.1 =x", "\"5.1.1 =x\""),
        ] {
            assert_eq!(quoted(text), cell, "{text:?}");
        }
        assert_eq!(HEAD.split(',').count(), 25);
    }

    proptest! {
        #[test]
        fn a_cell_holds_its_text_and_ends_where_it_ends(text: String) {
            let cell = quoted(&text);
            if text.is_empty() {
                prop_assert_eq!(cell, "");
            } else {
                let inner = cell.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
                prop_assert!(!inner.replace("\"\"", "").contains('"'));
                let read = inner.replace("\"\"", "\"");
                let marked = format!("'{text}");
                prop_assert!(read == text || read == marked);
            }
        }
    }
}
