//! Manages webhooks, and starts jobs that call back: Google's WebhookService from Rust.
//!
//! A webhook has to exist before anything can be received, and its secret is shown once, when it is
//! made. [`WebhookService::ensure`] makes the project's webhook what your code says, and is safe to call
//! each time your app starts:
//!
//! ```no_run
//! use gemini_webhooks::client::{EnsuredSecret, SubscribedEvent, WebhookService, WebhookSpec};
//!
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! let service = WebhookService::from_env()?; // GOOGLE_API_KEY, else GEMINI_API_KEY
//! let spec = WebhookSpec::new(
//!     "https://example.com/gemini-callback",
//!     [SubscribedEvent::BatchSucceeded, SubscribedEvent::BatchFailed],
//! );
//! let ensured = service.ensure(&spec).await?;
//! println!("{ensured}");
//! if let EnsuredSecret::New(secret) = ensured.secret() {
//!     println!("store this, it is not shown again: {}", secret.expose());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! The other calls are those of the service: [`create`](WebhookService::create),
//! [`get`](WebhookService::get), [`list`](WebhookService::list), [`update`](WebhookService::update),
//! [`delete`](WebhookService::delete),
//! [`rotate_signing_secret`](WebhookService::rotate_signing_secret) and
//! [`ping`](WebhookService::ping). A [`WebhookConfig`] sends the events of one job elsewhere;
//! [`batches`](WebhookService::batches) and [`interactions`](WebhookService::interactions) start such
//! jobs from JSON, and it can be put into the request of any other SDK.
//!
//! # How it sends
//!
//! - HTTPS only, but to this machine itself, and no redirect is followed, since the API key goes along
//!   with each call. The key is marked so that logs of HTTP leave it out.
//! - An answer may have 4 MiB.
//! - A call has 60 seconds, in which it is tried up to five times, as by Google's SDKs
//!   ([the rules](WebhookServiceBuilder::max_retries)). What would make a second webhook, secret or job is
//!   sent again only where it cannot have been carried out; the [`ClientError`] says if it
//!   [may have been](ClientError::may_have_been_carried_out), and what to do then.
//! - Ids are one segment of the path, whatever is in them.
//!
//! Requests are held against what Google's own SDK sends (`tests/vectors/sdk-requests.json`).

mod builder;
mod config;
mod ensure;
mod error;
mod http;
mod jobs;
mod key;
mod names;
mod pages;
mod retry;
mod secret;
mod service;
mod spec;
mod time;
mod uri;
mod webhook;

#[cfg(test)]
mod tests;

pub use builder::{GOOGLE_API_URL, WebhookServiceBuilder};
pub use config::{Job, WebhookConfig};
pub use ensure::{Action, Ensured, EnsuredSecret};
pub use error::{ClientError, ClientErrorKind};
pub use jobs::{Batch, Batches, Interaction, Interactions};
pub use names::{BatchState, InteractionStatus, RevocationBehavior, SubscribedEvent, WebhookState};
pub use pages::{Listing, Page};
/// The HTTP client, whose builder [`WebhookServiceBuilder::http`] hands out.
pub use reqwest;
pub use secret::NewSecret;
pub use service::WebhookService;
pub use spec::WebhookSpec;
pub use webhook::{CreatedWebhook, SecretInfo, Webhook, WebhookField, WebhookUpdate};
