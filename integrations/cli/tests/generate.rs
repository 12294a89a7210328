//! Completions, manual pages, and what holds for the help of every command.
#![cfg(feature = "cli")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod run;

use std::fs;
use std::process::Command;

use run::{program, run};

/// The commands that `--help` lists.
fn commands() -> Vec<String> {
    let help = run(program(&["--help"]), b"").stdout;
    let list = help.split("Commands:\n").nth(1).unwrap();
    list.lines()
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| *name != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_has_help_with_examples_and_takes_no_secret_as_argument() {
    let names = commands();
    assert!(names.len() > 3, "{names:?}");
    for name in names {
        let ended = run(program(&[&name, "--help"]), b"");
        assert_eq!(ended.code, Some(0), "{name}");
        assert!(
            ended.stdout.contains("Examples:") || ended.stdout.contains("Commands:"),
            "{name} has no examples"
        );
        for line in ended
            .stdout
            .lines()
            .filter(|line| line.trim_start().starts_with("--"))
        {
            let option = line.split_whitespace().next().unwrap();
            let is_secret = ["secret", "api-key", "token", "password"]
                .iter()
                .any(|word| option.contains(word));
            let takes_a_value = line.contains('<') || line.contains('[');
            assert!(
                !is_secret || !takes_a_value || line.contains("FILE"),
                "{name}: {line}: a secret in the arguments can be read by every user"
            );
        }
    }
    let help = run(program(&["--help"]), b"").stdout;
    assert!(
        help.contains("Exit codes: 0 ") && help.contains("130"),
        "{help}"
    );
}

#[test]
fn completions_are_scripts_that_shells_take() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(program(&["completions", shell]), b"");
        assert_eq!(ended.code, Some(0), "{shell}");
        for name in commands() {
            assert!(ended.stdout.contains(&name), "{shell} does not know {name}");
        }
        if shell == "bash" {
            let mut bash = Command::new("bash");
            bash.args(["-c", "source /dev/stdin && complete -p gemini-webhooks"]);
            let ended = run(bash, ended.stdout.as_bytes());
            assert_eq!(ended.code, Some(0), "{ended:?}");
        }
    }
    let ended = run(program(&["completions", "tcsh"]), b"");
    assert_eq!(ended.code, Some(2));
}

/// What bash offers for a line that ends where the user pressed the tab key.
fn completed(script: &str, line: &str) -> Vec<String> {
    let words: Vec<&str> = line.split(' ').collect();
    let (current, before) = (words[words.len() - 1], words[words.len() - 2]);
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        r#"source /dev/stdin
        current=$1 before=$2; shift 2
        COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
        function=$(complete -p gemini-webhooks | sed 's/.* -F \([^ ]*\) .*/\1/')
        "$function" gemini-webhooks "$current" "$before"
        printf '%s\n' "${COMPREPLY[@]}""#,
        "bash",
        current,
        before,
    ]);
    bash.args(&words);
    let ended = run(bash, script.as_bytes());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_options_and_their_values() {
    let script = run(program(&["completions", "bash"]), b"").stdout;
    for (line, offered) in [
        ("gemini-webhooks ver", &["verify"][..]),
        ("gemini-webhooks send --tamper re", &["reserialize"]),
        ("gemini-webhooks send --rep", &["--repeat"]),
        ("gemini-webhooks inbox l", &["list"]),
        ("gemini-webhooks inbox back", &["backfill"]),
        (
            "gemini-webhooks inbox backfill --since",
            &["--since-last-event"],
        ),
        ("gemini-webhooks inbox list --sta", &["--state"]),
        ("gemini-webhooks inbox list --state d", &["dead", "done"]),
        (
            "gemini-webhooks rotate x --revoke ",
            &["after-24h", "immediately"],
        ),
        ("gemini-webhooks help inbox sh", &["show"]),
    ] {
        assert_eq!(completed(&script, line), offered, "{line}");
    }
}

#[test]
fn manual_pages_are_there_for_every_command() {
    let page = run(program(&["man"]), b"").stdout;
    assert!(page.contains(".TH gemini-webhooks 1"), "{page}");
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("man1");
    let ended = run(program(&["man", "--to", to.to_str().unwrap()]), b"");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    for name in commands() {
        let page = fs::read_to_string(to.join(format!("gemini-webhooks-{name}.1"))).unwrap();
        assert!(
            page.contains(&format!(".TH gemini-webhooks-{name} 1")),
            "{page}"
        );
        assert!(page.contains(".SH"), "{page}");
    }
    let ended = run(program(&["man", "--to", "/proc/nowhere"]), b"");
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("/proc/nowhere"), "{ended:?}");
}

#[test]
fn the_commands_are_listed_in_the_order_in_which_most_people_need_them() {
    let expected = [
        "verify",
        "send",
        "listen",
        "ensure",
        "create",
        "list",
        "get",
        "update",
        "rotate",
        "delete",
        "ping",
        "inbox",
        "completions",
        "man",
    ];
    assert_eq!(commands(), expected);
}

#[test]
fn only_what_says_what_a_receiver_trusts_stands_under_that_heading() {
    for (name, heading, options) in [
        (
            "verify",
            "What the receiver trusts:",
            &[
                "--secret-file",
                "--keys",
                "--jwt-audience",
                "--endpoint-token-file",
                "--tolerance",
            ][..],
        ),
        (
            "send",
            "How often and how fast:",
            &[
                "--count",
                "--repeat",
                "--rate",
                "--concurrency",
                "--retry",
                "--retry-for",
                "--timeout",
                "--expect",
                "--allow-remote",
            ],
        ),
    ] {
        let help = run(program(&[name, "--help"]), b"").stdout;
        let (_, section) = help.split_once(&format!("\n{heading}\n")).unwrap();
        let section = section
            .lines()
            .take_while(|line| line.is_empty() || line.starts_with(' '));
        let listed: Vec<&str> = section
            .filter(|line| line.starts_with("      --"))
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(listed, options, "{name}: {help}");
    }
}

#[test]
fn a_secret_among_the_arguments_is_not_repeated() {
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let key = format!("AIza{}", "Sy-_9".repeat(7));
    for (name, arguments, shown) in [
        (
            "one too many",
            &["verify", "request.txt", SECRET][..],
            "'whsec_…'",
        ),
        ("a command", &[SECRET], "'whsec_…'"),
        ("a value", &["verify", "--received-at", SECRET], "'whsec_…'"),
        (
            "an option",
            &["list", &format!("--secret={SECRET}")],
            "--secret",
        ),
        ("a file", &["verify", SECRET], "cannot read whsec_…"),
        (
            "a file with secrets",
            &["send", "http://127.0.0.1:1/", "--secret-file", SECRET],
            "cannot read whsec_…",
        ),
        ("a key", &["list", &key], "'AIza…'"),
        (
            "a file with a key",
            &["list", "--api-key-file", &key],
            "cannot read AIza…",
        ),
    ] {
        let mut command = program(arguments);
        // So that nothing is missing but what is given wrongly.
        command.env(
            "WEBHOOK_SIGNING_SECRET",
            "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        );
        let ended = run(command, b"");
        assert_eq!(ended.code, Some(2), "{name}: {ended:?}");
        assert!(ended.stderr.contains(shown), "{name}: {ended:?}");
        assert!(
            !ended.stderr.contains(&SECRET[6..]) && !ended.stderr.contains(&key[4..]),
            "{name}: {ended:?}"
        );
        assert_eq!(ended.stdout, "", "{name}");
    }
}

#[test]
fn an_unknown_command_is_unusable_input() {
    let ended = run(program(&["verfy"]), b"");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("verify"), "{ended:?}");
    assert_eq!(run(program(&["--version"]), b"").code, Some(0));
}
