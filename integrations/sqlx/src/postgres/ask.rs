//! One statement on a connection of the pool.

use std::time::Duration;

use gemini_webhooks::replay::{GuardError, Reach};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};
use tokio::time::sleep;

use super::fault::{Fault, is_conflict, is_left_open, is_refusal, spoils_connection};

/// So often a statement is tried that others were in the way of.
const CONFLICTS: u32 = 8;
/// So many connections are thrown away that somebody left inside of a failed transaction.
const LEFT_OPEN: u32 = 10;

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
/// Each statement of the guard may be run twice: it does no harm.
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
        let error = match answer.await {
            Ok(row) => return Ok(row),
            Err(error) => error,
        };
        if is_refusal(&error) {
            reach.refused();
        }
        if is_conflict(&error) && conflicts < CONFLICTS {
            sleep(Duration::from_millis(1 << conflicts)).await;
            conflicts += 1;
        } else if is_left_open(&error) && left_open < LEFT_OPEN {
            drop(connection);
            connection = Lent::of(pool).await?;
            left_open += 1;
        } else {
            return Err(Fault::of(pool, error));
        }
    }
}
