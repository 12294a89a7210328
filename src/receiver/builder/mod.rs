//! The settings of a receiver, and their defaults.

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
pub(super) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Google tries for a day; and a margin.
const DEFAULT_RETENTION: Duration = Duration::from_secs(25 * 60 * 60);
const DEFAULT_GUARD_TIMEOUT: Duration = Duration::from_secs(2);
#[cfg(feature = "jwks")]
const DEFAULT_MAX_STALE: Duration = DAY;

/// Builds a [`WebhookReceiver`](crate::WebhookReceiver) from its settings.
///
/// Only the keys have no default: give a signing secret, public keys, or both. A method that sets a
/// value replaces what an earlier call set. A method that adds something, such as
/// [`signing_secret`](Self::signing_secret), may be called several times.
///
/// Invalid settings do not panic: [`build`](Self::build) returns the first one as a
/// [`ConfigError`].
///
/// ```
/// use std::time::Duration;
/// use gemini_webhooks::{EndpointToken, VerifyErrorKind, WebhookReceiver};
///
/// let receiver = WebhookReceiver::builder()
///     .signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
///     .endpoint_token(EndpointToken::generate()?)
///     .max_body_bytes(16 * 1024)
///     .handler_timeout(Duration::from_secs(10))
///     .status(VerifyErrorKind::SignatureMismatch, 401)
///     .build()?;
///
/// let mistake = WebhookReceiver::builder()
///     .signing_secret("<your-secret>")
///     .build()
///     .unwrap_err();
/// assert!(mistake.to_string().contains("is a placeholder"));
/// # Ok::<(), gemini_webhooks::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct WebhookReceiverBuilder {
    keyrings: Vec<Keyring>,
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
    once_per_job: bool,
    endpoint_tokens: EndpointTokens,
    tolerance: Duration,
    max_body_bytes: usize,
    max_buffered_bytes: usize,
    body_timeout: Duration,
    handler_timeout: Duration,
    statuses: Vec<(VerifyErrorKind, u16)>,
    log_refused_deliveries: bool,
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
            keyrings: Vec::new(),
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
            once_per_job: false,
            endpoint_tokens: EndpointTokens::default(),
            tolerance: DEFAULT_TOLERANCE,
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            max_buffered_bytes: DEFAULT_MAX_BUFFERED_BYTES,
            body_timeout: DEFAULT_BODY_TIMEOUT,
            handler_timeout: DEFAULT_HANDLER_TIMEOUT,
            statuses: Vec::new(),
            log_refused_deliveries: false,
            clock: Arc::new(SystemClock),
            mistake: None,
        }
    }
}

impl WebhookReceiverBuilder {
    /// Sets the guard, which remembers the events that are handled or being handled.
    ///
    /// By default each receiver has a [`MemoryGuard`](crate::replay::MemoryGuard) of its own. That is
    /// enough for one process. It forgets everything when the process ends, and replicas do not share
    /// it.
    ///
    /// `namespace` separates the apps and environments that share a guard. It must be the same on all
    /// replicas of an app. It must differ between apps, and between staging and production, or one
    /// would take the other's events for its own duplicates. It must also differ between webhooks
    /// with secrets of their own: whoever can sign for a namespace can use up its ids. All receivers
    /// of a namespace need the same [`lease`](Self::lease), [`retention`](Self::retention) and
    /// [`handler_timeout`](Self::handler_timeout). It must not be empty
    /// ([`ConfigError::NamespaceEmpty`]).
    ///
    /// ```
    /// use gemini_webhooks::WebhookReceiver;
    /// use gemini_webhooks::replay::MemoryGuard;
    ///
    /// let receiver = WebhookReceiver::builder()
    ///     .signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ///     .guard("orders-production", MemoryGuard::new().with_capacity(10_000_000))
    ///     .build()?;
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    pub fn guard(mut self, namespace: impl AsRef<str>, guard: impl ReplayGuard) -> Self {
        let namespace = namespace.as_ref();
        if namespace.is_empty() {
            return self.mistaken(ConfigError::NamespaceEmpty);
        }
        self.guard = Guard::Given(namespace.into(), Arc::new(guard));
        self
    }

    /// Turns the guard off: **every duplicate and every retry of an event reaches the handler.**
    ///
    /// Use this only if your handler does no harm when it runs several times for one event.
    /// [`Delivery::hand_over_claim`](crate::Delivery::hand_over_claim) then returns `None`.
    pub fn without_replay_protection(mut self) -> Self {
        self.guard = Guard::None;
        self
    }

    /// Sets how long a claim holds if the process that made it dies. 120 seconds by default.
    ///
    /// Before the handler runs, a delivery *claims* its event: it marks the event as being handled.
    /// If the process dies, nobody ends the claim. When the lease is over, another delivery may claim
    /// the event; until then it is answered 409.
    ///
    /// The lease must be longer than [`handler_timeout`](Self::handler_timeout) plus twice
    /// [`guard_timeout`](Self::guard_timeout), one to claim and one to settle. Otherwise a retry
    /// could run beside the handler, and [`build`](Self::build) returns
    /// [`ConfigError::LeaseTooShort`].
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Sets how long a handled event is remembered. 25 hours by default.
    ///
    /// Google retries for 24 hours (Google's guide, copies up to 2026-10-05). With less than that, a
    /// retry can be handled again, and `build` logs a warning.
    ///
    /// The retention must be at least twice the [`tolerance`](Self::tolerance), or a recorded
    /// delivery could be replayed; `build` then returns [`ConfigError::RetentionTooShort`]. The
    /// event of a JWT is remembered at least as long as that JWT is accepted.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Sets how long to wait for the guard each time. 2 seconds by default.
    ///
    /// If the guard does not answer the claim in time, the delivery is answered 503
    /// ([`VerifyErrorKind::GuardUnavailable`]). If it does not answer afterwards, the handler's
    /// answer is sent, and the guard is asked again in the background while the lease lasts.
    ///
    /// After three time-outs in a row, deliveries are answered 503 at once, and one of them asks the
    /// guard again after 1 second, then 2, 4, and every 8. At most 32 claims ask a guard at a time;
    /// others wait for half of this time before they ask.
    pub fn guard_timeout(mut self, timeout: Duration) -> Self {
        self.guard_timeout = timeout;
        self
    }

    /// Runs the handler even if the guard fails. By default the answer is then 503.
    ///
    /// **While the guard is down, duplicates and retries reach the handler.**
    pub fn handle_unclaimed_while_guard_fails(mut self) -> Self {
        self.handle_unclaimed = true;
        self
    }

    /// Sets how far a timestamp may be from now, in either direction. 5 minutes by default.
    ///
    /// Fractions of a second are dropped, and less than a second is [`ConfigError::Zero`]. Google's
    /// guide (copies up to 2026-10-05) asks receivers to refuse deliveries that are older than 5
    /// minutes. The tolerance limits how long a recorded delivery can be replayed, so do not raise it
    /// to make up for a wrong clock.
    pub fn tolerance(mut self, tolerance: Duration) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Sets how long a body may be, in bytes. 64 KiB by default.
    ///
    /// A longer one is answered 413 ([`VerifyErrorKind::BodyTooLarge`]). Google's payloads have a few
    /// hundred bytes. Raise the limit if you put large `user_metadata` into jobs.
    pub fn max_body_bytes(mut self, bytes: usize) -> Self {
        self.max_body_bytes = bytes;
        self
    }

    /// Sets how many bytes the bodies of all deliveries in flight may hold. 256 MiB by default.
    ///
    /// A body counts from its first byte until its handler is done. When the limit is reached, a
    /// delivery is answered 503 ([`VerifyErrorKind::Overloaded`]).
    ///
    /// A body that arrives in several parts is kept in pieces of 8 KiB, so it can take up to 8 KiB
    /// more memory than is counted. The buffers that your HTTP server keeps for each connection are
    /// not counted: limit the number of connections there.
    pub fn max_buffered_bytes(mut self, bytes: usize) -> Self {
        self.max_buffered_bytes = bytes;
        self
    }

    /// Sets how long a body may take to arrive. 10 seconds by default.
    ///
    /// A slower one is answered 408 ([`VerifyErrorKind::BodyTimeout`]).
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.body_timeout = timeout;
        self
    }

    /// Sets how long the handler may run. 30 seconds by default.
    ///
    /// A handler that takes longer is dropped, the answer is 503
    /// ([`VerifyErrorKind::HandlerTimeout`]), and the event is handled again when Google retries.
    /// Google waits a few seconds only (Google's guide, copies up to 2026-10-05). So do not raise
    /// this for long work: store the event durably, answer, and do the work elsewhere.
    ///
    /// A handler can be dropped only where it awaits. One that blocks its thread goes on. If it takes
    /// longer than the [`lease`](Self::lease), a retry can run beside it, and an error is logged when
    /// it ends. Work that the handler gave to `spawn_blocking` or `tokio::spawn` goes on as well when
    /// the handler is dropped, and the retry can run beside that.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.handler_timeout = timeout;
        self
    }

    /// Answers one kind of error with another status, from 400 to 599.
    ///
    /// Any other status is [`ConfigError::StatusNotAnError`]. The last call for a kind wins.
    /// [`VerifyErrorKind`] lists the default status of each kind.
    pub fn status(mut self, kind: VerifyErrorKind, status: u16) -> Self {
        if (400..600).contains(&status) {
            self.statuses.push((kind, status));
            self
        } else {
            self.mistaken(ConfigError::StatusNotAnError { status })
        }
    }

    /// Handles the end of each job once, whoever reports it.
    ///
    /// By default an event is recognised by its id, so two webhooks report one job in two events, each with an id of its
    /// own: for instance two registered webhooks that lead to one URL, or a static and a dynamic one. With this
    /// setting the job is the key, in all schemes. The receivers that are to share it need the same guard and the same
    /// namespace, and all of them this setting: while replicas with and without it run side by side, an event can be
    /// handled twice.
    ///
    /// It concerns the events that end a job ([`GeminiEvent::ended_job`](crate::GeminiEvent::ended_job)); others are
    /// recognised by their id as always. The first event that ends a job wins. An app that remembers events itself
    /// ([`without_replay_protection`](Self::without_replay_protection)) does the same with `ended_job`.
    ///
    /// ```
    /// use gemini_webhooks::WebhookReceiver;
    ///
    /// let receiver = WebhookReceiver::builder()
    ///     .signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ///     .once_per_job()
    ///     .build()?;
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    pub fn once_per_job(mut self) -> Self {
        self.once_per_job = true;
        self
    }

    /// Keeps a delivery whose signature does not fit in its line of the log, to find out what changed it.
    ///
    /// The line then has a field `capture`: the three headers and the body, as one word. The program
    /// [`gemini-webhooks verify`](https://docs.rs/gemini-webhooks-cli) finds it in a log of any form, and says what most
    /// probably happened. It needs the feature `tracing`.
    ///
    /// It is off by default, because the body has what your events say, and anyone can make the log longer: at most one
    /// delivery a second is kept, of at most 9 KiB, which are 12 KiB in the log. Who reads the log within the tolerance can send a kept
    /// delivery again, if its body is put right. That is an event of Google's all the same, which reaches your handler
    /// once.
    ///
    /// ```
    /// use gemini_webhooks::WebhookReceiver;
    ///
    /// let receiver = WebhookReceiver::builder()
    ///     .signing_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    ///     .log_refused_deliveries()
    ///     .build()?;
    /// # Ok::<(), gemini_webhooks::ConfigError>(())
    /// ```
    pub fn log_refused_deliveries(mut self) -> Self {
        self.log_refused_deliveries = true;
        self
    }

    /// Sets the clock that this receiver reads, for tests. The system's clock by default.
    ///
    /// The default guard uses it too. A guard that you pass to [`guard`](Self::guard) has its own.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Keeps a mistake for `build`, which returns the first one.
    fn mistaken(mut self, mistake: ConfigError) -> Self {
        self.mistake.get_or_insert(mistake);
        self
    }
}
