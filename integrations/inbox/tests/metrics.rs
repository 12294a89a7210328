//! What the operators are told: the metrics of the guide's table, and the log of a pass.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "inbox/app.rs"]
mod app;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "jobs/endpoint.rs"]
mod endpoint;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "inbox/home.rs"]
mod home;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "jobs/rig.rs"]
mod rig;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gemini_webhooks::client::Webhook;
use gemini_webhooks::event::{BatchSucceeded, JobId, JobKind};
use gemini_webhooks::testing::google::{BatchOutcome, DeliveryFault, InteractionStatus};
use gemini_webhooks_inbox::sqlx::{Connection as _, Sqlite, SqliteConnection, raw_sql};
use gemini_webhooks_inbox::{Inbox, Work, WorkError};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use app::{BATCH, deliver, until};
use endpoint::Endpoint;
use home::{Home as _, SqliteHome};
use rig::{AT_ONCE, LATER, Rig};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(line)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Kind and unit, and the labels with their values; `…` stands for those that cannot be listed.
type Metric = (String, String, BTreeMap<String, BTreeSet<String>>);

/// What the guide says of this crate's metrics.
fn documented() -> BTreeMap<String, Metric> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let quoted = |cell: &str| -> Vec<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let mut metrics = BTreeMap::new();
    for row in page
        .lines()
        .filter(|line| line.starts_with("| `gemini_webhooks_"))
    {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let name = quoted(cells[0]).remove(0);
        let is_ours = ["gemini_webhooks_inbox_", "gemini_webhooks_endpoint_"];
        if !is_ours.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        match cells[..] {
            [_, kind, unit, _] => {
                let metric = (kind.to_owned(), unit.to_owned(), BTreeMap::new());
                assert!(metrics.insert(name, metric).is_none(), "{row}");
            }
            [_, label, values] => {
                let open = values.starts_with('…').then(|| vec!["…".to_owned()]);
                let values = open.unwrap_or_else(|| quoted(values));
                let metric: &mut Metric = metrics.get_mut(&name).unwrap();
                let label = quoted(label).remove(0);
                metric.2.insert(label, values.into_iter().collect());
            }
            _ => panic!("{row}"),
        }
    }
    metrics
}

/// What was emitted, with the values by `name{label="value"}`: of a histogram how many there are. Each has a description.
fn emitted(snapshotter: &Snapshotter) -> (BTreeMap<String, Metric>, BTreeMap<String, f64>) {
    let mut metrics = BTreeMap::new();
    let mut values = BTreeMap::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let name = key.name().to_owned();
        assert!(description.is_some(), "{name}");
        let (kind, value) = match (kind, value) {
            (MetricKind::Counter, DebugValue::Counter(count)) => ("counter", count as f64),
            (MetricKind::Gauge, DebugValue::Gauge(value)) => ("gauge", value.0),
            (MetricKind::Histogram, DebugValue::Histogram(times)) => {
                ("histogram", times.len() as f64)
            }
            other => panic!("{name}: {other:?}"),
        };
        let labels: Vec<_> = key.labels().collect();
        let shown: Vec<String> = labels
            .iter()
            .map(|label| format!("{}=\"{}\"", label.key(), label.value()))
            .collect();
        values.insert(format!("{name}{{{}}}", shown.join(",")), value);
        let unit = unit.map_or("", |unit| unit.as_str()).to_owned();
        let metric: &mut Metric = metrics
            .entry(name)
            .or_insert_with(|| (kind.to_owned(), unit, BTreeMap::new()));
        for label in labels {
            let value = match label.key() {
                "stored" | "state" | "outcome" => label.value(),
                _ => "…",
            };
            let values = metric.2.entry(label.key().to_owned()).or_default();
            values.insert(value.to_owned());
        }
    }
    (metrics, values)
}

fn runtime() -> tokio::runtime::Runtime {
    // One thread, so that its recorder is that of all tasks.
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Runs the events that wait, until nothing waits or runs. What a handler does is in the id of its event.
async fn work_off(home: &SqliteHome, inbox: &Inbox<Sqlite>) {
    let file = home.file();
    let worker = inbox.worker().max_attempts(2).on(move |_: BatchSucceeded, work: Work<_>| {
        let file = file.clone();
        async move {
            match work.webhook_id() {
                "msg_fails" => Err(WorkError::again_after(Duration::ZERO, "the work's own")),
                "msg_dies" => Err(WorkError::dead("the work's own")),
                // Another worker takes it meanwhile.
                "msg_lost" => {
                    let url = format!("sqlite:{file}");
                    let mut connection = SqliteConnection::connect(&url).await?;
                    let taken = "UPDATE gemini_webhooks_inbox SET runs = runs + 1 WHERE webhook_id = 'msg_lost'";
                    raw_sql(taken).execute(&mut connection).await?;
                    Ok(())
                }
                _ => Ok(()),
            }
        }
    });
    let enough = async {
        let lost =
            "SELECT count(*) FROM gemini_webhooks_inbox WHERE webhook_id = 'msg_lost' AND runs > 1";
        while home.number(lost).await == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        until(inbox, |depth| depth.waiting == 0 && depth.running <= 1).await;
    };
    worker.run_until(enough).await.unwrap();
}

/// Everything that can become of an event.
async fn store_and_work_off() {
    let home = SqliteHome::new().await;
    let inbox = home.open().max_waiting(4).await.unwrap();
    for (id, status) in [
        ("msg_done", 200),
        ("msg_done", 200),
        ("msg_fails", 200),
        ("msg_dies", 200),
        ("msg_lost", 200),
        ("msg_full", 503),
    ] {
        assert_eq!(deliver(&inbox, id, BATCH).await.0, status, "{id}");
    }
    work_off(&home, &inbox).await;
    let gone = "ALTER TABLE gemini_webhooks_inbox RENAME TO gone";
    home.execute(gone).await;
    assert_eq!(deliver(&inbox, "msg_unstored", BATCH).await.0, 503);
}

/// Something of everything: an event that was lost, a job that is gone, one that runs, a webhook that is switched off.
async fn something_of_everything() -> (Rig<SqliteHome>, Endpoint) {
    let rig = Rig::new(SqliteHome::new().await).await;
    let endpoint = Endpoint::register(&rig).await;
    endpoint.go_down(&rig).await;
    rig.google.disturb(1, DeliveryFault::Lose);
    let batch = rig.start_batch(AT_ONCE).await;
    rig.google
        .finish_batch(&batch, BatchOutcome::Succeeded)
        .await
        .unwrap();
    let interaction = rig.start_interaction(AT_ONCE).await;
    let incomplete = InteractionStatus::Incomplete;
    rig.google
        .set_interaction(&interaction, incomplete)
        .await
        .unwrap();
    let unaskable = JobId::new(JobKind::Video, "op7").unwrap();
    rig.inbox.expect(&unaskable, AT_ONCE).await.unwrap();
    rig.start_batch(AT_ONCE).await;
    rig.start_batch(LATER).await;
    (rig, endpoint)
}

/// What storing and working off emit.
fn stored_and_worked_off() -> (BTreeMap<String, Metric>, BTreeMap<String, f64>) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || runtime().block_on(store_and_work_off()));
    emitted(&snapshotter)
}

#[test]
fn the_documented_metrics_are_emitted() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    // The only test of its process: what threads log for the first time meets no other subscriber.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let runtime = runtime();
    let (rig, endpoint) = runtime.block_on(something_of_everything());
    let watcher = rig.watcher().webhook(&endpoint.id);
    let enabling = watcher.enable_again_if(async |_: Webhook| Ok(true));
    let pass = metrics::with_local_recorder(&recorder, || runtime.block_on(enabling.pass()));
    assert_eq!(pass.unwrap().failed, 0);

    let (mut metrics, values) = emitted(&snapshotter);
    let counts = [
        (r#"stored_total{stored="new"}"#, 4.0),
        (r#"stored_total{stored="copy"}"#, 1.0),
        (r#"stored_total{stored="full"}"#, 1.0),
        (r#"stored_total{stored="unavailable"}"#, 1.0),
        (r#"runs_total{outcome="done"}"#, 1.0),
        (r#"runs_total{outcome="failed"}"#, 1.0),
        (r#"runs_total{outcome="dead"}"#, 2.0),
        (r#"runs_total{outcome="lost"}"#, 1.0),
        ("run_seconds{}", 5.0),
    ];
    let (of_the_rest, counted) = stored_and_worked_off();
    for (name, count) in counts {
        let name = format!("gemini_webhooks_inbox_{name}");
        assert_eq!(counted.get(&name), Some(&count), "{name} in {counted:#?}");
    }
    metrics.extend(of_the_rest);
    // In a build of the whole workspace the receiver has its own.
    let of_inbox = ["gemini_webhooks_inbox_", "gemini_webhooks_endpoint_"];
    metrics.retain(|name, _| of_inbox.iter().any(|prefix| name.starts_with(prefix)));
    assert_eq!(metrics, documented());
    let is_enabled = format!(
        "gemini_webhooks_endpoint_enabled{{webhook=\"{}\"}}",
        endpoint.id
    );
    let expected = [
        (
            "gemini_webhooks_inbox_found_events_total{type=\"batch.succeeded\"}",
            1.0,
        ),
        (
            "gemini_webhooks_inbox_found_events_total{type=\"gemini-webhooks.interaction.incomplete\"}",
            1.0,
        ),
        ("gemini_webhooks_inbox_lost_jobs_total{kind=\"video\"}", 1.0),
        ("gemini_webhooks_inbox_expected_jobs{}", 2.0),
        ("gemini_webhooks_inbox_overdue_jobs{}", 1.0),
        (&is_enabled, 1.0),
        ("gemini_webhooks_endpoint_enabled_again_total{}", 1.0),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(values, BTreeMap::from(expected));

    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for parts in [
        [
            "ERROR",
            "Google has switched the webhook off",
            endpoint.id.as_str(),
        ],
        ["WARN", "is enabled again", &endpoint.id],
        ["WARN", "was found by asking", "batch.succeeded"],
        ["ERROR", "an expected job is a dead letter", "video"],
    ] {
        let has = |line: &str| parts.iter().all(|part| line.contains(part));
        assert!(text.lines().any(has), "{parts:?} is not in:\n{text}");
    }

    // A watcher that does not do the work knows nothing.
    let other = "INSERT INTO gemini_webhooks_inbox_leases
        VALUES ('default', 'watch', '', CAST(unixepoch('subsec') * 1000 AS INTEGER) + 60000)";
    runtime.block_on(rig.home.execute(other));
    let pass = metrics::with_local_recorder(&recorder, || runtime.block_on(enabling.pass()));
    assert!(pass.unwrap().is_elsewhere);
    let (_, values) = emitted(&snapshotter);
    let unknown = values.iter().filter(|(_, value)| value.is_nan());
    let mut unknown: Vec<_> = unknown.map(|(name, _)| name.as_str()).collect();
    unknown.sort_unstable();
    assert_eq!(
        unknown,
        [
            is_enabled.as_str(),
            "gemini_webhooks_inbox_expected_jobs{}",
            "gemini_webhooks_inbox_overdue_jobs{}",
        ]
    );
}
