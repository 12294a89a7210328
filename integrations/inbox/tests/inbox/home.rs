//! A database for each test.

use gemini_webhooks_harness::database_url;
use gemini_webhooks_inbox::sqlx::postgres::{PgConnection, PgPool, PgPoolOptions, Postgres};
use gemini_webhooks_inbox::sqlx::sqlite::{Sqlite, SqliteConnection};
use gemini_webhooks_inbox::sqlx::{AssertSqlSafe, Connection as _, raw_sql};
use gemini_webhooks_inbox::{Database, Opening};
use tempfile::TempDir;

/// Where an inbox is.
pub(crate) trait Home: Send + Sync + 'static {
    type DB: Database;

    /// Another handle on the same database, as another process has.
    fn open(&self) -> Opening<Self::DB>;

    /// Runs a statement beside the inbox.
    async fn execute(&self, statement: &str);

    /// Runs a statement in a transaction of the app's.
    fn run(
        connection: &mut <Self::DB as gemini_webhooks_inbox::sqlx::Database>::Connection,
        statement: &str,
    ) -> impl Future<Output = ()> + Send;

    /// A transaction of the app's, which is not committed.
    async fn begin(&self) -> gemini_webhooks_inbox::sqlx::Transaction<'static, Self::DB>;

    /// The only number that a statement returns.
    async fn number(&self, statement: &str) -> i64;
}

pub(crate) struct SqliteHome {
    folder: TempDir,
}

impl SqliteHome {
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder }
    }

    pub(crate) fn file(&self) -> String {
        self.folder
            .path()
            .join("inbox.db")
            .to_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn connection(&self) -> SqliteConnection {
        let url = format!("sqlite:{}?mode=rwc", self.file());
        SqliteConnection::connect(&url).await.unwrap()
    }
}

impl Home for SqliteHome {
    type DB = Sqlite;

    fn open(&self) -> Opening<Sqlite> {
        gemini_webhooks_inbox::Inbox::sqlite(&self.file())
    }

    async fn execute(&self, statement: &str) {
        let mut connection = self.connection().await;
        Self::run(&mut connection, statement).await;
        connection.close().await.unwrap();
    }

    async fn run(connection: &mut SqliteConnection, statement: &str) {
        let statement = raw_sql(AssertSqlSafe(statement.to_owned()));
        statement.execute(connection).await.unwrap();
    }

    async fn begin(&self) -> gemini_webhooks_inbox::sqlx::Transaction<'static, Sqlite> {
        let url = format!("sqlite:{}", self.file());
        let pool = gemini_webhooks_inbox::sqlx::SqlitePool::connect(&url)
            .await
            .unwrap();
        pool.begin_with("BEGIN IMMEDIATE").await.unwrap()
    }

    async fn number(&self, statement: &str) -> i64 {
        let mut connection = self.connection().await;
        let statement = AssertSqlSafe(statement.to_owned());
        gemini_webhooks_inbox::sqlx::query_scalar(statement)
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }
}

pub(crate) struct PostgresHome {
    name: String,
    pub(crate) pool: PgPool,
}

impl PostgresHome {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With more options of the connection, as they stand in a URL.
    pub(crate) async fn with(options: &str) -> Self {
        let token = gemini_webhooks::replay::ClaimToken::generate().to_bytes();
        let name = format!("inbox_{:032x}", u128::from_be_bytes(token));
        let mut admin = PgConnection::connect(&database_url()).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE SCHEMA {name}"));
        raw_sql(create).execute(&mut admin).await.unwrap();
        let url = database_url();
        let and = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{and}options[search_path]={name}{options}");
        let pool = PgPoolOptions::new()
            .max_connections(3)
            .connect(&url)
            .await
            .unwrap();
        Self { name, pool }
    }
}

impl Drop for PostgresHome {
    fn drop(&mut self) {
        let drop = AssertSqlSafe(format!("DROP SCHEMA {} CASCADE", self.name));
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                let mut admin = PgConnection::connect(&database_url()).await.unwrap();
                raw_sql(drop).execute(&mut admin).await.unwrap();
            });
        });
    }
}

impl Home for PostgresHome {
    type DB = Postgres;

    fn open(&self) -> Opening<Postgres> {
        gemini_webhooks_inbox::Inbox::postgres(self.pool.clone()).connections(3)
    }

    async fn execute(&self, statement: &str) {
        let statement = raw_sql(AssertSqlSafe(statement.to_owned()));
        statement.execute(&self.pool).await.unwrap();
    }

    async fn run(connection: &mut PgConnection, statement: &str) {
        let statement = raw_sql(AssertSqlSafe(statement.to_owned()));
        statement.execute(connection).await.unwrap();
    }

    async fn begin(&self) -> gemini_webhooks_inbox::sqlx::Transaction<'static, Postgres> {
        self.pool.begin().await.unwrap()
    }

    async fn number(&self, statement: &str) -> i64 {
        let statement = AssertSqlSafe(statement.to_owned());
        gemini_webhooks_inbox::sqlx::query_scalar(statement)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}
