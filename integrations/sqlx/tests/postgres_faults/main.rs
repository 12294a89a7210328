//! The guard for PostgreSQL while its server fails, through a `VerifyLayer`. Each test has a server of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../common/app.rs"]
mod app;
mod cuts;
mod outages;
mod refusals;
mod rig;
mod transactions;
