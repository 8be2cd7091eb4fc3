//! Every time limit in one place (`[limits]` in `maildt.toml`), so that none is hidden and tests need not wait.

use std::time::Duration;

use super::parse;
use super::problem::{Fault, Findings};
use super::table::{Table, bounded};

/// Time limits and pauses. The defaults are the promises; change them for tests or for very slow servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// TCP connect, resolution and TLS handshake, each.
    pub connect: Duration,
    /// One SMTP or IMAP command until its reply.
    pub command: Duration,
    /// The final dot until the last reply.
    pub final_reply: Duration,
    /// One whole submission.
    pub send: Duration,
    /// Pauses before the quick retries after a fault of the sender.
    pub sender_retry: Vec<Duration>,
    /// Pauses before the retries after a 4xx; the last repeats.
    pub deferred_retry: Vec<Duration>,
    /// Least distance of the two rounds of looking that prove absence.
    pub round_gap: Duration,
    /// How long a mailbox may be unobserved before that is an incident.
    pub blind_after: Duration,
    /// Reconnect pauses after a lost or refused IMAP connection.
    pub reconnect_min: Duration,
    pub reconnect_max: Duration,
    /// Pauses after a refused IMAP login, so that no account gets locked.
    pub login_refused_min: Duration,
    pub login_refused_max: Duration,
    /// How long an IDLE may stay silent before it is ended and entered anew (RFC 2177 asks for less than 29 min).
    pub idle: Duration,
    /// A verdict that could not be reached this long after its deadline becomes `inconclusive`.
    pub verdict: Duration,
    /// One database statement or transaction, as seen by us.
    pub database: Duration,
    /// Pauses between attempts to reach the database.
    pub database_retry_min: Duration,
    pub database_retry_max: Duration,
    /// How long the lease of the active instance lasts, and how often it is renewed.
    pub lease: Duration,
    pub lease_renew: Duration,
    /// How long a graceful stop may take.
    pub drain: Duration,
    /// How long an alert waits for others of its kind, to share a message; with more coming in, up to twice as long.
    pub alert_gather: Duration,
    /// How long a fault of a sender that only one of its recipients met waits for a second one to meet it.
    pub second_opinion: Duration,
    /// An alert channel that fails for longer is an incident.
    pub channel_down_after: Duration,
    /// Pauses between tries on an alert channel.
    pub channel_retry_min: Duration,
    pub channel_retry_max: Duration,
    /// One whole try on an alert channel.
    pub channel_send: Duration,
    /// A notification that nobody took for this long is given up.
    pub notification_dead_after: Duration,
    /// An outage of the database is told after this, and again at most this often, both from memory.
    pub emergency_after: Duration,
    pub emergency_again: Duration,
    /// Between two pings of the heartbeat.
    pub heartbeat: Duration,
    /// The shortest interval and the shortest alert threshold that a recipient may have.
    pub interval_min: Duration,
    pub threshold_min: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let s = Duration::from_secs;
        Self {
            connect: s(10),
            command: s(60),
            final_reply: s(120),
            send: s(300),
            sender_retry: vec![s(4), s(15)],
            deferred_retry: vec![s(60), s(120), s(300), s(300)],
            round_gap: s(10),
            blind_after: s(180),
            reconnect_min: s(1),
            reconnect_max: s(30),
            login_refused_min: s(60),
            login_refused_max: s(900),
            idle: s(240),
            verdict: s(86_400),
            database: s(5),
            database_retry_min: s(1),
            database_retry_max: s(30),
            lease: s(15),
            lease_renew: s(2),
            drain: s(10),
            alert_gather: s(5),
            second_opinion: s(300),
            channel_down_after: s(300),
            channel_retry_min: s(2),
            channel_retry_max: s(300),
            channel_send: s(30),
            notification_dead_after: s(86_400),
            emergency_after: s(60),
            emergency_again: s(3600),
            heartbeat: s(60),
            interval_min: s(30),
            threshold_min: s(10),
        }
    }
}

/// Longer than any limit makes sense.
const LONGEST: Duration = Duration::from_hours(7 * 24);
/// RFC 2177 asks to end an IDLE before 29 minutes are over.
const LONGEST_IDLE: Duration = Duration::from_mins(28);

impl Limits {
    /// Reads `[limits]` over the defaults. What is wrong is noted and keeps its default.
    pub(super) fn read(table: &Table, findings: &mut Findings) -> Self {
        let mut limits = Self::default();
        let known: Vec<&str> = limits.by_name().iter().map(|(name, _)| *name).collect();
        table.refuse_unknown(&known, findings);
        let shortest = Duration::from_millis(1);
        for (name, limit) in limits.by_name_mut() {
            match limit {
                LimitMut::One(limit) => {
                    if let Some(value) = table.scalar(name, findings, bounded(shortest, LONGEST)) {
                        *limit = value;
                    }
                }
                LimitMut::Many(limit) => {
                    if let Some(value) = table.list(name, findings, bounded(shortest, LONGEST)) {
                        *limit = value;
                    }
                }
            }
        }
        limits.check(table, findings);
        limits
    }

    fn check(&self, table: &Table, findings: &mut Findings) {
        let ordered = [
            ("reconnect_min", self.reconnect_min, "reconnect_max", self.reconnect_max),
            ("login_refused_min", self.login_refused_min, "login_refused_max", self.login_refused_max),
            ("database_retry_min", self.database_retry_min, "database_retry_max", self.database_retry_max),
            ("channel_retry_min", self.channel_retry_min, "channel_retry_max", self.channel_retry_max),
        ];
        for (small_name, small, large_name, large) in ordered {
            if small > large {
                let (small, large) = (parse::show_duration(small), parse::show_duration(large));
                let reason = format!("{small_name} with {small} is longer than {large_name} with {large}");
                let remedy = format!("raise {large_name} or lower {small_name}");
                let place = table.place(if table.has(small_name) { small_name } else { large_name });
                findings.refuse(place, Fault::new(reason, remedy));
            }
        }
        if self.lease_renew * 2 > self.lease {
            let (renew, lease) = (parse::show_duration(self.lease_renew), parse::show_duration(self.lease));
            let reason = format!("lease_renew with {renew} is more than half of lease with {lease}");
            let place = table.place(if table.has("lease_renew") { "lease_renew" } else { "lease" });
            findings.refuse(
                place,
                Fault::new(reason, "a lease must outlive a missed renewal: lower lease_renew"),
            );
        }
        if self.channel_down_after > self.notification_dead_after {
            let (down, dead) = (
                parse::show_duration(self.channel_down_after),
                parse::show_duration(self.notification_dead_after),
            );
            let text = format!(
                "notifications are given up after {dead}, before their channel counts as down after {down}"
            );
            let is_set = table.has("notification_dead_after");
            let field = if is_set { "notification_dead_after" } else { "channel_down_after" };
            findings.warn(&table.place(field), text);
        }
        if self.idle > LONGEST_IDLE {
            let reason = format!("{} is longer than 28m", parse::show_duration(self.idle));
            findings.refuse(
                table.place("idle"),
                Fault::new(reason, "servers end an IDLE after 30 minutes; lower it"),
            );
        }
        if self.deferred_retry.is_empty() {
            findings.refuse(table.place("deferred_retry"), Fault::new("is empty", "give at least one pause"));
        }
    }

    /// Each limit with its key, as one would write it in the file.
    pub(super) fn by_name(&self) -> Vec<(&'static str, String)> {
        let mut copy = self.clone();
        copy.by_name_mut()
            .into_iter()
            .map(|(name, limit)| {
                let text = match limit {
                    LimitMut::One(limit) => parse::show_duration(*limit),
                    LimitMut::Many(limits) => {
                        limits.iter().map(|limit| parse::show_duration(*limit)).collect::<Vec<_>>().join(",")
                    }
                };
                (name, text)
            })
            .collect()
    }

    fn by_name_mut(&mut self) -> Vec<(&'static str, LimitMut<'_>)> {
        // Taken apart as a whole, so that no new limit can be forgotten here.
        let Self {
            connect,
            command,
            final_reply,
            send,
            sender_retry,
            deferred_retry,
            round_gap,
            blind_after,
            reconnect_min,
            reconnect_max,
            login_refused_min,
            login_refused_max,
            idle,
            verdict,
            database,
            database_retry_min,
            database_retry_max,
            lease,
            lease_renew,
            drain,
            alert_gather,
            second_opinion,
            channel_down_after,
            channel_retry_min,
            channel_retry_max,
            channel_send,
            notification_dead_after,
            emergency_after,
            emergency_again,
            heartbeat,
            interval_min,
            threshold_min,
        } = self;
        vec![
            ("connect", LimitMut::One(connect)),
            ("command", LimitMut::One(command)),
            ("final_reply", LimitMut::One(final_reply)),
            ("send", LimitMut::One(send)),
            ("sender_retry", LimitMut::Many(sender_retry)),
            ("deferred_retry", LimitMut::Many(deferred_retry)),
            ("round_gap", LimitMut::One(round_gap)),
            ("blind_after", LimitMut::One(blind_after)),
            ("reconnect_min", LimitMut::One(reconnect_min)),
            ("reconnect_max", LimitMut::One(reconnect_max)),
            ("login_refused_min", LimitMut::One(login_refused_min)),
            ("login_refused_max", LimitMut::One(login_refused_max)),
            ("idle", LimitMut::One(idle)),
            ("verdict", LimitMut::One(verdict)),
            ("database", LimitMut::One(database)),
            ("database_retry_min", LimitMut::One(database_retry_min)),
            ("database_retry_max", LimitMut::One(database_retry_max)),
            ("lease", LimitMut::One(lease)),
            ("lease_renew", LimitMut::One(lease_renew)),
            ("drain", LimitMut::One(drain)),
            ("alert_gather", LimitMut::One(alert_gather)),
            ("second_opinion", LimitMut::One(second_opinion)),
            ("channel_down_after", LimitMut::One(channel_down_after)),
            ("channel_retry_min", LimitMut::One(channel_retry_min)),
            ("channel_retry_max", LimitMut::One(channel_retry_max)),
            ("channel_send", LimitMut::One(channel_send)),
            ("notification_dead_after", LimitMut::One(notification_dead_after)),
            ("emergency_after", LimitMut::One(emergency_after)),
            ("emergency_again", LimitMut::One(emergency_again)),
            ("heartbeat", LimitMut::One(heartbeat)),
            ("interval_min", LimitMut::One(interval_min)),
            ("threshold_min", LimitMut::One(threshold_min)),
        ]
    }
}

enum LimitMut<'a> {
    One(&'a mut Duration),
    Many(&'a mut Vec<Duration>),
}
