//! One statement on a connection of the pool.

use std::time::Duration;

use gemini_webhooks::replay::{GuardError, GuardErrorKind, Reach};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres, Row as _};
use tokio::time::sleep;

use super::fault::{Fault, code, is_conflict, is_refusal, spoils_connection};

/// So often a statement is tried that others were in the way of.
const CONFLICTS: u32 = 8;
/// So many connections are closed that somebody left inside of a transaction.
const LEFT_OPEN: u32 = 10;

const LENDS_LEFT_OPEN: &str = "the pool lends connections again and again that were left inside of a transaction; \
     look for transactions that are begun and neither committed nor rolled back, or give the guard a pool of its own";

/// A connection that goes back to the pool only if it is known to be sound.
pub(super) struct Lent {
    connection: PoolConnection<Postgres>,
    sound: bool,
}

impl Lent {
    pub(super) async fn of(pool: &PgPool) -> Result<Self, GuardError> {
        match pool.acquire().await {
            Ok(connection) => Ok(connection.into()),
            Err(error) => Err(Fault::of(pool, error)),
        }
    }

    /// Uses the connection. If the future is dropped in between, a statement may be on its way.
    pub(super) async fn run<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
    ) -> Result<T, sqlx::Error> {
        self.sound = false;
        let done = work(&mut self.connection).await;
        self.sound = !done.as_ref().is_err_and(spoils_connection);
        done
    }
}

impl From<PoolConnection<Postgres>> for Lent {
    fn from(connection: PoolConnection<Postgres>) -> Self {
        Self {
            connection,
            sound: true,
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // The pool would ping it without a limit of time, and the ping waits for a statement that hangs.
        if !self.sound {
            self.connection.close_on_drop();
        }
    }
}

/// Runs one statement on a connection of the pool, again if others were in its way. Returns its first
/// row.
///
/// Each statement of the guard may be run twice: it does no harm. If a connection was left inside of a
/// transaction, it is closed, which undoes the statement, and another one is taken.
pub(super) async fn ask<'q>(
    pool: &PgPool,
    reach: &Reach,
    query: impl Fn() -> Query<'q, Postgres, PgArguments>,
) -> Result<Option<PgRow>, GuardError> {
    let mut connection = Lent::of(pool).await?;
    let (mut conflicts, mut left_open) = (0, 0);
    loop {
        reach.sent();
        let answer = connection.run(async |connection| query().fetch_optional(connection).await);
        let answer = answer.await;
        if answer.as_ref().is_err_and(is_refusal) {
            reach.refused();
        }
        match answer {
            Err(error) if is_conflict(&error) && conflicts < CONFLICTS => {
                sleep(Duration::from_millis(1 << conflicts)).await;
                conflicts += 1;
            }
            answer if was_left_open(&answer) => {
                connection.sound = false;
                drop(connection);
                reach.refused();
                if left_open == LEFT_OPEN {
                    return Err(Fault::found(
                        pool,
                        GuardErrorKind::Unavailable,
                        LENDS_LEFT_OPEN,
                    ));
                }
                connection = Lent::of(pool).await?;
                left_open += 1;
            }
            answer => return answer.map_err(|error| Fault::of(pool, error)),
        }
    }
}

/// Whether the connection was left inside of a transaction. sqlx 0.9.0 lends such connections after a
/// `begin()` that was dropped (launchbadge/sqlx#4393).
fn was_left_open(answer: &Result<Option<PgRow>, sqlx::Error>) -> bool {
    match answer {
        // Of the statements that say so.
        Ok(Some(row)) => row.try_get("left_open").unwrap_or(false),
        Ok(None) => false,
        // And the transaction has failed.
        Err(error) => code(error) == Some("25P02"),
    }
}
