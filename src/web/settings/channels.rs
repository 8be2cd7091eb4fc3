//! The alert channels: how each fares, what waits for it, and a button that tries it.

use std::time::Instant;

use maud::{Markup, html};

use crate::domain::alert::Channel;
use crate::domain::probe::between;
use crate::notify::test_alert;
use crate::store::{ChannelQueue, LOST_FOR_DAYS};
use crate::web::health::{Condition, Part};
use crate::web::words;

use super::parts::{View, host, time};
use super::trial::{Outcome, Trial, Trials};

/// The channels with how they fare, in the order of the configuration.
pub fn parts(view: &View<'_>) -> Vec<(Channel, Part)> {
    let channels = view.config.alerts.channels().into_iter();
    channels.map(|channel| (channel.clone(), part(view, &channel))).collect()
}

fn part(view: &View<'_>, channel: &Channel) -> Part {
    let (name, place) = match channel {
        Channel::Discord => ("Discord".to_owned(), "by DISCORD_WEBHOOK_URL".to_owned()),
        Channel::Email(address) => {
            let account = view.config.alerts.smtp.as_ref().map(|smtp| &smtp.account);
            let by = account.map(|account| format!("mail by {} port {}", account.host, account.port));
            (address.to_string(), by.unwrap_or_default())
        }
    };
    let mut part = Part::new(name, place);
    let now = view.now();
    let queue = view.health.channels.get(channel).cloned().unwrap_or_default();
    let ChannelQueue { health, waiting, held, oldest_at, dead } = queue;
    let error = health.last_error.as_deref().map(words::shortened).unwrap_or_default();
    match (health.failing_since, &health.refused) {
        (since, Some(_)) => part.complain(
            Condition::Ill,
            html! {
                "Refuses us" @if let Some(since) = since { " since " (time(since)) } ": " span.bad { (words::sentence(&error)) }
                " It is left alone until its setting changes or a test alert gets through."
            },
        ),
        (Some(since), None) => {
            let is_long = between(since, now) >= view.config.limits.channel_down_after;
            let state = if is_long { Condition::Ill } else { Condition::Doubtful };
            let words = html! { "Takes nothing since " (time(since)) ": " span.bad { (words::sentence(&error)) } };
            part.complain(state, words);
        }
        (None, None) if health.last_ok_at.is_none() => {
            part.complain(Condition::Unknown, html! { "No alert went out by it yet; a test alert shows whether one would." });
        }
        (None, None) => {}
    }
    if let Some(at) = health.last_ok_at {
        part.say(html! { "Took the last message " (words::ago(at, now)) "." });
    }
    if waiting > held {
        part.say(html! {
            (alerts(waiting - held)) (if waiting - held == 1 { " waits" } else { " wait" })
            @if let Some(oldest) = oldest_at { ", the oldest since " (time(oldest)) } "."
        });
    }
    if held > 0 {
        part.say(html! { (alerts(held)) " kept back while it is " a href="#quiet" { "quiet" } "." });
    }
    if dead > 0 {
        let words = html! {
            span.bad { a href="/incidents?lost=1" { (alerts(dead)) } " of the last " (LOST_FOR_DAYS) " days could not be delivered." }
        };
        part.complain(Condition::Doubtful, words);
    }
    part
}

/// Alerts that nobody got, on channels that are configured or were.
pub fn lost(view: &View<'_>) -> usize {
    let lost: i64 = view.health.channels.values().map(|queue| queue.dead).sum();
    usize::try_from(lost).unwrap_or_default()
}

fn alerts(number: i64) -> String {
    words::count(usize::try_from(number).unwrap_or_default(), "alert", "alerts")
}

/// The table, and who sends when a button is pressed.
pub fn section(view: &View<'_>, parts: &[(Channel, Part)], trials: &Trials) -> Markup {
    if parts.is_empty() {
        return html! {
            h2 #channels { "Alert channels" }
            p.note.bad { span { "Nobody is told of an incident. Set " code { "DISCORD_WEBHOOK_URL" } " or " code { "ALERT_MAIL_RECIPIENT" } "." } }
        };
    }
    html! {
        h2 #channels { "Alert channels" }
        p.soft {
            "A test alert is sent at once by this instance, " b { (host()) } ", whatever is quiet."
            @if !view.is_active() { " It is not the one that sends alerts now; that one may have another way out." }
        }
        div.scroll tabindex="0" role="region" aria-label="Alert channels" {
            table.parts {
                thead { tr { @for name in ["Channel", "State", "In words"] { th scope="col" { (name) } } th scope="col" { span.unseen { "Try" } } } }
                tbody {
                    @for (channel, part) in parts {
                        @let shown = trials.last(channel, Instant::now());
                        tr {
                            th scope="row" { (part.name) small { (part.place) } }
                            td.state { (part.state.chip()) }
                            td.why {
                                @for words in &part.words { p { (words) } }
                                @if let Some(trial) = &shown { (result(channel, trial)) }
                            }
                            td.act {
                                form method="post" action="/settings/test" {
                                    input type="hidden" name="channel" value=(channel);
                                    button.quiet type="submit" aria-label={ "Send a test alert to " (test_alert::shown(channel)) } { "Send test alert" }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Whether a test is under way, so that the page should look again.
pub fn is_trying(parts: &[(Channel, Part)], trials: &Trials) -> bool {
    let now = Instant::now();
    parts.iter().any(|(channel, _)| trials.last(channel, now).is_some_and(|trial| trial.outcome().is_none()))
}

fn result(channel: &Channel, trial: &Trial) -> Markup {
    let from = html! { "Test alert of " (time(trial.at)) ": " };
    match trial.outcome() {
        None => {
            html! { div.note role="status" { span { (from) "under way; this page loads itself again." } } }
        }
        Some(Outcome::Taken { after, cleared }) => html! {
            div.note.good role="status" { span {
                (from) b { "delivered" } " after " (words::latency(after.as_secs_f64() * 1000.0)) ". "
                (match channel { Channel::Discord => "It should be in the channel.", Channel::Email(_) => "The mail server took it; see that it is in the inbox, not in Junk." })
                @if cleared { " What was held against this channel is over; alerts that wait are sent now." }
            } }
        },
        Some(Outcome::NotTaken(reason)) => html! {
            div.note.bad role="status" { span { (from) b { "not delivered" } ". " (words::sentence(&reason)) } }
        },
    }
}
