//! Starts a receiver on a free port of this machine and sends it what Google, and others, might.
//!
//! ```text
//! cargo run --example quickstart --all-features
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::routing::post;
use gemini_webhooks::{
    Clock as _, Delivery, EventKind, GeminiEvent, SigningSecret, SystemClock, VerifyLayer,
    WebhookReceiver, testing,
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

/// One delivery, and what should come of it.
struct Case {
    what: String,
    id: String,
    secret: &'static str,
    /// Seconds since it was signed.
    age: u64,
    signed: String,
    sent: String,
    status: u16,
    /// The variant that the handler sees, or the code of the refusal.
    outcome: &'static str,
}

#[tokio::main]
async fn main() -> Result<ExitCode, BoxError> {
    let tomorrow = SystemClock.now() + Duration::from_secs(24 * 60 * 60);
    let receiver = WebhookReceiver::builder()
        .signing_secret(CURRENT)
        .signing_secret_until(PREVIOUS, tomorrow)
        .build()?;
    let (events, handled) = unbounded_channel();
    let app = Router::new()
        .route(
            "/gemini-callback",
            post(on_event).route_layer(VerifyLayer::new(receiver)),
        )
        .with_state(events);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        axum::serve(listener, app)
            .with_graceful_shutdown(async { drop(stopped.await) })
            .await
    });

    println!("receiver at http://{address}/gemini-callback\n");
    let right = send_all(address, handled).await?;
    drop(stop);
    server.await??;
    Ok(if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What an app writes: events arrive verified and typed.
async fn on_event(
    State(events): State<UnboundedSender<(String, String)>>,
    delivery: Delivery,
    event: GeminiEvent,
) -> StatusCode {
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
    match events.send((delivery.id().to_owned(), seen)) {
        Ok(()) => StatusCode::OK,
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

fn seen(variant: &str, id: Option<&str>) -> String {
    format!("{variant} {}", id.unwrap_or("-"))
}

/// Sends every case and prints a line for each; true if all came out as they should.
async fn send_all(
    address: SocketAddr,
    mut handled: UnboundedReceiver<(String, String)>,
) -> Result<bool, BoxError> {
    let cases = cases();
    let mut right = 0;
    println!("{:<32} {:<26} {:<42} right", "sent", "answered", "handled");
    for case in &cases {
        let (status, body) = send(address, case).await?;
        // The handler has run before the answer was there.
        let mut runs = Vec::new();
        while let Ok(run) = handled.try_recv() {
            runs.push(run);
        }
        let as_expected = status == case.status
            && match runs.as_slice() {
                [] => body == format!(r#"{{"error":"{}"}}"#, case.outcome),
                [(id, seen)] => *id == case.id && seen.starts_with(&format!("{} ", case.outcome)),
                _ => false,
            };
        right += usize::from(as_expected);
        let code = body
            .trim_start_matches(r#"{"error":""#)
            .trim_end_matches(r#""}"#);
        let seen: Vec<&str> = runs.iter().map(|(_, seen)| seen.as_str()).collect();
        println!(
            "{:<32} {:<26} {:<42} {}",
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
    println!("\n{right} of {} as they should be", cases.len());
    Ok(right == cases.len())
}

fn cases() -> Vec<Case> {
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
    let good = |what: &str, body: &str, outcome| Case {
        what: what.to_owned(),
        id: format!("msg_{}", what.replace(' ', "-")),
        secret: CURRENT,
        age: 0,
        signed: body.to_owned(),
        sent: body.to_owned(),
        status: 200,
        outcome,
    };
    let mut cases = Vec::new();
    for (body, variant) in testing::SAMPLE_EVENTS.into_iter().zip(VARIANTS) {
        let event = GeminiEvent::parse(body);
        cases.push(good(event.type_name().unwrap_or_default(), body, variant));
    }
    let unknown = r#"{"type":"model.tuned","version":"v1","data":{}}"#;
    cases.push(good("a type of tomorrow", unknown, "Unknown"));
    let body = testing::SAMPLE_EVENTS[0];
    cases.push(Case {
        secret: PREVIOUS,
        ..good("under the previous secret", body, "BatchSucceeded")
    });
    let refused = |what, outcome| Case {
        status: 400,
        ..good(what, body, outcome)
    };
    cases.push(Case {
        sent: body.replace("8kq2", "8kq9"),
        ..refused("tampered with", "signature_mismatch")
    });
    cases.push(Case {
        age: 301,
        ..refused("stale", "timestamp_too_old")
    });
    cases.push(Case {
        secret: FOREIGN,
        ..refused("under a foreign secret", "signature_mismatch")
    });
    cases
}

async fn send(address: SocketAddr, case: &Case) -> Result<(u16, String), BoxError> {
    let secret: SigningSecret = case.secret.parse()?;
    let now = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH)?;
    let mut request = Request::post(format!("http://{address}/gemini-callback"));
    for (name, value) in testing::sign_v1(&secret, &case.id, now.as_secs() - case.age, &case.signed)
    {
        request = request.header(name, value);
    }
    let client = Client::builder(TokioExecutor::new()).build_http();
    let response = client
        .request(request.body(Body::from(case.sent.clone()))?)
        .await?;
    let status = response.status().as_u16();
    let body = to_bytes(Body::new(response.into_body()), 4096).await?;
    Ok((status, String::from_utf8(body.to_vec())?))
}
