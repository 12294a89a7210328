//! Batches whose end nobody has told the inbox, and jobs that are expected.

use std::process::Command;
use std::time::Duration;

use gemini_webhooks::client::WebhookService;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, Call, Fault, MockGoogle};
use gemini_webhooks_inbox::sqlx::sqlite::SqliteConnection;
use gemini_webhooks_inbox::sqlx::{Connection as _, raw_sql};
use gemini_webhooks_inbox::{Database, Inbox};
use serde_json::{Value, json};

use crate::commands::on_both;
use crate::home::{BATCH, Place, ended, postgres, put, sqlite};
use crate::run::Ended;
#[cfg(target_os = "linux")]
use crate::terminal::Terminal;

on_both! {
    what_is_missing_is_found_once
    jobs_are_counted
}

/// The program with these arguments, the mock, and its key.
fn program(place: &Place, google: &MockGoogle, arguments: &[&str]) -> Command {
    let mut program = place.program(&[&["backfill"], arguments].concat());
    program
        .env("GEMINI_API_KEY", API_KEY)
        .env("GEMINI_API_URL", google.base_url());
    program
}

async fn backfill(place: &Place, google: &MockGoogle, arguments: &[&str]) -> Ended {
    ended(program(place, google, arguments)).await
}

/// Runs it and expects it to succeed.
async fn as_json(place: &Place, google: &MockGoogle, arguments: &[&str]) -> Value {
    let ended = backfill(place, google, &[arguments, &["--json"]].concat()).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str(&ended.stdout).unwrap()
}

/// Starts a batch that calls nobody.
async fn start(google: &MockGoogle) -> String {
    let service = WebhookService::builder()
        .api_key(API_KEY)
        .base_url(google.base_url())
        .build()
        .unwrap();
    let request = json!({"batch": {"inputConfig": {"fileName": "files/7"}}});
    let batches = service.batches();
    let batch = batches.create("gemini-3", request, None).await.unwrap();
    batch.name().to_owned()
}

async fn end(google: &MockGoogle, outcome: BatchOutcome) -> String {
    let name = start(google).await;
    google.finish_batch(&name, outcome).await.unwrap();
    name.replace("batches/", "batch/")
}

async fn what_is_missing_is_found_once<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    let google = MockGoogle::start().await.unwrap();
    let job = end(&google, BatchOutcome::Failed).await;
    start(&google).await;

    let looked = as_json(place, &google, &["--dry-run"]).await;
    let ended_at = looked["jobs"][0]["ended_at"].as_str().unwrap().to_owned();
    let mut expected = json!({
        "dry_run": true,
        "looked_back_seconds": 86400,
        "is_capped": false,
        "listed": 2,
        "running": 1,
        "too_old": 0,
        "known": 0,
        "unusable": 0,
        "found": 1,
        "jobs": [{ "job": job, "type": "batch.failed", "ended_at": ended_at }],
    });
    assert_eq!(looked, expected);
    let counts = [
        "listed   2",
        "running  1",
        "too old  0",
        "known    0",
        "found    1",
    ];
    for (arguments, says, stored) in [
        (
            &["--dry-run"][..],
            "1 event would be stored. It looked back for 1 d 0 h.",
            0,
        ),
        (
            &["--ended-within", "2h"],
            "1 event was stored. It looked back for 2 h 0 min.",
            1,
        ),
    ] {
        let ended = backfill(place, &google, arguments).await;
        assert_eq!((ended.code, ended.stderr.trim_end()), (Some(0), says));
        let lines: Vec<_> = ended.stdout.lines().collect();
        assert_eq!(lines[..5], counts, "{ended:?}");
        assert_eq!(lines.len(), 7, "{ended:?}");
        let words: Vec<_> = lines[6].split_whitespace().collect();
        assert_eq!(words, [&*job, "batch.failed", &*ended_at]);
        assert_eq!(inbox.depth().await.unwrap().waiting, stored);
    }
    expected["dry_run"] = false.into();
    expected["known"] = 1.into();
    expected["found"] = 0.into();
    expected["jobs"] = json!([]);
    assert_eq!(as_json(place, &google, &[]).await, expected);
    let nothing = backfill(place, &google, &[]).await;
    assert!(
        nothing.stderr.starts_with("0 events were stored."),
        "{nothing:?}"
    );
    assert_eq!(nothing.stdout.lines().count(), 5, "{nothing:?}");
    let shown = place.lines(&["list"]).await;
    assert!(shown[1].contains("found by a backfill"), "{shown:?}");
}

async fn jobs_are_counted<DB: Database>(inbox: &Inbox<DB>, place: &Place) {
    let none = json!({ "open": 0, "unnamed": 0, "overdue": 0, "longest_overdue_seconds": null });
    assert_eq!(place.json(&["jobs", "--json"]).await, [none]);
    assert_eq!(
        place.lines(&["jobs"]).await,
        ["open     0", "unnamed  0", "overdue  0", "longest  none"]
    );
    let hour = Duration::from_secs(3600);
    let job = JobId::new(JobKind::Batch, "batches/1").unwrap();
    inbox.expect(&job, Duration::ZERO).await.unwrap();
    inbox.announce(JobKind::Batch, hour).await.unwrap();
    inbox.announce(JobKind::Interaction, hour).await.unwrap();
    let counted = place.json(&["jobs", "--json"]).await;
    let expected = json!({
        "open": 3,
        "unnamed": 2,
        "overdue": 1,
        "longest_overdue_seconds": counted[0]["longest_overdue_seconds"].as_u64().unwrap(),
    });
    assert_eq!(counted, [expected]);
    let lines = place.lines(&["jobs"]).await;
    assert_eq!(lines[..3], ["open     3", "unnamed  2", "overdue  1"]);
    assert!(lines[3].ends_with(" s"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_never_looks_back_further_than_the_inbox_remembers() {
    let place = Place::new_sqlite();
    let inbox = sqlite(&place).await;
    let google = MockGoogle::start().await.unwrap();
    for (name, arguments, says) in [
        (
            "too long",
            &["--ended-within", "25h"][..],
            "look back for 24 hours at most. If your app keeps them for longer, give that by --kept-for",
        ),
        (
            "two times",
            &["--ended-within", "1h", "--since-last-event"],
            "cannot be used with",
        ),
        ("no time", &["--ended-within", "0"], "longer than zero"),
        ("no memory", &["--kept-for", "24h"], "less than 25h"),
        ("no requests", &["--per-minute", "0"], "0 is not in 1.."),
    ] {
        let ended = backfill(&place, &google, arguments).await;
        assert_eq!((ended.code, &*ended.stdout), (Some(2), ""), "{name}");
        assert!(ended.stderr.contains(says), "{name}: {ended:?}");
    }
    let keyless = place.run(&["backfill"]).await;
    assert_eq!(keyless.code, Some(2), "{keyless:?}");
    assert!(
        keyless.stderr.contains("there is no API key"),
        "{keyless:?}"
    );
    assert!(google.requests().is_empty());

    let arguments = ["--ended-within", "71h", "--kept-for", "72h"];
    let done = as_json(&place, &google, &arguments).await;
    assert_eq!(done["looked_back_seconds"], 71 * 3600);

    put(&inbox, "told", BATCH.as_bytes()).await;
    let mut connection = SqliteConnection::connect(&place.file()).await.unwrap();
    let age = "UPDATE gemini_webhooks_inbox SET received_at = received_at - 30 * 3600000";
    raw_sql(age).execute(&mut connection).await.unwrap();
    let capped = backfill(&place, &google, &["--since-last-event"]).await;
    assert_eq!(capped.code, Some(0), "{capped:?}");
    assert!(
        capped.stderr.contains("It looked back for 1 d 0 h."),
        "{capped:?}"
    );
    assert!(
        capped
            .stderr
            .contains("warning: the last event came longer ago"),
        "{capped:?}"
    );
    let arguments = ["--since-last-event", "--kept-for", "168h"];
    let whole = as_json(&place, &google, &arguments).await;
    assert_eq!(whole["is_capped"], false);
    let looked_back = whole["looked_back_seconds"].as_u64().unwrap();
    assert_eq!(looked_back / 60, 30 * 60 + 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stored_before_a_failure_stays() {
    let place = Place::new_sqlite();
    let inbox = sqlite(&place).await;
    let google = MockGoogle::start().await.unwrap();
    google.fail(Call::BatchesList, 1, Fault::Status(403));
    let refused = backfill(&place, &google, &[]).await;
    assert_eq!((refused.code, &*refused.stdout), (Some(1), ""));
    assert!(
        refused.stderr.starts_with("error: batches.list failed"),
        "{refused:?}"
    );
    assert!(
        refused.stderr.contains("The key came from GEMINI_API_KEY."),
        "{refused:?}"
    );

    first_page(&google).await;
    google.fail(Call::BatchesList, 1, Fault::Status(403));
    let failed = backfill(&place, &google, &[]).await;
    assert_eq!((failed.code, &*failed.stdout), (Some(1), ""));
    let says = "1 event was stored, and then it failed: batches.list failed";
    assert!(failed.stderr.contains(says), "{failed:?}");
    assert_eq!(inbox.depth().await.unwrap().waiting, 1);
    let again = as_json(&place, &google, &[]).await;
    assert_eq!((&again["known"], &again["found"]), (&1.into(), &0.into()));
}

/// The next list has the only batch of the project, and says that there is more.
async fn first_page(google: &MockGoogle) {
    let name = end(google, BatchOutcome::Succeeded).await;
    let service = WebhookService::builder()
        .api_key(API_KEY)
        .base_url(google.base_url())
        .build()
        .unwrap();
    let id = name.replace("batch/", "batches/");
    let batch = service.batches().get(&id).await.unwrap();
    let page = json!({ "operations": [batch.json()], "nextPageToken": "x" });
    let page = Fault::Body(200, page.to_string());
    google.fail(Call::BatchesList, 1, page);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_it_and_what_was_stored_stays() {
    let place = Place::new_sqlite();
    let inbox = sqlite(&place).await;
    let google = MockGoogle::start().await.unwrap();
    first_page(&google).await;
    let terminal = Terminal::start(&program(&place, &google, &["--per-minute", "1"]));
    terminal.shows("Still going through the project's batches, within --per-minute 1.");
    // Ctrl-C itself would end the shell at the terminal as well.
    terminal.signal("-INT");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(130), "{screen}");
    assert!(screen.contains("What was stored stays"), "{screen}");
    assert_eq!(inbox.depth().await.unwrap().waiting, 1);
}
