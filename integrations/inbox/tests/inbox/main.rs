//! The inbox over its public face, on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod app;
mod both;
mod home;
mod operating;
mod storing;
mod transactions;
mod working;

pub(crate) use both::on_both;
