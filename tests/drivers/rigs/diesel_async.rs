//! diesel-async, with the pool of deadpool.

#[path = "../documented/diesel_async.rs"]
mod documented;

use diesel::result::Error::RollbackTransaction;
use diesel::sql_types::Text;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _};
use gemini_webhooks::Delivery;
use tower::BoxError;

use super::{CONNECTIONS, Driver};
use crate::app::{End, WORK};

#[derive(Clone)]
pub(crate) struct DieselAsync(Pool<AsyncPgConnection>);

impl Driver for DieselAsync {
    const OUTLIVES_ITS_HANDLER: bool = true;

    async fn connect(url: &str) -> Self {
        let manager = AsyncDieselConnectionManager::new(url);
        let pool = Pool::builder(manager).max_size(CONNECTIONS as usize);
        Self(pool.build().unwrap())
    }

    async fn transaction(&self, delivery: &Delivery, end: End) -> Result<(), BoxError> {
        let (pool, delivery) = (self.0.clone(), delivery.clone());
        // Dropped with the handler, the transaction would stay open, and hold its locks.
        tokio::spawn(async move {
            let mut connection = pool.get().await?;
            let work = connection.transaction::<_, BoxError, _>(async |transaction| {
                diesel::sql_query(WORK)
                    .bind::<Text, _>(delivery.id())
                    .execute(transaction)
                    .await?;
                documented::settle_in(transaction, &delivery).await?;
                if end.commits().await {
                    return Ok(());
                }
                // Only an error rolls back.
                Err(RollbackTransaction.into())
            });
            match work.await {
                Err(error) if is_rollback(&error) => Ok(()),
                result => result,
            }
        })
        .await?
    }
}

fn is_rollback(error: &BoxError) -> bool {
    matches!(error.downcast_ref(), Some(RollbackTransaction))
}
