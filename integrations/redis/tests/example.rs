//! The example, driven by deliveries that the official library signs: several processes of it, which
//! remember together.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails loudly"
)]

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use gemini_webhooks::testing::{SAMPLE_EVENTS, SECRET};
use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_harness::{RedisServer, redis_url};
use standardwebhooks::Webhook;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

#[path = "../examples/axum.rs"]
mod axum_example;

const LONG: Duration = Duration::from_secs(60);

/// A process of the example.
struct Example {
    child: Child,
    address: String,
    lines: Lines<BufReader<ChildStdout>>,
    log: tokio::task::JoinHandle<String>,
}

/// The example, in a process of its own.
#[test]
#[ignore = "the other tests start it"]
fn the_example() -> ExitCode {
    axum_example::main()
}

fn command(redis: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let run = [
        "the_example",
        "--exact",
        "--ignored",
        "--nocapture",
        "--quiet",
    ];
    command.args(run);
    command
        .env_clear()
        .env("REDIS_URL", redis)
        .env("LISTEN_ADDR", "127.0.0.1:0")
        .env("WEBHOOK_SIGNING_SECRET", SECRET)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

impl Example {
    async fn start(redis: &str) -> Self {
        Self::of(command(redis)).await
    }

    async fn of(mut command: Command) -> Self {
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut errors = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut log = String::new();
        let address = loop {
            let line = timeout(LONG, errors.next_line()).await.unwrap().unwrap();
            let line = line.unwrap_or_else(|| panic!("it has ended: {log}"));
            log.push_str(&line);
            log.push('\n');
            if let Some((_, address)) = line.split_once("listening on http://") {
                break address.trim().to_owned();
            }
        };
        let log = tokio::spawn(async move {
            while let Ok(Some(line)) = errors.next_line().await {
                log.push_str(&line);
                log.push('\n');
            }
            log
        });
        Self {
            child,
            address,
            lines,
            log,
        }
    }

    /// Sends a delivery, and returns the status and the body of the answer.
    async fn send(&self, id: &str, body: &str, secret: &str) -> (u16, String) {
        let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
        let now = i64::try_from(now.unwrap().as_secs()).unwrap();
        let signer = Webhook::new(secret).unwrap();
        let signature = signer.sign(id, now, body.as_bytes()).unwrap();
        let request = format!(
            "POST /gemini-callback HTTP/1.1\r\nhost: x\r\nconnection: close\r\nwebhook-id: {id}\r\n\
             webhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        timeout(LONG, stream.read_to_string(&mut answer))
            .await
            .unwrap()
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// The next event that it printed.
    async fn event(&mut self) -> serde_json::Value {
        let event = timeout(LONG, next_event(&mut self.lines)).await.unwrap();
        serde_json::from_str(&event.expect("a line for each event")).unwrap()
    }

    /// Stops it in order, and returns what else it printed, and its log.
    async fn stop(mut self) -> (Vec<String>, String) {
        let id = self.child.id().unwrap().to_string();
        let kill = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(kill.unwrap().success());
        let mut printed = Vec::new();
        while let Some(event) = next_event(&mut self.lines).await {
            printed.push(event);
        }
        let status = timeout(LONG, self.child.wait()).await.unwrap().unwrap();
        let log = self.log.await.unwrap();
        assert!(status.success(), "{log}");
        (printed, log)
    }
}

/// The next line that is not of the frame of the tests.
async fn next_event(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<String> {
    loop {
        let line = lines.next_line().await.unwrap()?;
        if line.starts_with('{') {
            return Some(line);
        }
    }
}

#[tokio::test]
async fn two_processes_remember_together() {
    let run = format!("{:032x}", u128::from_be_bytes(random()));
    let (good, other) = (format!("msg_good_{run}"), format!("msg_other_{run}"));
    let event = SAMPLE_EVENTS[0];
    let received = (200, r#"{"status":"received"}"#.to_owned());

    let mut first = Example::start(&redis_url()).await;
    let mut second = Example::start(&redis_url()).await;
    assert_eq!(first.send(&good, event, SECRET).await, received);
    let printed = first.event().await;
    assert_eq!(printed["webhook_id"], good.as_str());
    assert_eq!(printed["scheme"], "v1");

    // Signed with another secret.
    let wrong = "whsec_Z2VtaW5pLXdlYmhvb2tzIG90aGVyIHNlY3JldCAx";
    let (status, body) = first.send(&other, event, wrong).await;
    assert_eq!((status, body.contains("error")), (400, true), "{body}");

    // A repeat, to the same process and to the other.
    for process in [&first, &second] {
        let (status, body) = process.send(&good, event, SECRET).await;
        assert_eq!(status, 200, "{body}");
    }
    assert_eq!(second.send(&other, event, SECRET).await, received);
    assert_eq!(second.event().await["webhook_id"], other.as_str());
    assert_eq!(first.send(&other, event, SECRET).await.0, 200);

    for process in [first, second] {
        let (more, log) = process.stop().await;
        assert!(more.is_empty(), "it ran a handler twice: {more:?}");
        assert!(log.contains("stopped"), "{log}");
    }
    // Also after a restart.
    let third = Example::start(&redis_url()).await;
    assert_eq!(third.send(&good, event, SECRET).await.0, 200);
    assert!(third.stop().await.0.is_empty());
}

#[tokio::test]
async fn it_says_what_the_server_may_forget() {
    let server = RedisServer::start_with(&["--save", "", "--maxmemory-policy", "allkeys-lru"]);
    let example = Example::start(&server.url()).await;
    let (_, log) = example.stop().await;
    for concern in ["maxmemory-policy is allkeys-lru", "in memory only"] {
        assert!(log.contains(concern), "no {concern:?} in: {log}");
    }
}

#[tokio::test]
async fn it_says_why_it_cannot_start() {
    let server = RedisServer::start_with(&["--requirepass", "sesame"]);
    let refused = format!("redis://:mistaken@127.0.0.1:{}", server.port());
    for (url, why) in [
        ("", "REDIS_URL is not set"),
        ("http://x", "did not parse"),
        (&refused, "WRONGPASS"),
    ] {
        let output = command(url).output().await.unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{log}");
        assert!(log.contains(why), "no {why:?} in: {log}");
        assert!(!log.contains("mistaken"), "{log}");
    }
}

#[cfg(feature = "tls-rustls")]
#[tokio::test]
async fn it_speaks_tls() {
    let tls = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/tls/");
    let file = |name: &str| format!("{tls}{name}");
    // Free a moment ago, which must do.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port().to_string();
    drop(free);
    let _server = RedisServer::start_with(&[
        "--tls-port",
        &port,
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://localhost:{port}");

    let mut trusting = command(&url);
    trusting.env("SSL_CERT_FILE", file("ca.pem"));
    let example = Example::of(trusting).await;
    assert_eq!(
        example.send("msg_tls", SAMPLE_EVENTS[0], SECRET).await.0,
        200
    );
    assert_eq!(example.stop().await.0.len(), 1);

    let distrusting = command(&url).output().await.unwrap();
    let log = String::from_utf8(distrusting.stderr).unwrap();
    assert!(log.contains("TLS fails"), "{log}");
}

fn random() -> [u8; 16] {
    gemini_webhooks::replay::ClaimToken::generate().to_bytes()
}
