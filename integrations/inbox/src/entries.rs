//! Looking at what is in the inbox, having it tried again, and discarding it.

use std::fmt;

use crate::entry::{Entry, State, What, change};
use crate::error::InboxError;
use crate::inbox::Inbox;
use crate::store::{Database, Value};

/// Which events are meant, to be listed, counted, tried again or discarded.
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use gemini_webhooks_inbox::{Inbox, State};
///
/// # let folder = tempfile::tempdir()?;
/// # let file = folder.path().join("webhooks.db");
/// # let inbox = Inbox::sqlite(file.to_str().ok_or("no text")?).await?;
/// let dead = inbox.entries().state(State::Dead).event_type("batch.succeeded");
/// for entry in dead.clone().list().await? {
///     println!("{} {:?}", entry.webhook_id(), entry.history().last());
/// }
/// let tried_again = dead.retry("the bucket is readable again").await?;
/// # assert_eq!(tried_again, 0);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "sqlite"))]
/// # fn main() {}
/// ```
#[must_use = "it does nothing until it is listed, counted, tried again or discarded"]
pub struct Entries<DB: Database> {
    inbox: Inbox<DB>,
    state: Option<State>,
    event_type: Option<String>,
    webhook_id: Option<String>,
    number: Option<i64>,
    after: Option<i64>,
    before: Option<i64>,
    limit: u32,
}

impl<DB: Database> Entries<DB> {
    pub(crate) fn new(inbox: Inbox<DB>) -> Self {
        Self {
            inbox,
            state: None,
            event_type: None,
            webhook_id: None,
            number: None,
            after: None,
            before: None,
            limit: 100,
        }
    }

    /// Means those in this state.
    pub fn state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// Means those of this type, such as `batch.succeeded`, as it arrived.
    pub fn event_type(mut self, event_type: &str) -> Self {
        self.event_type = Some(event_type.replace('\0', "\u{fffd}"));
        self
    }

    /// Means those with this `webhook-id`.
    pub fn webhook_id(mut self, id: &str) -> Self {
        self.webhook_id = Some(id.replace('\0', "\u{fffd}"));
        self
    }

    /// Means the one with this [number](Entry::number).
    pub fn number(mut self, number: i64) -> Self {
        self.number = Some(number);
        self
    }

    /// Means those that came after the one with this number: for the next page of a list.
    pub fn after(mut self, number: i64) -> Self {
        self.after = Some(number);
        self
    }

    /// Means those that came before the one with this number.
    pub fn before(mut self, number: i64) -> Self {
        self.before = Some(number);
        self
    }

    /// Lists, tries again or discards so many at most, the oldest first. 100 if it is not set.
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    fn values(&self) -> Vec<Value> {
        vec![
            self.inbox.shared.namespace(),
            self.state.map(State::number).into(),
            self.event_type.clone().into(),
            self.webhook_id.clone().into(),
            self.number.into(),
            self.after.into(),
            self.before.into(),
        ]
    }

    fn limited_values(&self) -> Vec<Value> {
        let mut values = self.values();
        values.push(i64::from(self.limit).into());
        values
    }

    /// Returns the events, the oldest first.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn list(self) -> Result<Vec<Entry>, InboxError> {
        self.listed(DB::STATEMENTS.list).await
    }

    /// Returns the events, the newest first. The next page is [`before`](Self::before) the last of them.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn list_newest(self) -> Result<Vec<Entry>, InboxError> {
        self.listed(DB::STATEMENTS.list_newest).await
    }

    async fn listed(self, statement: &'static str) -> Result<Vec<Entry>, InboxError> {
        let shared = &self.inbox.shared;
        let rows = shared.read(statement, self.limited_values()).await?;
        let entries: Result<_, _> = rows.iter().map(Entry::read::<DB>).collect();
        entries.map_err(|error| shared.unavailable(error))
    }

    /// Returns how many there are, without a limit.
    ///
    /// # Errors
    ///
    /// The database cannot be read.
    pub async fn count(self) -> Result<u64, InboxError> {
        let values = self.values();
        self.inbox.shared.number(DB::STATEMENTS.count, values).await
    }

    /// Has dead letters and events that were worked off tried again, and returns how many. `why` goes into
    /// their history.
    ///
    /// What waits or runs is not touched.
    ///
    /// # Errors
    ///
    /// The database cannot be written. Then nothing has changed.
    pub async fn retry(self, why: &str) -> Result<u64, InboxError> {
        let mut values = self.limited_values();
        values.push(change(What::Retried, why).into());
        let shared = &self.inbox.shared;
        let rows = shared.write(DB::STATEMENTS.retry, values).await?;
        shared.stored.notify_one();
        tracing::info!(
            events = rows.len(),
            why,
            "had events of the inbox tried again"
        );
        Ok(rows.len().try_into().unwrap_or(u64::MAX))
    }

    /// Ends dead letters and events that wait, without working them off, and returns how many. `why` goes into
    /// their history.
    ///
    /// They are in the state [`Done`](State::Done) then, with [`What::Discarded`] as the last change, and are kept
    /// as long as events that were worked off. So a copy that Google sends meanwhile is recognised, and
    /// [`retry`](Self::retry) can take the decision back. What runs is not touched: it may have had its effect
    /// already.
    ///
    /// # Errors
    ///
    /// The database cannot be written. Then nothing has changed.
    pub async fn discard(self, why: &str) -> Result<u64, InboxError> {
        let mut values = self.limited_values();
        values.push(change(What::Discarded, why).into());
        let shared = &self.inbox.shared;
        let rows = shared.write(DB::STATEMENTS.discard, values).await?;
        tracing::info!(events = rows.len(), why, "discarded events of the inbox");
        Ok(rows.len().try_into().unwrap_or(u64::MAX))
    }
}

impl<DB: Database> Clone for Entries<DB> {
    fn clone(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            state: self.state,
            event_type: self.event_type.clone(),
            webhook_id: self.webhook_id.clone(),
            ..*self
        }
    }
}

impl<DB: Database> fmt::Debug for Entries<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries")
            .field("inbox", &self.inbox)
            .field("state", &self.state)
            .field("event_type", &self.event_type)
            .field("webhook_id", &self.webhook_id)
            .field("number", &self.number)
            .field("after", &self.after)
            .field("before", &self.before)
            .field("limit", &self.limit)
            .finish()
    }
}
