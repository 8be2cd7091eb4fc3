//! Telling people: the outbox is drained to Discord and to e-mail, each channel by a worker of its own, so that one that
//! hangs holds up no other and no probe.
//!
//! 1. What is to be told stands in the outbox ([`crate::store`]), written with what caused it.
//! 2. [`dispatch`] runs a `worker` for each channel, on the instance that holds the lease. What a worker does next says the
//!    [`plan`]; how the channel fares it remembers as its `health`.
//! 3. [`text`] says it as a [`letter`], at the time of sending; [`discord`] and [`email`] give it the form of the channel.
//! 4. [`transport`] tries once to hand it over.
//!
//! The [`board`] shows how the channels fare to those who do not drain them: the [`heartbeat`], which others watch, and the
//! [`emergency`], which tells from memory that the database is away. A [`test_alert`] goes past all of this.

pub mod board;
pub mod discord;
pub mod dispatch;
pub mod email;
pub mod emergency;
mod health;
pub mod heartbeat;
pub mod letter;
pub mod plan;
pub mod test_alert;
pub mod text;
pub mod transport;
mod worker;

#[cfg(test)]
mod tests;
