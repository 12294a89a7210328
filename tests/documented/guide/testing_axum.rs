use axum::body::Body;
use axum::http::{Request, StatusCode};
use axum::{Router, routing::post};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver};
use tower::ServiceExt as _;

#[tokio::test]
async fn accepts_a_delivery() -> Result<(), Box<dyn std::error::Error>> {
    let clock = ManualClock::default();
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
        .build()?;
    let hook = post(async |event: GeminiEvent| {
        event.type_name().unwrap_or("?").to_owned()
    });
    let app: Router =
        Router::new().route("/hook", hook.layer(VerifyLayer::new(receiver)));

    let secret = testing::SECRET.parse()?;
    let body = testing::SAMPLE_EVENTS[0];
    let now = clock.unix_seconds();
    let mut request = Request::post("/hook");
    for (name, value) in testing::sign_v1(&secret, "msg_1", now, body) {
        request = request.header(name, value);
    }
    let response = app.oneshot(request.body(Body::from(body))?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    Ok(())
}
