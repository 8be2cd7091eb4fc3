//! Saying the same thing once: an outage is a line when it begins and a line when it ends, not one a second.

use tracing::{info, warn};

/// What was last complained about.
#[derive(Debug, Default)]
pub struct Complaint(Option<String>);

impl Complaint {
    /// Logs `what` with its reason, unless that was the last thing said.
    pub fn say(&mut self, reason: &dyn std::fmt::Display, what: &str) {
        let reason = reason.to_string();
        if self.0.as_ref() != Some(&reason) {
            warn!(reason, "{what}");
            self.0 = Some(reason);
        }
    }

    /// It is over. Logs `what` if there was something to complain about.
    pub fn over(&mut self, what: &str) {
        if self.0.take().is_some() {
            info!("{what}");
        }
    }
}
