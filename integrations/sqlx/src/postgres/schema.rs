//! The table of the claims: making it, and whether it is as it should be.

use gemini_webhooks::replay::{GuardError, GuardErrorKind};
use sqlx::postgres::{PgConnection, PgPool, PgRow};
use sqlx::{Connection as _, Row as _};

use super::PostgresGuard;
use super::ask::Lent;
use super::fault::{Fault, code};

/// The SQL that makes the table, for those who run their migrations by hand or with a tool.
///
/// It does nothing if the table is there, and may be run in a transaction. Only one may run it at a time.
///
/// A settle changes no column that has an index, and inserts fill pages to 90 % only. So the changed row
/// finds room in its page, and no index has to be changed: with handlers of 1.5 s at 1,000 events a second,
/// that was so for 99.8 % of the settles, and for 93 % with full pages.
pub const MIGRATION: &str = "\
CREATE TABLE IF NOT EXISTS gemini_webhooks_claims (
    key bytea PRIMARY KEY,
    token bytea NOT NULL,
    settled boolean NOT NULL,
    until timestamptz NOT NULL,
    born timestamptz NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX IF NOT EXISTS gemini_webhooks_claims_born ON gemini_webhooks_claims (born);
";

/// What [`MIGRATION`] makes.
const COLUMNS: [(&str, &str); 5] = [
    ("key", "bytea"),
    ("token", "bytea"),
    ("settled", "boolean"),
    ("until", "timestamp with time zone"),
    ("born", "timestamp with time zone"),
];

/// Those who migrate wait for each other at this lock of the database, whatever else its apps lock: the
/// first eight bytes of "gemini_webhooks_claims".
const LOCK: i64 = i64::from_be_bytes(*b"gemini_w");

/// Two that make the table at the same time, one of them by hand.
const ATTEMPTS: u32 = 5;

impl PostgresGuard {
    /// Makes the table `gemini_webhooks_claims` and its index, where they are missing.
    ///
    /// Call it at each start, beside the migrations of your app: it can be run again, and by several
    /// processes at once. It does not touch `_sqlx_migrations`, nor a table that is complete; then the
    /// role needs no right to create tables. The table is in the schema that comes first in the
    /// `search_path` of the connection. To run the SQL yourself, take [`MIGRATION`].
    ///
    /// # Errors
    ///
    /// The server cannot be reached, the role may not create tables, or there is a table of this name
    /// that has another shape. Then nothing is changed.
    pub async fn migrate(&self) -> Result<(), GuardError> {
        let mut connection = Lent::of(&self.pool).await?;
        let mut attempt = 1;
        loop {
            let tried = connection.run(migrate);
            let problems = match tried.await {
                Ok(problems) => problems,
                // Somebody without the lock was faster.
                Err(error) if is_collision(&error) && attempt < ATTEMPTS => {
                    attempt += 1;
                    continue;
                }
                Err(error) => return Err(self.not_made(error)),
            };
            if problems.is_empty() {
                return Ok(());
            }
            return Err(unlike(&self.pool, &problems));
        }
    }

    fn not_made(&self, error: sqlx::Error) -> GuardError {
        let forbidden = code(&error) == Some("42501");
        let fault = Fault::new(&self.pool.connect_options(), error);
        if forbidden {
            return fault.advising(
                "let a role that may create tables run the SQL of gemini_webhooks_sqlx::postgres::MIGRATION, and grant \
                 SELECT, INSERT, UPDATE and DELETE on the table to the role of the app",
            );
        }
        fault.into()
    }
}

/// Makes what is missing. Returns what is not as it should be.
async fn migrate(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    // At another level it could not see what those before it have made.
    let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
    let mut transaction = connection.begin_with(begin).await?;
    let problems = complete(&mut transaction).await?;
    if problems.is_empty() {
        transaction.commit().await?;
    } else {
        transaction.rollback().await?;
    }
    Ok(problems)
}

async fn complete(connection: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(LOCK)
        .execute(&mut *connection)
        .await?;
    if let Some(table) = Table::look(connection).await? {
        let problems = table.problems();
        if !problems.is_empty() || table.born_is_indexed {
            return Ok(problems);
        }
    }
    sqlx::raw_sql(MIGRATION).execute(&mut *connection).await?;
    let made = Table::look(connection).await?;
    Ok(match made {
        None => vec!["it is not found by the search_path, though it was made".to_owned()],
        Some(table) if table.born_is_indexed => table.problems(),
        Some(_) => vec![
            "the index gemini_webhooks_claims_born is invalid or not on `born`: drop that index"
                .to_owned(),
        ],
    })
}

fn is_collision(error: &sqlx::Error) -> bool {
    matches!(
        code(error),
        Some("40001" | "40P01" | "23505" | "42P07" | "42710")
    )
}

/// The error for a table that is not as it should be.
pub(super) fn unlike(pool: &PgPool, problems: &[String]) -> GuardError {
    let what = format!(
        "the table gemini_webhooks_claims is not as this version of the guard needs it: {}; change that, or rename the \
         table and call PostgresGuard::migrate(), which makes a new one (handled events are then forgotten)",
        problems.join(", ")
    );
    Fault::found(pool, GuardErrorKind::Broken, what)
}

/// The table as it is in the database.
#[derive(Debug)]
pub(super) struct Table {
    /// Each as a name and a type.
    columns: Vec<(String, String)>,
    /// Columns of others that an insert must name.
    demanded: Vec<String>,
    is_table: bool,
    key_is_unique: bool,
    pub(super) born_is_indexed: bool,
    pub(super) is_unlogged: bool,
    /// What the role may not do.
    pub(super) forbidden: Vec<String>,
}

const LOOK: &str = "\
SELECT
    t.relkind IN ('r', 'p') AS is_table,
    t.relpersistence = 'u' AS is_unlogged,
    ARRAY(
        SELECT a.attname::text FROM pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
    ) AS names,
    ARRAY(
        SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum
    ) AS types,
    ARRAY(
        SELECT a.attname::text FROM pg_attribute AS a
        WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
            AND a.attnotnull AND NOT a.atthasdef AND a.attidentity = ''
            AND a.attname NOT IN ('key', 'token', 'settled', 'until', 'born')
    ) AS demanded,
    EXISTS (
        SELECT FROM pg_index AS i
        JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] AND a.attname = 'key'
        WHERE i.indrelid = t.oid AND i.indisunique AND i.indimmediate AND i.indisvalid
            AND i.indnkeyatts = 1 AND i.indpred IS NULL
    ) AS key_is_unique,
    EXISTS (
        SELECT FROM pg_index AS i
        JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] AND a.attname = 'born'
        WHERE i.indrelid = t.oid AND i.indisvalid AND i.indpred IS NULL
    ) AS born_is_indexed,
    ARRAY(
        SELECT p FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
        WHERE NOT has_table_privilege(t.oid, p)
    ) AS forbidden
FROM pg_class AS t
WHERE t.oid = to_regclass('gemini_webhooks_claims')";

impl Table {
    /// Looks at the table that the `search_path` leads to. None if there is none.
    pub(super) async fn look(connection: &mut PgConnection) -> Result<Option<Self>, sqlx::Error> {
        let row = sqlx::query(LOOK).fetch_optional(connection).await?;
        row.map(|row| Self::of(&row)).transpose()
    }

    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        let (names, types): (Vec<String>, Vec<String>) =
            (row.try_get("names")?, row.try_get("types")?);
        Ok(Self {
            columns: names.into_iter().zip(types).collect(),
            demanded: row.try_get("demanded")?,
            is_table: row.try_get("is_table")?,
            key_is_unique: row.try_get("key_is_unique")?,
            born_is_indexed: row.try_get("born_is_indexed")?,
            is_unlogged: row.try_get("is_unlogged")?,
            forbidden: row.try_get("forbidden")?,
        })
    }

    /// Returns what keeps the guard's statements from working.
    pub(super) fn problems(&self) -> Vec<String> {
        if !self.is_table {
            return vec!["it is no table, but a view or the like".to_owned()];
        }
        let mut problems = Vec::new();
        for (name, expected) in COLUMNS {
            match self.columns.iter().find(|(column, _)| column == name) {
                None => problems.push(format!("it has no column `{name}` of the type {expected}")),
                Some((_, kind)) if kind != expected => problems.push(format!(
                    "its column `{name}` has the type {kind} instead of {expected}"
                )),
                Some(_) => {}
            }
        }
        if !self.key_is_unique {
            problems.push("its column `key` is no primary key".to_owned());
        }
        for name in &self.demanded {
            problems.push(format!(
                "its column `{name}`, of which the guard knows nothing, is NOT NULL and has no default"
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole() -> Table {
        Table {
            columns: COLUMNS
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
                .into(),
            demanded: Vec::new(),
            is_table: true,
            key_is_unique: true,
            born_is_indexed: true,
            is_unlogged: false,
            forbidden: Vec::new(),
        }
    }

    #[test]
    fn what_is_wrong_with_a_table() {
        assert_eq!(whole().problems(), [""; 0]);
        for (name, table, problem) in [
            (
                "a view",
                Table {
                    is_table: false,
                    ..whole()
                },
                "it is no table, but a view or the like",
            ),
            (
                "a column is missing",
                Table {
                    columns: whole().columns.into_iter().take(4).collect(),
                    ..whole()
                },
                "it has no column `born` of the type timestamp with time zone",
            ),
            (
                "a column has another type",
                Table {
                    columns: whole()
                        .columns
                        .into_iter()
                        .map(|(name, kind)| (name, kind.replace("boolean", "smallint")))
                        .collect(),
                    ..whole()
                },
                "its column `settled` has the type smallint instead of boolean",
            ),
            (
                "no primary key",
                Table {
                    key_is_unique: false,
                    ..whole()
                },
                "its column `key` is no primary key",
            ),
            (
                "a column that nobody fills",
                Table {
                    demanded: vec!["tenant".to_owned()],
                    ..whole()
                },
                "its column `tenant`, of which the guard knows nothing, is NOT NULL and has no default",
            ),
        ] {
            assert_eq!(table.problems(), [problem], "{name}");
        }
    }

    #[test]
    fn the_migration_makes_these_columns() {
        for (name, kind) in COLUMNS {
            let kind = kind.replace("timestamp with time zone", "timestamptz");
            assert!(MIGRATION.contains(&format!("    {name} {kind} ")), "{name}");
        }
    }
}
