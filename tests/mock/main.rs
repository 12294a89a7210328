//! The mock of Google, spoken to in plain HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod faults;
mod jobs;
mod life;
mod rig;
mod service;
