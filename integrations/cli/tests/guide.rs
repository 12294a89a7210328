//! Every command of the guide's page on the command line, as written, in one shell, against a mock of Google and the
//! example app.
//!
//! Only three things differ from what a reader does: the ports 8000 and 8787 are free ones, `ID` is the id of the list,
//! and `cargo run` starts the example that is built already.
#![cfg(all(feature = "cli", unix))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[expect(dead_code, reason = "other tests use all of it")]
mod run;

use std::fmt::Write as _;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use gemini_webhooks::adapter::Finished;
use gemini_webhooks::client::WebhookService;
use gemini_webhooks::testing;
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, MockGoogle};
use gemini_webhooks::{
    Clock as _, DeliveryHeaders, GeminiEvent, SigningSecret, SystemClock, WebhookReceiver,
};
use gemini_webhooks_inbox::sqlx::Sqlite;
use gemini_webhooks_inbox::{Inbox, Work, WorkError};
use run::run;
use serde_json::Value;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/command-line.md");

/// The shell blocks of the page, each without its indentation.
fn blocks() -> Vec<String> {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut blocks = Vec::new();
    let mut block: Option<(usize, String)> = None;
    for line in page.lines() {
        let text = line.trim_start();
        match &mut block {
            None if text == "```sh" => block = Some((line.len() - text.len(), String::new())),
            None => {}
            Some(_) if text == "```" => blocks.extend(block.take().map(|(_, code)| code)),
            Some((indent, code)) => {
                code.push_str(line.get(*indent..).unwrap_or(""));
                code.push('\n');
            }
        }
    }
    blocks
}

/// What the page says of a block's exit code.
fn expected_code(block: &str) -> u8 {
    u8::from(block.starts_with("gemini-webhooks verify"))
}

/// Starts something that goes on, in another terminal.
fn goes_on(block: &str) -> bool {
    block.contains("cargo run") || block.contains("gemini-webhooks listen")
}

/// The blocks as one script. What each prints is in a file of its number.
fn script(port: u16, listener: u16) -> String {
    let mut script = String::from(
        "set -eum\ntrap 'kill -KILL $(jobs -p | sed s/^/-/) 2>/dev/null || true' EXIT\nstop() { kill -INT -- \"-$1\"; wait \"$1\"; }\n\
         until_open() { until (exec 3<>\"/dev/tcp/127.0.0.1/$1\") 2>/dev/null; do kill -0 \"$2\"; sleep 0.05; done; }\n\
         receiver= listener=\n",
    );
    for (number, block) in blocks().iter().enumerate() {
        let code = block
            .replace("127.0.0.1:8000", &format!("127.0.0.1:{port}"))
            .replace("127.0.0.1:8787", &format!("127.0.0.1:{listener}"))
            .replace(" ID", " \"$ID\"");
        if block.contains(" ID") {
            script.push_str(
                "ID=$(gemini-webhooks list --json | sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/')\n",
            );
        }
        writeln!(script, "echo 'block {number}' >&2").unwrap();
        let out = format!("\"$OUT/{number}\"");
        if code.contains("cargo run") {
            writeln!(
                script,
                "[ -z \"$receiver\" ] || stop \"$receiver\"\n(\n{code}) > {out} 2> {out}.err < /dev/null &\nreceiver=$!\nuntil_open {port} \"$receiver\""
            )
            .unwrap();
        } else if goes_on(&code) {
            writeln!(
                script,
                "(\n{code}) > {out} 2>&1 < /dev/null &\nlistener=$!\nuntil_open {listener} \"$listener\"\n\
                 gemini-webhooks send http://127.0.0.1:{listener}/any --secret-file ~/webhook-secret.txt\nstop \"$listener\""
            )
            .unwrap();
        } else {
            let expected = expected_code(block);
            writeln!(
                script,
                "code=0\n{{\n{code}}} > {out} 2>&1 || code=$?\n[ \"$code\" = {expected} ] || {{ cat {out}; echo \"exit code $code\"; exit 9; }}"
            )
            .unwrap();
        }
        if code.starts_with("gemini-webhooks list") {
            script.push_str(
                "ID=$(gemini-webhooks list --json | sed 's/.*\"id\":\"\\([^\"]*\\)\".*/\\1/')\n",
            );
        }
    }
    script.push_str("stop \"$receiver\"\n");
    script
}

/// A folder with `cargo`, which starts what is built, and the program under its name.
fn programs(folder: &Path) -> PathBuf {
    let built = std::env::current_exe().unwrap();
    let examples = built.ancestors().nth(2).unwrap().join("examples");
    assert!(
        examples.join("axum").exists(),
        "build it before: cargo build --examples --all-features"
    );
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let cargo = format!(
        "#!/bin/bash\nset -eu\ncase \"$1\" in\n\
         install) [ \"$2 $3\" = '--locked --path' ] && grep -q 'name = \"gemini-webhooks\"' \"{root}/$4/Cargo.toml\" ;;\n\
         build) [ \"$2 $4\" = '--example --features' ] && test -x \"{examples}/$3\" ;;\n\
         run) [ \"$2 $4\" = '--example --features' ] && grep -q '^jwt = ' \"{root}/Cargo.toml\" && exec \"{examples}/$3\" ;;\n\
         *) exit 99 ;;\nesac\n",
        root = root.display(),
        examples = examples.display()
    );
    fs::write(bin.join("cargo"), cargo).unwrap();
    fs::set_permissions(bin.join("cargo"), fs::Permissions::from_mode(0o755)).unwrap();
    let program = env!("CARGO_BIN_EXE_gemini-webhooks");
    std::os::unix::fs::symlink(program, bin.join("gemini-webhooks")).unwrap();
    bin
}

/// An inbox with an event that is dead.
async fn inbox(database: &Path) -> Inbox<Sqlite> {
    let inbox = Inbox::sqlite(database.to_str().unwrap()).await.unwrap();
    let secret: SigningSecret = testing::SECRET.parse().unwrap();
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .without_replay_protection()
        .build()
        .unwrap();
    let now = SystemClock
        .now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let body = testing::SAMPLE_EVENTS[0];
    let lines = testing::sign_v1(&secret, "msg_dead", now.as_secs(), body);
    let lines = lines.iter().map(|(name, value)| (*name, value));
    let headers = DeliveryHeaders::from_lines(lines);
    let mut intake = receiver.admit("/", &headers, None).unwrap();
    intake.push(body.as_bytes()).unwrap();
    let Finished::Run(received) = intake.finish().await.unwrap() else {
        panic!("it is new");
    };
    inbox
        .put(&received.delivery, &received.event)
        .await
        .unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let worker =
        inbox
            .worker()
            .max_attempts(1)
            .otherwise(async |_: GeminiEvent, _: Work<Sqlite>| {
                Err(WorkError::dead("the bucket is gone"))
            });
    let watch = async {
        while inbox.depth().await.unwrap().dead == 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        stop.send(()).unwrap();
    };
    let (worked, ()) = tokio::join!(worker.run_until(async { drop(stopped.await) }), watch);
    worked.unwrap();
    inbox
}

/// A batch of the project that has ended, and of which no webhook tells.
async fn end_batch(google: &MockGoogle) {
    let service = WebhookService::builder()
        .api_key(API_KEY)
        .base_url(google.base_url())
        .build()
        .unwrap();
    let request = serde_json::json!({"batch": {"inputConfig": {"fileName": "files/7"}}});
    let batches = service.batches();
    let batch = batches.create("gemini-3", request, None).await.unwrap();
    let outcome = BatchOutcome::Succeeded;
    google.finish_batch(batch.name(), outcome).await.unwrap();
}

fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_page_does_what_it_says() {
    let google = MockGoogle::start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let out = folder.path().join("out");
    fs::create_dir(&home).unwrap();
    fs::create_dir(&out).unwrap();
    let inbox = inbox(&home.join("webhooks.db")).await;
    end_batch(&google).await;
    let bin = programs(folder.path());
    let free = || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let (port, listener) = (free(), free());
    // The page relies on the port at which `send` serves keys.
    drop(TcpListener::bind("127.0.0.1:8788").expect("the port 8788 is in use"));
    google.forward("https://example.com", &format!("http://127.0.0.1:{port}"));
    let path = std::env::var("PATH").unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", &script(port, listener)])
        .current_dir(&home)
        .env_clear()
        .env("HOME", &home)
        .env("OUT", &out)
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("GEMINI_API_URL", google.base_url())
        .env("LISTEN_ADDR", format!("127.0.0.1:{port}"))
        .env("NO_COLOR", "1");
    let ended = tokio::task::spawn_blocking(move || run(bash, format!("{API_KEY}\n").as_bytes()))
        .await
        .unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let blocks = blocks();
    let told = |starts: &str| {
        let number = blocks
            .iter()
            .position(|block| block.contains(starts))
            .expect(starts);
        fs::read_to_string(out.join(number.to_string())).unwrap()
    };

    // The webhook is there, and the secret of the second rotation is in the file that only its owner can read.
    let hooks = told("gemini-webhooks list");
    assert!(
        hooks.contains("https://example.com/gemini-callback"),
        "{hooks}"
    );
    let file = home.join("webhook-secret.txt");
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let secret = fs::read_to_string(&file).unwrap();
    let parsed: SigningSecret = secret.parse().unwrap();
    assert!(told("gemini-webhooks rotate").contains("has a new secret"));
    // The listener was started with it, and verified what it signed.
    assert!(told("gemini-webhooks listen").contains(parsed.key_id()));

    // The receiver of the first terminal saw the first delivery and refused the altered one.
    let seen = told("LOG_REFUSED_DELIVERIES");
    let lines = json_lines(&seen);
    assert_eq!(lines.len(), 2, "{seen}");
    assert_eq!(
        (&lines[0]["scheme"], &lines[0]["type"]),
        (&"v1".into(), &"batch.succeeded".into())
    );
    // By the mock of Google, under the secret in the file.
    assert_eq!(lines[1]["scheme"], "v1");
    let why = told("gemini-webhooks verify");
    assert!(why.contains("The secret is right"), "{why}");
    assert!(
        why.contains("something on the way changed the body. It read the JSON and wrote it anew"),
        "{why}"
    );

    // The second one saw the dynamic delivery with the token only, and the one that the listener passed on.
    let seen = told("WEBHOOK_ENDPOINT_TOKEN");
    let lines = json_lines(&seen);
    assert_eq!(lines.len(), 2, "{seen}");
    assert_eq!(
        (&lines[0]["scheme"], &lines[1]["scheme"]),
        (&"v1a".into(), &"v1".into())
    );

    // The listener showed and passed on what was sent to it, and the inbox has its event to work off again.
    let shown = told("gemini-webhooks listen");
    assert!(
        shown.contains("verified") && shown.contains("200"),
        "{shown}"
    );
    assert!(told("gemini-webhooks inbox").contains("msg_dead"));
    let backfilled = told("gemini-webhooks inbox backfill");
    for says in ["1 event would be stored.", "1 event was stored."] {
        assert!(backfilled.contains(says), "{backfilled}");
    }
    assert!(told("gemini-webhooks inbox jobs").contains("open     0"));
    let depth = inbox.depth().await.unwrap();
    assert_eq!((depth.waiting, depth.dead), (2, 0));
}
