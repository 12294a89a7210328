//! A complete small receiver of static and dynamic webhooks, with axum, that stores events in a database.
//!
//! The claims are in the same database. An event is stored in the same transaction that settles its
//! claim, so that it is stored exactly once, whatever fails.
//!
//! ```text
//! DATABASE_URL=postgres://… WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example axum_sqlx --features postgres,sqlite
//! ```
//!
//! | Variable | Meaning |
//! |---|---|
//! | `DATABASE_URL` | The database, `postgres://user:password@host/database` or `sqlite:path/of/a/file`. |
//! | `LISTEN_ADDR` | The address to listen on. `127.0.0.1:8000` by default. |
//! | `WEBHOOK_SIGNING_SECRET` | The signing secrets of static webhooks, separated by white space, for `POST /gemini-callback`. If it is not set, that route answers 404. |
//! | `WEBHOOK_ENDPOINT_TOKEN` | The endpoint token of dynamic webhooks, for `POST /gemini-webhook-dynamic?token=…`. If it is not set, that route answers 404. |
//! | `ALLOW_ANY_GOOGLE_PROJECT` | `1` accepts dynamic webhooks of every Google project, without an endpoint token. |
//! | `GEMINI_WEBHOOK_AUDIENCE` | Also accepts JWTs for this audience, on the route for dynamic webhooks. |
//! | `GEMINI_JWKS_URL` | The URL of the public keys. Google's by default. |
//!
//! White space around a value is ignored, and an empty variable counts as not set.
//!
//! The events are in the table `received_events`. Each is also printed to stdout as one line of JSON, when it
//! was stored. The log goes to stderr, and `RUST_LOG` filters it.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use gemini_webhooks::jwks::HttpKeySource;
use gemini_webhooks::{Delivery, EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

mod store;

use store::Store;

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
    let url = variable("DATABASE_URL")?.ok_or("DATABASE_URL is not set")?;
    let store = Store::open(&url)
        .await
        .map_err(|error| format!("DATABASE_URL: {error}"))?;
    let (app, receivers) = app(&store)?;
    let address = variable("LISTEN_ADDR")?.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("LISTEN_ADDR: cannot listen on {address}: {error}"))?;
    // Listens for the signal before the first request, so that none is missed.
    let stop = stop_signal()?;
    info!("listening on http://{}", listener.local_addr()?);
    let clean_up = store.clean_up();
    serve(listener, app, stop).await;
    // A handler whose sender has left may still run, and claims are still to be released. Otherwise retries
    // are refused until the leases end.
    let drained = async {
        for receiver in &receivers {
            receiver.drained().await;
        }
    };
    if timeout(GRACE, drained).await.is_err() {
        warn!("cut off the handlers that still ran {GRACE:?} after the server had stopped");
    }
    clean_up.abort();
    store.close().await;
    info!("stopped");
    Ok(())
}

fn app(store: &Store) -> Result<(Router, Vec<WebhookReceiver>), Box<dyn Error>> {
    // A handler that was dropped while it begins a transaction could leave its connection in it
    // (launchbadge/sqlx#4393). So handlers run to their end, also when the sender leaves.
    let layer = |receiver| VerifyLayer::new(receiver).finish_once_started();
    let routes = [
        ("/gemini-callback", static_receiver(store)?),
        ("/gemini-webhook-dynamic", dynamic_receiver(store)?),
    ];
    let (mut app, mut receivers) = (Router::new(), Vec::new());
    for (path, receiver) in routes {
        if let Some(receiver) = receiver {
            app = app.route(path, post(on_event).layer(layer(receiver.clone())));
            receivers.push(receiver);
        }
    }
    Ok((app.with_state(store.clone()), receivers))
}

/// The receiver of static webhooks, which are registered once and signed with a shared secret.
/// Without a secret no delivery could be verified, so there is no receiver and no route.
fn static_receiver(store: &Store) -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let Some(secrets) = variable("WEBHOOK_SIGNING_SECRET")? else {
        warn!("WEBHOOK_SIGNING_SECRET is not set, so /gemini-callback answers 404");
        return Ok(None);
    };
    let mut builder = store.protect(WebhookReceiver::builder());
    for secret in secrets.split_whitespace() {
        builder = builder.signing_secret(secret);
    }
    let receiver = builder
        .build()
        .map_err(|error| format!("WEBHOOK_SIGNING_SECRET: {error}"))?;
    Ok(Some(receiver))
}

/// The receiver of dynamic webhooks, which are named in a job's request and signed with Google's
/// keys. All of Google's customers share these keys, so without an endpoint token there is no
/// receiver and no route.
fn dynamic_receiver(store: &Store) -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let mut builder = store.protect(WebhookReceiver::builder());
    if let Some(token) = variable("WEBHOOK_ENDPOINT_TOKEN")? {
        let token = EndpointToken::new(token)
            .map_err(|error| format!("WEBHOOK_ENDPOINT_TOKEN: {error}"))?;
        builder = builder.endpoint_token(token);
    } else if variable("ALLOW_ANY_GOOGLE_PROJECT")?.as_deref() == Some("1") {
        warn!(
            "ALLOW_ANY_GOOGLE_PROJECT is 1, so any Google project can send events to /gemini-webhook-dynamic"
        );
        builder = builder.allow_any_google_project();
    } else {
        warn!(
            "WEBHOOK_ENDPOINT_TOKEN is not set, and ALLOW_ANY_GOOGLE_PROJECT is not 1, so /gemini-webhook-dynamic answers 404"
        );
        return Ok(None);
    }
    let keys = match variable("GEMINI_JWKS_URL")? {
        Some(url) => {
            HttpKeySource::new(&url).map_err(|error| format!("GEMINI_JWKS_URL: {error}"))?
        }
        None => HttpKeySource::google()?,
    };
    builder = builder.key_source(keys);
    if let Some(audience) = variable("GEMINI_WEBHOOK_AUDIENCE")? {
        builder = builder.accept_jwt(audience);
    }
    Ok(Some(builder.build()?))
}

/// Returns an environment variable without the white space around it, unless nothing else is in it.
fn variable(name: &str) -> Result<Option<String>, String> {
    let Some(value) = env::var_os(name) else {
        return Ok(None);
    };
    // The value is not shown, because it may be a secret.
    let value = value
        .into_string()
        .map_err(|_| format!("{name}: its value is not UTF-8"))?;
    let value = value.trim();
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

type BoxError = Box<dyn Error + Send + Sync>;

/// Stands for what your app does. An error is answered 500, and Google retries.
async fn on_event(
    State(store): State<Store>,
    delivery: Delivery,
    event: GeminiEvent,
) -> Result<Json<Value>, Failed> {
    let print = || print(&delivery, &event);
    store.insert(&delivery, &event, print).await?;
    Ok(Json(json!({"status": "received"})))
}

fn print(delivery: &Delivery, event: &GeminiEvent) -> Result<(), BoxError> {
    let line = serde_json::to_string(&Line {
        webhook_id: delivery.id(),
        scheme: delivery.scheme().as_str(),
        r#type: event.type_name(),
        version: event.version(),
        timestamp: event.timestamp(),
        data: event.data_as()?,
        user_metadata: event.user_metadata_as()?,
    })?;
    // In JSON, a raw line break is white space: in a string it would be escaped.
    let line = line.replace(['\n', '\r'], " ");
    // `println!` panics if stdout is closed.
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    Ok(())
}

/// `RawValue` writes the JSON as it arrived, whatever its shape.
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

/// Logs what went wrong, and tells the sender nothing.
struct Failed(BoxError);

impl<E: Into<BoxError>> From<E> for Failed {
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

/// How long requests in flight may take after the signal to stop. A body may take 10 s by default.
const GRACE: Duration = Duration::from_secs(15);

/// Serves until `stop`, and then for a while what is in flight. The example `axum` of `gemini-webhooks` has
/// a server that also limits idle connections and slow heads.
async fn serve(
    listener: TcpListener,
    app: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    let (stopping, stopped) = oneshot::channel::<()>();
    let server = axum::serve(listener, app).with_graceful_shutdown(async {
        stop.await;
        drop(stopping);
    });
    let grace = async {
        let _ = stopped.await;
        sleep(GRACE).await;
    };
    tokio::select! {
        ended = server => if let Err(error) = ended {
            error!("the server failed: {error}");
        },
        () = grace => warn!("cut off the requests that were still in flight {GRACE:?} after the signal to stop"),
    }
}

/// Returns a future that ends at Ctrl-C, and at SIGTERM on systems that have it.
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
