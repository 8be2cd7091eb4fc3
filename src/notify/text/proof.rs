//! Evidence in words.

use super::Desk;
use super::words::{cut, foreign, listed, times};
use crate::domain::alert::Evidence;
use crate::domain::id::ProbeId;
use crate::domain::submission::{Phase, Reply};
use crate::notify::letter::Fact;

/// Characters of a reason within a sentence; the facts have it whole.
const REASON_MAX: usize = 240;
/// Folders named in a sentence.
pub(super) const FOLDERS: usize = 5;

pub(super) fn fact(label: &'static str, value: impl Into<String>) -> Fact {
    Fact { label, value: value.into() }
}

/// Why it failed, to stand behind a colon.
pub(super) fn reason(evidence: &Evidence, desk: &Desk) -> String {
    let reason = match evidence {
        Evidence::NotArrived { folders, looked_at, misrouted, .. } => {
            let astray = if *misrouted > 0 { ", but seen in another mailbox" } else { "" };
            format!("not in {} at {}{astray}", listed(folders, "or", FOLDERS), desk.clock(*looked_at))
        }
        Evidence::Bounced { note, .. } => format!("came back: {}", said(note)),
        Evidence::NotSent { phase, reply: Some(reply), .. } => {
            format!("{}: {}", refused(*phase), reply_words(reply))
        }
        Evidence::NotSent { phase, detail, .. } => format!("{}: {}", failed(*phase), said(detail)),
        Evidence::Unanswered { detail, in_a_row, .. } => {
            format!("no answer after the final dot{}: {}", in_row(*in_a_row), after_dot(detail))
        }
        Evidence::Unreadable { folder, detail, .. } => {
            format!("folder {}: {}", foreign(folder), said(detail))
        }
        Evidence::Undeliverable { detail, .. } => said(detail),
    };
    cut(&reason, REASON_MAX)
}

/// What was seen, for a reader who judges for himself.
pub(super) fn facts(evidence: &Evidence, desk: &Desk) -> Vec<Fact> {
    match evidence {
        Evidence::NotArrived {
            probe, accepted_at, deadline_at, folders, looked_at, queue_id, reply, ..
        } => {
            let answer = reply.as_ref().map(|reply| format!(": {}", reply_words(reply))).unwrap_or_default();
            let looked = format!(
                "{}, twice, the last time at {}",
                listed(folders, "and", FOLDERS),
                desk.clock(*looked_at)
            );
            let mut facts = vec![
                fact("Accepted", format!("{}{answer}", desk.moment(*accepted_at))),
                fact("Expected by", desk.moment(*deadline_at)),
                fact("Looked at", looked),
            ];
            facts.extend(queue(queue_id.as_deref()));
            facts.push(of(*probe));
            facts
        }
        Evidence::Bounced { probe, accepted_at, at, note, queue_id } => {
            let mut facts = vec![fact("Bounce says", said(note))];
            facts.extend(accepted_at.map(|at| fact("Accepted", desk.moment(at))));
            facts.push(fact("Came back", desk.moment(*at)));
            facts.extend(queue(queue_id.as_deref()));
            facts.push(of(*probe));
            facts
        }
        Evidence::NotSent { probe, at, reply, detail, attempts, .. } => {
            let words = match reply {
                Some(reply) => fact("Server's reply", reply_words(reply)),
                None => fact("What happened", said(detail)),
            };
            let attempts = format!("{attempts}, the last ended at {}", desk.clock(*at));
            vec![words, fact("Attempts", attempts), of(*probe)]
        }
        Evidence::Unanswered { probe, at, detail, .. } => {
            vec![fact("What happened", after_dot(detail)), fact("Last time", desk.moment(*at)), of(*probe)]
        }
        Evidence::Unreadable { folder, detail, .. } => {
            vec![fact("Folder", foreign(folder)), fact("What happened", said(detail))]
        }
        Evidence::Undeliverable { channel, detail, .. } => {
            let mut facts = vec![fact("What happened", said(detail))];
            if channel.contains('@') {
                facts.insert(0, fact("Address", foreign(channel)));
            }
            facts
        }
    }
}

/// What the evidence does not say, and what to look at next. `who` it is about.
pub(super) fn remarks(evidence: &Evidence, who: &str, desk: &Desk) -> Vec<String> {
    match evidence {
        Evidence::NotArrived { folders, looked_at, queue_id, misrouted, .. } => {
            let mut remarks = vec![format!(
                "The mailbox could be read: the probe was not in {} at {}.",
                listed(folders, "or", FOLDERS),
                desk.clock(*looked_at)
            )];
            if *misrouted > 0 {
                let often = times(u64::try_from(*misrouted).unwrap_or_default());
                remarks.push(format!(
                    "The probe was seen in another mailbox ({often}): see where mail to {who} is forwarded."
                ));
            }
            remarks.extend(queue_id.as_deref().map(|id| {
                let id = foreign(id);
                format!("The submission server took it: look for {id} in its log.")
            }));
            remarks
        }
        Evidence::Bounced { .. } => {
            vec![
                "The submission server took it; a server on the way refused it, in the words above."
                    .to_owned(),
            ]
        }
        // A fault of the sender is tried again whatever the code.
        Evidence::NotSent { reply: Some(reply), .. } if !evidence.blames_sender() => {
            let code = reply.code;
            vec![if reply.is_transient() {
                format!("{code} means \"try later\": it was tried until the time for it was over.")
            } else {
                format!("{code} is a permanent refusal: it is not tried again before the next probe is due.")
            }]
        }
        Evidence::Unanswered { .. } => vec![
            "Whether those mails are on their way is not known. None of them is sent a second time."
                .to_owned(),
        ],
        Evidence::NotSent { .. } | Evidence::Unreadable { .. } | Evidence::Undeliverable { .. } => Vec::new(),
    }
}

pub(super) fn in_row(number: u32) -> String {
    if number > 1 { format!(", {} in a row", times(number.into())) } else { String::new() }
}

/// The server's own words.
fn reply_words(reply: &Reply) -> String {
    let enhanced = reply.enhanced.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
    foreign(&format!("{}{enhanced} {}", reply.code, reply.text))
}

pub(super) fn said(text: &str) -> String {
    let text = foreign(text);
    if text.is_empty() { "no reason was given".to_owned() } else { text }
}

/// The detail of an ambiguous end says itself where it was.
fn after_dot(detail: &str) -> String {
    said(detail.strip_prefix("after the final dot: ").unwrap_or(detail))
}

fn of(probe: ProbeId) -> Fact {
    fact("Probe", probe.to_string())
}

fn queue(id: Option<&str>) -> Option<Fact> {
    id.map(foreign).filter(|id| !id.is_empty()).map(|id| fact("Queue id", id))
}

fn refused(phase: Phase) -> &'static str {
    match phase {
        Phase::Dns | Phase::Connect => "refused at the connection",
        Phase::Tls => "refused at STARTTLS",
        Phase::Greeting => "refused with the greeting",
        Phase::Ehlo => "refused at EHLO",
        Phase::Auth => "login refused",
        Phase::Mail => "refused at MAIL FROM",
        Phase::Rcpt => "refused at RCPT TO",
        Phase::Data => "refused at DATA",
        Phase::FinalReply => "refused after the final dot",
    }
}

fn failed(phase: Phase) -> &'static str {
    match phase {
        Phase::Dns => "name not resolved",
        Phase::Connect => "no connection",
        Phase::Tls => "TLS failed",
        Phase::Greeting => "failed at the greeting",
        Phase::Ehlo => "failed at EHLO",
        Phase::Auth => "failed at the login",
        Phase::Mail => "failed at MAIL FROM",
        Phase::Rcpt => "failed at RCPT TO",
        Phase::Data => "failed at DATA",
        Phase::FinalReply => "failed in the message",
    }
}
