//! What the layer costs a whole axum app, beside a bare handler that only reads the body.
//!
//! `scripts/bench-http` installs the load generator and runs this. First in process, piece by
//! piece, so that it shows where the time goes; then two servers on one core, in turns, under
//! `wrk` on the other.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::SystemTime;
use std::{env, fs};

use actix_web::{App, HttpResponse, HttpServer, web};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{MethodRouter, post};
use gemini_webhooks::{
    Clock as _, DeliveryHeaders, GeminiEvent, Keyring, SigningSecret, SystemClock, Verifier,
    VerifyLayer, VerifyWebhook, WebhookReceiver, replay::MemoryGuard, testing,
};
use gemini_webhooks_benches::{Contender, compare, event_of, median};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

type Error = Box<dyn std::error::Error + Send + Sync>;

const BODY: usize = 512;
/// More than a turn sends, so that each request has an id of its own.
const IDS: usize = 250_000;
const TURNS: usize = 5;
const SECONDS: u32 = 2;

fn main() -> Result<(), Error> {
    match env::args().nth(1).as_deref() {
        Some("serve") => serve(&env::args().nth(2).unwrap_or_default()),
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
            post(on_event).route_layer(VerifyLayer::new(builder.build()?))
        }
        "unguarded" => {
            let builder = WebhookReceiver::builder()
                .signing_secret(testing::SECRET)
                .without_replay_protection();
            post(on_event).route_layer(VerifyLayer::new(builder.build()?))
        }
        other => return Err(format!("no app is called {other:?}").into()),
    };
    let verifier = Verifier::new(Keyring::new(testing::SECRET.parse()?));
    let router = Router::new().route("/gemini-callback", route);
    Ok(router.with_state(verifier))
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    status(event.type_name() == Some("batch.succeeded"))
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
    status(verified && GeminiEvent::parse(body).type_name() == Some("batch.succeeded"))
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
    let heads = (0..80_000)
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
    compare(
        format_args!("in process, {BODY} bytes; the first four put the pieces into the handler"),
        vec![
            contender("bare handler", "bare")?,
            contender("and headers", "headers")?,
            contender("and hash", "hash")?,
            contender("and event", "event")?,
            contender("VerifyLayer without a guard", "unguarded")?,
            contender("VerifyLayer", "layer")?,
        ],
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
                match event.type_name() {
                    Some("batch.succeeded") => HttpResponse::Ok().finish(),
                    _ => HttpResponse::BadRequest().finish(),
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

/// A server in a process of its own, which ends with this value.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(name: &str) -> Result<Self, Error> {
        let mut process = Command::new("taskset")
            .args(["-c", "0"])
            .arg(env::current_exe()?)
            .args(["serve", name])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        if let Some(stdout) = process.stdout.take() {
            std::io::BufRead::read_line(&mut std::io::BufReader::new(stdout), &mut address)?;
        }
        let address = address.trim().to_owned();
        Ok(Self { process, address })
    }

    /// Processor time so far, in microseconds.
    fn processor_time(&self) -> Result<f64, Error> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        // After the name in brackets; user and system time are fields 14 and 15, in hundredths.
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks = |index: usize| fields.get(index).unwrap_or(&"").parse::<f64>();
        Ok((ticks(11)? + ticks(12)?) * 10_000.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(error) = self
            .process
            .kill()
            .and_then(|()| self.process.wait().map(drop))
        {
            eprintln!("cannot end the server: {error}");
        }
    }
}

struct Turn {
    rate: f64,
    processor: f64,
}

fn under_load() -> Result<(), Error> {
    let pairs = [
        ("axum, a bare handler", "bare", "axum, VerifyLayer", "layer"),
        (
            "actix-web, a bare handler",
            "actix-bare",
            "actix-web, VerifyWebhook",
            "actix",
        ),
    ];
    println!(
        "\nover loopback, {BODY} bytes, the server on one core, {TURNS} turns of {SECONDS} s each"
    );
    println!(
        "  {:<34} {:>12} {:>18}",
        "", "requests/s", "processor/request"
    );
    // Both frameworks in the same turns, so that they meet the same machine.
    let mut started = Vec::new();
    for (_, bare, _, layer) in pairs {
        started.push([Server::start(bare)?, Server::start(layer)?]);
    }
    let mut turns: Vec<[Vec<Turn>; 2]> = pairs.iter().map(|_| Default::default()).collect();
    for turn in 0..TURNS {
        let files = write_deliveries(turn)?;
        for (servers, turns) in started.iter().zip(&mut turns) {
            for (server, turns) in servers.iter().zip(turns) {
                let before = server.processor_time()?;
                let (rate, requests) = wrk(&server.address, &files)?;
                let processor = (server.processor_time()? - before) / requests;
                turns.push(Turn { rate, processor });
            }
        }
    }
    for ((bare_name, _, layer_name, _), [bare, layer]) in pairs.iter().zip(&turns) {
        let ratio = |of: fn(&Turn) -> f64| {
            let pairs = layer.iter().zip(bare);
            median(pairs.map(|(layer, bare)| of(layer) / of(bare)))
        };
        for (name, turns) in [(bare_name, bare), (layer_name, layer)] {
            println!(
                "  {name:<34} {:>12.0} {:>15.2} µs",
                median(turns.iter().map(|turn| turn.rate)),
                median(turns.iter().map(|turn| turn.processor)),
            );
        }
        println!(
            "  {:<34} {:>12.3} {:>18.3}",
            "ratio",
            ratio(|turn| turn.rate),
            ratio(|turn| turn.processor)
        );
    }
    Ok(())
}

/// The body, the values of each delivery of a turn, and what makes `wrk` send them.
fn write_deliveries(turn: usize) -> Result<PathBuf, Error> {
    let folder = env::temp_dir().join(format!("gemini-webhooks-bench-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let body = event_of(BODY);
    let secret = testing::SECRET.parse()?;
    let mut values = String::new();
    for n in turn * IDS..(turn + 1) * IDS {
        let [(_, id), (_, timestamp), (_, signature)] = lines(&secret, n, &body)?;
        values.push_str(&format!("{id} {timestamp} {signature}\n"));
    }
    fs::write(folder.join("values"), values)?;
    fs::write(folder.join("body"), body)?;
    fs::write(folder.join("load.lua"), include_str!("load.lua"))?;
    Ok(folder)
}

/// Requests a second, and how many.
fn wrk(address: &str, files: &PathBuf) -> Result<(f64, f64), Error> {
    let output = Command::new("taskset")
        .args([
            "-c",
            "1",
            "wrk",
            "-t1",
            "-c32",
            &format!("-d{SECONDS}s"),
            "-s",
            "load.lua",
        ])
        .arg(format!("http://{address}/gemini-callback"))
        .current_dir(files)
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    let number = |line: Option<&str>, place: usize| {
        let word = line.and_then(|line| line.split_whitespace().nth(place));
        word.and_then(|word| word.parse::<f64>().ok())
            .ok_or_else(|| {
                format!(
                    "wrk said: {text}{}",
                    String::from_utf8_lossy(&output.stderr)
                )
            })
    };
    if text.contains("Non-2xx") || text.contains("Socket errors") {
        return Err(format!("not every request was answered 2xx: {text}").into());
    }
    let rate = number(
        text.lines().find(|line| line.starts_with("Requests/sec")),
        1,
    )?;
    let requests = number(text.lines().find(|line| line.contains("requests in")), 0)?;
    Ok((rate, requests))
}
