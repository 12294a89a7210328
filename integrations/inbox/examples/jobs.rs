//! Starts batches, and misses the end of none: each is expected, Google is asked after those whose event does not come,
//! and deliveries about other jobs are refused.
//!
//! ```text
//! GEMINI_API_KEY=… WEBHOOK_URI=https://example.com/gemini-webhook-dynamic \
//!     cargo run --package gemini-webhooks-inbox --example inbox_jobs --all-features -- files/abc files/def
//! ```
//!
//! | Variable or argument | Meaning |
//! |---|---|
//! | `FILE…` | Names of uploaded files with requests. A batch is started for each. |
//! | `GOOGLE_API_KEY`, else `GEMINI_API_KEY` | The API key of the project whose jobs these are. |
//! | `GEMINI_API_URL` | Where the API is. Google's by default. |
//! | `GEMINI_MODEL` | The model. `gemini-3-flash-preview` by default. |
//! | `WEBHOOK_URI` | The URL at which Google reaches this app, as `POST /gemini-webhook-dynamic`. |
//! | `WEBHOOK_ENDPOINT_TOKEN` | An endpoint token. If it is set, it is a part of the URL and required in deliveries. |
//! | `ANSWER_WITHIN` | After so many seconds without an event Google is asked. A day by default. |
//! | `DATABASE_URL`, `LISTEN_ADDR`, `GEMINI_JWKS_URL` | As in the example with axum. |
//!
//! White space around a value is ignored, and an empty variable counts as not set.
//!
//! Each event is printed to stdout as one line of JSON, by the worker. Its `scheme` is `asked` if no webhook has brought
//! it. The log goes to stderr, and `RUST_LOG` filters it.

use std::env;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use gemini_webhooks::client::{WebhookConfig, WebhookService};
use gemini_webhooks::{EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver};
use gemini_webhooks_inbox::sqlx::PgPool;
use gemini_webhooks_inbox::{Database, Expect, Inbox, Work, WorkError};
use serde_json::json;
use tracing::{error, info};

#[allow(dead_code, reason = "the other examples use more of it")]
mod app;
#[path = "app/serve.rs"]
mod serve;

use app::{exit_code, keys, start_log, stop, stopped, variable};
use serve::{listen, serve};

const PATH: &str = "/gemini-webhook-dynamic";

#[tokio::main]
async fn main() -> ExitCode {
    start_log();
    exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let url = variable("DATABASE_URL")?.unwrap_or_else(|| "sqlite:webhooks.db".to_owned());
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        let pool = PgPool::connect_lazy(&url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        run_with(Inbox::postgres(pool).await?).await
    } else {
        run_with(Inbox::sqlite(&url).await?).await
    }
}

async fn run_with<DB: Database>(inbox: Inbox<DB>) -> Result<(), Box<dyn Error>> {
    let mut service = WebhookService::builder();
    if let Some(base) = variable("GEMINI_API_URL")? {
        service = service.base_url(base);
    }
    let service = service.build()?;
    let token = variable("WEBHOOK_ENDPOINT_TOKEN")?.map(EndpointToken::new);
    let token = token
        .transpose()
        .map_err(|error| format!("WEBHOOK_ENDPOINT_TOKEN: {error}"))?;
    let jobs = Jobs::from_env(token.as_ref())?;

    let mut receiver = WebhookReceiver::builder()
        .key_source(keys()?)
        // Google signs the jobs of all of its customers with these keys. Only those that are written down get in.
        .accept_if(inbox.expects())
        .without_replay_protection();
    if let Some(token) = token {
        receiver = receiver.endpoint_token(token);
    }
    let callback = post(inbox.handler()).layer(VerifyLayer::new(receiver.build()?));
    let routes = Router::new().route(PATH, callback);

    let stop = stop()?;
    let listener = listen().await?;
    let serving = async { Ok::<_, Box<dyn Error>>(serve(listener, routes, stop.clone()).await?) };
    let worker = inbox.worker().otherwise(on_event);
    let working = async { Ok(worker.run_until(stopped(stop.clone())).await?) };
    let watcher = inbox.watch(service.clone());
    let watching = async { Ok(watcher.run_until(stopped(stop.clone())).await?) };
    let starting = async {
        jobs.start_all(&inbox, &service).await;
        Ok(())
    };
    tokio::try_join!(serving, working, watching, starting)?;
    info!("stopped");
    Ok(())
}

/// What is started, and how.
struct Jobs {
    files: Vec<String>,
    model: String,
    config: WebhookConfig,
    within: Duration,
}

impl Jobs {
    fn from_env(token: Option<&EndpointToken>) -> Result<Self, Box<dyn Error>> {
        let uri = variable("WEBHOOK_URI")?.ok_or("WEBHOOK_URI is not set")?;
        let uri = token.map_or_else(|| uri.clone(), |token| token.url(&uri));
        let seconds = variable("ANSWER_WITHIN")?.map(|text| text.parse());
        let seconds = seconds
            .transpose()
            .map_err(|error| format!("ANSWER_WITHIN: {error}"))?;
        Ok(Self {
            files: env::args().skip(1).collect(),
            model: variable("GEMINI_MODEL")?.unwrap_or_else(|| "gemini-3-flash-preview".to_owned()),
            config: WebhookConfig::new().uri(uri),
            within: Duration::from_secs(seconds.unwrap_or(24 * 60 * 60)),
        })
    }

    async fn start_all<DB: Database>(&self, inbox: &Inbox<DB>, service: &WebhookService) {
        let batches = service.batches();
        for file in &self.files {
            let request = json!({"batch": {"inputConfig": {"fileName": file}}});
            // The handler gets it back.
            let expect = Expect::within(self.within).metadata("file", file.as_str());
            let config = Some(&self.config);
            match inbox
                .start_batch(&batches, &self.model, request, config, expect)
                .await
            {
                Ok(batch) => info!("started {} for {file}", batch.name()),
                // It says whether the batch runs.
                Err(error) => error!("{file}: {error}"),
            }
        }
    }
}

/// Stands for what your app does, whoever has told that the job has ended.
async fn on_event<DB: Database>(event: GeminiEvent, work: Work<DB>) -> Result<(), WorkError> {
    let expectation = work.expectation().await?;
    let file = expectation
        .as_ref()
        .and_then(|job| job.metadata().get("file"));
    let file = file.map_or("another job".to_owned(), ToString::to_string);
    info!(found = work.found(), "the job of {file} has an event");
    app::on_event(event, work).await
}
