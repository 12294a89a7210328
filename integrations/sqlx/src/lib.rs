//! Guards for `gemini-webhooks` that keep handled events in PostgreSQL or SQLite.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

#[cfg(feature = "postgres")]
pub mod postgres;
mod settle;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "postgres")]
pub use postgres::PostgresGuard;
pub use settle::{SettleError, SettleErrorKind};
pub use sqlx;
