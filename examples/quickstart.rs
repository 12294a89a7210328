//! Starts a receiver on a free port of this machine, and sends it genuine and forged deliveries.
//!
//! Static webhooks go to one route, dynamic ones to another. A small server publishes the public keys
//! in Google's place.
//!
//! ```text
//! scripts/quickstart    # installs what building needs, and runs this
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use gemini_webhooks::testing::{self, Ed25519Signer, JwksServer, ManualClock, Rs256Signer};
use gemini_webhooks::{
    Clock as _, Delivery, EndpointToken, EventKind, GeminiEvent, SystemClock, VerifyLayer,
    WebhookReceiver,
};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

type BoxError = Box<dyn Error + Send + Sync>;

const CURRENT: &str = testing::SECRET;
const PREVIOUS: &str = "whsec_Z2VtaW5pLXdlYmhvb2tzIHRlc3Qgc2VjcmV0IDA=";
const FOREIGN: &str = "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCwgbm90IG91cnM=";
const AUDIENCE: &str = "https://example.com/gemini-webhook-dynamic";
const EVENT: &str = testing::SAMPLE_EVENTS[0];
/// Answered 200, and not run.
const REPEAT: &str = "-";

/// One delivery, and what should come of it.
#[derive(Clone)]
struct Case {
    what: String,
    target: String,
    headers: [(&'static str, String); 3],
    body: String,
    status: u16,
    /// The variant that the handler sees, or the code of the refusal.
    outcome: &'static str,
    /// Whether the handler fails after that.
    fails: bool,
}

#[derive(Clone)]
struct App {
    events: UnboundedSender<(String, String)>,
    fails: Arc<AtomicBool>,
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    // A clock that can be set on, so that nobody has to wait for half a minute.
    let clock = ManualClock::new(SystemClock.now());
    let tomorrow = clock.now() + Duration::from_secs(24 * 60 * 60);
    let fixed = WebhookReceiver::builder()
        .signing_secret(CURRENT)
        .signing_secret_until(PREVIOUS, tomorrow)
        .clock(clock.clone())
        .build()?;

    let google = Google::start().await?;
    let token = EndpointToken::generate()?;
    let dynamic = WebhookReceiver::builder()
        .jwks_url(google.server.url()) // `google_keys()` in an app
        .endpoint_token(token.clone())
        .accept_jwt(AUDIENCE)
        .clock(clock.clone())
        .build()?;

    let (events, handled) = unbounded_channel();
    let fails = Arc::new(AtomicBool::new(false));
    let state = App {
        events,
        fails: Arc::clone(&fails),
    };
    let route = |receiver| post(on_event).layer(VerifyLayer::new(receiver));
    let app = Router::new()
        .route("/gemini-callback", route(fixed))
        .route("/gemini-webhook-dynamic", route(dynamic))
        .with_state(state);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async { drop(stopped.await) })
            .await
    });

    println!("receiver at http://{address}\n");
    println!("{:<34} {:<26} {:<42} right", "sent", "answered", "handled");
    let mut sender = Sender {
        address,
        handled,
        fails,
        sent: 0,
        right: 0,
    };
    let now = clock.unix_seconds();
    sender.send_all(static_cases(now)?).await?;
    let target = token.url("/gemini-webhook-dynamic");
    sender.send_all(google.cases(&target, now)?).await?;
    google.rotate();
    clock.advance(Duration::from_secs(30));
    let now = clock.unix_seconds();
    sender
        .send_all(google.cases_after_rotation(&target, now))
        .await?;
    println!("\n{} of {} as they should be", sender.right, sender.sent);
    println!("public keys were fetched {} times", google.server.fetches());

    drop(stop);
    server.await??;
    let right = sender.right == sender.sent && google.server.fetches() == 2;
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What an app writes: events arrive verified and typed.
async fn on_event(State(app): State<App>, delivery: Delivery, event: GeminiEvent) -> StatusCode {
    let seen = match event.kind() {
        EventKind::BatchSucceeded(batch) => seen("BatchSucceeded", batch.id()),
        EventKind::BatchFailed(batch) => seen("BatchFailed", batch.id()),
        EventKind::BatchExpired(batch) => seen("BatchExpired", batch.id()),
        EventKind::BatchCancelled(batch) => seen("BatchCancelled", batch.id()),
        EventKind::InteractionRequiresAction(it) => seen("InteractionRequiresAction", it.id()),
        EventKind::InteractionCompleted(it) => seen("InteractionCompleted", it.id()),
        EventKind::InteractionFailed(it) => seen("InteractionFailed", it.id()),
        EventKind::InteractionCancelled(it) => seen("InteractionCancelled", it.id()),
        EventKind::VideoGenerated(video) => seen("VideoGenerated", video.id()),
        // The set of types is open: an unknown one is no error.
        _ => seen("Unknown", event.type_name()),
    };
    match app.events.send((delivery.id().to_owned(), seen)) {
        Ok(()) if !app.fails.load(Ordering::SeqCst) => StatusCode::OK,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn seen(variant: &str, id: Option<&str>) -> String {
    format!("{variant} {}", id.unwrap_or("-"))
}

impl Case {
    fn id(&self) -> Option<&String> {
        let mut headers = self.headers.iter();
        headers
            .find(|(name, _)| *name == "webhook-id")
            .map(|(_, id)| id)
    }

    /// The same delivery again.
    fn again(&self, what: &str, outcome: &'static str) -> Self {
        Self {
            what: what.to_owned(),
            status: 200,
            outcome,
            fails: false,
            ..self.clone()
        }
    }
}

fn id_of(what: &str) -> String {
    format!("msg_{}", what.replace(' ', "-"))
}

fn static_cases(now: u64) -> Result<Vec<Case>, BoxError> {
    const VARIANTS: [&str; 9] = [
        "BatchSucceeded",
        "BatchFailed",
        "BatchExpired",
        "BatchCancelled",
        "InteractionRequiresAction",
        "InteractionCompleted",
        "InteractionFailed",
        "InteractionCancelled",
        "VideoGenerated",
    ];
    let case = |what: &str, secret: &str, age, body: &str, status, outcome| {
        Ok::<_, BoxError>(Case {
            what: what.to_owned(),
            target: "/gemini-callback".to_owned(),
            headers: testing::sign_v1(&secret.parse()?, &id_of(what), now - age, body),
            body: body.to_owned(),
            status,
            outcome,
            fails: false,
        })
    };
    let mut cases = Vec::new();
    for (body, variant) in testing::SAMPLE_EVENTS.into_iter().zip(VARIANTS) {
        let event = GeminiEvent::parse(body);
        let type_name = event.type_name().unwrap_or_default();
        cases.push(case(type_name, CURRENT, 0, body, 200, variant)?);
    }
    let unknown = r#"{"type":"model.tuned","version":"v1","data":{}}"#;
    cases.push(case(
        "a type of tomorrow",
        CURRENT,
        0,
        unknown,
        200,
        "Unknown",
    )?);
    cases.push(case(
        "under the previous secret",
        PREVIOUS,
        0,
        EVENT,
        200,
        "BatchSucceeded",
    )?);
    let first = case("an event", CURRENT, 0, EVENT, 200, "BatchSucceeded")?;
    let repeat = first.again("the same again", REPEAT);
    let failed = case(
        "a handler that fails",
        CURRENT,
        0,
        EVENT,
        500,
        "BatchSucceeded",
    )?;
    let retry = failed.again("its retry", "BatchSucceeded");
    let failed = Case {
        fails: true,
        ..failed
    };
    let done = retry.again("once more", REPEAT);
    cases.extend([first, repeat, failed, retry, done]);
    let tampered = case(
        "tampered with",
        CURRENT,
        0,
        EVENT,
        400,
        "signature_mismatch",
    )?;
    cases.push(Case {
        body: EVENT.replace("8kq2", "8kq9"),
        ..tampered
    });
    cases.push(case(
        "stale",
        CURRENT,
        301,
        EVENT,
        400,
        "timestamp_too_old",
    )?);
    cases.push(case(
        "under a foreign secret",
        FOREIGN,
        0,
        EVENT,
        400,
        "signature_mismatch",
    )?);
    Ok(cases)
}

/// Publishes keys and signs with them, in Google's place.
struct Google {
    server: JwksServer,
    first: Ed25519Signer,
    next: Ed25519Signer,
    tokens: Rs256Signer,
}

impl Google {
    async fn start() -> Result<Self, BoxError> {
        let first = Ed25519Signer::new("first", [1; 32]);
        let tokens = Rs256Signer::generate("tokens")?;
        Ok(Self {
            server: JwksServer::start([first.jwk(), tokens.jwk()]).await?,
            first,
            next: Ed25519Signer::new("next", [2; 32]),
            tokens,
        })
    }

    fn rotate(&self) {
        self.server.publish([self.next.jwk(), self.tokens.jwk()]);
    }

    fn cases(&self, target: &str, now: u64) -> Result<Vec<Case>, BoxError> {
        let stranger = Ed25519Signer::new("first", [9; 32]);
        let claims = testing::claims(EVENT, AUDIENCE, now)?;
        let elsewhere = testing::claims(EVENT, "https://elsewhere.example", now)?;
        let token = |what: &str, claims: &str, status, outcome| Case {
            what: what.to_owned(),
            target: target.to_owned(),
            headers: self.tokens.sign(&id_of(what), now, claims),
            body: String::new(),
            status,
            outcome,
            fails: false,
        };
        Ok(vec![
            dynamic(
                "under a published key (v1a)",
                target,
                &self.first,
                now,
                Ok("BatchSucceeded"),
            ),
            token("as a token (JWT)", &claims, 200, "BatchSucceeded"),
            token(
                "a token for somebody else",
                &elsewhere,
                400,
                "wrong_audience",
            ),
            dynamic(
                "under a foreign key",
                target,
                &stranger,
                now,
                Err("signature_mismatch"),
            ),
            dynamic(
                "without the endpoint token",
                "/gemini-webhook-dynamic",
                &self.first,
                now,
                Err("wrong_endpoint"),
            ),
            dynamic(
                "under a key of tomorrow",
                target,
                &self.next,
                now,
                Err("signature_mismatch"),
            ),
        ])
    }

    fn cases_after_rotation(&self, target: &str, now: u64) -> Vec<Case> {
        vec![
            dynamic(
                "the same key, now published",
                target,
                &self.next,
                now,
                Ok("BatchSucceeded"),
            ),
            dynamic(
                "under the withdrawn key",
                target,
                &self.first,
                now,
                Err("signature_mismatch"),
            ),
        ]
    }
}

fn dynamic(
    what: &str,
    target: &str,
    signer: &Ed25519Signer,
    now: u64,
    outcome: Result<&'static str, &'static str>,
) -> Case {
    Case {
        what: what.to_owned(),
        target: target.to_owned(),
        headers: signer.sign(&id_of(what), now, EVENT),
        body: EVENT.to_owned(),
        status: if outcome.is_ok() { 200 } else { 400 },
        outcome: outcome.unwrap_or_else(|code| code),
        fails: false,
    }
}

/// Sends cases, prints a line for each and counts those that came out as they should.
struct Sender {
    address: SocketAddr,
    handled: UnboundedReceiver<(String, String)>,
    fails: Arc<AtomicBool>,
    sent: usize,
    right: usize,
}

impl Sender {
    async fn send_all(&mut self, cases: Vec<Case>) -> Result<(), BoxError> {
        for case in cases {
            self.fails.store(case.fails, Ordering::SeqCst);
            let (status, body) = self.send(&case).await?;
            // The handler has run before the answer was there.
            let mut runs = Vec::new();
            while let Ok(run) = self.handled.try_recv() {
                runs.push(run);
            }
            let as_expected = status == case.status
                && match runs.as_slice() {
                    [] if case.outcome == REPEAT => body.is_empty(),
                    [] => body == format!(r#"{{"error":"{}"}}"#, case.outcome),
                    [(id, seen)] => {
                        Some(id) == case.id() && seen.starts_with(&format!("{} ", case.outcome))
                    }
                    _ => false,
                };
            self.sent += 1;
            self.right += usize::from(as_expected);
            let code = body
                .trim_start_matches(r#"{"error":""#)
                .trim_end_matches(r#""}"#);
            let seen: Vec<&str> = runs.iter().map(|(_, seen)| seen.as_str()).collect();
            println!(
                "{:<34} {:<26} {:<42} {}",
                case.what,
                format!("{status} {code}"),
                if seen.is_empty() {
                    "-".to_owned()
                } else {
                    seen.join(", ")
                },
                if as_expected { "yes" } else { "NO" },
            );
        }
        Ok(())
    }

    async fn send(&self, case: &Case) -> Result<(u16, String), BoxError> {
        let mut request = Request::post(format!("http://{}{}", self.address, case.target));
        for (name, value) in &case.headers {
            request = request.header(*name, value);
        }
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client
            .request(request.body(Body::from(case.body.clone()))?)
            .await?;
        let status = response.status().as_u16();
        let body = to_bytes(Body::new(response.into_body()), 4096).await?;
        Ok((status, String::from_utf8(body.to_vec())?))
    }
}
