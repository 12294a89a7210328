//! Ctrl-C.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use gemini_webhooks::testing::google::{Call, Fault};

use super::held::Held;
use super::{Rig, URI};

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A program that runs, with its output in files.
pub(crate) struct Running {
    child: Child,
    ended: Option<ExitStatus>,
    folder: tempfile::TempDir,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name| File::create(folder.path().join(name)).unwrap();
        command
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        Self {
            child: command.spawn().unwrap(),
            ended: None,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.path("stdout")).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap()
    }

    pub(crate) async fn end(&mut self) {
        let Self { child, ended, .. } = self;
        until("the program has ended", || {
            *ended = child.try_wait().unwrap();
            ended.is_some()
        })
        .await;
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.ended.unwrap().code()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// Waits until it says this.
    async fn says(&self, part: &str) {
        until(part, || self.stderr().contains(part)).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves it running.
        if self.ended.is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.expect(what);
}

/// Starts the command, and waits until this call has come.
pub(crate) async fn calling(rig: &Rig, command: Command, call: Call) -> Running {
    let before = rig.google.requests().len();
    let running = Running::start(command);
    let is_here = || {
        let requests = rig.google.requests();
        requests[before..]
            .iter()
            .any(|request| request.call == Some(call))
    };
    until("the call has come", is_here).await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_waits_for_the_secret() {
    let rig = Rig::start().await;
    let id = rig.create("old");
    for (call, signal, arguments) in [
        (
            Call::WebhooksCreate,
            "INT",
            vec!["create", "--uri", URI, "--secret-to", "0"],
        ),
        (
            Call::WebhooksRotate,
            "TERM",
            vec!["rotate", &id, "--secret-to", "1"],
        ),
        (
            Call::WebhooksCreate,
            "INT",
            vec!["ensure", "--uri", "https://b.example/x", "--secret-to", "2"],
        ),
    ] {
        let held = Held::start(&rig.google).await;
        let mut command = rig.command(&arguments);
        command.env("GEMINI_API_URL", held.url());
        let mut running = calling(&rig, command, call).await;
        running.signal(signal);
        running.says("Press Ctrl-C again").await;
        held.open();
        running.end().await;
        let stderr = running.stderr();
        assert_eq!(running.code(), Some(130), "{arguments:?}: {stderr}");
        let file = arguments.last().unwrap();
        assert!(rig.file(file).starts_with("whsec_"), "{arguments:?}");
        assert!(
            stderr.contains(&format!("The secret is in {file}.")),
            "{stderr}"
        );
        assert!(!running.stdout().is_empty(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_ends_at_once_and_says_what_to_look_at() {
    let rig = Rig::start().await;
    let id = rig.create("old");
    for (call, arguments, advice) in [
        (
            Call::WebhooksCreate,
            vec!["create", "--uri", URI, "--secret-to", "new"],
            "`gemini-webhooks list`",
        ),
        (
            Call::WebhooksRotate,
            vec!["rotate", &id, "--secret-to", "new"],
            "Rotate again.",
        ),
        (
            Call::WebhooksCreate,
            vec![
                "ensure",
                "--uri",
                "https://b.example/x",
                "--secret-to",
                "new",
            ],
            "`ensure` again",
        ),
    ] {
        // Answers never come, but those that `ensure` needs before it creates.
        rig.google.fail(call, 1, Fault::NoAnswer);
        let mut running = calling(&rig, rig.command(&arguments), call).await;
        running.signal("INT");
        running.says("Press Ctrl-C again").await;
        running.signal("INT");
        running.end().await;
        let stderr = running.stderr();
        assert_eq!(running.code(), Some(130), "{arguments:?}: {stderr}");
        assert!(
            stderr.contains("Ended by Ctrl-C.") && stderr.contains(advice),
            "{stderr}"
        );
        assert_eq!(
            rig.files(),
            ["old"],
            "{arguments:?}: the empty file is removed"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_commands_end_at_the_first() {
    let rig = Rig::start().await;
    let id = rig.create("old");
    let may_be = "may have been";
    for (call, arguments, part) in [
        (Call::WebhooksList, vec!["list"], "Nothing was changed."),
        (Call::WebhooksGet, vec!["get", &id], "Nothing was changed."),
        (
            Call::WebhooksList,
            vec!["ensure", "--uri", URI],
            "Nothing was changed.",
        ),
        (
            Call::WebhooksUpdate,
            vec!["update", &id, "--name", "n"],
            may_be,
        ),
        (Call::WebhooksPing, vec!["ping", &id], "all the same"),
        (Call::WebhooksDelete, vec!["delete", &id, "--yes"], may_be),
    ] {
        rig.google.fail(call, 1, Fault::NoAnswer);
        let mut running = calling(&rig, rig.command(&arguments), call).await;
        running.signal("INT");
        running.end().await;
        let stderr = running.stderr();
        assert_eq!(running.code(), Some(130), "{arguments:?}: {stderr}");
        assert!(stderr.contains(part), "{arguments:?}: {stderr}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_long_is_told() {
    let rig = Rig::start().await;
    rig.google.fail(Call::WebhooksGet, 1, Fault::NoAnswer);
    let mut running = Running::start(rig.command(&["get", "id", "--timeout", "9"]));
    running
        .says("Still waiting for Google, at most 9 s in all.")
        .await;
    running.signal("INT");
    running.end().await;
    assert_eq!(running.code(), Some(130));
}
