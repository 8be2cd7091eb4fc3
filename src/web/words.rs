//! Figures and findings in words.

use std::time::Duration;

use jiff::Timestamp;
use maud::{Markup, html};

use crate::domain::alert::Evidence;
use crate::domain::probe::between;
use crate::domain::submission::{Reason, Reply};

/// A latency: two significant digits, as nobody needs more.
pub fn latency(ms: f64) -> String {
    let seconds = ms / 1000.0;
    if seconds < 0.995 {
        format!("{seconds:.2}\u{a0}s")
    } else if seconds < 9.95 {
        format!("{seconds:.1}\u{a0}s")
    } else if seconds < 99.5 {
        format!("{seconds:.0}\u{a0}s")
    } else {
        span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }
}

/// A duration in its largest unit.
pub fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=99 => format!("{seconds}\u{a0}s"),
        100..=5_399 => format!("{}\u{a0}min", (seconds + 30) / 60),
        5_400..=129_599 => format!("{}\u{a0}h", (seconds + 1_800) / 3_600),
        _ => format!("{}\u{a0}days", (seconds + 43_200) / 86_400),
    }
}

/// How long ago, with the exact time at hand. The script keeps it going.
pub fn ago(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(exact(at)) title=(exact(at)) data-ago { (span(between(at, now))) " ago" } }
}

/// How long until, as a clock that runs down. The script keeps it going.
pub fn until(at: Timestamp, now: Timestamp) -> Markup {
    html! { time datetime=(exact(at)) title=(exact(at)) data-until { (countdown(between(now, at))) } }
}

fn countdown(left: Duration) -> String {
    let seconds = left.as_secs();
    match seconds {
        0 => "now".to_owned(),
        1..3_600 => format!("{}:{:02}", seconds / 60, seconds % 60),
        _ => span(left),
    }
}

/// In UTC, to the second (RFC 3339).
pub fn exact(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// `1 probe`, `2 probes`.
pub fn count(number: usize, one: &str, many: &str) -> String {
    format!("{} {}", thousands(number), if number == 1 { one } else { many })
}

/// `1,151`.
pub fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What a server said.
pub fn reply(reply: &Reply) -> String {
    let enhanced = reply.enhanced.as_deref().map(|code| format!(" {code}")).unwrap_or_default();
    let text = if reply.text.is_empty() { String::new() } else { format!(" {}", reply.text) };
    shortened(&format!("{}{enhanced}{text}", reply.code))
}

/// With a capital letter and a full stop.
pub fn sentence(text: &str) -> String {
    let mut letters = text.trim().chars();
    let Some(first) = letters.next() else { return String::new() };
    let mut sentence: String = first.to_uppercase().chain(letters).collect();
    if !sentence.ends_with(['.', '!', '?', '…']) {
        sentence.push('.');
    }
    sentence
}

/// A server may say a lot.
pub fn shortened(text: &str) -> String {
    const MOST: usize = 160;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MOST).collect();
    short.push('…');
    short
}

/// What could not be done at a submission.
pub fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Dns => "The name of the submission server cannot be resolved",
        Reason::Connect => "The submission server cannot be reached",
        Reason::Timeout => "The submission server did not answer in time",
        Reason::Tls => "No safe connection to the submission server",
        Reason::Auth => "The submission server refuses the login",
        Reason::Smtp4xx => "Refused for now, until retrying ended",
        Reason::Smtp5xx => "Refused",
        Reason::Protocol => "The submission server does not keep to SMTP",
        Reason::Other => "It could not be sent",
    }
}

/// What was seen, in a sentence.
pub fn evidence(evidence: &Evidence) -> String {
    sentence(&seen(evidence))
}

fn seen(evidence: &Evidence) -> String {
    match evidence {
        Evidence::NotArrived { folders, reply: accepted, .. } => {
            let by = accepted.as_ref().map(|r| format!(" with “{}”", reply(r))).unwrap_or_default();
            let folders = if folders.is_empty() { "all folders".to_owned() } else { folders.join(" and ") };
            format!("Accepted{by}, then silence; {folders} looked through twice.")
        }
        Evidence::Bounced { note, .. } => format!("Came back: {}", shortened(note)),
        Evidence::NotSent { reason: why, reply: said, detail, phase, .. } => match said {
            Some(said) => {
                format!("{} at {}: {}", self::reason(*why), phase.as_str().to_uppercase(), reply(said))
            }
            None if detail.is_empty() => format!("{}.", self::reason(*why)),
            None => format!("{}: {}", self::reason(*why), shortened(detail)),
        },
        Evidence::Unanswered { in_a_row, .. } => {
            format!("The connection was lost after the mail was handed over, {in_a_row} times in a row.")
        }
        Evidence::Unreadable { folder, detail, .. } => {
            format!("{folder} cannot be looked through: {}", shortened(detail))
        }
        Evidence::Undeliverable { channel, detail, .. } => {
            let channel = if channel == "discord" { "Discord" } else { channel };
            format!("{channel} takes no alerts: {}", shortened(detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        for (ms, text) in [
            (0.0, "0.00 s"),
            (412.0, "0.41 s"),
            (994.0, "0.99 s"),
            (996.0, "1.0 s"),
            (9_940.0, "9.9 s"),
            (9_960.0, "10 s"),
            (41_000.0, "41 s"),
            (99_400.0, "99 s"),
            (100_000.0, "2 min"),
            (3_600_000.0, "60 min"),
            (7_200_000.0, "2 h"),
        ] {
            assert_eq!(latency(ms), text.replace(' ', "\u{a0}"), "{ms}");
        }
        assert_eq!(span(Duration::from_hours(72)), "3\u{a0}days");
        assert_eq!(countdown(Duration::from_secs(61)), "1:01");
        assert_eq!(countdown(Duration::from_secs(3_599)), "59:59");
        assert_eq!(countdown(Duration::from_millis(900)), "now");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_151), "1,151");
        assert_eq!(thousands(1_234_567), "1,234,567");
        assert_eq!(count(1, "probe", "probes"), "1 probe");
    }
}
