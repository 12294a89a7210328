//! Deliveries without a pause, while the secret is rotated in each of the ways.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse, web};
use axum::Router;
use axum::body::Body;
use axum::routing::post;
use gemini_webhooks::rotation::{SecretFile, SecretFuture, SecretSource};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{
    EndpointToken, GeminiEvent, Keyring, VerifyLayer, VerifyWebhook, WebhookReceiver,
};
use http::{Request, StatusCode};
use tokio::task::LocalSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt as _;

use super::{DAY, Secrets, secret};

/// How the secret is rotated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Call,
    Replaced,
    WrittenInPlace,
    Manager,
}

/// A secret manager, as far as an app knows one.
#[derive(Clone, Debug, Default)]
struct Manager(Arc<Mutex<Vec<usize>>>);

impl SecretSource for Manager {
    fn fetch(&self) -> SecretFuture<'_> {
        Box::pin(async { Ok(self.0.lock().unwrap().iter().copied().map(secret).collect()) })
    }
}

/// A keyring that begins with secret 1, and what changes it.
struct Rig {
    way: Way,
    clock: ManualClock,
    keyring: Keyring,
    file: Secrets,
    manager: Manager,
    next: AtomicUsize,
}

impl Rig {
    async fn new(way: Way) -> Self {
        let clock = ManualClock::default();
        let file = Secrets::new(&[1]);
        let manager = Manager::default();
        manager.0.lock().unwrap().push(1);
        let keyring = match way {
            Way::Call => Keyring::new(secret(1)).with_clock(clock.clone()),
            Way::Replaced | Way::WrittenInPlace => {
                let file = Keyring::follow(SecretFile::new(file.path()));
                file.clock(clock.clone()).await.unwrap()
            }
            Way::Manager => Keyring::follow(manager.clone())
                .clock(clock.clone())
                .await
                .unwrap(),
        };
        Self {
            way,
            clock,
            keyring,
            file,
            manager,
            next: AtomicUsize::new(0),
        }
    }

    fn receiver(&self) -> WebhookReceiver {
        let receiver = WebhookReceiver::builder().keyring(self.keyring.clone());
        receiver.clock(self.clock.clone()).build().unwrap()
    }

    /// The headers of a new delivery under these secrets.
    fn headers(&self, signers: &[usize]) -> Vec<(&'static str, String)> {
        let id = format!("msg_{}", self.next.fetch_add(1, SeqCst));
        let sign = |signer: &usize| {
            testing::sign_v1(&secret(*signer), &id, self.clock.unix_seconds(), BODY)
        };
        let mut headers = sign(&signers[0]).to_vec();
        let signatures: Vec<_> = signers
            .iter()
            .map(|signer| sign(signer)[2].1.clone())
            .collect();
        headers[2].1 = signatures.join(" ");
        headers
    }

    /// Lists these secrets, if something is followed.
    fn list(&self, numbers: &[usize]) {
        match self.way {
            Way::Call => {}
            Way::Replaced => self.file.replace(numbers),
            Way::WrittenInPlace => self.file.write(numbers),
            Way::Manager => *self.manager.0.lock().unwrap() = numbers.to_vec(),
        }
    }

    async fn rotate_under(&self, send: impl AsyncFn(Vec<(&'static str, String)>) -> u16) {
        let status = async |signers: &[usize]| send(self.headers(signers)).await;
        let until = async |signers: &[usize], expected: u16| {
            let changed = async {
                while status(signers).await != expected {
                    sleep(Duration::from_millis(100)).await;
                }
            };
            let changed = timeout(Duration::from_secs(30), changed).await;
            changed.unwrap_or_else(|_| panic!("{:?}: {signers:?} stay", self.way));
        };
        assert_eq!(status(&[1]).await, 200);
        assert_eq!(status(&[2]).await, 400);
        assert_eq!(status(&[2, 1]).await, 200);

        let load = async |signers: &[&[usize]]| {
            loop {
                for signers in signers {
                    assert_eq!(status(signers).await, 200, "{:?}: {signers:?}", self.way);
                }
                sleep(Duration::from_millis(50)).await;
            }
        };
        let begin = async {
            sleep(Duration::from_secs(1)).await;
            match self.way {
                Way::Call => self.keyring.rotate(secret(2), DAY),
                _ => self.list(&[1, 2]),
            }
            until(&[2], 200).await;
        };
        tokio::select! {
            () = load(&[&[1], &[1, 2], &[2, 1]]) => {},
            () = begin => {},
        }
        let end = async {
            match self.way {
                Way::Call => self.clock.advance(DAY),
                _ => self.list(&[2]),
            }
            until(&[1], 400).await;
        };
        tokio::select! {
            () = load(&[&[2], &[1, 2], &[2, 1]]) => {},
            () = end => {},
        }
        assert_eq!(status(&[1]).await, 400);

        // One that leaked ends at once, and no source brings it back.
        self.keyring.replace(secret(3));
        assert_eq!(status(&[2]).await, 400);
        assert_eq!(status(&[3]).await, 200);
        self.list(&[2, 3]);
        sleep(Duration::from_secs(30)).await;
        assert_eq!(status(&[2]).await, 400);
        assert_eq!(status(&[2, 3]).await, 200);
    }
}

const BODY: &str = testing::SAMPLE_EVENTS[0];
const WAYS: [Way; 4] = [Way::Call, Way::Replaced, Way::WrittenInPlace, Way::Manager];

#[tokio::test(start_paused = true)]
async fn through_verify_layer() {
    for way in WAYS {
        let rig = Rig::new(way).await;
        let callback = post(async |_: GeminiEvent| StatusCode::OK);
        let app = Router::new().route("/", callback.layer(VerifyLayer::new(rig.receiver())));
        rig.rotate_under(async |headers| {
            let mut request = Request::post("/").body(Body::from(BODY)).unwrap();
            for (name, value) in headers {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            app.clone()
                .oneshot(request)
                .await
                .unwrap()
                .status()
                .as_u16()
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn through_verify_webhook() {
    let rotations = async {
        for way in WAYS {
            let rig = Rig::new(way).await;
            let callback = web::post().to(async |_: GeminiEvent| HttpResponse::Ok());
            let callback = callback.wrap(VerifyWebhook::new(rig.receiver()));
            let app = init_service(App::new().route("/", callback)).await;
            rig.rotate_under(async |headers| {
                let mut request = TestRequest::post().uri("/").set_payload(BODY);
                for header in headers {
                    request = request.insert_header(header);
                }
                let answer = call_service(&app, request.to_request()).await;
                answer.status().as_u16()
            })
            .await;
        }
    };
    LocalSet::new().run_until(rotations).await;
}

#[tokio::test(start_paused = true)]
async fn tokens_in_the_url() {
    let token = |number: usize| {
        EndpointToken::new(format!("{number}").repeat(11) + "-abcdefghijk").unwrap()
    };
    let rig = Rig::new(Way::Call).await;
    let tokens = Keyring::new(token(1)).with_clock(rig.clock.clone());
    let receiver = WebhookReceiver::builder()
        .keyring(rig.keyring.clone())
        .endpoint_tokens(tokens.clone())
        .clock(rig.clock.clone())
        .build()
        .unwrap();
    let callback = post(async |_: GeminiEvent| StatusCode::OK);
    let app = Router::new().route("/", callback.layer(VerifyLayer::new(receiver)));
    let accepted = async || {
        let mut accepted = Vec::new();
        for number in 1..=3 {
            let url = token(number).url("/");
            let mut request = Request::post(url).body(Body::from(BODY)).unwrap();
            for (name, value) in rig.headers(&[1]) {
                request.headers_mut().insert(name, value.parse().unwrap());
            }
            if app.clone().oneshot(request).await.unwrap().status() == 200 {
                accepted.push(number);
            }
        }
        accepted
    };
    assert_eq!(accepted().await, [1]);
    tokens.rotate(token(2), DAY);
    assert_eq!(accepted().await, [1, 2]);
    rig.clock.advance(DAY);
    assert_eq!(accepted().await, [2]);
    tokens.replace(token(3));
    assert_eq!(accepted().await, [3]);

    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        "1111111111-abcdefghijk\n# no token:\nhttps://example.com/\n",
    )
    .unwrap();
    let tokens: Keyring<EndpointToken> =
        Keyring::follow(SecretFile::new(file.path())).await.unwrap();
    let receiver = WebhookReceiver::builder()
        .keyring(rig.keyring.clone())
        .endpoint_tokens(tokens)
        .build()
        .unwrap();
    let error = receiver.ready().await.unwrap_err().to_string();
    assert!(
        error.contains("line 3: the endpoint token is a URL"),
        "{error}"
    );
}
