//! The inbox over its public face, on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod app;
mod home;
mod operating;
mod storing;
mod transactions;
mod working;

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
