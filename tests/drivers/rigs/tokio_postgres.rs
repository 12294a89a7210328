//! tokio-postgres, with the pool of deadpool-postgres.

#[path = "../documented/tokio_postgres.rs"]
mod documented;

use deadpool_postgres::{Manager, Pool};
use gemini_webhooks::Delivery;
use tokio_postgres::NoTls;
use tower::BoxError;

use super::{CONNECTIONS, Driver};
use crate::app::{End, WORK};

#[derive(Clone)]
pub(crate) struct TokioPostgres(Pool);

impl Driver for TokioPostgres {
    async fn connect(url: &str) -> Self {
        let manager = Manager::new(url.parse().unwrap(), NoTls);
        let pool = Pool::builder(manager).max_size(CONNECTIONS as usize);
        Self(pool.build().unwrap())
    }

    async fn transaction(&self, delivery: &Delivery, end: End) -> Result<(), BoxError> {
        let mut client = self.0.get().await?;
        let transaction = client.transaction().await?;
        transaction.execute(WORK, &[&delivery.id()]).await?;
        documented::settle_in(&transaction, delivery).await?;
        if end.commits().await {
            transaction.commit().await?;
        }
        Ok(())
    }
}
