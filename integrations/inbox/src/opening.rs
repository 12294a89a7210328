//! How an inbox is opened.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{InboxError, InboxErrorKind};
use crate::inbox::Inbox;
use crate::store::{Database, is_up_to_date};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Google retries for a day, and a delivery may be on its way for a while.
const SHORTEST_MEMORY: Duration = Duration::from_secs(25 * 60 * 60);

/// What an inbox is set to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) namespace: Arc<str>,
    pub(crate) max_waiting: u64,
    pub(crate) timeout: Duration,
    pub(crate) keep_done: Duration,
    pub(crate) keep_dead: Duration,
}

type Opened<Link> = Pin<Box<dyn Future<Output = Result<Link, InboxError>> + Send>>;
/// Takes how many connections there may be, and whether the tables may be made.
type Open<Link> = Box<dyn FnOnce(u32, bool) -> Opened<Link> + Send>;

/// An inbox that is about to be opened: `await` it, after its settings if there are any.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks_inbox::Inbox;
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("webhooks.db");
/// # let file = file.to_str().ok_or("no text")?;
/// let inbox = Inbox::sqlite(file).namespace("orders").max_waiting(10_000).await?;
/// # drop(inbox);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
#[must_use = "it does nothing until it is awaited"]
pub struct Opening<DB: Database> {
    open: Open<DB::Link>,
    connections: u32,
    settings: Settings,
    migrate: bool,
}

impl<DB: Database> Opening<DB> {
    pub(crate) fn new<F>(open: impl FnOnce(u32, bool) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<DB::Link, InboxError>> + Send + 'static,
    {
        Self {
            open: Box::new(|connections, migrate| Box::pin(open(connections, migrate))),
            connections: 8,
            settings: Settings {
                namespace: "default".into(),
                max_waiting: 100_000,
                timeout: Duration::from_secs(2),
                keep_done: 7 * DAY,
                keep_dead: 30 * DAY,
            },
            migrate: true,
        }
    }

    /// Keeps this app's events apart from those of other apps in the same database. `default` if it is
    /// not set.
    ///
    /// It must be the same for all receivers and workers of an app. Give webhooks with secrets of their own a namespace
    /// each, unless you trust them alike: the end of a job is stored once, whoever reports it first.
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.settings.namespace = namespace.into();
        self
    }

    /// Takes no more events while so many wait or run. 100,000 if it is not set.
    ///
    /// Beyond it deliveries are answered 503, and Google retries. So a worker that is stuck does not fill
    /// the disk. Receivers that share a database count anew once a second, so a few more may get in.
    pub fn max_waiting(mut self, events: u64) -> Self {
        self.settings.max_waiting = events;
        self
    }

    /// Waits so long for the database when an event is to be stored. 2 seconds if it is not set.
    ///
    /// Then the delivery is answered 503. Google waits for a few seconds only.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Keeps events that were worked off for so long. 7 days if it is not set, and at least 25 hours: the
    /// inbox recognises copies by them.
    pub fn keep_done(mut self, time: Duration) -> Self {
        self.settings.keep_done = time;
        self
    }

    /// Keeps dead letters for so long. 30 days if it is not set, and at least 25 hours.
    pub fn keep_dead(mut self, time: Duration) -> Self {
        self.settings.keep_dead = time;
        self
    }

    /// Opens at most so many connections to the database. 8 if it is not set.
    pub fn connections(mut self, connections: u32) -> Self {
        self.connections = connections;
        self
    }

    /// Leaves the tables to you: make them by [`migration`](crate::migration) before.
    ///
    /// A database without them is left as it is, and an SQLite file that is not there is not made.
    pub fn without_migrating(mut self) -> Self {
        self.migrate = false;
        self
    }

    async fn open(self) -> Result<Inbox<DB>, InboxError> {
        let invalid = |text| Err(InboxError::new(InboxErrorKind::Invalid, text));
        let settings = self.settings;
        if settings.namespace.is_empty() || settings.namespace.contains('\0') {
            return invalid("the namespace of an inbox must be a text that is not empty");
        }
        if settings.max_waiting == 0 {
            return invalid("max_waiting is 0, so that no event could be stored");
        }
        if settings.timeout.is_zero() {
            return invalid("the timeout is 0, so that no event could be stored");
        }
        if settings.keep_done < SHORTEST_MEMORY || settings.keep_dead < SHORTEST_MEMORY {
            return invalid(
                "keep_done and keep_dead must be at least 25 hours: Google retries for 24, and the inbox recognises a \
                 copy by the event that it keeps",
            );
        }
        if self.connections == 0 {
            return invalid("connections is 0, so that the database could not be used");
        }
        let link = (self.open)(self.connections, self.migrate).await?;
        let failed = |error| InboxError::migration::<DB>(&link, error);
        match is_up_to_date::<DB>(&link).await.map_err(failed)? {
            Ok(true) => {}
            // The migrations will say what is wrong.
            Ok(false) | Err(_) if self.migrate => DB::migrate(&link).await.map_err(failed)?,
            Ok(false) => {
                return invalid(
                    "the inbox's tables are not there, or of an older version: run the SQL of `migration` before",
                );
            }
            Err(error) => return Err(InboxError::unavailable::<DB>(&link, error)),
        }
        Ok(Inbox::new(link, settings))
    }
}

impl<DB: Database> IntoFuture for Opening<DB> {
    type Output = Result<Inbox<DB>, InboxError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.open())
    }
}

impl<DB: Database> fmt::Debug for Opening<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opening")
            .field("settings", &self.settings)
            .field("connections", &self.connections)
            .field("migrate", &self.migrate)
            .finish_non_exhaustive()
    }
}

/// So long copies of an event may come, as the database takes it.
pub(crate) fn milliseconds(time: Duration) -> i64 {
    const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    i64::try_from(time.min(CENTURY).as_millis()).unwrap_or(i64::MAX)
}

/// Copies may come for a day at least, whatever a receiver is set to.
pub(crate) fn at_least_a_day(time: Duration) -> Duration {
    time.max(DAY + HOUR)
}
