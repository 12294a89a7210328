//! Whether claims would succeed.

use std::time::Duration;

use gemini_webhooks::replay::{GuardError, GuardErrorKind};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{ConnectOptions as _, Connection as _, Postgres, Row as _};
use tokio::time::timeout;

use super::ask::Lent;
use super::fault::Fault;
use super::schema::{Table, unlike};

/// If the pool has lent no connection by then, it is found out why.
const SOON: Duration = Duration::from_millis(400);
/// How long that may take, and then the pool. It is less than a receiver waits by default.
const THEN: Duration = Duration::from_millis(500);
/// How long the answers may take.
const ANSWER: Duration = Duration::from_secs(5);
/// The oldest version that the tests have run with.
const TESTED: i32 = 15_00_00;

const FACTS: &str = "\
SELECT
    pg_is_in_recovery() AS standby,
    current_setting('transaction_read_only') = 'on' AS read_only,
    current_setting('fsync') = 'on' AS fsync,
    current_setting('synchronous_commit') AS synchronous_commit,
    current_setting('server_version') AS version,
    current_setting('server_version_num')::integer AS version_number";

/// Returns what an operator should know, though the guard works.
pub(super) async fn ready(pool: &PgPool) -> Result<Vec<String>, GuardError> {
    let mut connection = Lent::from(connection(pool).await?);
    let asked = connection.run(async |connection| {
        let facts = sqlx::query(FACTS).fetch_one(&mut *connection).await?;
        Ok((Facts::of(&facts)?, Table::look(connection).await?))
    });
    let Ok(asked) = timeout(ANSWER, asked).await else {
        return Err(silent(pool));
    };
    let (facts, table) = asked.map_err(|error| Fault::of(pool, error))?;
    let broken = |what: &str| Fault::found(pool, GuardErrorKind::Broken, what);

    if let Some(what) = facts.no_writes() {
        return Err(Fault::found(pool, GuardErrorKind::Unavailable, what));
    }
    let Some(table) = table else {
        return Err(broken(
            "there is no table gemini_webhooks_claims in the search_path: call PostgresGuard::migrate() before the app \
             takes deliveries",
        ));
    };
    let problems = table.problems();
    if !problems.is_empty() {
        return Err(unlike(pool, &problems));
    }
    if !table.forbidden.is_empty() {
        return Err(broken(&format!(
            "the role may not {} in the table gemini_webhooks_claims: grant it SELECT, INSERT, UPDATE and DELETE",
            table.forbidden.join(", ")
        )));
    }
    let mut concerns = facts.concerns();
    concerns.extend(table.concerns());
    Ok(concerns)
}

/// A connection of the pool, or why there is none: the pool itself only says that its time is over.
async fn connection(pool: &PgPool) -> Result<PoolConnection<Postgres>, GuardError> {
    let mut lent = Box::pin(pool.acquire());
    if let Ok(lent) = timeout(SOON, &mut lent).await {
        return lent.map_err(|error| Fault::of(pool, error));
    }
    let options = pool.connect_options();
    match timeout(THEN, options.connect()).await {
        // The server answers. If it was only slow, so does the pool.
        Ok(Ok(connection)) => drop(connection.close().await),
        Ok(Err(error)) => return Err(Fault::of(pool, error)),
        Err(_) => return Err(silent(pool)),
    }
    match timeout(THEN, lent).await {
        Ok(lent) => lent.map_err(|error| Fault::of(pool, error)),
        Err(_) => {
            let what = format!(
                "all {} connections of the guard's pool are in use; make the pool larger, or give the guard a pool of \
                 its own",
                pool.options().get_max_connections()
            );
            Err(Fault::found(pool, GuardErrorKind::Unavailable, what))
        }
    }
}

fn silent(pool: &PgPool) -> GuardError {
    let what = "it does not answer; check the address, and whether the server runs";
    Fault::found(pool, GuardErrorKind::Unavailable, what)
}

/// What the server says of itself and of the session.
#[derive(Debug)]
struct Facts {
    standby: bool,
    read_only: bool,
    fsync: bool,
    synchronous_commit: String,
    version: String,
    version_number: i32,
}

impl Facts {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            standby: row.try_get("standby")?,
            read_only: row.try_get("read_only")?,
            fsync: row.try_get("fsync")?,
            synchronous_commit: row.try_get("synchronous_commit")?,
            version: row.try_get("version")?,
            version_number: row.try_get("version_number")?,
        })
    }

    /// Why the server takes no writes. It may do so after a failover, so the guard is not broken.
    fn no_writes(&self) -> Option<&'static str> {
        if self.standby {
            Some("this server is a replica and takes no writes: point the guard at the primary")
        } else if self.read_only {
            Some(
                "sessions are read-only by default_transaction_read_only: switch it off for the guard's role or database",
            )
        } else {
            None
        }
    }

    fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        if self.version_number < TESTED {
            concerns.push(format!(
                "PostgreSQL {} is older than 15, the oldest version that the guard is tested with",
                self.version
            ));
        }
        if !self.fsync {
            concerns.push(
                "`fsync` is off: if the machine crashes, the database may be damaged or lost, with what your \
                 handlers wrote, and handled events may be handled again"
                    .to_owned(),
            );
        }
        if self.synchronous_commit == "off" {
            concerns.push(
                "`synchronous_commit` is off: if the server crashes, it forgets the last events that were handled, and \
                 they may be handled again; what `settle_in` stored with them is lost, and Google does not send it again"
                    .to_owned(),
            );
        }
        concerns
    }
}

impl Table {
    fn concerns(&self) -> Vec<String> {
        let mut concerns = Vec::new();
        if !self.born_is_indexed {
            concerns.push(
                "the table gemini_webhooks_claims has no index on `born`, so each step of a clean-up reads the whole \
                 table: call PostgresGuard::migrate()"
                    .to_owned(),
            );
        }
        if self.is_unlogged {
            concerns.push(
                "the table gemini_webhooks_claims is UNLOGGED: a crash of the server empties it, and handled events may \
                 be handled again"
                    .to_owned(),
            );
        }
        concerns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Facts {
        Facts {
            standby: false,
            read_only: false,
            fsync: true,
            synchronous_commit: "on".to_owned(),
            version: "15.14".to_owned(),
            version_number: 15_00_14,
        }
    }

    #[test]
    fn what_an_operator_should_know() {
        assert_eq!(sound().concerns(), [""; 0]);
        let old = Facts {
            version: "13.2".to_owned(),
            version_number: 13_00_02,
            fsync: false,
            synchronous_commit: "off".to_owned(),
            ..sound()
        };
        let [version, fsync, commit] = &old.concerns()[..] else {
            panic!("{:?}", old.concerns());
        };
        assert!(version.contains("13.2 is older than 15"), "{version}");
        assert!(fsync.contains("`fsync` is off"), "{fsync}");
        assert!(commit.contains("`synchronous_commit` is off"), "{commit}");
    }

    #[test]
    fn who_takes_no_writes() {
        assert_eq!(sound().no_writes(), None);
        let standby = Facts {
            standby: true,
            read_only: true,
            ..sound()
        };
        assert!(standby.no_writes().unwrap().contains("is a replica"));
        let read_only = Facts {
            read_only: true,
            ..sound()
        };
        assert!(
            read_only
                .no_writes()
                .unwrap()
                .contains("default_transaction_read_only")
        );
    }
}
