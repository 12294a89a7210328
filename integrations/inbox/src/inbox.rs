//! The inbox itself: what is stored, and how it is asked about.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::replay::ClaimKey;
use gemini_webhooks::{Clock as _, Delivery, GeminiEvent, SystemClock};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::entries::Entries;
use crate::error::{InboxError, InboxErrorKind};
use crate::metrics;
use crate::opening::{Opening, Settings, at_least_a_day, milliseconds};
use crate::receipt::{HandlerFuture, Receipt};
use crate::room::{Answer, Place, Room};
use crate::store::{Database, Value};
use crate::worker::Worker;

/// A durable inbox: events are stored when they arrive, and worked off later, at least once each.
///
/// [`handler`](Self::handler) stores, [`worker`](Self::worker) works off. Both may be in one process or in
/// many. It is cheap to clone, and all clones are the same inbox.
pub struct Inbox<DB: Database> {
    pub(crate) shared: Arc<Shared<DB>>,
}

pub(crate) struct Shared<DB: Database> {
    pub(crate) link: DB::Link,
    pub(crate) settings: Settings,
    room: Room,
    /// Wakes a worker in the same process: others look now and then.
    pub(crate) stored: Notify,
}

/// Whether an event was new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stored {
    /// It was stored just now.
    New,
    /// It had been stored before: this is a copy.
    Copy,
}

/// How much there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Depth {
    /// Events that wait for a run.
    pub waiting: u64,
    /// Events that a worker has.
    pub running: u64,
    /// Dead letters.
    pub dead: u64,
    /// For how long the oldest of those that wait or run has been here.
    pub oldest: Option<Duration>,
}

#[cfg(feature = "sqlite")]
impl Inbox<sqlx::Sqlite> {
    /// Opens an inbox in an SQLite database: a path such as `webhooks.db`, or a URL that begins with
    /// `sqlite:`. The file is made if it is not there.
    ///
    /// Several processes on one machine may share the file. It must not be on a network's file system.
    pub fn sqlite(database: &str) -> Opening<sqlx::Sqlite> {
        let database = database.to_owned();
        Opening::new(async move |connections, migrate| {
            use crate::store::sqlite::{Link, is_missing};
            if database.is_empty() || database.contains(":memory:") {
                return Err(InboxError::new(
                    InboxErrorKind::Invalid,
                    "an inbox must be in a file: in memory its events would be lost with the process",
                ));
            }
            let opened = Link::open(&database, connections, migrate).await;
            opened.map_err(|error| {
                if !migrate && is_missing(&error) {
                    let text = format!(
                        "there is no SQLite database {database} that could be opened: run the SQL of `migration` before"
                    );
                    return InboxError::new(InboxErrorKind::Invalid, text);
                }
                let text = format!("the SQLite database {database} cannot be opened: {error}");
                InboxError::new(InboxErrorKind::Unavailable, text)
            })
        })
    }
}

#[cfg(feature = "postgres")]
impl Inbox<sqlx::Postgres> {
    /// Opens an inbox in the PostgreSQL database of a pool. Any number of machines may share it.
    ///
    /// The transactions of [`Work::transaction`](crate::Work::transaction) are begun in this pool. For
    /// itself the inbox has a pool of its own, with the same options, of at most as many
    /// [`connections`](Opening::connections).
    pub fn postgres(pool: sqlx::PgPool) -> Opening<sqlx::Postgres> {
        Opening::new(async move |connections, _| {
            Ok(crate::store::postgres::Link::new(pool, connections))
        })
    }
}

impl<DB: Database> Inbox<DB> {
    pub(crate) fn new(link: DB::Link, settings: Settings) -> Self {
        metrics::describe();
        Self {
            shared: Arc::new(Shared {
                link,
                room: Room::new(settings.max_waiting),
                settings,
                stored: Notify::new(),
            }),
        }
    }

    /// Returns a handler for axum or actix-web that stores each event and answers 200 when it is on the
    /// disk.
    ///
    /// A copy of an event that was stored is answered 200 as well. If the event cannot be stored, the
    /// answer is 503, and Google retries.
    pub fn handler(
        &self,
    ) -> impl Fn(GeminiEvent, Delivery) -> HandlerFuture + Clone + Send + Sync + 'static {
        let inbox = self.clone();
        move |event, delivery| {
            let inbox = inbox.clone();
            HandlerFuture::new(Box::pin(async move {
                Receipt::of(inbox.put(&delivery, &event).await, &delivery)
            }))
        }
    }

    /// Stores an event. When this returns, it is on the disk.
    ///
    /// # Errors
    ///
    /// [`Full`](InboxErrorKind::Full) or [`Unavailable`](InboxErrorKind::Unavailable). Answer 503 then, so
    /// that Google retries. If the database did not answer in time, the event may have been stored all the
    /// same: the retry is then recognised as a copy.
    pub async fn put(
        &self,
        delivery: &Delivery,
        event: &GeminiEvent,
    ) -> Result<Stored, InboxError> {
        let shared = &self.shared;
        let key = shared.key(delivery, event);
        let answer = shared.answer_values(event, &key);
        let storing = async {
            shared.recognise(event).await?;
            let Some(place) = shared.place().await? else {
                return shared.known_or_full(key).await;
            };
            let values = shared.values(key, delivery, event);
            let rows = shared.write(DB::STATEMENTS.put, values).await?;
            if let Some(answer) = answer {
                shared.write(DB::STATEMENTS.jobs.answer, answer).await?;
            }
            Ok(shared.note(delivery, event, rows, place))
        };
        let stored = match timeout(shared.settings.timeout, storing).await {
            Ok(stored) => stored,
            Err(_) => Err(InboxError::too_slow::<DB>(&shared.link)),
        };
        metrics::stored(&stored);
        stored
    }

    /// Stores an event in a transaction of your own, beside what you write in it.
    ///
    /// Answer 2xx only after your commit. If it is a [`Copy`](Stored::Copy), do not do again what you do
    /// beside it.
    ///
    /// # Errors
    ///
    /// As for [`put`](Self::put). Roll back then, and answer 503.
    pub async fn put_in(
        &self,
        transaction: &mut DB::Connection,
        delivery: &Delivery,
        event: &GeminiEvent,
    ) -> Result<Stored, InboxError> {
        let stored = self.store_in(transaction, delivery, event).await;
        metrics::stored(&stored);
        stored
    }

    async fn store_in(
        &self,
        transaction: &mut DB::Connection,
        delivery: &Delivery,
        event: &GeminiEvent,
    ) -> Result<Stored, InboxError> {
        let shared = &self.shared;
        let key = shared.key(delivery, event);
        let answer = shared.answer_values(event, &key);
        let Some(place) = shared.place().await? else {
            return shared.known_or_full(key).await;
        };
        let failed = |error| shared.unavailable(error);
        if let Some(values) = shared.recognise_values(event) {
            let named = DB::run(transaction, DB::STATEMENTS.jobs.name, values).await;
            named.map_err(failed)?;
        }
        let values = shared.values(key, delivery, event);
        let rows = DB::run(transaction, DB::STATEMENTS.put, values).await;
        let rows = rows.map_err(failed)?;
        if let Some(answer) = answer {
            let answered = DB::run(transaction, DB::STATEMENTS.jobs.answer, answer).await;
            answered.map_err(failed)?;
        }
        Ok(shared.note(delivery, event, rows, place))
    }

    /// Returns a worker that works the events off, by handlers that you add to it.
    pub fn worker(&self) -> Worker<DB> {
        Worker::new(self.clone())
    }

    /// Returns how much there is to do, and how many dead letters there are.
    ///
    /// For a readiness probe: if [`oldest`](Depth::oldest) grows, no worker runs, or they do not keep up.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn depth(&self) -> Result<Depth, InboxError> {
        let shared = &self.shared;
        let values = vec![shared.namespace()];
        let row = shared.only_row(DB::STATEMENTS.depth, values).await?;
        let number = |column| DB::int(&row, column).map_err(|error| shared.unavailable(error));
        let count = |column| number(column).map(|count| count.unwrap_or(0).unsigned_abs());
        Ok(Depth {
            waiting: count(0)?,
            running: count(1)?,
            dead: count(2)?,
            oldest: number(3)?.map(|age| Duration::from_millis(age.try_into().unwrap_or(0))),
        })
    }

    /// Returns the events that are in the inbox, to be narrowed, listed, counted, tried again or discarded.
    pub fn entries(&self) -> Entries<DB> {
        Entries::new(self.clone())
    }
}

impl<DB: Database> Shared<DB> {
    /// Room for an event, if there is any.
    pub(crate) async fn place(&self) -> Result<Option<Place<'_>>, InboxError> {
        let _counting = match self.room.ask(SystemClock.monotonic()) {
            Answer::Free(place) => return Ok(Some(place)),
            Answer::Full => return Ok(None),
            Answer::Unknown(Some(place)) => match self.room.counting.try_lock() {
                Ok(counting) => counting,
                // Another counts: what was known holds meanwhile.
                Err(_) => return Ok(Some(place)),
            },
            Answer::Unknown(None) => {
                let counting = self.room.counting.lock().await;
                match self.room.ask(SystemClock.monotonic()) {
                    Answer::Free(place) => return Ok(Some(place)),
                    Answer::Full => return Ok(None),
                    Answer::Unknown(_) => counting,
                }
            }
        };
        let limit = i64::try_from(self.settings.max_waiting).unwrap_or(i64::MAX);
        let values = vec![self.namespace(), limit.into()];
        let before = self.room.count();
        let waiting = self.number(DB::STATEMENTS.room, values).await?;
        let now = SystemClock.monotonic();
        self.room.counted(waiting, before, now);
        Ok(match self.room.ask(now) {
            Answer::Free(place) => Some(place),
            Answer::Full | Answer::Unknown(_) => None,
        })
    }

    pub(crate) async fn known_or_full(&self, key: Vec<u8>) -> Result<Stored, InboxError> {
        let known = self.read(DB::STATEMENTS.known, vec![key.into()]).await?;
        if !known.is_empty() {
            return Ok(Stored::Copy);
        }
        Err(self.full())
    }

    fn full(&self) -> InboxError {
        let limit = self.settings.max_waiting;
        let text =
            format!("{limit} events wait in the inbox, as many as may; see whether a worker runs");
        InboxError::new(InboxErrorKind::Full, text)
    }

    /// Whether an event could be stored now.
    #[cfg(feature = "client")]
    pub(crate) async fn has_room(&self) -> Result<(), InboxError> {
        let place = self.place().await?;
        place.map(drop).ok_or_else(|| self.full())
    }

    pub(crate) fn namespace(&self) -> Value {
        (&*self.settings.namespace).into()
    }

    /// The job, if the event ends one: whoever reports that, it is one event. Else the scheme and the text by which
    /// copies are recognised, as guards do.
    fn key(&self, delivery: &Delivery, event: &GeminiEvent) -> Vec<u8> {
        let namespace = &self.settings.namespace;
        let key = match event.ended_job() {
            Some(job) => ClaimKey::for_job(namespace, &job),
            None => ClaimKey::new(namespace, delivery.scheme(), delivery.claim_id()),
        };
        key.to_bytes()
    }

    fn values(&self, key: Vec<u8>, delivery: &Delivery, event: &GeminiEvent) -> Vec<Value> {
        let copies = delivery.copies_until().duration_since(SystemClock.now());
        // PostgreSQL's texts have no NUL.
        let text = |text: &str| text.replace('\0', "\u{fffd}");
        vec![
            self.namespace(),
            key.into(),
            delivery.id().into(),
            delivery.scheme().to_string().into(),
            text(delivery.key_id()).into(),
            i64::try_from(delivery.timestamp())
                .unwrap_or(i64::MAX)
                .into(),
            event.type_name().map(text).into(),
            event.raw().to_vec().into(),
            milliseconds(at_least_a_day(copies.unwrap_or_default())).into(),
        ]
    }

    /// What the rows of a `put` say.
    fn note(
        &self,
        delivery: &Delivery,
        event: &GeminiEvent,
        rows: Vec<DB::Row>,
        place: Place<'_>,
    ) -> Stored {
        let (webhook_id, kind) = (delivery.id(), event.type_name().unwrap_or("none"));
        if !rows.is_empty() {
            place.keep();
            self.stored.notify_one();
            tracing::debug!(webhook_id, r#type = kind, "stored the event in the inbox");
            Stored::New
        } else {
            tracing::debug!(
                webhook_id,
                r#type = kind,
                "the event is in the inbox already"
            );
            Stored::Copy
        }
    }

    /// The only number of the only row.
    pub(crate) async fn number(
        &self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<u64, InboxError> {
        let row = self.only_row(statement, values).await?;
        let number = DB::int(&row, 0).map_err(|error| self.unavailable(error))?;
        Ok(number.unwrap_or(0).unsigned_abs())
    }

    pub(crate) async fn only_row(
        &self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<DB::Row, InboxError> {
        let rows = self.read(statement, values).await?;
        let row = rows.into_iter().next();
        row.ok_or_else(|| self.unavailable(sqlx::Error::RowNotFound))
    }

    /// What an error of the database means, of a statement or of its rows.
    pub(crate) fn unavailable(&self, error: sqlx::Error) -> InboxError {
        InboxError::unavailable::<DB>(&self.link, Arc::new(error))
    }

    pub(crate) async fn read(
        &self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<DB::Row>, InboxError> {
        let rows = DB::read(&self.link, statement, values).await;
        rows.map_err(|error| InboxError::unavailable::<DB>(&self.link, error))
    }

    pub(crate) async fn write(
        &self,
        statement: &'static str,
        values: Vec<Value>,
    ) -> Result<Vec<DB::Row>, InboxError> {
        let rows = DB::write(&self.link, statement, values).await;
        rows.map_err(|error| InboxError::unavailable::<DB>(&self.link, error))
    }
}

impl<DB: Database> Clone for Inbox<DB> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<DB: Database> fmt::Debug for Inbox<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("database", &self.shared.link)
            .field("settings", &self.shared.settings)
            .finish_non_exhaustive()
    }
}
