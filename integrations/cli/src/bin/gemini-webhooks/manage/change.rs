//! `update`, `delete` and `ping`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use gemini_webhooks::client::{ClientErrorKind, Webhook, WebhookState, WebhookUpdate};
use serde_json::json;

use super::api::{Api, Service};
use super::refused::About;
use super::{Output, create, events, wait, webhook};
use crate::ask;
use crate::exit::{Exit, Failure};
use crate::input;
use crate::shown::{self, plain};
use crate::stop::Stop;

const UPDATE_EXAMPLES: &str = "\
Examples:
  gemini-webhooks update ID --state enabled
  gemini-webhooks update ID --uri https://new.example.com/callback
  gemini-webhooks update ID --events batch.succeeded,batch.failed --name nightly

What you do not name stays as it is. --events replaces all types of events.";

#[derive(Debug, Args)]
#[command(after_help = UPDATE_EXAMPLES)]
#[group(id = "change", required = true, multiple = true, args = ["uri", "name", "events", "state"])]
pub(crate) struct Update {
    /// The webhook's id, which `list` shows.
    id: String,

    /// The public https URL that deliveries go to.
    #[arg(long)]
    uri: Option<String>,

    /// A name for people to read.
    #[arg(long)]
    name: Option<String>,

    /// The types of events, separated by commas, or `all`.
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    events: Vec<String>,

    /// Whether it gets deliveries.
    #[arg(long, value_enum)]
    state: Option<State>,

    /// A file with an endpoint token, which is put into the query of the URL; `-` reads standard input.
    #[arg(long, value_name = "FILE", requires = "uri")]
    endpoint_token_file: Option<PathBuf>,

    /// Send types of events, too, that Google is known to refuse.
    #[arg(long, requires = "events")]
    allow_refused_events: bool,

    #[command(flatten)]
    output: Output,

    #[command(flatten)]
    api: Api,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Enabled,
    Disabled,
}

impl Update {
    async fn changes(&self) -> Result<WebhookUpdate, Failure> {
        let mut update = WebhookUpdate::new();
        if let Some(uri) = &self.uri {
            create::check_uri(uri)?;
            update = update.uri(match &self.endpoint_token_file {
                Some(path) => create::endpoint_token(path).await?.url(uri),
                None => uri.clone(),
            });
        }
        if let Some(name) = &self.name {
            update = update.name(name);
        }
        if !self.events.is_empty() {
            let subscribed = events::subscribed(&self.events)?;
            events::tell_unknown(&subscribed);
            update = update.subscribed_events(subscribed);
        }
        if let Some(state) = self.state {
            update = update.state(match state {
                State::Enabled => WebhookState::Enabled,
                State::Disabled => WebhookState::Disabled,
            });
        }
        if self.allow_refused_events {
            update = update.allow_refused_events();
        }
        Ok(update)
    }

    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        input::at_most_one_dash(
            self.api
                .api_key_file
                .iter()
                .chain(&self.endpoint_token_file),
        )?;
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        let changes = self.changes().await?;
        let updating = service.client.update(&self.id, &changes);
        let Some(updated) = wait::for_answer(&mut stop, service.deadline, updating).await else {
            return Ok(maybe_done("The webhook may have been changed", &self.id));
        };
        let updated = updated.map_err(|error| service.failed(&error, About::Change(&self.id)))?;
        webhook::print(&updated, self.output)?;
        Ok(Exit::Done)
    }
}

const DELETE_EXAMPLES: &str = "\
Examples:
  gemini-webhooks delete ID
  gemini-webhooks delete ID1 ID2 --yes

A deleted webhook does not come back: a new one has another id and another secret.";

#[derive(Debug, Args)]
#[command(after_help = DELETE_EXAMPLES)]
pub(crate) struct Delete {
    /// The ids of the webhooks, which `list` shows.
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,

    /// Do not ask.
    #[arg(long)]
    yes: bool,

    /// Print a line of JSON for each webhook, for scripts.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    api: Api,
}

impl Delete {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        if !self.yes {
            ask::can_ask("`delete`")?;
        }
        let mut ids: Vec<&str> = Vec::new();
        for id in &self.ids {
            if !ids.contains(&id.as_str()) {
                ids.push(id);
            }
        }
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        if !self.yes {
            let Some(found) = look(&service, &mut stop, &ids).await? else {
                return Ok(wait::stopped("Nothing was deleted."));
            };
            let named: Vec<String> = found.iter().map(webhook::in_short).collect();
            let question = format!("{}\nDelete?", named.join("\n"));
            if let Some(stopped) = ask::confirm(&mut stop, &question).await? {
                return Ok(stopped);
            }
        }
        // What fails does not keep the others from being deleted.
        let mut failed = 0_usize;
        for &id in &ids {
            let deleting = service.client.delete(id);
            let Some(deleted) = wait::for_answer(&mut stop, service.deadline, deleting).await
            else {
                return Ok(maybe_done("The webhook may have been deleted", id));
            };
            let is_deleted = deleted.is_ok();
            if let Err(error) = deleted {
                let gone = error.kind() == ClientErrorKind::NotFound;
                let about = if gone { About::One } else { About::Change(id) };
                service.failed(&error, about).tell();
                failed += 1;
            }
            if self.json {
                shown::json(&json!({ "id": id, "deleted": is_deleted }))?;
            } else if is_deleted {
                shown::line(format_args!("deleted {}", plain(id)))?;
            }
        }
        match failed {
            0 => Ok(Exit::Done),
            _ => Ok(Exit::Refused),
        }
    }
}

/// The webhooks with these ids. `None` if Ctrl-C was pressed.
async fn look(
    service: &Service,
    stop: &mut Stop,
    ids: &[&str],
) -> Result<Option<Vec<Webhook>>, Failure> {
    let mut found = Vec::new();
    for &id in ids {
        let Some(got) = wait::for_answer(stop, service.deadline, service.client.get(id)).await
        else {
            return Ok(None);
        };
        found.push(got.map_err(|error| service.failed(&error, About::One))?);
    }
    Ok(Some(found))
}

const PING_EXAMPLES: &str = "\
Examples:
  gemini-webhooks ping ID

Google answers before it sends, and also if the URL cannot be reached. So look for the delivery in the log of your app.";

#[derive(Debug, Args)]
#[command(after_help = PING_EXAMPLES)]
pub(crate) struct Ping {
    /// The webhook's id, which `list` shows.
    id: String,

    /// Print the result as JSON, for scripts.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    api: Api,
}

impl Ping {
    pub(crate) async fn run(&self) -> Result<Exit, Failure> {
        let mut stop = Stop::listen()?;
        let service = self.api.service().await?;
        let pinging = service.client.ping(&self.id);
        let Some(pinged) = wait::for_answer(&mut stop, service.deadline, pinging).await else {
            return Ok(wait::stopped(
                "Google may send the test event all the same.",
            ));
        };
        pinged.map_err(|error| service.failed(&error, About::One))?;
        if self.json {
            shown::json(&json!({ "id": self.id, "pinged": true }))?;
        } else {
            shown::line(format_args!(
                "Google will send a test event to webhook {}",
                plain(&self.id)
            ))?;
        }
        shown::note(
            "This does not say that it arrives: Google answers so even if the URL cannot be reached. Look for the \
             delivery in the log of your app.",
        );
        Ok(Exit::Done)
    }
}

fn maybe_done(what: &str, id: &str) -> Exit {
    let id = plain(id);
    wait::stopped(&format!(
        "{what} all the same: `gemini-webhooks get {id}` tells."
    ))
}
