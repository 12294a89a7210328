//! The examples as processes, over both databases, with deliveries that the `standardwebhooks` crate signs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod full;
mod jobs;
mod process;
mod quickstart;
mod roles;
