//! The store of a set-up: it is started, broken, and at the end asked what is in it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use gemini_webhooks_harness::{PostgresServer, Proxy, RedisServer};
use gemini_webhooks_inbox::sqlx::sqlite::SqliteConnectOptions;
use gemini_webhooks_inbox::sqlx::{
    self, ConnectOptions as _, Connection as _, PgConnection, PgPool, Row as _,
};
use gemini_webhooks_inbox::{Change, Database, Inbox, State};
use tokio::time::sleep;

use crate::Error;
use crate::journal::{Journal, Outage};
use crate::plan::{Breakable, StoreFault};

/// The namespace of the app.
pub(crate) const NAMESPACE: &str = "fault";
/// The app's own table. Nothing in it keeps a row from being there twice.
const TABLE: &str = "CREATE TABLE fault_runs (webhook_id text NOT NULL)";

pub(crate) enum Store {
    Redis(Arc<RedisServer>, Arc<Proxy>),
    Postgres(Arc<PostgresServer>, Arc<Proxy>),
    Sqlite(PathBuf),
    None,
}

/// An event that the inbox gave up.
#[derive(Clone, Debug)]
pub(crate) struct DeadLetter {
    pub(crate) webhook_id: String,
    pub(crate) last: String,
}

impl Store {
    /// As durable as the documentation asks for: Redis writes each change to its log at once; PostgreSQL is
    /// as it comes.
    pub(crate) fn redis() -> Self {
        let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
        let proxy = Proxy::start(server.port());
        Self::Redis(Arc::new(server), Arc::new(proxy))
    }

    pub(crate) async fn postgres() -> Result<Self, Error> {
        let server = PostgresServer::start();
        let pool = PgPool::connect(&server.url()).await?;
        sqlx::query(TABLE).execute(&pool).await?;
        pool.close().await;
        let proxy = Proxy::start(server.port());
        Ok(Self::Postgres(Arc::new(server), Arc::new(proxy)))
    }

    pub(crate) async fn sqlite(folder: &Path) -> Result<Self, Error> {
        let file = folder.join("inbox.db");
        let options = sqlite(&file).create_if_missing(true);
        let mut connection = options.connect().await?;
        sqlx::query(TABLE).execute(&mut connection).await?;
        connection.close().await?;
        Ok(Self::Sqlite(file))
    }

    pub(crate) fn breakable(&self) -> Breakable {
        match self {
            Self::Redis(..) | Self::Postgres(..) => Breakable::Server,
            Self::Sqlite(_) => Breakable::File,
            Self::None => Breakable::Nothing,
        }
    }

    /// The variable that tells the app where it is.
    pub(crate) fn variable(&self) -> Option<(String, String)> {
        let (name, url) = match self {
            Self::Redis(server, proxy) => ("REDIS_URL", proxy.through(&server.url())),
            Self::Postgres(server, proxy) => ("DATABASE_URL", proxy.through(&server.url())),
            Self::Sqlite(file) => ("DATABASE_URL", format!("sqlite:{}", file.display())),
            Self::None => return None,
        };
        Some((name.to_owned(), url))
    }

    /// Breaks it, and mends it.
    pub(crate) async fn suffer(&self, fault: StoreFault, journal: &Journal) -> Result<(), Error> {
        let from = journal.clock.now();
        let what = match self {
            Self::Redis(server, proxy) => {
                let (server, proxy) = (Arc::clone(server), Arc::clone(proxy));
                blocking(move || break_server(&*server, &proxy, fault)).await?
            }
            Self::Postgres(server, proxy) => {
                let (server, proxy) = (Arc::clone(server), Arc::clone(proxy));
                blocking(move || break_server(&*server, &proxy, fault)).await?
            }
            Self::Sqlite(file) => match fault {
                StoreFault::Pause(time) => Some(lock(file, time).await?),
                _ => None,
            },
            Self::None => None,
        };
        let Some(what) = what.map(str::to_owned) else {
            return Ok(());
        };
        let to = journal.clock.now();
        journal.write().outages.push(Outage { what, from, to });
        Ok(())
    }

    /// How many rows of the app's table each event has. `None` if there is no table.
    pub(crate) async fn rows(&self) -> Result<Option<HashMap<String, i64>>, Error> {
        let select = "SELECT webhook_id, count(*) FROM fault_runs GROUP BY webhook_id";
        let rows: Vec<(String, i64)> = match self {
            Self::Postgres(server, _) => {
                let pool = PgPool::connect(&server.url()).await?;
                let rows = sqlx::query(select).fetch_all(&pool).await?;
                rows.iter().map(|row| (row.get(0), row.get(1))).collect()
            }
            Self::Sqlite(file) => {
                let mut connection = sqlite(file).connect().await?;
                let rows = sqlx::query(select).fetch_all(&mut connection).await?;
                rows.iter().map(|row| (row.get(0), row.get(1))).collect()
            }
            _ => return Ok(None),
        };
        Ok(Some(rows.into_iter().collect()))
    }

    /// Has jobs without a name looked for as soon as their start must be over. The inbox waits two minutes for that, as it
    /// does not know how long a start takes.
    pub(crate) async fn hurry_nameless(&self) -> Result<(), Error> {
        let update = "UPDATE gemini_webhooks_inbox_jobs SET ask_at = written_at + 15000
            WHERE id IS NULL AND state = 0 AND ask_at > written_at + 15000";
        match self {
            Self::Postgres(server, _) => {
                let mut connection = PgConnection::connect(&server.url()).await?;
                sqlx::query(update).execute(&mut connection).await?;
                connection.close().await?;
            }
            Self::Sqlite(file) => {
                let mut connection = sqlite(file).connect().await?;
                sqlx::query(update).execute(&mut connection).await?;
                connection.close().await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// What the inbox in it has given up, and how much it has still to do.
    pub(crate) async fn inbox(&self) -> Result<(Vec<DeadLetter>, u64), Error> {
        match self {
            Self::Postgres(server, _) => {
                let pool = PgPool::connect(&server.url()).await?;
                look_into(Inbox::postgres(pool).namespace(NAMESPACE).await?).await
            }
            Self::Sqlite(file) => {
                let url = format!("sqlite:{}", file.display());
                look_into(Inbox::sqlite(&url).namespace(NAMESPACE).await?).await
            }
            _ => Ok((Vec::new(), 0)),
        }
    }
}

async fn look_into<DB: Database>(inbox: Inbox<DB>) -> Result<(Vec<DeadLetter>, u64), Error> {
    let depth = inbox.depth().await?;
    let dead = inbox
        .entries()
        .state(State::Dead)
        .limit(10_000)
        .list()
        .await?;
    let letter = |entry: &gemini_webhooks_inbox::Entry| DeadLetter {
        webhook_id: entry.webhook_id().to_owned(),
        last: entry.history().last().map_or("", Change::why).to_owned(),
    };
    let waiting = depth.waiting + depth.running;
    Ok((dead.iter().map(letter).collect(), waiting))
}

fn sqlite(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(Duration::from_secs(10))
}

/// Another program writes for so long.
async fn lock(file: &Path, millis: u64) -> Result<&'static str, Error> {
    let mut connection = sqlite(file).connect().await?;
    sqlx::query("BEGIN IMMEDIATE")
        .execute(&mut connection)
        .await?;
    sleep(Duration::from_millis(millis)).await;
    sqlx::query("ROLLBACK").execute(&mut connection).await?;
    connection.close().await?;
    Ok("the database was locked")
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await?)
}

/// What both servers can.
trait Server {
    fn pause(&self);
    fn resume(&self);
    fn stop(&self);
    fn kill(&self);
    fn start_again(&self);
}

macro_rules! is_a_server {
    ($server:ty) => {
        impl Server for $server {
            fn pause(&self) {
                Self::pause(self);
            }
            fn resume(&self) {
                Self::resume(self);
            }
            fn stop(&self) {
                Self::stop(self);
            }
            fn kill(&self) {
                Self::kill(self);
            }
            fn start_again(&self) {
                Self::start_again(self);
            }
        }
    };
}

is_a_server!(RedisServer);
is_a_server!(PostgresServer);

/// What happened, if it did.
fn break_server(server: &impl Server, proxy: &Proxy, fault: StoreFault) -> Option<&'static str> {
    let wait = |millis| thread::sleep(Duration::from_millis(millis));
    Some(match fault {
        StoreFault::Pause(time) => {
            server.pause();
            wait(time);
            server.resume();
            "the store was paused"
        }
        StoreFault::Stop(time) => {
            server.stop();
            wait(time);
            server.start_again();
            "the store was stopped"
        }
        StoreFault::Kill(time) => {
            server.kill();
            wait(time);
            server.start_again();
            "the store was killed"
        }
        StoreFault::Cut(direction, bytes) => {
            let cuts = proxy.cuts();
            proxy.cut_at(direction, bytes);
            // Until it has happened, or nobody speaks.
            let happened = (0..200).any(|_| {
                wait(10);
                proxy.cuts() > cuts
            });
            proxy.pass();
            if !happened {
                return None;
            }
            "a connection to the store was cut"
        }
        StoreFault::CutAll => {
            proxy.cut();
            "all connections to the store were cut"
        }
        StoreFault::Hold(time) => {
            proxy.hold();
            wait(time);
            proxy.pass();
            "the network to the store held everything back"
        }
    })
}
