//! A complete small receiver of static and dynamic webhooks, with actix-web.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example actix_web --features actix-web,jwt,tracing
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
use std::process::ExitCode;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use gemini_webhooks::jwks::HttpKeySource;
use gemini_webhooks::{
    Delivery, EndpointToken, GeminiEvent, VerifyWebhook, WebhookReceiver, WebhookReceiverBuilder,
};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// How long a connection may take to send the head of its first request. At shutdown, the server
/// waits as long for a head that has begun.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle. It must be longer than the proxy in front keeps idle
/// connections, or a connection is closed just as the proxy sends a delivery over it. nginx and AWS
/// load balancers keep connections for 60 s, Google Cloud's for 600.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long requests in flight may take after the signal to stop. A body may take 10 s by default.
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
    // Built once, outside of the workers, so that they share one guard and one set of keys.
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
    // Listens for the signal before the first request, so that none is missed.
    let stop = stop_signal()?;
    for address in server.addrs() {
        info!("listening on http://{address}");
    }
    // By default actix-web stops by force at Ctrl-C, which drops handlers, so that they run again.
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
async fn on_event(delivery: Delivery, event: GeminiEvent) -> HttpResponse {
    match print(&delivery, &event) {
        Ok(()) => HttpResponse::Ok().json(json!({"status": "received"})),
        Err(error) => {
            // Logs what went wrong, and tells the sender nothing.
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
    // In JSON, a raw line break is white space: in a string it would be escaped.
    let line = line.replace(['\n', '\r'], " ");
    // `println!` panics if stdout is closed. An event is handled only when its line is written.
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
