//! A receiver on bare hyper, without a framework: the layer around a function.
//!
//! ```text
//! WEBHOOK_SIGNING_SECRET=whsec_… cargo run --example hyper --features tower
//! ```

use std::convert::Infallible;
use std::env;
use std::error::Error;

use bytes::Bytes;
use gemini_webhooks::{ConfigError, GeminiEvent, VerifyLayer, WebhookReceiver};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tower::{Layer as _, service_fn};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let layer = layer(&env::var("WEBHOOK_SIGNING_SECRET")?)?;
    let listener = TcpListener::bind("127.0.0.1:8000").await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let service = TowerToHyperService::new(layer.clone().layer(service_fn(on_event)));
        tokio::spawn(async move {
            let connection = http1::Builder::new()
                // For the head of a request; the layer sees to its body.
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                eprintln!("a connection broke: {error}");
            }
        });
    }
}

/// Made once, so that all connections share one memory of events.
fn layer(secret: &str) -> Result<VerifyLayer, ConfigError> {
    let receiver = WebhookReceiver::builder().signing_secret(secret).build()?;
    Ok(VerifyLayer::new(receiver))
}

async fn on_event(request: Request<Full<Bytes>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::default());
    match request.extensions().get::<GeminiEvent>() {
        Some(event) => println!("{:?}", event.kind()),
        None => *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR,
    }
    Ok(response)
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
        let service = TowerToHyperService::new(layer.clone().layer(service_fn(on_event)));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(server), service);
        let served = tokio::spawn(connection);
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
        served.await.unwrap().unwrap();
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
}
