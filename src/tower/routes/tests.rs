use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use http_body_util::BodyExt as _;
use serde_json::json;
use tower::limit::ConcurrencyLimitLayer;
use tower::{ServiceBuilder, ServiceExt as _, service_fn};

use super::*;
use crate::event::{BatchFailed, BatchSucceeded, VideoGenerated};

type Body = Full<Bytes>;

/// A request as it comes out of `VerifyLayer`, with such an event.
fn event(body: impl Into<Bytes>) -> Request<Body> {
    let body = body.into();
    let mut request = Request::new(Full::new(body.clone()));
    request.extensions_mut().insert(GeminiEvent::parse(body));
    request
}

fn typed(type_name: &str) -> Request<Body> {
    event(json!({"type": type_name}).to_string())
}

/// A service that says its name.
fn says(name: &'static str) -> impl EventService<Body, &'static str> {
    service_fn(move |_: Request<Body>| ready(Ok(Response::new(Full::from(name)))))
}

async fn send(routes: &EventRouter<Body, &'static str>, request: Request<Body>) -> (u16, String) {
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn each_type_has_its_service() {
    let routes = || {
        EventRoutes::new()
            .on::<BatchSucceeded>(says("succeeded"))
            .on::<BatchFailed>(says("failed"))
            .on_type("batch.new", says("new"))
            .on_type("batch.of.tomorrow".to_owned(), says("tomorrow"))
    };
    let taken = [
        ("batch.succeeded", "succeeded"),
        ("batch.completed", "succeeded"),
        ("batch.failed", "failed"),
        ("batch.new", "new"),
        ("batch.of.tomorrow", "tomorrow"),
    ];
    let others = || {
        let types = [
            "video.generated",
            "batch.other",
            "Batch.failed",
            "batch.failed ",
            "",
        ];
        let formless = [b"".as_slice(), b"[]", b"{}", b"{\"type\":7}", b"\xff"].map(event);
        types.map(typed).into_iter().chain(formless)
    };
    for (routes, (status, text)) in [
        (routes().otherwise_acknowledge(), (200, "")),
        (routes().otherwise_refuse(), (501, "")),
        (routes().otherwise(says("the rest")), (200, "the rest")),
    ] {
        let routes = routes.unwrap();
        for (type_name, name) in taken {
            let answer = send(&routes, typed(type_name)).await;
            assert_eq!(answer, (200, name.to_owned()), "{type_name}");
        }
        for request in others() {
            assert_eq!(send(&routes, request).await, (status, text.to_owned()));
        }
    }
}

#[tokio::test]
async fn the_service_gets_the_request_and_gives_the_answer() {
    let echo = service_fn(async |request: Request<Body>| {
        let (head, body) = request.into_parts();
        let event: &GeminiEvent = head.extensions.get().unwrap();
        let body = body.collect().await.unwrap().to_bytes();
        assert_eq!(event.raw(), &body);
        Ok::<_, &str>(
            Response::builder()
                .status(409)
                .body(Full::new(body))
                .unwrap(),
        )
    });
    let fails = service_fn(async |_: Request<Body>| Err::<Response<Body>, _>("no"));
    let routes = EventRoutes::new()
        .on::<BatchSucceeded>(echo)
        .on::<BatchFailed>(fails)
        .otherwise_refuse()
        .unwrap();
    let body = r#"{ "type": "batch.succeeded" }"#;
    assert_eq!(send(&routes, event(body)).await, (409, body.to_owned()));
    let failed = routes.oneshot(typed("batch.failed")).await;
    assert_eq!(failed.unwrap_err(), "no");
}

#[tokio::test]
async fn without_a_verified_event_it_is_our_mistake() {
    let routes = || EventRoutes::new().on::<BatchSucceeded>(says("succeeded"));
    for routes in [
        routes().otherwise_acknowledge(),
        routes().otherwise_refuse(),
        routes().otherwise(says("the rest")),
    ] {
        let bare = Request::new(Full::from(r#"{"type":"batch.succeeded"}"#));
        let (status, text) = send(&routes.unwrap(), bare).await;
        assert_eq!(status, 500);
        assert!(text.contains("VerifyLayer"), "{text}");
    }
}

#[test]
fn two_routes_for_one_type_are_refused() {
    let routes = || EventRoutes::new().on::<BatchSucceeded>(says("one"));
    for (routes, name) in [
        (
            routes().on::<BatchSucceeded>(says("two")),
            "batch.succeeded",
        ),
        (
            routes().on_type("batch.completed", says("two")),
            "batch.succeeded",
        ),
        (
            EventRoutes::new()
                .on_type("new", says("one"))
                .on_type("new".to_owned(), says("two"))
                .on_type("new", says("three")),
            "new",
        ),
    ] {
        let error = routes.otherwise_acknowledge().unwrap_err();
        let type_name = name.to_owned();
        assert_eq!(error, ConfigError::RouteTwice { type_name });
        assert!(error.to_string().contains(&format!("`{name}`")), "{error}");
    }
    assert!(
        routes()
            .on::<BatchFailed>(says("two"))
            .otherwise_refuse()
            .is_ok()
    );
}

/// Only the very instance that was polled ready may be called.
#[derive(Default)]
struct Picky {
    ready: bool,
}

impl Clone for Picky {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl Service<Request<Body>> for Picky {
    type Response = Response<Body>;
    type Error = &'static str;
    type Future = Ready<Result<Response<Body>, &'static str>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        if std::mem::replace(&mut self.ready, true) {
            return Poll::Ready(Ok(()));
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        assert!(
            std::mem::take(&mut self.ready),
            "called without being ready"
        );
        ready(Ok(Response::new(Full::default())))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_called() {
    let routes = EventRoutes::new()
        .on::<BatchSucceeded>(Picky::default())
        .otherwise(Picky::default())
        .unwrap();
    for type_name in ["batch.succeeded", "batch.failed", "batch.succeeded"] {
        assert_eq!(send(&routes, typed(type_name)).await.0, 200);
    }
}

#[tokio::test]
async fn a_service_that_is_not_ready_fails_for_its_events_only() {
    #[derive(Clone)]
    struct Broken;
    impl Service<Request<Body>> for Broken {
        type Response = Response<Body>;
        type Error = &'static str;
        type Future = Ready<Result<Response<Body>, &'static str>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("broken"))
        }

        fn call(&mut self, _: Request<Body>) -> Self::Future {
            ready(Err("called"))
        }
    }
    let routes = EventRoutes::new()
        .on::<BatchFailed>(Broken)
        .otherwise(says("the rest"))
        .unwrap();
    let failed = routes.clone().oneshot(typed("batch.failed")).await;
    assert_eq!(failed.unwrap_err(), "broken");
    assert_eq!(send(&routes, typed("video.generated")).await.1, "the rest");
}

#[tokio::test]
async fn a_limit_holds_for_its_service_over_all_deliveries() {
    let running = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&running);
    let (release, gate) = tokio::sync::watch::channel(false);
    let limited = ServiceBuilder::new()
        .layer(ConcurrencyLimitLayer::new(1))
        .service_fn(move |_: Request<Body>| {
            let (count, mut gate) = (Arc::clone(&count), gate.clone());
            async move {
                count.fetch_add(1, SeqCst);
                gate.wait_for(|open| *open).await.unwrap();
                count.fetch_sub(1, SeqCst);
                Ok::<_, &str>(Response::new(Full::<Bytes>::default()))
            }
        });
    let routes = EventRoutes::new()
        .on::<VideoGenerated>(limited)
        .otherwise(says("the rest"))
        .unwrap();
    let mut first = pin!(routes.clone().oneshot(typed("video.generated")));
    let mut second = pin!(routes.clone().oneshot(typed("video.generated")));
    for _ in 0..3 {
        assert!(poll_once(first.as_mut()).await.is_pending());
        assert!(poll_once(second.as_mut()).await.is_pending());
        assert_eq!(running.load(SeqCst), 1, "the limit holds");
    }
    let other = send(&routes, typed("batch.failed")).await;
    assert_eq!(other.1, "the rest", "and holds nobody else up");
    release.send_replace(true);
    assert_eq!(first.await.unwrap().status(), 200);
    assert_eq!(second.await.unwrap().status(), 200);
}

async fn poll_once<F: Future>(mut future: Pin<&mut F>) -> Poll<F::Output> {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

#[test]
fn what_is_shared_can_be_shared() {
    fn shared<T: Clone + Send + Sync + 'static>() {}
    fn sent<T: Send + 'static>() {}
    shared::<EventRouter<Body, Infallible>>();
    sent::<EventRoutes<Body, Infallible>>();
    sent::<RouteFuture<Body, Infallible>>();
}

#[test]
fn debug_tells_the_types() {
    let routes = EventRoutes::new().on::<BatchFailed>(says("failed"));
    assert!(format!("{routes:?}").contains("batch.failed"));
    let routes = format!("{:?}", routes.otherwise_refuse().unwrap());
    assert!(
        routes.contains("batch.failed") && routes.contains("501"),
        "{routes}"
    );
}
