//! Calls that fail on demand.

use std::time::Duration;

use gemini_webhooks::testing::google::{Call, Fault, MockGoogle};
use serde_json::json;

use crate::rig::{Api, text};

const BODY: &str = r#"{"uri":"https://a.b/","subscribed_events":["batch.failed"]}"#;

async fn webhooks(api: &Api) -> usize {
    let all = api.ok("GET", "/v1/webhooks", "").await;
    all["webhooks"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn what_is_answered_instead() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    google.fail(Call::WebhooksCreate, 2, Fault::Status(503));
    google.fail(Call::WebhooksCreate, 1, Fault::RetryAfter(429, "7".into()));
    google.fail(Call::WebhooksCreate, 1, Fault::Body(502, "<html>".into()));
    // Another call is not concerned.
    assert_eq!(webhooks(&api).await, 0);
    for _ in 0..2 {
        let (status, json) = api.call("POST", "/v1/webhooks", BODY).await;
        assert_eq!(
            (status, &json["error"]["status"]),
            (503, &json!("UNAVAILABLE"))
        );
    }
    let limited = api.send("POST", "/v1/webhooks", BODY).await.unwrap();
    assert_eq!(
        (limited.status().as_u16(), &limited.headers()["retry-after"]),
        (429, &"7".parse().unwrap())
    );
    let proxy = api.send("POST", "/v1/webhooks", BODY).await.unwrap();
    assert_eq!(proxy.status(), 502);
    assert_eq!(proxy.text().await.unwrap(), "<html>");

    assert_eq!(webhooks(&api).await, 0);
    api.ok("POST", "/v1/webhooks", BODY).await;
    assert_eq!(webhooks(&api).await, 1);
    let creates = google.requests();
    let creates = creates
        .iter()
        .filter(|request| request.call == Some(Call::WebhooksCreate));
    assert_eq!(creates.count(), 5);
}

#[tokio::test]
async fn an_answer_is_lost_or_spoilt() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    google.fail(Call::WebhooksCreate, 1, Fault::CloseBefore);
    let error = api.send("POST", "/v1/webhooks", BODY).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    assert_eq!(webhooks(&api).await, 0);

    google.fail(Call::WebhooksCreate, 1, Fault::CloseAfter);
    let error = api.send("POST", "/v1/webhooks", BODY).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    assert_eq!(webhooks(&api).await, 1);

    google.fail(Call::WebhooksCreate, 1, Fault::Truncated);
    let mut response = api.send("POST", "/v1/webhooks", BODY).await.unwrap();
    assert_eq!(response.status(), 200);
    let part = response.chunk().await.unwrap().unwrap();
    assert!(part.starts_with(b"{"), "{part:?}");
    assert!(response.chunk().await.is_err());
    assert_eq!(webhooks(&api).await, 2);

    google.fail(Call::WebhooksCreate, 1, Fault::Oversized(5_000_000));
    let response = api.send("POST", "/v1/webhooks", BODY).await.unwrap();
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.len() > 5_000_000);
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(text(&json, "uri"), "https://a.b/");

    google.fail(Call::WebhooksCreate, 1, Fault::NoAnswer);
    let silent = api.send("POST", "/v1/webhooks", BODY);
    let waited = tokio::time::timeout(Duration::from_millis(100), silent).await;
    assert!(waited.is_err());
    assert_eq!(webhooks(&api).await, 4);
}

#[tokio::test]
async fn keys_are_served_and_fail_too() {
    let google = MockGoogle::start().await.unwrap();
    let get = async || reqwest::get(google.jwks_url()).await.unwrap();
    let first = get().await;
    assert_eq!(first.headers().get("cache-control"), None);
    let kids = |bytes: &[u8]| {
        let set: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        let kids = keys.map(|key| {
            assert_eq!((text(key, "kty"), text(key, "crv")), ("OKP", "Ed25519"));
            text(key, "kid").to_owned()
        });
        kids.collect::<Vec<_>>()
    };
    let before = kids(&first.bytes().await.unwrap());
    assert_eq!(before.len(), 3);
    google.rotate_keys();
    google.set_cache_control("max-age=60");
    let second = get().await;
    assert_eq!(second.headers()["cache-control"], "max-age=60");
    let after = kids(&second.bytes().await.unwrap());
    assert!(!before.contains(&after[0]));
    assert_eq!(after[1..], before[..2]);
    google.fail(Call::Keys, 1, Fault::Status(500));
    assert_eq!(get().await.status(), 500);
}

#[tokio::test]
async fn it_ends_when_it_is_dropped() {
    let google = MockGoogle::start().await.unwrap();
    let api = Api::of(&google);
    assert_eq!(webhooks(&api).await, 0);
    drop(google);
    // Both the connection that is open and the port.
    while api.send("GET", "/v1/webhooks", "").await.is_ok() {
        tokio::task::yield_now().await;
    }
}
