//! A receiver as an AWS Lambda function, behind a function URL or an API gateway.
//!
//! `lambda_http` runs any tower service, so the layer goes around a function.
//!
//! AWS runs several instances of a function, and removes them when there is no traffic. The default
//! guard, which remembers events in memory, is lost with an instance and not shared. So an event can
//! be handled twice. If that matters, use a guard in a store, or a unique key in your database.

use std::convert::Infallible;
use std::env;

use bytes::Bytes;
use gemini_webhooks::{ConfigError, GeminiEvent, VerifyLayer, WebhookReceiver};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{Layer as _, service_fn};

#[tokio::main]
async fn main() -> Result<(), lambda_http::Error> {
    let layer = layer(&env::var("WEBHOOK_SIGNING_SECRET")?)?;
    lambda_http::run(layer.layer(service_fn(on_event))).await
}

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
    use tower::ServiceExt as _;

    use super::*;

    /// The event that an API gateway hands to a function.
    fn gateway(signed: &str, body: &str) -> lambda_http::Request {
        let now = SystemClock
            .now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let secret = testing::SECRET.parse().unwrap();
        let headers: serde_json::Map<String, serde_json::Value> =
            testing::sign_v1(&secret, "msg_1", now.as_secs(), signed)
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
        let event = serde_json::json!({
            "version": "2.0", "routeKey": "$default", "rawPath": "/hook", "rawQueryString": "",
            "headers": headers, "body": body, "isBase64Encoded": false,
            "requestContext": {
                "accountId": "1", "apiId": "1", "domainName": "x", "domainPrefix": "x",
                "http": {"method": "POST", "path": "/hook", "protocol": "HTTP/1.1", "sourceIp": "127.0.0.1", "userAgent": "x"},
                "requestId": "1", "routeKey": "$default", "stage": "$default",
                "time": "22/Jan/2026:12:00:00 +0000", "timeEpoch": 1_769_083_200_000_u64
            }
        });
        lambda_http::request::from_str(&event.to_string()).unwrap()
    }

    #[tokio::test]
    async fn deliveries_reach_the_function_and_nothing_else_does() {
        let layer = layer(testing::SECRET).unwrap();
        let event = testing::SAMPLE_EVENTS[0];
        for (body, status) in [("{}", 400), (event, 200), (event, 200)] {
            let service = layer.layer(service_fn(on_event));
            let response = service.oneshot(gateway(event, body)).await.unwrap();
            assert_eq!(response.status(), status, "{body}");
        }
    }
}
