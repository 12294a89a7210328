//! What settling in the app's transaction returns if it fails for other reasons than a lost claim.

use std::error::Error as _;

use gemini_webhooks::{Delivery, WebhookReceiverBuilder};
use gemini_webhooks_sqlx::postgres::{SettleParameters, settle_in};
use gemini_webhooks_sqlx::sqlx::{self, Executor as _};
use gemini_webhooks_sqlx::{SettleError, SettleErrorKind};
use tokio::time::timeout;

use crate::app::{App, HANDLED};
use crate::database::LEASE;
use crate::shop::{End, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn without_replay_protection_there_is_nothing_to_settle() {
    let shop = Shop::open().await;
    let app = App::with(WebhookReceiverBuilder::without_replay_protection);
    let pool = shop.pool.clone();
    let answer = app.deliver("msg_1", move |delivery| {
        let pool = pool.clone();
        async move {
            let mut transaction = pool.begin().await?;
            let error = settle_in(&mut transaction, &delivery).await.unwrap_err();
            assert_eq!(error.kind(), SettleErrorKind::NoClaim);
            let says = error.to_string();
            assert!(says.contains("without_replay_protection()"), "{says}");
            Err(error.into())
        }
    });
    assert_eq!(answer.await.status, 500);
}

/// Its errors go into those that apps have.
#[tokio::test(flavor = "multi_thread")]
async fn the_error_of_a_database() {
    fn is_an_error(_: &(impl std::error::Error + Send + Sync + 'static)) {}

    let shop = Shop::open().await;
    let pool = shop.pool.clone();
    let answer = shop.app.deliver("msg_1", move |delivery| {
        let pool = pool.clone();
        async move {
            let mut transaction = pool.begin().await?;
            transaction
                .execute("DROP TABLE gemini_webhooks_claims")
                .await?;
            let error = settle_in(&mut transaction, &delivery).await.unwrap_err();
            is_an_error(&error);
            assert_eq!(error.kind(), SettleErrorKind::Database);
            assert!(error.source().unwrap().is::<sqlx::Error>());
            let sqlx: sqlx::Error = error.into();
            let code = sqlx.as_database_error().unwrap().code();
            assert_eq!(code.as_deref(), Some("42P01"));
            Err(sqlx.into())
        }
    });
    assert_eq!(answer.await.status, 500);
    let lost: Result<(), SettleError> = Err(no_claim().await);
    let sqlx: sqlx::Result<()> = async { Ok(lost?) }.await;
    assert!(
        sqlx.unwrap_err()
            .to_string()
            .contains("without_replay_protection()")
    );
    // What was dropped was rolled back.
    assert_eq!(shop.deliver("msg_1", End::Commit(200)).await, HANDLED);
}

async fn no_claim() -> SettleError {
    let (send, mut receive) = tokio::sync::mpsc::channel(1);
    let app = App::with(WebhookReceiverBuilder::without_replay_protection);
    let handler = move |delivery: Delivery| {
        let send = send.clone();
        async move {
            send.send(SettleParameters::of(&delivery).unwrap_err())
                .await?;
            Ok(200)
        }
    };
    app.deliver("msg_1", handler).await;
    timeout(LEASE, receive.recv()).await.unwrap().unwrap()
}
