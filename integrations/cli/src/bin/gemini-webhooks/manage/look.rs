//! `list` and `get`.

use clap::Args;
use gemini_webhooks::client::ClientError;
use serde_json::Value;

use super::api::Api;
use super::refused::About;
use super::{Output, wait, webhook};
use crate::exit::{Exit, Failure};
use crate::shown;
use crate::stop::Stop;

const LIST_EXAMPLES: &str = "\
Examples:
  gemini-webhooks list
  gemini-webhooks list --json | jq -r '.[] | select(.state != \"enabled\") | .id'";

#[derive(Debug, Args)]
#[command(after_help = LIST_EXAMPLES)]
pub(crate) struct List {
    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    api: Api,
}

impl List {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        let listing = async {
            let mut listing = service.client.list();
            let mut webhooks = Vec::new();
            while let Some(webhook) = listing.next().await {
                webhooks.push(webhook?);
            }
            Ok::<_, ClientError>(webhooks)
        };
        let Some(listed) = wait::for_answer(&mut stop, service.deadline, listing).await else {
            return Ok(wait::stopped("Nothing was changed."));
        };
        let webhooks = listed.map_err(|error| service.failed(&error, About::Project))?;
        if self.output.json {
            let all = webhooks
                .iter()
                .map(|one| webhook::as_json(one, self.output));
            shown::json(&all.collect::<Value>())?;
        } else if webhooks.is_empty() {
            shown::note("The project has no webhooks. `gemini-webhooks ensure` creates one.");
        } else {
            shown::line(webhook::as_table(&webhooks, self.output))?;
        }
        Ok(Exit::Done)
    }
}

const GET_EXAMPLES: &str = "\
Examples:
  gemini-webhooks get ID
  gemini-webhooks get ID --json | jq -r .state";

#[derive(Debug, Args)]
#[command(after_help = GET_EXAMPLES)]
pub(crate) struct Get {
    /// The webhook's id, which `list` shows.
    id: String,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    api: Api,
}

impl Get {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        let get = service.client.get(&self.id);
        let Some(got) = wait::for_answer(&mut stop, service.deadline, get).await else {
            return Ok(wait::stopped("Nothing was changed."));
        };
        let found = got.map_err(|error| service.failed(&error, About::One))?;
        webhook::print(&found, self.output)?;
        Ok(Exit::Done)
    }
}
