//! Where the middleware may stand, and what becomes of a delivery where it may not.

use std::cell::RefCell;
use std::rc::Rc;

use ::actix_web::body::{BoxBody, MessageBody};
use ::actix_web::dev::{ServiceRequest, ServiceResponse};
use ::actix_web::error::{ErrorInternalServerError, InternalError};
use ::actix_web::guard::Not;
use ::actix_web::http::StatusCode;
use ::actix_web::middleware::{Next, from_fn};
use ::actix_web::test::{TestRequest, call_service, init_service, try_call_service};
use ::actix_web::web::{self, ServiceConfig};
use ::actix_web::{App, Error, Route};

use super::{EVENT, receiver, signed, text};
use crate::actix_web::{EventType, acknowledge, refuse};
use crate::event::GeminiEvent;
use crate::receiver::WebhookReceiver;
use crate::{VerifyWebhook, testing};

/// Which handlers ran.
#[derive(Clone, Default)]
struct Ran(Rc<RefCell<Vec<&'static str>>>);

impl Ran {
    /// A handler that does not look at the event, so that nothing but the middleware keeps it from what is
    /// not verified.
    fn handler(&self, name: &'static str) -> impl AsyncFn() -> &'static str + Clone + use<> {
        let ran = self.clone();
        async move || {
            ran.0.borrow_mut().push(name);
            name
        }
    }

    fn take(&self) -> Vec<&'static str> {
        self.0.take()
    }
}

/// What an app is made of.
struct Parts {
    receiver: WebhookReceiver,
    ran: Ran,
}

impl Parts {
    fn middleware(&self) -> VerifyWebhook {
        VerifyWebhook::new(self.receiver.clone())
    }

    fn route(&self, name: &'static str) -> Route {
        let handler = self.ran.handler(name);
        web::post().to(move || {
            let handler = handler.clone();
            async move { handler().await }
        })
    }

    /// Routes by type: `EVENT` is for the first.
    fn batch(&self) -> Route {
        self.route("batch").guard(EventType("batch.succeeded"))
    }

    fn video(&self) -> Route {
        self.route("video").guard(EventType("video.generated"))
    }
}

type Placement = (&'static str, fn(&Parts, &mut ServiceConfig));

/// A genuine delivery and an unsigned one: statuses, answers, and the handlers that ran.
async fn drive(parts: &Parts, place: fn(&Parts, &mut ServiceConfig)) -> [(u16, String); 2] {
    let app = init_service(App::new().configure(|config| place(parts, config))).await;
    let genuine = text(call_service(&app, signed("msg_1", EVENT).to_request()).await).await;
    let unsigned = TestRequest::post().uri("/hook").set_payload(EVENT);
    let unsigned = text(call_service(&app, unsigned.to_request()).await).await;
    [genuine, unsigned]
}

fn parts() -> Parts {
    Parts {
        receiver: receiver(),
        ran: Ran::default(),
    }
}

const RIGHT: [Placement; 6] = [
    ("on the resource", |parts, config| {
        config.service(
            web::resource("/hook")
                .route(parts.video())
                .route(parts.batch())
                .route(web::post().to(acknowledge))
                .wrap(parts.middleware()),
        );
    }),
    ("on the resource, first", |parts, config| {
        config.service(
            web::resource("/hook")
                .wrap(parts.middleware())
                .route(parts.video())
                .route(parts.batch())
                .route(web::post().to(refuse)),
        );
    }),
    ("on the scope", |parts, config| {
        config.service(
            web::scope("")
                .wrap(parts.middleware())
                .service(web::resource("/hook").guard(EventType("video.generated")))
                .service(
                    web::resource("/hook")
                        .guard(EventType("batch.succeeded"))
                        .route(parts.route("batch")),
                ),
        );
    }),
    ("on a route without guards, last", |parts, config| {
        let route = parts.route("batch").wrap(parts.middleware());
        config.service(web::resource("/hook").route(route));
    }),
    ("beside a resource without it", |parts, config| {
        config
            .service(web::resource("/health").route(web::to(async || "healthy")))
            .service(
                web::resource("/hook")
                    .wrap(parts.middleware())
                    .route(parts.route("batch")),
            );
    }),
    (
        "on the resource, with no guard but `acknowledge`'s negation",
        |parts, config| {
            config.service(
                web::resource("/hook")
                    .wrap(parts.middleware())
                    .route(
                        web::post()
                            .guard(Not(EventType("batch.succeeded")))
                            .to(acknowledge),
                    )
                    .route(parts.route("batch")),
            );
        },
    ),
];

#[::actix_web::test]
async fn right_places() {
    for (name, place) in RIGHT {
        let parts = parts();
        let [genuine, unsigned] = drive(&parts, place).await;
        assert_eq!(genuine, (200, "batch".to_owned()), "{name}");
        assert_eq!(unsigned.0, 400, "{name}");
        assert_eq!(parts.ran.take(), ["batch"], "{name}");
    }
    let parts = parts();
    let app = App::new()
        .service(
            web::resource("/hook")
                .route(parts.video())
                .route(parts.batch())
                .route(web::post().to(acknowledge)),
        )
        .wrap(parts.middleware());
    let app = init_service(app).await;
    let genuine = call_service(&app, signed("msg_1", EVENT).to_request()).await;
    assert_eq!(text(genuine).await, (200, "batch".to_owned()));
    let unsigned = TestRequest::post().uri("/hook").to_request();
    assert_eq!(call_service(&app, unsigned).await.status(), 400);
    assert_eq!(parts.ran.take(), ["batch"]);
}

/// With what the answers say, to a genuine delivery and to an unsigned one.
const WRONG: [(Placement, Says); 12] = [
    (
        ("on each route, `acknowledge` without", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch().wrap(parts.middleware()))
                    .route(web::post().to(acknowledge)),
            );
        }),
        Says::Missing,
    ),
    (
        ("on each route, `refuse` without", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch().wrap(parts.middleware()))
                    .route(web::post().to(refuse)),
            );
        }),
        Says::Missing,
    ),
    (
        ("on each route, `acknowledge` too", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch().wrap(parts.middleware()))
                    .route(parts.video().wrap(parts.middleware()))
                    .route(web::post().to(acknowledge).wrap(parts.middleware())),
            );
        }),
        Says::Misplaced,
    ),
    (
        ("around `acknowledge` only", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch())
                    .route(web::post().to(acknowledge).wrap(parts.middleware())),
            );
        }),
        Says::Misplaced,
    ),
    (
        ("around `refuse` only", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch())
                    .route(web::post().to(refuse).wrap(parts.middleware())),
            );
        }),
        Says::Misplaced,
    ),
    (
        ("around another handler", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch().wrap(parts.middleware()))
                    .route(parts.route("other").wrap(parts.middleware())),
            );
        }),
        Says::Misplaced,
    ),
    (
        ("inside of a guard that is turned round", |parts, config| {
            let not = Not(EventType("video.generated"));
            let route = parts.route("other").guard(not).wrap(parts.middleware());
            config.service(web::resource("/hook").route(route));
        }),
        Says::Misplaced,
    ),
    (
        ("inside of a resource's guard", |parts, config| {
            let guarded = web::resource("/hook").guard(EventType("batch.succeeded"));
            config
                .service(guarded.route(parts.route("batch")).wrap(parts.middleware()))
                .service(
                    web::resource("/hook")
                        .route(parts.route("other"))
                        .wrap(parts.middleware()),
                );
        }),
        Says::Misplaced,
    ),
    (
        ("on each route, with no last one", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch().wrap(parts.middleware()))
                    .route(parts.video().wrap(parts.middleware())),
            );
        }),
        Says::NoRoute,
    ),
    (
        ("nowhere, with guards", |parts, config| {
            config.service(
                web::resource("/hook")
                    .route(parts.batch())
                    .route(web::post().to(acknowledge)),
            );
        }),
        Says::Missing,
    ),
    (
        ("nowhere, `acknowledge` alone", |_, config| {
            config.route("/hook", web::post().to(acknowledge));
        }),
        Says::Missing,
    ),
    (
        ("nowhere, `refuse` alone", |_, config| {
            config.route("/hook", web::post().to(refuse));
        }),
        Says::Missing,
    ),
];

#[derive(Clone, Copy, Debug)]
enum Says {
    Missing,
    Misplaced,
    /// A status of actix-web's own: nothing of this crate is reached but the guards, which log it.
    NoRoute,
}

impl Says {
    fn check(self, (status, body): &(u16, String), name: &str) {
        let (expected, words) = match self {
            Self::Missing => (500, "no `VerifyWebhook`"),
            Self::Misplaced => (500, "wrap `VerifyWebhook` around the resource"),
            Self::NoRoute => (405, ""),
        };
        assert_eq!(*status, expected, "{name}: {body}");
        assert!(body.contains(words), "{name}: {body}");
    }
}

#[::actix_web::test]
async fn wrong_places_lose_nothing_and_let_nothing_pass() {
    for ((name, place), says) in WRONG {
        let parts = parts();
        let [genuine, unsigned] = drive(&parts, place).await;
        says.check(&genuine, name);
        says.check(&unsigned, name);
        assert!(parts.ran.take().is_empty(), "{name}");
        // The app is mended, and the event comes again.
        let (_, right) = RIGHT[0];
        let [again, _] = drive(&parts, right).await;
        assert_eq!(again, (200, "batch".to_owned()), "{name}");
    }
}

/// Keeps a clone of the request, as some middleware do for their log.
async fn hold<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let held = request.request().clone();
    let response = next.call(request).await;
    drop(held);
    response
}

#[::actix_web::test]
async fn inside_of_a_middleware_that_holds_the_request() {
    let parts = parts();
    let resource = web::resource("/hook").route(parts.route("batch"));
    let app = App::new().service(resource.wrap(parts.middleware()).wrap(from_fn(hold)));
    let app = init_service(app).await;
    let genuine = call_service(&app, signed("msg_1", EVENT).to_request()).await;
    assert_eq!(text(genuine).await, (200, "batch".to_owned()));
}

/// For a token the headers have to be changed.
#[cfg(all(feature = "jwt", feature = "testing"))]
#[::actix_web::test]
async fn a_token_inside_of_a_middleware_that_holds_the_request() {
    use crate::jwks::KeySet;
    use crate::testing::{ManualClock, Rs256Signer};

    for detached in [false, true] {
        let (clock, signer) = (
            ManualClock::default(),
            Rs256Signer::generate("rsa").unwrap(),
        );
        let keys = testing::key_set([signer.jwk()]);
        let receiver = WebhookReceiver::builder()
            .clock(clock.clone())
            .jwks(KeySet::from_json(keys.as_bytes()).unwrap())
            .allow_any_google_project()
            .accept_jwt("us")
            .build()
            .unwrap();
        let token = || {
            let claims = testing::claims(EVENT, "us", clock.unix_seconds()).unwrap();
            let mut request = TestRequest::post().uri("/hook");
            for line in signer.sign("msg_1", clock.unix_seconds(), &claims) {
                request = request.append_header(line);
            }
            request.to_request()
        };
        let runs = Ran::default();
        let resource = || {
            let handler = runs.handler("ran");
            let on_event = move |event: GeminiEvent, body: web::Json<serde_json::Value>| {
                assert_eq!(body["type"], event.type_name().unwrap());
                let handler = handler.clone();
                async move { handler().await }
            };
            let mut middleware = VerifyWebhook::new(receiver.clone());
            if detached {
                middleware = middleware.finish_once_started();
            }
            web::resource("/hook")
                .route(web::post().to(on_event))
                .wrap(middleware)
        };
        let app = init_service(App::new().service(resource().wrap(from_fn(hold)))).await;
        let (status, body) = text(call_service(&app, token()).await).await;
        assert_eq!(status, 500);
        assert!(
            body.contains("keeps a clone of the `HttpRequest`"),
            "{body}"
        );
        assert!(runs.take().is_empty());
        // Its claim was released: the retry runs once the middleware is mended.
        let app = init_service(App::new().service(resource())).await;
        let answer = text(call_service(&app, token()).await).await;
        assert_eq!(answer, (200, "ran".to_owned()));
        assert_eq!(runs.take(), ["ran"]);
    }
}

/// A service inside that fails instead of answering has not handled the event.
#[::actix_web::test]
async fn an_error_of_a_middleware_inside() {
    async fn fail(_: ServiceRequest, _: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
        Err(ErrorInternalServerError("the database is down"))
    }
    /// An error too, though it is answered by a 2xx.
    async fn succeed(
        _: ServiceRequest,
        _: Next<BoxBody>,
    ) -> Result<ServiceResponse<BoxBody>, Error> {
        Err(InternalError::new("queued", StatusCode::ACCEPTED).into())
    }
    for detached in [false, true] {
        let parts = parts();
        let middleware = || {
            let middleware = parts.middleware();
            if detached {
                middleware.finish_once_started()
            } else {
                middleware
            }
        };
        let resource = || web::resource("/hook").route(parts.route("batch"));
        let failing = resource().wrap(from_fn(fail)).wrap(middleware());
        let app = init_service(App::new().service(failing)).await;
        for _ in 0..2 {
            let failed = try_call_service(&app, signed("msg_1", EVENT).to_request()).await;
            let status = failed.unwrap_err().as_response_error().status_code();
            assert_eq!(status, 500);
        }
        let app = init_service(App::new().service(resource().wrap(middleware()))).await;
        let answer = text(call_service(&app, signed("msg_1", EVENT).to_request()).await).await;
        assert_eq!(answer, (200, "batch".to_owned()), "the retry runs");

        let queueing = resource().wrap(from_fn(succeed)).wrap(middleware());
        let app = init_service(App::new().service(queueing)).await;
        let first = try_call_service(&app, signed("msg_2", EVENT).to_request()).await;
        assert_eq!(first.unwrap_err().as_response_error().status_code(), 202);
        let again = call_service(&app, signed("msg_2", EVENT).to_request()).await;
        assert_eq!(again.status(), 200, "what was answered 2xx is handled");
    }
}

/// One receiver on two levels: the inner middleware passes on what the outer one has verified.
#[::actix_web::test]
async fn twice_around_a_handler() {
    let parts = parts();
    let runs = parts.ran.clone();
    let resource = || {
        let handler = runs.handler("ran");
        let on_event = move |event: GeminiEvent, body: web::Bytes| {
            assert_eq!(event.raw(), &body);
            let handler = handler.clone();
            async move { handler().await }
        };
        web::resource("/hook")
            .wrap(parts.middleware())
            .route(web::post().guard(EventType("batch.succeeded")).to(on_event))
            .route(web::post().to(refuse))
    };
    let scope = || {
        web::scope("")
            .wrap(parts.middleware())
            .service(resource().wrap(parts.middleware()))
    };
    let app = init_service(App::new().service(scope())).await;
    let genuine = || call_service(&app, signed("msg_1", EVENT).to_request());
    assert_eq!(text(genuine().await).await, (200, "ran".to_owned()));
    assert_eq!(
        text(genuine().await).await,
        (200, String::new()),
        "a repeat"
    );
    let other = testing::SAMPLE_EVENTS[1];
    for _ in 0..2 {
        let refused = call_service(&app, signed("msg_2", other).to_request()).await;
        assert_eq!(refused.status(), 501, "neither settled nor in flight");
    }
    let unsigned = TestRequest::post().uri("/hook").to_request();
    assert_eq!(call_service(&app, unsigned).await.status(), 400);
    assert_eq!(runs.take(), ["ran"]);

    // Another receiver trusts only itself.
    let theirs = WebhookReceiver::builder()
        .signing_secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
        .build()
        .unwrap();
    let outer = web::scope("").wrap(VerifyWebhook::new(receiver()));
    let inner = web::resource("/hook").wrap(VerifyWebhook::new(theirs));
    let scope = outer.service(inner.route(parts.route("other")));
    let app = init_service(App::new().service(scope)).await;
    let foreign = call_service(&app, signed("msg_3", EVENT).to_request()).await;
    let expected = (400, r#"{"error":"signature_mismatch"}"#.to_owned());
    assert_eq!(text(foreign).await, expected);
    assert!(runs.take().is_empty());
}

/// Where it would be dropped, actix-web does not let the app start.
#[::actix_web::test]
#[should_panic(expected = "silently drop middleware")]
async fn before_the_handler_of_a_route() {
    let route = web::post().wrap(parts().middleware()).to(async || "never");
    init_service(App::new().route("/hook", route)).await;
}
