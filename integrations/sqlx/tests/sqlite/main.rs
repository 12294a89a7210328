//! The guard for SQLite.
#![cfg(feature = "sqlite")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[path = "../common/app.rs"]
mod app;
mod cleanup;
mod database;
mod dropped;
mod faults;
mod full;
mod locked;
mod processes;
mod ready;
mod settle;
mod suite;
