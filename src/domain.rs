//! What MailDT believes, without any I/O: no tokio, no clock, no sockets, no SQL.
//!
//! Time comes in as arguments and decisions go out as values, so that every rule can be driven through
//! arbitrary histories by property tests.

pub mod address;
pub mod alert;
pub mod authentication;
pub mod fields;
pub mod id;
pub mod message;
pub mod plan;
pub mod probe;
pub mod proof;
pub mod proposal;
pub mod quiet;
pub mod recipient;
pub mod record;
pub mod report;
pub mod retry;
pub mod return_mode;
pub mod submission;
pub mod throttle;
pub mod token;
pub mod trace;
pub mod transit;
pub mod verdict;
