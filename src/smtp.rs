//! One submission: from an address and a message to an [`Attempt`], timed by phase, with the server's replies as data.
//!
//! The way of one submission, file by file:
//!
//! 1. `pool`: a slot is free, so at most `connections` run at once; an idle connection is reused where there is one.
//! 2. `dial`: name, TCP, TLS.
//! 3. `session`: greeting, EHLO, STARTTLS, AUTH.
//! 4. `transaction`: MAIL, RCPT, DATA, the message and its final dot.
//!
//! Beneath them, `link` is lettre's connection and `wire` the stream that it speaks over; the `ledger` between the two has
//! each reply, bounded in size and as it came, and knows whether the final dot left us. `reply` and `queue_id` understand
//! replies; `mask` takes credentials out of whatever the server echoes; `message` checks what is sent; and `run` is the
//! stop-watch that turns the end of all this into an [`Attempt`].
//!
//! **What may be resent.** The server takes responsibility with its reply to the final dot. Once a byte of that dot may
//! have left us, every end but a complete reply is [`Outcome::Ambiguous`], and nothing is ever sent again from here. The
//! only retry inside an attempt: a reused connection that turns out dead, or says 421, before it answered MAIL.
//!
//! [`Attempt`]: crate::domain::submission::Attempt
//! [`Outcome::Ambiguous`]: crate::domain::submission::Outcome::Ambiguous

mod dial;
mod ledger;
mod link;
mod mask;
mod message;
mod pool;
mod queue_id;
mod reply;
mod run;
mod session;
#[cfg(test)]
mod tests;
mod transaction;
mod wire;

pub use pool::{Pool, Reuse, Slot};
pub use transaction::Envelope;
