//! `gemini-webhooks listen`, run as a user does, with deliveries that a foreign library signed.
#![cfg(all(feature = "cli", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails loudly, and waits by the machine's clock"
)]

mod app;
mod http;
mod input;
mod listening;
mod page;
mod passing;
mod receiver;
#[path = "../run/mod.rs"]
mod run;
