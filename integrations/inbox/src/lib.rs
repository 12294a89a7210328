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
//! | `metrics` | counters and gauges of the `Watcher`, through the facade [`metrics`](https://docs.rs/metrics); turns on `client` |
//!
//! # Metrics
//!
//! Each pass of a `Watcher` counts and sets these, if the feature `metrics` is on. Install a recorder of your choice before
//! the watcher is run.
//!
//! | Metric | Kind | Label | What it says |
//! |---|---|---|---|
//! | `gemini_webhooks_inbox_found_events_total` | counter | `type`: the event's type if this version knows it, else `other` | events that no webhook has brought, and that were found by asking Google |
//! | `gemini_webhooks_inbox_lost_jobs_total` | counter | `kind`: `batch`, `interaction`, `video` | expected jobs that became dead letters |
//! | `gemini_webhooks_inbox_expected_jobs` | gauge | | jobs that are expected and have no answer, after the pass |
//! | `gemini_webhooks_inbox_overdue_jobs` | gauge | | those of them whose time is over |
//! | `gemini_webhooks_endpoint_enabled` | gauge | `webhook`: its id | whether a webhook that the watcher looks at is enabled: 1, else 0 |
//! | `gemini_webhooks_endpoint_enabled_again_total` | counter | | webhooks that Google had switched off, and that the watcher has enabled again |
//!
//! Of several replicas one does the work. The gauges of the others are NaN, because they do not know. In Prometheus take
//! the `max` or the `min` over the replicas, which leave NaN out, and add the counters up.
//!
//! sqlx is re-exported as [`sqlx`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

mod entries;
mod entry;
mod error;
mod inbox;
mod jobs;
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
