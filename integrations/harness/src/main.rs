//! Starts the servers that the tests share, says where they are, and ends them when standard input
//! closes. `scripts/with-stores` runs it.

use std::io::{self, Write as _};

use gemini_webhooks_harness::{PostgresServer, RedisServer};

fn main() -> io::Result<()> {
    let unless_set = |variable: &str, scheme: &str| {
        !std::env::var(variable).is_ok_and(|url| url.starts_with(scheme))
    };
    let redis = unless_set("REDIS_URL", "redis").then(RedisServer::start);
    let postgres = unless_set("DATABASE_URL", "postgres").then(PostgresServer::start);

    let urls = redis
        .iter()
        .map(|server| format!("REDIS_URL={}", server.url()))
        .chain(
            postgres
                .iter()
                .map(|server| format!("DATABASE_URL={}", server.url())),
        );
    writeln!(io::stdout(), "{}", urls.collect::<Vec<_>>().join(" "))?;
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
