//! sqlx before 0.9.

#[path = "../documented/sqlx_0_8.rs"]
mod documented;

use gemini_webhooks::Delivery;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tower::BoxError;

use super::{CONNECTIONS, Driver};
use crate::app::{End, WORK};

#[derive(Clone)]
pub(crate) struct Sqlx08(PgPool);

impl Driver for Sqlx08 {
    async fn connect(url: &str) -> Self {
        let options = PgPoolOptions::new().max_connections(CONNECTIONS);
        Self(options.connect(url).await.unwrap())
    }

    async fn transaction(&self, delivery: &Delivery, end: End) -> Result<(), BoxError> {
        let mut transaction = self.0.begin().await?;
        sqlx::query(WORK)
            .bind(delivery.id())
            .execute(&mut *transaction)
            .await?;
        documented::settle_in(&mut transaction, delivery).await?;
        if end.commits().await {
            transaction.commit().await?;
        }
        Ok(())
    }
}
