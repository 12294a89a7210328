//! Guards for `gemini-webhooks` that remember handled events in PostgreSQL or SQLite, through sqlx.
//!
//! Events are then remembered over restarts, and by all replicas of your app together. If your handler
//! writes to the same database, its work and the mark that the event is handled can be stored in one
//! transaction.
//!
//! | Feature | Adds |
//! |---|---|
//! | `postgres` | `PostgresGuard` and the module `postgres`, for several replicas |
//! | `sqlite` | `SqliteGuard` and the module `sqlite`, for one machine and a file |
//!
//! No feature is on by default. sqlx is re-exported as [`sqlx`].
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod settle;
#[cfg(feature = "sqlite")]
pub mod sqlite;

#[cfg(feature = "postgres")]
pub use postgres::PostgresGuard;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub use settle::{SettleError, SettleErrorKind};
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteGuard;
pub use sqlx;

/// So that its examples are compiled.
#[cfg(all(doctest, feature = "postgres", feature = "sqlite"))]
#[doc = include_str!("../README.md")]
struct Readme;
