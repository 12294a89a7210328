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
mod uri;
mod values;
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
    Verify(verify::Verify),
    /// Send signed sample deliveries to an app, without Google.
    Send(Box<send::Options>),
    Listen(Box<listen::Listen>),
    #[command(flatten)]
    Manage(manage::Command),
    Inbox(inbox::Inbox),
    Completions(generate::Completions),
    Man(generate::ManPages),
}

fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => return refused(&error),
    };
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => return refused(&error),
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

/// Prints what clap says of the arguments, or the help, and returns the exit code.
fn refused(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        // It repeats arguments, and somebody may have given a secret as one.
        let text = error.render().ansi().to_string();
        shown::note(shown::without_secrets(text.trim_end()));
    } else if let Err(error) = error.print() {
        return Failure::new(format!("cannot write the help: {error}")).report();
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Verify(verify) => verify::run(verify).await,
        Command::Send(options) => send::run(*options).await,
        Command::Listen(options) => listen::run(&options).await,
        Command::Manage(command) => manage::run(command).await,
        Command::Inbox(options) => inbox::run(&options).await,
        Command::Completions(completions) => generate::completions(&completions, Cli::command()),
        Command::Man(pages) => generate::man(&pages, Cli::command()),
    }
}
