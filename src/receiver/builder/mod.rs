//! Configuration, with its defaults.

use std::sync::Arc;
use std::time::Duration;

use super::Acceptance;
#[cfg(feature = "jwks")]
use super::keys::KeysFrom;
use crate::clock::{Clock, SystemClock};
use crate::endpoint::EndpointTokens;
use crate::error::{ConfigError, VerifyErrorKind};
use crate::replay::ReplayGuard;
use crate::secret::Keyring;
use crate::verifier::DEFAULT_TOLERANCE;

mod build;
#[cfg(test)]
mod tests;
mod trust;

/// Payloads are thin, a few hundred bytes.
const DEFAULT_MAX_BODY_BYTES: usize = 64 * 1024;
const DEFAULT_MAX_BUFFERED_BYTES: usize = 256 * 1024 * 1024;
const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(10);
const DEFAULT_HANDLER_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_LEASE: Duration = Duration::from_secs(120);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Google tries for a day; and a margin.
const DEFAULT_RETENTION: Duration = Duration::from_secs(25 * 60 * 60);
const DEFAULT_GUARD_TIMEOUT: Duration = Duration::from_secs(2);
#[cfg(feature = "jwks")]
const DEFAULT_MAX_STALE: Duration = DAY;

/// Builds a [`WebhookReceiver`](crate::WebhookReceiver).
///
/// A mistake, such as a secret that is none, is kept and returned by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookReceiverBuilder {
    keyring: Option<Keyring>,
    #[cfg(feature = "jwks")]
    keys: Option<KeysFrom>,
    #[cfg(feature = "jwks")]
    max_stale: Duration,
    #[cfg(feature = "jwks")]
    any_google_project: bool,
    #[cfg(feature = "jwt")]
    audiences: Vec<String>,
    #[cfg(feature = "jwt")]
    issuer: Option<String>,
    acceptance: Acceptance,
    guard: Guard,
    lease: Duration,
    retention: Duration,
    guard_timeout: Duration,
    handle_unclaimed: bool,
    endpoint_tokens: EndpointTokens,
    tolerance: Duration,
    max_body_bytes: usize,
    max_buffered_bytes: usize,
    body_timeout: Duration,
    handler_timeout: Duration,
    statuses: Vec<(VerifyErrorKind, u16)>,
    clock: Arc<dyn Clock>,
    mistake: Option<ConfigError>,
}

/// What remembers events.
#[derive(Clone, Debug)]
enum Guard {
    /// A memory guard of the receiver's own.
    Memory,
    Given(Arc<str>, Arc<dyn ReplayGuard>),
    None,
}

impl Default for WebhookReceiverBuilder {
    fn default() -> Self {
        Self {
            keyring: None,
            #[cfg(feature = "jwks")]
            keys: None,
            #[cfg(feature = "jwks")]
            max_stale: DEFAULT_MAX_STALE,
            #[cfg(feature = "jwks")]
            any_google_project: false,
            #[cfg(feature = "jwt")]
            audiences: Vec::new(),
            #[cfg(feature = "jwt")]
            issuer: None,
            acceptance: Acceptance::default(),
            guard: Guard::Memory,
            lease: DEFAULT_LEASE,
            retention: DEFAULT_RETENTION,
            guard_timeout: DEFAULT_GUARD_TIMEOUT,
            handle_unclaimed: false,
            endpoint_tokens: EndpointTokens::default(),
            tolerance: DEFAULT_TOLERANCE,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_buffered_bytes: DEFAULT_MAX_BUFFERED_BYTES,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            handler_timeout: DEFAULT_HANDLER_TIMEOUT,
            statuses: Vec::new(),
            clock: Arc::new(SystemClock),
            mistake: None,
        }
    }
}

impl WebhookReceiverBuilder {
    /// Remembers events with this guard, so that each is handled once. A [`MemoryGuard`](crate::replay::MemoryGuard) of the
    /// receiver's own by default, which is enough for one process and forgets when it ends.
    ///
    /// `namespace` tells apart what shares a guard: apps, and the environments of one. It must be
    /// the same on all replicas, and another in staging than in production, or they would swallow
    /// each other's events.
    pub fn guard(mut self, namespace: impl AsRef<str>, guard: impl ReplayGuard) -> Self {
        let namespace = namespace.as_ref();
        if namespace.is_empty() {
            return self.mistaken(ConfigError::NamespaceEmpty);
        }
        self.guard = Guard::Given(namespace.into(), Arc::new(guard));
        self
    }

    /// Remembers nothing: **each copy and each retry of an event reaches the handler**, which must
    /// see to it that this does no harm.
    pub fn without_replay_protection(mut self) -> Self {
        self.guard = Guard::None;
        self
    }

    /// How long an event may be in flight before another delivery of it may be handled: what a
    /// process that died in between holds up. 120 seconds by default; longer than
    /// [`handler_timeout`](Self::handler_timeout) and twice
    /// [`guard_timeout`](Self::guard_timeout), for claim and settle.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// How long a handled event is remembered. 25 hours by default: Google tries for a day. At least
    /// twice the [`tolerance`](Self::tolerance); a token is remembered as long as it is accepted.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// How long an answer of the guard is waited for. 2 seconds by default. Beyond, 503.
    pub fn guard_timeout(mut self, timeout: Duration) -> Self {
        self.guard_timeout = timeout;
        self
    }

    /// Handles an event although the guard cannot answer, instead of 503: **while the guard is
    /// down, copies and retries reach the handler.**
    pub fn handle_unclaimed_while_guard_fails(mut self) -> Self {
        self.handle_unclaimed = true;
        self
    }

    /// How far the timestamp may be off, either way, in whole seconds. Five minutes by default,
    /// as Google's guide asks.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// How long a body may be, in bytes. 64 KiB by default. Beyond, 413.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// How much all deliveries in flight may hold together, in bytes of their bodies, from the
    /// first byte until the handler is done. 256 MiB by default. Beyond, 503.
    ///
    /// A body in parts is kept in pieces of 8 KiB, so each may hold that much more than is counted.
    /// Not counted is what your HTTP server keeps for each connection. Bound the number of
    /// connections there.
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.max_buffered_bytes = bytes;
        self
    }

    /// How long the body may take to arrive. 10 seconds by default. Beyond, 408.
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// How long the handler may take, from its start. 30 seconds by default. Beyond, it is dropped
    /// and 503 is answered. Google waits a few seconds only: put the event into a queue, answer, and
    /// do the work elsewhere.
    ///
    /// Only a handler that waits for something can be dropped. One that blocks its thread goes on;
    /// if it takes longer than the [`lease`](Self::lease), a retry runs beside it, and the log says
    /// so in an error when it ends. What a handler gave to `spawn_blocking` or to a task of its own
    /// goes on when the handler is dropped, and its retry runs beside that, too.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = timeout;
        self
    }

    /// Answers errors of one kind with another status, 400 to 599. Of several for one kind the
    /// last counts.
    pub fn status(mut self, kind: VerifyErrorKind, status: u16) -> Self {
        if (400..600).contains(&status) {
            self.statuses.push((kind, status));
            self
        } else {
            self.mistaken(ConfigError::StatusNotAnError { status })
        }
    }

    /// Where the time comes from; for tests. The system's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// The first mistake is the one to tell.
    fn mistaken(mut self, mistake: ConfigError) -> Self {
        self.mistake.get_or_insert(mistake);
        self
    }
}
