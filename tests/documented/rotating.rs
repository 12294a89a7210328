//! The examples of the page on rotating secrets.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use gemini_webhooks::client::{SubscribedEvent, WebhookService, WebhookSpec};
use gemini_webhooks::testing::google::{API_KEY, MockGoogle};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{
    Clock as _, EndpointToken, Keyring, NotReady, SystemClock, VerifyLayer, WebhookReceiver,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

use crate::{EVENT, axum_apps, now};

const OLD: &str = "whsec_b2xkLXNlY3JldC1vbGQtc2VjcmV0LW9sZC1zZWNyZXQ=";
const NEW: &str = testing::SECRET;

/// An app follows its source so often, by default.
const EVERY: Duration = Duration::from_secs(10);

thread_local! {
    /// What the example stored. Each test has a thread of its own.
    static STORED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

mod process {
    fn store(secret: &str) -> std::io::Result<()> {
        super::STORED.with_borrow_mut(|stored| stored.push(secret.to_owned()));
        Ok(())
    }

    include!("guide/rotating_process.rs");

    pub(super) async fn documented(
        (service, webhook): (&WebhookService, &str),
        keyring: &Keyring,
    ) -> Result<(), RotationError> {
        rotate(service, webhook, keyring).await
    }
}

mod file {
    include!("guide/rotating_file.rs");

    pub(super) async fn documented(file: PathBuf) -> Result<WebhookReceiver, Box<dyn Error>> {
        receiver(file).await
    }
}

mod manager {
    include!("guide/rotating_manager.rs");

    pub(super) fn documented(url: String, token: &str) -> impl SecretSource {
        Vault {
            client: Client::new(),
            url,
            token: token.to_owned(),
        }
    }
}

mod tokens {
    include!("guide/rotating_tokens.rs");

    pub(super) async fn documented(file: PathBuf) -> Result<WebhookReceiver, Box<dyn Error>> {
        receiver(file).await
    }
}

fn app(receiver: WebhookReceiver) -> Router {
    let callback = post(async || StatusCode::OK).layer(VerifyLayer::new(receiver));
    Router::new().route("/", callback)
}

/// What the app answers to an event of its own that this secret signs.
async fn signed_by(app: &Router, secret: &str, now: u64) -> u16 {
    thread_local!(static SENT: RefCell<u64> = const { RefCell::new(0) });
    let id = SENT.with_borrow_mut(|sent| {
        *sent += 1;
        format!("msg_{sent}")
    });
    let lines = testing::sign_v1(&secret.parse().unwrap(), &id, now, EVENT);
    axum_apps::post(app, "/", lines, EVENT).await.0
}

async fn old_and_new(app: &Router) -> [u16; 2] {
    let old = signed_by(app, OLD, now()).await;
    [old, signed_by(app, NEW, now()).await]
}

fn file_of_this_run(name: &str, text: &str) -> PathBuf {
    let name = format!("rotating-{}-{name}", std::process::id());
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn one_process_rotates_while_it_runs() {
    let google = MockGoogle::start().await.unwrap();
    let service = WebhookService::builder()
        .api_key(API_KEY)
        .base_url(google.base_url());
    let service = service.build().unwrap();
    let spec = WebhookSpec::new("https://example.com/", SubscribedEvent::ALL);
    let created = service.create(&spec).await.unwrap();
    let (id, old) = (created.webhook().id(), created.secret().expose());

    let clock = ManualClock::new(SystemClock.now());
    let keyring = Keyring::new(old.parse().unwrap()).with_clock(clock.clone());
    let receiver = WebhookReceiver::builder()
        .keyring(keyring.clone())
        .clock(clock.clone());
    let app = app(receiver.build().unwrap());
    process::documented((&service, id), &keyring).await.unwrap();

    let [new] = <[String; 1]>::try_from(STORED.take()).unwrap();
    for (later, expected) in [(0, [200, 200]), (24 * 60 * 60, [400, 200])] {
        clock.advance(Duration::from_secs(later));
        let now = clock.now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs();
        let old = signed_by(&app, old, now).await;
        assert_eq!([old, signed_by(&app, &new, now).await], expected);
    }
    // As the page says of a secret that was lost: the newest that is stored will end.
    for (stored, ends) in [(old, true), (&*new, false)] {
        let spec = spec.clone().secret_at_hand(stored);
        let ensured = service.ensure(&spec).await.unwrap();
        assert_eq!(ensured.secret_expires().is_some(), ends);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_is_followed() {
    let file = file_of_this_run("file", OLD);
    let receiver = file::documented(file.clone()).await.unwrap();
    let app = app(receiver);
    assert_eq!(old_and_new(&app).await, [200, 400]);
    for (text, expected) in [
        (format!("{NEW}\n{OLD}  # rotated today\n"), [200, 200]),
        (format!("{NEW}\n# {OLD}\n"), [400, 200]),
        // This ends no secret.
        (String::new(), [400, 200]),
    ] {
        fs::write(&file, &text).unwrap();
        sleep(EVERY * 2).await;
        assert_eq!(old_and_new(&app).await, expected, "{text}");
    }
    fs::remove_file(&file).unwrap();
    sleep(EVERY * 2).await;
    assert_eq!(old_and_new(&app).await, [400, 200]);
    let error = file::documented(file).await.unwrap_err();
    assert!(error.to_string().contains("rotating-"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn tokens_in_a_file_are_followed() {
    let [old, new] = [(); 2].map(|()| EndpointToken::generate().unwrap());
    let text = |token: &EndpointToken| token.url("").replace("?token=", "");
    let file = file_of_this_run("tokens", &text(&old));
    let app = app(tokens::documented(file.clone()).await.unwrap());
    let answers = async || {
        [
            axum_apps::post(&app, &old.url("/"), [], EVENT).await.1,
            axum_apps::post(&app, &new.url("/"), [], EVENT).await.1,
        ]
    };
    // The signature is looked at when the token is accepted.
    let [accepted, refused] =
        ["missing_header", "wrong_endpoint"].map(|code| format!(r#"{{"error":"{code}"}}"#));
    assert_eq!(answers().await, [accepted.clone(), refused.clone()]);
    for (tokens, expected) in [
        (vec![&old, &new], [&accepted, &accepted]),
        (vec![&new], [&refused, &accepted]),
    ] {
        let lines: Vec<_> = tokens.into_iter().map(text).collect();
        fs::write(&file, lines.join("\n")).unwrap();
        sleep(EVERY * 2).await;
        assert_eq!(answers().await.each_ref(), expected);
    }
    fs::remove_file(file).unwrap();
}

/// A server that answers as Vault's documentation says of KV version 2.
struct FakeVault {
    url: String,
    secrets: Arc<Mutex<Result<String, StatusCode>>>,
}

impl FakeVault {
    const TOKEN: &str = "hvs.of-a-test";

    async fn start() -> Self {
        let secrets = Arc::new(Mutex::new(Ok(OLD.to_owned())));
        let answer = {
            let secrets = Arc::clone(&secrets);
            async move |headers: HeaderMap| -> Result<Json<Value>, StatusCode> {
                if headers.get("x-vault-token").unwrap() != Self::TOKEN {
                    return Err(StatusCode::FORBIDDEN);
                }
                let secrets = secrets.lock().unwrap().clone()?;
                let metadata = json!({"version": 3, "deletion_time": "", "destroyed": false});
                Ok(Json(json!({
                    "request_id": "a", "renewable": false, "warnings": null,
                    "data": {"data": {"secrets": secrets}, "metadata": metadata},
                })))
            }
        };
        let app = Router::new().route("/v1/secret/data/gemini-webhook", get(answer));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            url: format!("http://{address}/v1/secret/data/gemini-webhook"),
            secrets,
        }
    }

    fn answers(&self, secrets: Result<String, StatusCode>) {
        *self.secrets.lock().unwrap() = secrets;
    }
}

#[tokio::test]
async fn a_secret_manager_is_followed() {
    let vault = FakeVault::start().await;
    let wrong = manager::documented(vault.url.clone(), "another token");
    let error = Keyring::follow(wrong).await.unwrap_err().to_string();
    assert!(
        error.contains("403") && !error.contains("another token"),
        "{error}"
    );
    let source = manager::documented(vault.url.clone(), FakeVault::TOKEN);
    assert!(!format!("{source:?}").contains(FakeVault::TOKEN));
    let every = Duration::from_millis(100);
    let keyring = Keyring::follow(source).every(every).await.unwrap();
    let receiver = WebhookReceiver::builder().keyring(keyring).build().unwrap();
    let app = app(receiver.clone());
    assert_eq!(old_and_new(&app).await, [200, 400]);
    vault.answers(Ok(format!("{NEW}\n{OLD}\n")));
    until(async || old_and_new(&app).await == [200, 200]).await;
    // While it fails, the secrets of before stay in use.
    vault.answers(Err(StatusCode::SERVICE_UNAVAILABLE));
    until(async || matches!(receiver.ready().await, Err(NotReady::Secrets(_)))).await;
    assert_eq!(old_and_new(&app).await, [200, 200]);
    vault.answers(Ok(NEW.to_owned()));
    until(async || old_and_new(&app).await == [400, 200]).await;
    receiver.ready().await.unwrap();
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(20), waiting).await.unwrap();
}
