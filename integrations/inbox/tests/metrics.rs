//! What a pass tells the operators: the metrics of the table in the crate's documentation, and the log.
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

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use gemini_webhooks::client::Webhook;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::google::{BatchOutcome, DeliveryFault, InteractionStatus};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

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

/// Name and kind, and the names of the labels.
type Metric = (String, &'static str, Vec<String>);

/// What the documentation says.
fn documented() -> Vec<Metric> {
    let rows = include_str!("../src/lib.rs").lines();
    let rows = rows.filter(|line| line.starts_with("//! | `gemini_webhooks_"));
    let cells = |row: &'static str| -> Vec<&str> { row.split('|').map(str::trim).collect() };
    let mut metrics: Vec<Metric> = rows
        .map(|row| {
            let cells = cells(row);
            let label = cells[3].split_once(':').map(|(label, _)| label);
            let labels = label.iter().map(|label| label.trim_matches('`').to_owned());
            let name = cells[1].trim_matches('`').to_owned();
            (name, cells[2], labels.collect())
        })
        .collect();
    metrics.sort();
    metrics
}

/// What was emitted, with the values by `name{label="value"}`. Each has a description, and all but one a unit.
fn emitted(snapshotter: &Snapshotter) -> (Vec<Metric>, BTreeMap<String, f64>) {
    let mut metrics = Vec::new();
    let mut values = BTreeMap::new();
    for (key, unit, description, value) in snapshotter.snapshot().into_vec() {
        let (kind, key) = key.into_parts();
        let name = key.name().to_owned();
        assert!(description.is_some(), "{name}");
        assert_eq!(unit.is_none(), name.ends_with("_enabled"), "{name}");
        let (kind, value) = match (kind, value) {
            (MetricKind::Counter, DebugValue::Counter(count)) => ("counter", count as f64),
            (MetricKind::Gauge, DebugValue::Gauge(value)) => ("gauge", value.0),
            other => panic!("{name}: {other:?}"),
        };
        let labels: Vec<_> = key.labels().collect();
        let shown: Vec<String> = labels
            .iter()
            .map(|label| format!("{}=\"{}\"", label.key(), label.value()))
            .collect();
        values.insert(format!("{name}{{{}}}", shown.join(",")), value);
        let labels = labels.iter().map(|label| label.key().to_owned());
        metrics.push((name, kind, labels.collect()));
    }
    metrics.sort();
    metrics.dedup();
    (metrics, values)
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
    // One thread, so that its recorder is that of all tasks.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (rig, endpoint) = runtime.block_on(something_of_everything());
    let watcher = rig.watcher().webhook(&endpoint.id);
    let enabling = watcher.enable_again_if(async |_: Webhook| Ok(true));
    let pass = metrics::with_local_recorder(&recorder, || runtime.block_on(enabling.pass()));
    assert_eq!(pass.unwrap().failed, 0);

    let (metrics, values) = emitted(&snapshotter);
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
    let other =
        "INSERT INTO gemini_webhooks_inbox_leases VALUES ('default', 'watch', '', 99999999999999)";
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
