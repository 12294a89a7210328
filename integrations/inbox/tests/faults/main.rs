//! The inbox while its database fails. Each test has a database of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../inbox/app.rs"]
mod app;
mod cuts;
mod locked;
mod outages;
mod rig;
