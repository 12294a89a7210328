//! What the log says, and what it never says.
#![cfg(all(feature = "axum", feature = "testing", feature = "tracing"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, StatusCode};
use axum::routing::post;
use axum::{Router, response::IntoResponse};
use gemini_webhooks::event::BatchExpired;
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, MemoryGuard, ReplayGuard, Settled,
};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::tower::EventRoutes;
use gemini_webhooks::{Delivery, GeminiEvent, SigningSecret, VerifyLayer, WebhookReceiver};
use http_body_util::Full;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;

const SECRETS_OF_THE_BODY: &str = "a body nobody should log";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[derive(Clone, Copy)]
enum Handler {
    Ok,
    Slow,
    Blocks,
    BlocksAndFails,
    Fails,
    Panics,
}

/// What is logged by a task of `work`.
fn logged(work: impl Future<Output = ()> + Send + 'static) -> Vec<String> {
    logged_by(|| run(work))
}

fn logged_by(work: impl FnOnce()) -> Vec<String> {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(log.clone())
        .with_ansi(false)
        .without_time()
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    log.lines()
}

/// In a task of its own, as a server does, so that a panic ends there.
fn run(work: impl Future<Output = ()> + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async { drop(tokio::spawn(work).await) });
}

/// A delivery whose signature does not fit is kept whole where the app asks for it, at most one a second; others never
/// are.
#[test]
fn a_refused_delivery_is_kept_where_the_app_asks_for_it() {
    let clock = ManualClock::default();
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
        .log_refused_deliveries()
        .build()
        .unwrap();
    let on_event = post(async |_: GeminiEvent| StatusCode::OK).layer(VerifyLayer::new(receiver));
    let app = Router::new().route("/hook", on_event);
    let altered = |clock: &ManualClock, length: usize| {
        let request = signed(clock, "batch.expired", "/hook");
        request.map(|_| Body::from(" ".repeat(length)))
    };
    let mut requests = Vec::new();
    // The second of the first two comes too soon. The last but one is too long, the last genuine.
    for (pause, length) in [(0, 5), (999, 6), (1, 7), (1000, 9 * 1024)] {
        requests.push((pause, Some(length)));
    }
    requests.push((1000, None));
    let lines = logged(async move {
        for (pause, length) in requests {
            clock.advance(Duration::from_millis(pause));
            let request = match length {
                Some(length) => altered(&clock, length),
                None => signed(&clock, "batch.expired", "/hook"),
            };
            drop(app.clone().oneshot(request).await);
        }
    });
    let refused: Vec<&String> = lines
        .iter()
        .filter(|line| line.contains("signature_mismatch"))
        .collect();
    let kept: Vec<bool> = refused
        .iter()
        .map(|line| line.contains(r#"capture="gwh1."#))
        .collect();
    assert_eq!(kept, [true, false, true, false], "{refused:#?}");
    let encoded = refused[0].split("gwh1.").nth(1).unwrap();
    let encoded = encoded.split('"').next().unwrap();
    let request = base64::Engine::decode(&base64::prelude::BASE64_URL_SAFE_NO_PAD, encoded);
    let request = String::from_utf8(request.unwrap()).unwrap();
    assert!(request.starts_with("webhook-id: "), "{request}");
    // A stranger's text is not taken for one.
    let clock = ManualClock::default();
    let forged = log_of(Handler::Ok, |_| {
        let mut request = signed(&clock, "batch.expired", "/hook");
        let id = format!("capture=gwh1.{}", "A".repeat(60)).parse().unwrap();
        request.headers_mut().insert("webhook-id", id);
        request
    });
    assert!(
        forged
            .iter()
            .any(|line| line.contains("signature_mismatch"))
    );
    assert!(
        !forged.iter().any(|line| line.contains("gwh1.")),
        "{forged:#?}"
    );
    assert!(request.contains("\r\nwebhook-signature: v1,"), "{request}");
    assert!(request.ends_with("\r\n\r\n     "), "{request}");
    assert!(
        lines
            .iter()
            .any(|line| line.contains("delivery handled") && !line.contains("gwh1."))
    );
}

fn app(handler: Handler, clock: &ManualClock, guard: impl ReplayGuard) -> Router {
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
        .guard("test", guard)
        .build()
        .unwrap();
    let clock = clock.clone();
    let on_event = async move |_: GeminiEvent| match handler {
        Handler::Ok => StatusCode::OK.into_response(),
        Handler::Slow => {
            clock.advance(Duration::from_millis(3001));
            StatusCode::OK.into_response()
        }
        Handler::Blocks | Handler::BlocksAndFails => {
            clock.advance(Duration::from_secs(32));
            match handler {
                Handler::Blocks => StatusCode::OK.into_response(),
                _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            }
        }
        Handler::Fails => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Handler::Panics => panic!("the handler's own"),
    };
    Router::new()
        .route("/hook", post(on_event).layer(VerifyLayer::new(receiver)))
        .route("/bare", post(async |_: GeminiEvent| StatusCode::OK))
}

/// Sends one request and returns the log's lines.
fn log_of(handler: Handler, request: impl FnOnce(&ManualClock) -> Request<Body>) -> Vec<String> {
    let clock = ManualClock::default();
    let (app, request) = (app(handler, &clock, MemoryGuard::new()), request(&clock));
    logged(async { drop(app.oneshot(request).await) })
}

fn signed(clock: &ManualClock, type_name: &str, path: &str) -> Request<Body> {
    let body = serde_json::json!({"type": type_name, "data": {"note": SECRETS_OF_THE_BODY}});
    signed_body(clock, body.to_string(), path)
}

fn signed_body(clock: &ManualClock, body: impl Into<Vec<u8>>, path: &str) -> Request<Body> {
    let secret: SigningSecret = testing::SECRET.parse().unwrap();
    let body = body.into();
    let mut request = Request::post(path).body(Body::from(body.clone())).unwrap();
    for (name, value) in testing::sign_v1(&secret, "msg_7", clock.unix_seconds(), body) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

/// One line, at this level, with all of these.
fn assert_one(lines: &[String], level: &str, parts: &[&str]) {
    let [line] = lines else {
        panic!("not one line: {lines:#?}")
    };
    assert!(line.trim_start().starts_with(level), "{line}");
    assert!(line.contains("gemini_webhooks"), "{line}");
    for part in parts {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    for never in [
        SECRETS_OF_THE_BODY,
        "token=hidden",
        "v1,",
        "Z2VtaW5p",
        "\u{1b}",
    ] {
        assert!(!line.contains(never), "{never} is in: {line}");
    }
}

#[test]
fn a_run_of_the_handler_is_one_line() {
    let send = |handler, type_name: &str| {
        log_of(handler, |clock| {
            signed(clock, type_name, "/hook?token=hidden")
        })
    };
    let who = [
        r#"webhook_id="msg_7""#,
        r#"scheme="v1""#,
        r#"type="batch.expired""#,
        "key_id=\"sha256:",
    ];
    let with = |more: &[&'static str]| [&who[..], more].concat();
    assert_one(
        &send(Handler::Ok, "batch.expired"),
        "INFO",
        &with(&[r#"outcome="handled""#, "status=200"]),
    );
    assert_one(
        &send(Handler::Slow, "batch.expired"),
        "WARN",
        &with(&["slow", r#"outcome="handled""#, "took=3.001s"]),
    );
    assert_one(
        &send(Handler::Fails, "batch.expired"),
        "WARN",
        &with(&[r#"outcome="failed""#, "status=500"]),
    );
    assert_one(
        &send(Handler::Panics, "batch.expired"),
        "WARN",
        &with(&[r#"outcome="panicked""#]),
    );

    // What the sender chose neither breaks the line nor fills the disk.
    let long = format!("\u{1b}[2J\nERROR forged{}", "x".repeat(10_000));
    let lines = send(Handler::Ok, &long);
    assert_one(&lines, "INFO", &[r"\u{1b}[2J\nERROR forged"]);
    assert!(lines[0].len() < 500, "{}", lines[0].len());
}

#[test]
fn an_event_without_a_form_is_said_and_handled() {
    for (body, looks) in [
        (b"".as_slice(), "empty"),
        (b" \n", "empty"),
        (b"a body nobody should log", "not JSON"),
        (br#"{"type":"batch.expired"}}"#, "not JSON"),
        (b"\xef\xbb\xbf{\"type\":\"batch.expired\"}", "not JSON"),
        (br#"{"type":"batch.expired"#, "not JSON"),
        (b"{\"type\":\"batch.expired\xff\"}", "not UTF-8"),
        (
            br#"["a body nobody should log"]"#,
            "JSON, but not an object",
        ),
        (
            br#"{"note":"a body nobody should log"}"#,
            "a JSON object without a string `type`",
        ),
        (br#"{"type":7}"#, "a JSON object without a string `type`"),
    ] {
        let lines = log_of(Handler::Ok, |clock| {
            signed_body(clock, body, "/hook?token=hidden")
        });
        let [said, handled] = &lines[..] else {
            panic!("not two lines: {lines:#?}")
        };
        let length = format!(" length={} ", body.len());
        assert_one(
            std::slice::from_ref(said),
            "WARN",
            &[
                r#"webhook_id="msg_7""#,
                r#"scheme="v1""#,
                &length,
                &format!("looks=\"{looks}\""),
            ],
        );
        assert_one(std::slice::from_ref(handled), "INFO", &["handled"]);
    }
    // A type that this version does not know is a type.
    let lines = log_of(Handler::Ok, |clock| signed(clock, "batch.new", "/hook"));
    assert_one(&lines, "INFO", &["handled"]);
}

#[test]
fn a_refusal_is_one_line_with_its_reason() {
    let with_header = |name: &'static str, value: &'static [u8]| {
        log_of(Handler::Ok, |clock| {
            let mut request = signed(clock, "batch.expired", "/hook?token=hidden");
            let value = axum::http::HeaderValue::from_bytes(value).unwrap();
            request.headers_mut().insert(name, value);
            request
        })
    };
    assert_one(
        &with_header("webhook-timestamp", b"1769082899"),
        "WARN",
        &[
            r#"outcome="refused""#,
            "status=400",
            r#"code="timestamp_too_old""#,
            "301 s off, 300 s allowed",
        ],
    );
    assert_one(
        &with_header("webhook-timestamp", b"1769083201"),
        "WARN",
        &[
            r#"webhook_id="msg_7""#,
            r#"code="signature_mismatch""#,
            "found v1",
        ],
    );
    assert_one(
        &with_header("webhook-signature", b"v1a,AAAA \tx,1 v9,AAAA"),
        "WARN",
        &[
            r#"code="unsupported_scheme""#,
            "found v1a, something else, v9",
        ],
    );
    assert_one(
        &with_header("webhook-signature", b"v1a,AAAA {forged},1 eyJhbGciOi.x.y"),
        "WARN",
        &[
            r#"code="unsupported_scheme""#,
            "found v1a, something else, a token (JWT)",
        ],
    );
    assert_one(
        &log_of(Handler::Ok, |_| {
            Request::post("/hook").body(Body::empty()).unwrap()
        }),
        "WARN",
        &[r#"code="missing_header""#, "webhook-id"],
    );
}

#[test]
fn a_refusal_names_the_delivery_where_its_id_is_one() {
    let without = |name: &'static str, id: &'static str| {
        log_of(Handler::Ok, |clock| {
            let mut request = signed(clock, "batch.expired", "/hook");
            request
                .headers_mut()
                .insert("webhook-id", id.parse().unwrap());
            request.headers_mut().remove(name);
            request
        })
    };
    for name in ["webhook-timestamp", "webhook-signature"] {
        assert_one(
            &without(name, "msg_8"),
            "WARN",
            &[r#"webhook_id="msg_8""#, r#"code="missing_header""#, name],
        );
    }
    let lines = without("x-none", "msg 8");
    assert_one(&lines, "WARN", &[r#"code="invalid_id""#]);
    assert!(!lines[0].contains("msg 8"), "{lines:?}");
}

#[test]
fn a_handler_that_blocks_is_an_error() {
    for (handler, parts) in [
        (
            Handler::Blocks,
            [r#"outcome="handled""#, "status=200", "blocked its thread"],
        ),
        (
            Handler::BlocksAndFails,
            [r#"outcome="failed""#, "status=500", "blocked its thread"],
        ),
    ] {
        let lines = log_of(handler, |clock| signed(clock, "batch.expired", "/hook"));
        assert_one(&lines, "ERROR", &parts);
    }
}

/// Text of others: a check of the app, a guard.
#[test]
fn what_others_say_neither_forges_lines_nor_fills_the_disk() {
    let forged = || format!("\u{1b}[2J\nERROR forged{}", "x".repeat(50_000));
    let clock = ManualClock::default();
    let receiver = || {
        WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .clock(clock.clone())
    };
    let send = |receiver: WebhookReceiver| {
        let route = post(async |_: GeminiEvent| "").layer(VerifyLayer::new(receiver));
        let app: Router = Router::new().route("/hook", route);
        let request = signed(&clock, "batch.expired", "/hook");
        logged(async { drop(app.oneshot(request).await) })
    };
    let check = receiver().accept_if(move |_, _| std::future::ready(Err(forged().into())));
    let guard = receiver().guard("test", Says(|| Ok(Settled::Settled)));
    let fails = receiver().guard("test", FailsWith(forged));
    for (builder, level) in [(check, "WARN"), (fails, "WARN")] {
        let lines = send(builder.build().unwrap());
        assert_one(&lines, level, &[r"\\u{1b}[2J\\nERROR forged"]);
        assert!(lines[0].len() < 2000, "{}", lines[0].len());
    }
    assert_eq!(send(guard.build().unwrap()).len(), 1);
}

#[test]
fn a_body_of_another_length_than_its_header_says_was_changed() {
    let altered = |length: &'static str| {
        log_of(Handler::Ok, |clock| {
            let mut request = signed(clock, "batch.expired", "/hook");
            *request.body_mut() = Body::from("{}");
            let length = length.parse().unwrap();
            request.headers_mut().insert("content-length", length);
            request
        })
    };
    let changed = "the Content-Length header says 73 bytes";
    let lines = altered("73");
    assert_one(&lines, "WARN", &[r#"code="signature_mismatch""#, changed]);
    assert!(!altered("2")[0].contains("Content-Length"));
}

#[test]
fn a_secret_of_an_unusual_length_is_said() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    for (bytes, said) in [(16, true), (23, true), (24, false), (64, false), (65, true)] {
        let key: Vec<u8> = (0..bytes).collect();
        let secret = STANDARD.encode(key);
        let lines = logged_by(|| drop(WebhookReceiver::builder().signing_secret(secret).build()));
        assert_one(&lines[..1], "INFO", &["key_ids=\"sha256:", "built"]);
        assert_eq!(lines.len(), 1 + usize::from(said), "{bytes}: {lines:?}");
        if said {
            assert_one(
                &lines[1..],
                "WARN",
                &["key_id=\"sha256:", &format!("bytes={bytes}")],
            );
        }
    }
}

#[test]
fn what_is_no_post_and_what_has_another_scheme_is_told_what_to_do() {
    let lines = log_of(Handler::Ok, |clock| {
        let mut request = signed(clock, "batch.expired", "/hook");
        *request.method_mut() = "PUT".parse().unwrap();
        request
    });
    assert_one(
        &lines,
        "WARN",
        &[r#"code="method_not_allowed""#, r#"its method is \"PUT\""#],
    );
    let lines = log_of(Handler::Ok, |clock| {
        let mut request = signed(clock, "batch.expired", "/hook");
        let other = "v1a,AAAA".parse().unwrap();
        request.headers_mut().insert("webhook-signature", other);
        request
    });
    assert_one(
        &lines,
        "WARN",
        &[r#"code="unsupported_scheme""#, "`google_keys`"],
    );
    let lines = log_of(Handler::Ok, |_| {
        Request::post("/hook").body(Body::empty()).unwrap()
    });
    let all = "webhook-id, webhook-timestamp, webhook-signature";
    assert_one(&lines, "WARN", &[r#"code="missing_header""#, all]);
}

#[test]
fn a_missing_layer_is_said() {
    let lines = log_of(Handler::Ok, |clock| signed(clock, "batch.expired", "/bare"));
    assert_one(&lines, "ERROR", &["VerifyLayer"]);

    let routes = EventRoutes::new().on::<BatchExpired>(post(async || StatusCode::OK));
    let routes = routes.otherwise_acknowledge().unwrap();
    let request = Request::post("/").body(Full::<Bytes>::default()).unwrap();
    let lines = logged(async { drop(routes.oneshot(request).await) });
    assert_one(&lines, "ERROR", &["VerifyLayer"]);

    // A payload's handler that an event of another type reaches is a mistake as well.
    let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
    let clock = ManualClock::default();
    let receiver = builder.clock(clock.clone()).build().unwrap();
    let on_expired = post(async |_: BatchExpired| StatusCode::OK);
    let app = on_expired.route_layer(VerifyLayer::new(receiver));
    let request = signed(&clock, "batch.failed", "/");
    let lines = logged(async { drop(app.oneshot(request).await) });
    let [said, failed] = &lines[..] else {
        panic!("not two lines: {lines:#?}")
    };
    let said = std::slice::from_ref(said);
    assert_one(said, "ERROR", &["`batch.expired`", "EventRoutes"]);
    assert!(failed.contains("status=500"), "{failed}");
}

/// Claims everything, and settles and releases as it is told to.
#[derive(Debug)]
struct Says(fn() -> Result<Settled, GuardError>);

impl ReplayGuard for Says {
    fn claim(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Claimed> {
        GuardFuture::ready(Ok(Claimed::Claimed))
    }

    fn settle(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Settled> {
        GuardFuture::ready((self.0)())
    }

    fn release(&self, _: &ClaimKey, _: ClaimToken) -> GuardFuture<()> {
        GuardFuture::ready((self.0)().map(drop))
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(Vec::new()))
    }
}

/// Cannot claim, and says so at length.
#[derive(Debug)]
struct FailsWith(fn() -> String);

impl ReplayGuard for FailsWith {
    fn claim(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Claimed> {
        GuardFuture::ready(Err(GuardError::unavailable((self.0)())))
    }

    fn settle(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Settled> {
        GuardFuture::ready(Ok(Settled::Settled))
    }

    fn release(&self, _: &ClaimKey, _: ClaimToken) -> GuardFuture<()> {
        GuardFuture::ready(Ok(()))
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(Vec::new()))
    }
}

#[test]
fn what_becomes_of_a_claim_is_said() {
    let clock = ManualClock::default();
    let send = |handler, guard| {
        let app = app(handler, &clock, guard);
        let request = signed(&clock, "batch.expired", "/hook?token=hidden");
        logged(async { drop(app.oneshot(request).await) })
    };
    let lost = send(Handler::Ok, Says(|| Ok(Settled::Lost)));
    assert_one(
        &lost[..1],
        "ERROR",
        &[r#"webhook_id="msg_7""#, "its lease had ended"],
    );
    let fails = || Says(|| Err(GuardError::unavailable("it is down")));
    for (handler, operation) in [(Handler::Ok, "settle"), (Handler::Fails, "release")] {
        assert_one(
            &send(handler, fails())[..1],
            "WARN",
            &[
                r#"webhook_id="msg_7""#,
                &format!("operation=\"{operation}\""),
                "it is down",
            ],
        );
    }

    let app = app(Handler::Ok, &clock, MemoryGuard::new());
    let request = || signed(&clock, "batch.expired", "/hook?token=hidden");
    let (first, again) = (request(), request());
    let lines = logged(async {
        drop(app.clone().oneshot(first).await);
        drop(app.oneshot(again).await);
    });
    assert_one(
        &lines[1..],
        "INFO",
        &[r#"webhook_id="msg_7""#, r#"outcome="repeated""#],
    );
}

/// In time that passes by itself, until everything in the background is done.
fn logged_through(work: impl Future<Output = ()> + Send + 'static) -> Vec<String> {
    logged_by(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            work.await;
            tokio::time::sleep(Duration::from_secs(600)).await;
        });
    })
}

/// Settles and releases only after it has failed so often.
#[derive(Debug)]
struct Fails {
    left: AtomicUsize,
    then: Settled,
}

impl Fails {
    fn new(times: usize, then: Settled) -> Self {
        let left = AtomicUsize::new(times);
        Self { left, then }
    }

    fn answer(&self) -> Result<Settled, GuardError> {
        let less = |left: usize| left.checked_sub(1);
        match self.left.fetch_update(SeqCst, SeqCst, less) {
            Ok(_) => Err(GuardError::unavailable("it is down")),
            Err(_) => Ok(self.then),
        }
    }
}

impl ReplayGuard for Fails {
    fn claim(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Claimed> {
        GuardFuture::ready(Ok(Claimed::Claimed))
    }

    fn settle(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Settled> {
        GuardFuture::ready(self.answer())
    }

    fn release(&self, _: &ClaimKey, _: ClaimToken) -> GuardFuture<()> {
        GuardFuture::ready(self.answer().map(drop))
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(vec!["it may evict\nkeys".to_owned()]))
    }
}

#[test]
fn what_is_done_in_the_background_is_said() {
    let clock = ManualClock::default();
    let (few, forever) = (3, usize::MAX);
    for (handler, times, then, levels, last) in [
        (
            Handler::Ok,
            few,
            Settled::Settled,
            "WARN INFO INFO",
            "in the background",
        ),
        (
            Handler::Ok,
            few,
            Settled::Lost,
            "WARN INFO ERROR",
            "its lease had ended",
        ),
        (
            Handler::Ok,
            forever,
            Settled::Lost,
            "WARN INFO ERROR",
            "handled twice",
        ),
        (
            Handler::Fails,
            few,
            Settled::Settled,
            "WARN WARN",
            "handler failed",
        ),
        (
            Handler::Fails,
            forever,
            Settled::Settled,
            "WARN WARN ERROR",
            "only after the lease",
        ),
    ] {
        let app = app(handler, &clock, Fails::new(times, then));
        let request = signed(&clock, "batch.expired", "/hook");
        let lines = logged_through(async { drop(app.oneshot(request).await) });
        let told: Vec<_> = lines
            .iter()
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(told.join(" "), levels, "{lines:#?}");
        assert!(lines.last().unwrap().contains(last), "{lines:#?}");
        assert!(lines[0].contains("it is asked again in the background"));
    }
}

/// Never says whether it has made a claim.
#[derive(Debug)]
struct Silent;

impl ReplayGuard for Silent {
    fn claim(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Claimed> {
        GuardFuture::boxed(async { Err(GuardError::unavailable("the connection broke")) })
    }

    fn settle(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Settled> {
        GuardFuture::boxed(std::future::pending())
    }

    fn release(&self, _: &ClaimKey, _: ClaimToken) -> GuardFuture<()> {
        GuardFuture::boxed(std::future::pending())
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(Vec::new()))
    }
}

#[test]
fn what_is_too_much_for_the_background_is_said() {
    let clock = ManualClock::default();
    let app = app(Handler::Ok, &clock, Silent);
    let requests: Vec<_> = (0..1030)
        .map(|_| signed(&clock, "batch.expired", "/hook"))
        .collect();
    let lines = logged_through(async move {
        for request in requests {
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
    });
    let left = lines.iter().filter(|line| line.contains("after its lease"));
    assert_eq!(left.count(), 1030 - 1024);
    assert_eq!(lines.len(), 1030 + 6, "and one for each refusal");
}

#[test]
fn a_claim_that_was_taken_over_and_not_settled_is_said_once() {
    let clock = ManualClock::default();
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
        .build()
        .unwrap();
    let takes_over = async |delivery: Delivery| {
        assert!(delivery.hand_over_claim().is_some());
        StatusCode::OK
    };
    let app = Router::new().route("/hook", post(takes_over).layer(VerifyLayer::new(receiver)));
    let request = signed(&clock, "batch.expired", "/hook");
    let lines = logged(async { drop(app.oneshot(request).await) });
    assert_one(&lines, "WARN", &[r#"code="not_settled""#, "status=503"]);
}

#[test]
fn a_concern_about_a_guard_that_works_is_said() {
    let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
    let guard = Fails::new(0, Settled::Settled);
    let receiver = builder.guard("test", guard).build().unwrap();
    // A probe asks again and again.
    let lines = logged(async move {
        for _ in 0..3 {
            assert!(receiver.ready().await.is_ok());
        }
    });
    assert_one(&lines, "WARN", &["concern=", r"it may evict\nkeys"]);
}

/// As where the disk is full that the log, and the report of that, are written to.
#[test]
fn a_log_that_panics_loses_no_event() {
    struct Full;
    impl io::Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            panic!("the disk is full")
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let clock = ManualClock::default();
    for (handler, answered, then) in [
        (Handler::Ok, Some(200), r#"outcome="repeated""#),
        (Handler::Fails, Some(500), r#"outcome="failed""#),
        (Handler::Panics, None, r#"outcome="panicked""#),
    ] {
        let app = app(handler, &clock, MemoryGuard::new());
        let request = || signed(&clock, "batch.expired", "/hook");
        let mut forged = request();
        *forged.body_mut() = Body::from("{}");
        let (first, again) = (request(), request());
        let subscriber = tracing_subscriber::fmt().with_writer(|| Full).finish();
        let once = app.clone();
        let statuses = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&statuses);
        // In a thread of its own, where the subscriber keeps what it could not write.
        let lost = std::thread::spawn(|| {
            tracing::subscriber::with_default(subscriber, || {
                run(async move {
                    for request in [forged, first] {
                        let response = once.clone().oneshot(request).await.unwrap();
                        seen.lock().unwrap().push(response.status().as_u16());
                    }
                });
            });
        });
        lost.join().unwrap();
        let expected: Vec<u16> = [Some(400), answered].into_iter().flatten().collect();
        assert_eq!(*statuses.lock().unwrap(), expected, "they are answered");
        let lines = logged(async { drop(app.oneshot(again).await) });
        assert_one(&lines, "", &[then]);
    }
}

#[cfg(feature = "actix-web")]
#[test]
fn an_event_that_no_route_takes_is_said() {
    use actix_web::guard::Header;
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::web::{self, ServiceConfig};
    use actix_web::{App, HttpResponse, Route, rt::System};
    use gemini_webhooks::VerifyWebhook;
    use gemini_webhooks::actix_web::EventType;

    fn route(event_type: &'static str) -> Route {
        let not_found = async || HttpResponse::NotFound();
        web::post().guard(EventType(event_type)).to(not_found)
    }
    type Routes = fn(&mut ServiceConfig);
    const CASES: [(&str, u16, bool, Routes); 4] = [
        ("405 of a resource", 405, true, |config| {
            config.service(web::resource("/hook").route(route("batch.succeeded")));
        }),
        ("404 of an app", 404, true, |config| {
            let guarded = web::resource("/hook").guard(EventType("batch.succeeded"));
            config.service(guarded.route(web::to(async || "")));
        }),
        ("404 of a handler", 404, false, |config| {
            let both = web::resource("/hook").route(route("batch.succeeded"));
            config.service(both.route(route("video.generated")));
        }),
        ("405 for another guard's reason", 405, false, |config| {
            let other = route("video.generated").guard(Header("x", "y"));
            let both = web::resource("/hook").route(other);
            config.service(both.route(route("batch.succeeded")));
        }),
    ];
    let body = r#"{"type":"video.generated"}"#;
    let secret = testing::SECRET.parse().unwrap();
    for (name, status, is_said, routes) in CASES {
        let clock = ManualClock::default();
        let mut request = TestRequest::post().uri("/hook?token=hidden");
        for header in testing::sign_v1(&secret, "msg_7", clock.unix_seconds(), body) {
            request = request.insert_header(header);
        }
        let receiver = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .clock(clock)
            .build()
            .unwrap();
        let lines = logged_by(|| {
            System::new().block_on(async {
                let scope = web::scope("").wrap(VerifyWebhook::new(receiver));
                let app = init_service(App::new().service(scope.configure(routes))).await;
                let request = request.set_payload(body).to_request();
                let answer = call_service(&app, request).await.status();
                assert_eq!(answer.as_u16(), status, "{name}");
            });
        });
        let unrouted: Vec<_> = lines
            .into_iter()
            .filter(|line| line.contains("no route took"))
            .collect();
        let words = [r#"type="video.generated""#, "`acknowledge` or `refuse`"];
        if is_said {
            assert_one(&unrouted, "ERROR", &words);
        } else {
            assert!(unrouted.is_empty(), "{name}: {unrouted:?}");
        }
    }
}

/// Guards that are asked too early say so once a request, also where nothing else of this crate is reached.
#[cfg(feature = "actix-web")]
#[test]
fn guards_outside_of_the_middleware() {
    use actix_web::test::{TestRequest, call_service, init_service};
    use actix_web::{App, rt::System, web};
    use gemini_webhooks::VerifyWebhook;
    use gemini_webhooks::actix_web::EventType;

    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .build()
        .unwrap();
    let lines = logged_by(|| {
        System::new().block_on(async {
            let route = |event_type| {
                let route = web::post().guard(EventType(event_type));
                let middleware = VerifyWebhook::new(receiver.clone());
                route.to(async |_: GeminiEvent| "").wrap(middleware)
            };
            let resource = web::resource("/hook")
                .route(route("batch.succeeded"))
                .route(route("video.generated"));
            let app = init_service(App::new().service(resource)).await;
            let request = TestRequest::post().uri("/hook").to_request();
            assert_eq!(call_service(&app, request).await.status(), 405);
        });
    });
    let ours: Vec<_> = lines
        .into_iter()
        .filter(|line| line.contains("gemini_webhooks"))
        .collect();
    assert_one(
        &ours,
        "ERROR",
        &[
            "`VerifyWebhook`",
            "around the resource, the scope or the app",
        ],
    );
}
