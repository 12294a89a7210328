//! The examples that call Google, against the mock.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use gemini_webhooks::client::{
    ClientError, EnsuredSecret, Job, WebhookService, WebhookState, WebhookUpdate, reqwest,
};
use gemini_webhooks::testing;
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, MockGoogle};
use gemini_webhooks::{
    Clock as _, DeliveryHeaders, EndpointToken, Keyring, SystemClock, Verifier, WebhookReceiver,
};
use serde_json::json;

type Error = Box<dyn std::error::Error>;

const URI: &str = "https://example.com/gemini-callback";

thread_local! {
    /// What the examples stored. Each test has a thread of its own.
    static STORED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

fn store(secret: &str) -> std::io::Result<()> {
    STORED.with_borrow_mut(|stored| stored.push(secret.to_owned()));
    Ok(())
}

fn stored() -> Vec<String> {
    STORED.with_borrow(Vec::clone)
}

mod readme {
    include!("readme/register.rs");

    pub(super) async fn documented(service: &WebhookService) -> Result<Ensured, ClientError> {
        register(service).await
    }
}

mod ensure {
    use super::store;

    include!("registering/ensure.rs");

    pub(super) async fn documented(service: &WebhookService) -> Result<(), super::Error> {
        register(service).await
    }
}

mod check {
    include!("registering/check.rs");

    pub(super) async fn documented(service: &WebhookService, id: &str) -> Result<(), ClientError> {
        check(service, id).await
    }

    pub(super) async fn documented_timer(service: WebhookService, id: String) {
        keep_enabled(service, id).await;
    }

    pub(super) async fn documented_look(
        service: &WebhookService,
        id: &str,
    ) -> Result<bool, ClientError> {
        enable_again(service, id).await
    }
}

mod move_to {
    include!("registering/move_to.rs");

    pub(super) async fn documented(
        service: &WebhookService,
        id: &str,
        uri: &str,
    ) -> Result<(), ClientError> {
        move_to(service, id, uri).await
    }
}

mod at_hand {
    include!("registering/at_hand.rs");

    pub(super) async fn documented(
        service: &WebhookService,
        stored: &str,
    ) -> Result<String, super::Error> {
        secret(service, stored).await
    }
}

mod rotating {
    use super::store;

    include!("registering/rotate.rs");

    pub(super) async fn documented(
        service: &WebhookService,
        id: &str,
        keyring: &Keyring,
    ) -> Result<(), super::Error> {
        rotate(service, id, keyring).await
    }
}

mod job {
    include!("registering/job.rs");

    pub(super) async fn documented_start(
        service: &WebhookService,
        token: &EndpointToken,
    ) -> Result<String, super::Error> {
        start(service, token).await
    }

    pub(super) fn documented_app(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }
}

mod body {
    include!("registering/body.rs");

    pub(super) fn documented(body: Value) -> Result<Value, ClientError> {
        call_back(body)
    }
}

mod errors {
    include!("registering/errors.rs");

    pub(super) async fn documented(service: &WebhookService, id: &str) -> Result<(), super::Error> {
        remove(service, id).await
    }
}

mod settings {
    include!("registering/settings.rs");

    pub(super) fn documented(
        key: &str,
        proxy: reqwest::Proxy,
    ) -> Result<WebhookService, ConfigError> {
        service(key, proxy)
    }
}

mod owns {
    include!("guide/dynamic_owns.rs");

    pub(super) fn documented(
        service: &WebhookService,
        token: EndpointToken,
    ) -> WebhookReceiverBuilder {
        receiver(service, token)
    }

    pub(super) fn documented_app(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }
}

async fn google() -> (MockGoogle, WebhookService) {
    let google = MockGoogle::start().await.unwrap();
    let service = WebhookService::builder()
        .api_key(API_KEY)
        .base_url(google.base_url());
    (google, service.build().unwrap())
}

#[tokio::test]
async fn the_webhook_is_registered_once_and_its_secret_is_stored() {
    let (_google, service) = google().await;
    ensure::documented(&service).await.unwrap();
    ensure::documented(&service).await.unwrap();
    let webhooks = service.list().collect().await.unwrap();
    assert_eq!(webhooks.len(), 1);
    assert_eq!(
        (webhooks[0].uri(), webhooks[0].name()),
        (URI, Some("batches"))
    );
    let [secret] = <[String; 1]>::try_from(stored()).unwrap();
    let end = webhooks[0].signing_secrets()[0]
        .truncated()
        .unwrap()
        .replace("whsec_...", "");
    assert!(secret.ends_with(&end));

    errors::documented(&service, webhooks[0].id())
        .await
        .unwrap();
    errors::documented(&service, webhooks[0].id())
        .await
        .unwrap();
    assert!(service.list().collect().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_webhook_is_checked_and_switched_on_again() {
    let google = MockGoogle::builder()
        .disable_after(1)
        .start()
        .await
        .unwrap();
    let service = WebhookService::builder()
        .api_key(API_KEY)
        .base_url(google.base_url())
        .build()
        .unwrap();
    ensure::documented(&service).await.unwrap();
    let id = service.list().collect().await.unwrap()[0].id().to_owned();
    check::documented(&service, "not-there").await.unwrap_err();
    check::documented(&service, &id).await.unwrap();
    google.deliver_due().await;
    assert_eq!(google.deliveries().len(), 1);

    // Nothing is delivered to another machine, and one failure is enough.
    let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
    let batch = service.batches().create("m", request, None).await.unwrap();
    google
        .finish_batch(batch.name(), BatchOutcome::Succeeded)
        .await
        .unwrap();
    let state = async || service.get(&id).await.unwrap().state().cloned();
    assert_ne!(state().await, Some(WebhookState::Enabled));
    let timer = tokio::spawn(check::documented_timer(service.clone(), id.clone()));
    let enabled = async { while state().await != Some(WebhookState::Enabled) {} };
    tokio::time::timeout(Duration::from_secs(10), enabled)
        .await
        .unwrap();
    // It leaves off what a person switched off, and creates nothing.
    let off = WebhookUpdate::new().state(WebhookState::Disabled);
    service.update(&id, &off).await.unwrap();
    assert!(!check::documented_look(&service, &id).await.unwrap());
    assert_eq!(state().await, Some(WebhookState::Disabled));
    service.delete(&id).await.unwrap();
    check::documented_look(&service, &id).await.unwrap_err();
    assert!(service.list().collect().await.unwrap().is_empty());
    assert!(!timer.is_finished());
    timer.abort();
}

#[tokio::test]
async fn a_webhook_moves_by_its_id() {
    let (_google, service) = google().await;
    ensure::documented(&service).await.unwrap();
    let id = service.list().collect().await.unwrap()[0].id().to_owned();
    let uri = "https://example.com/elsewhere";
    move_to::documented(&service, &id, uri).await.unwrap();
    assert_eq!(service.get(&id).await.unwrap().uri(), uri);
    assert_eq!(service.list().collect().await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_readme_registers_once() {
    let (google, service) = google().await;
    let first = readme::documented(&service).await.unwrap();
    assert!(matches!(first.secret(), EnsuredSecret::New(_)));
    let second = readme::documented(&service).await.unwrap();
    assert!(second.actions().is_empty());
    assert_eq!(second.webhook().id(), first.webhook().id());
    let refused = WebhookService::builder()
        .base_url(google.base_url())
        .api_key("another-key-for-tests")
        .build();
    let refused = readme::documented(&refused.unwrap()).await;
    assert!(refused.is_err(), "{refused:?}");
}

#[tokio::test]
async fn a_secret_that_is_not_at_hand_is_made_once() {
    let (_google, service) = google().await;
    let first = at_hand::documented(&service, "").await.unwrap();
    assert_eq!(at_hand::documented(&service, &first).await.unwrap(), first);
    let second = at_hand::documented(&service, testing::SECRET)
        .await
        .unwrap();
    assert_ne!(second, first);
    assert_eq!(
        at_hand::documented(&service, &second).await.unwrap(),
        second
    );
}

#[tokio::test]
async fn both_secrets_are_accepted_after_a_rotation() {
    let (_google, service) = google().await;
    let first = at_hand::documented(&service, "").await.unwrap();
    let id = service.list().collect().await.unwrap()[0].id().to_owned();
    let keyring = Keyring::new(first.parse().unwrap());
    let verifier = Verifier::new(keyring.clone());
    rotating::documented(&service, &id, &keyring).await.unwrap();
    assert_eq!(keyring.len(), 2);
    let accepts = |secret: &str, later: Duration| {
        let (body, now) = (testing::SAMPLE_EVENTS[0], SystemClock.now() + later);
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let headers = testing::sign_v1(&secret.parse().unwrap(), "msg_1", seconds, body);
        let headers =
            DeliveryHeaders::from_lines(headers.iter().map(|(name, value)| (*name, value)));
        verifier.verify(&headers, body.as_bytes(), now).is_ok()
    };
    let (new, day) = (&stored()[0], Duration::from_secs(24 * 60 * 60));
    assert!(accepts(&first, Duration::ZERO) && accepts(new, Duration::ZERO));
    assert!(!accepts(&first, day) && accepts(new, day));
}

#[tokio::test]
async fn the_events_of_a_job_come_to_the_app() {
    let (google, service) = google().await;
    let token = EndpointToken::generate().unwrap();
    let receiver = WebhookReceiver::builder()
        .jwks_url(google.jwks_url())
        .endpoint_token(token.clone())
        .build()
        .unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    google.forward(
        "https://example.com",
        &format!("http://{}", listener.local_addr().unwrap()),
    );
    let app = job::documented_app(receiver);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let name = job::documented_start(&service, &token).await.unwrap();
    google
        .finish_batch(&name, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert!(
        google.deliveries()[0].is_delivered,
        "{:?}",
        google.deliveries()
    );

    // With another token it does not.
    let other = EndpointToken::generate().unwrap();
    let name = job::documented_start(&service, &other).await.unwrap();
    google
        .finish_batch(&name, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert!(!google.deliveries()[1].is_delivered);
}

#[tokio::test]
async fn the_events_of_a_strangers_job_do_not_come_to_the_app() {
    const STRANGERS: &str = "a-strangers-key";
    let google = MockGoogle::builder().api_key(API_KEY).api_key(STRANGERS);
    let google = google.start().await.unwrap();
    let service = |key| {
        let builder = WebhookService::builder().api_key(key);
        builder.base_url(google.base_url()).build().unwrap()
    };
    let token = EndpointToken::generate().unwrap();
    let receiver = owns::documented(&service(API_KEY), token.clone());
    let receiver = receiver.jwks_url(google.jwks_url()).build().unwrap();
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .unwrap();
    google.forward(
        "https://example.com",
        &format!("http://{}", listener.local_addr().unwrap()),
    );
    let app = owns::documented_app(receiver);
    tokio::spawn(async move { axum::serve(listener, app).await });

    // Each knows the token, and the keys are the same.
    for (key, answer) in [(API_KEY, 200), (STRANGERS, 400)] {
        let name = job::documented_start(&service(key), &token).await.unwrap();
        google
            .finish_batch(&name, BatchOutcome::Succeeded)
            .await
            .unwrap();
        let sent = google.deliveries().pop().unwrap();
        assert_eq!(sent.attempts[0].answer, Ok(answer), "{key}");
    }
}

#[tokio::test]
async fn a_request_of_others_calls_back() {
    let body = body::documented(json!({"model": "m", "input": "x"})).unwrap();
    assert_eq!(body["background"], true);
    assert_eq!(
        body["webhook_config"]["uris"][0],
        "https://example.com/gemini-webhook-dynamic"
    );
    let (_google, service) = google().await;
    service.interactions().create(body, None).await.unwrap();
    let error: ClientError = body::documented(json!({"background": false})).unwrap_err();
    assert!(
        error.to_string().contains("background"),
        "{error} {:?}",
        Job::Interaction
    );
}

#[tokio::test(start_paused = true)]
async fn the_settings_are_those_of_the_service() {
    let (google, _) = google().await;
    // The mock in the place of the proxy: it is asked for Google's URL and serves no such thing.
    let proxy = reqwest::Proxy::all(google.base_url()).unwrap();
    let service = settings::documented(API_KEY, proxy).unwrap();
    let error = service.list_page(None, None).await.unwrap_err();
    assert!(!error.may_have_been_carried_out(), "{error}");
    let requests = google.requests();
    assert!(!requests.is_empty());
    assert!(
        requests.iter().all(|request| request.method == "CONNECT"),
        "{requests:?}"
    );
}
