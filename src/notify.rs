//! Telling people: the outbox is drained to Discord and to e-mail, each channel by a worker of its own, so that one that
//! hangs holds up no other and no probe.

pub mod discord;
pub mod email;
pub mod letter;
pub mod text;

#[cfg(test)]
mod tests;
