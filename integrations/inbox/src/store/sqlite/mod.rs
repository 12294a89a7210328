//! SQLite, by one task that writes: what waits while it commits is committed together.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqlitePool, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlSafeStr, Sqlite, Transaction};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;

use super::statements::{Statements, filter, listed, put_into, put_once, put_row, statements};
use super::{Database, Dialect, GET_VERSION, Migration, Rows, Value, migrate};

mod writer;

use writer::Write;

/// So many wait at most. Who comes then waits until there is room, or gives up.
const QUEUE: usize = 1024;
/// How long a write waits for other processes, and for transactions of the app.
const BUSY_TIMEOUT: Duration = Duration::from_millis(1500);

#[derive(Clone)]
#[expect(unnameable_types, reason = "part of the sealed trait")]
pub struct Link {
    file: Arc<Path>,
    pool: SqlitePool,
    writer: mpsc::Sender<Write>,
}

impl Link {
    pub(crate) async fn open(
        database: &str,
        connections: u32,
        migrate: bool,
    ) -> Result<Self, sqlx::Error> {
        let options = if database.starts_with("sqlite:") {
            SqliteConnectOptions::from_str(database)?
        } else {
            SqliteConnectOptions::new().filename(database)
        };
        let options = options
            .create_if_missing(migrate)
            .busy_timeout(BUSY_TIMEOUT)
            // Pages, which is 32 MB. A page that many events change is written back once.
            .pragma("wal_autocheckpoint", "8000")
            .pragma("journal_size_limit", "33554432")
            .synchronous(SqliteSynchronous::Full);
        // Without them it may be a database of somebody else's, who has not asked for that.
        if migrate || has_tables(&options).await? {
            use_wal(&options).await?;
        }
        let (writer, writes) = mpsc::channel(QUEUE);
        // Its statements can be long, and say nothing.
        let writing = options.clone().disable_statement_logging();
        tokio::spawn(writer::write(writing, writes));
        Ok(Self {
            file: PathBuf::from(options.get_filename()).into(),
            pool: PoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                .test_before_acquire(false)
                .connect_lazy_with(options),
            writer,
        })
    }
}

async fn has_tables(options: &SqliteConnectOptions) -> Result<bool, sqlx::Error> {
    let mut connection = options.connect().await?;
    let found = Sqlite::run(&mut connection, GET_VERSION, Vec::new()).await;
    connection.close().await?;
    match found {
        Err(error) if Sqlite::misses_table(&error) => Ok(false),
        found => found.map(|_| true),
    }
}

/// Whether there is no file for this database.
pub(crate) fn is_missing(error: &sqlx::Error) -> bool {
    const CANTOPEN: i32 = 14;
    code(error) == Some(CANTOPEN)
}

/// Changes the database to WAL for good, if it is not. It needs the database for itself for a moment, and
/// SQLite does not wait for that.
async fn use_wal(options: &SqliteConnectOptions) -> Result<(), sqlx::Error> {
    const ATTEMPTS: usize = 40;
    const PAUSE: Duration = Duration::from_millis(50);
    let mut attempts = 0;
    loop {
        attempts += 1;
        let mut connection = options.connect().await?;
        let mode: Result<String, _> = sqlx::query_scalar("PRAGMA journal_mode = WAL")
            .fetch_one(&mut connection)
            .await;
        connection.close().await?;
        match mode {
            Err(error) if attempts < ATTEMPTS && is_locked(&error) => sleep(PAUSE).await,
            Ok(mode) if mode != "wal" => {
                let text = format!(
                    "it cannot be in WAL mode, only in {mode}: put it into a file on a local disk"
                );
                return Err(sqlx::Error::Configuration(text.into()));
            }
            mode => return mode.map(drop),
        }
    }
}

/// `SQLITE_BUSY` or `SQLITE_LOCKED`.
fn is_locked(error: &sqlx::Error) -> bool {
    matches!(code(error), Some(5 | 6))
}

/// SQLite's result code, without what it says beyond the category.
fn code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Sqlite::name(self))
    }
}

fn query(
    statement: impl SqlSafeStr,
    values: impl IntoIterator<Item = Value>,
) -> Query<'static, Sqlite, SqliteArguments> {
    let query = sqlx::query(statement);
    values.into_iter().fold(query, |query, value| match value {
        Value::Int(value) => query.bind(value),
        Value::Text(value) => query.bind(value),
        Value::Bytes(value) => query.bind(value),
    })
}

impl Database for Sqlite {}

impl Dialect for Sqlite {
    type Link = Link;

    const STATEMENTS: Statements = statements! {
        number: "INTEGER PRIMARY KEY AUTOINCREMENT",
        bytes: "blob",
        now: "CAST((julianday('now') - 2440587.5) * 86400000.0 AS INTEGER)",
        skip_locked: "",
        max: "max",
    };

    async fn read(link: &Link, statement: &'static str, values: Vec<Value>) -> Rows<Self> {
        let query = query(statement, values);
        query.fetch_all(&link.pool).await.map_err(Arc::new)
    }

    async fn write(link: &Link, statement: &'static str, values: Vec<Value>) -> Rows<Self> {
        let gone = || Arc::new(sqlx::Error::WorkerCrashed);
        let (answer, answered) = oneshot::channel();
        let write = Write {
            statement,
            values,
            answer,
        };
        link.writer.send(write).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }

    async fn run(
        connection: &mut SqliteConnection,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        query(statement, values).fetch_all(connection).await
    }

    async fn begin(link: &Link) -> Result<Transaction<'static, Self>, sqlx::Error> {
        link.pool.begin_with("BEGIN IMMEDIATE").await
    }

    async fn migrate(link: &Link) -> Result<(), Migration> {
        let mut transaction = Self::begin(link).await?;
        migrate::<Self>(&mut transaction).await?;
        Ok(transaction.commit().await?)
    }

    fn name(link: &Link) -> String {
        format!("the SQLite database {}", link.file.display())
    }

    fn misses_table(error: &sqlx::Error) -> bool {
        // SQLite has no code for it.
        let error = error.as_database_error();
        error.is_some_and(|error| error.message().starts_with("no such table"))
    }

    fn int(row: &SqliteRow, column: usize) -> Result<Option<i64>, sqlx::Error> {
        row.try_get(column)
    }

    fn text(row: &SqliteRow, column: usize) -> Result<String, sqlx::Error> {
        row.try_get(column)
    }

    fn bytes(row: &SqliteRow, column: usize) -> Result<Vec<u8>, sqlx::Error> {
        row.try_get(column)
    }
}
