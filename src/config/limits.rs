//! Every time limit in one place (`[limits]` in `maildt.toml`), so that none is hidden and tests need not wait.

use std::time::Duration;

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
        }
    }
}
