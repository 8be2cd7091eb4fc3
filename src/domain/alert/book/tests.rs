//! The policy of alerts, rule by rule, and a world of chance that it must hold in.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod lab;
mod memory;
mod oracle;
mod recipients;
mod senders;
mod shared;
mod world;
