//! Which API is called, and with which key.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gemini_webhooks::client::{GOOGLE_API_URL, WebhookService};

use crate::exit::Failure;
use crate::{input, shown, values};

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
    /// Without it the variable GEMINI_API_URL is read, and if that is not set, it is Google's.
    // Not by clap's `env`: the usage in an error would then show the option as if it had to be given.
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,

    /// The version of the API.
    #[arg(long, value_name = "VERSION", default_value = "v1")]
    api_version: String,

    /// How long a call may take, with all its tries. A number alone is seconds.
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = values::up_to_hours(24))]
    timeout: Duration,
}

/// The API, and what a message about a failed call needs to know.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) client: WebhookService,
    /// The variable or the file that the key came from.
    pub(super) key_from: String,
    pub(super) base_url: String,
    pub(super) deadline: Duration,
}

impl Api {
    /// Reads the key and checks the settings. Nothing is sent.
    pub(crate) async fn service(&self) -> Result<Service, Failure> {
        let (key_from, key) = match &self.api_key_file {
            Some(path) => (
                input::name(path),
                input::read_secret(path, "API key").await?,
            ),
            None => key_of_environment()?,
        };
        let deadline = self.timeout;
        let (base_url_from, base_url) = self.base_url()?;
        let client = WebhookService::builder()
            .api_key(&*key)
            .base_url(&base_url)
            .api_version(&self.api_version)
            .deadline(deadline)
            .build()
            .map_err(|error| {
                use gemini_webhooks::ConfigError as Error;
                let of = match &error {
                    Error::ApiKeyMalformed { .. } => format!("{key_from}: "),
                    Error::ApiUrlInvalid { .. } => format!("{base_url_from}, --api-version: "),
                    _ => String::new(),
                };
                Failure::unusable(format!("{of}{error}"))
            })?;
        Ok(Service {
            client,
            key_from,
            base_url: shown::plain(&base_url),
            deadline,
        })
    }

    /// Where the API is, and what says so.
    fn base_url(&self) -> Result<(&'static str, String), Failure> {
        const OPTION: &str = "--base-url";
        const VARIABLE: &str = "GEMINI_API_URL";
        if let Some(url) = &self.base_url {
            return Ok((OPTION, url.clone()));
        }
        match input::variable(VARIABLE)? {
            Some(url) => Ok((VARIABLE, url.to_string())),
            // Who means a mock must not reach Google by mistake.
            None if std::env::var_os(VARIABLE).is_some() => Err(Failure::unusable(format!(
                "{VARIABLE} is set, but empty: set it to the URL of the API, or unset it to call Google"
            ))),
            None => Ok((OPTION, GOOGLE_API_URL.to_owned())),
        }
    }
}

fn key_of_environment() -> Result<(String, zeroize::Zeroizing<String>), Failure> {
    for name in VARIABLES {
        if let Some(key) = input::variable(name)? {
            return Ok((name.to_owned(), key));
        }
    }
    Err(Failure::unusable(format!(
        "there is no API key{}: set GOOGLE_API_KEY or GEMINI_API_KEY, or name a file with --api-key-file \
         (`--api-key-file -` asks for it). https://aistudio.google.com/apikey makes one",
        input::if_empty(&VARIABLES)
    )))
}
