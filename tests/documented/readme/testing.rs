use axum::{Router, body::Body, http::{Request, StatusCode}, routing::post};
use gemini_webhooks::{GeminiEvent, VerifyLayer, WebhookReceiver, testing};
use tower::ServiceExt as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = testing::ManualClock::default();
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
        .build()?;
    let route = post(async |event: GeminiEvent| event.type_name().unwrap_or("?").to_owned());
    let app: Router = Router::new().route("/hook", route.layer(VerifyLayer::new(receiver)));

    let body = testing::SAMPLE_EVENTS[0];
    let mut request = Request::post("/hook");
    for (name, value) in testing::sign_v1(&testing::SECRET.parse()?, "msg_1", clock.unix_seconds(), body) {
        request = request.header(name, value);
    }
    let response = app.oneshot(request.body(Body::from(body))?).await?;
    assert_eq!(response.status(), StatusCode::OK);
    Ok(())
}
