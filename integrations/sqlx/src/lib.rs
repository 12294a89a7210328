//! Guards for `gemini-webhooks` that keep handled events in PostgreSQL or SQLite.
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
