//! What follows from a trial: settings that fit what came back, or what to set up where nothing came.

use std::time::Duration;

use maud::{Markup, html};

use crate::config::{Config, show_duration};
use crate::domain::message::Form;
use crate::domain::probe::{Probe, State, between};
use crate::domain::proposal;
use crate::domain::recipient::Recipient;
use crate::domain::record::{Bearing, Seen};
use crate::domain::return_mode::ReturnMode;
use crate::domain::verdict::Placement;
use crate::web::words;

use super::Trial;

/// After so long without a sight of it one may wonder. Seconds.
const WONDER_S: u64 = 20;

pub fn render(trial: &Trial, recipient: &Recipient, config: &Config) -> Markup {
    let Some(probe) = trial.probe() else { return html! {} };
    let waiting = probe.accepted_at.map_or(0, |accepted| between(accepted, trial.0.now).as_secs());
    let came = came(probe, recipient);
    let elsewhere = probe.sightings.iter().find(|seen| seen.bearing == Bearing::Elsewhere);
    html! {
        @if let Some(seen) = elsewhere { (misrouted(seen, recipient, config)) }
        @match probe.state {
            State::Delivered | State::Late => (arrived(probe, &came, recipient)),
            State::Accepted | State::Unconfirmed | State::Missing | State::Inconclusive if !came.is_empty() => (in_another_form(probe, &came, recipient)),
            State::Missing => (nothing(recipient, config)),
            State::Accepted | State::Unconfirmed if waiting >= WONDER_S && elsewhere.is_none() => { p.soft { "Nothing yet. This page goes on looking; meanwhile:" } (nothing(recipient, config)) }
            State::Bounced => div.advice {
                h3 { "What to do" }
                p { "The message was accepted first and then returned: a server on the way, or the last one, does not know the address or does not take its mail. Look at the address, and at the alias or redirect behind it." }
            },
            State::SendFailed => div.advice {
                h3 { "What to do" }
                p { "Nothing has left. If the server refuses the recipient, look at the address; if it refuses the sender or the login, look at the account " code { (recipient.sender) } " on " a href="/settings" { "the settings page" } "." }
            },
            _ => {},
        }
    }
}

/// What came into the recipient's mailbox, the reports apart.
fn came<'a>(probe: &'a Probe, recipient: &Recipient) -> Vec<&'a Seen> {
    let is_here = |seen: &&Seen| *seen.mailbox == *recipient.mailbox && seen.form != Form::Report;
    probe.sightings.iter().map(AsRef::as_ref).filter(is_here).collect()
}

/// A form in words.
fn kind(form: Form) -> &'static str {
    match form {
        Form::Direct => "the probe itself",
        Form::Copy => {
            "a new message about the probe, as a forward is, with the token in its Subject or References"
        }
        Form::AutoReply => "an automatic reply",
        Form::Report => "a report",
    }
}

fn arrived(probe: &Probe, came: &[&Seen], recipient: &Recipient) -> Markup {
    let latency = probe.arrival.as_ref().and_then(|arrival| arrival.latency);
    let junk = probe.arrival.as_ref().is_some_and(|arrival| arrival.placement == Placement::Junk);
    let forms: Vec<Form> = came.iter().map(|seen| seen.form).collect();
    let mode = proposal::return_mode(&forms).unwrap_or(recipient.return_mode);
    let proof = came.iter().find(|seen| seen.bearing == Bearing::Proof);
    html! {
        @if junk {
            div.advice {
                h3 { "It was filed as junk" }
                p { "It arrives, but people will not see it. Have the sender allowed there, or look at SPF, DKIM and DMARC of the address that it is sent from. MailDT shows such a recipient as In Junk; that is no alert." }
            }
        }
        @if let Some(seen) = proof { p.soft { "What arrived is " (kind(seen.form)) "." (rewritten(seen)) } }
        @if let Some(latency) = latency { (proposed(recipient, mode, latency)) }
    }
}

/// It came back, but in a form that the return mode does not take for a proof.
fn in_another_form(probe: &Probe, came: &[&Seen], recipient: &Recipient) -> Markup {
    let forms: Vec<Form> = came.iter().map(|seen| seen.form).collect();
    let mode = proposal::return_mode(&forms).unwrap_or(recipient.return_mode);
    let best = came.iter().find(|seen| mode.accepts(seen.form));
    let latency = best.zip(probe.accepted_at).map(|(seen, accepted)| between(accepted, seen.at));
    html! {
        div.advice {
            h3 { "It came back in another form" }
            @if let Some(seen) = best {
                p { "In " (seen.folder) " there is " (kind(seen.form)) "." (rewritten(seen)) " In mode " b { (probe.return_mode) } " that proves nothing." }
            }
        }
        @if let Some(latency) = latency { (proposed(recipient, mode, latency)) }
    }
}

fn rewritten(seen: &Seen) -> Markup {
    html! { @if let Some(subject) = &seen.content.subject { " Its Subject was changed to “" (words::shortened(subject)) "”." } }
}

fn proposed(recipient: &Recipient, mode: ReturnMode, latency: Duration) -> Markup {
    let threshold = proposal::threshold(latency);
    let took = words::latency(latency.as_secs_f64() * 1000.0);
    let is_same = (mode, threshold) == (recipient.return_mode, recipient.alert_threshold);
    html! {
        div.advice {
            h3 { "What this suggests" }
            dl {
                dt { "Return mode" } dd { b { (mode) } @if mode == recipient.return_mode { ", as it is set" } @else { ", instead of " (recipient.return_mode) } }
                dt { "Threshold" } dd { b { (show_duration(threshold)) } @if threshold == recipient.alert_threshold { ", as it is set" } @else { ", instead of " (show_duration(recipient.alert_threshold)) } }
            }
            p.soft { "This one took " (took) ". The threshold is " (proposal::MARGIN) " times that, at least " (show_duration(proposal::AT_LEAST))
                ", rounded up: near the usual time each slow minute would be an alarm. One probe tells little; look at the history after a day." }
            @if recipient.provisioned { p.soft { "This recipient is the file’s: change it there." } }
            @else if is_same { p.good { "It fits: nothing is to be changed." } }
            @else {
                form.deeds method="post" action={ "/recipients/" (recipient.id) "/adopt" } {
                    input type="hidden" name="version" value=(recipient.version);
                    input type="hidden" name="return_mode" value=(mode);
                    input type="hidden" name="alert_threshold" value=(show_duration(threshold));
                    button type="submit" { "Use " @if mode != recipient.return_mode { "mode " (mode) " and " } (show_duration(threshold)) }
                }
            }
        }
    }
}

fn misrouted(seen: &Seen, recipient: &Recipient, config: &Config) -> Markup {
    html! {
        div.advice {
            h3 { "It came into another mailbox" }
            p { "It was seen in " (seen.folder) " of " b { (seen.mailbox) } ", and is looked for in " b { (recipient.mailbox) }
                ". If that is where its mail belongs, take that one as its mailbox; else the alias or redirect leads astray." }
            @if !recipient.provisioned && config.mailboxes.contains_key(&seen.mailbox) && *seen.mailbox != *recipient.mailbox {
                form.deeds method="post" action={ "/recipients/" (recipient.id) "/adopt" } {
                    input type="hidden" name="version" value=(recipient.version);
                    input type="hidden" name="mailbox" value=(seen.mailbox);
                    button type="submit" { "Look for it in " (seen.mailbox) }
                }
            }
        }
    }
}

/// What must be set up at the other end.
fn nothing(recipient: &Recipient, config: &Config) -> Markup {
    let mailbox = config.mailboxes.get(&*recipient.mailbox);
    let user = mailbox.map_or("the watched mailbox", |mailbox| mailbox.account.user.as_str());
    let from = config.senders.get(&*recipient.sender).map_or("the sender", |sender| sender.from.as_str());
    html! {
        div.advice {
            h3 { "Where it was looked for" }
            p {
                "The mailbox " b { (recipient.mailbox) }
                @if let Some(mailbox) = mailbox {
                    " (" (user) "), in " @for (place, folder) in mailbox.folders.iter().enumerate() { @if place > 0 { ", " } code { (folder) } }
                    ". A rule may file it elsewhere: then add that folder to IMAP_FOLDERS."
                } @else { " is not configured any more." }
            }
            h3 { "What must be set up for " (recipient.address) }
            dl.ways {
                @for mode in ReturnMode::ALL {
                    dt { (super::super::sheet::mode_name(mode)) @if mode == recipient.return_mode { " " span.tag { "set now" } } }
                    dd { @match mode {
                        ReturnMode::Direct => { "An alias or redirect (Sieve " code { "redirect" } ", “forward without changes”) of this address to " b { (user) } "; nothing, if it is that mailbox’s own address. A filter must not take mail with " code { "Auto-Submitted" } " away." },
                        ReturnMode::Forward => { "A rule in the mailbox or help desk that forwards mail from " b { (from) } " to " b { (user) } ", with the Subject kept: it carries the proof." },
                        ReturnMode::Echo => { "An automatic reply to mail from " b { (from) } " with the Subject quoted, “Re: …”. Many servers answer one sender only once a day, and none that marks its mail as automatic: a rule of its own is needed then." },
                    } }
                }
            }
            p { "Then " a href={ "/recipients/" (recipient.id) "/edit" } { "set the return mode" } " to what was set up, and probe again." }
        }
    }
}
