//! The program while it listens.

use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::SECRET;
use crate::run::program;

/// Longer than anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A run of `listen`. It is killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Listening {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    pub(crate) address: SocketAddr,
}

impl Listening {
    /// Starts it with the secret in the environment.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = program(&["listen", "--address", "127.0.0.1:0"]);
        command
            .args(arguments)
            .env("WEBHOOK_SIGNING_SECRET", SECRET);
        Self::run(command)
    }

    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Lines::of(child.stdout.take().unwrap());
        let stderr = Lines::of(child.stderr.take().unwrap());
        let line = stderr.find("listening on http://");
        let address = line
            .split("http://")
            .nth(1)
            .unwrap()
            .split(' ')
            .next()
            .unwrap();
        Self {
            child,
            stdout,
            stderr,
            address: address.parse().unwrap(),
        }
    }

    /// The address and the token of the page.
    pub(crate) fn page(&self) -> (SocketAddr, String) {
        let line = self.stderr.find("the page: http://");
        let (address, token) = line
            .split("http://")
            .nth(1)
            .unwrap()
            .split_once("/#")
            .unwrap();
        (address.parse().unwrap(), token.to_owned())
    }

    /// The line of standard output with this text, as JSON.
    pub(crate) fn json(&self, with: &str) -> Value {
        serde_json::from_str(&self.stdout.find(with)).unwrap()
    }

    /// What standard output has once a line with this text is there.
    pub(crate) fn shown(&self, until: &str) -> String {
        self.stdout.find(until);
        self.stdout.all()
    }

    /// Waits for a line on standard error.
    pub(crate) fn noted(&self, text: &str) -> String {
        self.stderr.find(text)
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Ends it as Ctrl-C does, and returns the exit code with standard output and standard error.
    pub(crate) fn stop(mut self, signal: &str) -> (Option<i32>, String, String) {
        self.signal(signal);
        let mut status = None;
        until("it ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        // Its last line.
        self.stderr.find("ended: ");
        let (stdout, stderr) = (self.stdout.all(), self.stderr.all());
        (status.and_then(|status| status.code()), stdout, stderr)
    }
}

/// Waits until this is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(
            begun.elapsed() < PATIENCE,
            "not within {PATIENCE:?}: {what}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The lines of a stream so far.
#[derive(Clone, Debug)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self(Arc::default());
        let kept = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines() {
                kept.0.lock().unwrap().push(line.unwrap());
            }
        });
        lines
    }

    fn all(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }

    /// Waits for a line with this text.
    fn find(&self, text: &str) -> String {
        let mut found = None;
        until(&format!("a line with {text:?}"), || {
            let lines = self.0.lock().unwrap();
            found = lines.iter().find(|line| line.contains(text)).cloned();
            found.is_some()
        });
        found.unwrap()
    }
}
