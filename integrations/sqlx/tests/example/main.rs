//! The example as a process, over both databases, with deliveries that the `standardwebhooks` crate signs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::{Clock as _, SystemClock, testing};
use gemini_webhooks_sqlx::sqlx::query_as;
use gemini_webhooks_sqlx::sqlx::sqlite::SqlitePool;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

#[path = "../postgres/database.rs"]
#[allow(dead_code, reason = "other tests use it")]
mod database;

use database::Schema;

const EVENT: &str = testing::SAMPLE_EVENTS[0];
const SOON: Duration = Duration::from_secs(20);

struct Example {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: String,
}

fn example(url: &str) -> Command {
    let folder = std::env::current_exe().unwrap();
    let program = folder
        .ancestors()
        .nth(2)
        .unwrap()
        .join("examples/axum_sqlx");
    assert!(
        program.exists(),
        "{} is missing; build it with `cargo build --package gemini-webhooks-sqlx --all-features --example axum_sqlx`",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("DATABASE_URL", url)
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("WEBHOOK_SIGNING_SECRET", testing::SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Example {
    async fn start(url: &str) -> Self {
        let mut process = example(url).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let address = async {
            loop {
                let line = log.next_line().await.unwrap().expect("it starts");
                if let Some((_, address)) = line.split_once("listening on ") {
                    break address.to_owned();
                }
            }
        };
        let address = timeout(SOON, address).await.expect("it starts");
        Self {
            process,
            log,
            address,
        }
    }

    async fn deliver(&self, id: &str, signature: &str, body: &str) -> (u16, String) {
        let request = Request::post(format!("{}/gemini-callback", self.address))
            .header("webhook-id", id)
            .header("webhook-timestamp", now())
            .header("webhook-signature", signature)
            .body(Full::<Bytes>::from(body.to_owned()))
            .unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = timeout(SOON, client.request(request))
            .await
            .unwrap()
            .unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    /// Ends it as a supervisor does. Returns what it printed.
    async fn stop(mut self) -> String {
        let id = self.process.id().unwrap().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.unwrap().success());
        let ended = timeout(SOON, self.process.wait()).await.expect("it stops");
        assert!(ended.unwrap().success());
        let mut printed = String::new();
        let mut output = self.process.stdout.take().unwrap();
        output.read_to_string(&mut printed).await.unwrap();
        while let Some(line) = self.log.next_line().await.unwrap() {
            assert!(!line.contains("ERROR"), "{line}");
        }
        printed
    }
}

fn now() -> i64 {
    let since = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

fn signature(id: &str) -> String {
    let webhook = Webhook::new(testing::SECRET).unwrap();
    webhook.sign(id, now(), EVENT.as_bytes()).unwrap()
}

/// What the app has stored: id, type and body.
type Rows = Vec<(String, Option<String>, Vec<u8>)>;

const ROWS: &str = "SELECT webhook_id, type, body FROM received_events ORDER BY webhook_id";

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stored_once_also_over_a_restart_in_postgresql() {
    let schema = Schema::new().await;
    stored_once(&schema.url()).await;
    let rows: Rows = query_as(ROWS).fetch_all(&schema.pool()).await.unwrap();
    check(&rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_stored_once_also_over_a_restart_in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("events.db").display());
    stored_once(&url).await;
    let pool = SqlitePool::connect(&url).await.unwrap();
    let rows: Rows = query_as(ROWS).fetch_all(&pool).await.unwrap();
    check(&rows);
}

async fn stored_once(url: &str) {
    let received = (200, r#"{"status":"received"}"#.to_owned());
    for run in ["first", "second"] {
        let example = Example::start(url).await;
        let new = format!("msg_{run}");
        assert_eq!(
            example.deliver(&new, &signature(&new), EVENT).await,
            received
        );
        for id in ["msg_first", &new] {
            let repeat = example.deliver(id, &signature(id), EVENT).await;
            assert_eq!(repeat, (200, String::new()), "{id}");
        }
        let (status, _) = example
            .deliver("msg_bad", &signature("msg_other"), EVENT)
            .await;
        assert_eq!(status, 400);

        let printed = example.stop().await;
        let line: serde_json::Value = serde_json::from_str(printed.trim_end()).unwrap();
        assert_eq!(line["webhook_id"], *new);
        assert_eq!(line["type"], "batch.succeeded");
    }
}

fn check(rows: &Rows) {
    let [first, second] = &rows[..] else {
        panic!("{rows:?}");
    };
    assert_eq!(
        (first.0.as_str(), second.0.as_str()),
        ("msg_first", "msg_second")
    );
    assert_eq!(first.1.as_deref(), Some("batch.succeeded"));
    assert_eq!(first.2, EVENT.as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_it_says_so() {
    for (url, says) in [
        ("", "DATABASE_URL is not set"),
        (
            "mysql://a:hush@127.0.0.1/b",
            "does not start with `postgres://`",
        ),
        (
            "postgres://a:hush@127.0.0.1:1/b",
            "PostgreSQL at 127.0.0.1:1",
        ),
        ("sqlite:/nowhere/at/all.db", "unable to open database file"),
    ] {
        let output = timeout(SOON, example(url).output()).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(1), "{url}");
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(log.contains(says) && !log.contains("hush"), "{log}");
        assert!(output.stdout.is_empty());
    }
}
