//! A complete small receiver of static webhooks.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example axum --features axum,tracing
//! ```
//!
//! Each event that is handled is one JSON line on stdout; the log goes to stderr (`RUST_LOG`).
//! `LISTEN_ADDR` is `127.0.0.1:8000` unless set. Several secrets, for a rotation, are separated
//! by white space.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiver};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

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

async fn run() -> Result<(), Box<dyn Error>> {
    let app = app()?;
    let address = env::var("LISTEN_ADDR").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    // Listened for before the first request, so that no signal falls in between.
    let stop = stop_signal()?;
    info!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app)
        .with_graceful_shutdown(stop)
        .await?;
    info!("stopped");
    Ok(())
}

/// The route exists only with a secret: without one nothing could be verified.
fn app() -> Result<Router, Box<dyn Error>> {
    let secrets = env::var("WEBHOOK_SIGNING_SECRET").unwrap_or_default();
    let mut builder = WebhookReceiver::builder();
    for secret in secrets.split_whitespace() {
        builder = builder.signing_secret(secret);
    }
    if secrets.trim().is_empty() {
        warn!("WEBHOOK_SIGNING_SECRET is not set: /gemini-callback answers 404");
        return Ok(Router::new());
    }
    let receiver = builder
        .build()
        .map_err(|error| format!("WEBHOOK_SIGNING_SECRET: {error}"))?;
    let on_event = post(on_event).route_layer(VerifyLayer::new(receiver));
    Ok(Router::new().route("/gemini-callback", on_event))
}

/// Stands for what your app does: put the event where it will not get lost, then answer. An
/// error is answered 500, and Google sends the delivery again.
async fn on_event(delivery: Delivery, event: GeminiEvent) -> Result<Json<Value>, Failed> {
    let line = serde_json::to_string(&Line {
        webhook_id: delivery.id(),
        scheme: delivery.scheme().as_str(),
        r#type: event.type_name(),
        version: event.version(),
        timestamp: event.timestamp(),
        data: event.data_as()?,
        user_metadata: event.user_metadata_as()?,
    })?;
    // Inside JSON a line break is white space only: in a string it would be escaped.
    let line = line.replace(['\n', '\r'], " ");
    // `println!` panics where stdout is closed; and only a line that is out has been handled.
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    Ok(Json(json!({"status": "received"})))
}

/// `RawValue` passes JSON on as it came, whatever its shape.
#[derive(Serialize)]
struct Line<'a> {
    webhook_id: &'a str,
    scheme: &'a str,
    r#type: Option<&'a str>,
    version: Option<&'a str>,
    timestamp: Option<&'a str>,
    data: Option<&'a RawValue>,
    user_metadata: Option<&'a RawValue>,
}

/// Says in the log what went wrong, and nothing to the sender.
struct Failed(Box<dyn Error>);

impl<E: Into<Box<dyn Error>>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        error!("cannot handle the event: {}", self.0);
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

/// Resolves at Ctrl-C, and at SIGTERM where there is one.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate())?
    };
    #[cfg(unix)]
    let mut interrupt = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::interrupt())?
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        if let Err(error) = tokio::signal::ctrl_c().await {
            error!("cannot listen for Ctrl-C: {error}");
            std::future::pending::<()>().await;
        }
    })
}
