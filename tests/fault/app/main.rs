//! The app that `fault` drives: a receiver as a user would write it, whose handler now and then fails,
//! hangs or aborts the process.
//!
//! ```text
//! fault_app memory | redis | postgres | inbox [receive | work] | jobs
//! ```
//!
//! It has the settings of the example receivers, and these:
//!
//! | Variable | Meaning |
//! |---|---|
//! | `WEBHOOK_SIGNING_SECRET_FILE` | The file with the signing secrets. It is followed. |
//! | `FAULT_RANDOM` | A number, from which it follows what happens to the handlers. Without it nothing happens to them. |
//! | `FAULT_PLANT` | `marks-first`, `answers-first` or `never-asks`: a mistake that loses events, for `fault` to find. |
//! | `GEMINI_API_KEY`, `GEMINI_BASE_URL` | With `jobs`: the API that has the jobs. |
//! | `FAULT_CALLBACK` | With `jobs`: the URL that jobs call back to. |
//!
//! With `jobs`, `POST /start` starts a job.
//! `GET /tasks` answers with the number of tasks that live.

use std::env;
use std::error::Error;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use gemini_webhooks::rotation::SecretFile;
use gemini_webhooks::{EndpointToken, Keyring, WebhookReceiver, WebhookReceiverBuilder};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

mod guarded;
mod inbox;
mod jobs;
mod line;
mod mishap;
mod planted;

/// By their paths.
type Receivers = [(&'static str, WebhookReceiver); 2];
type BoxError = Box<dyn Error + Send + Sync>;

/// The same on all replicas.
const NAMESPACE: &str = "fault";
/// Longer than the sender waits, so that some handlers run while nobody waits for them.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(5);
/// What an event waits for after its process was killed.
const LEASE: Duration = Duration::from_secs(10);
/// How long what runs may take after the signal to stop.
const GRACE: Duration = Duration::from_secs(15);
const STATIC: &str = "/gemini-callback";
const DYNAMIC: &str = "/gemini-webhook-dynamic";

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let stop = stop()?;
    match words.as_slice() {
        ["memory"] => guarded::memory(stop).await?,
        ["redis"] => guarded::redis(stop).await?,
        ["postgres"] => guarded::postgres(stop).await?,
        ["inbox", role @ ..] => inbox::run(role, stop).await?,
        ["jobs"] => jobs::run(stop).await?,
        _ => {
            return Err(
                "usage: fault_app memory | redis | postgres | inbox [receive | work] | jobs".into(),
            );
        }
    }
    info!("stopped");
    Ok(())
}

/// The receivers of static and of dynamic webhooks.
async fn receivers(
    remember: impl Fn(WebhookReceiverBuilder) -> WebhookReceiverBuilder,
) -> Result<Receivers, BoxError> {
    let builder = || {
        remember(WebhookReceiver::builder())
            .handler_timeout(HANDLER_TIMEOUT)
            .lease(LEASE)
    };
    let file = SecretFile::new(required("WEBHOOK_SIGNING_SECRET_FILE")?);
    let keyring = Keyring::follow(file).every(Duration::from_secs(1)).await?;
    let token = EndpointToken::new(required("WEBHOOK_ENDPOINT_TOKEN")?)?;
    let mut dynamic = builder()
        .jwks_url(required("GEMINI_JWKS_URL")?)
        .endpoint_token(token);
    if let Ok(audience) = env::var("GEMINI_WEBHOOK_AUDIENCE") {
        dynamic = dynamic.accept_jwt(audience);
    }
    Ok([
        (STATIC, builder().keyring(keyring).build()?),
        (DYNAMIC, dynamic.build()?),
    ])
}

/// Serves until `stop`, and then for a while what is in flight.
async fn serve(
    app: Router,
    receivers: &Receivers,
    stop: watch::Receiver<bool>,
) -> Result<(), BoxError> {
    let tasks = async || Handle::current().metrics().num_alive_tasks().to_string();
    let app = app.route("/tasks", get(tasks));
    let address = required("LISTEN_ADDR")?;
    let listener = TcpListener::bind(&address).await?;
    info!("listening on http://{}", listener.local_addr()?);
    let server = axum::serve(listener, app).with_graceful_shutdown(stopped(stop.clone()));
    let server = tokio::spawn(server.into_future());
    stopped(stop).await;
    let drained = async {
        server.await??;
        for (_, receiver) in receivers {
            receiver.drained().await;
        }
        Ok::<(), BoxError>(())
    };
    match timeout(GRACE, drained).await {
        Ok(ended) => ended,
        Err(_) => {
            warn!("cut off what still ran {GRACE:?} after the signal to stop");
            Ok(())
        }
    }
}

fn required(name: &str) -> Result<String, BoxError> {
    env::var(name).map_err(|error| format!("{name}: {error}").into())
}

/// Becomes true at Ctrl-C and at SIGTERM.
fn stop() -> io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stopping, stop) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.send_replace(true);
    });
    Ok(stop)
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // It also ends if the sender is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}
