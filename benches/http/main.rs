//! What the layer costs a whole axum app, beside a bare handler that only reads the body.
//!
//! `scripts/bench-http` runs this. First in process, piece by piece, so that it shows where the time
//! goes; then servers on one core, in turns, under a sender on the other.

use std::env;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use actix_web::{App, HttpResponse, HttpServer, web};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{MethodRouter, post};
use gemini_webhooks::{
    Clock as _, DeliveryHeaders, EventKind, GeminiEvent, Keyring, SigningSecret, SystemClock,
    Verifier, VerifyLayer, VerifyWebhook, WebhookReceiver, replay::MemoryGuard, testing,
};
use gemini_webhooks_benches::{Contender, compare, event_of, median, quantile};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

mod load;

use load::Sender;

type Error = Box<dyn std::error::Error + Send + Sync>;

const BODY: usize = 512;
/// More than a turn sends, so that each request has an id of its own.
const IDS: usize = 60_000;
/// Many short ones, so that what else this machine does meets all contenders alike.
const TURNS: usize = 25;
const TURN: Duration = Duration::from_millis(200);

fn main() -> Result<(), Error> {
    match env::args().nth(1).as_deref() {
        Some("serve") => serve(&env::args().nth(2).unwrap_or_default()),
        Some("in-process") => in_process(),
        _ => {
            in_process()?;
            under_load()
        }
    }
}

/// The apps that are compared, from nothing but the body to the whole layer.
fn app(name: &str) -> Result<Router, Error> {
    let route: MethodRouter<Verifier> = match name {
        "bare" => post(async |_: Bytes| StatusCode::OK),
        "headers" => post(check),
        "hash" => post(hash),
        "event" => post(event),
        "layer" => {
            // With room for all that is sent.
            let builder = WebhookReceiver::builder()
                .signing_secret(testing::SECRET)
                .guard("bench", MemoryGuard::new().with_capacity(10_000_000));
            post(on_event).layer(VerifyLayer::new(builder.build()?))
        }
        "unguarded" => {
            let builder = WebhookReceiver::builder()
                .signing_secret(testing::SECRET)
                .without_replay_protection();
            post(on_event).layer(VerifyLayer::new(builder.build()?))
        }
        other => return Err(format!("no app is called {other:?}").into()),
    };
    let verifier = Verifier::new(Keyring::new(testing::SECRET.parse()?));
    let router = Router::new().route("/gemini-callback", route);
    Ok(router.with_state(verifier))
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    status(is_batch(&event))
}

fn is_batch(event: &GeminiEvent) -> bool {
    matches!(event.kind(), EventKind::BatchSucceeded(batch) if batch.id().is_some())
}

async fn check(State(verifier): State<Verifier>, headers: HeaderMap, _: Bytes) -> StatusCode {
    status(
        verifier
            .check(&DeliveryHeaders::from(&headers), SystemClock.now())
            .is_ok(),
    )
}

async fn hash(State(verifier): State<Verifier>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let checked = verifier.check(&DeliveryHeaders::from(&headers), SystemClock.now());
    status(checked.is_ok_and(|checked| checked.verify(&body).is_ok()))
}

async fn event(State(verifier): State<Verifier>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let checked = verifier.check(&DeliveryHeaders::from(&headers), SystemClock.now());
    let verified = checked.is_ok_and(|checked| checked.verify(&body).is_ok());
    status(verified && is_batch(&GeminiEvent::parse(body)))
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    }
}

/// The three values of a delivery with an id of its own.
fn lines(
    secret: &SigningSecret,
    n: usize,
    body: &str,
) -> Result<[(&'static str, String); 3], Error> {
    let now = SystemClock
        .now()
        .duration_since(SystemTime::UNIX_EPOCH)?
        .as_secs();
    let id = format!("msg_0a8f2c4e-7b1d-4c3e-9f60-{n:012x}");
    Ok(testing::sign_v1(secret, &id, now, body))
}

fn runtime() -> Result<Runtime, Error> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn in_process() -> Result<(), Error> {
    let runtime = runtime()?;
    let body = Bytes::from(event_of(BODY));
    let secret = testing::SECRET.parse()?;
    // A contender is called less often, so that each delivery has an id of its own.
    let heads = (0..200_000)
        .map(|n| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines(&secret, n, std::str::from_utf8(&body)?)? {
                headers.insert(name, value.parse()?);
            }
            Ok(headers)
        })
        .collect::<Result<Vec<_>, Error>>()?;
    let contender = |title, name| {
        let mut app = app(name)?;
        let (runtime, body, mut heads) = (&runtime, body.clone(), heads.iter());
        Ok::<_, Error>(Contender::new(title, move || {
            let mut request = Request::post("/gemini-callback").body(Body::from(body.clone()));
            let head = heads.next();
            assert!(head.is_some(), "more calls than ids");
            if let (Ok(request), Some(head)) = (&mut request, head) {
                *request.headers_mut() = head.clone();
            }
            let answered = request.map(|request| runtime.block_on(app.call(request)));
            assert!(matches!(answered, Ok(Ok(response)) if response.status() == StatusCode::OK));
        }))
    };
    #[cfg_attr(
        not(feature = "metrics"),
        expect(unused_mut, reason = "one more, with metrics")
    )]
    let mut contenders = vec![
        contender("bare handler", "bare")?,
        contender("and headers", "headers")?,
        contender("and hash", "hash")?,
        contender("and event", "event")?,
        contender("VerifyLayer without a guard", "unguarded")?,
        contender("VerifyLayer", "layer")?,
    ];
    #[cfg(feature = "metrics")]
    {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let mut counted = contender("VerifyLayer, counted", "layer")?;
        contenders.push(Contender::new("VerifyLayer, counted", move || {
            metrics::with_local_recorder(&recorder, || counted.call());
        }));
    }
    let metrics = if cfg!(feature = "metrics") {
        "on"
    } else {
        "off"
    };
    compare(
        format_args!(
            "in process, {BODY} bytes, metrics {metrics}; the first four put the pieces into the handler"
        ),
        contenders,
    );
    Ok(())
}

/// An app of actix-web, with one worker.
fn serve_actix(name: &str) -> Result<(), Error> {
    let builder = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .guard("bench", MemoryGuard::new().with_capacity(10_000_000));
    let (receiver, bare) = (builder.build()?, name == "actix-bare");
    let server = HttpServer::new(move || {
        let resource = web::resource("/gemini-callback");
        let app = App::new();
        if bare {
            app.service(
                resource.route(web::post().to(async |_: web::Bytes| HttpResponse::Ok().finish())),
            )
        } else {
            let resource = resource.wrap(VerifyWebhook::new(receiver.clone()));
            app.service(resource.route(web::post().to(async |event: GeminiEvent| {
                if is_batch(&event) {
                    HttpResponse::Ok().finish()
                } else {
                    HttpResponse::BadRequest().finish()
                }
            })))
        }
    });
    let server = server.workers(1).bind(("127.0.0.1", 0))?;
    let address = server.addrs().first().copied().ok_or("no address")?;
    println!("{address}");
    std::io::stdout().flush()?;
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}

fn serve(name: &str) -> Result<(), Error> {
    if name.starts_with("actix") {
        return serve_actix(name);
    }
    let app = app(name)?;
    runtime()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        std::io::stdout().flush()?;
        axum::serve(listener, app).await?;
        Ok(())
    })
}

/// Ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.0.kill().and_then(|()| self.0.wait().map(drop)) {
            eprintln!("cannot end the server: {error}");
        }
    }
}

/// A server in a process of its own, and who sends to it.
struct Server {
    _process: Process,
    sender: Sender,
}

impl Server {
    fn start(name: &str) -> Result<Self, Error> {
        let process = Command::new("taskset")
            .args(["-c", "0"])
            .arg(env::current_exe()?)
            .args(["serve", name])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut process = Process(process);
        let mut address = String::new();
        if let Some(stdout) = process.0.stdout.take() {
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut address)?;
        }
        let mut sender = Sender::connect(address.trim())?;
        // To warm up, with ids of no turn.
        sender.send(&deliveries(TURNS)?, TURN)?;
        Ok(Self {
            _process: process,
            sender,
        })
    }
}

fn under_load() -> Result<(), Error> {
    let pairs = [
        (
            "axum, a bare handler",
            "bare",
            "headers, hash and event in it",
            "event",
        ),
        ("axum, a bare handler", "bare", "axum, VerifyLayer", "layer"),
        (
            "actix-web, a bare handler",
            "actix-bare",
            "actix-web, VerifyWebhook",
            "actix",
        ),
    ];
    let me = std::process::id().to_string();
    Command::new("taskset").args(["-cp", "1", &me]).output()?;
    println!(
        "\nover loopback, {BODY} bytes, the server on one core, {TURNS} turns of {TURN:?} each"
    );
    println!("  {:<34} {:>12} {:>18}", "", "requests/s", "time of one");
    // Both frameworks in the same turns, so that they meet the same machine.
    let mut started = Vec::new();
    for (_, bare, _, layer) in pairs {
        started.push([Server::start(bare)?, Server::start(layer)?]);
    }
    let mut turns: Vec<[Vec<f64>; 2]> = pairs.iter().map(|_| Default::default()).collect();
    for turn in 0..TURNS {
        let requests = deliveries(turn)?;
        for (servers, turns) in started.iter_mut().zip(&mut turns) {
            for (server, turns) in servers.iter_mut().zip(turns) {
                let (answered, seconds) = server.sender.send(&requests, TURN)?;
                turns.push(answered / seconds);
            }
        }
    }
    for ((bare_name, _, layer_name, _), [bare, layer]) in pairs.iter().zip(&turns) {
        for (name, turns) in [(bare_name, bare), (layer_name, layer)] {
            let rate = median(turns.iter().copied());
            println!("  {name:<34} {rate:>12.0} {:>15.2} µs", 1e6 / rate);
        }
        let ratios = || layer.iter().zip(bare).map(|(layer, bare)| layer / bare);
        println!(
            "  {:<34} {:>12.3} {:>9.3} to {:.3}",
            "ratio, and its middle half",
            median(ratios()),
            quantile(ratios(), 0.25),
            quantile(ratios(), 0.75)
        );
    }
    Ok(())
}

/// The requests of a turn, each with an id of its own.
fn deliveries(turn: usize) -> Result<Vec<Vec<u8>>, Error> {
    let (body, secret) = (event_of(BODY), testing::SECRET.parse()?);
    let request = |n| {
        let mut request = format!(
            "POST /gemini-callback HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in lines(&secret, n, &body)? {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        request.push_str(&body);
        Ok(request.into_bytes())
    };
    (turn * IDS..(turn + 1) * IDS).map(request).collect()
}
