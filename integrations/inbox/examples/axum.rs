//! A complete small receiver of static and dynamic webhooks, with axum, that answers at once and works later.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --package gemini-webhooks-inbox --example axum_inbox --all-features
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

use axum::Router;
use axum::routing::post;
use gemini_webhooks::VerifyLayer;
use gemini_webhooks_inbox::sqlx::PgPool;
use gemini_webhooks_inbox::{Database, Inbox};
use tracing::info;

mod app;
#[path = "app/serve.rs"]
mod serve;

use app::{
    Role, dynamic_receiver, exit_code, start_log, static_receiver, stop, stopped, variable, work,
};
use serve::{listen, serve};

#[tokio::main]
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
        if role == Role::Work {
            return Ok(());
        }
        serve(listen().await?, routes(&inbox)?, stop.clone()).await?;
        Ok::<_, Box<dyn Error>>(())
    };
    let working = async {
        if role == Role::Receive {
            return Ok(());
        }
        info!("working");
        work(&inbox, stopped(stop.clone())).await?;
        Ok(())
    };
    tokio::try_join!(receiving, working)?;
    info!("stopped");
    Ok(())
}

fn routes<DB: Database>(inbox: &Inbox<DB>) -> Result<Router, Box<dyn Error>> {
    let mut app = Router::new();
    for (path, receiver) in [
        ("/gemini-callback", static_receiver()?),
        ("/gemini-webhook-dynamic", dynamic_receiver()?),
    ] {
        if let Some(receiver) = receiver {
            app = app.route(
                path,
                post(inbox.handler()).layer(VerifyLayer::new(receiver)),
            );
        }
    }
    Ok(app)
}
