//! What the layer costs a whole app, beside a bare handler that only reads the body, and beside peers.
//!
//! `scripts/bench-http` runs this. First in process, piece by piece, so that it shows where the time
//! goes; then servers on one core, in turns, under a sender on the other.

use std::env;
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use gemini_webhooks::{Clock as _, SigningSecret, SystemClock, testing};
use gemini_webhooks_benches::{Contender, compare, event_of, median, quantile};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tower::Service as _;

mod apps;
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
        let mut app = apps::axum(name)?;
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
        contender("all by hand", "all by hand")?,
        contender("VerifyLayer, bytes, no guard", "same work")?,
        contender("VerifyLayer, event, no guard", "without a guard")?,
        contender("VerifyLayer, all of it", "all of it")?,
        contender("webhook-verify", "webhook-verify")?,
        contender("axum-standardwebhooks", "axum-standardwebhooks")?,
    ];
    #[cfg(feature = "metrics")]
    {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let mut counted = contender("VerifyLayer, counted", "all of it")?;
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
            "in process, {BODY} bytes, metrics {metrics}; the first five put the pieces into the handler"
        ),
        contenders,
    );
    Ok(())
}

fn serve(name: &str) -> Result<(), Error> {
    if name.starts_with("actix") {
        return apps::serve_actix(name);
    }
    let app = apps::axum(name)?;
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

/// A server and what it is called, and which of those before it to compare it with.
const SERVERS: [(&str, &str, &[&str]); 10] = [
    ("axum, a bare handler", "bare", &[]),
    ("all by hand", "all by hand", &["bare"]),
    ("axum-standardwebhooks", "axum-standardwebhooks", &["bare"]),
    ("webhook-verify", "webhook-verify", &["bare"]),
    (
        "VerifyLayer, the same work",
        "same work",
        &["webhook-verify"],
    ),
    (
        "VerifyLayer, all of it",
        "all of it",
        &["bare", "axum-standardwebhooks", "webhook-verify"],
    ),
    ("actix-web, a bare handler", "actix bare", &[]),
    ("webhook-verify", "actix webhook-verify", &["actix bare"]),
    (
        "VerifyWebhook, the same work",
        "actix same work",
        &["actix webhook-verify"],
    ),
    (
        "VerifyWebhook, all of it",
        "actix all of it",
        &["actix bare", "actix webhook-verify"],
    ),
];

fn under_load() -> Result<(), Error> {
    let me = std::process::id().to_string();
    Command::new("taskset").args(["-cp", "1", &me]).output()?;
    println!(
        "\nover loopback, {BODY} bytes, the server on one core, {TURNS} turns of {TURN:?} each"
    );
    println!("  {:<34} {:>12} {:>18}", "", "requests/s", "time of one");
    // All in the same turns, so that they meet the same machine.
    let mut servers = SERVERS
        .iter()
        .map(|(_, name, _)| Server::start(name))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut rates = vec![Vec::new(); SERVERS.len()];
    for turn in 0..TURNS {
        let requests = deliveries(turn)?;
        for (server, rates) in servers.iter_mut().zip(&mut rates) {
            let (answered, seconds) = server.sender.send(&requests, TURN)?;
            rates.push(answered / seconds);
        }
    }
    for ((title, _, others), own) in SERVERS.iter().zip(&rates) {
        let rate = median(own.iter().copied());
        println!("  {title:<34} {rate:>12.0} {:>15.2} µs", 1e6 / rate);
        for other in *others {
            let found = SERVERS.iter().zip(&rates);
            let mut found = found.filter(|((_, name, _), _)| name == other);
            let ((title, _, _), theirs) = found.next().ok_or("no such server")?;
            let ratios = || own.iter().zip(theirs).map(|(own, theirs)| own / theirs);
            println!(
                "    {:<32} {:>12.3} {:>9.3} to {:.3}",
                format!("of {title}"),
                median(ratios()),
                quantile(ratios(), 0.25),
                quantile(ratios(), 0.75)
            );
        }
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
