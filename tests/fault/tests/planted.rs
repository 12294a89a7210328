//! The program finds the events that a bad app loses, and only those.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails loudly")]

use std::process::Command;

/// Runs the program. Returns its exit code and its summary.
fn fault(arguments: &[&str]) -> (Option<i32>, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_fault"))
        .args(arguments)
        .output()
        .unwrap();
    let (out, log) = (
        String::from_utf8(done.stdout).unwrap(),
        String::from_utf8_lossy(&done.stderr).into_owned(),
    );
    println!("{out}\n{log}");
    (done.status.code(), out)
}

fn lost(summary: &str) -> u32 {
    let after = summary.split("lost ").nth(1).unwrap();
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

fn finds(plant: &str, setup: &str, at_least: u32) {
    let size = ["--events", "400", "--rate", "100", "--seed", "1"];
    let (code, summary) = fault(&[&size[..], &["--setup", setup, "--plant", plant]].concat());
    assert_eq!(code, Some(1));
    assert!(summary.starts_with("DOES NOT HOLD"), "{summary}");
    assert!(lost(&summary) >= at_least, "{summary}");
    assert!(summary.contains("answered with a 2xx"), "{summary}");
}

#[test]
fn a_guard_that_marks_first_loses_events() {
    // A handler fails in one of twenty cases.
    finds("marks-first", "redis", 5);
}

#[test]
fn an_inbox_that_answers_before_it_stores_loses_events() {
    finds("answers-first", "inbox-sqlite", 1);
}

#[test]
fn a_watcher_that_is_never_run_loses_jobs() {
    let size = ["--events", "400", "--rate", "100", "--seed", "1"];
    let jobs = ["--setup", "jobs-sqlite", "--plant", "never-asks"];
    let (code, summary) = fault(&[&size[..], &jobs[..]].concat());
    assert_eq!(code, Some(1));
    assert!(summary.starts_with("DOES NOT HOLD"), "{summary}");
    // A tenth of the deliveries is lost, and not each end of a job has an event.
    assert!(lost(&summary) >= 20, "{summary}");
}

#[test]
fn what_cannot_be_tried_is_said() {
    for arguments in [
        ["--app", "/no/such/program", "--events", "1"],
        ["--plant", "marks-first", "--setup", "postgres"],
        ["--rate", "0", "--setup", "redis"],
    ] {
        let (code, summary) = fault(&arguments);
        assert_eq!((code, summary.as_str()), (Some(2), ""), "{arguments:?}");
    }
}
