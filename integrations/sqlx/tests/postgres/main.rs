//! The guard for PostgreSQL on a real server, that of `DATABASE_URL`.
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
mod guide;
mod migration;
mod readme;
mod refusals;
mod replicas;
mod settle;
mod settle_errors;
mod shop;
mod suite;
