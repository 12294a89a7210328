//! Each test on SQLite and on PostgreSQL.

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
