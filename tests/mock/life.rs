//! Deliveries, to an app that verifies them.

use std::time::Duration;

use axum::http::StatusCode;
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::testing::google::{BatchOutcome, DeliveryFault, MockGoogle, SentEvent};
use gemini_webhooks::{EndpointToken, Keyring, SigningSecret};
use serde_json::json;

use crate::rig::{Api, App, text};

const BATCHES: &str = "/v1/models/gemini-3:batchGenerateContent";
const PLAIN: &str = r#"{"batch":{"inputConfig":{"fileName":"files/1"}}}"#;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn google(clock: &ManualClock) -> MockGoogle {
    let builder = MockGoogle::builder().clock(clock.clone());
    builder.disable_after(3).start().await.unwrap()
}

async fn batch(api: &Api) -> String {
    text(&api.ok("POST", BATCHES, PLAIN).await, "name").to_owned()
}

fn last(google: &MockGoogle) -> SentEvent {
    google.deliveries().pop().unwrap()
}

fn answers(sent: &SentEvent) -> Vec<Option<u16>> {
    let attempts = sent.attempts.iter();
    attempts
        .map(|attempt| attempt.answer.clone().ok())
        .collect()
}

/// From the first secret, over a rotation, to a webhook that is switched off.
#[tokio::test]
async fn a_static_webhook_lives() {
    let clock = ManualClock::default();
    let google = google(&clock).await;
    let api = Api::of(&google);

    // The app learns its secret only when the webhook exists, and the webhook needs its address.
    let types = ["batch.succeeded", "batch.failed"];
    let webhook = api
        .webhook("https://my-api.com/gemini-callback", &types)
        .await;
    let id = text(&webhook, "id").to_owned();
    let one = format!("/v1/webhooks/{id}");
    let secret = text(&webhook, "new_signing_secret").to_owned();
    let old = App::start(&clock, |receiver| receiver.signing_secret(&secret)).await;
    let origin = old.url.strip_suffix("/gemini-callback").unwrap();
    google.forward("https://my-api.com", origin);

    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(old.handled(), ["batch.succeeded"]);
    let sent = last(&google);
    assert!(sent.is_delivered && !sent.is_pending);
    assert_eq!(sent.webhook_id.as_deref(), Some(&*id));
    // Nobody is subscribed to this one.
    google
        .finish_batch(&batch(&api).await, BatchOutcome::Expired)
        .await
        .unwrap();
    assert_eq!(google.deliveries().len(), 1);

    // While a rotation lasts, each secret signs: an app with either goes on.
    let rotated = api
        .ok("POST", &format!("{one}:rotateSigningSecret"), "{}")
        .await;
    let new = Keyring::new(text(&rotated, "secret").parse::<SigningSecret>().unwrap());
    let new = App::start(&clock, |receiver| receiver.keyring(new)).await;
    let job = batch(&api).await;
    google
        .finish_batch(&job, BatchOutcome::Failed)
        .await
        .unwrap();
    assert_eq!(old.handled(), ["batch.succeeded", "batch.failed"]);
    assert_eq!(last(&google).attempts[0].signature.split(' ').count(), 2);
    google.forward(
        "https://my-api.com",
        new.url.strip_suffix("/gemini-callback").unwrap(),
    );
    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(new.handled(), ["batch.succeeded"]);

    // After it, the old one is dead.
    clock.advance(DAY);
    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(new.handled().len(), 2);
    assert_eq!(last(&google).attempts[0].signature.split(' ').count(), 1);
    google.forward("https://my-api.com", origin);
    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(answers(&last(&google)), [Some(400)]);
    assert_eq!(old.handled().len(), 2);

    // Refused again and again, the webhook is switched off, and what waited for it is given up.
    google.retry_now().await;
    assert_eq!(text(&api.ok("GET", &one, "").await, "state"), "enabled");
    assert!(last(&google).is_pending);
    google.retry_now().await;
    let state = api.ok("GET", &one, "").await["state"].clone();
    assert_eq!(state, "disabled_due_to_failed_deliveries");
    assert!(!last(&google).is_pending && !last(&google).is_delivered);
    let before = google.deliveries().len();
    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    google.retry_now().await;
    assert_eq!(google.deliveries().len(), before);

    // Mended and enabled again.
    google.forward(
        "https://my-api.com",
        new.url.strip_suffix("/gemini-callback").unwrap(),
    );
    let enabled = api.ok("PATCH", &one, r#"{"state":"enabled"}"#).await;
    assert_eq!(text(&enabled, "state"), "enabled");
    api.ok("POST", &format!("{one}:ping"), "").await;
    google.deliver_due().await;
    assert_eq!(new.handled().pop().unwrap(), "webhook.ping");

    api.ok("DELETE", &one, "").await;
    let before = google.deliveries().len();
    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(google.deliveries().len(), before);
}

#[tokio::test]
async fn a_dynamic_webhook_lives() {
    let clock = ManualClock::default();
    let google = google(&clock).await;
    let api = Api::of(&google);
    let token = EndpointToken::generate().unwrap();
    let app = App::start(&clock, |receiver| {
        receiver
            .jwks_url(google.jwks_url())
            .endpoint_token(token.clone())
    })
    .await;
    let registered = api
        .webhook("http://127.0.0.1:9/", &["batch.succeeded"])
        .await;
    assert_eq!(text(&registered, "state"), "enabled");

    let config = json!({"uris": [token.url(&app.url)], "user_metadata": {"job": "nightly"}});
    let body = json!({"batch": {"inputConfig": {"fileName": "files/1"}, "webhookConfig": config}});
    let finish = async |outcome| {
        let created = api.ok("POST", BATCHES, &body.to_string()).await;
        google
            .finish_batch(text(&created, "name"), outcome)
            .await
            .unwrap();
        text(&created, "name").to_owned()
    };
    // Each of the three keys.
    for _ in 0..3 {
        let name = finish(BatchOutcome::Succeeded).await;
        let event = app.last();
        assert_eq!(
            event.user_metadata_as::<serde_json::Value>().unwrap(),
            Some(json!({"job": "nightly"}))
        );
        let body: serde_json::Value = serde_json::from_slice(event.raw()).unwrap();
        assert_eq!(text(&body["data"], "id"), name);
    }
    // One that nobody can be subscribed to; the job's own URI gets it.
    finish(BatchOutcome::Cancelled).await;
    assert_eq!(app.handled().pop().unwrap(), "batch.cancelled");
    // A key that is new: the receiver asks for it.
    clock.advance(Duration::from_secs(60));
    google.rotate_keys();
    finish(BatchOutcome::Succeeded).await;
    assert_eq!(app.handled().len(), 5);

    // In place of the registered webhook, each time.
    for sent in google.deliveries() {
        assert_eq!((sent.webhook_id.as_ref(), sent.attempts.len()), (None, 1));
        assert!(sent.attempts[0].signature.starts_with("v1a,"));
    }
    // Metadata alone replaces nothing.
    let body = json!({"batch": {
        "inputConfig": {"fileName": "files/1"},
        "webhookConfig": {"userMetadata": {"a": "b"}},
    }});
    let created = api.ok("POST", BATCHES, &body.to_string()).await;
    google
        .finish_batch(text(&created, "name"), BatchOutcome::Succeeded)
        .await
        .unwrap();
    let sent = last(&google);
    assert!(sent.webhook_id.is_some());
    let event: serde_json::Value = serde_json::from_slice(&sent.body).unwrap();
    assert_eq!(event["user_metadata"], json!({"a": "b"}));
}

#[tokio::test]
async fn what_fails_is_tried_again_until_it_succeeds() {
    let clock = ManualClock::default();
    let builder = MockGoogle::builder().clock(clock.clone());
    let google = builder.disable_after(u32::MAX).start().await.unwrap();
    let api = Api::of(&google);
    let webhook = api
        .webhook("https://my-api.com/gemini-callback", &["batch.succeeded"])
        .await;
    let app = App::start(&clock, |receiver| {
        receiver.signing_secret(text(&webhook, "new_signing_secret"))
    })
    .await;
    google.forward(
        "https://my-api.com",
        app.url.strip_suffix("/gemini-callback").unwrap(),
    );
    app.answer_with(StatusCode::SERVICE_UNAVAILABLE);

    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    let mut waits = Vec::new();
    for _ in 0..4 {
        let before = last(&google).attempts.len();
        let mut waited = 0;
        while last(&google).attempts.len() == before {
            clock.advance(Duration::from_secs(1));
            waited += 1;
            google.deliver_due().await;
        }
        waits.push(waited);
    }
    assert_eq!(waits, [5, 10, 20, 40]);
    app.answer_with(StatusCode::NO_CONTENT);
    google.retry_now().await;
    google.retry_now().await;
    let sent = last(&google);
    let failed = Some(503);
    assert_eq!(
        answers(&sent),
        [failed, failed, failed, failed, failed, Some(204)]
    );
    assert!(sent.is_delivered && !sent.is_pending);
    // One id, and a time and a signature for each.
    assert_eq!(app.handled().len(), 6);
    let times: Vec<u64> = sent
        .attempts
        .iter()
        .map(|attempt| attempt.timestamp)
        .collect();
    assert!(
        times.windows(2).take(4).all(|pair| pair[0] < pair[1]),
        "{times:?}"
    );
    assert_ne!(sent.attempts[0].signature, sent.attempts[1].signature);

    // A day at most.
    app.answer_with(StatusCode::SERVICE_UNAVAILABLE);
    google
        .finish_batch(&batch(&api).await, BatchOutcome::Succeeded)
        .await
        .unwrap();
    for _ in 0..24 {
        assert!(last(&google).is_pending);
        clock.advance(Duration::from_secs(60 * 60));
        google.deliver_due().await;
    }
    assert!(!last(&google).is_pending && !last(&google).is_delivered);
}

#[tokio::test]
async fn a_delivery_is_disturbed_on_demand() {
    let clock = ManualClock::default();
    let builder = MockGoogle::builder().clock(clock.clone());
    let google = builder.start().await.unwrap();
    let api = Api::of(&google);
    let webhook = api
        .webhook("https://my-api.com/gemini-callback", &["batch.succeeded"])
        .await;
    let app = App::start(&clock, |receiver| {
        receiver
            .signing_secret(text(&webhook, "new_signing_secret"))
            .jwks_url(google.jwks_url())
            .allow_any_google_project()
    })
    .await;
    google.forward(
        "https://my-api.com",
        app.url.strip_suffix("/gemini-callback").unwrap(),
    );
    let own = json!({"batch": {
        "inputConfig": {"fileName": "files/1"},
        "webhookConfig": {"uris": [app.url]},
    }})
    .to_string();

    let mut handled = 0;
    for body in [PLAIN, &own] {
        let finish = async || {
            let created = api.ok("POST", BATCHES, body).await;
            google
                .finish_batch(text(&created, "name"), BatchOutcome::Succeeded)
                .await
                .unwrap();
        };
        for fault in [
            DeliveryFault::Tamper,
            DeliveryFault::WrongKey,
            DeliveryFault::Stale,
        ] {
            google.disturb(1, fault);
            finish().await;
            assert_eq!(answers(&last(&google)), [Some(400)], "{fault:?}");
            assert_eq!(app.handled().len(), handled);
            // The retry is genuine. A minute, for the cool-down of the keys.
            clock.advance(Duration::from_secs(60));
            google.deliver_due().await;
            handled += 1;
            assert_eq!(app.handled().len(), handled, "{fault:?}");
        }
        google.disturb(1, DeliveryFault::Duplicate);
        finish().await;
        handled += 1;
        assert_eq!(app.handled().len(), handled);
        assert_eq!(last(&google).attempts.len(), 2);
        assert!(last(&google).is_delivered);

        google.disturb(1, DeliveryFault::Delay(Duration::from_secs(3)));
        finish().await;
        assert!(last(&google).attempts.is_empty() && last(&google).is_pending);
        clock.advance(Duration::from_secs(3));
        google.deliver_due().await;
        handled += 1;
        assert_eq!(app.handled().len(), handled);

        google.disturb(1, DeliveryFault::Lose);
        finish().await;
        clock.advance(DAY);
        google.retry_now().await;
        assert_eq!(app.handled().len(), handled);
        assert!(last(&google).attempts.is_empty() && !last(&google).is_pending);
    }
}

/// No name is looked up, nothing is sent.
#[tokio::test]
async fn other_machines_are_left_alone() {
    let clock = ManualClock::default();
    let google = google(&clock).await;
    let api = Api::of(&google);
    let webhook = api
        .webhook("https://my-api.com/gemini-callback", &["batch.succeeded"])
        .await;
    let ping = format!("/v1/webhooks/{}:ping", text(&webhook, "id"));
    assert_eq!(api.ok("POST", &ping, "{}").await, json!({}));
    google.deliver_due().await;
    let reason = last(&google).attempts[0].answer.clone().unwrap_err();
    assert_eq!(
        reason,
        "https://my-api.com is another machine; `forward` its deliveries to this one"
    );
}
