//! The parts of a recipient's page.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::config::{Config, show_duration};
use crate::domain::alert::Incident;
use crate::domain::probe::{Kind, Probe};
use crate::domain::recipient::Recipient;
use crate::domain::verdict::Standing;
use crate::web::board::Line;
use crate::web::recipients::sheet::mode_name;
use crate::web::{states, words};

use super::clock;

pub fn is_muted(recipient: &Recipient, now: Timestamp) -> bool {
    recipient.muted_until.is_some_and(|until| until > now)
}

/// What can be done. A recipient of the file can only be probed.
pub fn deeds(recipient: &Recipient) -> Markup {
    let path = format!("/recipients/{}", recipient.id);
    html! {
        div.deeds.bar {
            form method="post" action={ (path) "/probe" } { button type="submit" { "Probe now" } }
            @if !recipient.provisioned {
                a.button.quiet href={ (path) "/edit" } { "Edit" }
                @if recipient.active { form method="post" action={ (path) "/pause" } { button.quiet type="submit" { "Pause" } } }
                @else { form method="post" action={ (path) "/resume" } { button.quiet type="submit" { "Resume" } } }
                a.button.quiet href={ (path) "/delete" } { "Delete …" }
            }
            a.end href={ (path) "/history" } { "History" }
        }
    }
}

pub fn standing(
    recipient: &Recipient,
    last_success_at: Option<Timestamp>,
    line: &Line,
    incident: Option<&Incident>,
    now: Timestamp,
) -> Markup {
    html! {
        section.panel aria-labelledby="stands" {
            h2 #stands { "How it stands" }
            (line.trace())
            p.soft { "The last 30 probes of the schedule; the line is the threshold." }
            dl {
                dt { "Latency" } dd { @match line.latency_ms { Some(ms) => b { @if line.estimated { "≈ " } (words::latency(ms)) }, None => span.none { "—" } } }
                dt { "Last success" } dd { @match last_success_at { Some(at) => (words::ago(at, now)), None => span.none { "none yet" } } }
                dt { "Next probe" } dd { @match line.next_due_at { Some(at) => (words::until(at, now)), None => span.none { "—" } } }
                dt { "Incident" } dd {
                    @match incident {
                        Some(incident) => { a href={ "/incidents?id=" (incident.id) } { "open since " (clock(incident.details.since)) } },
                        None => "none is open",
                    }
                    @if recipient.active && incident.is_some() && line.standing != Standing::Ok { p.soft { (line.why()) } }
                }
            }
        }
    }
}

pub fn settings(recipient: &Recipient, config: &Config, now: Timestamp) -> Markup {
    let several = config.senders.len() > 1
        || config.mailboxes.len() > 1
        || &*recipient.sender != "default"
        || &*recipient.mailbox != "default";
    let channel = |on: bool, is_configured: bool| match (on, is_configured) {
        (true, true) => "on",
        (true, false) => "on, but the channel is not configured",
        (false, _) => "off",
    };
    html! {
        section.panel aria-labelledby="settings" {
            h2 #settings { "How it is set" }
            dl {
                dt { "Address" } dd { (recipient.address) }
                dt { "Interval" } dd { (show_duration(recipient.interval)) }
                dt { "Threshold" } dd { (show_duration(recipient.alert_threshold)) }
                dt { "Return mode" } dd { (mode_name(recipient.return_mode)) }
                @if several {
                    dt { "Sender" } dd { (recipient.sender) @if !config.senders.contains_key(&*recipient.sender) { " (not configured)" } }
                    dt { "Mailbox" } dd { (recipient.mailbox) @if !config.mailboxes.contains_key(&*recipient.mailbox) { " (not configured)" } }
                }
                dt { "Alert" } dd { @if recipient.alert_after == 1 { "at the first failure" } @else { "after " (recipient.alert_after) " failures in a row" } }
                dt { "Discord" } dd { (channel(recipient.discord, config.alerts.discord.is_some())) }
                dt { "E-mail" } dd { (channel(recipient.email, !config.alerts.mail.is_empty())) }
                dt { "Muted" } dd { @match recipient.muted_until.filter(|until| *until > now) { Some(until) => { "until " (clock(until)) }, None => "no" } }
            }
        }
    }
}

pub fn last_probes(recipient: &Recipient, probes: &[Probe], now: Timestamp) -> Markup {
    html! {
        section #last aria-labelledby="last-heading" {
        h2 #last-heading { "Last probes" }
        @if probes.is_empty() { p.empty { "None has been sent yet." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Last probes" {
                table.probes {
                    thead { tr { th scope="col" { "Result" } th scope="col" { "Sent" } th.n scope="col" { "Latency" } th scope="col" { "Folder" } th scope="col" { "" } } }
                    tbody {
                        @for probe in probes {
                            tr {
                                td { (result(probe)) @if probe.kind == Kind::Manual { " " span.tag { "by hand" } } }
                                td { a href={ "/probes/" (probe.id) } { (words::ago(probe.first_attempt_at, now)) } }
                                td.n { @match probe.arrival.as_ref().and_then(|arrival| arrival.latency) {
                                    Some(took) => (words::latency(took.as_secs_f64() * 1000.0)),
                                    None => span.none { "—" },
                                } }
                                td { @match &probe.arrival { Some(arrival) => (arrival.folder), None => span.none { "—" } } }
                                td.why { @if let Some(reply) = probe.reply.as_ref().filter(|_| probe.arrival.is_none()) { (words::reply(reply)) } }
                            }
                        }
                    }
                }
            }
            p { a href={ "/recipients/" (recipient.id) "/history" } { "The whole history" } }
        }
        }
    }
}

/// A probe's result as it looks, or that it has none yet.
fn result(probe: &Probe) -> Markup {
    if let Some(verdict) = probe.result {
        return states::chip(Standing::after(
            verdict,
            probe.arrival.as_ref().map(|arrival| arrival.placement),
        ));
    }
    let look = states::look(Standing::Pending);
    html! { span class={ "chip " (look.class) } { (states::icon(&look)) "Under way" } }
}
