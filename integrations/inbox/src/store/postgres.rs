//! PostgreSQL.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{Executor as _, Postgres, Row as _, Transaction};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::statements::{Statements, filter, listed, put_into, put_once, put_row, statements};
use super::{Database, Dialect, Migration, Rows, Value, migrate};

const ISOLATION: &str = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";

/// Held while the tables are made. Any number, but always the same.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7307218077116657012)";

/// A statement that takes longer has a connection that hangs. It is less than half of a heartbeat.
const LIMIT: Duration = Duration::from_secs(10);

#[derive(Clone)]
#[expect(unnameable_types, reason = "part of the sealed trait")]
pub struct Link {
    app: PgPool,
    own: PgPool,
    /// In which the inbox's connections are. They end with the runtime that they were opened in, and
    /// actix-web has one for each of its threads, which ends before the worker does.
    runtime: Handle,
}

impl Link {
    /// With connections of the inbox's own: in a pool of the app's, sqlx 0.9.0 can lend a connection inside of a
    /// transaction that nobody ends (launchbadge/sqlx#4393), and what is stored on it would be lost.
    pub(crate) fn new(app: PgPool, connections: u32) -> Self {
        let own = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(LIMIT)
            // A ping before each statement would be a round trip more.
            .test_before_acquire(false)
            // An app may have made another level its default, under which statements fail that meet others.
            .after_connect(|connection, _| {
                Box::pin(async move { connection.execute(ISOLATION).await.map(drop) })
            })
            .connect_lazy_with((*app.connect_options()).clone());
        Self {
            app,
            own,
            runtime: Handle::current(),
        }
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Postgres::name(self))
    }
}

fn query(statement: &'static str, values: Vec<Value>) -> Query<'static, Postgres, PgArguments> {
    let query = sqlx::query(statement);
    values.into_iter().fold(query, |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

/// A connection of the pool. If its statement does not come to its end, it is closed: to be used again, it
/// would have to answer first.
struct Lent {
    connection: PoolConnection<Postgres>,
    is_free: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_free {
            self.connection.close_on_drop();
        }
    }
}

async fn fetch(
    pool: PgPool,
    query: Query<'static, Postgres, PgArguments>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut lent = Lent {
        connection: pool.acquire().await?,
        is_free: false,
    };
    let Ok(rows) = timeout(LIMIT, query.fetch_all(&mut *lent.connection)).await else {
        let text = format!("no answer within {LIMIT:?}");
        return Err(io::Error::new(io::ErrorKind::TimedOut, text).into());
    };
    lent.is_free = true;
    rows
}

impl Database for Postgres {}

impl Dialect for Postgres {
    type Link = Link;

    const STATEMENTS: Statements = statements! {
        number: "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
        bytes: "bytea",
        // The same wherever it stands in a statement, unlike `clock_timestamp()`; and an index can serve it.
        now: "CAST(extract(epoch FROM statement_timestamp()) * 1000 AS bigint)",
        skip_locked: "FOR UPDATE SKIP LOCKED",
        max: "greatest",
    };

    async fn read(link: &Link, statement: &'static str, values: Vec<Value>) -> Rows<Self> {
        Self::write(link, statement, values).await
    }

    async fn write(link: &Link, statement: &'static str, values: Vec<Value>) -> Rows<Self> {
        let fetch = fetch(link.own.clone(), query(statement, values));
        let fetched = AbortOnDropHandle::new(link.runtime.spawn(fetch)).await;
        fetched
            .unwrap_or(Err(sqlx::Error::WorkerCrashed))
            .map_err(Arc::new)
    }

    async fn run(
        connection: &mut PgConnection,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        query(statement, values).fetch_all(connection).await
    }

    async fn begin(link: &Link) -> Result<Transaction<'static, Self>, sqlx::Error> {
        link.app.begin().await
    }

    async fn migrate(link: &Link) -> Result<(), Migration> {
        let mut transaction = link.own.begin().await?;
        Self::run(&mut transaction, LOCK, Vec::new()).await?;
        migrate::<Self>(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    fn name(link: &Link) -> String {
        let options = link.own.connect_options();
        let database = options.get_database().unwrap_or(options.get_username());
        let (host, port) = (options.get_host(), options.get_port());
        format!("PostgreSQL at {host}:{port}, database \"{database}\"")
    }

    fn misses_table(error: &sqlx::Error) -> bool {
        const UNDEFINED_TABLE: &str = "42P01";
        let code = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        code.as_deref() == Some(UNDEFINED_TABLE)
    }

    fn int(row: &PgRow, column: usize) -> Result<Option<i64>, sqlx::Error> {
        row.try_get(column)
    }

    fn text(row: &PgRow, column: usize) -> Result<String, sqlx::Error> {
        row.try_get(column)
    }

    fn bytes(row: &PgRow, column: usize) -> Result<Vec<u8>, sqlx::Error> {
        row.try_get(column)
    }
}
