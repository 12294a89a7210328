//! A complete small receiver of static and dynamic webhooks, with actix-web, that answers at once and works later.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --package gemini-webhooks-inbox --example actix_inbox --all-features
//! ```
//!
//! | Variable or argument | Meaning |
//! |---|---|
//! | `receive` or `work` | This process only stores events, or only works them off. Without an argument it does both. |
//! | `DATABASE_URL` | The database, `sqlite:path/of/a/file` or `postgres://user:password@host/database`. `sqlite:webhooks.db` by default. |
//! | `LISTEN_ADDR` | The address to listen on. `127.0.0.1:8000` by default. |
//! | `WEBHOOK_SIGNING_SECRET` | The signing secrets of static webhooks, separated by white space, for `POST /gemini-callback`. If it is not set, that route answers 404. |
//! | `WEBHOOK_ENDPOINT_TOKEN` | The endpoint token of dynamic webhooks, for `POST /gemini-webhook-dynamic?token=…`. If it is not set, that route answers 404. |
//! | `ALLOW_ANY_GOOGLE_PROJECT` | `1` accepts dynamic webhooks of every Google project, without an endpoint token. |
//! | `GEMINI_WEBHOOK_AUDIENCE` | Also accepts JWTs for this audience, on the route for dynamic webhooks. |
//! | `GEMINI_JWKS_URL` | The URL of the public keys. Google's by default. |
//!
//! White space around a value is ignored, and an empty variable counts as not set.
//!
//! Each event is printed to stdout as one line of JSON, by the worker. The log goes to stderr, and `RUST_LOG`
//! filters it.

use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::{App, HttpServer, web};
use gemini_webhooks::VerifyWebhook;
use gemini_webhooks_inbox::sqlx::PgPool;
use gemini_webhooks_inbox::{Database, Inbox};
use tracing::info;

mod app;

use app::{
    Role, dynamic_receiver, exit_code, start_log, static_receiver, stop, stopped, variable, work,
};

/// How long a connection may take to send the head of its first request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle: longer than the proxy in front keeps idle connections.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long requests in flight may take after the signal to stop.
const GRACE_SECONDS: u64 = 15;

#[actix_web::main]
async fn main() -> ExitCode {
    start_log();
    exit_code(run().await)
}

async fn run() -> Result<(), Box<dyn Error>> {
    let role = Role::of_arguments()?;
    let url = variable("DATABASE_URL")?.unwrap_or_else(|| "sqlite:webhooks.db".to_owned());
    if url.starts_with("postgres:") || url.starts_with("postgresql:") {
        let pool = PgPool::connect_lazy(&url).map_err(|error| format!("DATABASE_URL: {error}"))?;
        receive_and_work(Inbox::postgres(pool).await?, role).await
    } else {
        receive_and_work(Inbox::sqlite(&url).await?, role).await
    }
}

async fn receive_and_work<DB: Database>(
    inbox: Inbox<DB>,
    role: Role,
) -> Result<(), Box<dyn Error>> {
    let stop = stop()?;
    let receiving = async {
        if role != Role::Work {
            serve(&inbox, stopped(stop.clone())).await?;
        }
        Ok::<_, Box<dyn Error>>(())
    };
    let working = async {
        if role != Role::Receive {
            info!("working");
            work(&inbox, stopped(stop.clone())).await?;
        }
        Ok(())
    };
    tokio::try_join!(receiving, working)?;
    info!("stopped");
    Ok(())
}

async fn serve<DB: Database>(
    inbox: &Inbox<DB>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Box<dyn Error>> {
    // Built once, outside of the workers, so that they share one set of keys.
    let receivers = [
        ("/gemini-callback", static_receiver()?),
        ("/gemini-webhook-dynamic", dynamic_receiver()?),
    ];
    let inbox = inbox.clone();
    let server = HttpServer::new(move || {
        let mut app = App::new();
        for (path, receiver) in &receivers {
            if let Some(receiver) = receiver {
                let resource = web::resource(*path)
                    .wrap(VerifyWebhook::new(receiver.clone()))
                    .route(web::route().to(inbox.handler()));
                app = app.service(resource);
            }
        }
        app
    });
    let address = variable("LISTEN_ADDR")?.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let server = server
        .bind(&address)
        .map_err(|error| format!("LISTEN_ADDR: cannot listen on {address}: {error}"))?;
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
    Ok(())
}
