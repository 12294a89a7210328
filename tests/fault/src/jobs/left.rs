//! What is left in the inbox, with its expected jobs and its dead letters.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks_inbox::sqlx::PgPool;
use gemini_webhooks_inbox::{Change, Database, Entry, Inbox, Progress, State};
use serde_json::Value;

use crate::Error;
use crate::jobs::book::Job;
use crate::store::{NAMESPACE, Store};

/// The store is in order, and may have much to do.
const PATIENCE: Duration = Duration::from_secs(30);
/// A page of dead letters.
const PAGE: u32 = 10_000;

#[derive(Debug, Default)]
pub(crate) struct Left {
    /// Events that are not worked off.
    pub(crate) waiting: u64,
    /// Jobs without a known answer.
    pub(crate) open: u64,
    /// Those of the jobs that were asked for that are among them, by kind and id.
    pub(crate) known_open: HashSet<String>,
    pub(crate) dead: Vec<Letter>,
}

/// A dead letter.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    pub(crate) webhook_id: String,
    /// The number of the start, in the job's metadata.
    pub(crate) start: Option<usize>,
    /// The job has a name.
    pub(crate) is_named: bool,
    pub(crate) why: String,
}

impl Left {
    /// Of these jobs it tells which are open.
    pub(crate) async fn look(store: &Store, jobs: &[Job]) -> Result<Self, Error> {
        match store {
            Store::Postgres(server, _) => {
                let pool = PgPool::connect(&server.url()).await?;
                let inbox = Inbox::postgres(pool.clone()).namespace(NAMESPACE);
                let left = read(inbox.timeout(PATIENCE).await?, jobs).await;
                // The app needs the server's connections.
                pool.close().await;
                left
            }
            Store::Sqlite(file) => {
                let url = format!("sqlite:{}", file.display());
                let inbox = Inbox::sqlite(&url).namespace(NAMESPACE);
                read(inbox.timeout(PATIENCE).await?, jobs).await
            }
            _ => Ok(Self::default()),
        }
    }
}

async fn read<DB: Database>(inbox: Inbox<DB>, jobs: &[Job]) -> Result<Left, Error> {
    let depth = inbox.depth().await?;
    let mut known_open = HashSet::new();
    for job in jobs {
        let kind = match job.id.split_once('/') {
            Some(("batch", _)) => JobKind::Batch,
            Some(("video", _)) => JobKind::Video,
            _ => JobKind::Interaction,
        };
        let Some(id) = JobId::new(kind, &job.name) else {
            continue;
        };
        let expectation = inbox.expectation(&id).await?;
        if expectation.is_some_and(|it| it.progress() == Progress::Open) {
            known_open.insert(job.id.clone());
        }
    }
    let dead = inbox
        .entries()
        .state(State::Dead)
        .limit(PAGE)
        .list()
        .await?;
    Ok(Left {
        waiting: depth.waiting + depth.running,
        open: inbox.awaited().await?.open,
        known_open,
        dead: dead.iter().map(letter).collect(),
    })
}

fn letter(entry: &Entry) -> Letter {
    let event = entry.event();
    let member = |metadata: &BTreeMap<String, Value>| metadata.get("start")?.as_u64();
    let metadata: Option<BTreeMap<String, Value>> = event.user_metadata_as().ok().flatten();
    let start = metadata.as_ref().and_then(member);
    Letter {
        webhook_id: entry.webhook_id().to_owned(),
        start: start.and_then(|start| usize::try_from(start).ok()),
        is_named: event.job().is_some(),
        why: entry.history().last().map_or("", Change::why).to_owned(),
    }
}
