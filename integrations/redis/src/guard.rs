use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, ReplayGuard, Settled,
};
use redis::Value;
use redis::aio::ConnectionManager;
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;

use crate::call::Call;
use crate::error::not_ours;
use crate::link::Link;
use crate::ready;
use crate::scripts::{self, NotOurs, Script, Scripts};

/// A guard that remembers events in Redis or Valkey, for all replicas of an app.
///
/// [`connect`](Self::connect) takes a URL, and is what most apps want. A guard can also be made
/// [from](From) a [`ConnectionManager`] of the app's, or from a cluster connection (feature `cluster`).
/// The [crate's page](crate) says what the guard guarantees.
///
/// It is cheap to clone, and all clones share the connection. Its `Debug` shows no password.
///
/// ```no_run
/// use gemini_webhooks::WebhookReceiver;
/// use gemini_webhooks_redis::RedisGuard;
///
/// # async fn receiver(secret: &str) -> Result<WebhookReceiver, Box<dyn std::error::Error>> {
/// let guard = RedisGuard::connect("redis://:password@redis.example").await?;
/// let receiver = WebhookReceiver::builder()
///     .signing_secret(secret)
///     .guard("orders-production", guard)
///     .build()?;
/// // Logs what an operator should know about the server, such as that it may evict keys.
/// receiver.ready().await?;
/// # Ok(receiver)
/// # }
/// ```
#[derive(Clone)]
pub struct RedisGuard {
    link: Link,
    scripts: Arc<Scripts>,
}

impl RedisGuard {
    /// Connects to the server at `url`, such as `redis://user:password@host:6379/0`.
    ///
    /// `rediss:` is with TLS (feature `tls-rustls`), `unix:` is a socket, and `valkey:` is the same as
    /// `redis:`. The server must take writes. For a Redis Cluster, make the guard from a cluster
    /// connection.
    ///
    /// The guard has a connection of its own, and connects anew if the connection breaks, if the server
    /// says that it has become a replica, or if a request got no answer for ten seconds. It waits for
    /// answers as long as the receiver does. It speaks RESP3, unless the URL ends in
    /// `?protocol=resp2`.
    ///
    /// # Errors
    ///
    /// If the URL is invalid, the server cannot be reached, or it refuses the password. The
    /// [`ready`](ReplayGuard::ready) of the guard checks the rest.
    pub async fn connect(url: &str) -> Result<Self, GuardError> {
        Link::connect(url).await.map(Self::over)
    }

    fn over(link: Link) -> Self {
        let scripts = Arc::new(Scripts::new());
        Self { link, scripts }
    }

    fn ask<T: 'static>(
        &self,
        script: fn(&Scripts) -> &Script,
        call: Call,
        read: fn(&Value) -> Result<T, NotOurs>,
    ) -> GuardFuture<T> {
        let Self { link, scripts } = self.clone();
        GuardFuture::tracked(|reach| async move {
            let answer = link.run(script(&scripts), &call, &reach).await?;
            read(&answer).map_err(|what| not_ours(link.server(), what, &call.key))
        })
    }
}

/// Makes a guard that uses a connection of the app's.
///
/// The manager's settings hold, and three things matter:
///
/// - It waits for an answer for half a second by default. If the answer comes later, the delivery has
///   been answered 503, and the receiver has to release the claim without knowing whether it was made.
/// - It connects anew only if the connection breaks. Set a keepalive and a user timeout for TCP, as
///   [`connect`](RedisGuard::connect) does: without them it may take minutes until an outage of the
///   network breaks it. If the server becomes a replica and leaves the connection open, make a new
///   manager and a new guard.
/// - If the server refuses an attempt to connect, for instance because the password is being changed,
///   redis 1.8 makes no other attempt: make a new manager.
impl From<ConnectionManager> for RedisGuard {
    fn from(manager: ConnectionManager) -> Self {
        Self::over(Link::managed(manager))
    }
}

/// Makes a guard that uses a connection to a Redis Cluster.
///
/// The connection's settings hold. Leave it some `retries`: the driver counts each redirection to
/// another node as one. It also sends a request again if its connection breaks. That does no harm,
/// because a claim, a settle and a release have the same effect twice as once.
#[cfg(feature = "cluster")]
#[cfg_attr(docsrs, doc(cfg(feature = "cluster")))]
impl From<ClusterConnection> for RedisGuard {
    fn from(connection: ClusterConnection) -> Self {
        Self::over(Link::cluster(connection))
    }
}

impl fmt::Debug for RedisGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisGuard")
            .field("server", &self.link.server())
            .finish_non_exhaustive()
    }
}

impl ReplayGuard for RedisGuard {
    fn claim(&self, key: &ClaimKey, token: ClaimToken, lease: Duration) -> GuardFuture<Claimed> {
        let call = Call::new(key, token, Some(lease));
        self.ask(|scripts| &scripts.claim, call, scripts::claimed)
    }

    fn settle(
        &self,
        key: &ClaimKey,
        token: ClaimToken,
        retention: Duration,
    ) -> GuardFuture<Settled> {
        let call = Call::new(key, token, Some(retention));
        self.ask(|scripts| &scripts.settle, call, scripts::settled)
    }

    fn release(&self, key: &ClaimKey, token: ClaimToken) -> GuardFuture<()> {
        let call = Call::new(key, token, None);
        self.ask(|scripts| &scripts.release, call, scripts::released)
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        let Self { link, scripts } = self.clone();
        GuardFuture::boxed(async move { ready::check(&link, &scripts).await })
    }
}
