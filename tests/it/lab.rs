//! The world in which the program is tested: servers, a wire with faults, and the program itself.
//!
//! Everything listens on loopback on free ports, lives in one temporary directory and ends with this process, even when
//! that is killed (see [`ground`]). One Postfix with Dovecot and one PostgreSQL are shared by all tests; what keeps the tests
//! apart is that each has its own user, addresses and database. Whatever a test wants to break for itself alone, it
//! breaks on the wire ([`proxy`]) or for its own addresses ([`policy`]).

pub mod alert;
pub mod app;
pub mod browser;
pub mod builtin;
pub mod certificates;
pub mod chromium;
pub mod discord;
pub mod dovecot;
pub mod gallery;
pub mod ground;
pub mod heartbeat;
pub mod http;
pub mod inspection;
pub mod letter;
pub mod mail;
pub mod maildir;
pub mod metrics;
pub mod nginx;
pub mod oncall;
pub mod policy;
pub mod postfix;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod records;
pub mod tokens;
pub mod tools;
pub mod wait;
pub mod webhook;
pub mod world;
