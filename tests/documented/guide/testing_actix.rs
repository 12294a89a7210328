use actix_web::test::{TestRequest, call_service, init_service};
use actix_web::{App, HttpResponse, web};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{GeminiEvent, VerifyWebhook, WebhookReceiver};

#[actix_web::test]
async fn accepts_a_delivery() -> Result<(), Box<dyn std::error::Error>> {
    let clock = ManualClock::default();
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(clock.clone())
        .build()?;
    let hook = web::resource("/hook")
        .wrap(VerifyWebhook::new(receiver))
        .route(web::post().to(async |event: GeminiEvent| {
            HttpResponse::Ok().body(event.type_name().unwrap_or("?").to_owned())
        }));
    let app = init_service(App::new().service(hook)).await;

    let secret = testing::SECRET.parse()?;
    let body = testing::SAMPLE_EVENTS[0];
    let now = clock.unix_seconds();
    let mut request = TestRequest::post().uri("/hook").set_payload(body);
    for header in testing::sign_v1(&secret, "msg_1", now, body) {
        request = request.append_header(header);
    }
    let response = call_service(&app, request.to_request()).await;
    assert_eq!(response.status(), 200);
    Ok(())
}
