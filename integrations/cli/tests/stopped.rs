//! Ctrl-C and SIGTERM while the program waits for a secret: at a prompt, and for a pipe that brings nothing.
#![cfg(all(feature = "cli", target_os = "linux"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[path = "run/mod.rs"]
#[allow(dead_code, reason = "what runs here does not end by itself")]
mod run;
#[path = "run/terminal.rs"]
mod terminal;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, open};

use run::program;
use terminal::Terminal;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Commands that ask for a secret, each with what it asks for. What follows has to be `-` or a file.
const ASKING: [(&[&str], &str); 5] = [
    (&["list", "--api-key-file"], "API key"),
    (
        &["listen", "--address", "127.0.0.1:0", "--secret-file"],
        "signing secret",
    ),
    (
        &["verify", "request.txt", "--secret-file"],
        "signing secret",
    ),
    (
        &["send", "http://127.0.0.1:1/", "--secret-file"],
        "signing secret",
    ),
    (
        &["inbox", "count", "--database-file"],
        "URL of the database",
    ),
];

#[test]
fn a_prompt_that_is_ended_leaves_the_terminal_as_it_was() {
    for (arguments, what) in ASKING {
        for how in ["Ctrl-C", "-TERM"] {
            let mut terminal = Terminal::start(&program(&[arguments, &["-"]].concat()));
            terminal.shows(&format!("{what} (not shown): "));
            // The prompt comes before the settings.
            terminal.hides();
            match how {
                "Ctrl-C" => terminal.types("\u{3}"),
                signal => terminal.signal(signal),
            }
            let (code, screen) = terminal.ended();
            assert_eq!(code, Some(130), "{arguments:?}, {how}: {screen}");
            assert!(screen.contains("Ended by Ctrl-C."), "{screen}");
            let settings: Vec<&str> = screen.split_whitespace().collect();
            for setting in ["echo", "icanon", "isig"] {
                assert!(
                    settings.contains(&setting),
                    "{arguments:?}, {how}: {screen}"
                );
            }
        }
    }
}

#[test]
fn what_is_typed_at_a_prompt_is_used_and_not_shown() {
    let file = tempfile::NamedTempFile::with_prefix("typed").unwrap();
    std::fs::write(file.path(), "no database").unwrap();
    let mut terminal = Terminal::start(&program(&["inbox", "count", "--database-file", "-"]));
    terminal.shows("URL of the database (not shown): ");
    terminal.hides();
    let path = file.path().to_str().unwrap();
    terminal.types(&format!("{path}wrong\u{7f}\u{7f}\u{7f}\u{7f}\u{7f}\n"));
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(2), "{screen}");
    let says = "the file that standard input names is not a database of SQLite";
    assert!(screen.contains(says), "{screen}");
    assert!(!screen.contains("typed"), "{screen}");
    assert!(screen.contains(" echo "), "{screen}");
}

#[test]
fn a_pipe_that_brings_nothing_does_not_hold_it() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    for (arguments, _) in ASKING {
        for signal in ["-INT", "-TERM"] {
            let mut child = program(&[arguments, &[pipe.to_str().unwrap()]].concat())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let writing = until("it reads", || writer(&pipe));
            let id = child.id().to_string();
            let killed = Command::new("kill").args([signal, &id]).status().unwrap();
            assert!(killed.success());
            let status = until("it ends", || child.try_wait().unwrap());
            assert_eq!(status.code(), Some(130), "{arguments:?}, {signal}");
            drop(writing);
        }
    }
}

/// The end of a pipe for writing. `None` as long as nobody reads at the other one.
fn writer(pipe: &Path) -> Option<OwnedFd> {
    open(
        pipe,
        OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .ok()
}

#[expect(clippy::disallowed_methods, reason = "how long a process may take")]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
