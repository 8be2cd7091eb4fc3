//! Submissions against servers that follow a script, on real sockets.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod ambiguity;
mod hostile;
mod reuse;
mod server;
mod stages;
mod starttls;
mod transparency;
