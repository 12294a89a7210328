//! The commands that manage webhooks at Google.

mod api;
mod change;
mod create;
mod ensure;
mod events;
mod look;
mod refused;
mod reserved;
mod rotate;
mod secret_to;
mod wait;
mod webhook;

use clap::{Args, Subcommand};

pub(crate) use api::Api;
pub(crate) use refused::About;

use crate::exit::{Exit, Failure};
use crate::{shown, uri};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make sure that the project has one webhook for a URI, and that it is as you say.
    Ensure(ensure::Ensure),
    /// Create a webhook, and store its signing secret.
    Create(create::Create),
    /// List the project's webhooks.
    List(look::List),
    /// Show one webhook.
    Get(look::Get),
    /// Change a webhook.
    Update(change::Update),
    /// Make a new signing secret for a webhook, and store it.
    Rotate(rotate::Rotate),
    /// Delete webhooks.
    Delete(change::Delete),
    /// Have Google send a test event to a webhook.
    Ping(change::Ping),
}

pub(crate) async fn run(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Ensure(ensure) => ensure.run().await,
        Command::Create(create) => create.run().await,
        Command::List(list) => list.run().await,
        Command::Get(get) => get.run().await,
        Command::Update(update) => update.run().await,
        Command::Rotate(rotate) => rotate.run().await,
        Command::Delete(delete) => delete.run().await,
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

impl Output {
    /// A URI as these options show it, and made harmless.
    pub(super) fn uri(self, uri: &str) -> String {
        shown::plain(self.raw_uri(uri))
    }

    /// The same for JSON, which escapes by itself.
    pub(super) fn raw_uri(self, uri: &str) -> String {
        if self.full_uri {
            uri.to_owned()
        } else {
            uri::without_tokens(uri)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The commands in a help text, each as one line.
    fn commands(help: &str) -> Vec<String> {
        let joined = help.replace("\\\n", " ");
        let lines = joined
            .lines()
            .filter(|line| line.starts_with("  gemini-webhooks "));
        let commands = lines.map(|line| line.split('|').next().unwrap().to_owned());
        commands.collect()
    }

    #[test]
    fn the_examples_of_the_help_can_be_given_and_are_not_wrapped() {
        let program = Command::augment_subcommands(clap::Command::new("gemini-webhooks"));
        for command in program.get_subcommands() {
            let name = command.get_name();
            let help = command.get_after_help().unwrap().to_string();
            for line in help.lines().filter(|line| line.starts_with("  ")) {
                assert!(line.chars().count() <= 80, "{name}: {line}");
            }
            let examples = commands(&help);
            assert!(!examples.is_empty(), "{name}");
            for example in examples {
                let words: Vec<&str> = example.split_whitespace().collect();
                assert_eq!(words.get(1), Some(&name));
                if let Err(error) = program.clone().try_get_matches_from(words) {
                    panic!("{example}: {error}");
                }
            }
        }
    }
}
