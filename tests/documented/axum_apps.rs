//! The examples for axum.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, process};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::Request;
use axum::routing;
use gemini_webhooks::testing::{self, Ed25519Signer};
use gemini_webhooks::{EndpointToken, VerifyLayer, WebhookReceiver, jwks};
use tower::ServiceExt as _;

use crate::{EVENT, log, now, receiver, signed};

mod fixed {
    include!("readme/axum_static.rs");

    pub(super) fn documented() -> Router {
        app(gemini_webhooks::testing::SECRET).unwrap()
    }
}

mod dynamic {
    include!("readme/axum_dynamic.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }

    pub(super) fn documented_receiver(token: EndpointToken) -> WebhookReceiver {
        receiver(token).unwrap()
    }
}

mod getting_started {
    include!("guide/getting_started_axum.rs");

    /// It serves for ever, so it is not called.
    const _: fn() -> Result<(), Box<dyn std::error::Error>> = main;

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }
}

// These are tests themselves.
mod testing_an_app {
    include!("guide/testing_axum.rs");
}

mod testing_dynamic {
    include!("guide/mock_keys.rs");
}

mod testing_google {
    include!("guide/mock_google.rs");
}

mod both_kinds {
    include!("recipes/axum_both_kinds.rs");

    pub(super) fn documented(token: EndpointToken) -> Router {
        app(gemini_webhooks::testing::SECRET, token).unwrap()
    }
}

mod inbox {
    include!("guide/inbox_axum.rs");

    /// It serves for ever, so it is not called.
    const _: fn() -> Result<(), BoxError> = main;

    pub(super) fn documented(receiver: WebhookReceiver, file: &Path) -> Router {
        app(receiver, opened(file))
    }

    fn opened(file: &Path) -> Inbox {
        Inbox::open(file).unwrap()
    }

    /// How many events are there, done or not.
    pub(super) fn len(file: &Path) -> i64 {
        let count = "SELECT count(*) FROM inbox";
        opened(file)
            .db()
            .query_row(count, [], |row| row.get(0))
            .unwrap()
    }

    /// The types of the events whose work is done now, with what ended it.
    pub(super) fn worked(file: &Path, fails: bool) -> (Vec<String>, Result<bool, String>) {
        let (inbox, mut done) = (opened(file), Vec::new());
        loop {
            let worked = inbox.work_on_next(|event| {
                if fails {
                    return Err("the work failed".into());
                }
                done.extend(event.type_name().map(str::to_owned));
                Ok(())
            });
            match worked {
                Ok(true) => {}
                other => return (done, other.map_err(|error| error.to_string())),
            }
        }
    }

    pub(super) fn panicked(file: &Path) -> String {
        let inbox = opened(file);
        inbox
            .work_on_next(|_| panic!("in a test"))
            .unwrap_err()
            .to_string()
    }

    /// What the worker sends here is an event that it works on.
    pub(super) fn worked_on(file: &Path) -> Option<String> {
        let (sender, types) = mpsc::channel();
        let running = start_worker(opened(file), move |event| {
            Ok(sender.send(event.type_name().map(str::to_owned))?)
        });
        let first = types.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(running);
        // The thread, and with it the other sender, ends.
        assert_eq!(
            types.recv_timeout(Duration::from_secs(10)),
            Err(RecvTimeoutError::Disconnected)
        );
        first
    }

    pub(super) fn days_later(file: &Path) {
        let inbox = opened(file);
        let later = "UPDATE inbox SET done_at = done_at - 26 * 3600";
        inbox.db().execute(later, []).unwrap();
        inbox.remove_old().unwrap();
    }

    pub(super) fn locked(file: &Path) -> Connection {
        let db = Connection::open(file).unwrap();
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        db
    }

    pub(super) fn broken(file: &Path) {
        opened(file).db().execute("DROP TABLE inbox", []).unwrap();
    }
}

mod by_type {
    include!("recipes/axum_by_type.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver).unwrap()
    }
}

mod by_type_inside {
    include!("recipes/axum_by_type_inside.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver).unwrap()
    }
}

mod refusals {
    include!("recipes/axum_refusals.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }
}

mod inside {
    include!("recipes/axum_inside.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }
}

mod service_builder {
    include!("recipes/axum_service_builder.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }
}

mod long_bodies {
    include!("recipes/axum_long_bodies.rs");

    pub(super) const LONGEST: usize = MAX_BODY_BYTES;

    pub(super) fn documented() -> Router {
        app(gemini_webhooks::testing::SECRET).unwrap()
    }
}

mod two_routes {
    include!("recipes/axum_two_routes.rs");

    pub(super) fn documented() -> Router {
        app(gemini_webhooks::testing::SECRET).unwrap()
    }
}

mod trace {
    include!("recipes/axum_trace.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> Router {
        app(receiver)
    }
}

pub(crate) async fn post(
    app: &Router,
    target: &str,
    lines: impl IntoIterator<Item = (&'static str, String)>,
    body: impl Into<Body>,
) -> (u16, String) {
    let mut request = Request::post(target);
    for (name, value) in lines {
        request = request.header(name, value);
    }
    let request = request.body(body.into()).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// A genuine delivery and an unsigned one.
async fn both(app: &Router, target: &str) -> [(u16, String); 2] {
    let genuine = post(app, target, signed("msg_1", EVENT), EVENT).await;
    [genuine, post(app, target, [], EVENT).await]
}

fn accepted_and_refused(code: &str) -> [(u16, String); 2] {
    [
        (200, String::new()),
        (400, format!(r#"{{"error":"{code}"}}"#)),
    ]
}

#[tokio::test]
async fn a_static_webhook() {
    let answers = both(&fixed::documented(), "/gemini-callback").await;
    assert_eq!(answers, accepted_and_refused("missing_header"));
}

/// Google's keys are not to be had here, so a genuine delivery is under another one.
#[tokio::test]
async fn a_dynamic_webhook() {
    let token = EndpointToken::generate().unwrap();
    let signer = Ed25519Signer::new("key", [1; 32]);
    let keys = testing::key_set([signer.jwk()]);
    let receiver = WebhookReceiver::builder()
        .jwks(jwks::KeySet::from_json(keys.as_bytes()).unwrap())
        .endpoint_token(token.clone())
        .build()
        .unwrap();
    let target = "/gemini-webhook-dynamic";
    let with_token = token.url(target);
    let app = dynamic::documented(receiver);
    let genuine = signer.sign("msg_1", now(), EVENT);
    let answer = post(&app, &with_token, genuine.clone(), EVENT).await;
    assert_eq!(answer, (200, String::new()));
    let elsewhere = post(&app, target, genuine, EVENT).await;
    assert_eq!(elsewhere, (400, r#"{"error":"wrong_endpoint"}"#.to_owned()));
    let app = dynamic::documented(dynamic::documented_receiver(token));
    for (target, code) in [(&*with_token, "missing_header"), (target, "wrong_endpoint")] {
        let unsigned = post(&app, target, [], EVENT).await;
        assert_eq!(unsigned, (400, format!(r#"{{"error":"{code}"}}"#)));
    }
}

#[tokio::test]
async fn getting_started() {
    let app = getting_started::documented(receiver());
    let answers = both(&app, "/gemini-callback").await;
    assert_eq!(answers, accepted_and_refused("missing_header"));
}

#[tokio::test]
async fn both_kinds_of_webhook() {
    let token = EndpointToken::generate().unwrap();
    let target = token.url("/gemini-webhook-dynamic");
    let app = both_kinds::documented(token);
    let answers = both(&app, "/gemini-callback").await;
    assert_eq!(answers, accepted_and_refused("missing_header"));
    let of_project = signed("msg_2", EVENT);
    for (target, code) in [
        ("/gemini-webhook-dynamic", "wrong_endpoint"),
        (&*target, "unsupported_scheme"),
    ] {
        let answer = post(&app, target, of_project.clone(), EVENT).await;
        assert_eq!(answer, (400, format!(r#"{{"error":"{code}"}}"#)));
    }
}

/// What is answered 200 is in the file, once, also after a restart; and work that fails is done again.
#[tokio::test]
async fn an_inbox_that_loses_nothing() {
    let folder = folder_of_this_run();
    let file = folder.join("inbox.sqlite");
    let target = "/gemini-callback";
    for _ in 0..2 {
        // Another receiver remembers nothing, as after a restart.
        let app = inbox::documented(receiver(), &file);
        let answers = both(&app, target).await;
        assert_eq!(answers, accepted_and_refused("missing_header"));
        assert_eq!(inbox::len(&file), 1);
    }
    let failed = Err("the work failed".to_owned());
    assert_eq!(inbox::worked(&file, true), (vec![], failed));
    // What failed does not hold up what came after it.
    let app = inbox::documented(receiver(), &file);
    let video = r#"{"type":"video.generated"}"#;
    let answer = post(&app, target, signed("msg_3", video), video).await;
    assert_eq!(answer.0, 200);
    let types = ["video.generated", "batch.succeeded"].map(str::to_owned);
    assert_eq!(inbox::worked(&file, false), (types.to_vec(), Ok(false)));
    assert_eq!(inbox::worked(&file, false), (vec![], Ok(false)));
    let failing = r#"{"type":"batch.failed"}"#;
    let answer = post(&app, target, signed("msg_4", failing), failing).await;
    assert_eq!(answer.0, 200);
    // A panic is a failure, and the event is tried again.
    assert_eq!(inbox::panicked(&file), "the work panicked");
    assert_eq!(inbox::worked_on(&file).as_deref(), Some("batch.failed"));
    assert_eq!(inbox::worked(&file, false), (vec![], Ok(false)));
    assert_eq!(inbox::len(&file), 3);
    inbox::days_later(&file);
    assert_eq!(inbox::len(&file), 0);
    // Nor is what finds the file locked, and the answer comes soon enough.
    let lock = inbox::locked(&file);
    let answer = post(&app, target, signed("msg_5", EVENT), EVENT);
    let answer = tokio::time::timeout(Duration::from_secs(4), answer).await;
    assert_eq!(answer.unwrap().0, 503);
    drop(lock);
    // What cannot be stored is not answered 200.
    let app = inbox::documented(receiver(), &file);
    inbox::broken(&file);
    let answer = post(&app, target, signed("msg_2", EVENT), EVENT).await;
    assert_eq!(answer.0, 503);
    fs::remove_dir_all(folder).unwrap();
}

fn folder_of_this_run() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("inbox-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    folder
}

#[tokio::test]
async fn routes_by_type_under_a_layer() {
    let app = by_type_inside::documented(receiver());
    let [genuine, unsigned] = both(&app, "/gemini-callback").await;
    assert_eq!((genuine.0, unsigned.0), (202, 400));
    let video = r#"{"type":"video.generated"}"#;
    let answer = post(&app, "/gemini-callback", signed("msg_2", video), video).await;
    assert_eq!(answer.0, 200);
}

#[tokio::test]
async fn routes_by_type() {
    let app = by_type::documented(receiver());
    let target = "/gemini-callback";
    for (body, status) in [
        (EVENT, 202),
        (r#"{"type":"video.generated"}"#, 202),
        (r#"{"type":"batch.failed"}"#, 200),
    ] {
        let genuine = post(&app, target, signed(&body.len().to_string(), body), body).await;
        assert_eq!(genuine, (status, String::new()), "{body}");
        assert_eq!(post(&app, target, [], body).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn refusals_as_handlers_answer() {
    let app = refusals::documented(receiver());
    let [genuine, unsigned] = both(&app, "/gemini-callback").await;
    assert_eq!(genuine, (200, String::new()));
    assert_eq!(
        unsigned,
        (400, r#"{"problem":"missing_header"}"#.to_owned())
    );
    // What the head says is kept.
    let full = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .max_buffered_bytes(1)
        .build()
        .unwrap();
    let mut request = Request::post("/gemini-callback");
    for (name, value) in signed("msg_1", EVENT) {
        request = request.header(name, value);
    }
    let request = request.body(Body::from(EVENT)).unwrap();
    let response = refusals::documented(full).oneshot(request).await.unwrap();
    assert_eq!(response.status(), 503);
    let after = response.headers()["retry-after"].to_str().unwrap();
    assert!(["5", "6", "7", "8"].contains(&after), "{after}");
}

#[tokio::test]
async fn other_middleware_inside() {
    for app in [
        inside::documented(receiver()),
        service_builder::documented(receiver()),
    ] {
        let answers = both(&app, "/gemini-callback").await;
        assert_eq!(answers, accepted_and_refused("missing_header"));
    }
}

#[tokio::test]
async fn long_bodies() {
    let app = long_bodies::documented();
    let answers = both(&app, "/gemini-callback").await;
    assert_eq!(answers, accepted_and_refused("missing_header"));
    for (length, status) in [(long_bodies::LONGEST, 200), (long_bodies::LONGEST + 1, 413)] {
        let body = " ".repeat(length);
        let id = length.to_string();
        let answer = post(&app, "/gemini-callback", signed(&id, &body), body).await;
        assert_eq!(answer.0, status, "{length}");
    }
    // The limit of axum that the page speaks of.
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .max_body_bytes(long_bodies::LONGEST)
        .build()
        .unwrap();
    let without = routing::post(async |_: Bytes| "");
    let app = Router::new().route("/", without.layer(VerifyLayer::new(receiver)));
    for (length, status) in [(2 * 1024 * 1024, 200), (2 * 1024 * 1024 + 1, 413)] {
        let body = " ".repeat(length);
        let id = length.to_string();
        let answer = post(&app, "/", signed(&id, &body), body).await;
        assert_eq!(answer.0, status, "{length}");
    }
}

#[tokio::test]
async fn two_routes_that_share_a_receiver() {
    let app = two_routes::documented();
    for target in ["/batches", "/videos"] {
        let genuine = post(&app, target, signed(target, EVENT), EVENT).await;
        assert_eq!(genuine, (200, String::new()));
        let unsigned = post(&app, target, [], EVENT).await;
        assert_eq!(unsigned.0, 400);
    }
    // What one route has handled is a duplicate on the other, whose handler would refuse this.
    let body = "{}";
    let duplicate = post(&app, "/videos", signed("/batches", body), body).await;
    assert_eq!(duplicate, (200, String::new()));
}

#[tokio::test]
async fn spans_without_the_token() {
    log::init();
    let token = EndpointToken::generate().unwrap();
    let receiver = || {
        WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .endpoint_token(token.clone())
            .build()
            .unwrap()
    };
    let query = token.url("/gemini-webhook-dynamic");
    let secret = query.split_once("token=").unwrap().1.to_owned();
    let segment = format!("/gemini-webhook-dynamic/{secret}");
    let app = trace::documented(receiver());
    for (id, target) in [("msg_1", &query), ("msg_2", &segment)] {
        let answers = post(&app, target, signed(id, EVENT), EVENT).await;
        assert_eq!(answers.0, 200);
        let unsigned = post(&app, target, [], EVENT).await;
        assert_eq!(unsigned.0, 400);
    }
    assert_eq!(log::lines_with(&secret), Vec::<String>::new());
    for route in ["/gemini-webhook-dynamic", "/gemini-webhook-dynamic/{token}"] {
        let field = format!(r#"route="{route}""#);
        assert!(!log::lines_with(&field).is_empty(), "{field}");
    }
    // The default writes it, and would be seen.
    let spans = tower_http::trace::TraceLayer::new_for_http();
    let app = dynamic::documented(receiver()).layer(spans);
    post(&app, &query, [], EVENT).await;
    assert!(!log::lines_with(&secret).is_empty());
}

/// What `tracing` says reaches `env_logger` through the former's feature `log`.
#[tokio::test]
async fn the_log_of_an_app_on_env_logger() {
    log::init();
    let app = fixed::documented();
    let genuine = signed("msg_on_env_logger", EVENT);
    post(&app, "/gemini-callback", genuine, EVENT).await;
    let lines = log::lines_with("msg_on_env_logger");
    let [line] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert!(line.contains("INFO"), "{line}");
    assert!(line.contains("gemini_webhooks"), "{line}");
    assert!(line.contains("handled"), "{line}");
}
