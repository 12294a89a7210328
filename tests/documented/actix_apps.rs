//! The examples for actix-web.

use actix_web::App;
use actix_web::body::MessageBody;
use actix_web::dev::ServiceResponse;
use actix_web::middleware::Logger;
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::web::{self, ServiceConfig};
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::Ed25519Signer;
use gemini_webhooks::{EndpointToken, VerifyWebhook, WebhookReceiver, testing};

use crate::{EVENT, log, now, receiver, signed};

mod fixed {
    include!("readme/actix_static.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> impl HttpServiceFactory {
        callback(receiver)
    }
}

mod getting_started {
    include!("guide/getting_started_actix.rs");

    /// It serves for ever, so it is not called.
    const _: fn() -> Result<(), Box<dyn std::error::Error>> = main;

    pub(super) fn documented(receiver: WebhookReceiver) -> impl HttpServiceFactory {
        callback(receiver)
    }
}

mod dynamic {
    include!("guide/dynamic_actix.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> impl HttpServiceFactory {
        callback(receiver)
    }

    pub(super) fn documented_receiver(token: EndpointToken) -> WebhookReceiver {
        receiver(token).unwrap()
    }
}

mod testing_an_app {
    // A test itself.
    include!("guide/testing_actix.rs");
}

mod long_bodies {
    include!("recipes/actix_long_bodies.rs");

    pub(super) const LONGEST: usize = MAX_BODY_BYTES;

    pub(super) fn documented_receiver() -> WebhookReceiver {
        receiver(gemini_webhooks::testing::SECRET).unwrap()
    }

    pub(super) fn documented(receiver: WebhookReceiver) -> impl HttpServiceFactory {
        callback(receiver)
    }
}

mod two_routes {
    include!("recipes/actix_two_routes.rs");

    pub(super) fn documented(config: &mut web::ServiceConfig, receiver: &WebhookReceiver) {
        callbacks(config, receiver);
    }
}

mod by_type {
    include!("recipes/actix_by_type.rs");

    pub(super) fn documented(receiver: WebhookReceiver) -> impl HttpServiceFactory {
        callback(receiver)
    }
}

mod logger {
    include!("recipes/actix_logger.rs");

    pub(super) fn documented_logger() -> Logger {
        logger()
    }

    pub(super) fn documented(config: &mut web::ServiceConfig, receiver: &WebhookReceiver) {
        callbacks(config, receiver);
    }
}

fn request(
    target: &str,
    lines: impl IntoIterator<Item = (&'static str, String)>,
    body: impl Into<web::Bytes>,
) -> TestRequest {
    let request = TestRequest::post().uri(target).set_payload(body);
    lines.into_iter().fold(request, TestRequest::append_header)
}

async fn text(response: ServiceResponse<impl MessageBody>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = read_body(response).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// A genuine delivery and an unsigned one, to an app on each of which `configure` has put its routes.
async fn both(configure: impl FnOnce(&mut ServiceConfig), target: &str) -> [(u16, String); 2] {
    let app = init_service(App::new().configure(configure)).await;
    let genuine = request(target, signed("msg_1", EVENT), EVENT.as_bytes());
    let genuine = text(call_service(&app, genuine.to_request()).await).await;
    let unsigned = request(target, [], EVENT.as_bytes());
    let unsigned = text(call_service(&app, unsigned.to_request()).await).await;
    [genuine, unsigned]
}

fn answered(status: u16) -> [(u16, String); 2] {
    let refused = r#"{"error":"missing_header"}"#;
    [(status, String::new()), (400, refused.to_owned())]
}

#[actix_web::test]
async fn a_static_webhook() {
    let callback = fixed::documented(receiver());
    let configure = |config: &mut ServiceConfig| {
        config.service(callback);
    };
    assert_eq!(both(configure, "/gemini-callback").await, answered(200));
}

#[actix_web::test]
async fn getting_started() {
    let callback = getting_started::documented(receiver());
    let configure = |config: &mut ServiceConfig| {
        config.service(callback);
    };
    assert_eq!(both(configure, "/gemini-callback").await, answered(200));
}

/// Google's keys are not to be had here, so a genuine delivery is under another one.
#[actix_web::test]
async fn a_dynamic_webhook() {
    let token = EndpointToken::generate().unwrap();
    let signer = Ed25519Signer::new("key", [1; 32]);
    let keys = testing::key_set([signer.jwk()]);
    let receiver = WebhookReceiver::builder()
        .jwks(KeySet::from_json(keys.as_bytes()).unwrap())
        .endpoint_token(token.clone())
        .build()
        .unwrap();
    let target = token.url("/gemini-webhook-dynamic");
    let app = init_service(App::new().service(dynamic::documented(receiver))).await;
    let genuine = request(
        &target,
        signer.sign("msg_1", now(), EVENT),
        EVENT.as_bytes(),
    );
    let genuine = call_service(&app, genuine.to_request()).await;
    assert_eq!(text(genuine).await, (200, String::new()));
    let receiver = dynamic::documented_receiver(token);
    let app = init_service(App::new().service(dynamic::documented(receiver))).await;
    for (target, code) in [
        (&*target, "missing_header"),
        ("/gemini-webhook-dynamic", "wrong_endpoint"),
    ] {
        let unsigned = request(target, [], EVENT.as_bytes());
        let unsigned = call_service(&app, unsigned.to_request()).await;
        let refused = format!(r#"{{"error":"{code}"}}"#);
        assert_eq!(text(unsigned).await, (400, refused));
    }
}

#[actix_web::test]
async fn routes_by_type() {
    let callback = by_type::documented(receiver());
    let configure = |config: &mut ServiceConfig| {
        config.service(callback);
    };
    assert_eq!(both(configure, "/gemini-callback").await, answered(202));
    let app = init_service(App::new().service(by_type::documented(receiver()))).await;
    for (body, status) in [
        (r#"{"type":"video.generated"}"#, 202),
        (r#"{"type":"batch.failed"}"#, 200),
    ] {
        let request = request("/gemini-callback", signed(body, body), body.as_bytes());
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(response.status().as_u16(), status, "{body}");
    }
}

#[actix_web::test]
async fn long_bodies() {
    let receiver = long_bodies::documented_receiver();
    let callback = long_bodies::documented(receiver.clone());
    let configure = |config: &mut ServiceConfig| {
        config.service(callback);
    };
    assert_eq!(both(configure, "/gemini-callback").await, answered(200));
    // The limits of actix-web that the page speaks of.
    let verify = VerifyWebhook::new(receiver.clone());
    let app = App::new()
        .service(long_bodies::documented(receiver))
        .service(
            web::scope("/without")
                .wrap(verify)
                .route("/bytes", web::post().to(async |_: web::Bytes| ""))
                .route("/text", web::post().to(async |_: String| ""))
                .route(
                    "/json",
                    web::post().to(async |_: web::Json<serde_json::Value>| ""),
                ),
        );
    let app = init_service(app).await;
    let (longest, kib) = (long_bodies::LONGEST, 1024);
    for (target, length, status) in [
        ("/gemini-callback", longest, 200),
        ("/gemini-callback", longest + 1, 413),
        ("/without/bytes", 256 * kib, 200),
        ("/without/bytes", 256 * kib + 1, 413),
        ("/without/text", 256 * kib, 200),
        ("/without/text", 256 * kib + 1, 413),
        ("/without/json", 2048 * kib, 200),
        ("/without/json", 2048 * kib + 1, 413),
    ] {
        let body = format!("\"{}\"", "x".repeat(length - 2));
        let id = format!("msg_{}_{length}", target.len());
        let request = request(target, signed(&id, &body), body)
            .append_header(("content-type", "application/json"));
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(response.status().as_u16(), status, "{target} {length}");
    }
}

#[actix_web::test]
async fn two_routes_that_share_a_receiver() {
    for target in ["/batches", "/videos"] {
        let receiver = receiver();
        let configure = |config: &mut ServiceConfig| two_routes::documented(config, &receiver);
        assert_eq!(both(configure, target).await, answered(200));
    }
}

#[actix_web::test]
async fn access_logs_without_the_token() {
    log::init();
    let token = EndpointToken::generate().unwrap();
    let receiver = WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .endpoint_token(token.clone())
        .build()
        .unwrap();
    let query = token.url("/gemini-webhook-dynamic");
    let secret = query.split_once("token=").unwrap().1.to_owned();
    let segment = format!("/gemini-webhook-dynamic/{secret}");
    let configure = |config: &mut ServiceConfig| logger::documented(config, &receiver);
    let app = App::new()
        .configure(configure)
        .wrap(logger::documented_logger());
    let app = init_service(app).await;
    for (id, target) in [("msg_1", &query), ("msg_2", &segment)] {
        let genuine = request(target, signed(id, EVENT), EVENT.as_bytes());
        let genuine = call_service(&app, genuine.to_request()).await;
        assert_eq!(text(genuine).await.0, 200);
        let unsigned = request(target, [], EVENT.as_bytes());
        let unsigned = call_service(&app, unsigned.to_request()).await;
        assert_eq!(text(unsigned).await.0, 400);
    }
    assert_eq!(log::lines_with(&secret), Vec::<String>::new());
    for route in [
        "\"POST /gemini-webhook-dynamic\" 200",
        "\"POST /gemini-webhook-dynamic/{token}\" 400",
    ] {
        assert_eq!(log::lines_with(route).len(), 1, "{route}");
    }
    // The default writes it, and would be seen.
    let app = App::new().configure(configure).wrap(Logger::default());
    let app = init_service(app).await;
    let unsigned = request(&query, [], EVENT.as_bytes());
    text(call_service(&app, unsigned.to_request()).await).await;
    assert_eq!(log::lines_with(&secret).len(), 1);
}
