//! What the inbox asks of a database.

pub(crate) mod jobs;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
pub(crate) mod statements;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use sqlx::Transaction;

use statements::Statements;

/// A database that an inbox can be in: `sqlx::Sqlite` or `sqlx::Postgres`, each with its feature.
///
/// It is sealed: the inbox's statements are made for these two.
pub trait Database: Dialect {}

/// How a database is spoken to.
#[expect(unnameable_types, reason = "it seals `Database`, and may change")]
pub trait Dialect: sqlx::Database {
    /// The way to one database, cheap to clone.
    #[doc(hidden)]
    type Link: Clone + fmt::Debug + Send + Sync + 'static;

    #[doc(hidden)]
    const STATEMENTS: Statements;

    /// Runs a statement that changes nothing.
    #[doc(hidden)]
    fn read(
        link: &Self::Link,
        statement: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Rows<Self>> + Send;

    /// Runs a statement, which is on the disk when this returns.
    #[doc(hidden)]
    fn write(
        link: &Self::Link,
        statement: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Rows<Self>> + Send;

    /// Runs a statement on a connection of the app's.
    #[doc(hidden)]
    fn run(
        connection: &mut Self::Connection,
        statement: &'static str,
        values: Vec<Value>,
    ) -> impl Future<Output = Result<Vec<Self::Row>, sqlx::Error>> + Send;

    /// Begins a transaction in which an app does its work.
    #[doc(hidden)]
    fn begin(
        link: &Self::Link,
    ) -> impl Future<Output = Result<Transaction<'static, Self>, sqlx::Error>> + Send;

    /// Runs the migrations, unless another process does.
    #[doc(hidden)]
    fn migrate(link: &Self::Link) -> impl Future<Output = Result<(), Migration>> + Send;

    /// What the database is called in messages. It shows no password.
    #[doc(hidden)]
    fn name(link: &Self::Link) -> String;

    /// Whether a statement failed because a table is not there.
    #[doc(hidden)]
    fn misses_table(error: &sqlx::Error) -> bool;

    #[doc(hidden)]
    fn int(row: &Self::Row, column: usize) -> Result<Option<i64>, sqlx::Error>;

    #[doc(hidden)]
    fn text(row: &Self::Row, column: usize) -> Result<String, sqlx::Error>;

    #[doc(hidden)]
    fn bytes(row: &Self::Row, column: usize) -> Result<Vec<u8>, sqlx::Error>;
}

/// An error may concern several statements that were committed together.
#[allow(unreachable_pub, reason = "part of the sealed trait")]
pub type Rows<DB> = Result<Vec<<DB as sqlx::Database>::Row>, Arc<sqlx::Error>>;

/// What a statement is run with.
#[derive(Clone, Debug)]
#[expect(unnameable_types, reason = "part of the sealed trait")]
#[allow(clippy::exhaustive_enums, reason = "part of the sealed trait")]
pub enum Value {
    /// A number, or null.
    Int(Option<i64>),
    /// A text, or null.
    Text(Option<String>),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<Option<String>> for Value {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

/// Why the tables are not there.
#[derive(Debug)]
#[expect(unnameable_types, reason = "part of the sealed trait")]
#[allow(clippy::exhaustive_enums, reason = "part of the sealed trait")]
pub enum Migration {
    /// A later version of this crate has made them.
    Newer(i64),
    /// The database refuses, or cannot be reached.
    Failed(sqlx::Error),
}

impl From<sqlx::Error> for Migration {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error)
    }
}

/// The version of the tables that this code works with.
pub(crate) const VERSION: i64 = 2;

pub(crate) const CREATE_VERSION: &str = "\
CREATE TABLE IF NOT EXISTS gemini_webhooks_inbox_version (
    version bigint NOT NULL
)";
pub(crate) const GET_VERSION: &str = "\
SELECT max(version)
FROM gemini_webhooks_inbox_version";
pub(crate) const SET_VERSION: &str = "\
INSERT INTO gemini_webhooks_inbox_version (version)
SELECT $1
WHERE NOT EXISTS (SELECT 1 FROM gemini_webhooks_inbox_version WHERE version = $1)
RETURNING version";

/// What brings tables of this version up to date; 0 if there are none. Each statement may be run again.
///
/// What is there is not touched: even `CREATE INDEX IF NOT EXISTS` waits for those who write.
fn changes<DB: Dialect>(version: i64) -> impl Iterator<Item = &'static str> {
    let of_version = [
        (1, DB::STATEMENTS.migrations),
        (2, DB::STATEMENTS.jobs.migrations),
    ];
    let lacking = of_version.into_iter().filter(move |(of, _)| *of > version);
    lacking.flat_map(|(_, statements)| statements).copied()
}

/// Returns the SQL that makes the tables, for those who run it by hand. It can be run twice.
///
/// Open the inbox with [`without_migrating`](crate::Opening::without_migrating) then.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # {
/// use gemini_webhooks_inbox::{migration, sqlx::Sqlite};
///
/// assert!(migration::<Sqlite>().contains("CREATE TABLE IF NOT EXISTS gemini_webhooks_inbox ("));
/// # }
/// ```
#[must_use]
pub fn migration<DB: Database>() -> String {
    let version = SET_VERSION.replace("$1", &VERSION.to_string());
    let version = version.replace("\nRETURNING version", "");
    let tables: Vec<_> = [CREATE_VERSION]
        .into_iter()
        .chain(changes::<DB>(0))
        .collect();
    format!("{};\n\n{version};\n\n", tables.join(";\n\n"))
}

/// Returns whether the tables are there and of this version; the inner error if the database does not say.
///
/// It is asked before the migrations: a role that may not create tables can use those that are there.
pub(crate) async fn is_up_to_date<DB: Dialect>(
    link: &DB::Link,
) -> Result<Result<bool, Arc<sqlx::Error>>, Migration> {
    let found = match DB::read(link, GET_VERSION, Vec::new()).await {
        Ok(found) => found,
        Err(error) if DB::misses_table(&error) => return Ok(Ok(false)),
        Err(error) => return Ok(Err(error)),
    };
    let Some(row) = found.first() else {
        return Ok(Ok(false));
    };
    match DB::int(row, 0)? {
        Some(version) if version > VERSION => Err(Migration::Newer(version)),
        version => Ok(Ok(version == Some(VERSION))),
    }
}

/// Brings the tables up to date, in a transaction that holds off other processes.
pub(crate) async fn migrate<DB: Dialect>(connection: &mut DB::Connection) -> Result<(), Migration> {
    DB::run(connection, CREATE_VERSION, Vec::new()).await?;
    let found = DB::run(connection, GET_VERSION, Vec::new()).await?;
    let found = match found.first() {
        Some(row) => DB::int(row, 0)?,
        None => None,
    };
    let found = found.unwrap_or(0);
    if found > VERSION {
        return Err(Migration::Newer(found));
    }
    if found == VERSION {
        return Ok(());
    }
    for statement in changes::<DB>(found) {
        DB::run(connection, statement, Vec::new()).await?;
    }
    DB::run(connection, SET_VERSION, vec![VERSION.into()]).await?;
    Ok(())
}
