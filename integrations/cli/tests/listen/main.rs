//! `gemini-webhooks listen`, run as a user does, with deliveries that a foreign library signed.
#![cfg(unix)]

mod app;
mod http;
mod listening;
mod page;
mod passing;
mod receiver;
#[path = "../run/mod.rs"]
mod run;
