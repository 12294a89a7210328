//! The command `send`, to the example apps and to a small server.

#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod app;
mod course;
mod dynamic;
mod input;
#[path = "../run/mod.rs"]
mod run;
mod server;
mod statics;

use std::process::Command;

use gemini_webhooks::testing;
use serde_json::Value;

use run::{Ended, program};

/// The secret of another webhook.
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TOKEN: &str = "Zm9yLWRvY3VtZW50YXRpb24tb25seQ";

/// `send` to this URL, with a secret in the environment, which is how most people have it.
fn send(url: &str, options: &[&str]) -> Command {
    let mut command = program(&["send", url]);
    command
        .args(options)
        .env("WEBHOOK_SIGNING_SECRET", testing::SECRET);
    command
}

fn run_send(url: &str, options: &[&str]) -> Ended {
    run::run(send(url, options), b"")
}

/// The lines of `--json`: those of the answers, and the summary.
fn lines(ended: &Ended) -> (Vec<Value>, Value) {
    let mut lines: Vec<Value> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let summary = lines.pop().unwrap_or_else(|| panic!("{ended:?}"));
    assert_eq!(summary["kind"], "summary", "{ended:?}");
    assert!(lines.iter().all(|line| line["kind"] == "answer"));
    (lines, summary)
}

/// Runs it, and returns its exit code and what the app answered: the status, and the code of a refusal.
fn answered(url: &str, options: &[&str]) -> (Option<i32>, u64, Option<String>) {
    let ended = run_send(url, &[options, &["--json"]].concat());
    let (answers, _) = lines(&ended);
    let [answer] = &answers[..] else {
        panic!("{ended:?}");
    };
    let status = answer["status"]
        .as_u64()
        .unwrap_or_else(|| panic!("{ended:?}"));
    let code = answer["code"].as_str().map(str::to_owned);
    (ended.code, status, code)
}
