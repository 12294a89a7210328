//! What asking has brought: an event in the place of the one that has not come, or a dead letter.

use std::time::{Duration, UNIX_EPOCH};

use gemini_webhooks::event::{JobId, OWN_TYPE_PREFIX};
use gemini_webhooks::{Clock as _, GeminiEvent, SystemClock};
use serde_json::json;

use super::Shared;
use super::watch::Due;
use crate::entry::{State, What, change};
use crate::error::InboxError;
use crate::inbox::Stored;
use crate::opening::{at_least_a_day, milliseconds};
use crate::store::{Database, Value};
use crate::worker::ASKED;

/// Keys of our own begin with it. It is a namespace's length, which no namespace has: no event of Google's has such a key.
const OWN_KEY: [u8; 4] = [0xff; 4];

/// What is stored.
pub(super) struct Finding<'a> {
    pub(super) key: Vec<u8>,
    /// In the place of a `webhook-id`.
    pub(super) id: String,
    pub(super) event: &'a GeminiEvent,
    pub(super) state: State,
    pub(super) what: What,
    pub(super) why: &'a str,
    /// The job that must still be expected as it was when it was asked about.
    pub(super) of: Option<&'a Due>,
}

impl<DB: Database> Shared<DB> {
    /// Stores an event that ends a job, unless the inbox has one.
    pub(super) async fn put_found(
        &self,
        job: &JobId,
        event: &GeminiEvent,
        why: &str,
    ) -> Result<Stored, InboxError> {
        let finding = Finding {
            key: self.job_key(job),
            id: format!("asked_{job}"),
            event,
            state: State::Waiting,
            what: What::Stored,
            why,
            of: None,
        };
        self.put_finding(finding).await
    }

    /// Stores an event that asks the app to act. It is told once for each time that the job is expected.
    pub(super) async fn put_call_to_act(
        &self,
        due: &Due,
        job: &JobId,
        event: &GeminiEvent,
        why: &str,
    ) -> Result<Stored, InboxError> {
        let finding = Finding {
            key: own_key("act", due),
            id: format!("asked_{job}"),
            event,
            state: State::Waiting,
            what: What::Stored,
            why,
            of: Some(due),
        };
        self.put_finding(finding).await
    }

    /// Stores a dead letter: nothing can be learned of a job any more.
    ///
    /// Its key is not that of the job, so that an event that comes all the same is handled.
    pub(super) async fn put_dead_letter(&self, due: &Due, why: &str) -> Result<Stored, InboxError> {
        let expectation = &due.expectation;
        let announced = expectation.announced();
        let kind = announced.kind().as_str();
        let body = json!({
            "type": format!("{OWN_TYPE_PREFIX}{kind}.lost"),
            "version": "v1",
            "data": { "id": expectation.job().map(JobId::id), "why": why },
            "user_metadata": expectation.user_metadata(),
        });
        let finding = Finding {
            key: own_key("lost", due),
            id: match expectation.job() {
                Some(job) => format!("asked_{job}"),
                None => format!("announced_{}", announced.id()),
            },
            event: &GeminiEvent::parse(body.to_string()),
            state: State::Dead,
            what: What::Dead,
            why,
            of: Some(due),
        };
        self.put_finding(finding).await
    }

    async fn put_finding(&self, finding: Finding<'_>) -> Result<Stored, InboxError> {
        let Finding {
            key,
            id,
            event,
            state,
            what,
            why,
            of,
        } = finding;
        let place = match state {
            State::Dead => None,
            _ => match self.place().await? {
                Some(place) => Some(place),
                None => return self.known_or_full(key).await,
            },
        };
        let now = SystemClock.now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        let values: Vec<Value> = vec![
            self.namespace(),
            key.into(),
            id.into(),
            ASKED.into(),
            "".into(),
            i64::try_from(now).unwrap_or(i64::MAX).into(),
            event.type_name().map(str::to_owned).into(),
            event.raw().to_vec().into(),
            milliseconds(at_least_a_day(Duration::ZERO)).into(),
            state.number().into(),
            change(what, why).into(),
            of.map(|due| due.number).into(),
            of.map(|due| due.round).into(),
        ];
        let put = DB::STATEMENTS.jobs.watching.put;
        if self.write(put, values).await?.is_empty() {
            return Ok(Stored::Copy);
        }
        if let Some(place) = place {
            place.keep();
            self.stored.notify_one();
        }
        Ok(Stored::New)
    }
}

/// Another for each time that a job is expected.
fn own_key(what: &str, due: &Due) -> Vec<u8> {
    let text = format!("{what} {} {}", due.round, due.expectation.announced.id);
    [&OWN_KEY, text.as_bytes()].concat()
}
