//! `rotate`.

use clap::{Args, ValueEnum};
use gemini_webhooks::client::RevocationBehavior;
use serde_json::json;

use super::api::Api;
use super::refused::About;
use super::secret_to::SecretTo;
use super::wait::{self, Made};
use super::{Output, create, webhook};
use crate::ask;
use crate::exit::{Exit, Failure};
use crate::shown::plain;
use crate::stop::Stop;

const EXAMPLES: &str = "\
Examples:
  gemini-webhooks rotate ID --secret-to secret --force
  gemini-webhooks rotate ID --secret-to new-secret --revoke immediately

For 24 hours Google signs with the new secret and those before it, so your app needs the new one within that time. \
With `--revoke immediately` your app refuses deliveries until it has the new one: for a secret that has leaked.";

#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Rotate {
    /// The webhook's id, which `list` shows.
    id: String,

    /// When the secrets before the new one end.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Revoke::After24h)]
    revoke: Revoke,

    /// Do not ask before secrets are ended immediately.
    #[arg(long)]
    yes: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    secret_to: SecretTo,

    #[command(flatten)]
    api: Api,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Revoke {
    #[value(name = "after-24h")]
    After24h,
    Immediately,
}

impl Rotate {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let asks = self.revoke == Revoke::Immediately && !self.yes;
        if asks {
            ask::can_ask("`rotate --revoke immediately`")?;
        }
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        let place = self.secret_to.reserve()?;
        if asks {
            let get = service.client.get(&self.id);
            let Some(got) = wait::for_answer(&mut stop, service.deadline, get).await else {
                return Ok(wait::stopped("Nothing was done."));
            };
            let found = got.map_err(|error| service.failed(&error, About::One))?;
            let question = format!(
                "Webhook {}.\nIts present secrets end immediately, and your app refuses deliveries until it has the \
                 new one. Rotate?",
                webhook::in_short(&found)
            );
            if let Some(stopped) = ask::confirm(&mut stop, &question).await? {
                return Ok(stopped);
            }
        }
        let (behavior, name, then) = match self.revoke {
            Revoke::After24h => (
                RevocationBehavior::AfterH24,
                "after-24h",
                "The secrets before it end in 24 hours",
            ),
            Revoke::Immediately => (
                RevocationBehavior::Immediately,
                "immediately",
                "The secrets before it have ended",
            ),
        };
        let rotating = service.client.rotate_signing_secret(&self.id, behavior);
        let id = plain(&self.id);
        let (rotated, stop) = match wait::for_secret(&mut stop, service.deadline, rotating).await {
            Made::Ended { value, stop } => (value, stop),
            Made::Abandoned => {
                return Ok(wait::stopped(&format!(
                    "The secret of webhook {id} may have been rotated, and nobody knows the new one. \
                     `gemini-webhooks get {id}` shows the ends of its secrets. Rotate again."
                )));
            }
        };
        let secret = rotated.map_err(|error| service.failed(&error, About::One))?;
        let remedy = create::remedy(&self.id);
        let stored = place.store(secret.expose(), &remedy)?;
        let json = json!({
            "id": self.id,
            "revoke": name,
            "key_id": create::key_id(&secret),
        });
        let lines = [format!("webhook {id} has a new secret. {then}.")];
        stored.print(json, &lines, self.output, &remedy)?;
        Ok(create::ended(stop))
    }
}
