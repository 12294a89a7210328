//! A receiver of static webhooks with hyper alone: the layer around a function.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example hyper --features tower
//! ```
//!
//! It listens on `LISTEN_ADDR`, or on `127.0.0.1:8000` if that is not set.

use std::convert::Infallible;
use std::env;
use std::error::Error;
use std::io::{self, Write as _};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::{Layer as _, ServiceExt as _};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let secret = variable("WEBHOOK_SIGNING_SECRET")?.ok_or("WEBHOOK_SIGNING_SECRET: not set")?;
    let layer = layer(&secret)?;
    let address = variable("LISTEN_ADDR")?.unwrap_or_else(|| "127.0.0.1:8000".to_owned());
    let listener = TcpListener::bind(&address)
        .await
        .map_err(|error| format!("LISTEN_ADDR: cannot listen on {address}: {error}"))?;
    // Listens for the signal before the first request, so that none is missed.
    let stop = stop_signal()?;
    log(&format!("listening on http://{}", listener.local_addr()?));
    serve(listener, layer, stop).await;
    Ok(())
}

/// Returns an environment variable without the white space around it, unless nothing else is in it.
fn variable(name: &str) -> Result<Option<String>, String> {
    let Some(value) = env::var_os(name) else {
        return Ok(None);
    };
    // The value is not shown, because it may be a secret.
    let value = value
        .into_string()
        .map_err(|_| format!("{name}: its value is not UTF-8"))?;
    let value = value.trim();
    Ok((!value.is_empty()).then(|| value.to_owned()))
}

/// Made once, so that all connections share one guard, which remembers events.
fn layer(secret: &str) -> Result<VerifyLayer, String> {
    let receiver = WebhookReceiver::builder()
        .signing_secret(secret)
        .build()
        .map_err(|error| format!("WEBHOOK_SIGNING_SECRET: {error}"))?;
    Ok(VerifyLayer::new(receiver))
}

async fn on_event(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    let handled = match request.extensions().get::<GeminiEvent>() {
        // `println!` panics if stdout is closed.
        Some(event) => writeln!(io::stdout(), "{:?}", event.kind()),
        None => Err(io::Error::other("the layer is missing")),
    };
    if let Err(error) = handled {
        log(&format!("cannot handle the event: {error}"));
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    Ok(response)
}

/// `eprintln!` panics if stderr is closed, and that is no reason to stop a server.
fn log(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// How long a connection may be idle, or take to send the head of a request. It must be longer than
/// the proxy in front keeps idle connections, or a connection is closed just as the proxy sends a
/// delivery over it. nginx and AWS load balancers keep connections for 60 s, Google Cloud's for 600.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How large a head may be, and how much of a body is read at once. hyper's own limit is 400 KiB for
/// each connection.
const READ_BUFFER: usize = 16 * 1024;
/// How long requests in flight may take after the signal to stop. A body may take 10 s by default.
const GRACE: Duration = Duration::from_secs(15);

/// Serves until `stop`.
async fn serve(listener: TcpListener, layer: VerifyLayer, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, layer.clone(), stopped.clone()));
                }
                Err(error) => {
                    // Most likely too many files are open, and some have to be closed first.
                    log(&format!("cannot accept a connection: {error}"));
                    sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            () = &mut stop => break,
        }
    }
    drop((listener, stopping));
    let all = async { while connections.join_next().await.is_some() {} };
    if timeout(GRACE, all).await.is_err() {
        log(&format!(
            "cut off the requests that were still in flight {GRACE:?} after the signal to stop"
        ));
    }
}

/// Serves one connection until it ends, or, after `stopping`, until its request is answered.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    layer: VerifyLayer,
    mut stopping: watch::Receiver<()>,
) {
    let verified = layer.layer(tower::service_fn(on_event));
    // Each request in flight holds a clone.
    let requests = Arc::new(());
    let service = service_fn(|request: Request<Incoming>| {
        let (verified, request_in_flight) = (verified.clone(), Arc::clone(&requests));
        async move {
            let answer = verified.oneshot(request).await;
            drop(request_in_flight);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(READ_BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        // Its sender was dropped, so the signal has come.
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            loop {
                // A head that has begun may take this long.
                match timeout(Duration::from_millis(500), connection.as_mut()).await {
                    Ok(ended) => break ended,
                    Err(_) if Arc::strong_count(&requests) > 1 => {}
                    Err(_) => return,
                }
            }
        }
    };
    // A connection that was idle for too long is not an error.
    if let Err(error) = ended
        && !error.is_timeout()
    {
        log(&format!("a connection broke: {error}"));
    }
}

/// Returns a future that ends at Ctrl-C, and at SIGTERM on systems that have it.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    #[cfg(unix)]
    let mut terminate = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::terminate())?
    };
    #[cfg(unix)]
    let mut interrupt = {
        use tokio::signal::unix::{SignalKind, signal};
        signal(SignalKind::interrupt())?
    };
    Ok(async move {
        #[cfg(unix)]
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        if let Err(error) = tokio::signal::ctrl_c().await {
            log(&format!("cannot listen for Ctrl-C: {error}"));
            std::future::pending::<()>().await;
        }
    })
}
#[cfg(all(test, feature = "testing"))]
#[allow(clippy::unwrap_used, reason = "a test fails loudly")]
mod tests {
    use gemini_webhooks::{Clock as _, SystemClock, testing};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Sends one request over a connection of its own.
    async fn send(layer: &VerifyLayer, signed: &str, body: &str) -> String {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let (_running, stopping) = watch::channel(());
        let served = tokio::spawn(connection(server, layer.clone(), stopping));
        let now = SystemClock
            .now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let secret = testing::SECRET.parse().unwrap();
        let mut request = format!(
            "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in testing::sign_v1(&secret, "msg_1", now.as_secs(), signed) {
            request += &format!("{name}: {value}\r\n");
        }
        let request = format!("{request}\r\n{body}");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        served.await.unwrap();
        answer
    }

    #[tokio::test]
    async fn deliveries_reach_the_function_and_nothing_else_does() {
        let layer = layer(testing::SECRET).unwrap();
        let event = testing::SAMPLE_EVENTS[0];
        let forged = send(&layer, event, "{}").await;
        assert!(forged.starts_with("HTTP/1.1 400"), "{forged}");
        assert!(
            forged.ends_with(r#"{"error":"signature_mismatch"}"#),
            "{forged}"
        );
        for _ in 0..2 {
            let answer = send(&layer, event, event).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    }
    #[tokio::test(start_paused = true)]
    async fn a_connection_that_sends_no_whole_head_is_closed() {
        let get = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";
        for sent in ["", "POST / HTTP/1.1\r\nhost:", get, &format!("{get}POST")] {
            let (mut client, server) = tokio::io::duplex(1024);
            let (_running, stopping) = watch::channel(());
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut served = pin!(connection(
                server,
                layer(testing::SECRET).unwrap(),
                stopping
            ));
            let second = Duration::from_secs(1);
            let early = timeout(HEAD_TIMEOUT - second, served.as_mut()).await;
            assert!(early.is_err(), "{sent:?}");
            let late = timeout(2 * second, served).await;
            assert!(late.is_ok(), "{sent:?}");
        }
    }
}
