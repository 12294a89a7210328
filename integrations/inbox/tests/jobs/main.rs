//! Jobs that are expected, against a mock of Google, on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../inbox/app.rs"]
mod app;
mod backfill;
mod endpoint;
mod expecting;
mod health;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../inbox/home.rs"]
mod home;
mod rig;
mod starting;
mod tying;
mod watching;

/// Runs each of these on either database.
macro_rules! on_both {
    ($($name:ident)+) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::home::SqliteHome::new().await).await;
                }
            )+
        }

        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread")]
                async fn $name() {
                    super::$name(crate::home::PostgresHome::new().await).await;
                }
            )+
        }
    };
}

pub(crate) use on_both;
