//! What is native to actix-web. What it has in common with other adapters is in the conformance
//! suite.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use ::actix_web::dev::ServiceResponse;
use ::actix_web::error::InternalError;
use ::actix_web::http::StatusCode;
use ::actix_web::middleware::{ErrorHandlerResponse, ErrorHandlers};
use ::actix_web::test::{TestRequest, call_service, init_service, read_body};
use ::actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::VerifyWebhook;
use crate::clock::{Clock as _, SystemClock};
use crate::event::GeminiEvent;
use crate::receiver::{Delivery, WebhookReceiver};
use crate::testing;

mod placement;

const EVENT: &str = testing::SAMPLE_EVENTS[0];

fn receiver() -> WebhookReceiver {
    WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .build()
        .unwrap()
}

fn lines(id: &str, body: &str) -> [(&'static str, String); 3] {
    let now = SystemClock
        .now()
        .duration_since(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    testing::sign_v1(&testing::SECRET.parse().unwrap(), id, now.as_secs(), body)
}

fn signed(id: &str, body: &'static str) -> TestRequest {
    let mut request = TestRequest::post().uri("/hook").set_payload(body);
    for line in lines(id, body) {
        request = request.append_header(line);
    }
    request
}

async fn text(response: ServiceResponse<impl ::actix_web::body::MessageBody>) -> (u16, String) {
    let status = response.status().as_u16();
    let body = read_body(response).await;
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[::actix_web::test]
async fn extractors_read_the_body_that_was_put_back() {
    let app = init_service(
        App::new()
            .wrap(VerifyWebhook::new(receiver()))
            .route("/bytes", web::post().to(async |body: web::Bytes| body))
            .route("/text", web::post().to(async |body: String| body))
            .route(
                "/json",
                web::post().to(async |body: web::Json<serde_json::Value>| body["type"].to_string()),
            )
            .route(
                "/both",
                web::post().to(async |event: Option<GeminiEvent>, body: web::Bytes| {
                    assert_eq!(event.unwrap().raw(), &body);
                    "both"
                }),
            ),
    )
    .await;
    for (path, expected) in [
        ("/bytes", EVENT),
        ("/text", EVENT),
        ("/json", "\"batch.succeeded\""),
        ("/both", "both"),
    ] {
        let request = signed(path, EVENT)
            .uri(path)
            .append_header(("content-type", "application/json"));
        let response = call_service(&app, request.to_request()).await;
        assert_eq!(text(response).await, (200, expected.to_owned()), "{path}");
    }
}

#[::actix_web::test]
async fn a_missing_middleware_is_named() {
    let app = init_service(
        App::new()
            .route("/hook", web::post().to(async |_: GeminiEvent| "never"))
            .route("/delivery", web::post().to(async |_: Delivery| "never"))
            .route(
                "/option",
                web::post().to(async |event: Option<GeminiEvent>| event.is_none().to_string()),
            ),
    )
    .await;
    for path in ["/hook", "/delivery"] {
        let request = signed("msg_1", EVENT).uri(path).to_request();
        let (status, body) = text(call_service(&app, request).await).await;
        assert_eq!(status, 500);
        assert!(body.contains("VerifyWebhook"), "{body}");
    }
    let request = signed("msg_1", EVENT).uri("/option").to_request();
    let option = text(call_service(&app, request).await).await;
    assert_eq!(option, (200, "true".to_owned()));
}

#[::actix_web::test]
async fn refusals_are_replaced_as_actix_users_expect() {
    let unsigned = || TestRequest::post().uri("/hook").to_request();
    let by_handler =
        VerifyWebhook::new(receiver()).error_handler(|error, request: &HttpRequest| {
            let body = format!("{} at {}", error.kind().code(), request.path());
            InternalError::from_response(error, HttpResponse::Forbidden().body(body)).into()
        });
    let app = init_service(App::new().wrap(by_handler)).await;
    let answer = text(call_service(&app, unsigned()).await).await;
    assert_eq!(answer, (403, "missing_header at /hook".to_owned()));

    // One that panics leaves the default.
    let panics = VerifyWebhook::new(receiver()).error_handler(|_, _| panic!("the app's own"));
    let app = init_service(App::new().wrap(panics)).await;
    let answer = text(call_service(&app, unsigned()).await).await;
    assert_eq!(answer, (400, r#"{"error":"missing_header"}"#.to_owned()));

    // And by a middleware outside, which sees the error.
    let outside = ErrorHandlers::new().handler(StatusCode::BAD_REQUEST, |response| {
        let error = response.response().error().unwrap();
        let kind = error.as_error::<VerifyError>().unwrap().kind();
        let body = format!("replaced {}", kind.code());
        let response = response.into_response(HttpResponse::BadRequest().body(body));
        Ok(ErrorHandlerResponse::Response(
            response.map_into_boxed_body().map_into_right_body(),
        ))
    });
    let inside = web::resource("/hook").wrap(VerifyWebhook::new(receiver()));
    let app = init_service(App::new().wrap(outside).service(inside)).await;
    let answer = text(call_service(&app, unsigned()).await).await;
    assert_eq!(answer, (400, "replaced missing_header".to_owned()));
}

#[::actix_web::test]
async fn routes_by_type() {
    let types = |last: bool| {
        let resource = web::resource("/hook")
            .wrap(VerifyWebhook::new(receiver()))
            .route(
                web::post()
                    .guard(EventType("batch.succeeded"))
                    .to(async || "batch"),
            )
            .route(
                web::post()
                    .guard(EventType("video.generated"))
                    .to(async || "video"),
            );
        if last {
            resource.route(web::post().to(acknowledge))
        } else {
            resource
        }
    };
    let app = init_service(App::new().service(types(true))).await;
    let [batch, .., video] = testing::SAMPLE_EVENTS;
    let failed = testing::SAMPLE_EVENTS[1];
    for (id, body, expected) in [
        ("1", batch, "batch"),
        ("2", video, "video"),
        ("3", r#"{"type":"batch.completed"}"#, "batch"),
        ("4", failed, ""),
        ("5", "no event", ""),
    ] {
        let response = call_service(&app, signed(id, body).to_request()).await;
        assert_eq!(text(response).await, (200, expected.to_owned()), "{body}");
    }
    let app = init_service(App::new().service(types(false))).await;
    let response = call_service(&app, signed("1", failed).to_request()).await;
    assert_eq!(response.status(), 405, "nobody decided");
}

/// A real server of two workers.
async fn serve(
    receiver: WebhookReceiver,
    handler: impl AsyncFn() -> HttpResponse + Clone + Send + 'static,
) -> (std::net::SocketAddr, ::actix_web::dev::ServerHandle) {
    serve_with(move || VerifyWebhook::new(receiver.clone()), handler).await
}

async fn serve_with(
    middleware: impl Fn() -> VerifyWebhook + Clone + Send + 'static,
    handler: impl AsyncFn() -> HttpResponse + Clone + Send + 'static,
) -> (std::net::SocketAddr, ::actix_web::dev::ServerHandle) {
    let server = HttpServer::new(move || {
        let handler = handler.clone();
        let on_event = move |_: GeminiEvent| {
            let handler = handler.clone();
            async move { handler().await }
        };
        let resource = web::resource("/hook").wrap(middleware());
        App::new().service(resource.route(web::post().to(on_event)))
    })
    .workers(2)
    .bind(("127.0.0.1", 0))
    .unwrap();
    let address = server.addrs()[0];
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(server);
    (address, handle)
}

async fn connect(address: std::net::SocketAddr, lines: [(&str, String); 3]) -> TcpStream {
    let mut request = format!(
        "POST /hook HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {}\r\n",
        EVENT.len()
    );
    for (name, value) in lines {
        request += &format!("{name}: {value}\r\n");
    }
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("{request}\r\n{EVENT}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn post(address: std::net::SocketAddr, id: &str) -> u16 {
    send(address, lines(id, EVENT)).await
}

async fn send(address: std::net::SocketAddr, lines: [(&str, String); 3]) -> u16 {
    let mut answer = String::new();
    let mut stream = connect(address, lines).await;
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

#[::actix_web::test]
async fn workers_share_one_guard() {
    let runs = Arc::new(AtomicUsize::new(0));
    let threads = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let handler = {
        let (runs, threads) = (Arc::clone(&runs), Arc::clone(&threads));
        async move || {
            runs.fetch_add(1, SeqCst);
            threads.lock().unwrap().insert(std::thread::current().id());
            HttpResponse::Ok().finish()
        }
    };
    let (address, handle) = serve(receiver(), handler).await;
    for id in 0..20 {
        let id = format!("msg_{id}");
        // Copies, which the workers take in turn.
        for _ in 0..3 {
            assert_eq!(post(address, &id).await, 200);
        }
    }
    assert_eq!(runs.load(SeqCst), 20, "each event once, over both workers");
    assert_eq!(threads.lock().unwrap().len(), 2, "both workers had some");
    handle.stop(true).await;
}

/// A sender that leaves while the handler runs, for a moment: how often it was started and finished in
/// the end, with a retry that comes after that.
async fn leave(reset: bool, detached: bool) -> (usize, usize) {
    let (started, finished) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let (started, finished) = (Arc::clone(&started), Arc::clone(&finished));
        async move || {
            started.fetch_add(1, SeqCst);
            tokio::time::sleep(Duration::from_millis(300)).await;
            finished.fetch_add(1, SeqCst);
            HttpResponse::Ok().finish()
        }
    };
    let receiver = receiver();
    let middleware = move || {
        let middleware = VerifyWebhook::new(receiver.clone());
        if detached {
            middleware.finish_once_started()
        } else {
            middleware
        }
    };
    let (address, handle) = serve_with(middleware, handler).await;
    let stream = connect(address, lines("msg_1", EVENT)).await;
    while started.load(SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if reset {
        socket2::SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    }
    drop(stream);
    let mut status = post(address, "msg_1").await;
    while status == 409 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = post(address, "msg_1").await;
    }
    assert_eq!(status, 200);
    handle.stop(true).await;
    (started.load(SeqCst), finished.load(SeqCst))
}

#[::actix_web::test]
async fn a_handler_whose_sender_leaves() {
    let (close, reset) = (false, true);
    assert_eq!(leave(close, false).await, (1, 1), "it runs to its end");
    assert_eq!(leave(reset, false).await, (2, 1), "dropped, and run again");
    assert_eq!(leave(close, true).await, (1, 1));
    assert_eq!(leave(reset, true).await, (1, 1), "it goes on");
}

#[::actix_web::test]
async fn a_handler_that_panics_is_run_again() {
    let runs = Arc::new(AtomicUsize::new(0));
    let handler = {
        let runs = Arc::clone(&runs);
        async move || {
            assert!(runs.fetch_add(1, SeqCst) > 0, "the first one panics");
            HttpResponse::Ok().finish()
        }
    };
    let (address, handle) = serve(receiver(), handler).await;
    let mut answer = Vec::new();
    let mut first = connect(address, lines("msg_1", EVENT)).await;
    drop(first.read_to_end(&mut answer).await);
    assert!(answer.is_empty(), "{}", answer.escape_ascii());
    assert_eq!(post(address, "msg_1").await, 200);
    assert_eq!(runs.load(SeqCst), 2);
    handle.stop(true).await;
}

#[cfg(all(feature = "jwks", feature = "testing"))]
#[::actix_web::test]
async fn workers_share_one_set_of_keys() {
    use crate::testing::{Ed25519Signer, JwksServer};

    let signer = Ed25519Signer::new("key", [1; 32]);
    let server = JwksServer::start([signer.jwk()]).await.unwrap();
    let receiver = WebhookReceiver::builder()
        .jwks_url(server.url())
        .allow_any_google_project()
        .build()
        .unwrap();
    let (address, handle) = serve(receiver, async || HttpResponse::Ok().finish()).await;
    let now = lines("", "")[1].1.parse().unwrap();
    for id in 0..20 {
        let lines = signer.sign(&format!("msg_{id}"), now, EVENT);
        assert_eq!(send(address, lines).await, 200);
    }
    assert_eq!(server.fetches(), 1);
    handle.stop(true).await;
}

#[::actix_web::test]
async fn a_handler_that_is_stopped_by_force_is_run_again() {
    let (receiver, started) = (receiver(), Arc::new(AtomicUsize::new(0)));
    let handler = {
        let started = Arc::clone(&started);
        async move || {
            if started.fetch_add(1, SeqCst) == 0 {
                std::future::pending::<()>().await;
            }
            HttpResponse::Ok().finish()
        }
    };
    let (address, handle) = serve(receiver.clone(), handler.clone()).await;
    let first = connect(address, lines("msg_1", EVENT)).await;
    while started.load(SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    handle.stop(false).await;
    drop(first);
    let (address, handle) = serve(receiver, handler).await;
    let mut status = post(address, "msg_1").await;
    // The workers end a moment after the server.
    while status == 409 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        status = post(address, "msg_1").await;
    }
    assert_eq!((status, started.load(SeqCst)), (200, 2));
    handle.stop(true).await;
}
