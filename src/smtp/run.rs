//! The stop-watch of one attempt: which phase it is in, what it may still take, and how it ended.

use std::time::{Duration, Instant};

use crate::config::Limits;
use crate::domain::submission::{Attempt, Outcome, Phase, Reason};
use crate::smtp::ledger::Fault;
use crate::smtp::mask::Mask;
use crate::smtp::reply::Raw;

/// One attempt under way. The functions that drive it return `Err` with the outcome that ends it.
pub(super) struct Run<'a> {
    pub(super) limits: &'a Limits,
    mask: &'a Mask,
    begun: Instant,
    current: Option<(Phase, Instant)>,
    phases: Vec<(Phase, Duration)>,
    pub(super) certificate_not_after: Option<i64>,
    pub(super) dot_at: Option<Instant>,
    pub(super) accepted_at: Option<Instant>,
}

impl<'a> Run<'a> {
    pub(super) fn new(limits: &'a Limits, mask: &'a Mask) -> Self {
        Self {
            limits,
            mask,
            begun: Instant::now(),
            current: None,
            phases: Vec::with_capacity(Phase::ALL.len()),
            certificate_not_after: None,
            dot_at: None,
            accepted_at: None,
        }
    }

    /// Ends the current phase and begins `phase`. A phase entered twice, as EHLO with STARTTLS, adds up.
    pub(super) fn enter(&mut self, phase: Phase) {
        let now = Instant::now();
        if let Some((last, since)) = self.current.replace((phase, now)) {
            let spent = now.duration_since(since);
            match self.phases.iter_mut().find(|(p, _)| *p == last) {
                Some((_, sum)) => *sum += spent,
                None => self.phases.push((last, spent)),
            }
        }
    }

    /// Forgets the phases of a connection that turned out dead; the time it took still counts for the whole.
    pub(super) fn start_over(&mut self) {
        self.current = None;
        self.phases.clear();
    }

    /// What is left for a step with this limit, within the limit of the whole attempt.
    pub(super) fn within(&self, limit: Duration) -> Duration {
        limit.min(self.limits.send.saturating_sub(self.begun.elapsed()))
    }

    /// The end by a negative reply.
    pub(super) fn refused(&self, reply: Raw<'_>) -> Outcome {
        let phase = self.phase();
        let reason = match reply.code {
            400..500 => Reason::Smtp4xx,
            _ if phase == Phase::Auth => Reason::Auth,
            _ => Reason::Smtp5xx,
        };
        Outcome::Refused { phase, reason, reply: reply.keep(self.mask) }
    }

    /// The end by a reply that is neither what was asked for nor a refusal.
    pub(super) fn unexpected(&self, reply: Raw<'_>) -> Outcome {
        let kept = reply.keep(self.mask);
        self.failed(Reason::Protocol, &format!("unexpected reply {} {}", kept.code, kept.text))
    }

    /// The end without a usable reply.
    pub(super) fn fault(&self, fault: &Fault) -> Outcome {
        self.failed(fault.reason(), &self.describe(fault))
    }

    pub(super) fn failed(&self, reason: Reason, detail: &str) -> Outcome {
        Outcome::Failed { phase: self.phase(), reason, detail: self.mask.apply(detail) }
    }

    /// The end by our own stop. In the last phase the dot may be on its way.
    pub(super) fn broken_off(&self) -> Outcome {
        match self.phase() {
            Phase::FinalReply => self.unanswered("broken off by our own stop", true),
            _ => Outcome::Released,
        }
    }

    /// The end after the final dot without a usable reply.
    pub(super) fn ambiguous(&self, detail: &str) -> Outcome {
        self.unanswered(detail, false)
    }

    fn unanswered(&self, detail: &str, ours: bool) -> Outcome {
        Outcome::Ambiguous { detail: self.mask.apply(&format!("after the final dot: {detail}")), ours }
    }

    /// The end by a 2xx to the final dot.
    pub(super) fn accepted(&mut self, reply: Raw<'_>) -> Outcome {
        self.accepted_at = Some(Instant::now());
        let reply = reply.keep(self.mask);
        let queue_id = super::queue_id::queue_id(&reply.text);
        Outcome::Accepted { reply, queue_id }
    }

    pub(super) fn describe(&self, fault: &Fault) -> String {
        match (fault, self.phase()) {
            (Fault::Timeout(_), _) if self.begun.elapsed() >= self.limits.send => {
                format!("the whole submission took longer than {:?}", self.limits.send)
            }
            (Fault::Timeout(limit), Phase::Greeting) => {
                format!(
                    "no greeting within {limit:?}; check the port and the TLS mode (implicit or starttls)"
                )
            }
            _ => fault.to_string(),
        }
    }

    pub(super) fn finish(mut self, outcome: Outcome) -> Attempt {
        if let Some((phase, _)) = self.current {
            self.enter(phase);
        }
        self.phases.sort_unstable_by_key(|&(phase, _)| phase);
        Attempt {
            outcome,
            duration: self.begun.elapsed(),
            phases: self.phases,
            dot_at: self.dot_at,
            accepted_at: self.accepted_at,
            certificate_not_after: self.certificate_not_after,
        }
    }

    fn phase(&self) -> Phase {
        self.current.map_or(Phase::Dns, |(phase, _)| phase)
    }
}
