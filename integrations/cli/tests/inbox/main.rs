//! `gemini-webhooks inbox` on real inboxes, in SQLite and in PostgreSQL.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[cfg(target_os = "linux")]
mod asked;
mod backfill;
mod commands;
mod home;
mod page;
mod refusals;
#[path = "../run/mod.rs"]
mod run;
#[cfg(target_os = "linux")]
#[path = "../run/terminal.rs"]
mod terminal;
