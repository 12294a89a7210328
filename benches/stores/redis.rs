//! Redis, and its driver by itself.

use std::sync::Arc;

use gemini_webhooks::replay::ReplayGuard;
use gemini_webhooks_benches::tasks::{Contender, Error, compare};
use gemini_webhooks_harness::RedisServer;
use gemini_webhooks_redis::RedisGuard;
use gemini_webhooks_redis::redis::aio::ConnectionManager;
use gemini_webhooks_redis::redis::{Client, cmd, pipe};

use super::{FEW_ROWS, LEASE, RETENTION, handled, key};

pub(crate) struct Redis {
    // Ends with this value.
    _server: RedisServer,
    connection: ConnectionManager,
}

impl Redis {
    pub(crate) async fn start(arguments: &[&str]) -> Result<Self, Error> {
        let server = RedisServer::start_with(arguments);
        let connection = ConnectionManager::new(Client::open(server.url())?).await?;
        Ok(Self {
            _server: server,
            connection,
        })
    }

    pub(crate) fn guard(&self) -> RedisGuard {
        RedisGuard::from(self.connection.clone())
    }

    pub(crate) fn contenders(&self) -> Vec<Contender> {
        let connection = self.connection.clone();
        let bare = Contender::new("the driver: SET NX PX, SET PX", move |number| {
            let mut connection = connection.clone();
            async move {
                // As long as the key and the value of the guard.
                let key = [&b"plain-webhooks:"[..], &key(number).to_bytes()].concat();
                let value = [1_u8; 17];
                let (lease, retention) = (LEASE.as_millis(), RETENTION.as_millis());
                let mut claim = cmd("SET");
                claim
                    .arg(&key)
                    .arg(&value[..])
                    .arg("NX")
                    .arg("PX")
                    .arg(u64::try_from(lease)?);
                let claimed: Option<String> = claim.query_async(&mut connection).await?;
                claimed.ok_or("it was there")?;
                let mut settle = cmd("SET");
                settle
                    .arg(&key)
                    .arg(&value[..])
                    .arg("PX")
                    .arg(u64::try_from(retention)?);
                settle.query_async::<()>(&mut connection).await?;
                Ok(())
            }
        });
        vec![bare, handled("RedisGuard", self.shared(), 0)]
    }

    fn shared(&self) -> Arc<dyn ReplayGuard> {
        Arc::new(self.guard())
    }

    pub(crate) async fn grow(&self, rows: u64) -> Result<(), Error> {
        let mut connection = self.connection.clone();
        for (number, rows) in [FEW_ROWS, rows].into_iter().enumerate() {
            cmd("FLUSHALL")
                .arg("ASYNC")
                .query_async::<()>(&mut connection)
                .await?;
            for from in (0..rows).step_by(1_000) {
                let mut batch = pipe();
                for number in from..rows.min(from + 1_000) {
                    let key = [&b"gemini-webhooks:"[..], &key(number).to_bytes()].concat();
                    let value = [b's'; 17];
                    batch
                        .cmd("SET")
                        .arg(key)
                        .arg(&value[..])
                        .arg("EX")
                        .arg(90_000)
                        .ignore();
                }
                batch.query_async::<()>(&mut connection).await?;
            }
            let first = (1 << 40) << number;
            let title = format!("Redis with {rows} rows");
            compare(&title, vec![handled("RedisGuard", self.shared(), first)]).await?;
        }
        Ok(())
    }
}
