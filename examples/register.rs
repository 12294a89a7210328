//! Registers a webhook, and shows every call: ensure, list, update, rotate, ping and delete.
//!
//! ```text
//! cargo run --example register --features client,testing-google
//! ```
//!
//! Without an API key it talks to a mock of Google on this machine. With one it talks to Google. Each run
//! has a webhook of its own, at a path that no other has, and deletes it at the end, also if something
//! fails in between. It changes no other webhook.
//!
//! | Variable | Meaning |
//! |---|---|
//! | `GOOGLE_API_KEY`, else `GEMINI_API_KEY` | the API key; unset: the mock |
//! | `GEMINI_API_URL` | where the API is, if not at Google |
//! | `WEBHOOK_URI` | below what the webhook is; `https://example.com/gemini-callback` if unset |
//! | `WEBHOOK_SIGNING_SECRET` | signing secrets that you have, separated by white space or commas, to see whether one is the webhook's |

use std::env;
use std::error::Error;
use std::io::{self, Write};

use gemini_webhooks::client::{
    EnsuredSecret, GOOGLE_API_URL, NewSecret, RevocationBehavior, SubscribedEvent, WebhookService,
    WebhookSpec, WebhookUpdate,
};
use gemini_webhooks::testing::google::{API_KEY, MockGoogle};
use gemini_webhooks::{EndpointToken, Keyring};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let below = variable("WEBHOOK_URI").unwrap_or("https://example.com/gemini-callback".to_owned());
    let at_hand = variable("WEBHOOK_SIGNING_SECRET").unwrap_or_default();
    let uri = uri_of_this_run(&below)?;
    let spec = spec(&uri, &at_hand);
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
        return tour(&service, &uri, &spec, &mut io::stdout()).await;
    }
    let base = variable("GEMINI_API_URL").unwrap_or(GOOGLE_API_URL.to_owned());
    let service = builder.base_url(base).build()?;
    tour(&service, &uri, &spec, &mut io::stdout()).await
}

/// An empty variable is an unset one.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// What is registered here is nobody's but ours.
fn uri_of_this_run(below: &str) -> Result<String, BoxError> {
    let run = EndpointToken::generate()?.url("");
    let run = run.trim_start_matches("?token=");
    Ok(format!("{}/run-{run}", below.trim_end_matches('/')))
}

fn spec(uri: &str, at_hand: &str) -> WebhookSpec {
    let spec = WebhookSpec::new(uri, SubscribedEvent::ALL).name("gemini-webhooks example");
    let secrets = at_hand.split(|char: char| char.is_whitespace() || char == ',');
    secrets.fold(spec, WebhookSpec::secret_at_hand)
}

async fn tour(
    service: &WebhookService,
    uri: &str,
    spec: &WebhookSpec,
    out: &mut impl Write,
) -> Result<(), BoxError> {
    let lived = life(service, spec, out).await;
    // Also after an error, and where it is not known whether the webhook was created.
    let mut webhooks = service.list();
    while let Some(webhook) = webhooks.next().await {
        let webhook = webhook?;
        if webhook.uri() == uri {
            service.delete(webhook.id()).await?;
            writeln!(out, "deleted")?;
        }
    }
    lived
}

async fn life(
    service: &WebhookService,
    spec: &WebhookSpec,
    out: &mut impl Write,
) -> Result<(), BoxError> {
    let ensured = service.ensure(spec).await?;
    writeln!(out, "{ensured}")?;
    let id = ensured.webhook().id();
    let EnsuredSecret::New(secret) = ensured.secret() else {
        return Err("the path of this run was there before".into());
    };
    writeln!(
        out,
        "its secret has {} characters; an app stores it",
        secret.expose().len()
    )?;

    let mut webhooks = service.list();
    while let Some(webhook) = webhooks.next().await {
        writeln!(out, "listed: {:?}", webhook?)?;
    }

    let update = WebhookUpdate::new().subscribed_events([SubscribedEvent::BatchSucceeded]);
    let webhook = service.update(id, &update).await?;
    writeln!(out, "updated: {:?}", webhook.subscribed_events())?;

    // The receiver of an app has a clone of it.
    let keyring = Keyring::new(secret.signing_secret()?);
    let store = async |new: NewSecret| {
        let characters = new.expose().len();
        writeln!(out, "stored: the new one of {characters} characters")
    };
    let behavior = RevocationBehavior::AfterH24;
    let rotated = service.rotate_into(id, behavior, &keyring, store).await?;
    writeln!(out, "rotated: {rotated}")?;
    writeln!(out, "accepted until then: {}", keyring.key_ids().join(", "))?;

    service.ping(id).await?;
    writeln!(out, "pinged: a test event is on its way")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use gemini_webhooks::testing::google::{Call, Fault};

    use super::*;

    const BELOW: &str = "https://example.com/gemini-callback";

    #[tokio::test]
    async fn it_leaves_nothing_behind_and_touches_nothing_of_others() {
        let google = MockGoogle::start().await.unwrap();
        let builder = WebhookService::builder().api_key(API_KEY).max_retries(0);
        let service = builder.base_url(google.base_url()).build().unwrap();
        let theirs = WebhookSpec::new(BELOW, ["batch.failed"]).name("gemini-webhooks example");
        let theirs = service.create(&theirs).await.unwrap().into_parts().0;

        let mut out = Vec::new();
        let uri = uri_of_this_run(BELOW).unwrap();
        assert_ne!(uri_of_this_run(BELOW).unwrap(), uri);
        let spec = spec(&uri, "whsec_one, whsec_two");
        tour(&service, &uri, &spec, &mut out).await.unwrap();
        let shown = String::from_utf8(out).unwrap();
        for part in [
            "created",
            "listed",
            "updated: [BatchSucceeded]",
            "stored: the new one",
            "rotated: webhook",
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
        let left = service.list().collect().await.unwrap();
        assert_eq!(left, std::slice::from_ref(&theirs));

        for call in [
            Call::WebhooksCreate,
            Call::WebhooksUpdate,
            Call::WebhooksRotate,
            Call::WebhooksPing,
        ] {
            google.fail(call, 1, Fault::CloseAfter);
            let failed = tour(&service, &uri, &spec, &mut Vec::new()).await;
            assert!(failed.is_err(), "{call:?}");
            let left = service.list().collect().await.unwrap();
            assert_eq!(left, std::slice::from_ref(&theirs), "{call:?}");
        }
    }
}
