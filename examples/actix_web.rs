//! A complete small receiver of static and dynamic webhooks.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example actix_web --features actix-web,jwt,tracing
//! ```
//!
//! | | |
//! |---|---|
//! | `LISTEN_ADDR` | `127.0.0.1:8000` if unset |
//! | `WEBHOOK_SIGNING_SECRET` | one or several, separated by white space, for `POST /gemini-callback`; if unset, that answers 404 |
//! | `WEBHOOK_ENDPOINT_TOKEN` | what `POST /gemini-webhook-dynamic?token=…` must carry; if unset, that answers 404 |
//! | `ALLOW_ANY_GOOGLE_PROJECT` | `1`: without a token, deliveries of all Google projects are taken there |
//! | `GEMINI_WEBHOOK_AUDIENCE` | takes tokens (JWT) for this audience on that route, too |
//! | `GEMINI_JWKS_URL` | where public keys are; Google's if unset |
//!
//! White space around a value is dropped, and an empty variable is an unset one.
//!
//! Each event that is handled is one JSON line on stdout; the log goes to stderr (`RUST_LOG`).

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use gemini_webhooks::jwks::HttpKeySource;
use gemini_webhooks::{Delivery, EndpointToken, GeminiEvent, VerifyWebhook, WebhookReceiver};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// How long a connection may take to send the head of its first request. At the end a head that is not
/// whole is waited for as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be without a request. Longer than the proxy in front keeps it, or one is
/// closed just as the proxy sends a delivery over it: nginx keeps connections for 60 s, as AWS does, and
/// Google Cloud for 600.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long what is in flight may take after the signal to stop. A body may take 10 s by default.
const GRACE_SECONDS: u64 = 15;

#[actix_web::main]
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
    // Built once, out here, and cloned for each worker: so they share one guard and one set of keys.
    let receivers = [
        ("/gemini-callback", static_receiver()?),
        ("/gemini-webhook-dynamic", dynamic_receiver()?),
    ];
    let server = HttpServer::new(move || {
        let mut app = App::new();
        for (path, receiver) in &receivers {
            if let Some(receiver) = receiver {
                let resource = web::resource(*path)
                    .wrap(VerifyWebhook::new(receiver.clone()))
                    .route(web::route().to(on_event));
                app = app.service(resource);
            }
        }
        app
    });
    let address = variable("LISTEN_ADDR")?.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let server = server
        .bind(&address)
        .map_err(|error| format!("LISTEN_ADDR: cannot listen on {address}: {error}"))?;
    // Listened for before the first request, so that no signal falls in between.
    let stop = stop_signal()?;
    for address in server.addrs() {
        info!("listening on http://{address}");
    }
    // Of itself actix-web stops by force at Ctrl-C: handlers would be dropped, and run again.
    server
        .client_request_timeout(HEAD_TIMEOUT)
        .keep_alive(KEEP_ALIVE)
        .shutdown_timeout(GRACE_SECONDS)
        .shutdown_signal(stop)
        .run()
        .await?;
    info!("stopped");
    Ok(())
}

/// For webhooks that are registered once, with a shared secret. Without one nothing could be
/// verified, so there is no route then.
fn static_receiver() -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let Some(secrets) = variable("WEBHOOK_SIGNING_SECRET")? else {
        warn!("WEBHOOK_SIGNING_SECRET is not set: /gemini-callback answers 404");
        return Ok(None);
    };
    let mut builder = WebhookReceiver::builder();
    for secret in secrets.split_whitespace() {
        builder = builder.signing_secret(secret);
    }
    let receiver = builder
        .build()
        .map_err(|error| format!("WEBHOOK_SIGNING_SECRET: {error}"))?;
    Ok(Some(receiver))
}

/// For webhooks that are named in a job's request, under Google's keys. Those are the same for all
/// of Google's customers, so there is no route without something that tells yours apart.
fn dynamic_receiver() -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let mut builder = WebhookReceiver::builder();
    if let Some(token) = variable("WEBHOOK_ENDPOINT_TOKEN")? {
        let token = EndpointToken::new(token)
            .map_err(|error| format!("WEBHOOK_ENDPOINT_TOKEN: {error}"))?;
        builder = builder.endpoint_token(token);
    } else if variable("ALLOW_ANY_GOOGLE_PROJECT")?.as_deref() == Some("1") {
        warn!("ALLOW_ANY_GOOGLE_PROJECT: any Google project may send to /gemini-webhook-dynamic");
        builder = builder.allow_any_google_project();
    } else {
        warn!(
            "WEBHOOK_ENDPOINT_TOKEN is not set, nor is ALLOW_ANY_GOOGLE_PROJECT 1: /gemini-webhook-dynamic answers 404"
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

/// An environment variable without the white space around it, if there is anything else in it.
fn variable(name: &str) -> Result<Option<String>, String> {
    let Some(value) = env::var_os(name) else {
        return Ok(None);
    };
    // Not shown: it may be a secret.
    let value = value
        .into_string()
        .map_err(|_| format!("{name}: its value is not UTF-8"))?;
    let value = value.trim();
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

/// Stands for what your app does: put the event where it will not get lost, then answer. An
/// error is answered 500, and Google sends the delivery again.
async fn on_event(delivery: Delivery, event: GeminiEvent) -> HttpResponse {
    match print(&delivery, &event) {
        Ok(()) => HttpResponse::Ok().json(json!({"status": "received"})),
        Err(error) => {
            // In the log what went wrong, and nothing to the sender.
            error!("cannot handle the event: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

fn print(delivery: &Delivery, event: &GeminiEvent) -> Result<(), Box<dyn Error>> {
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
    Ok(())
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
