//! The acceptance suite of guards, over PostgreSQL.
#![cfg(feature = "postgres")]
#![allow(clippy::unwrap_used, reason = "a test fails loudly")]

use gemini_webhooks::testing::{RealTime, replay_suite};
use gemini_webhooks_sqlx::PostgresGuard;

#[tokio::test(flavor = "multi_thread")]
async fn suite() {
    let guard = PostgresGuard::connect(&std::env::var("DATABASE_URL").unwrap()).await.unwrap();
    guard.migrate().await.unwrap();
    replay_suite(guard, RealTime).await;
}
