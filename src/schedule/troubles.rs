//! What the log says of submissions that did not go through.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{debug, info, warn};

use crate::complaint::Complaint;
use crate::domain::id::ProbeId;
use crate::domain::submission::Outcome;

/// One line when a sender's trouble begins or changes and one when it is over, however many probes it meets; a line for each
/// refusal of a recipient.
#[derive(Debug, Default)]
pub struct Troubles {
    senders: Mutex<HashMap<Arc<str>, Complaint>>,
}

impl Troubles {
    /// Takes the end of an attempt. `address` is kept out of the log.
    pub(super) fn report(&self, sender: &Arc<str>, probe: ProbeId, address: &str, outcome: &Outcome) {
        match outcome {
            Outcome::Accepted { .. } => {
                let over = format!("sender {sender}: submissions go through again");
                self.of(sender, |complaint| complaint.over(&over));
            }
            Outcome::Refused { phase, reply, .. } => {
                let text = reply.text.replace(address, "<recipient>");
                let code = reply.code;
                if phase.blames_sender() {
                    let reason = format!("{} refused: {code} {text}", phase.as_str());
                    self.complain(sender, &reason);
                    debug!(%probe, %sender, phase = phase.as_str(), code, "submission refused");
                } else {
                    info!(%probe, %sender, phase = phase.as_str(), code, reply = text, "recipient refused");
                }
            }
            Outcome::Failed { phase, reason, detail } => {
                self.complain(sender, &format!("{} failed ({}): {detail}", phase.as_str(), reason.as_str()));
                debug!(%probe, %sender, phase = phase.as_str(), reason = reason.as_str(), %detail, "submission failed");
            }
            Outcome::Ambiguous { detail, .. } => {
                warn!(%probe, %sender, %detail, "submission without an answer: the probe is unconfirmed");
            }
            Outcome::Released => {
                info!(%probe, %sender, "submission broken off by the stop; made again at the next start");
            }
        }
    }

    fn complain(&self, sender: &Arc<str>, reason: &str) {
        let what = format!("sender {sender}: submission failed");
        self.of(sender, |complaint| complaint.say(&reason, &what));
    }

    fn of(&self, sender: &Arc<str>, say: impl FnOnce(&mut Complaint)) {
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        say(senders.entry(Arc::clone(sender)).or_default());
    }
}
