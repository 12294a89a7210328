//! An example that runs, and deliveries to it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock, testing};
use serde_json::Value;
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, ChildStdout, Command};
use tokio::time::timeout;

pub(crate) const EVENT: &str = testing::SAMPLE_EVENTS[0];
/// A bound for what should take a second or two.
pub(crate) const SOON: Duration = Duration::from_secs(30);
/// As long ago as no delivery may be signed.
pub(crate) const STALE: i64 = 60 * 60;

/// The program of an example.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.ancestors().nth(2).unwrap();
    let program = folder.join("examples").join(name);
    assert!(
        program.exists(),
        "{} is missing; build it with `cargo build --package gemini-webhooks-inbox --all-features --examples`",
        program.display()
    );
    program
}

/// A command that inherits no settings.
pub(crate) fn clean(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear();
    command
}

pub(crate) struct Example {
    process: Child,
    log: Lines<BufReader<ChildStderr>>,
    lines: Lines<BufReader<ChildStdout>>,
    /// Empty if it only works.
    address: String,
}

impl Example {
    /// Starts an example, as `receive`, as `work`, or as both.
    pub(crate) async fn start(name: &str, role: Option<&str>, database: &str) -> Self {
        let mut command = clean(program(name));
        command.args(role);
        Self::run(command, role != Some("work"), database).await
    }

    pub(crate) async fn run(mut command: Command, receives: bool, database: &str) -> Self {
        let mut process = command
            .env("DATABASE_URL", database)
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("WEBHOOK_SIGNING_SECRET", testing::SECRET)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let started = async {
            let mut said = Vec::new();
            while let Some(line) = log.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("listening on http://") {
                    return address.to_owned();
                }
                if !receives && line.ends_with(" working") {
                    return String::new();
                }
                said.push(line);
            }
            panic!("it ended: {said:#?}");
        };
        let address = timeout(SOON, started).await.expect("it starts");
        Self {
            process,
            log,
            lines,
            address,
        }
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id().unwrap()
    }

    /// Delivers an event as Google does, and returns the status of the answer.
    pub(crate) async fn deliver(&self, id: &str, event: &str) -> u16 {
        // About a job of its own.
        let event = event.replace("8kq2", id);
        self.send(id, now(), &signature(id, now(), &event), &event)
            .await
    }

    pub(crate) async fn send(&self, id: &str, at: i64, signature: &str, body: &str) -> u16 {
        let request = format!(
            "POST /gemini-callback HTTP/1.1\r\nhost: {}\r\nconnection: close\r\nwebhook-id: {id}\r\n\
             webhook-timestamp: {at}\r\nwebhook-signature: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        let answer = async {
            let mut connection = TcpStream::connect(&self.address).await.unwrap();
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            connection.read_to_string(&mut answer).await.unwrap();
            answer
        };
        let answer = timeout(SOON, answer).await.expect("an answer");
        let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
        status.unwrap_or_else(|| panic!("no status: {answer:?}"))
    }

    /// The id of the next event that the worker prints.
    pub(crate) async fn next(&mut self) -> String {
        self.next_line().await["webhook_id"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// The next event, as the worker prints it.
    pub(crate) async fn next_line(&mut self) -> Value {
        let line = timeout(SOON, self.lines.next_line()).await;
        let line = line.expect("a line").unwrap().expect("it has not ended");
        serde_json::from_str(&line).unwrap()
    }

    /// Ends it as a supervisor does. Returns the ids of the events that it printed and nobody has read.
    pub(crate) async fn stop(mut self) -> Vec<String> {
        let id = self.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(sent.unwrap().success());
        // It could not end if it had no place for what it says.
        let said = async {
            let mut said = Vec::new();
            while let Some(line) = self.log.next_line().await.unwrap() {
                said.push(line);
            }
            said
        };
        let printed = async {
            let mut printed = Vec::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                let line: Value = serde_json::from_str(&line).unwrap();
                printed.push(line["webhook_id"].as_str().unwrap().to_owned());
            }
            printed
        };
        let ended = async { tokio::join!(said, printed, self.process.wait()) };
        let (said, printed, ended) = timeout(SOON, ended).await.expect("it stops");
        assert_eq!(ended.unwrap().code(), Some(0), "{said:#?}");
        printed
    }

    /// Ends it at once, as a crash does.
    pub(crate) async fn kill(mut self) {
        timeout(SOON, self.process.kill()).await.unwrap().unwrap();
    }
}

pub(crate) fn now() -> i64 {
    let since = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

pub(crate) fn signature(id: &str, at: i64, event: &str) -> String {
    let webhook = Webhook::new(testing::SECRET).unwrap();
    webhook.sign(id, at, event.as_bytes()).unwrap()
}
