//! Which API is called, and with which key.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gemini_webhooks::client::{GOOGLE_API_URL, WebhookService};

use crate::exit::Failure;
use crate::input;

/// In this order, as in Google's SDKs.
const VARIABLES: [&str; 2] = ["GOOGLE_API_KEY", "GEMINI_API_KEY"];

/// The options of all commands that call the API.
#[derive(Debug, Args)]
#[command(next_help_heading = "The Gemini API")]
pub(crate) struct Api {
    /// A file with the API key; `-` reads standard input. Without it the key is read from the variable
    /// GOOGLE_API_KEY, else from GEMINI_API_KEY.
    #[arg(long, value_name = "FILE")]
    pub(super) api_key_file: Option<PathBuf>,

    /// Where the API is, for instance a proxy of yours or a mock of Google. It must be https, except on this machine.
    #[arg(long, value_name = "URL", env = "GEMINI_API_URL", hide_env_values = true, default_value = GOOGLE_API_URL)]
    base_url: String,

    /// The version of the API.
    #[arg(long, value_name = "VERSION", default_value = "v1")]
    api_version: String,

    /// How many seconds a call may take, with all its tries.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// The API, and what a message about a failed call needs to know.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) client: WebhookService,
    /// The variable or the file that the key came from.
    pub(super) key_from: String,
    pub(super) base_url: String,
    pub(super) deadline: Duration,
}

impl Api {
    /// Reads the key and checks the settings. Nothing is sent.
    pub(super) fn service(&self) -> Result<Service, Failure> {
        let (key_from, key) = match &self.api_key_file {
            Some(path) => (input::name(path), input::read_secret(path, "API key")?),
            None => key_of_environment()?,
        };
        let deadline = Duration::from_secs(self.timeout);
        let client = WebhookService::builder()
            .api_key(&*key)
            .base_url(&self.base_url)
            .api_version(&self.api_version)
            .deadline(deadline)
            .build()
            .map_err(|error| {
                use gemini_webhooks::ConfigError as Error;
                let of = match &error {
                    Error::ApiKeyMalformed { .. } => format!("{key_from}: "),
                    Error::ApiUrlInvalid { .. } => "--base-url, --api-version: ".to_owned(),
                    _ => String::new(),
                };
                Failure::unusable(format!("{of}{error}"))
            })?;
        Ok(Service {
            client,
            key_from,
            base_url: crate::shown::plain(&self.base_url),
            deadline,
        })
    }
}

fn key_of_environment() -> Result<(String, zeroize::Zeroizing<String>), Failure> {
    for name in VARIABLES {
        if let Some(key) = input::variable(name)? {
            return Ok((name.to_owned(), key));
        }
    }
    Err(Failure::unusable(
        "there is no API key: set GOOGLE_API_KEY or GEMINI_API_KEY, or name a file with --api-key-file. \
         https://aistudio.google.com/apikey makes one",
    ))
}
