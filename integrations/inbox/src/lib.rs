//! A durable inbox for `gemini-webhooks`: answer at once, work later, lose nothing.
//!
//! Google waits a few seconds for an answer. So an app stores the event, answers 200, and does the work
//! later. [`Inbox::handler`] stores, in SQLite or PostgreSQL, and answers when the event is on the disk.
//! [`Inbox::worker`] works events off, by handlers for their types. The crate's
//! [README](https://crates.io/crates/gemini-webhooks-inbox) shows whole apps, and says what is guaranteed.
//!
//! | Feature | Adds |
//! |---|---|
//! | `sqlite` | `Inbox::sqlite`, for one machine and a file; on by default |
//! | `postgres` | `Inbox::postgres`, for any number of machines |
//! | `axum` | the handler for axum 0.8 |
//! | `actix-web` | the handler for actix-web 4 |
//! | `client` | starting jobs, asking after jobs whose event has not come, looking at registered webhooks, backfill |
//! | `metrics` | [metrics](#metrics), through the facade [`metrics`](https://docs.rs/metrics); turns on `client` |
//!
//! # Metrics
//!
//! With the feature `metrics` the inbox, its workers and its `Watcher` count and measure what they do. The page
//! [*Metrics*](https://docs.rs/gemini-webhooks/latest/gemini_webhooks/guide/metrics/index.html) of the guide of
//! `gemini-webhooks` has the table, with alerts and a dashboard. Install a recorder of your choice before you open the
//! inbox.
//!
//! sqlx is re-exported as [`sqlx`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod entries;
mod entry;
mod error;
mod inbox;
mod jobs;
mod metrics;
mod opening;
mod receipt;
mod room;
mod store;
mod worker;

pub use entries::Entries;
pub use entry::{Change, Entry, State, What};
pub use error::{InboxError, InboxErrorKind};
pub use inbox::{Depth, Inbox, Stored};
pub use jobs::{Announced, Answer, Awaited, Expect, Expectation, Progress};
#[cfg(feature = "client")]
pub use jobs::{
    Backfill, BackfillError, Backfilled, FoundJob, Pass, StartError, StartErrorKind, Watcher,
};
pub use opening::Opening;
pub use receipt::{HandlerFuture, Receipt};
pub use sqlx;
pub use store::{Database, migration};
pub use worker::{Work, WorkError, WorkTransaction, Worker};

#[cfg(not(any(feature = "postgres", feature = "sqlite")))]
compile_error!("an inbox needs a database: turn on the feature `sqlite` or `postgres`");
