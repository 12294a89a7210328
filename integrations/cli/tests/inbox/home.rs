//! An inbox with events in all states, and the program aimed at it.

use std::future::pending;
use std::process::Command;
use std::time::Duration;

use gemini_webhooks::adapter::{Finished, Received};
use gemini_webhooks::{
    Clock as _, Delivery, DeliveryHeaders, GeminiEvent, SigningSecret, SystemClock,
    WebhookReceiver, testing,
};
use gemini_webhooks_harness::database_url;
use gemini_webhooks_inbox::sqlx::postgres::{PgPool, Postgres};
use gemini_webhooks_inbox::sqlx::{AssertSqlSafe, Sqlite, raw_sql};
use gemini_webhooks_inbox::{Database, Depth, Inbox, Stored, Work, WorkError};
use standardwebhooks::Webhook;
use tempfile::TempDir;

use crate::run::{self, Ended};

pub(crate) const BATCH: &str = r#"{"type":"batch.succeeded","version":"v1","timestamp":"2026-11-26T10:00:00Z","data":{"id":"batches/1"}}"#;
pub(crate) const VIDEO: &str = r#"{"type":"video.generated","version":"v1","timestamp":"2026-11-26T10:00:00Z","data":{"id":"videos/1"}}"#;
/// Text that would move the cursor, turn the direction of text, and be HTML.
pub(crate) const HOSTILE: &str = "no \u{1b}[2Jbucket\n\u{202e}<img src=x onerror=alert(1)>";

/// Where an inbox is, and how the program is told.
pub(crate) enum Place {
    Sqlite(TempDir),
    Postgres { url: String, schema: String },
}

impl Place {
    pub(crate) fn new_sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    pub(crate) async fn new_postgres() -> Self {
        let token = gemini_webhooks::replay::ClaimToken::generate().to_bytes();
        let schema = format!("cli_{:032x}", u128::from_be_bytes(token));
        let admin = PgPool::connect(&database_url()).await.unwrap();
        let create = AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
        raw_sql(create).execute(&admin).await.unwrap();
        let url = database_url();
        let and = if url.contains('?') { '&' } else { '?' };
        let url = format!("{url}{and}options[search_path]={schema}");
        Self::Postgres { url, schema }
    }

    pub(crate) fn file(&self) -> String {
        match self {
            Self::Sqlite(folder) => folder.path().join("inbox.db").to_str().unwrap().to_owned(),
            Self::Postgres { .. } => panic!("it is in no file"),
        }
    }

    /// The program, with the arguments after `inbox`.
    pub(crate) fn program(&self, arguments: &[&str]) -> Command {
        let mut all = vec!["inbox"];
        all.extend(arguments);
        match self {
            Self::Sqlite(_) => {
                let file = self.file();
                all.extend(["--sqlite", &file]);
                run::program(&all)
            }
            Self::Postgres { url, .. } => {
                let mut program = run::program(&all);
                program.env("DATABASE_URL", url);
                program
            }
        }
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.program(arguments)).await
    }

    /// Runs it and expects it to succeed. Returns its results, one a line.
    pub(crate) async fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let ended = self.run(arguments).await;
        assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
        ended.stdout.lines().map(str::to_owned).collect()
    }

    /// The same, where each line is JSON.
    pub(crate) async fn json(&self, arguments: &[&str]) -> Vec<serde_json::Value> {
        let lines = self.lines(arguments).await;
        let read = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        read.collect()
    }

    /// Leaves nothing behind in the server that the tests share.
    pub(crate) async fn clear(self) {
        if let Self::Postgres { schema, .. } = self {
            let admin = PgPool::connect(&database_url()).await.unwrap();
            let drop = AssertSqlSafe(format!("DROP SCHEMA {schema} CASCADE"));
            raw_sql(drop).execute(&admin).await.unwrap();
        }
    }
}

/// Runs a program beside the test's own tasks.
pub(crate) async fn ended(program: Command) -> Ended {
    tokio::task::spawn_blocking(|| run::run(program, b""))
        .await
        .unwrap()
}

pub(crate) async fn sqlite(place: &Place) -> Inbox<Sqlite> {
    Inbox::sqlite(&place.file()).await.unwrap()
}

pub(crate) async fn postgres(place: &Place) -> Inbox<Postgres> {
    let Place::Postgres { url, .. } = place else {
        panic!("it is in no server");
    };
    let pool = PgPool::connect_lazy(url).unwrap();
    Inbox::postgres(pool).connections(3).await.unwrap()
}

/// A delivery that was signed by the official library, and verified as a receiver does.
pub(crate) async fn delivered(id: &str, body: &[u8]) -> (Delivery, GeminiEvent) {
    let now = SystemClock.now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let webhook = Webhook::new(testing::SECRET).unwrap();
    let signature = match webhook.sign(id, now.cast_signed(), body) {
        Ok(signature) => signature,
        // It signs text only.
        Err(_) => {
            let secret: SigningSecret = testing::SECRET.parse().unwrap();
            let [.., (_, signature)] = testing::sign_v1(&secret, id, now, body);
            signature
        }
    };
    let lines = [
        ("webhook-id", id),
        ("webhook-timestamp", &now.to_string()),
        ("webhook-signature", &signature),
    ];
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .without_replay_protection()
        .build()
        .unwrap();
    let headers = DeliveryHeaders::from_lines(lines);
    let mut intake = receiver.admit("/", &headers, None).unwrap();
    intake.push(body).unwrap();
    let Finished::Run(Received {
        event, delivery, ..
    }) = intake.finish().await.unwrap()
    else {
        panic!("a receiver that remembers nothing has no repeats");
    };
    (delivery, event)
}

/// The event as one of this `webhook-id` has it: about a job of its own.
pub(crate) fn about(id: &str, event: &str) -> String {
    event
        .replace("\"batches/1\"", &format!("\"batches/{id}\""))
        .replace("\"videos/1\"", &format!("\"videos/{id}\""))
}

pub(crate) async fn put<DB: Database>(inbox: &Inbox<DB>, id: &str, body: &[u8]) -> Stored {
    let about = str::from_utf8(body).map(|body| about(id, body).into_bytes());
    let (delivery, event) = delivered(id, &about.unwrap_or(body.to_vec())).await;
    inbox.put(&delivery, &event).await.unwrap()
}

/// Works off all that waits. An event whose id begins with `dead` fails, and becomes a dead letter.
pub(crate) async fn work<DB: Database>(inbox: &Inbox<DB>) {
    let worker = inbox
        .worker()
        .otherwise(async |_: GeminiEvent, work: Work<_>| {
            if work.webhook_id().starts_with("dead") {
                return Err(WorkError::new(HOSTILE));
            }
            Ok(())
        })
        .max_attempts(2)
        .pauses(Duration::from_millis(1), Duration::from_millis(1));
    let worker = tokio::spawn(worker.run_until(pending()));
    until(inbox, |depth| depth.waiting + depth.running == 0).await;
    worker.abort();
}

/// Looks every few milliseconds until this holds of the inbox. A test that waits in vain fails.
pub(crate) async fn until<DB: Database>(inbox: &Inbox<DB>, holds: impl Fn(&Depth) -> bool) {
    for _ in 0..3_000 {
        if holds(&inbox.depth().await.unwrap()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("still {:?}", inbox.depth().await);
}
