//! The guard for PostgreSQL.

mod ask;
mod cleanup;
mod fault;
mod ready;
mod schema;
mod settle;
mod statements;

use std::fmt;
use std::str::FromStr as _;
use std::time::Duration;

use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, ReplayGuard, Settled,
};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::time::{sleep, timeout};

pub use self::schema::MIGRATION;
pub use self::settle::{SETTLE_STATEMENT, SettleParameters, settle_in};

use self::ask::ask;
use self::fault::Fault;
use self::ready::ready;
use self::statements::{CLAIM, RELEASE, SETTLE, TAKE_OVER};

/// A guard that keeps claims in a table of a PostgreSQL database, so that replicas share them.
#[derive(Clone)]
pub struct PostgresGuard {
    pool: PgPool,
}

/// Of a pool of the guard's own. A statement takes a millisecond or two.
const CONNECTIONS: u32 = 8;
/// Longer than a receiver waits by default, so that it notices an outage by its time-outs.
const ACQUIRE: Duration = Duration::from_secs(5);
/// A connection that was idle for longer is tried before it is used: the server may have gone.
const TRIED_AFTER: Duration = Duration::from_secs(1);
/// How long a claim waits before it looks again, if another's statement was in its way.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(2),
    Duration::from_millis(10),
    Duration::from_millis(40),
];

impl PostgresGuard {
    /// Makes a guard that uses the app's pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Connects to the database of a URL, with a pool of its own of at most 8 connections.
    ///
    /// # Errors
    ///
    /// The URL is invalid, or no connection can be made within 5 seconds. The error does not show the
    /// password.
    pub async fn connect(url: &str) -> Result<Self, GuardError> {
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(GuardError::broken(
                "the URL of the database does not start with `postgres://`",
            ));
        }
        let mut options = PgConnectOptions::from_str(url)
            .map_err(|error| GuardError::broken(format!("the URL of the database cannot be read: {error}; special characters in the password must be percent-encoded")))?;
        if options.get_application_name().is_none() {
            options = options.application_name("gemini-webhooks");
        }
        // The pool would only say that its time is over.
        match timeout(ACQUIRE, options.connect()).await {
            Ok(Ok(connection)) => drop(connection.close().await),
            Ok(Err(error)) => return Err(Fault::new(&options, error).into()),
            Err(_) => return Err(Fault::new(&options, sqlx::Error::PoolTimedOut).into()),
        }
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE)
            // It would be a round trip for each statement.
            .test_before_acquire(false)
            .before_acquire(|connection, metadata| {
                Box::pin(async move {
                    if metadata.idle_for > TRIED_AFTER {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self { pool })
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
