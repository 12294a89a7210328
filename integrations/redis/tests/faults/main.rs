//! What happens to events when a server or the way to it fails, through a real receiver.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[path = "../common/mod.rs"]
mod common;

#[cfg(feature = "cluster")]
mod cluster;
mod connection;
mod outages;
mod refusals;
