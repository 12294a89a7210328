//! Registers a webhook, and shows every call: ensure, list, update, rotate, ping and delete.
//!
//! ```text
//! cargo run --example register --features client,testing-google
//! ```
//!
//! Without an API key it calls a mock of Google on this machine. With one it calls Google, and rotates
//! and deletes only what it has created itself.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `GOOGLE_API_KEY`, or else `GEMINI_API_KEY` | The API key. If neither is set, the mock is used. |
//! | `GEMINI_BASE_URL` | The base URL of the API. Google's by default. |
//! | `WEBHOOK_URI` | The URI that deliveries go to. `https://example.com/gemini-callback` by default. |
//! | `WEBHOOK_SIGNING_SECRET` | A signing secret that you have, to see whether it is the webhook's. |

use std::env;
use std::error::Error;
use std::io::{self, Write};

use gemini_webhooks::client::{
    EnsuredSecret, GOOGLE_API_URL, RevocationBehavior, SubscribedEvent, WebhookService,
    WebhookSpec, WebhookUpdate,
};
use gemini_webhooks::testing::google::{API_KEY, MockGoogle};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let uri = variable("WEBHOOK_URI").unwrap_or("https://example.com/gemini-callback".to_owned());
    let mut spec = WebhookSpec::new(uri, SubscribedEvent::ALL).name("gemini-webhooks example");
    if let Some(secret) = variable("WEBHOOK_SIGNING_SECRET") {
        spec = spec.secret_at_hand(secret);
    }
    let builder = WebhookService::builder();
    if ["GOOGLE_API_KEY", "GEMINI_API_KEY"]
        .into_iter()
        .all(|name| variable(name).is_none())
    {
        let google = MockGoogle::start().await?;
        eprintln!("neither GOOGLE_API_KEY nor GEMINI_API_KEY is set: this is a mock of Google");
        let service = builder
            .api_key(API_KEY)
            .base_url(google.base_url())
            .build()?;
        return tour(&service, &spec, &mut io::stdout()).await;
    }
    let base = variable("GEMINI_BASE_URL").unwrap_or(GOOGLE_API_URL.to_owned());
    let service = builder.base_url(base).build()?;
    tour(&service, &spec, &mut io::stdout()).await
}

/// An empty variable is an unset one.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

async fn tour(
    service: &WebhookService,
    spec: &WebhookSpec,
    out: &mut impl Write,
) -> Result<(), BoxError> {
    let ensured = service.ensure(spec).await?;
    writeln!(out, "{ensured}")?;
    let id = ensured.webhook().id();

    let mut webhooks = service.list();
    while let Some(webhook) = webhooks.next().await {
        writeln!(out, "listed: {:?}", webhook?)?;
    }

    let EnsuredSecret::New(secret) = ensured.secret() else {
        writeln!(out, "it was not created here, so it stays as it is")?;
        return Ok(());
    };
    writeln!(
        out,
        "its secret has {} characters; an app stores it",
        secret.expose().len()
    )?;

    let update = WebhookUpdate::new().subscribed_events([SubscribedEvent::BatchSucceeded]);
    let webhook = service.update(id, &update).await?;
    writeln!(out, "updated: {:?}", webhook.subscribed_events())?;

    let rotated = service
        .rotate_signing_secret(id, RevocationBehavior::AfterH24)
        .await?;
    writeln!(
        out,
        "rotated: for 24 hours the service signs with both secrets"
    )?;
    // What a receiver takes, beside the old one.
    writeln!(out, "the new one is {}", rotated.signing_secret()?.key_id())?;

    service.ping(id).await?;
    writeln!(out, "pinged: a test event is on its way")?;

    service.delete(id).await?;
    writeln!(out, "deleted")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(service: &WebhookService, spec: &WebhookSpec) -> String {
        let mut out = Vec::new();
        tour(service, spec, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn it_leaves_nothing_behind_and_touches_nothing_of_others() {
        let google = MockGoogle::start().await.unwrap();
        let builder = WebhookService::builder().api_key(API_KEY);
        let service = builder.base_url(google.base_url()).build().unwrap();
        let spec = WebhookSpec::new("https://example.com/gemini-callback", SubscribedEvent::ALL);

        let shown = run(&service, &spec).await;
        for part in [
            "created",
            "listed",
            "updated: [BatchSucceeded]",
            "rotated",
            "pinged",
            "deleted",
        ] {
            assert!(shown.contains(part), "{shown}");
        }
        // But for the end of one, which is listed.
        assert!(
            !shown.replace("whsec_...", "").contains("whsec_"),
            "{shown}"
        );
        assert!(service.list().collect().await.unwrap().is_empty());

        let theirs = service.create(&spec).await.unwrap();
        let shown = run(&service, &spec).await;
        assert!(shown.contains("not created here"), "{shown}");
        assert_eq!(
            service.get(theirs.webhook().id()).await.unwrap(),
            *theirs.webhook()
        );
    }
}
