//! What people see, also at a terminal.

use std::process::Command;

use gemini_webhooks::client::{SubscribedEvent, WebhookSpec};

use super::run::{Ended, run};
use super::{Rig, URI};

const INJECTION: &str = "x\u{1b}[2J\n0000 forged\u{202e}\r";

/// Runs the program at a terminal. All output is in `stdout`.
fn at_terminal(rig: &Rig, arguments: &[&str], input: &str) -> Ended {
    run_at_terminal(rig, &rig.command(arguments), "", input)
}

/// `script` makes the terminal, and a shell reads `redirection`.
fn run_at_terminal(rig: &Rig, command: &Command, redirection: &str, input: &str) -> Ended {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = words.map(|word| format!("'{}' ", word.to_str().unwrap().replace('\'', r"'\''")));
    let line = quoted.collect::<String>() + redirection;
    let mut script = Command::new("script");
    script
        .args(["--quiet", "--return", "--command", &line, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .current_dir(rig.folder.path());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    run(script, input.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_text_moves_no_cursor_and_forges_no_line() {
    let rig = Rig::start_an_hour_ago().await;
    let client = rig.client();
    let spec = WebhookSpec::new(URI, SubscribedEvent::ALL).name(INJECTION);
    let created = client.create(&spec).await.unwrap();
    let id = created.webhook().id();
    let table = rig.done(&["list"]);
    assert_eq!(table.lines().count(), 2, "{table}");
    let ensured = rig.run(&["ensure", "--uri", URI, "--name", INJECTION]);
    let missing = rig.run(&["get", INJECTION]);
    let question = at_terminal(&rig, &["delete", id], "n\n");
    for (name, shown) in [
        ("list", table),
        ("get", rig.done(&["get", id])),
        ("update", rig.done(&["update", id, "--name", INJECTION])),
        ("ensure", ensured.stdout + &ensured.stderr),
        ("an id", missing.stderr),
        ("delete", question.stdout.replace("\r\n", "\n")),
    ] {
        for part in ["\u{1b}[2J", "\r", "\u{202e}"] {
            assert!(!shown.contains(part), "{name}: {shown:?}");
        }
        assert!(
            !shown.lines().any(|line| line.starts_with("0000")),
            "{name}: {shown:?}"
        );
    }
    let json = rig.json(&["get", id, "--json"]);
    assert_eq!(json["name"], INJECTION);
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_a_terminal_that_takes_them() {
    let rig = Rig::start().await;
    let id = rig.create("secret");
    let piped = rig.run(&["get", &id]);
    assert!(!piped.stdout.contains('\u{1b}') && piped.stdout.contains("enabled"));
    let failed = rig.run(&["get", "nope"]);
    assert!(!failed.stderr.contains('\u{1b}') && failed.stderr.starts_with("error: "));
    let coloured = at_terminal(&rig, &["get", &id], "");
    assert_eq!(coloured.code, Some(0), "{}", coloured.stdout);
    assert!(coloured.stdout.contains('\u{1b}'), "{}", coloured.stdout);
    let mut command = rig.command(&["get", &id]);
    command.env("NO_COLOR", "1");
    let plain = run_at_terminal(&rig, &command, "", "");
    assert_eq!(plain.code, Some(0), "{}", plain.stdout);
    assert!(
        plain.stdout.contains("enabled") && !plain.stdout.contains('\u{1b}'),
        "{}",
        plain.stdout
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_undone_is_asked_for() {
    let rig = Rig::start().await;
    let id = rig.create("secret");
    let secret = rig.file("secret");
    let rotate = [
        "rotate",
        &id,
        "--secret-to",
        "secret",
        "--force",
        "--revoke",
        "immediately",
    ];
    for (answer, arguments) in [
        ("n\n", &["delete", &id][..]),
        ("\u{4}", &["delete", &id]),
        ("\n", &rotate),
    ] {
        let ended = at_terminal(&rig, arguments, answer);
        assert_eq!(ended.code, Some(1), "{answer:?}: {}", ended.stdout);
        assert!(ended.stdout.contains(URI), "{}", ended.stdout);
        assert!(ended.stdout.contains("not confirmed"), "{}", ended.stdout);
    }
    assert_eq!(rig.file("secret"), secret);
    assert_eq!(at_terminal(&rig, &rotate, "y\n").code, Some(0));
    assert_ne!(rig.file("secret"), secret);
    let secrets = &rig.json(&["get", &id, "--json"])["signing_secrets"];
    assert_eq!(
        secrets.as_array().map(Vec::len),
        Some(1),
        "the old one has ended"
    );
    assert_eq!(at_terminal(&rig, &["delete", &id], "yes\n").code, Some(0));
    assert_eq!(
        rig.json(&["list", "--json"]).as_array().map(Vec::len),
        Some(0)
    );
    // One that is not there is not asked about.
    let ended = at_terminal(&rig, &["delete", &id], "y\n");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains("404"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_cannot_be_kept_is_shown_at_a_terminal() {
    let rig = Rig::start().await;
    let command = rig.command(&["create", "--uri", URI, "--secret-to", "-"]);
    let ended = run_at_terminal(&rig, &command, "> /dev/full", "");
    assert_eq!(ended.code, Some(1), "{}", ended.stdout);
    let webhooks = rig.json(&["list", "--json"]);
    let truncated = webhooks[0]["signing_secrets"][0]["truncated_secret"]
        .as_str()
        .unwrap();
    let tail = truncated.strip_prefix("whsec_...").unwrap();
    let is_secret = |line: &str| line.starts_with("whsec_") && line.trim_end().ends_with(tail);
    assert!(ended.stdout.lines().any(is_secret), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_help_has_examples() {
    let rig = Rig::start().await;
    for command in [
        "create", "ensure", "list", "get", "update", "delete", "rotate", "ping",
    ] {
        let help = rig.done(&[command, "--help"]);
        assert!(
            help.contains("Examples:") && help.contains(&format!("gemini-webhooks {command} ")),
            "{help}"
        );
        assert!(help.contains("--api-key-file"), "{help}");
    }
}
