//! Jobs that are expected, against a mock of Google, on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod anew;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../inbox/app.rs"]
mod app;
mod backfill;
#[path = "../inbox/both.rs"]
mod both;
mod endpoint;
mod expecting;
mod health;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../inbox/home.rs"]
mod home;
mod rig;
mod starting;
mod tying;
mod watching;

pub(crate) use both::on_both;
