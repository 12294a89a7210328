//! The commands that manage webhooks at Google.

mod api;
mod ask;
mod change;
mod create;
mod ensure;
mod events;
mod look;
mod refused;
mod rotate;
mod secret_to;
mod uri;
mod wait;
mod webhook;

use clap::{Args, Subcommand};

use crate::exit::{Exit, Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create a webhook, and store its signing secret.
    Create(create::Create),
    /// Make sure that the project has one webhook for a URI, and that it is as you say.
    Ensure(ensure::Ensure),
    /// List the project's webhooks.
    List(look::List),
    /// Show one webhook.
    Get(look::Get),
    /// Change a webhook.
    Update(change::Update),
    /// Delete webhooks.
    Delete(change::Delete),
    /// Make a new signing secret for a webhook, and store it.
    Rotate(rotate::Rotate),
    /// Have Google send a test event to a webhook.
    Ping(change::Ping),
}

pub(crate) async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Create(create) => create.run().await,
        Command::Ensure(ensure) => ensure.run().await,
        Command::List(list) => list.run().await,
        Command::Get(get) => get.run().await,
        Command::Update(update) => update.run().await,
        Command::Delete(delete) => delete.run().await,
        Command::Rotate(rotate) => rotate.run().await,
        Command::Ping(ping) => ping.run().await,
    }
}

/// How the result is shown.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Print the result as JSON, for scripts.
    #[arg(long)]
    json: bool,

    /// Show URIs in full. Without it `…` stands for what could be an endpoint token: the values of the query, and long
    /// parts of the path.
    #[arg(long)]
    full_uri: bool,
}
