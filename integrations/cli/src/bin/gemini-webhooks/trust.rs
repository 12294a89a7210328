//! The options that say what a receiver trusts, for `verify` and `listen`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gemini_webhooks::EndpointToken;
use gemini_webhooks::jwks::{GOOGLE_KEYS_URL, HttpKeySource, KeySet, KeySource as _};
use gemini_webhooks_cli::Setup;
use tokio::time::timeout;

use crate::exit::Failure;
use crate::input;

/// The longest key set that a receiver takes is 64 KiB.
const MAX_KEYS: u64 = 64 * 1024;
const FETCH_TIME: Duration = Duration::from_secs(10);

/// What the receiver trusts.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "What the receiver trusts")]
pub(crate) struct Trust {
    /// A file with the signing secrets of the webhook (`whsec_…`), separated by white space; `-` reads standard
    /// input. Without it the variable WEBHOOK_SIGNING_SECRET is read.
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Vec<PathBuf>,

    /// The public keys of dynamic webhooks: `google`, another URL, or a file with a JSON Web Key Set.
    #[arg(long, value_name = "google|URL|FILE")]
    pub(crate) keys: Option<String>,

    /// Also accept JWTs for this audience, under the public keys.
    #[arg(long, value_name = "AUDIENCE", requires = "keys")]
    pub(crate) jwt_audience: Vec<String>,

    /// A file with the endpoint token that the URL must carry; `-` reads standard input.
    #[arg(long, value_name = "FILE")]
    pub(crate) endpoint_token_file: Option<PathBuf>,

    /// How many seconds a timestamp may be off.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tolerance: u64,
}

impl Trust {
    /// Reads the secrets and fetches the keys.
    pub(crate) async fn setup(&self) -> Result<Setup, Failure> {
        let mut setup = Setup::new().tolerance(Duration::from_secs(self.tolerance));
        for path in &self.secret_file {
            let name = input::name(path);
            let text = input::read_secret(path, "signing secret")?;
            setup = add(setup, &name, &text)?;
        }
        if self.secret_file.is_empty()
            && let Some(text) = input::variable("WEBHOOK_SIGNING_SECRET")?
        {
            setup = add(setup, "WEBHOOK_SIGNING_SECRET", &text)?;
        }
        if let Some(keys) = self.fetch_keys().await? {
            setup = setup.keys(keys);
        }
        if let Some(path) = &self.endpoint_token_file {
            let text = input::read_secret(path, "endpoint token")?;
            let token = EndpointToken::new(text.as_str())
                .map_err(|error| Failure::unusable(format!("{}: {error}", input::name(path))))?;
            setup = setup.endpoint_token(token);
        }
        setup = self.jwt_audience.iter().fold(setup, Setup::accept_jwt);
        if setup.trusts_nothing() {
            return Err(Failure::unusable(
                "nothing to verify with: set WEBHOOK_SIGNING_SECRET or give --secret-file for a static webhook, or \
                 --keys google for a dynamic one",
            ));
        }
        Ok(setup)
    }

    /// Whether the public keys come from a URL, and so can change.
    pub(crate) fn can_fetch_again(&self) -> bool {
        self.keys.as_deref().and_then(keys_url).is_some()
    }

    /// Fetches or reads the public keys; `None` if the options name none.
    pub(crate) async fn fetch_keys(&self) -> Result<Option<KeySet>, Failure> {
        match &self.keys {
            Some(from) => key_set(from).await.map(Some),
            None => Ok(None),
        }
    }
}

/// Adds the secrets in a text, separated by white space.
fn add(mut setup: Setup, name: &str, text: &str) -> Result<Setup, Failure> {
    for (label, secret) in split_secrets(name, text)? {
        setup = setup
            .secret(&label, secret)
            .map_err(|error| Failure::unusable(format!("{label}: {error}")))?;
    }
    Ok(setup)
}

/// The secrets in a text, which white space separates, each with what to call it.
pub(crate) fn split_secrets<'a>(
    name: &str,
    text: &'a str,
) -> Result<Vec<(String, &'a str)>, Failure> {
    let secrets: Vec<&str> = text.split_whitespace().collect();
    match secrets.as_slice() {
        [] => Err(Failure::unusable(format!("{name} holds no signing secret"))),
        [one] => Ok(vec![(format!("the secret in {name}"), one)]),
        several => Ok(several
            .iter()
            .enumerate()
            .map(|(index, secret)| (format!("secret {} in {name}", index + 1), *secret))
            .collect()),
    }
}

/// The URL that `--keys` names, if it names one.
fn keys_url(from: &str) -> Option<&str> {
    let url = if from == "google" {
        GOOGLE_KEYS_URL
    } else {
        from
    };
    url.contains("://").then_some(url)
}

/// The key set of `google`, a URL or a file.
pub(crate) async fn key_set(from: &str) -> Result<KeySet, Failure> {
    let json = match keys_url(from) {
        Some(url) => fetch(url).await?,
        None => input::read(from.as_ref(), MAX_KEYS)?.to_vec(),
    };
    KeySet::from_json(&json).map_err(|error| {
        Failure::unusable(format!("--keys {from}: this is no usable key set: {error}"))
    })
}

/// The text of the key set at a URL.
async fn fetch(url: &str) -> Result<Vec<u8>, Failure> {
    let source = HttpKeySource::new(url)
        .map_err(|error| Failure::unusable(format!("--keys {url}: {error}")))?;
    let failed =
        |why: String| Failure::new(format!("the public keys of {url} cannot be fetched: {why}"));
    match timeout(FETCH_TIME, source.fetch()).await {
        Ok(Ok(keys)) => Ok(keys.json().to_vec()),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(_) => Err(failed(format!("no answer within {FETCH_TIME:?}"))),
    }
}
