//! sea-orm 2, which is on sqlx 0.9.

#[path = "../documented/sea_orm.rs"]
mod documented;

use gemini_webhooks::Delivery;
use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DatabaseConnection, DbBackend, Statement,
    TransactionTrait as _,
};
use tower::BoxError;

use super::{CONNECTIONS, Driver};
use crate::app::{End, WORK};

#[derive(Clone)]
pub(crate) struct SeaOrm(DatabaseConnection);

impl Driver for SeaOrm {
    async fn connect(url: &str) -> Self {
        let mut options = ConnectOptions::new(url);
        options.max_connections(CONNECTIONS);
        Self(Database::connect(options).await.unwrap())
    }

    async fn transaction(&self, delivery: &Delivery, end: End) -> Result<(), BoxError> {
        let transaction = self.0.begin().await?;
        let work =
            Statement::from_sql_and_values(DbBackend::Postgres, WORK, [delivery.id().into()]);
        transaction.execute_raw(work).await?;
        documented::settle_in(&transaction, delivery).await?;
        if end.commits().await {
            transaction.commit().await?;
        }
        Ok(())
    }
}
