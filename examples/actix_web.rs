//! A complete small receiver of static and dynamic webhooks.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example actix_web --features actix-web,jwt,tracing
//! ```
//!
//! | | |
//! |---|---|
//! | `LISTEN_ADDR` | `127.0.0.1:8000` if unset |
//! | `WEBHOOK_SIGNING_SECRET` | one or several, separated by white space, for `POST /gemini-callback` |
//! | `WEBHOOK_ENDPOINT_TOKEN` | what `POST /gemini-webhook-dynamic?token=…` must carry |
//! | `GEMINI_WEBHOOK_AUDIENCE` | takes tokens (JWT) for this audience on that route, too |
//! | `GEMINI_JWKS_URL` | where public keys are; Google's if unset |
//!
//! Each event that is handled is one JSON line on stdout; the log goes to stderr (`RUST_LOG`).

use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use actix_web::{App, HttpResponse, HttpServer, web};
use gemini_webhooks::{Delivery, EndpointToken, GeminiEvent, VerifyWebhook, WebhookReceiver};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

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
    let (fixed, dynamic) = (static_receiver()?, dynamic_receiver()?);
    let route = |path: &str, receiver: &WebhookReceiver| {
        web::resource(path)
            .wrap(VerifyWebhook::new(receiver.clone()))
            .route(web::route().to(on_event))
    };
    let server = HttpServer::new(move || {
        let mut app = App::new().service(route("/gemini-webhook-dynamic", &dynamic));
        if let Some(receiver) = &fixed {
            app = app.service(route("/gemini-callback", receiver));
        }
        app
    });
    let address = env::var("LISTEN_ADDR").unwrap_or_else(|_| "127.0.0.1:8000".to_owned());
    let server = server
        .bind(&address)
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    for address in server.addrs() {
        info!("listening on http://{address}");
    }
    // Of itself actix-web stops by force at Ctrl-C: handlers would be dropped, and run again.
    server
        .shutdown_timeout(30)
        .shutdown_signal(stop_signal()?)
        .run()
        .await?;
    info!("stopped");
    Ok(())
}

/// For webhooks that are registered once, with a shared secret. Without one nothing could be
/// verified, so there is no route then.
fn static_receiver() -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let secrets = env::var("WEBHOOK_SIGNING_SECRET").unwrap_or_default();
    if secrets.trim().is_empty() {
        warn!("WEBHOOK_SIGNING_SECRET is not set: /gemini-callback answers 404");
        return Ok(None);
    }
    let mut builder = WebhookReceiver::builder();
    for secret in secrets.split_whitespace() {
        builder = builder.signing_secret(secret);
    }
    let receiver = builder
        .build()
        .map_err(|error| format!("WEBHOOK_SIGNING_SECRET: {error}"))?;
    Ok(Some(receiver))
}

/// For webhooks that are named in a job's request, under Google's keys.
fn dynamic_receiver() -> Result<WebhookReceiver, Box<dyn Error>> {
    let mut builder = match env::var("GEMINI_JWKS_URL") {
        Ok(url) => WebhookReceiver::builder().jwks_url(url),
        Err(_) => WebhookReceiver::builder().google_keys(),
    };
    builder = if env::var_os("WEBHOOK_ENDPOINT_TOKEN").is_some() {
        let token = EndpointToken::from_env("WEBHOOK_ENDPOINT_TOKEN")
            .map_err(|error| format!("WEBHOOK_ENDPOINT_TOKEN: {error}"))?;
        builder.endpoint_token(token)
    } else {
        warn!(
            "WEBHOOK_ENDPOINT_TOKEN is not set: any Google project may send to /gemini-webhook-dynamic"
        );
        builder.allow_any_google_project()
    };
    if let Ok(audience) = env::var("GEMINI_WEBHOOK_AUDIENCE") {
        builder = builder.accept_jwt(audience);
    }
    Ok(builder.build()?)
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
