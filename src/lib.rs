//! MailDT proves that mail arrives. It sends a signed probe through a submission server, watches the mailbox where the
//! probe must appear, and turns what it saw into numbers and alerts.
//!
//! # The way of a probe
//!
//! ```text
//! schedule ─▶ smtp ─▶ imap::watch ─▶ engine ─▶ store ─▶ metrics · notify
//!                                      │ ▲
//!                                      ▼ │
//!                                     domain   (decides, touches nothing)
//! ```
//!
//! 1. **A probe is due.** [`schedule`] asks the database what is due, no more than a sender can start at once or within a
//!    moment, and claims it: [`store`] (`store/schedule.rs`) commits a row in state `sending` and the next due time
//!    ([`domain::plan`]) in one transaction. Only then a byte goes out.
//! 2. **It is sent.** [`domain::message`] composes it around a signed [`domain::token`]. [`smtp`] hands it over, phase by
//!    phase, and answers with a [`domain::submission::Attempt`]: accepted, refused, failed, ambiguous, or released by our own
//!    stop. Whether a failed attempt is made again says [`domain::retry`], the engine begins it when its time has come
//!    (`engine/verdict.rs`); an ambiguous one is never made again.
//! 3. **It is looked for.** [`imap::watch`] has one connection for each folder. Its loop is `imap/watch/folder.rs`, what a
//!    look is stands in `imap/watch/look.rs`. The [`imap::Outlook`] tells it what is expected, so that it asks the server
//!    more often while a probe is young. It says what it [found](imap::Found) and, as important, when a look was
//!    [complete](imap::Synced).
//! 4. **It is recognised.** [`engine`] (`engine/sight.rs`) verifies the token, then finds the probe in its table
//!    (`engine/table.rs`) or in the database. [`domain::message::recognise`] tells what kind of message carries the token,
//!    and the recipient's [`domain::return_mode`] whether that kind proves a delivery.
//! 5. **It is judged.** Everything that happens to a probe is an [event](domain::probe::Event);
//!    [`Probe::apply`](domain::probe::Probe::apply) consumes the probe and gives it back in its next state, with the effects
//!    that this has. A probe whose deadline has passed is `missing` only after the [`domain::proof`] of its absence, which
//!    `engine/verdict.rs` gathers.
//! 6. **It is written down.** The engine decides in memory and writes through a journal (`engine/journal.rs`), which keeps
//!    what the database cannot take. Each save is a compare-and-set, and checks that this instance still holds the lease
//!    ([`store::Fence`]).
//! 7. **It is told.** After the commit, and only then, the effects are counted in [`metrics`], and the message is released
//!    to the watcher (`imap/watch/cleanup.rs`), which removes it from the mailbox.
//! 8. **People are told, if need be.** What a transition means for people decides the [book of incidents](domain::alert::Book),
//!    asked by `engine/alerts.rs`. Its answer, rows of incidents and of the outbox, is written in the transaction of the
//!    transition (`store/incidents.rs`). [`notify`] drains the outbox: one worker for each channel loads its queue, asks
//!    `notify/plan.rs` what is next, claims it, sends it and writes down what became of it (`store/outbox.rs`).
//! 9. **It is shown.** [`web`] has the pages of the admin UI and the API. They read the database. What people change are
//!    rows of recipients (`store/edits.rs`), and requests for probes (`store/requests.rs`), which [`schedule`] takes like
//!    what is due: nobody but the engine decides about a probe.
//!
//! `docs/architecture.md` tells why each of these steps is as it is.
//!
//! # Around it
//!
//! [`app`] builds all parts, runs them while the lease is ours, and stops them in order. [`config`] reads file and
//! environment; [`postgres`] runs the private database where no other is named. [`check`] makes one round trip without a
//! database, [`demo`] is a mail server with faults, for `maildt demo` and for the tests.
//!
//! Rules: [`domain`] does no I/O and reads no clock, [`store`] alone holds SQL, [`clock`] alone reads the wall clock, and
//! only [`app`] knows everybody.

// In the order in which a probe meets them.

pub mod app;

pub mod schedule;

pub mod smtp;

pub mod imap;

pub mod engine;

pub mod domain;

pub mod store;

pub mod metrics;

pub mod notify;

pub mod web;

// Around it.

pub mod check;
pub mod cli;
pub mod config;
pub mod demo;
pub mod postgres;

// Beneath it.

pub mod clock;
pub mod complaint;
pub mod listener;
pub mod secret;
pub mod tls;
