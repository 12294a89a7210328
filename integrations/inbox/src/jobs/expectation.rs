//! What an app expects of a job, and what is written down about it.

use std::time::{Duration, SystemTime};

use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::replay::ClaimToken;
use serde_json::{Map, Value as Json};

#[cfg(feature = "client")]
use super::OWN_ID;
use crate::entry::time;
use crate::error::{InboxError, InboxErrorKind};
use crate::store::Database;

/// What an app expects of a job: an answer within some time.
///
/// A `Duration` is one without metadata.
///
/// ```
/// use std::time::Duration;
/// use gemini_webhooks_inbox::Expect;
///
/// let expect = Expect::within(Duration::from_secs(60 * 60)).metadata("order", 7);
/// # drop(expect);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct Expect {
    pub(super) within: Duration,
    metadata: Map<String, Json>,
}

impl Expect {
    /// Expects an answer within this time, from when it is written down. It is counted by the database's clock.
    ///
    /// Choose it longer than the job usually takes, as each job that is late costs requests. Google gives a batch a day
    /// or two.
    pub fn within(time: Duration) -> Self {
        Self {
            within: time,
            metadata: Map::new(),
        }
    }

    /// Adds a value that your handler gets back, as [`Expectation::metadata`], and in the `user_metadata` of an event
    /// that was found by asking.
    ///
    /// A job that the inbox starts takes it along, so that it is in the webhook's event as well.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<Json>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    pub(super) fn metadata_text(&self) -> Result<String, InboxError> {
        let written = serde_json::to_string(&self.metadata);
        // What cannot be read back would be of no use.
        let read = written.and_then(|text| {
            let _readable: Map<String, Json> = serde_json::from_str(&text)?;
            Ok(text)
        });
        read.map_err(|error| {
            let text = format!("the metadata of an expected job cannot be kept: {error}");
            InboxError::new(InboxErrorKind::Invalid, text)
        })
    }

    /// Metadata that stands where this has none of the name.
    #[cfg(feature = "client")]
    pub(crate) fn or_metadata(mut self, other: &Map<String, Json>) -> Self {
        for (name, value) in other {
            if !self.metadata.contains_key(name) {
                self.metadata.insert(name.clone(), value.clone());
            }
        }
        self
    }

    #[cfg(feature = "client")]
    pub(crate) fn all_metadata(&self) -> &Map<String, Json> {
        &self.metadata
    }
}

impl From<Duration> for Expect {
    fn from(time: Duration) -> Self {
        Self::within(time)
    }
}

/// A job that was written down before it is started, and has no name yet.
///
/// Its id goes along with the job, by which the job is found if the process dies before its name is written down.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Announced {
    pub(super) kind: JobKind,
    pub(super) id: Box<str>,
}

impl Announced {
    /// Makes it of the [id](Self::id) that another process has written down.
    #[must_use]
    pub fn new(kind: JobKind, id: &str) -> Self {
        Self {
            kind,
            id: id.into(),
        }
    }

    /// Returns the id, which nobody can guess.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns what sort of job it is.
    #[must_use]
    pub fn kind(&self) -> JobKind {
        self.kind
    }

    pub(super) fn generate(kind: JobKind) -> Self {
        let random = u128::from_be_bytes(ClaimToken::generate().to_bytes());
        let id = format!("{random:032x}").into();
        Self { kind, id }
    }
}

/// How far an expected job has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Progress {
    /// No answer is known yet. An event that came before the time was over may be in the inbox already.
    Open,
    /// An event that ends it, or asks the app to act, is in the inbox.
    Answered,
    /// Nothing can be learned of it any more: there is a dead letter that says why.
    GivenUp,
}

impl Progress {
    #[cfg(feature = "client")]
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Open => 0,
            Self::Answered => 1,
            Self::GivenUp => 2,
        }
    }

    const fn of(number: i64) -> Self {
        match number {
            0 => Self::Open,
            1 => Self::Answered,
            _ => Self::GivenUp,
        }
    }
}

/// What was written down about a job.
#[derive(Clone, Debug)]
pub struct Expectation {
    pub(super) announced: Announced,
    job: Option<JobId>,
    metadata: Map<String, Json>,
    written_at: SystemTime,
    pub(super) answer_by: SystemTime,
    progress: Progress,
}

impl Expectation {
    /// In the order of `expectation!`.
    pub(crate) fn read<DB: Database>(row: &DB::Row) -> Result<Self, sqlx::Error> {
        let at = |column| DB::int(row, column).map(|number| time(number.unwrap_or_default()));
        let kind = DB::text(row, 1)?;
        let kind = kind_of(&kind).ok_or_else(|| {
            let text = format!("a job of the kind {kind:?}, which this version does not know");
            sqlx::Error::Decode(text.into())
        })?;
        let metadata = DB::text(row, 3)?;
        Ok(Self {
            announced: Announced::new(kind, &DB::text(row, 0)?),
            job: JobId::new(kind, &DB::text(row, 2)?),
            metadata: if metadata.is_empty() {
                Map::new()
            } else {
                serde_json::from_str(&metadata)
                    .map_err(|error| sqlx::Error::Decode(error.into()))?
            },
            written_at: at(4)?,
            answer_by: at(5)?,
            progress: Progress::of(DB::int(row, 6)?.unwrap_or_default()),
        })
    }

    /// Returns the id under which it was written down.
    #[must_use]
    pub fn announced(&self) -> &Announced {
        &self.announced
    }

    /// Returns the job. `None` if it was announced and its name is not known yet.
    #[must_use]
    pub fn job(&self) -> Option<&JobId> {
        self.job.as_ref()
    }

    /// Returns the app's metadata.
    #[must_use]
    pub fn metadata(&self) -> &Map<String, Json> {
        &self.metadata
    }

    /// What the job's events have, if it took its metadata along.
    #[cfg(feature = "client")]
    pub(crate) fn user_metadata(&self) -> Map<String, Json> {
        let mut metadata = self.metadata.clone();
        metadata.insert(OWN_ID.to_owned(), self.announced.id().into());
        metadata
    }

    /// Returns when it was written down, by the database's clock.
    #[must_use]
    pub fn written_at(&self) -> SystemTime {
        self.written_at
    }

    /// Returns by when the app wanted an answer, by the database's clock.
    #[must_use]
    pub fn answer_by(&self) -> SystemTime {
        self.answer_by
    }

    /// Returns how far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress
    }
}

/// How many jobs are expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Awaited {
    /// Jobs without a known answer.
    pub open: u64,
    /// Those of them that were announced and have no name yet.
    pub unnamed: u64,
    /// Those of them whose time is over. If they stay, no watcher runs.
    pub overdue: u64,
    /// How long ago the time of the first of them was over.
    pub longest_overdue: Option<Duration>,
}

fn kind_of(name: &str) -> Option<JobKind> {
    let kinds = [JobKind::Batch, JobKind::Interaction, JobKind::Video];
    kinds.into_iter().find(|kind| kind.as_str() == name)
}
