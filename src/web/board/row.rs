//! One recipient on the board: how it stands, and why in words.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::domain::alert::{Incident, Kind, Scope};
use crate::domain::id::RecipientId;
use crate::domain::verdict::{Standing, Verdict};
use crate::store::{BoardData, BoardRow, Last};
use crate::web::states::{self, look};
use crate::web::words;

use super::spark::spark;

/// The open incidents, by whom they concern.
#[derive(Default)]
pub struct Troubles {
    by_recipient: HashMap<RecipientId, Arc<Incident>>,
    shared: Vec<Arc<Incident>>,
}

impl Troubles {
    pub fn of(data: &BoardData) -> Self {
        let mut by_recipient = HashMap::new();
        let mut shared = Vec::new();
        for incident in &data.incidents {
            match &incident.scope {
                Scope::Recipient(id) => {
                    by_recipient.insert(*id, Arc::clone(incident));
                }
                _ => shared.push(Arc::clone(incident)),
            }
        }
        Self { by_recipient, shared }
    }

    fn of_mailbox(&self, name: &str) -> Option<&Incident> {
        self.shared.iter().map(Arc::as_ref).find(|i| matches!(&i.scope, Scope::Mailbox(m) if **m == *name))
    }

    /// A recipient's own incident, else a shared one that concerns it.
    pub fn of_row(&self, row: &BoardRow) -> Option<&Incident> {
        let own = self.by_recipient.get(&row.recipient.id).map(Arc::as_ref);
        own.or_else(|| {
            self.shared
                .iter()
                .map(Arc::as_ref)
                .find(|incident| incident.details.concerned.iter().any(|c| c.id == row.recipient.id))
        })
    }
}

/// A row with all that is shown and sorted by.
pub struct Line {
    pub id: RecipientId,
    pub name: Arc<str>,
    pub address: Arc<str>,
    pub standing: Standing,
    pub latency_ms: Option<f64>,
    pub last_success_at: Option<Timestamp>,
    pub next_due_at: Option<Timestamp>,
    /// The probes of its sparkline that were judged by delivery, and how many of them came in time.
    pub judged: usize,
    pub in_time: usize,
    pub latencies_ms: Vec<f32>,
    /// The cells that change only with the data.
    state: String,
    who: String,
    trace: String,
    why: String,
    pub estimated: bool,
}

/// As the metric `maildt_recipient_state` has it.
pub fn standing(row: &BoardRow, troubles: &Troubles) -> Standing {
    if !row.recipient.active {
        return Standing::Paused;
    }
    if troubles.of_mailbox(&row.recipient.mailbox).is_some() {
        return Standing::Unknown;
    }
    row.last.as_ref().map_or(Standing::Pending, |last| Standing::after(last.verdict, last.placement))
}

impl Line {
    pub fn new(row: &BoardRow, troubles: &Troubles, now: Timestamp) -> Self {
        let standing = standing(row, troubles);
        let recipient = &row.recipient;
        let judged = row.trace.iter().filter(|dot| dot.verdict.is_some_and(|v| v != Verdict::Inconclusive));
        let in_time = row.trace.iter().filter(|dot| dot.verdict == Some(Verdict::Delivered));
        let last = row.last.as_ref();
        Self {
            id: recipient.id,
            name: Arc::clone(&recipient.name),
            address: Arc::clone(&recipient.address),
            standing,
            latency_ms: last.filter(|_| standing != Standing::Unknown).and_then(|last| last.latency_ms),
            estimated: last.is_some_and(|last| last.estimated),
            last_success_at: row.last_success_at,
            next_due_at: recipient.active.then_some(recipient.next_due_at),
            judged: judged.count(),
            in_time: in_time.clone().count(),
            latencies_ms: in_time.filter_map(|dot| dot.latency_ms).collect(),
            state: states::chip(standing).into_string(),
            who: who(row, now).into_string(),
            trace: spark(&row.trace, recipient.alert_threshold).into_string(),
            why: why(row, standing, troubles).into_string(),
        }
    }

    /// Why it does not stand well; nothing where it does.
    pub fn why(&self) -> Markup {
        maud::PreEscaped(self.why.clone())
    }

    /// The sparkline.
    pub fn trace(&self) -> Markup {
        maud::PreEscaped(self.trace.clone())
    }

    /// What a viewer sees, without the clocks that run by themselves.
    pub fn is_like(&self, other: &Self) -> bool {
        self.state == other.state
            && self.who == other.who
            && self.trace == other.trace
            && self.why == other.why
            && self.last_success_at == other.last_success_at
            && self.next_due_at == other.next_due_at
            && self.latency_ms == other.latency_ms
            && self.estimated == other.estimated
    }

    pub fn render(&self, now: Timestamp) -> Markup {
        html! {
            tr #{ "r" (self.id) } class=(look(self.standing).class) {
                td.state { (maud::PreEscaped(&self.state)) }
                th.who scope="row" { (maud::PreEscaped(&self.who)) }
                td.trace { (maud::PreEscaped(&self.trace)) }
                td.n.big.latency data-label="Latency" {
                    @if let Some(ms) = self.latency_ms {
                        @if self.estimated { abbr title="estimated: it was found later" { "≈" } " " }
                        (words::latency(ms))
                    } @else { (nothing()) }
                }
                td.n.success data-label="Last success" {
                    @if let Some(at) = self.last_success_at { (words::ago(at, now)) } @else { (nothing()) }
                }
                td.n.next data-label="Next probe in" {
                    @if let Some(at) = self.next_due_at { (words::until(at, now)) } @else { (nothing()) }
                }
                td.why { (maud::PreEscaped(&self.why)) }
            }
        }
    }
}

fn nothing() -> Markup {
    html! { span.none { span aria-hidden="true" { "—" } span.unseen { "none" } } }
}

fn who(row: &BoardRow, now: Timestamp) -> Markup {
    let recipient = &row.recipient;
    let mut details = Vec::new();
    if recipient.name != recipient.address {
        details.push(recipient.address.to_string());
    }
    if &*recipient.sender != "default" || &*recipient.mailbox != "default" {
        details.push(format!("by {} into {}", recipient.sender, recipient.mailbox));
    }
    let muted = recipient.muted_until.is_some_and(|until| until > now);
    html! {
        a href={ "/recipients/" (recipient.id) } { span.name { (recipient.name) } }
        @if muted { " " span.tag { "muted" } }
        @for detail in &details { small { (detail) } }
    }
}

/// Why it does not stand well, in words; nothing where it does.
fn why(row: &BoardRow, standing: Standing, troubles: &Troubles) -> Markup {
    if let Some(incident) =
        troubles.of_mailbox(&row.recipient.mailbox).filter(|_| standing == Standing::Unknown)
    {
        return html! {
            "We cannot look. " (words::evidence(&incident.details.latest)) " No verdict until we can."
        };
    }
    let incident = troubles.of_row(row).filter(|_| standing != Standing::Paused);
    if let Some(incident) = incident {
        let details = &incident.details;
        let times = usize::try_from(details.failures).unwrap_or(usize::MAX);
        return html! {
            span.since { "Since " time datetime=(words::exact(details.since)) data-clock { (words::exact(details.since)) }
                @if times > 1 { ", " (words::count(times, "failure", "failures")) } ". " }
            @if incident.kind == Kind::SenderUnreachable { "Concerns all recipients of this sender. " }
            (words::evidence(&details.latest))
        };
    }
    let Some(last) = &row.last else {
        return html! { @if standing == Standing::Pending { "No result yet." } };
    };
    html! { (of_last(last, standing, row)) }
}

fn of_last(last: &Last, standing: Standing, row: &BoardRow) -> String {
    let threshold = words::span(row.recipient.alert_threshold);
    match standing {
        Standing::Missing => "Accepted, and not there when all folders were looked through.".to_owned(),
        Standing::Late => format!("Took longer than {threshold}."),
        Standing::Junk => {
            let folder = last.folder.as_deref().unwrap_or("Junk");
            format!("Arrived, but was filed in {folder}.")
        }
        Standing::SendFailed => match (&last.reply, &last.failure) {
            (Some(reply), Some((phase, reason, _))) => {
                format!(
                    "{} at {}: {}",
                    words::reason(*reason),
                    phase.as_str().to_uppercase(),
                    words::reply(reply)
                )
            }
            (_, Some((_, reason, detail))) if detail.is_empty() => format!("{}.", words::reason(*reason)),
            (_, Some((_, reason, detail))) => {
                format!("{}: {}", words::reason(*reason), words::shortened(detail))
            }
            _ => "It could not be sent.".to_owned(),
        },
        Standing::Bounced => match last.note.as_deref() {
            Some(note) => format!("Came back: {}", words::shortened(note)),
            None => "Came back as undeliverable.".to_owned(),
        },
        Standing::Unknown => {
            let note = last.note.as_deref().map(|note| words::sentence(&words::shortened(note)));
            note.unwrap_or_else(|| "The last probe could not be judged.".to_owned())
        }
        Standing::Ok | Standing::Pending | Standing::Paused => String::new(),
    }
}
