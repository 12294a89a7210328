//! `create`.

use std::path::{Path, PathBuf};

use clap::Args;
use gemini_webhooks::EndpointToken;
use gemini_webhooks::client::{NewSecret, WebhookSpec};
use serde_json::{Value, json};

use super::api::Api;
use super::refused::About;
use super::secret_to::SecretTo;
use super::wait::{self, Made};
use super::{Output, events, uri, webhook};
use crate::exit::{Exit, Failure};
use crate::input;
use crate::shown::plain;
use crate::stop::Stop;

const EXAMPLES: &str = "\
Examples:
  gemini-webhooks create --uri https://example.com/callback --secret-to secret
  gemini-webhooks create --uri https://example.com/callback \\
      --events batch.succeeded,batch.failed --name nightly --secret-to secret
  gemini-webhooks create --uri https://example.com/callback --secret-to -

Each call creates another webhook. `ensure` creates one only if there is none.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Create {
    #[command(flatten)]
    wanted: Wanted,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    secret_to: SecretTo,

    #[command(flatten)]
    api: Api,
}

/// The webhook that is wanted, for `create` and `ensure`.
#[derive(Debug, Args)]
pub(super) struct Wanted {
    /// The public https URL that deliveries go to.
    #[arg(long)]
    uri: String,

    /// The types of events, separated by commas, or `all`.
    #[arg(
        long,
        value_name = "TYPES",
        default_value = "all",
        value_delimiter = ','
    )]
    events: Vec<String>,

    /// A name for people to read.
    #[arg(long)]
    name: Option<String>,

    /// A file with an endpoint token, which is put into the query of the URL; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) endpoint_token_file: Option<PathBuf>,

    /// Send types of events, too, that Google is known to refuse.
    #[arg(long)]
    allow_refused_events: bool,
}

impl Wanted {
    pub(super) async fn spec(&self) -> Result<WebhookSpec, Failure> {
        check_uri(&self.uri)?;
        let subscribed = events::subscribed(&self.events)?;
        events::tell_unknown(&subscribed);
        let mut spec = WebhookSpec::new(&self.uri, subscribed);
        if let Some(name) = &self.name {
            spec = spec.name(name);
        }
        if let Some(path) = &self.endpoint_token_file {
            spec = spec.endpoint_token(&endpoint_token(path).await?);
        }
        if self.allow_refused_events {
            spec = spec.allow_refused_events();
        }
        Ok(spec)
    }
}

/// Checks what can be told of a URI before anything is sent.
pub(super) fn check_uri(uri: &str) -> Result<(), Failure> {
    if !uri::has_scheme(uri) {
        return Err(Failure::unusable(
            "--uri must begin with https://, such as https://example.com/callback",
        ));
    }
    if uri::has_token(uri) {
        return Err(Failure::unusable(
            "--uri has a token in its query, and every user of this machine can read arguments: give the URI without \
             it, and the token in a file, with --endpoint-token-file",
        ));
    }
    Ok(())
}

pub(super) async fn endpoint_token(path: &Path) -> Result<EndpointToken, Failure> {
    let text = input::read_secret(path, "endpoint token").await?;
    EndpointToken::new(&*text)
        .map_err(|error| Failure::unusable(format!("{}: {error}", input::name(path))))
}

impl Create {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let Wanted {
            endpoint_token_file,
            ..
        } = &self.wanted;
        input::at_most_one_dash(self.api.api_key_file.iter().chain(endpoint_token_file))?;
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        let spec = self.wanted.spec().await?;
        let place = self.secret_to.reserve()?;

        let creating = service.client.create(&spec);
        let (created, stop) = match wait::for_secret(&mut stop, service.deadline, creating).await {
            Made::Ended { value, stop } => (value, stop),
            Made::Abandoned => {
                return Ok(wait::stopped(
                    "The webhook may have been created, with a secret that nobody knows. `gemini-webhooks list` shows \
                     it. Then `delete` it, or `rotate` its secret.",
                ));
            }
        };
        let created = created.map_err(|error| service.failed(&error, About::Project))?;
        let (webhook, secret) = (created.webhook(), created.secret());
        let remedy = remedy(webhook.id());
        let stored = place.store(secret.expose(), &remedy)?;
        let json = json!({
            "webhook": webhook::as_json(webhook, self.output),
            "key_id": key_id(secret),
        });
        let lines = webhook::as_lines(webhook, self.output);
        stored.print(json, &lines, self.output, &remedy)?;
        Ok(ended(stop))
    }
}

/// What to do if the secret of a webhook is lost.
pub(super) fn remedy(id: &str) -> String {
    format!(
        "The webhook {0} has it all the same: `gemini-webhooks rotate {0} --secret-to FILE` makes another one",
        plain(id)
    )
}

/// The name of the secret in logs. Null if this version does not know the form of the secret.
pub(super) fn key_id(secret: &NewSecret) -> Value {
    let secret = secret.signing_secret().ok();
    secret.map(|secret| secret.key_id().to_owned()).into()
}

/// All is done; Ctrl-C meanwhile ends a script all the same.
pub(super) fn ended(stop: bool) -> Exit {
    if stop {
        wait::stopped("All was done, and the secret is where you wanted it.")
    } else {
        Exit::Done
    }
}
