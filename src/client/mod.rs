//! Registers webhooks with Google, and starts jobs that call back.
//!
//! A webhook has to be registered before you can receive anything, and its secret is shown once, when
//! it is created. [`WebhookService::ensure`] makes the project's webhook what your code says. You can
//! call it each time your app starts:
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
//! The other calls are those of Google's WebhookService: [`create`](WebhookService::create),
//! [`get`](WebhookService::get), [`list`](WebhookService::list), [`update`](WebhookService::update),
//! [`delete`](WebhookService::delete),
//! [`rotate_signing_secret`](WebhookService::rotate_signing_secret) and
//! [`ping`](WebhookService::ping). [`rotate_into`](WebhookService::rotate_into) rotates the secret of a
//! receiver that is in use.
//!
//! A [`WebhookConfig`] sends the events of one job to a URL of its own (a *dynamic webhook*).
//! [`batches`](WebhookService::batches) and [`interactions`](WebhookService::interactions) start such
//! jobs from JSON. The config can also be put into the request of another SDK.
//! [`videos`](WebhookService::videos) reads what became of a video. An [`Outcome`] has the event that Google should have
//! sent for the end of a job, for the case that it never came. With the feature `receiver`,
//! [`owns`](WebhookService::owns) checks for a receiver whether an event is about a job of this project.
//!
//! # How it sends
//!
//! - It uses `https` only, except for loopback addresses, and follows no redirect, because each call
//!   carries the API key. The key is marked as sensitive, so that HTTP logs leave it out.
//! - An answer may have 4 MiB.
//! - A call takes at most 60 seconds, in which it is tried up to five times, as in Google's SDKs
//!   ([the rules](WebhookServiceBuilder::max_retries)). A call that would create a second webhook,
//!   secret or job is retried only if it cannot have been carried out.
//!   [`ClientError::may_have_been_carried_out`] says whether a failed call may have been.
//! - An id is one segment of the URL's path, whatever characters it has.
//!
//! Tests compare the requests with those of Google's own SDK (recorded in
//! `tests/vectors/sdk-requests.json` in the repository). Nothing was tested against Google's live
//! service.

mod builder;
mod config;
mod ensure;
mod error;
mod http;
mod jobs;
mod key;
mod names;
mod outcome;
mod ownership;
mod pages;
mod percent;
mod retry;
mod rotate;
mod secret;
mod service;
mod shown;
mod spec;
mod time;
mod update;
mod uri;
mod videos;
mod webhook;

#[cfg(test)]
mod tests;

pub use builder::{GOOGLE_API_URL, WebhookServiceBuilder};
pub use config::{Job, WebhookConfig};
pub use ensure::{Action, Ensured, EnsuredSecret};
pub use error::{ClientError, ClientErrorKind};
pub use jobs::{Batch, Batches, Interaction, Interactions};
pub use names::{
    BatchState, InteractionStatus, RevocationBehavior, SubscribedEvent, VideoState, WebhookState,
};
pub use outcome::Outcome;
pub use ownership::{Ownership, OwnershipError};
pub use pages::{Listing, Page};
/// The HTTP client, whose builder [`WebhookServiceBuilder::http`] hands out.
pub use reqwest;
pub use rotate::{Rotated, RotationError, RotationErrorKind};
pub use secret::NewSecret;
pub use service::WebhookService;
pub use spec::WebhookSpec;
pub use update::{WebhookField, WebhookUpdate};
pub use videos::{Video, Videos};
pub use webhook::{CreatedWebhook, SecretInfo, Webhook};
