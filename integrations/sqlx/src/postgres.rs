//! The guard for PostgreSQL.
