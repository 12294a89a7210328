//! What the server refuses, and what a guard says then.

use std::error::Error;
use std::time::Duration;

use gemini_webhooks::replay::{
    ClaimToken, Claimed, GuardError, GuardErrorKind, ReplayGuard as _, Settled,
};
use gemini_webhooks_harness::database_url;
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::Executor as _;
use gemini_webhooks_sqlx::sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::time::timeout;

use crate::database::{LEASE, Schema, key};

/// All that an error shows, to a log or to a page.
fn shown(error: &GuardError) -> String {
    let mut shown = String::new();
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        shown += &format!("{error}\n{error:?}\n{error:#?}\n");
        next = error.source();
    }
    shown
}

#[track_caller]
fn says(error: &GuardError, kind: GuardErrorKind, parts: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "{error}");
    }
}

/// The same for each operation.
async fn all_fail(guard: &PostgresGuard, kind: GuardErrorKind, parts: &[&str]) {
    let (key, token) = (key("a"), ClaimToken::generate());
    says(
        &guard.claim(&key, token, LEASE).await.unwrap_err(),
        kind,
        parts,
    );
    says(
        &guard.settle(&key, token, LEASE).await.unwrap_err(),
        kind,
        parts,
    );
    says(&guard.release(&key, token).await.unwrap_err(), kind, parts);
    says(&guard.cleanup().await.unwrap_err(), kind, parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_table() {
    let schema = Schema::new().await;
    let guard = schema.guard().await;
    let parts = ["SQLSTATE 42P01", "call PostgresGuard::migrate()"];
    all_fail(&guard, GuardErrorKind::Broken, &parts).await;
    let error = guard.ready().await.unwrap_err();
    says(
        &error,
        GuardErrorKind::Broken,
        &["no table", "PostgresGuard::migrate()"],
    );
    // The same guard works as soon as there is one.
    guard.migrate().await.unwrap();
    let claim = guard.claim(&key("a"), ClaimToken::generate(), LEASE);
    assert_eq!(claim.await.unwrap(), Claimed::Claimed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_not_shown() {
    let schema = Schema::migrated().await;
    let role = format!("role_{}", schema.name());
    // On a server that trusts this machine, nobody asks for the password; a role that may not log in
    // is refused everywhere.
    schema.execute(&format!("CREATE ROLE {role} NOLOGIN")).await;
    let options = schema.options().username(&role).password("hush-hush");
    let url = format!(
        "postgres://{role}:hush-hush@{}:{}/{}",
        options.get_host(),
        options.get_port(),
        options.get_database().unwrap()
    );
    let error = PostgresGuard::connect(&url).await.unwrap_err();
    says(
        &error,
        GuardErrorKind::Broken,
        &["SQLSTATE 28", "check the user, the password"],
    );
    assert!(!shown(&error).contains("hush"), "{}", shown(&error));

    let guard = PostgresGuard::new(PgPoolOptions::new().connect_lazy_with(options));
    assert!(!format!("{guard:?} {guard:#?}").contains("hush"));
    let parts = ["SQLSTATE 28", "check the user, the password"];
    all_fail(&guard, GuardErrorKind::Broken, &parts).await;
    let error = guard.ready().await.unwrap_err();
    says(&error, GuardErrorKind::Broken, &parts);
    assert!(!shown(&error).contains("hush"), "{}", shown(&error));
    schema.execute(&format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn urls_that_lead_nowhere() {
    let here: PgConnectOptions = database_url().parse().unwrap();
    let (host, port) = (here.get_host(), here.get_port());
    let missing = {
        let (url, query) = database_url()
            .split_once('?')
            .map_or((database_url(), String::new()), |(url, query)| {
                (url.to_owned(), format!("?{query}"))
            });
        let (server, _) = url.rsplit_once('/').unwrap();
        format!("{server}/no_such_database{query}")
    };
    for (url, kind, parts) in [
        (
            missing,
            GuardErrorKind::Broken,
            ["SQLSTATE 3D000", "create the database"],
        ),
        (
            format!("redis://a:hush@{host}:{port}"),
            GuardErrorKind::Broken,
            ["does not start with `postgres://`", ""],
        ),
        (
            format!("postgres://a:hu/sh@{host}:{port}/b"),
            GuardErrorKind::Broken,
            ["an `@` behind its host", "percent-encoded"],
        ),
        (
            "postgres://a:hush@127.0.0.1:1/b".to_owned(),
            GuardErrorKind::Unavailable,
            [
                "PostgreSQL at 127.0.0.1:1, database \"b\"",
                "whether the server runs",
            ],
        ),
        (
            "postgres://a:hush@host.invalid/b".to_owned(),
            GuardErrorKind::Unavailable,
            ["PostgreSQL at host.invalid:5432", "check the address"],
        ),
        (
            format!("postgres://a:hush@{host}:{port}/b?sslmode=perhaps"),
            GuardErrorKind::Broken,
            ["cannot be read", "perhaps"],
        ),
    ] {
        let error = PostgresGuard::connect(&url).await.unwrap_err();
        says(&error, kind, &parts);
        let shown = shown(&error);
        assert!(
            !shown.contains("hush") && !shown.contains("hu/sh"),
            "{shown}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_only_read() {
    let schema = Schema::migrated().await;
    let options = schema
        .options()
        .options([("default_transaction_read_only", "on")]);
    let guard = PostgresGuard::new(PgPoolOptions::new().connect_lazy_with(options));
    let parts = ["SQLSTATE 25006", "point the guard at the primary"];
    all_fail(&guard, GuardErrorKind::Unavailable, &parts).await;
    let error = guard.ready().await.unwrap_err();
    says(
        &error,
        GuardErrorKind::Unavailable,
        &["default_transaction_read_only"],
    );
    // What is there needs no writes.
    guard.migrate().await.unwrap();
}

/// Each of the pool's connections is in use, so nothing was sent.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_that_is_used_up() {
    let schema = Schema::migrated().await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(schema.options());
    let guard = PostgresGuard::new(pool.clone());
    let lent = pool.acquire().await.unwrap();
    let ready = timeout(Duration::from_secs(2), guard.ready()).await;
    let error = ready
        .expect("in the time that a receiver gives it")
        .unwrap_err();
    says(
        &error,
        GuardErrorKind::Unavailable,
        &["all 1 connections of the guard's pool are in use"],
    );
    all_fail(
        &guard,
        GuardErrorKind::Unavailable,
        &["PostgresGuard::ready() tells which"],
    )
    .await;
    drop(lent);
    assert_eq!(guard.ready().await.unwrap(), [""; 0]);
    pool.close().await;
    all_fail(
        &guard,
        GuardErrorKind::Broken,
        &["the app has closed the pool"],
    )
    .await;
}

/// A limit of time that the app has set. The server has done nothing then.
#[tokio::test(flavor = "multi_thread")]
async fn limits_of_the_server() {
    let schema = Schema::migrated().await;
    let (token, guard) = (ClaimToken::generate(), schema.guard().await);
    let claim = guard.claim(&key("a"), token, LEASE);
    assert_eq!(claim.await.unwrap(), Claimed::Claimed);
    let pool = schema.pool();
    let mut transaction = pool.begin().await.unwrap();
    let lock = "SELECT FROM gemini_webhooks_claims FOR UPDATE";
    transaction.execute(lock).await.unwrap();
    for (setting, part) in [("lock_timeout", "55P03"), ("statement_timeout", "57014")] {
        let options = schema.options().options([(setting, "50ms")]);
        let limited = PostgresGuard::new(PgPoolOptions::new().connect_lazy_with(options));
        let error = limited.settle(&key("a"), token, LEASE).await.unwrap_err();
        says(&error, GuardErrorKind::Unavailable, &[part, setting]);
        // A claim does not wait for the row.
        let claim = limited.claim(&key("a"), ClaimToken::generate(), LEASE);
        assert!(claim.await.unwrap().is_in_flight());
    }
    transaction.rollback().await.unwrap();
    let settle = guard.settle(&key("a"), token, LEASE);
    assert_eq!(settle.await.unwrap(), Settled::Settled);
}

/// Each connection is inside of a transaction from the start.
#[tokio::test(flavor = "multi_thread")]
async fn a_pool_whose_transactions_are_never_ended() {
    let schema = Schema::migrated().await;
    let pool = PgPoolOptions::new()
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection.execute("BEGIN").await?;
                connection.execute("SELECT pg_current_xact_id()").await?;
                Ok(())
            })
        })
        .connect_lazy_with(schema.options());
    let guard = PostgresGuard::new(pool);
    let claim = guard.claim(&key("a"), ClaimToken::generate(), LEASE);
    let error = claim.await.unwrap_err();
    says(
        &error,
        GuardErrorKind::Unavailable,
        &["left inside of a transaction"],
    );
    let claim = schema
        .guard()
        .await
        .claim(&key("a"), ClaimToken::generate(), LEASE)
        .await;
    assert_eq!(claim.unwrap(), Claimed::Claimed, "nothing of it is left");
}

/// A row in the details of an error would show the claim's token.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_row_is_not_shown() {
    let schema = Schema::migrated().await;
    schema
        .execute("ALTER TABLE gemini_webhooks_claims ADD CHECK (born < '2000-01-01')")
        .await;
    let token = ClaimToken::generate();
    let error = schema
        .guard()
        .await
        .claim(&key("a"), token, LEASE)
        .await
        .unwrap_err();
    says(
        &error,
        GuardErrorKind::Broken,
        &["SQLSTATE 23514", "call migrate()"],
    );
    let hex: String = token
        .to_bytes()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let shown = shown(&error);
    assert!(
        !shown.contains(&hex) && !shown.contains("Failing row"),
        "{shown}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_should_know() {
    let schema = Schema::migrated().await;
    let guard = schema.guard().await;
    assert_eq!(guard.ready().await.unwrap(), [""; 0]);
    schema
        .execute("ALTER TABLE gemini_webhooks_claims SET UNLOGGED")
        .await;
    let options = schema.options().options([("synchronous_commit", "off")]);
    let guard = PostgresGuard::new(PgPoolOptions::new().connect_lazy_with(options));
    let concerns = guard.ready().await.unwrap();
    assert_eq!(concerns.len(), 2, "{concerns:?}");
    assert!(
        concerns[0].contains("`synchronous_commit` is off"),
        "{concerns:?}"
    );
    assert!(concerns[1].contains("UNLOGGED"), "{concerns:?}");
}

/// The futures of the guard can be awaited in any task.
#[test]
fn futures_can_be_sent() {
    fn is_send<T: Send>(_: impl Fn(&'static PostgresGuard) -> T) {}
    is_send(PostgresGuard::migrate);
    is_send(PostgresGuard::cleanup);
    is_send(|guard| guard.cleanup_every(LEASE));
}
