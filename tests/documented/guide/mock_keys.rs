use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::{Router, routing::post};
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::{self, Ed25519Signer, ManualClock};
use gemini_webhooks::{
    EndpointToken, GeminiEvent, VerifyLayer, WebhookReceiver,
};
use tower::ServiceExt as _;

#[tokio::test]
async fn accepts_dynamic_delivery() -> Result<(), Box<dyn std::error::Error>> {
    let clock = ManualClock::default();
    let google = Ed25519Signer::new("key-1", [1; 32]);
    let keys = testing::key_set([google.jwk()]);
    let token = EndpointToken::generate()?;
    let receiver = WebhookReceiver::builder()
        .jwks(KeySet::from_json(keys.as_bytes())?) // instead of `google_keys()`
        .endpoint_token(token.clone())
        .clock(clock.clone())
        .build()?;
    let hook = post(async |_: GeminiEvent| StatusCode::OK);
    let app: Router =
        Router::new().route("/hook", hook.layer(VerifyLayer::new(receiver)));

    let body = testing::SAMPLE_EVENTS[0];
    let mut request = Request::post(token.url("/hook"));
    for (name, value) in google.sign("msg_1", clock.unix_seconds(), body) {
        request = request.header(name, value);
    }
    let response = app.oneshot(request.body(Body::from(body))?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    Ok(())
}
