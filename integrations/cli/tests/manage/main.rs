//! The commands that manage webhooks, as a user runs them, against the mock of Google.
#![cfg(all(feature = "cli", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod commands;
mod ensuring;
mod exit_codes;
mod held;
mod kept;
mod key;
#[path = "../run/mod.rs"]
mod run;
mod shown;
mod stopping;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use gemini_webhooks::client::WebhookService;
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::testing::google::{API_KEY, MockGoogle, MockGoogleBuilder};
use gemini_webhooks::{Clock as _, SystemClock};
use serde_json::Value;

use run::{Ended, program, run};

const URI: &str = "https://app.example/gemini-callback";

/// The mock, and the program in a folder of its own.
struct Rig {
    google: MockGoogle,
    folder: tempfile::TempDir,
}

impl Rig {
    async fn start() -> Self {
        Self::of(MockGoogle::builder()).await
    }

    /// `ensure` waits a second if a webhook is young. Here each is an hour old.
    async fn start_an_hour_ago() -> Self {
        let clock = ManualClock::new(SystemClock.now() - Duration::from_secs(3600));
        Self::of(MockGoogle::builder().clock(clock)).await
    }

    async fn of(google: MockGoogleBuilder) -> Self {
        Self {
            google: google.start().await.unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = program(arguments);
        command
            .env("GEMINI_API_KEY", API_KEY)
            .env("GEMINI_API_URL", self.google.base_url())
            .current_dir(self.folder.path());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        run(self.command(arguments), b"")
    }

    /// What it prints when it must succeed.
    fn done(&self, arguments: &[&str]) -> String {
        let ended = self.run(arguments);
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}", ended.stderr);
        ended.stdout
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let stdout = self.done(arguments);
        assert_eq!(stdout.lines().count(), 1, "{stdout}");
        serde_json::from_str(&stdout).unwrap()
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap()
    }

    /// The names of all files.
    fn files(&self) -> Vec<String> {
        names(self.folder.path())
    }

    /// Creates a webhook, and returns its id. The secret is in this file.
    fn create(&self, file: &str) -> String {
        let created = self.json(&["create", "--uri", URI, "--secret-to", file, "--json"]);
        created["webhook"]["id"].as_str().unwrap().to_owned()
    }

    fn client(&self) -> WebhookService {
        let builder = WebhookService::builder().api_key(API_KEY);
        builder.base_url(self.google.base_url()).build().unwrap()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
