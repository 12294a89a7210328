//! Making the table.

use gemini_webhooks::replay::{ClaimToken, Claimed, GuardErrorKind, ReplayGuard as _};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::postgres::MIGRATION;
use gemini_webhooks_sqlx::sqlx::postgres::PgPoolOptions;
use gemini_webhooks_sqlx::sqlx::{Executor as _, query_scalar, raw_sql};
use tokio::task::JoinSet;

use crate::database::{LEASE, Schema, key};

/// The same text, whoever makes the table: what the database has of it.
async fn shape(schema: &Schema) -> Vec<String> {
    let sql = "
        SELECT concat_ws(' ', attname, atttypid::regtype, attnotnull) FROM pg_attribute
        WHERE attrelid = 'gemini_webhooks_claims'::regclass AND attnum > 0 AND NOT attisdropped
        UNION ALL
        SELECT indexdef FROM pg_indexes
        WHERE schemaname = current_schema AND tablename = 'gemini_webhooks_claims'
        UNION ALL
        SELECT reloptions::text FROM pg_class WHERE oid = 'gemini_webhooks_claims'::regclass
        UNION ALL
        SELECT relname FROM pg_class WHERE relnamespace = current_schema::regnamespace AND relkind = 'r'
        ORDER BY 1";
    let lines: Vec<String> = query_scalar(sql).fetch_all(&schema.pool()).await.unwrap();
    let own = format!("{}.", schema.name());
    lines
        .into_iter()
        .map(|line| line.replace(&own, ""))
        .collect()
}

async fn works(guard: &PostgresGuard) {
    let claim = guard.claim(&key("a"), ClaimToken::generate(), LEASE);
    assert_eq!(claim.await.unwrap(), Claimed::Claimed);
    assert_eq!(guard.ready().await.unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_may_be_run_again() {
    let schema = Schema::new().await;
    let guard = schema.guard().await;
    guard.migrate().await.unwrap();
    let first = shape(&schema).await;
    works(&guard).await;
    guard.migrate().await.unwrap();
    assert_eq!(shape(&schema).await, first);
    // What is in it stays.
    let claim = guard.claim(&key("a"), ClaimToken::generate(), LEASE);
    assert!(claim.await.unwrap().is_in_flight());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_hand_it_makes_the_same() {
    let (one, two) = (Schema::new().await, Schema::new().await);
    one.guard().await.migrate().await.unwrap();
    // In a transaction with others, as migrations are run.
    let mut transaction = two.pool().begin().await.unwrap();
    raw_sql(MIGRATION).execute(&mut *transaction).await.unwrap();
    transaction.commit().await.unwrap();
    two.execute(MIGRATION).await;
    assert_eq!(shape(&one).await, shape(&two).await);
    works(&two.guard().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_eight_at_once() {
    for level in ["read committed", "serializable"] {
        let schema = Schema::new().await;
        let options = schema
            .options()
            .options([("default_transaction_isolation", level)]);
        let mut runs = JoinSet::new();
        for number in 0..8 {
            let pool = PgPoolOptions::new()
                .max_connections(2)
                .connect_lazy_with(options.clone());
            runs.spawn(async move {
                pool.execute("SELECT 1").await.unwrap();
                // One of them without the lock.
                if number == 0 {
                    // It may fail, if another is faster; those with the lock may not.
                    let _ = raw_sql(MIGRATION).execute(&pool).await;
                }
                PostgresGuard::new(pool).migrate().await
            });
        }
        for run in runs.join_all().await {
            run.unwrap();
        }
        works(&schema.guard().await).await;
    }
}

/// Half a migration is made whole.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_made() {
    let whole = Schema::migrated().await;
    for half in [
        "DROP INDEX gemini_webhooks_claims_born",
        "DROP TABLE gemini_webhooks_claims",
    ] {
        let schema = Schema::migrated().await;
        schema.execute(half).await;
        let guard = schema.guard().await;
        if half.contains("INDEX") {
            let concerns = guard.ready().await.unwrap();
            assert!(concerns[0].contains("no index on `born`"), "{concerns:?}");
        }
        guard.migrate().await.unwrap();
        assert_eq!(shape(&schema).await, shape(&whole).await, "{half}");
        works(&guard).await;
    }
}

/// A table of another shape is not touched. The error says what is wrong with it.
#[tokio::test(flavor = "multi_thread")]
async fn another_table_of_that_name_is_an_error() {
    for (change, says) in [
        (
            "ALTER TABLE gemini_webhooks_claims DROP COLUMN born",
            "no column `born` of the type timestamp with time zone",
        ),
        (
            "ALTER TABLE gemini_webhooks_claims ALTER until TYPE timestamp",
            "column `until` has the type timestamp without time zone instead of timestamp with time zone",
        ),
        (
            "ALTER TABLE gemini_webhooks_claims DROP CONSTRAINT gemini_webhooks_claims_pkey",
            "column `key` is no primary key",
        ),
        (
            "ALTER TABLE gemini_webhooks_claims ADD tenant text NOT NULL",
            "column `tenant`, of which the guard knows nothing, is NOT NULL",
        ),
        (
            "DROP TABLE gemini_webhooks_claims; CREATE VIEW gemini_webhooks_claims AS SELECT 1 AS key",
            "it is no table",
        ),
        (
            "DROP INDEX gemini_webhooks_claims_born; \
             CREATE INDEX gemini_webhooks_claims_born ON gemini_webhooks_claims (until)",
            "the index gemini_webhooks_claims_born is invalid or not on `born`: drop that index",
        ),
    ] {
        let schema = Schema::migrated().await;
        schema.execute(change).await;
        let guard = schema.guard().await;
        let error = guard.migrate().await.unwrap_err();
        assert_eq!(error.kind(), GuardErrorKind::Broken, "{error}");
        assert!(error.to_string().contains(says), "{error}");
        if !change.contains("DROP INDEX") {
            let error = guard.ready().await.unwrap_err();
            assert_eq!(error.kind(), GuardErrorKind::Broken, "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}

/// Columns of others do no harm if an insert need not name them.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_more_is_no_harm() {
    let schema = Schema::migrated().await;
    let change = "ALTER TABLE gemini_webhooks_claims ADD a text, ADD b text NOT NULL DEFAULT '', \
                  ADD c bigint GENERATED ALWAYS AS IDENTITY";
    schema.execute(change).await;
    let guard = schema.guard().await;
    guard.migrate().await.unwrap();
    works(&guard).await;
}

/// A role that may not create tables can use one that is there.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_needs_few_rights() {
    let schema = Schema::new().await;
    let (name, guard) = (schema.name(), schema.guard().await);
    let role = format!("role_{name}");
    let password = "p%4067word";
    schema
        .execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'p@67word'"))
        .await;
    let options = schema.options().username(&role).password("p@67word");
    let limited = PostgresGuard::new(PgPoolOptions::new().connect_lazy_with(options));
    let grant = async |rights: &str| schema.execute(&format!("GRANT {rights} TO {role}")).await;

    grant(&format!("USAGE ON SCHEMA {name}")).await;
    let error = limited.migrate().await.unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Broken);
    let says = error.to_string();
    for part in [
        "SQLSTATE 42501",
        "postgres::MIGRATION",
        "grant SELECT, INSERT, UPDATE and DELETE",
    ] {
        assert!(says.contains(part), "{says}");
    }

    guard.migrate().await.unwrap();
    limited.migrate().await.unwrap();
    grant("SELECT, INSERT ON gemini_webhooks_claims").await;
    let error = limited.ready().await.unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Broken);
    assert!(
        error.to_string().contains("may not UPDATE, DELETE"),
        "{error}"
    );
    let error = limited
        .settle(&key("a"), ClaimToken::generate(), LEASE)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), GuardErrorKind::Broken);
    assert!(error.to_string().contains("SQLSTATE 42501"), "{error}");
    for text in [
        error.to_string(),
        format!("{error:?}"),
        format!("{limited:?}"),
    ] {
        assert!(
            !text.contains(password) && !text.contains("67word"),
            "{text}"
        );
    }

    grant("SELECT, INSERT, UPDATE, DELETE ON gemini_webhooks_claims").await;
    works(&limited).await;
    limited.pool().close().await;
    schema
        .execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"))
        .await;
}
