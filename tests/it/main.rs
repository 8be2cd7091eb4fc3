//! The running program against real servers: Postfix, Dovecot, PostgreSQL and Prometheus, and a wire that can be cut.
//!
//! `lab` builds the world; every other module proves promises. docs/promises.md tells which test proves which promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod alertmanager;
mod alerts;
mod blindness;
mod browser;
mod check;
mod clock;
mod crash;
mod dashboards;
mod database;
mod delivery;
mod demo;
mod instances;
mod lab;
mod lab_itself;
mod modes;
mod oddities;
mod outages;
mod private_database;
mod prometheus;
mod promises;
mod refusals;
mod requests;
mod rules;
mod secrets;
mod sending;
mod trust;
mod verdicts;
mod web;
mod web_api;
mod web_board;
mod web_history;
mod web_limits;
mod web_login;
mod web_pages;
mod web_probe;
mod web_proxy;
mod web_recipients;
mod web_recipients_odd;
mod web_settings;
mod web_trial;
