//! `gemini-webhooks`: manages webhooks of the Gemini API, sends and receives deliveries, and finds out why one was
//! refused.

mod ask;
mod exit;
mod generate;
mod inbox;
mod input;
mod listen;
mod manage;
mod page;
mod send;
mod serve;
mod shown;
mod stop;
mod trust;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::exit::{Exit, Failure};

/// Manage, send, receive and diagnose webhooks of Google's Gemini API.
#[derive(Debug, Parser)]
#[command(
    name = "gemini-webhooks",
    version,
    max_term_width = 100,
    propagate_version = true
)]
#[command(after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, or verified; 1 it failed, or was refused; 2 the input or an option cannot be used; \
130 ended by Ctrl-C.";

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Manage(manage::Command),
    Inbox(inbox::Inbox),
    Listen(Box<listen::Listen>),
    Verify(verify::Verify),
    Completions(generate::Completions),
    Man(generate::ManPages),
    /// Send signed sample deliveries to an app, without Google.
    Send(Box<send::Options>),
}

fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => error.exit(),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(format!("cannot start: {error}")).report(),
    };
    let ended = runtime.block_on(run(cli.command));
    // A task that reads standard input cannot be stopped, and would be waited for.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Manage(command) => manage::run(command).await,
        Command::Inbox(options) => inbox::run(&options).await,
        Command::Listen(options) => listen::run(&options).await,
        Command::Verify(verify) => verify::run(verify).await,
        Command::Completions(completions) => generate::completions(&completions, Cli::command()),
        Command::Man(pages) => generate::man(&pages, Cli::command()),
        Command::Send(options) => send::run(*options).await,
    }
}
