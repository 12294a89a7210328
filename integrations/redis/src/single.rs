//! A connection to one server: the guard's own, or one of the app's.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use gemini_webhooks::replay::{GuardError, Reach};
use gemini_webhooks::{Clock as _, SystemClock};
use redis::aio::ConnectionManager;
use redis::{Client, Cmd, ErrorKind, RedisError, RedisResult, Value};
use tokio::time::timeout;

use crate::call::{Call, invoke};
use crate::error::{self, READONLY, explain, explain_no_connection};
use crate::scripts::Script;
use crate::settings::settings;

/// A server that does not answer for so long may be gone for good, while its system keeps the
/// connection open.
const SILENCE: Duration = Duration::from_secs(10);
/// A connection is not given up sooner.
const RENEWALS: Duration = Duration::from_secs(1);

/// A connection to one server, which is made anew when it breaks.
pub(crate) struct Single {
    pub(crate) server: Arc<str>,
    current: Mutex<Current>,
    /// Makes another manager. None if the app made this one.
    client: Option<Client>,
}

#[derive(Clone)]
pub(crate) struct Current {
    manager: ConnectionManager,
    made: Instant,
}

impl Single {
    pub(crate) fn new(server: String, manager: ConnectionManager, client: Option<Client>) -> Self {
        let current = Current {
            manager,
            made: SystemClock.monotonic(),
        };
        Self {
            server: server.into(),
            current: Mutex::new(current),
            client,
        }
    }

    /// Waits for a connection. If there is none, nothing has been sent.
    pub(crate) async fn open(&self) -> Result<Current, GuardError> {
        let mut again = true;
        loop {
            let mut current = self.current().clone();
            let failed = match connected(&mut current.manager).await {
                Ok(()) => return Ok(current),
                Err(failed) => failed,
            };
            // The manager tries again only after an error of the network, not for instance after a
            // password was refused.
            if !failed.error.is_io_error() {
                self.renew(&current);
            }
            // What an earlier request has found may be long ago.
            if !failed.earlier || !std::mem::take(&mut again) {
                return Err(explain_no_connection(&self.server, failed.error));
            }
        }
    }

    pub(crate) async fn run(
        &self,
        script: &Script,
        call: &Call,
        reach: &Reach,
    ) -> Result<RedisResult<Value>, GuardError> {
        let current = self.open().await?;
        reach.sent();
        let mut manager = current.manager.clone();
        let mut answer = pin!(invoke(&mut manager, script, call));
        let answer = match timeout(SILENCE, answer.as_mut()).await {
            Ok(answer) => answer,
            Err(_) => {
                self.renew(&current);
                // It may be carried out yet, and then this connection says so.
                answer.await
            }
        };
        if let Err(error) = &answer {
            if error::is_answer(error) {
                reach.refused();
            }
            // The address may lead to the new master by now.
            if error::has_code(error, READONLY) {
                self.renew(&current);
            }
        }
        Ok(answer)
    }

    pub(crate) async fn ask(&self, command: &Cmd) -> Result<RedisResult<Value>, GuardError> {
        let mut current = self.open().await?;
        match command.query_async(&mut current.manager).await {
            Err(error) if !error::is_answer(&error) => Err(explain(&self.server, error)),
            answer => Ok(answer),
        }
    }

    /// Gives up a connection, unless that was done already. Who waits on it goes on waiting.
    fn renew(&self, old: &Current) {
        let now = SystemClock.monotonic();
        let mut current = self.current();
        let is_old = current.made == old.made;
        if let Some(client) = &self.client
            && is_old
            && now.saturating_duration_since(current.made) >= RENEWALS
            && let Ok(manager) = ConnectionManager::new_lazy_with_config(client.clone(), settings())
        {
            *current = Current { manager, made: now };
        }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no connection.
struct NoConnection {
    error: RedisError,
    /// Whether an earlier request has found this.
    earlier: bool,
}

/// Waits until a manager has a connection.
async fn connected(manager: &mut ConnectionManager) -> Result<(), NoConnection> {
    // The driver waits for the connection, and then sees that there is nothing to send.
    let nothing = redis::pipe();
    let mut waiting = pin!(manager.send_packed_commands(&nothing, 0, 0));
    let first = poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await;
    let earlier = first.is_ready();
    let answer = match first {
        Poll::Ready(answer) => answer,
        Poll::Pending => waiting.await,
    };
    match answer {
        Err(error) if error.kind() != ErrorKind::Client => Err(NoConnection { error, earlier }),
        _ => Ok(()),
    }
}
