//! What the inbox stores and works off in a second, beside an INSERT of the app's own and beside the
//! storages of the job engine; and what its watcher asks. On databases of its own; `scripts/bench-inbox` runs this.

use std::env;

use gemini_webhooks_benches::tasks::{Error, compare, compare_by};

mod app;
mod delay;
mod postgres;
mod sqlite;
mod watch;
mod workers;

use postgres::Postgres;
use sqlite::Sqlite;

/// Connections to the database, for each contender.
const POOL: u32 = 16;
/// More than is stored here.
const MAX_WAITING: u64 = 10_000_000;

#[tokio::main]
async fn main() -> Result<(), Error> {
    if let (Some("work"), Some(url)) = (env::args().nth(1).as_deref(), env::args().nth(2)) {
        return workers::work(&url).await;
    }
    // All parts, or those that are named.
    let named: Vec<_> = env::args().skip(1).collect();
    let has = |part: &str| named.is_empty() || named.iter().any(|named| named == part);
    if has("sqlite") {
        let store = Sqlite::start().await?;
        let title = "SQLite, WAL, synchronous FULL: deliveries stored";
        compare(title, store.contenders().await?).await?;
        compare_by(1, "SQLite, a lone sender", store.apps().await?).await?;
    }
    if has("postgres") {
        let store = Postgres::start().await?;
        let title = format!("PostgreSQL, pools of {POOL}: deliveries stored");
        compare(&title, store.contenders().await?).await?;
    }
    if has("delay") {
        println!("\nfrom the answer to the start of the work, on an idle worker");
        let store = Sqlite::start().await?;
        let (inbox, other) = (store.inbox().await?, store.inbox().await?);
        delay::measure("SQLite, in the same process", &inbox, &inbox).await?;
        delay::measure("SQLite, by another handle", &inbox, &other).await?;
        let store = Postgres::start().await?;
        let (inbox, other) = (store.inbox().await?, store.inbox().await?);
        delay::measure("PostgreSQL, in the same process", &inbox, &inbox).await?;
        delay::measure("PostgreSQL, by another handle", &inbox, &other).await?;
    }
    if has("workers") {
        let store = Postgres::start().await?;
        workers::measure(&store.url(), &store.inbox().await?).await?;
    }
    if has("watch") {
        watch::measure("SQLite", async || {
            let store = Sqlite::start().await?;
            Ok((store.inbox().await?, store))
        })
        .await?;
        watch::measure("PostgreSQL", async || {
            let store = Postgres::start().await?;
            Ok((store.inbox().await?, store))
        })
        .await?;
    }
    Ok(())
}
