//! Whether the database can be used, and what an operator should know about it.

use gemini_webhooks::replay::GuardError;
use sqlx::sqlite::SqliteConnection;

use super::SqliteGuard;
use super::statements::{HAS_INDEX, WRITE_NOTHING};

/// If fewer pages are left, claims fail now or soon.
const FEW_PAGES: i64 = 16;
/// A receiver waits so long for a guard, in milliseconds, if the app has not set another time.
const GUARD_TIMEOUT: i64 = 2_000;

impl SqliteGuard {
    pub(super) async fn concerns(&self) -> Result<Vec<String>, GuardError> {
        let mut connection = self.connection(&self.pool).await?;
        self.check_shape(&mut connection).await?;
        let found = self.found(&mut connection).await;
        let mut concerns = found.map_err(|error| self.error(error))?;
        drop(connection);

        let _turn = self.turn().await;
        let mut connection = self.connection(&self.settles).await?;
        let synced = self.is_synced(&mut connection).await;
        concerns.extend(synced.map_err(|error| self.error(error))?);
        match sqlx::query(WRITE_NOTHING).execute(&mut *connection).await {
            Ok(_) => Ok(concerns),
            Err(error) => Err(self.explain(&mut connection, error).await),
        }
    }

    async fn found(&self, connection: &mut SqliteConnection) -> Result<Vec<String>, sqlx::Error> {
        let mut concerns = Vec::new();
        let file = self.file();
        let file = file.display();
        let path: Option<String> =
            sqlx::query_scalar("SELECT file FROM pragma_database_list WHERE name = 'main'")
                .fetch_one(&mut *connection)
                .await?;
        if path.is_none_or(|path| path.is_empty()) {
            concerns.push(format!(
                "the SQLite database {file} is in memory: other processes do not see the claims, and they are lost \
                 with its last connection; use a file, or MemoryGuard"
            ));
        } else {
            let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
                .fetch_one(&mut *connection)
                .await?;
            if mode != "wal" {
                concerns.push(format!(
                    "the SQLite database {file} is in journal mode {mode}: duplicates are not recognised while \
                     another connection writes, and answered 503; set journal_mode(SqliteJournalMode::Wal)"
                ));
            }
        }
        let timeout: i64 = sqlx::query_scalar("PRAGMA busy_timeout")
            .fetch_one(&mut *connection)
            .await?;
        if timeout >= GUARD_TIMEOUT {
            concerns.push(format!(
                "the busy_timeout of the pool is {timeout} ms: while another connection writes for long, claims wait \
                 for longer than the receiver does (guard_timeout, 2 s if not set), and hold their connections \
                 meanwhile; set busy_timeout(Duration::from_secs(1))"
            ));
        }
        let index: i64 = sqlx::query_scalar(HAS_INDEX)
            .fetch_one(&mut *connection)
            .await?;
        if index == 0 {
            concerns.push(format!(
                "the table gemini_webhooks_claims of the SQLite database {file} lacks its index, so that cleaning up \
                 reads all of it; run migrate()"
            ));
        }
        concerns.extend(self.room(connection).await?);
        Ok(concerns)
    }

    /// Whether the database comes to the end of the size that it may have.
    async fn room(&self, connection: &mut SqliteConnection) -> Result<Option<String>, sqlx::Error> {
        let mut pages = [0_i64; 3];
        let pragmas = [
            "PRAGMA page_count",
            "PRAGMA freelist_count",
            "PRAGMA max_page_count",
        ];
        for (count, pragma) in pages.iter_mut().zip(pragmas) {
            *count = sqlx::query_scalar(pragma)
                .fetch_one(&mut *connection)
                .await?;
        }
        let [count, free, limit] = pages;
        let left = limit.saturating_sub(count).saturating_add(free);
        Ok((left < FEW_PAGES).then(|| {
            format!(
                "the SQLite database {} has {left} of its max_page_count of {limit} pages left: claims will fail; raise \
                 it, or run cleanup()",
                self.file().display()
            )
        }))
    }

    /// Whether what is settled is on the disk when that is answered.
    async fn is_synced(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<String>, sqlx::Error> {
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous")
            .fetch_one(connection)
            .await?;
        let name = match synchronous {
            0 => "OFF",
            1 => "NORMAL",
            // FULL and EXTRA.
            _ => return Ok(None),
        };
        Ok(Some(format!(
            "the SQLite database {} is used with synchronous = {name}: a power cut can undo the last settles, and these \
             events are then handled again; set synchronous(SqliteSynchronous::Full)",
            self.file().display()
        )))
    }
}
