#![expect(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "tests")]

mod hostile;
mod shown;
mod stories;
mod wire;
