//! A server that takes no connections, no password or no writes.

use gemini_webhooks::replay::{GuardErrorKind, ReplayGuard as _};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use gemini_webhooks_sqlx::sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::{Duration, timeout};

use crate::rig::{Rig, Runs, SOON, UNAVAILABLE, app, until_handled};

#[tokio::test(flavor = "multi_thread")]
async fn out_of_connections() {
    let rig = Rig::with(&[("max_connections", "12")]).await;
    let runs = Runs::default();
    let options: PgConnectOptions = rig.server.url().parse().unwrap();
    // Without those that the guard has.
    rig.proxy.cut();
    let mut taken = Vec::new();
    let error = loop {
        match options.connect().await {
            Ok(connection) => taken.push(connection),
            Err(error) => break error,
        }
        assert!(taken.len() < 20);
    };
    let error = error.into_database_error().unwrap();
    assert_eq!(error.code().as_deref(), Some("53300"));

    let answer = rig.app.deliver("msg_1", runs.answering(200)).await;
    assert_eq!(answer, UNAVAILABLE);
    let ready = timeout(Duration::from_secs(2), rig.guard.ready()).await;
    let error = ready
        .expect("in the time that a receiver gives it")
        .unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Unavailable);
    let says = error.to_string();
    for part in ["SQLSTATE 53300", "use smaller pools, or raise"] {
        assert!(says.contains(part), "{says}");
    }
    assert_eq!(runs.count(), 0);
    for connection in taken {
        connection.close().await.unwrap();
    }
    until_handled(&rig.app, "msg_1", runs.answering(200)).await;
    assert_eq!(runs.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password() {
    let rig = Rig::start().await;
    let right: PgConnectOptions = rig.server.url().parse().unwrap();
    let url = format!(
        "postgres://{}:hush-hush@127.0.0.1:{}/postgres",
        right.get_username(),
        rig.server.port()
    );
    let error = PostgresGuard::connect(&url).await.unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Broken);
    let says = format!("{error} {error:?} {error:#?}");
    assert!(
        says.contains("SQLSTATE 28P01") && says.contains("check the user"),
        "{says}"
    );
    assert!(!says.contains("hush"), "{says}");

    let pool = PgPoolOptions::new().connect_lazy(&url).unwrap();
    let runs = Runs::default();
    let app = app(&PostgresGuard::new(pool));
    let answer = app.deliver("msg_1", runs.answering(200)).await;
    assert_eq!(answer, UNAVAILABLE);
    assert_eq!(runs.count(), 0);
}

/// As after a failover that has left the guard at the former primary.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_only_reads() {
    let rig = Rig::start().await;
    let standby = rig.server.read_only_standby();
    let guard = PostgresGuard::connect(&standby.url()).await.unwrap();
    let there = async { while guard.migrate().await.is_err() {} };
    timeout(SOON, there)
        .await
        .expect("the table arrives, and needs no change");
    let runs = Runs::default();
    let answer = app(&guard).deliver("msg_1", runs.answering(200)).await;
    assert_eq!(answer, UNAVAILABLE);
    assert_eq!(runs.count(), 0);
    let error = guard.ready().await.unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Unavailable);
    assert!(error.to_string().contains("replica"), "{error}");
    // What was settled at the primary is known there.
    until_handled(&rig.app, "msg_2", runs.answering(200)).await;
}
