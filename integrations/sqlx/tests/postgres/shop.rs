//! An app that works and settles in a transaction.

use std::sync::Arc;

use gemini_webhooks::Delivery;
use gemini_webhooks::replay::{ClaimToken, Claimed, ReplayGuard as _};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::postgres::settle_in;
use gemini_webhooks_sqlx::sqlx::postgres::PgPool;
use gemini_webhooks_sqlx::sqlx::{self, PgConnection, query, query_scalar};

use crate::app::{Answer, Answered, App};
use crate::database::{LEASE, Schema, key};

/// An app with a table of its work, in the schema of the guard.
#[derive(Clone)]
pub(crate) struct Shop {
    /// It is removed at the end.
    _schema: Arc<Schema>,
    pub(crate) pool: PgPool,
    guard: PostgresGuard,
    pub(crate) app: App,
}

impl Shop {
    pub(crate) async fn open() -> Self {
        let schema = Schema::migrated().await;
        schema.execute("CREATE TABLE work (id text)").await;
        let pool = schema.pool();
        let guard = PostgresGuard::new(pool.clone());
        Self {
            app: App::new(guard.clone()),
            _schema: Arc::new(schema),
            pool,
            guard,
        }
    }

    /// Delivers the event, for which `work` works in a transaction.
    pub(crate) async fn deliver(&self, id: &str, end: End) -> Answer {
        let pool = self.pool.clone();
        let handler = move |delivery| handle(pool.clone(), delivery, end);
        self.app.deliver(id, handler).await
    }

    pub(crate) async fn work_done(&self, id: &str) -> i64 {
        query_scalar("SELECT count(*) FROM work WHERE id = $1")
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Ends the lease, or the retention, of an event.
    pub(crate) async fn expire(&self, id: &str) {
        let done =
            query("UPDATE gemini_webhooks_claims SET until = clock_timestamp() WHERE key = $1")
                .bind(key(id).to_bytes())
                .execute(&self.pool)
                .await
                .unwrap();
        assert_eq!(done.rows_affected(), 1);
    }

    /// What another delivery of the event would find.
    pub(crate) async fn claim(&self, id: &str) -> Claimed {
        let claim = self.guard.claim(&key(id), ClaimToken::generate(), LEASE);
        claim.await.unwrap()
    }
}

/// How a handler ends, which has worked and settled in a transaction.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    Commit(u16),
    Rollback(u16),
    /// Commits nothing, and forgets the transaction.
    Forget(u16),
    Fail,
    Panic,
}

pub(crate) async fn handle(pool: PgPool, delivery: Delivery, end: End) -> Answered {
    let mut transaction = pool.begin().await?;
    work(&mut transaction, &delivery).await?;
    settle_in(&mut transaction, &delivery).await?;
    match end {
        End::Commit(status) => {
            transaction.commit().await?;
            Ok(status)
        }
        End::Rollback(status) => {
            transaction.rollback().await?;
            Ok(status)
        }
        End::Forget(status) => Ok(status),
        End::Fail => Err("the app fails".into()),
        End::Panic => panic!("the app panics"),
    }
}

pub(crate) async fn work(connection: &mut PgConnection, delivery: &Delivery) -> sqlx::Result<()> {
    query("INSERT INTO work VALUES ($1)")
        .bind(delivery.id())
        .execute(connection)
        .await
        .map(drop)
}
