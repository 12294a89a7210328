//! The client against the mock of Google, which is stricter than its documentation.
#![cfg(all(feature = "axum", feature = "client", feature = "testing-google"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use gemini_webhooks::client::{
    Action, BatchState, ClientErrorKind, Ensured, EnsuredSecret, InteractionStatus,
    RevocationBehavior, SubscribedEvent, WebhookConfig, WebhookField, WebhookService, WebhookSpec,
    WebhookState, WebhookUpdate,
};
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::testing::google::{
    self, API_KEY, BatchOutcome, Call, ErrorShape, Fault, MockGoogle,
};
use gemini_webhooks::{
    EndpointToken, GeminiEvent, Keyring, SigningSecret, VerifyLayer, WebhookReceiver,
    WebhookReceiverBuilder,
};
use serde_json::{Value, json};

const URI: &str = "https://app.example/gemini-callback";
const OLD: &str = "0123456789abcdefghijkl";
const NEW: &str = "ABCDEFGHIJKLMNOPQRSTUV-_";

/// What fails fails at once; when it is tried again, the tests beside the code tell.
fn service(google: &MockGoogle) -> WebhookService {
    let builder = WebhookService::builder().api_key(API_KEY);
    builder
        .base_url(google.base_url())
        .max_retries(0)
        .build()
        .unwrap()
}

async fn start() -> (MockGoogle, WebhookService) {
    let google = MockGoogle::start().await.unwrap();
    let service = service(&google);
    (google, service)
}

fn spec() -> WebhookSpec {
    WebhookSpec::new(URI, [SubscribedEvent::BatchSucceeded])
}

fn new_secret(ensured: &Ensured) -> String {
    match ensured.secret() {
        EnsuredSecret::New(secret) => secret.expose().to_owned(),
        other => panic!("{other:?}"),
    }
}

/// An app that receives, and the events that its handler got.
async fn app(receiver: WebhookReceiverBuilder) -> (String, Arc<Mutex<Vec<GeminiEvent>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let events = Arc::clone(&events);
        move |event: GeminiEvent| async move {
            events.lock().unwrap().push(event);
            StatusCode::OK
        }
    };
    let layer = VerifyLayer::new(receiver.build().unwrap());
    let app = Router::new().route("/gemini-callback", post(handler).route_layer(layer));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (origin, events)
}

#[tokio::test]
async fn a_webhook_lives_from_create_to_delete() {
    let (google, service) = start().await;
    let (webhook, secret) = service
        .create(&spec().name("mine"))
        .await
        .unwrap()
        .into_parts();
    assert_eq!((webhook.uri(), webhook.name()), (URI, Some("mine")));
    assert_eq!(webhook.state(), Some(&WebhookState::Enabled));
    assert!(webhook.create_time().is_some());
    let tail = webhook.signing_secrets()[0].truncated().unwrap().to_owned();
    assert!(
        secret
            .expose()
            .ends_with(tail.trim_start_matches("whsec_..."))
    );

    let rotated = service
        .rotate_signing_secret(webhook.id(), RevocationBehavior::AfterH24)
        .await
        .unwrap();
    assert_ne!(rotated.expose(), secret.expose());
    let (old, new) = (
        secret.signing_secret().unwrap(),
        SigningSecret::try_from(rotated).unwrap(),
    );

    // Each of them is accepted where the service signs with both.
    for secret in [old, new] {
        let receiver = WebhookReceiver::builder().keyring(Keyring::new(secret));
        let (origin, events) = app(receiver).await;
        google.forward("https://app.example", &origin);
        service.ping(webhook.id()).await.unwrap();
        google.deliver_due().await;
        assert_eq!(events.lock().unwrap().len(), 1);
    }

    let update = WebhookUpdate::new()
        .name("ours")
        .state(WebhookState::Disabled);
    let updated = service.update(webhook.id(), &update).await.unwrap();
    assert_eq!(
        (updated.name(), updated.state()),
        (Some("ours"), Some(&WebhookState::Disabled))
    );
    let updated = service
        .update(
            webhook.id(),
            &WebhookUpdate::new().uri("https://b.example/x"),
        )
        .await;
    assert_eq!(
        updated.unwrap().name(),
        Some("ours"),
        "what is not set stays"
    );
    let events = WebhookUpdate::new().subscribed_events(SubscribedEvent::ALL);
    let updated = service.update(webhook.id(), &events).await.unwrap();
    assert_eq!(updated.subscribed_events(), SubscribedEvent::ALL);
    assert_eq!(service.get(webhook.id()).await.unwrap(), updated);

    let only = service
        .rotate_signing_secret(webhook.id(), RevocationBehavior::Immediately)
        .await
        .unwrap();
    assert_eq!(
        service
            .get(webhook.id())
            .await
            .unwrap()
            .signing_secrets()
            .len(),
        1
    );
    assert!(only.signing_secret().is_ok());
    let again = service
        .rotate_signing_secret(webhook.id(), None)
        .await
        .unwrap();
    assert_ne!(again.expose(), only.expose());
    let listed = service.get(webhook.id()).await.unwrap();
    assert_eq!(listed.signing_secrets().len(), 2);
    let expiring = listed
        .signing_secrets()
        .iter()
        .filter(|secret| secret.expire_time().is_some());
    assert_eq!(expiring.count(), 1);

    service.delete(webhook.id()).await.unwrap();
    for error in [
        service.get(webhook.id()).await.unwrap_err(),
        service.delete(webhook.id()).await.unwrap_err(),
        service.ping(webhook.id()).await.unwrap_err(),
        service
            .rotate_signing_secret(webhook.id(), None)
            .await
            .unwrap_err(),
    ] {
        assert_eq!(
            (error.kind(), error.status()),
            (ClientErrorKind::NotFound, Some(404))
        );
    }
}

#[tokio::test]
async fn all_pages_are_listed() {
    let (google, service) = start().await;
    assert!(service.list().collect().await.unwrap().is_empty());
    let mut created = Vec::new();
    for n in 0..120 {
        let spec = WebhookSpec::new(format!("https://app.example/{n}"), ["batch.failed"]);
        created.push(
            service
                .create(&spec)
                .await
                .unwrap()
                .webhook()
                .id()
                .to_owned(),
        );
    }
    let lists = |google: &MockGoogle| {
        let requests = google.requests();
        requests
            .iter()
            .filter(|request| request.call == Some(Call::WebhooksList))
            .count()
    };
    let before = lists(&google);
    let mut listed = Vec::new();
    let mut listing = service.list();
    while let Some(webhook) = listing.next().await {
        listed.push(webhook.unwrap().id().to_owned());
    }
    assert_eq!(lists(&google) - before, 3, "50 a page");
    created.sort();
    listed.sort();
    assert_eq!(listed, created);

    let first = service.list_page(Some(100), None).await.unwrap();
    assert_eq!(first.items().len(), 100);
    let token = first.next_page_token().unwrap();
    assert!(token.contains('\n') && token.contains('\u{8}'), "{token:?}");
    let second = service.list_page(Some(100), Some(token)).await.unwrap();
    assert_eq!((second.items().len(), second.next_page_token()), (20, None));
    let error = service.list_page(Some(1001), None).await.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn ensure_creates_once_and_then_changes_what_differs() {
    let (google, service) = start().await;
    assert!(service.find(&spec()).await.unwrap().is_empty());
    let calls = google.requests();
    assert!(calls.iter().all(|it| it.call == Some(Call::WebhooksList)));
    let ensured = service.ensure(&spec().name("mine")).await.unwrap();
    assert_eq!(ensured.actions(), [Action::Created]);
    let id = ensured.webhook().id().to_owned();
    let secret = new_secret(&ensured);
    assert_eq!(
        ensured.to_string(),
        format!("webhook {id:?}: created; store its new secret")
    );

    let again = service.ensure(&spec()).await.unwrap();
    assert!(again.actions().is_empty() && matches!(again.secret(), EnsuredSecret::NotAtHand));
    assert!(
        again
            .to_string()
            .contains("is as it should be; its secret was shown when"),
        "{again}"
    );
    let again = service
        .ensure(&spec().secret_at_hand(&secret))
        .await
        .unwrap();
    assert!(again.actions().is_empty() && matches!(again.secret(), EnsuredSecret::AtHand));

    let with_token = |token: &str| spec().endpoint_token(&EndpointToken::new(token).unwrap());
    let everything = WebhookSpec::new(URI, SubscribedEvent::ALL);
    for spec in [spec(), with_token(NEW), everything.clone()] {
        let found = service.find(&spec).await.unwrap();
        assert_eq!(found, [again.webhook().clone()]);
    }
    let elsewhere = WebhookSpec::new("https://app.example/other", SubscribedEvent::ALL);
    assert!(service.find(&elsewhere).await.unwrap().is_empty());
    for (spec, field) in [
        (spec().name("ours"), WebhookField::Name),
        (with_token(OLD), WebhookField::Uri),
        (with_token(NEW), WebhookField::Uri),
        (spec(), WebhookField::Uri),
        (everything, WebhookField::SubscribedEvents),
    ] {
        let changed = service.ensure(&spec).await.unwrap();
        assert_eq!(changed.webhook().id(), id, "{spec:?}");
        assert_eq!(changed.actions(), [Action::Updated(field)], "{spec:?}");
        let unchanged = service.ensure(&spec).await.unwrap();
        assert!(unchanged.actions().is_empty(), "{spec:?}");
        assert_eq!(unchanged.webhook(), changed.webhook());
    }
    assert_eq!(service.list().collect().await.unwrap().len(), 1);

    // Another endpoint is another webhook.
    let other = WebhookSpec::new("https://app.example/other", ["batch.failed"]);
    assert_eq!(
        service.ensure(&other).await.unwrap().actions(),
        [Action::Created]
    );
}

#[tokio::test(start_paused = true)]
async fn ensure_finds_a_token_in_the_path() {
    let (_google, service) = start().await;
    let spec = |token: &str| {
        let token = EndpointToken::new(token).unwrap();
        WebhookSpec::new(format!("{URI}/{}", token_text(&token)), ["batch.failed"])
            .endpoint_token(&token)
    };
    let others = ["nightly-batches-of-team-blue", "./"].map(|last| {
        let spec = WebhookSpec::new(format!("{URI}/{last}"), ["batch.succeeded"]);
        spec.name("theirs")
    });
    let mut theirs = Vec::new();
    for other in &others {
        theirs.push(service.create(other).await.unwrap().into_parts().0);
    }
    let created = service.ensure(&spec(OLD)).await.unwrap();
    assert_eq!(created.actions(), [Action::Created]);
    let old = EndpointToken::new(OLD).unwrap();
    let rotating = spec(NEW).previous_endpoint_token(&old);
    let changed = service.ensure(&rotating).await.unwrap();
    assert_eq!(changed.actions(), [Action::Updated(WebhookField::Uri)]);
    assert_eq!(changed.webhook().id(), created.webhook().id());
    assert_eq!(changed.webhook().uri(), format!("{URI}/{NEW}"));
    for other in theirs {
        assert_eq!(service.get(other.id()).await.unwrap(), other);
    }
}

fn token_text(token: &EndpointToken) -> String {
    token.url("").trim_start_matches("?token=").to_owned()
}

#[tokio::test(start_paused = true)]
async fn ensure_enables_what_the_service_switched_off_and_no_more() {
    let clock = ManualClock::default();
    let google = MockGoogle::builder()
        .clock(clock.clone())
        .disable_after(1)
        .start()
        .await
        .unwrap();
    let service = service(&google);
    let id = service
        .ensure(&spec())
        .await
        .unwrap()
        .webhook()
        .id()
        .to_owned();
    google.forward("https://app.example", "http://127.0.0.1:1");
    service.ping(&id).await.unwrap();
    google.deliver_due().await;
    let state = service.get(&id).await.unwrap().state().cloned();
    assert_eq!(state, Some(WebhookState::DisabledDueToFailedDeliveries));

    let ensured = service.ensure(&spec()).await.unwrap();
    assert_eq!(ensured.actions(), [Action::Updated(WebhookField::State)]);
    assert_eq!(ensured.webhook().state(), Some(&WebhookState::Enabled));
    assert!(ensured.to_string().contains("enabled again"), "{ensured}");

    let off = WebhookUpdate::new().state(WebhookState::Disabled);
    service.update(&id, &off).await.unwrap();
    let ensured = service.ensure(&spec().name("n")).await.unwrap();
    assert_eq!(ensured.actions(), [Action::Updated(WebhookField::Name)]);
    assert_eq!(ensured.webhook().state(), Some(&WebhookState::Disabled));
    assert!(
        ensured.to_string().contains("somebody switched it off"),
        "{ensured}"
    );
}

#[tokio::test(start_paused = true)]
async fn ensure_rotates_if_asked_and_only_without_the_secret() {
    let (_google, service) = start().await;
    let first = new_secret(&service.ensure(&spec()).await.unwrap());
    let asking = || spec().rotate_if_not_at_hand(RevocationBehavior::AfterH24);

    let kept = service
        .ensure(&asking().secret_at_hand(&first))
        .await
        .unwrap();
    assert!(kept.actions().is_empty() && matches!(kept.secret(), EnsuredSecret::AtHand));
    let rotated = service.ensure(&asking()).await.unwrap();
    assert_eq!(rotated.actions(), [Action::Rotated]);
    let second = new_secret(&rotated);
    assert_ne!(second, first);
    let kept = service
        .ensure(&asking().secret_at_hand(&second))
        .await
        .unwrap();
    assert!(matches!(kept.secret(), EnsuredSecret::AtHand));
}

/// Which one of several wins is up to chance; that one does, and all say the same, is not. The service
/// tells all of them the same `create_time`, and answers some of them with a 429 first.
#[tokio::test(start_paused = true)]
async fn of_processes_that_start_at_once_one_wins() {
    let mut lost = 0;
    for round in 0..30 {
        let clock = ManualClock::default();
        let google = MockGoogle::builder().clock(clock.clone());
        let google = google.start().await.unwrap();
        if round % 2 == 0 {
            google.fail(
                Call::WebhooksCreate,
                1,
                Fault::RetryAfter(429, "0".to_owned()),
            );
        }
        let starts = (0..2 + round % 5).map(|_| {
            let builder = WebhookService::builder().api_key(API_KEY);
            let builder = builder.base_url(google.base_url()).clock(clock.clone());
            let service = builder.build().unwrap();
            tokio::spawn(async move { service.ensure(&spec()).await.unwrap() })
        });
        let mut all = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            all.push(start.await.unwrap());
        }
        let left = service(&google).list().collect().await.unwrap();
        let [left] = left.as_slice() else {
            panic!("{round}: {left:?}");
        };
        let mut winners = 0;
        for ensured in &all {
            assert_eq!(ensured.webhook().id(), left.id());
            match ensured.secret() {
                EnsuredSecret::New(secret) => {
                    winners += 1;
                    let tail = left.signing_secrets()[0].truncated().unwrap();
                    assert!(
                        secret
                            .expose()
                            .ends_with(tail.trim_start_matches("whsec_..."))
                    );
                    assert_eq!(ensured.actions(), [Action::Created]);
                }
                EnsuredSecret::OfAnother => {
                    lost += 1;
                    assert!(ensured.actions().is_empty());
                    assert!(
                        ensured.to_string().contains("another process created it"),
                        "{ensured}"
                    );
                }
                // It came after the others were done.
                EnsuredSecret::NotAtHand => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(winners, 1);
        let deleted = google.requests();
        let deleted = deleted
            .iter()
            .filter(|request| request.call == Some(Call::WebhooksDelete));
        let created = google.requests();
        let created = created
            .iter()
            .filter(|request| request.call == Some(Call::WebhooksCreate));
        let refused = usize::from(round % 2 == 0);
        assert_eq!(deleted.count() + 1 + refused, created.count());
    }
    assert!(lost > 0, "they never met");
}

#[tokio::test(start_paused = true)]
async fn what_was_there_before_is_left_alone_and_named() {
    let (_google, service) = start().await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(
            service
                .create(&spec())
                .await
                .unwrap()
                .webhook()
                .id()
                .to_owned(),
        );
    }
    let ensured = service.ensure(&spec()).await.unwrap();
    assert_eq!(ensured.others().len(), 2);
    assert!(
        ensured.to_string().contains("2 more of the same URI"),
        "{ensured}"
    );
    assert_eq!(service.list().collect().await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_goes_wrong_is_told() {
    let (google, service) = start().await;
    let id = service
        .create(&spec())
        .await
        .unwrap()
        .webhook()
        .id()
        .to_owned();
    let stranger = WebhookService::builder()
        .api_key("another-key")
        .base_url(google.base_url());
    let stranger = stranger.build().unwrap();
    let error = stranger.get(&id).await.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::Auth, "{error}");
    google.set_error_shape(ErrorShape::Code);
    let error = stranger.get(&id).await.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::Auth, "{error}");

    // The mock repeats what it refuses.
    let token = EndpointToken::new(OLD).unwrap();
    let insecure = WebhookSpec::new(format!("http://app.example/x/{OLD}"), ["batch.failed"]);
    let error = service.ensure(&insecure.endpoint_token(&token)).await;
    let shown = format!("{:?}", error.unwrap_err());
    assert!(shown.contains("URI http://app.example/x/…"), "{shown}");

    let refused = WebhookSpec::new(URI, ["batch.completed"]).allow_refused_events();
    for shape in [ErrorShape::Status, ErrorShape::Code] {
        google.set_error_shape(shape);
        let error = service.create(&refused).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (ClientErrorKind::InvalidArgument, Some(400))
        );
        assert!(
            error.code().is_some() && error.message().is_some(),
            "{error}"
        );
        assert!(error.to_string().contains("batch.completed"), "{error}");
    }

    for (fault, kind, doubtful) in [
        (Fault::Status(500), ClientErrorKind::Server, true),
        (
            Fault::RetryAfter(429, "7".to_owned()),
            ClientErrorKind::RateLimited,
            false,
        ),
        (
            Fault::Body(502, "<html>bad gateway</html>".to_owned()),
            ClientErrorKind::Server,
            true,
        ),
        (Fault::CloseBefore, ClientErrorKind::Transport, true),
        (Fault::CloseAfter, ClientErrorKind::Transport, true),
        (Fault::Truncated, ClientErrorKind::Transport, true),
        (
            Fault::Oversized(5 * 1024 * 1024),
            ClientErrorKind::Decode,
            true,
        ),
    ] {
        google.fail(Call::WebhooksRotate, 1, fault.clone());
        let error = service.rotate_signing_secret(&id, None).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{fault:?}: {error}");
        assert_eq!(
            error.may_have_been_carried_out(),
            doubtful,
            "{fault:?}: {error}"
        );
        let advised = error
            .to_string()
            .contains("call `rotate_signing_secret` again");
        assert_eq!(advised, doubtful, "{fault:?}: {error}");
    }
    google.fail(Call::WebhooksGet, 1, Fault::NoAnswer);
    let hasty = WebhookService::builder()
        .api_key(API_KEY)
        .base_url(google.base_url());
    let hasty = hasty
        .max_retries(0)
        .http(|client| client.timeout(Duration::from_millis(50)));
    let error = hasty.build().unwrap().get(&id).await.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::Timeout, "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_whose_answer_was_lost_is_found_by_ensure() {
    let (google, service) = start().await;
    google.fail(Call::WebhooksCreate, 1, Fault::CloseAfter);
    let error = service.ensure(&spec()).await.unwrap_err();
    assert!(error.may_have_been_carried_out(), "{error}");
    let ensured = service.ensure(&spec()).await.unwrap();
    assert!(matches!(ensured.secret(), EnsuredSecret::NotAtHand));
    let asking = spec().rotate_if_not_at_hand(RevocationBehavior::Immediately);
    let rotated = service.ensure(&asking).await.unwrap();
    assert!(new_secret(&rotated).starts_with("whsec_"));
    assert_eq!(service.list().collect().await.unwrap().len(), 1);
}

#[tokio::test]
async fn jobs_call_back_where_their_config_says() {
    let (google, service) = start().await;
    let token = EndpointToken::generate().unwrap();
    let receiver = WebhookReceiver::builder()
        .jwks_url(google.jwks_url())
        .endpoint_token(token.clone());
    let (origin, events) = app(receiver).await;
    let config = WebhookConfig::new()
        .uri(format!("{origin}/gemini-callback"))
        .with_endpoint_token(&token)
        .user_metadata("job_group", "nightly");

    let request = json!({"batch": {"displayName": "d", "inputConfig": {"fileName": "files/7"}}});
    let batches = service.batches();
    let batch = batches
        .create("models/gemini-3", request, Some(&config))
        .await
        .unwrap();
    assert_eq!(
        (batch.state(), batch.is_done()),
        (Some(BatchState::Pending), false)
    );
    google
        .finish_batch(batch.name(), BatchOutcome::Succeeded)
        .await
        .unwrap();

    let request = json!({"model": "gemini-3", "input": "hello"});
    let interactions = service.interactions();
    let interaction = interactions.create(request, Some(&config)).await.unwrap();
    google
        .set_interaction(interaction.id(), google::InteractionStatus::Completed)
        .await
        .unwrap();

    let events = events.lock().unwrap().clone();
    let types: Vec<_> = events.iter().filter_map(GeminiEvent::type_name).collect();
    assert_eq!(types, ["batch.succeeded", "interaction.completed"]);
    for event in &events {
        let metadata: Value = event.user_metadata_as().unwrap().unwrap();
        assert_eq!(metadata, json!({"job_group": "nightly"}));
    }
    // Asked by the id of the event, whichever form it has.
    let data: Value = events[0].data_as().unwrap().unwrap();
    let batch = batches.get(data["id"].as_str().unwrap()).await.unwrap();
    assert_eq!(
        (batch.state(), batch.is_done()),
        (Some(BatchState::Succeeded), true)
    );
    assert!(batch.responses_file().is_some());
    let interaction = interactions.get(interaction.id()).await.unwrap();
    assert_eq!(interaction.status(), Some(InteractionStatus::Completed));
    let shown = format!("{batch:?} {interaction:?}");
    assert!(!shown.contains(&token_text(&token)), "{shown}");

    let plain = json!({"batch": {"displayName": "d", "inputConfig": {"fileName": "files/7"}}});
    for _ in 0..4 {
        batches
            .create("gemini-3", plain.clone(), None)
            .await
            .unwrap();
    }
    assert_eq!(batches.list().collect().await.unwrap().len(), 5);
    let page = batches.list_page(Some(2), None).await.unwrap();
    assert_eq!(page.items().len(), 2);
    let next = batches
        .list_page(Some(2), page.next_page_token())
        .await
        .unwrap();
    assert_ne!(next.items()[0].name(), page.items()[0].name());
    let error = interactions.get("none").await.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::NotFound);
}
