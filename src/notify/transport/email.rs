//! Alert mail to one address, through the alert account.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{Look, Outcome, Parcel, Try, submission_reason};
use crate::config::{Limits, Sender};
use crate::domain::address::MailAddress;
use crate::domain::submission::{Attempt, Outcome as Submission, Phase};
use crate::notify::email;
use crate::smtp::{Envelope, Pool, Slot};

/// One address for alert mail. It has a connection of its own, so that no other waits behind it.
pub struct Post {
    pool: Pool,
    to: Arc<str>,
    limit: Duration,
}

impl Post {
    #[must_use]
    pub fn new(sender: &Sender, to: Arc<str>, tls: &Arc<ClientConfig>, limits: &Limits) -> Self {
        let sender = Sender { connections: 1, ..sender.clone() };
        let pool = Pool::new(Arc::new(sender), Arc::clone(tls), Arc::new(limits.clone()));
        Self { pool, to, limit: limits.channel_send }
    }

    pub(super) fn digest(&self) -> Vec<u8> {
        let account = &self.pool.sender().account;
        let mut digest = Sha256::new();
        for part in
            [&account.host, &account.port.to_string(), &account.user, account.pass.reveal(), &*self.to]
        {
            digest.update(part);
            digest.update([0]);
        }
        digest.finalize().to_vec()
    }

    pub(super) fn domain(&self) -> &str {
        let from = self.pool.sender().from.as_str();
        from.rsplit_once('@').map_or("localhost", |(_, domain)| domain)
    }

    pub(super) async fn send(&self, parcel: &Parcel, abort: &CancellationToken) -> Try {
        let from = self.pool.sender().from.clone();
        let Parcel { letter, thread, date, .. } = parcel;
        let message = from.parse::<MailAddress>().map_err(|reason| reason.to_string()).and_then(|from| {
            email::message(letter, thread, &from, &self.to, *date).map_err(|reason| reason.to_string())
        });
        let message = match message {
            Ok(message) => message,
            Err(reason) => return Outcome::Failed(format!("the message cannot be written: {reason}")).into(),
        };
        // The last connection may still be saying goodbye.
        let slot = tokio::time::timeout(self.limit, self.pool.acquire());
        let slot = match abort.run_until_cancelled(slot).await {
            Some(Ok(Some(slot))) => slot,
            Some(Ok(None)) | None => return Outcome::BrokenOff.into(),
            Some(Err(_)) => return Outcome::Failed("the last connection does not end".to_owned()).into(),
        };
        let attempt = self.submit(slot, Envelope { from: &from, to: &self.to }, &message, abort).await;
        let Some(attempt) = attempt else {
            return Outcome::Failed(format!("no answer within {} s", self.limit.as_secs_f64())).into();
        };
        let reached = !is_before_mail(&attempt.outcome);
        let outcome = match attempt.outcome {
            Submission::Accepted { .. } => Outcome::Delivered,
            _ if abort.is_cancelled() => Outcome::BrokenOff,
            // Sent again: a reader knows it by its Message-ID.
            other => Outcome::Failed(submission_reason(&other)),
        };
        Try { outcome, rest: None, reached }
    }

    /// One submission within the limit of a try; `None` when that was not enough.
    async fn submit(
        &self,
        slot: Slot,
        envelope: Envelope<'_>,
        message: &[u8],
        abort: &CancellationToken,
    ) -> Option<Attempt> {
        let stop = abort.child_token();
        let submission = slot.submit_until(envelope, message, &stop);
        tokio::pin!(submission);
        tokio::select! {
            attempt = &mut submission => Some(attempt),
            () = tokio::time::sleep(self.limit) => {
                stop.cancel();
                let attempt = submission.await;
                // It may have got through at the last moment.
                matches!(attempt.outcome, Submission::Accepted { .. }).then_some(attempt)
            }
        }
    }

    pub(super) async fn look(&self) -> Look {
        let account = &self.pool.sender().account;
        let Some(slot) = self.pool.slot() else { return Look::Unclear("busy".to_owned()) };
        match tokio::time::timeout(self.limit, slot.log_in()).await {
            Ok(Ok(())) => Look::Works(format!("logged in at {} port {}", account.host, account.port)),
            Ok(Err(outcome)) => Look::Failed(submission_reason(&outcome)),
            Err(_) => Look::Failed(format!("no answer within {} s", self.limit.as_secs_f64())),
        }
    }

    pub(super) async fn close(&self) {
        self.pool.drain(Instant::now() + Duration::from_millis(300)).await;
    }
}

/// Whether it failed at what a login goes through as well.
fn is_before_mail(outcome: &Submission) -> bool {
    let (Submission::Refused { phase, .. } | Submission::Failed { phase, .. }) = outcome else {
        return false;
    };
    match phase {
        Phase::Dns | Phase::Connect | Phase::Tls | Phase::Greeting | Phase::Ehlo | Phase::Auth => true,
        Phase::Mail | Phase::Rcpt | Phase::Data | Phase::FinalReply => false,
    }
}

#[cfg(test)]
mod tests;
