//! The table.

use gemini_webhooks::replay::GuardError;
use sqlx::sqlite::SqliteConnection;

use super::SqliteGuard;
use super::statements::{COLUMNS, CREATE_INDEX, CREATE_TABLE};

/// Name, type and place in the primary key.
const EXPECTED: [(&str, &str, i64); 5] = [
    ("key", "BLOB", 1),
    ("token", "BLOB", 0),
    ("settled", "INTEGER", 0),
    ("until", "INTEGER", 0),
    ("born", "INTEGER", 0),
];

impl SqliteGuard {
    /// Creates the table `gemini_webhooks_claims` and its index, if they are missing.
    ///
    /// Run it each time your app starts, before or after your own migrations: it does not use the table
    /// `_sqlx_migrations`. Several processes may run it at once. If you run migrations by hand, its SQL is
    /// [`MIGRATION`](super::MIGRATION).
    ///
    /// # Errors
    ///
    /// The database cannot be written, or has a table of this name and of another shape.
    pub async fn migrate(&self) -> Result<(), GuardError> {
        let _turn = self.turn().await;
        let mut connection = self.connection(&self.pool).await?;
        for statement in [CREATE_TABLE, CREATE_INDEX] {
            if let Err(error) = sqlx::query(statement).execute(&mut *connection).await {
                return Err(self.explain(&mut connection, error).await);
            }
        }
        self.check_shape(&mut connection).await
    }

    /// Whether the table is there, and as the statements expect it.
    pub(super) async fn check_shape(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(), GuardError> {
        let columns: Vec<(String, String, i64)> = sqlx::query_as(COLUMNS)
            .fetch_all(connection)
            .await
            .map_err(|error| self.error(error))?;
        let file = self.file();
        let file = file.display();
        if columns.is_empty() {
            return Err(GuardError::broken(format!(
                "the SQLite database {file} has no table gemini_webhooks_claims; run migrate() when the app starts"
            )));
        }
        let columns = columns
            .iter()
            .map(|(name, kind, key)| (&**name, &**kind, *key));
        if columns.clone().eq(EXPECTED) {
            return Ok(());
        }
        Err(GuardError::broken(format!(
            "the table gemini_webhooks_claims of the SQLite database {file} has the columns {}, not {}; rename it, and \
             run migrate()",
            described(columns),
            described(EXPECTED),
        )))
    }
}

fn described<'a>(columns: impl IntoIterator<Item = (&'a str, &'a str, i64)>) -> String {
    let columns = columns.into_iter().map(|(name, kind, key)| match key {
        0 => format!("{name} {kind}"),
        _ => format!("{name} {kind} PRIMARY KEY"),
    });
    columns.collect::<Vec<_>>().join(", ")
}
