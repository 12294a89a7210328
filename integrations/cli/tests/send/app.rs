//! The example apps of the crate, which are real receivers.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gemini_webhooks::testing;
use serde_json::Value;

use crate::TOKEN;

/// Longer than an app takes to start, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const NAMES: [&str; 2] = ["axum", "actix_web"];
pub(crate) const AUDIENCE: &str = "my-app";

/// A running app. It ends when it is dropped.
pub(crate) struct App {
    process: Child,
    url: String,
    stdout: Option<JoinHandle<Vec<String>>>,
}

impl App {
    /// Starts one that takes its public keys from this port.
    pub(crate) fn start(name: &str, keys: u16) -> Self {
        let this = std::env::current_exe().unwrap();
        let program = this.ancestors().nth(2).unwrap().join("examples").join(name);
        assert!(
            program.exists(),
            "{} is missing: build it with `cargo build --example {name} --features {},jwt,tracing`, or all tests with \
             `cargo test --workspace --all-features`",
            program.display(),
            name.replace('_', "-"),
        );
        let mut process = Command::new(program)
            .env_clear()
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .env("WEBHOOK_SIGNING_SECRET", testing::SECRET)
            .env("WEBHOOK_ENDPOINT_TOKEN", TOKEN)
            .env("GEMINI_WEBHOOK_AUDIENCE", AUDIENCE)
            .env(
                "GEMINI_JWKS_URL",
                format!("http://127.0.0.1:{keys}/.well-known/jwks.json"),
            )
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = process.stdout.take().unwrap();
        let stdout = std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines();
            lines.map_while(Result::ok).collect()
        });
        let log = read(process.stderr.take().unwrap());
        let mut app = Self {
            process,
            url: String::new(),
            stdout: Some(stdout),
        };
        app.url = loop {
            let line = log.recv_timeout(PATIENCE).expect("the app starts");
            if let Some((_, url)) = line.split_once("listening on ") {
                break url.trim().to_owned();
            }
        };
        app
    }

    pub(crate) fn callback(&self) -> String {
        format!("{}/gemini-callback", self.url)
    }

    pub(crate) fn dynamic(&self) -> String {
        format!("{}/gemini-webhook-dynamic", self.url)
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Ends it, and returns what its handler printed: a line for each time that it ran.
    pub(crate) fn end(mut self) -> Vec<Value> {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let lines = self.stdout.take().unwrap().join().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Drop for App {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The lines of a log, which is read to its end, so that the app does not wait for a reader.
fn read(log: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(log).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    lines
}
