//! The set-ups with expected jobs: the app starts jobs, takes the deliveries about them, and asks after those whose
//! event does not come.

use std::env;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use gemini_webhooks::client::{ClientError, Job, WebhookConfig, WebhookService};
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::rotation::SecretFile;
use gemini_webhooks::{GeminiEvent, Keyring, VerifyLayer, WebhookReceiver};
use gemini_webhooks_inbox::sqlx::postgres::PgPoolOptions;
use gemini_webhooks_inbox::sqlx::{Postgres, Sqlite};
use gemini_webhooks_inbox::{Database, Expect, Inbox, StartError, StartErrorKind, Work, WorkError};
use reqwest::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::inbox::{ATTEMPTS, HEARTBEAT, PAUSES, TIMEOUT};
use crate::line::{JobLine, Line};
use crate::mishap::Mishaps;
use crate::{
    BoxError, DYNAMIC, HANDLER_TIMEOUT, LEASE, NAMESPACE, Receivers, STATIC, required, serve,
    stopped,
};

/// The watcher looks so often for jobs whose time is over.
const INTERVAL: Duration = Duration::from_millis(500);
/// Another watcher takes the work over from one that has died.
const WATCHER_LEASE: Duration = Duration::from_secs(3);
/// A job that still runs is asked about again: first, and at most.
const ASKED_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// For all tries of a call to Google's API.
const DEADLINE: Duration = Duration::from_secs(3);

pub(crate) async fn run(stop: watch::Receiver<bool>) -> Result<(), BoxError> {
    let url = required("DATABASE_URL")?;
    if url.starts_with("sqlite:") {
        let inbox = Inbox::<Sqlite>::sqlite(&url).namespace(NAMESPACE).await?;
        all_roles(inbox, stop).await
    } else {
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_secs(2))
            .connect_lazy(&url)?;
        let inbox = Inbox::<Postgres>::postgres(pool).namespace(NAMESPACE);
        all_roles(inbox.await?, stop).await
    }
}

async fn all_roles<DB: Database>(
    inbox: Inbox<DB>,
    stop: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let base_url = required("GEMINI_BASE_URL")?;
    let service = WebhookService::builder()
        .api_key(required("GEMINI_API_KEY")?)
        .base_url(&base_url)
        .deadline(DEADLINE)
        .build()?;
    let starter = Starter {
        inbox: inbox.clone(),
        service: service.clone(),
        http: Client::builder().no_proxy().timeout(DEADLINE).build()?,
        base_url,
        callback: required("FAULT_CALLBACK")?,
    };
    let receivers = receivers(&inbox).await?;
    let mut app = Router::new()
        .route("/start", post(start::<DB>))
        .with_state(Arc::new(starter));
    for (path, receiver) in &receivers {
        let layer = VerifyLayer::new(receiver.clone());
        app = app.route(path, post(inbox.handler()).layer(layer));
    }
    let never_asks = env::var("FAULT_PLANT").is_ok_and(|plant| plant == "never-asks");
    let watching = async {
        if never_asks {
            return Ok(());
        }
        let watcher = inbox
            .watch(service)
            .interval(INTERVAL)
            .lease(WATCHER_LEASE)
            .pauses(ASKED_AGAIN.0, ASKED_AGAIN.1)
            .concurrency(16)
            .per_minute(100_000);
        watcher.run_until(stopped(stop.clone())).await
    };
    let working = inbox
        .worker()
        .with_state(Mishaps::from_env()?)
        .otherwise(on_event)
        .concurrency(16)
        .max_attempts(ATTEMPTS)
        .timeout(TIMEOUT)
        .heartbeat(HEARTBEAT)
        .pauses(PAUSES.0, PAUSES.1)
        .grace(Duration::from_secs(5))
        .run_until(stopped(stop.clone()));
    let serving = serve(app, &receivers, stop.clone());
    tokio::try_join!(serving, async { Ok(working.await?) }, async {
        Ok(watching.await?)
    })?;
    Ok(())
}

/// No token is in the URL: the jobs that are written down tie dynamic deliveries to this app.
async fn receivers<DB: Database>(inbox: &Inbox<DB>) -> Result<Receivers, BoxError> {
    let builder = || {
        WebhookReceiver::builder()
            .without_replay_protection()
            .handler_timeout(HANDLER_TIMEOUT)
            .lease(LEASE)
    };
    let file = SecretFile::new(required("WEBHOOK_SIGNING_SECRET_FILE")?);
    let keyring = Keyring::follow(file).every(Duration::from_secs(1)).await?;
    let dynamic = builder()
        .jwks_url(required("GEMINI_JWKS_URL")?)
        .accept_if(inbox.expects());
    Ok([
        (STATIC, builder().keyring(keyring).build()?),
        (DYNAMIC, dynamic.build()?),
    ])
}

async fn on_event<DB: Database>(
    event: GeminiEvent,
    work: Work<DB, Mishaps>,
) -> Result<(), WorkError> {
    let mishap = work.state().draw(&event);
    mishap.before().await.map_err(WorkError::new)?;
    let line = Line {
        webhook_id: work.webhook_id(),
        scheme: work.scheme(),
        r#type: event.type_name(),
        once: false,
        job: event.job().map(|job| JobLine {
            job: job.to_string(),
            found: work.found(),
        }),
    };
    line.print()?;
    mishap.after();
    Ok(())
}

struct Starter<DB: Database> {
    inbox: Inbox<DB>,
    service: WebhookService,
    /// For videos, which the crate's client does not start.
    http: Client,
    base_url: String,
    callback: String,
}

/// What `fault` asks for.
#[derive(Deserialize)]
struct Order {
    number: u64,
    kind: Kind,
    /// It is expected only after it has started.
    expects_after: bool,
    within_ms: u64,
    /// It has a `webhook_config` of its own.
    calls_back: bool,
    /// Between the start and the writing down of the name.
    pause_ms: u64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Batch,
    Interaction,
    Video,
}

/// What has become of the job.
enum Failure {
    NotStarted(String),
    /// It may run, or runs, and nobody has its name.
    Unknown(String),
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error.kind() {
            StartErrorKind::MayHaveStarted => Self::Unknown(error.to_string()),
            _ => Self::NotStarted(error.to_string()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error.may_have_been_carried_out() {
            true => Self::Unknown(error.to_string()),
            false => Self::NotStarted(error.to_string()),
        }
    }
}

async fn start<DB: Database>(
    State(starter): State<Arc<Starter<DB>>>,
    Json(order): Json<Order>,
) -> (StatusCode, Json<Value>) {
    let number = order.number;
    match starter.start(order).await {
        Ok(job) => (StatusCode::OK, Json(json!({"job": job.to_string()}))),
        Err(failure) => {
            let (state, why) = match failure {
                Failure::NotStarted(why) => ("not started", why),
                Failure::Unknown(why) => ("unknown", why),
            };
            warn!("job {number}: {state}: {why}");
            let told = json!({"error": state});
            (StatusCode::SERVICE_UNAVAILABLE, Json(told))
        }
    }
}

impl<DB: Database> Starter<DB> {
    async fn start(&self, order: Order) -> Result<JobId, Failure> {
        let expect =
            Expect::within(Duration::from_millis(order.within_ms)).metadata("start", order.number);
        let config = WebhookConfig::new().uri(&*self.callback);
        let config = order.calls_back.then_some(&config);
        let model = format!("fault-{}", order.number);
        if order.expects_after {
            let job = self.start_unexpected(order.kind, &model, config).await?;
            // If it fails, the job is not expected, and only a static webhook can tell of it.
            let expected = self.inbox.expect(&job, expect).await;
            expected.map_err(|error| Failure::Unknown(error.to_string()))?;
            return Ok(job);
        }
        let job = match order.kind {
            Kind::Batch => {
                let batches = self.service.batches();
                let request = batch();
                let started = self
                    .inbox
                    .start_batch(&batches, &model, request, config, expect);
                started.await?.job()
            }
            Kind::Interaction => {
                let interactions = self.service.interactions();
                let request = interaction(&model);
                let started = self
                    .inbox
                    .start_interaction(&interactions, request, config, expect);
                started.await?.job()
            }
            Kind::Video => {
                let pause = Duration::from_millis(order.pause_ms);
                return self.announce_video(&model, config, expect, pause).await;
            }
        };
        job.ok_or_else(|| Failure::Unknown("it has no name".to_owned()))
    }

    async fn start_unexpected(
        &self,
        kind: Kind,
        model: &str,
        config: Option<&WebhookConfig>,
    ) -> Result<JobId, Failure> {
        let job = match kind {
            Kind::Batch => {
                let batches = self.service.batches();
                batches.create(model, batch(), config).await?.job()
            }
            Kind::Interaction => {
                let interactions = self.service.interactions();
                interactions.create(interaction(model), config).await?.job()
            }
            Kind::Video => {
                let mut body = video();
                if let Some(config) = config {
                    config.put_into(Job::Video, &mut body)?;
                }
                Some(self.start_video(model, body).await?)
            }
        };
        job.ok_or_else(|| Failure::Unknown("it has no name".to_owned()))
    }

    /// As an app does that starts jobs with a client of its own.
    async fn announce_video(
        &self,
        model: &str,
        config: Option<&WebhookConfig>,
        expect: Expect,
        pause: Duration,
    ) -> Result<JobId, Failure> {
        let announced = self.inbox.announce(JobKind::Video, expect).await;
        let announced = announced.map_err(|error| Failure::NotStarted(error.to_string()))?;
        let mut body = video();
        announced.put_into(config, &mut body)?;
        let job = match self.start_video(model, body).await {
            Ok(job) => job,
            Err(Failure::NotStarted(why)) => {
                if let Err(error) = self.inbox.not_started(&announced).await {
                    info!("{model} becomes a dead letter, although it was not started: {error}");
                }
                return Err(Failure::NotStarted(why));
            }
            Err(unknown) => return Err(unknown),
        };
        sleep(pause).await;
        let named = self.inbox.started(&announced, &job).await;
        named.map_err(|error| Failure::Unknown(error.to_string()))?;
        Ok(job)
    }

    async fn start_video(&self, model: &str, body: Value) -> Result<JobId, Failure> {
        let url = format!("{}/v1beta/models/{model}:predictLongRunning", self.base_url);
        let key = required("GEMINI_API_KEY");
        let key = key.map_err(|error| Failure::NotStarted(error.to_string()))?;
        let request = self.http.post(url).header("x-goog-api-key", key);
        let answered = request.body(body.to_string()).send().await;
        let answer = answered.map_err(|error| match error.is_connect() {
            true => Failure::NotStarted(error.to_string()),
            false => Failure::Unknown(error.to_string()),
        })?;
        let status = answer.status();
        if !status.is_success() {
            let why = format!("Google answered {status}");
            return Err(match status.is_client_error() {
                true => Failure::NotStarted(why),
                false => Failure::Unknown(why),
            });
        }
        let unreadable = |why: String| Failure::Unknown(why);
        let body = answer.bytes().await;
        let body = body.map_err(|error| unreadable(error.to_string()))?;
        let operation: Value =
            serde_json::from_slice(&body).map_err(|error| unreadable(error.to_string()))?;
        let name = operation.get("name").and_then(Value::as_str);
        name.and_then(|name| JobId::new(JobKind::Video, name))
            .ok_or_else(|| unreadable("it has no name".to_owned()))
    }
}

fn batch() -> Value {
    json!({"batch": {"displayName": "fault", "inputConfig": {"fileName": "files/7"}}})
}

fn video() -> Value {
    json!({"instances": [{"prompt": "a cat"}]})
}

fn interaction(model: &str) -> Value {
    json!({"model": model, "input": "hello", "background": true})
}
