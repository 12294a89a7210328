//! A receiver whose metrics Prometheus reads, with axum.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example metrics --features axum,metrics,tracing
//! curl http://127.0.0.1:9000/metrics
//! ```
//!
//! | Variable | Meaning |
//! |---|---|
//! | `LISTEN_ADDR` | The address of the webhook, `POST /gemini-callback`. `127.0.0.1:8000` by default. |
//! | `METRICS_ADDR` | The address of the metrics, `GET /metrics`. `127.0.0.1:9000` by default. |
//! | `WEBHOOK_SIGNING_SECRET` | The signing secret. |
//!
//! The metrics have an address of their own, which only this machine or a private network reaches. On the public
//! route they would tell a stranger how many events you get, and why his own requests were refused.
//!
//! The log goes to stderr, and `RUST_LOG` filters it. Ctrl-C and SIGTERM let deliveries end.

use std::env;
use std::error::Error;
use std::io;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::time::interval;
use tracing::info;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    // Before the receiver is built, which says what its metrics are.
    let metrics = install()?;
    tokio::spawn(keep_up(metrics.clone()));
    let receiver = WebhookReceiver::builder()
        .signing_secret_from_env("WEBHOOK_SIGNING_SECRET")
        .build()?;
    let on_event = post(on_event).layer(VerifyLayer::new(receiver));
    let webhook = Router::new().route("/gemini-callback", on_event);
    let render = get(async move || metrics.render());
    let metrics = Router::new().route("/metrics", render);

    let public = listen("LISTEN_ADDR", "127.0.0.1:8000").await?;
    let private = listen("METRICS_ADDR", "127.0.0.1:9000").await?;
    info!("the webhook is at http://{}", public.local_addr()?);
    info!("the metrics are at http://{}", private.local_addr()?);
    let public = axum::serve(public, webhook).with_graceful_shutdown(stop_signal()?);
    // The metrics can be read until the last delivery has ended.
    tokio::select! {
        served = public.into_future() => served?,
        served = axum::serve(private, metrics).into_future() => served?,
    }
    Ok(())
}

/// With buckets, of which quantiles can be made over several replicas. Otherwise histograms become summaries.
fn install() -> Result<PrometheusHandle, BuildError> {
    let buckets = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &buckets)?
        .install_recorder()
}

/// Puts durations into their buckets, also if nobody reads the metrics: until then each one takes memory.
async fn keep_up(metrics: PrometheusHandle) {
    let mut ticks = interval(Duration::from_secs(5));
    loop {
        ticks.tick().await;
        metrics.run_upkeep();
    }
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    // In quotes, and escaped: the text is the sender's.
    info!("an event of type {:?}", event.type_name());
    StatusCode::OK
}

async fn listen(variable: &str, default: &str) -> Result<TcpListener, Box<dyn Error>> {
    let address = env::var(variable).unwrap_or_else(|_| default.to_owned());
    let listener = TcpListener::bind(&address).await;
    Ok(listener.map_err(|error| format!("{variable}: cannot listen on {address}: {error}"))?)
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
            tracing::error!("cannot listen for Ctrl-C: {error}");
            std::future::pending::<()>().await;
        }
    })
}
