//! A complete small receiver of static and dynamic webhooks, with axum.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example axum --features axum,jwt,tracing
//! ```
//!
//! | Variable | Meaning |
//! |---|---|
//! | `LISTEN_ADDR` | The address to listen on. `127.0.0.1:8000` by default. |
//! | `WEBHOOK_SIGNING_SECRET` | The signing secrets of static webhooks, separated by white space, for `POST /gemini-callback`. If it is not set, that route answers 404. |
//! | `WEBHOOK_ENDPOINT_TOKEN` | The endpoint token of dynamic webhooks, for `POST /gemini-webhook-dynamic?token=…`. If it is not set, that route answers 404. |
//! | `ALLOW_ANY_GOOGLE_PROJECT` | `1` accepts dynamic webhooks of every Google project, without an endpoint token. |
//! | `GEMINI_WEBHOOK_AUDIENCE` | Also accepts JWTs for this audience, on the route for dynamic webhooks. |
//! | `GEMINI_JWKS_URL` | The URL of the public keys. Google's by default. |
//! | `LOG_REFUSED_DELIVERIES` | `1` keeps a delivery whose signature does not fit in its line of the log, for `gemini-webhooks verify`. |
//!
//! White space around a value is ignored, and an empty variable counts as not set.
//!
//! Each handled event is printed to stdout as one line of JSON. The log goes to stderr, and `RUST_LOG` filters it.

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use gemini_webhooks::jwks::HttpKeySource;
use gemini_webhooks::{
    Delivery, EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver, WebhookReceiverBuilder,
};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;
use tracing::{debug, error, info, warn};
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
    let address = variable("LISTEN_ADDR")?.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("LISTEN_ADDR: cannot listen on {address}: {error}"))?;
    // Listens for the signal before the first request, so that none is missed.
    let stop = stop_signal()?;
    info!("listening on http://{}", listener.local_addr()?);
    serve(listener, app, stop).await;
    info!("stopped");
    Ok(())
}

fn app() -> Result<Router, Box<dyn Error>> {
    let mut app = Router::new();
    if let Some(receiver) = static_receiver()? {
        let on_event = post(on_event).layer(VerifyLayer::new(receiver));
        app = app.route("/gemini-callback", on_event);
    }
    if let Some(receiver) = dynamic_receiver()? {
        let on_event = post(on_event).layer(VerifyLayer::new(receiver));
        app = app.route("/gemini-webhook-dynamic", on_event);
    }
    Ok(app)
}

/// The receiver of static webhooks, which are registered once and signed with a shared secret.
/// Without a secret no delivery could be verified, so there is no receiver and no route.
fn static_receiver() -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let Some(secrets) = variable("WEBHOOK_SIGNING_SECRET")? else {
        warn!("WEBHOOK_SIGNING_SECRET is not set, so /gemini-callback answers 404");
        return Ok(None);
    };
    let mut builder = builder()?;
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
fn dynamic_receiver() -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let mut builder = builder()?;
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

/// What both receivers have in common.
fn builder() -> Result<WebhookReceiverBuilder, String> {
    let builder = WebhookReceiver::builder();
    Ok(match variable("LOG_REFUSED_DELIVERIES")?.as_deref() {
        Some("1") => builder.log_refused_deliveries(),
        _ => builder,
    })
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

/// Stands for what your app does: store the event where it is not lost, and then answer. An error is
/// answered 500, and Google retries.
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
    // In JSON, a raw line break is white space: in a string it would be escaped.
    let line = line.replace(['\n', '\r'], " ");
    // `println!` panics if stdout is closed. An event is handled only when its line is written.
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    stdout.flush()?;
    Ok(Json(json!({"status": "received"})))
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

/// How long a connection may be idle, or take to send the head of a request. It must be longer than
/// the proxy in front keeps idle connections, or a connection is closed just as the proxy sends a
/// delivery over it. nginx and AWS load balancers keep connections for 60 s, Google Cloud's for 600.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How large a head may be, and how much of a body is read at once. hyper's own limit is 400 KiB for
/// each connection. JWTs are in the head, and have one or two KiB.
const READ_BUFFER: usize = 16 * 1024;
/// How long requests in flight may take after the signal to stop. A body may take 10 s by default.
const GRACE: Duration = Duration::from_secs(15);

/// Serves until `stop`. It replaces `axum::serve`, which waits for heads, and for requests in flight
/// when it stops, as long as the senders like.
async fn serve(listener: TcpListener, app: Router, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, app.clone(), stopped.clone()));
                }
                Err(error) => {
                    // Most likely too many files are open, and some have to be closed first.
                    warn!("cannot accept a connection: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
    drop((listener, stopping));
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        warn!("cut off the requests that were still in flight {GRACE:?} after the signal to stop");
    }
}

/// Serves one connection until it ends, or, after `stopping`, until its request is answered.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    app: Router,
    mut stopping: watch::Receiver<()>,
) {
    // Each request in flight holds a clone.
    let requests = Arc::new(());
    let service = service_fn(|request: Request<Incoming>| {
        let (app, request_in_flight) = (app.clone(), Arc::clone(&requests));
        async move {
            let answer = app.oneshot(request).await;
            drop(request_in_flight);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // Its sender was dropped, so the signal has come.
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            loop {
                // A head that has begun may take this long.
                match timeout(Duration::from_millis(500), connection.as_mut()).await {
                    Ok(ended) => break ended,
                    Err(_) if Arc::strong_count(&requests) > 1 => {}
                    Err(_) => return,
                }
            }
        }
    };
    if let Err(error) = ended {
        debug!("a connection broke: {error}");
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails loudly")]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_sends_no_whole_head_is_closed() {
        let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for sent in ["", "POST / HTTP/1.1\r\nhost:", get, &format!("{get}POST")] {
            let (mut client, server) = tokio::io::duplex(1024);
            let (_running, stopping) = watch::channel(());
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut served = pin!(connection(server, Router::new(), stopping));
            let second = Duration::from_secs(1);
            let early = timeout(HEAD_TIMEOUT - second, served.as_mut()).await;
            assert!(early.is_err(), "{sent:?}");
            let late = timeout(2 * second, served).await;
            assert!(late.is_ok(), "{sent:?}");
        }
    }
}
