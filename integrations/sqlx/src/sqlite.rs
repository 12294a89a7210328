//! The guard for SQLite.
