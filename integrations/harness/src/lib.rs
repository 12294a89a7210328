//! Real servers for the tests of the stores, a proxy that cuts their connections, and load balancers.
//! For Linux.
//!
//! A test starts a server of its own, on a free port, with data of its own, and may pause, kill and
//! start it again:
//!
//! ```
//! use gemini_webhooks_harness::{Direction, Proxy, RedisServer};
//!
//! let server = RedisServer::start_with(&["--appendonly", "yes", "--appendfsync", "always"]);
//! let proxy = Proxy::start(server.port());
//! let url = proxy.through(&server.url());
//! # assert!(url.contains(&proxy.port().to_string()));
//!
//! // The next command reaches the server, and its answer is lost.
//! proxy.cut_at(Direction::ToClient, 0);
//! server.kill();
//! server.start_again();
//! ```
//!
//! All of it ends when the value is dropped, and also when the test's process dies, by whatever
//! means. Whatever fails here panics and says why.
//!
//! What pauses, kills, starts or waits blocks its thread, for some milliseconds up to a few seconds,
//! so an asynchronous test may call it where nothing else of the test has to go on meanwhile.
//!
//! A test that needs no server of its own takes [`database_url`] or [`redis_url`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod balancer;
mod cluster;
mod nats;
mod port;
mod postgres;
mod process;
mod proxy;
mod redis;
mod resp;

pub use balancer::Balancer;
pub use cluster::RedisCluster;
pub use nats::NatsServer;
pub use port::Port;
pub use postgres::PostgresServer;
pub use proxy::{Direction, Proxy};
pub use redis::RedisServer;

/// The PostgreSQL that all tests share, from `DATABASE_URL`.
///
/// # Panics
///
/// Unless the variable is set to the URL of a PostgreSQL.
#[must_use]
pub fn database_url() -> String {
    shared("DATABASE_URL", "postgres")
}

/// The Redis that all tests share, from `REDIS_URL`.
///
/// # Panics
///
/// Unless the variable is set to the URL of a Redis.
#[must_use]
pub fn redis_url() -> String {
    shared("REDIS_URL", "redis")
}

fn shared(variable: &str, scheme: &str) -> String {
    match std::env::var(variable) {
        Ok(url) if url.starts_with(scheme) => url,
        Ok(_) => panic!(
            "{variable} does not start with `{scheme}`; set it to a server for tests, or run scripts/test"
        ),
        Err(_) => panic!(
            "{variable} is not set; run scripts/test, which starts a server, or set it to a server for tests"
        ),
    }
}
