//! The guard for PostgreSQL, and how to settle a claim in your own transaction.
//!
//! Google delivers an event at least once. So a delivery *claims* its event before your handler runs, which
//! marks the event as being handled. After a 2xx the claim is *settled*: the event is handled, and copies of
//! it are answered without your handler. Otherwise the claim is *released*, and the retry runs your handler
//! again. What keeps the claims is called a *guard*. [`PostgresGuard`] keeps them in a table, so that they
//! outlast a restart, and so that all replicas of your app share them.
//!
//! ```no_run
//! use gemini_webhooks::{VerifyLayer, WebhookReceiver};
//! use gemini_webhooks_sqlx::PostgresGuard;
//!
//! # async fn example(url: &str, secret: &str) -> Result<(), Box<dyn std::error::Error>> {
//! let guard = PostgresGuard::connect(url).await?;
//! guard.migrate().await?;
//! tokio::spawn(guard.cleanup_every(std::time::Duration::from_secs(3600)));
//!
//! let receiver = WebhookReceiver::builder()
//!     .signing_secret(secret)
//!     .guard("orders-production", guard)
//!     .build()?;
//! receiver.ready().await?;
//! let layer = VerifyLayer::new(receiver);
//! # drop(layer);
//! # Ok(())
//! # }
//! ```
//!
//! If your handler writes to the same database, call [`settle_in`] in its transaction: then the work and the
//! mark that it is done are stored together, or neither is. For a transaction of another driver there are
//! [`SETTLE_STATEMENT`] and [`SettleParameters`].
//!
//! # What is guaranteed
//!
//! An event that was answered with a 2xx is not handled again for as long as the receiver's
//! [`retention`](gemini_webhooks::WebhookReceiverBuilder::retention), which is 25 hours if you have not set
//! it. These can make an event run twice:
//!
//! - **The settle fails**, because the server cannot be reached. The 2xx is sent, and the receiver tries to
//!   settle in the background as long as the *lease* lasts, which is how long a claim holds. [`settle_in`] has
//!   no such gap: without a commit there is no 2xx.
//! - **The process dies, or the handler takes longer than the lease.** The next delivery runs. With
//!   `settle_in` only one of them commits.
//! - **The server's clock is set forward**, by more than what is left of a lease or a retention. Times are those
//!   of the server, and the clocks of your replicas do not matter.
//! - **The database loses what it had confirmed**: by a failover to a replica that lagged behind, by a restore
//!   from a backup, with a lost disk, or by a crash while `fsync` or `synchronous_commit` is off or the table
//!   is UNLOGGED. Those events run again if copies of them come. What your handler wrote to that database
//!   then is lost as well, with `settle_in` or without. [`ready`](gemini_webhooks::WebhookReceiver::ready)
//!   logs a warning about such settings.
//!
//! No failure of the guard loses an event: one that was not handled is sent again.
//!
//! If the server cannot be reached, deliveries are answered 503, and Google retries for 24 hours.
//!
//! # Connections
//!
//! [`PostgresGuard::connect`] makes a pool of its own, of at most 8 connections.
//! [`PostgresGuard::new`] shares yours. A delivery then takes two round trips, or three with `settle_in`. The
//! pool of sqlx adds one to each, unless you switch `test_before_acquire` off.
//!
//! In a pool that you share, sqlx 0.9.0 can lend a connection inside of a transaction that nobody ends: if the
//! future of `pool.begin()` is dropped before it is done
//! ([launchbadge/sqlx#4393](https://github.com/launchbadge/sqlx/issues/4393)). The guard closes such a
//! connection when a claim finds out, which undoes what was done on it before, so an event may run twice.
//! hyper drops a handler when the sender closes the connection. So if a handler opens a transaction, call
//! `finish_once_started()` on the `VerifyLayer`, or give the guard a pool of its own.
//!
//! PgBouncer in transaction mode mixes up the prepared statements of sqlx, unless it keeps them apart: from
//! 1.21 on it does with `max_prepared_statements`, by its documentation. Otherwise use its session mode, or
//! connect the guard to PostgreSQL itself.
//!
//! TLS needs a feature of sqlx, such as `tls-rustls-ring`. Without one, sqlx connects unencrypted unless the
//! URL has `sslmode=require` or stricter.
//!
//! # Several apps, one table
//!
//! The guard uses the table `gemini_webhooks_claims` that the `search_path` of its connections leads to.
//! Several guards and apps may share it: the receiver's namespace keeps their events apart. It must be equal
//! on all replicas of an app, and different in staging.

mod ask;
mod cleanup;
mod fault;
mod open;
mod ready;
mod schema;
mod settle;
mod statements;

use std::fmt;
use std::time::Duration;

use gemini_webhooks::replay::{ClaimKey, ClaimToken, Claimed, GuardFuture, ReplayGuard, Settled};
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use tokio::time::sleep;

pub use self::schema::MIGRATION;
pub use self::settle::{SETTLE_STATEMENT, SettleParameters, settle_in};

use self::ask::ask;
use self::fault::Fault;
use self::ready::ready;
use self::statements::{CLAIM, RELEASE, SETTLE, TAKE_OVER};

/// A guard that keeps claims in a table of a PostgreSQL database, so that replicas share them.
///
/// The [module](self) shows how to use it, and says what it guarantees. It is cheap to clone. It works with
/// PostgreSQL 15 and later; older versions are not tested.
#[derive(Clone)]
pub struct PostgresGuard {
    pool: PgPool,
}

/// How long a claim waits before it looks again, if another's statement was in its way.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(40),
];

impl PostgresGuard {
    /// Makes a guard that uses the app's pool, or any other that you have set up.
    ///
    /// A claim waits for a connection of the pool for at most its `acquire_timeout`, and the receiver for at
    /// most [`guard_timeout`](gemini_webhooks::WebhookReceiverBuilder::guard_timeout). Leave the first longer
    /// than the second: a receiver notices by its own time-outs that a server cannot be reached, and then
    /// answers 503 at once for a while.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Returns the pool.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

impl ReplayGuard for PostgresGuard {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let (pool, key) = (self.pool.clone(), key.to_bytes());
        GuardFuture::tracked(move |reach| async move {
            let key = &*key;
            let ask = |statement| {
                ask(&pool, &reach, move || {
                    sqlx::query(statement)
                        .bind(key)
                        .bind(token.to_bytes())
                        .bind(microseconds(lease))
                })
            };
            let mut pauses = PAUSES.into_iter();
            loop {
                let found = ask(CLAIM).await?.map_or(Ok(None), |row| Found::of(&row));
                match found.map_err(|error| Fault::of(&pool, error))? {
                    Some(Found::Answer(claimed)) => return Ok(claimed),
                    Some(Found::Expired) if ask(TAKE_OVER).await?.is_some() => {
                        return Ok(Claimed::Claimed);
                    }
                    Some(Found::Expired) | None => {}
                }
                // Nothing was done. Somebody else was there at the same moment, and is done soon, unless it
                // is a transaction of the app.
                reach.refused();
                match pauses.next() {
                    Some(pause) => sleep(pause).await,
                    None => return Ok(Claimed::InFlight { left: None }),
                }
            }
        })
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        let (pool, key) = (self.pool.clone(), key.to_bytes());
        GuardFuture::tracked(move |reach| async move {
            let row = ask(&pool, &reach, || {
                sqlx::query(SETTLE)
                    .bind(&*key)
                    .bind(token.to_bytes())
                    .bind(microseconds(retention))
            })
            .await?;
            Ok(row.map_or(Settled::Lost, |_| Settled::Settled))
        })
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        let (pool, key) = (self.pool.clone(), key.to_bytes());
        GuardFuture::tracked(move |reach| async move {
            let query = || sqlx::query(RELEASE).bind(&*key).bind(token.to_bytes());
            ask(&pool, &reach, query).await.map(drop)
        })
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        let pool = self.pool.clone();
        // It writes nothing: no harm is done if it is dropped.
        GuardFuture::tracked(move |_| async move { ready(&pool).await })
    }
}

/// What a claim found.
enum Found {
    Answer(Claimed),
    Expired,
}

impl Found {
    /// None if somebody else put a row there meanwhile.
    fn of(row: &PgRow) -> Result<Option<Self>, sqlx::Error> {
        if row.try_get("claimed")? {
            return Ok(Some(Self::Answer(Claimed::Claimed)));
        }
        let Some(settled) = row.try_get("settled")? else {
            return Ok(None);
        };
        Ok(Some(if row.try_get("expired")? {
            Self::Expired
        } else if settled {
            Self::Answer(Claimed::Settled)
        } else if row.try_get("own")? {
            Self::Answer(Claimed::Claimed)
        } else {
            let left: i64 = row.try_get("remaining")?;
            let left = Some(Duration::from_micros(left.try_into().unwrap_or(0)));
            Self::Answer(Claimed::InFlight { left })
        }))
    }
}

/// As PostgreSQL takes it; at most a hundred years, rounded up.
fn microseconds(time: Duration) -> i64 {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    let time = time.min(CENTURY).as_nanos().div_ceil(1000);
    i64::try_from(time).unwrap_or(i64::MAX)
}

impl fmt::Debug for PostgresGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = self.pool.connect_options();
        f.debug_struct("PostgresGuard")
            .field("host", &options.get_host())
            .field("port", &options.get_port())
            .field("database", &options.get_database())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_postgresql_takes_them() {
        const CENTURY: i64 = 100 * 365 * 24 * 60 * 60 * 1_000_000;
        for (time, expected) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_nanos(1000), 1),
            (Duration::from_nanos(1001), 2),
            (Duration::from_secs(90_000), 90_000_000_000),
            (Duration::MAX, CENTURY),
        ] {
            assert_eq!(microseconds(time), expected, "{time:?}");
        }
    }
}
