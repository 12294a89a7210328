//! The example that starts jobs, against a mock of Google.

use std::time::Duration;

use gemini_webhooks::EndpointToken;
use gemini_webhooks::client::{WebhookConfig, WebhookService};
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, DeliveryFault, MockGoogle};
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::process::{Example, SOON, clean, program};

const ORIGIN: &str = "https://my-app.example";

#[tokio::test(flavor = "multi_thread")]
async fn in_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("inbox.db").display());
    its_jobs_end_and_others_are_refused(&url).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgresql() {
    let server = gemini_webhooks_harness::PostgresServer::start();
    its_jobs_end_and_others_are_refused(&server.url()).await;
}

async fn its_jobs_end_and_others_are_refused(database: &str) {
    let google = MockGoogle::start().await.unwrap();
    let token = EndpointToken::generate().unwrap();
    let uri = format!("{ORIGIN}/gemini-webhook-dynamic");
    let url = token.url(&uri);
    let (_, secret) = url.split_once("token=").unwrap();
    let mut command = clean(program("inbox_jobs"));
    command
        .args(["files/told", "files/lost"])
        .env("GEMINI_API_KEY", API_KEY)
        .env("GEMINI_API_URL", google.base_url())
        .env("GEMINI_JWKS_URL", google.jwks_url())
        .env("WEBHOOK_URI", &uri)
        .env("WEBHOOK_ENDPOINT_TOKEN", secret)
        // The watcher looks at the start, and after ten seconds.
        .env("ANSWER_WITHIN", "5");
    let mut example = Example::run(command, true, database).await;
    google.forward(ORIGIN, &example.url());

    let started = async {
        while google.job_names().len() < 2 {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(SOON, started).await.expect("two batches");
    let names = google.job_names();
    google
        .finish_batch(&names[0], BatchOutcome::Succeeded)
        .await
        .unwrap();
    let told = example.next_line().await;
    assert_eq!(
        (&told["scheme"], &told["data"]["id"]),
        (&json!("v1a"), &json!(names[0]))
    );
    google.disturb(1, DeliveryFault::Lose);
    google
        .finish_batch(&names[1], BatchOutcome::Failed)
        .await
        .unwrap();

    // A stranger's, who has the URL.
    let stranger = WebhookService::builder().api_key(API_KEY);
    let stranger = stranger.base_url(google.base_url()).build().unwrap();
    let request = json!({"batch": {"inputConfig": {"fileName": "files/7"}}});
    let config = WebhookConfig::new().uri(&url);
    let batches = stranger.batches();
    let strange = batches.create("gemini-3", request, Some(&config));
    let strange = strange.await.unwrap();
    google
        .finish_batch(strange.name(), BatchOutcome::Succeeded)
        .await
        .unwrap();
    let refused = google.deliveries().pop().unwrap();
    let answers: Vec<_> = refused.attempts.into_iter().map(|it| it.answer).collect();
    assert_eq!(answers, [Ok(400)]);

    let found = example.next_line().await;
    assert_eq!(
        (&found["scheme"], &found["type"], &found["data"]["id"]),
        (&json!("asked"), &json!("batch.failed"), &json!(names[1]))
    );
    let files = [&told, &found].map(|line| line["user_metadata"]["file"].clone());
    assert!(files.contains(&json!("files/told")) && files.contains(&json!("files/lost")));
    assert_eq!(example.stop().await, [""; 0]);
}
