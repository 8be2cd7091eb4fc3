//! What becomes of the example recipients' mail, told line by line while the demo runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mail_parser::MessageParser;

use crate::demo::{MailServer, cast};
use crate::domain::verdict::{Standing, Verdict};
use crate::metrics::{Glance, Metrics};

/// How often the metrics are looked at.
const EVERY: Duration = Duration::from_millis(200);

/// Prints what is new, for ever.
pub(super) async fn tell(metrics: Arc<Metrics>, server: Arc<MailServer>) {
    let began = tokio::time::Instant::now();
    let mut tick = tokio::time::interval(EVERY);
    let mut story = Story::default();
    loop {
        tick.tick().await;
        let lines = story.go_on(metrics.glances());
        for line in lines.into_iter().chain(story.alerts(&server)) {
            let seconds = began.elapsed().as_secs();
            println!("  {:>2}:{:02}  {line}", seconds / 60, seconds % 60);
        }
    }
}

/// What has been told so far.
#[derive(Default)]
struct Story {
    known: BTreeMap<Arc<str>, Glance>,
    seen: BTreeSet<Standing>,
    /// The first alert that is not told yet.
    next_alert: u32,
}

impl Story {
    /// One line for each thing that happened since the last time.
    fn go_on(&mut self, glances: Vec<Glance>) -> Vec<String> {
        let mut lines = Vec::new();
        let all_seen = self.is_complete();
        for glance in glances {
            self.seen.insert(glance.standing);
            // Counters begin at 0 with the program.
            let before = self.known.insert(Arc::clone(&glance.name), glance.clone());
            let told = news(&before.unwrap_or_default(), &glance).into_iter();
            lines.extend(told.map(|text| format!("{:<11} {text}", glance.name)));
        }
        if !all_seen && self.is_complete() {
            let words: Vec<&str> = Standing::ALL.iter().map(|standing| standing.as_str()).collect();
            lines.push(format!("now every state has been seen: {}", words.join(", ")));
        }
        lines
    }

    /// The subjects of the alerts that have come.
    fn alerts(&mut self, server: &MailServer) -> Vec<String> {
        let uids = server.uids(cast::ON_CALL, "INBOX").unwrap_or_default();
        if uids.last().is_none_or(|last| *last < self.next_alert) {
            return Vec::new();
        }
        let messages = server.messages(cast::ON_CALL, "INBOX").unwrap_or_default();
        let new = messages.into_iter().filter(|message| message.uid >= self.next_alert);
        let lines = new
            .map(|message| {
                let parsed = MessageParser::default().parse(&message.raw);
                let subject = parsed.as_ref().and_then(|message| message.subject()).unwrap_or_default();
                format!("{:<11} {subject}", "alert mail")
            })
            .collect();
        self.next_alert = uids.last().map_or(0, |last| last + 1);
        lines
    }

    fn is_complete(&self) -> bool {
        Standing::ALL.iter().all(|standing| self.seen.contains(standing))
    }
}

fn news(before: &Glance, now: &Glance) -> Vec<String> {
    let mut lines = Vec::new();
    if now.deferred > before.deferred {
        lines.push("refused for now; the same probe is tried again in a minute".to_owned());
    }
    for (verdict, count) in &now.results {
        let earlier = before.results.iter().find(|(word, _)| word == verdict).map_or(0, |(_, count)| *count);
        if *count > earlier {
            lines.push(told(*verdict, before, now));
        }
    }
    if now.duplicates > before.duplicates {
        lines.push("a second copy arrived".to_owned());
    }
    lines
}

fn told(verdict: Verdict, before: &Glance, now: &Glance) -> String {
    let after = now.last_latency.map(|seconds| format!("after {seconds:.2} s")).unwrap_or_default();
    match verdict {
        Verdict::Delivered if now.timed == before.timed => {
            "ok           arrived; not timed, as the server's answer to the submission was lost".to_owned()
        }
        Verdict::Delivered if now.standing == Standing::Junk => {
            format!("junk         arrived in Junk {after}")
        }
        Verdict::Delivered => format!("ok           arrived {after}"),
        Verdict::Late => format!("late         arrived {after}"),
        Verdict::Missing => {
            "missing      accepted, and proved absent by two looks into every folder".to_owned()
        }
        Verdict::SendFailed => "send_failed  the server does not take it".to_owned(),
        Verdict::Bounced => "bounced      accepted, then a notification said that it failed".to_owned(),
        Verdict::Inconclusive => {
            "unknown      not there, and the server's answer to the submission was lost".to_owned()
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn glance(name: &str, standing: Standing) -> Glance {
        let results = Verdict::ALL.map(|verdict| (verdict, 0)).to_vec();
        Glance { name: Arc::from(name), standing, results, ..Glance::default() }
    }

    fn with(mut glance: Glance, verdict: Verdict) -> Glance {
        glance.results.iter_mut().find(|(word, _)| *word == verdict).unwrap().1 += 1;
        glance
    }

    #[test]
    fn each_result_is_told_once() {
        let mut story = Story::default();
        let mut first = with(glance("healthy", Standing::Ok), Verdict::Delivered);
        (first.timed, first.last_latency) = (1, Some(0.25));
        assert_eq!(story.go_on(vec![first.clone()]), ["healthy     ok           arrived after 0.25 s"]);
        assert!(story.go_on(vec![first.clone()]).is_empty());
        assert_eq!(story.go_on(vec![with(first, Verdict::Missing)]).len(), 1);
    }

    #[test]
    fn an_arrival_without_a_time_is_told_apart() {
        let before = glance("cut", Standing::Pending);
        let now = with(Glance { standing: Standing::Ok, ..before.clone() }, Verdict::Delivered);
        assert!(news(&before, &now).concat().contains("not timed"));
    }

    #[test]
    fn it_says_when_every_state_was_seen() {
        let mut story = Story::default();
        for standing in Standing::ALL {
            let lines = story.go_on(vec![glance("any", standing)]);
            assert_eq!(lines.is_empty(), standing != Standing::Paused, "{lines:?}");
        }
        assert!(story.go_on(vec![glance("any", Standing::Ok)]).is_empty());
    }
}
