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
fn an_unknown_command_is_unusable_input() {
    let ended = run(program(&["verfy"]), b"");
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("verify"), "{ended:?}");
    assert_eq!(run(program(&["--version"]), b"").code, Some(0));
}
