//! The commands that manage webhooks at Google.

use clap::Subcommand;

use crate::exit::{Exit, Failure};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the project's webhooks.
    List,
}

pub(crate) async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::List => Ok(Exit::Done),
    }
}
