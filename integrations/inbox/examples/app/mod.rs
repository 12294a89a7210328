//! What the examples have in common: the receivers, the inbox and the worker.

use std::env;
use std::error::Error;
use std::future::Future;
use std::io::{self, Write as _};
use std::process::ExitCode;

use gemini_webhooks::jwks::HttpKeySource;
use gemini_webhooks::{EndpointToken, GeminiEvent, WebhookReceiver};
use gemini_webhooks_inbox::{Database, Inbox, InboxError, Work, WorkError};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::watch;
use tracing::{error, warn};
use tracing_subscriber::EnvFilter;

pub(crate) fn start_log() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
}

pub(crate) fn exit_code(ended: Result<(), Box<dyn Error>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// What this process does. Without an argument it does both.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Both,
    Receive,
    Work,
}

impl Role {
    pub(crate) fn of_arguments() -> Result<Self, String> {
        match env::args().nth(1).as_deref() {
            None => Ok(Self::Both),
            Some("receive") => Ok(Self::Receive),
            Some("work") => Ok(Self::Work),
            Some(other) => Err(format!("{other:?} is neither `receive` nor `work`")),
        }
    }
}

/// Works off what is in the inbox, until `stop`.
pub(crate) async fn work<DB: Database>(
    inbox: &Inbox<DB>,
    stop: impl Future<Output = ()>,
) -> Result<(), InboxError> {
    inbox.worker().otherwise(on_event).run_until(stop).await
}

/// Stands for what your app does. An error is a failure, and the event is tried again.
pub(crate) async fn on_event<DB: Database>(
    event: GeminiEvent,
    work: Work<DB>,
) -> Result<(), WorkError> {
    let line = serde_json::to_string(&Line {
        webhook_id: work.webhook_id(),
        scheme: work.scheme(),
        r#type: event.type_name(),
        version: event.version(),
        timestamp: event.timestamp(),
        data: event.data_as()?,
        user_metadata: event.user_metadata_as()?,
    })?;
    // In JSON, a raw line break is white space: in a string it would be escaped.
    let line = line.replace(['\n', '\r'], " ");
    // `println!` panics if stdout is closed. An event is worked off only when its line is written.
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

/// The receiver of static webhooks, which are registered once and signed with a shared secret.
/// Without a secret no delivery could be verified, so there is no receiver and no route.
pub(crate) fn static_receiver() -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    let Some(secrets) = variable("WEBHOOK_SIGNING_SECRET")? else {
        warn!("WEBHOOK_SIGNING_SECRET is not set, so /gemini-callback answers 404");
        return Ok(None);
    };
    // The inbox remembers which events it has, over restarts and for all replicas.
    let mut builder = WebhookReceiver::builder().without_replay_protection();
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
pub(crate) fn dynamic_receiver() -> Result<Option<WebhookReceiver>, Box<dyn Error>> {
    // The inbox remembers which events it has, over restarts and for all replicas.
    let mut builder = WebhookReceiver::builder().without_replay_protection();
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
    builder = builder.key_source(keys()?);
    if let Some(audience) = variable("GEMINI_WEBHOOK_AUDIENCE")? {
        builder = builder.accept_jwt(audience);
    }
    Ok(Some(builder.build()?))
}

/// The public keys of dynamic webhooks.
pub(crate) fn keys() -> Result<HttpKeySource, Box<dyn Error>> {
    Ok(match variable("GEMINI_JWKS_URL")? {
        Some(url) => {
            HttpKeySource::new(&url).map_err(|error| format!("GEMINI_JWKS_URL: {error}"))?
        }
        None => HttpKeySource::google()?,
    })
}

/// Returns an environment variable without the white space around it, unless nothing else is in it.
pub(crate) fn variable(name: &str) -> Result<Option<String>, String> {
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

/// Becomes true at the signal to stop. It listens from now on, so that none is missed.
pub(crate) fn stop() -> io::Result<watch::Receiver<bool>> {
    let signal = stop_signal()?;
    let (stopping, stop) = watch::channel(false);
    tokio::spawn(async move {
        signal.await;
        stopping.send_replace(true);
    });
    Ok(stop)
}

pub(crate) async fn stopped(mut stop: watch::Receiver<bool>) {
    // It also ends if the sender is gone.
    let _ = stop.wait_for(|stop| *stop).await;
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
