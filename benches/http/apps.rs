//! The apps that are compared: bare ones, ours, and those of peers, each as its own documentation writes it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{App, HttpResponse, HttpServer, web};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::error_handling::HandleErrorLayer;
use axum::extract::State;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{MethodRouter, post};
use axum_standardwebhooks::{SharedWebhook, StandardWebhook, Webhook};
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, MemoryGuard, ReplayGuard as _, Settled,
};
use gemini_webhooks::{
    Clock as _, DeliveryHeaders, EventKind, GeminiEvent, Keyring, Scheme, SystemClock, Verifier,
    VerifyLayer, VerifyWebhook, WebhookReceiver, testing,
};
use tower::BoxError;
use tower::util::MapRequestLayer;
use webhook_verify::actix::{VerifiedBody, WebhookConfig};
use webhook_verify::{Provider, Secret};

use crate::Error;

const PATH: &str = "/gemini-callback";

/// An app of axum.
pub(crate) fn axum(name: &str) -> Result<Router, Error> {
    let bytes = || post(async |_: Bytes| StatusCode::OK);
    let route: MethodRouter<Pieces> = match name {
        "bare" => bytes(),
        "headers" => post(check),
        "hash" => post(hash),
        "event" => post(event),
        "all by hand" => post(all_by_hand),
        "same work" => bytes().layer(VerifyLayer::new(receiver(false)?)),
        "without a guard" => post(on_event).layer(VerifyLayer::new(receiver(false)?)),
        "all of it" => post(on_event).layer(VerifyLayer::new(receiver(true)?)),
        "webhook-verify" => {
            let secret = Secret::new(testing::SECRET);
            let layer = webhook_verify::tower::VerifyLayer::new(Provider::StandardWebhooks, secret);
            // Its documentation hands it to axum as it is, which does not compile: its errors are none of
            // axum's, and with axum's body the layer is neither `Clone` nor `Sync`.
            let errors = HandleErrorLayer::new(async |_: BoxError| StatusCode::BAD_REQUEST);
            let body = MapRequestLayer::new(|request: Request<Bytes>| request.map(Body::from));
            bytes().layer((errors, layer, body))
        }
        "axum-standardwebhooks" => {
            let webhook = SharedWebhook::new(Webhook::new(testing::SECRET)?);
            let route = post(async |_: StandardWebhook<Bytes>| StatusCode::OK);
            return Ok(Router::new().route(PATH, route).with_state(webhook));
        }
        other => return Err(format!("no app is called {other:?}").into()),
    };
    let pieces = Pieces {
        verifier: Verifier::new(Keyring::new(testing::SECRET.parse()?)),
        guard: Arc::new(guard()),
    };
    Ok(Router::new().route(PATH, route).with_state(pieces))
}

/// With room for all that is sent.
fn guard() -> MemoryGuard {
    MemoryGuard::new().with_capacity(10_000_000)
}

fn receiver(guarded: bool) -> Result<WebhookReceiver, Error> {
    let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
    let builder = if guarded {
        builder.guard("bench", guard())
    } else {
        builder.without_replay_protection()
    };
    Ok(builder.build()?)
}

async fn on_event(event: GeminiEvent) -> StatusCode {
    status(is_batch(&event))
}

fn is_batch(event: &GeminiEvent) -> bool {
    matches!(event.kind(), EventKind::BatchSucceeded(batch) if batch.id().is_some())
}

fn status(good: bool) -> StatusCode {
    if good {
        StatusCode::OK
    } else {
        StatusCode::BAD_REQUEST
    }
}

/// What handlers are made of that do without the layer.
#[derive(Clone)]
pub(crate) struct Pieces {
    verifier: Verifier,
    guard: Arc<MemoryGuard>,
}

async fn check(State(pieces): State<Pieces>, headers: HeaderMap, _: Bytes) -> StatusCode {
    let headers = DeliveryHeaders::from(&headers);
    status(pieces.verifier.check(&headers, SystemClock.now()).is_ok())
}

async fn hash(State(pieces): State<Pieces>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let headers = DeliveryHeaders::from(&headers);
    let verified = pieces.verifier.verify(&headers, &body, SystemClock.now());
    status(verified.is_ok())
}

async fn event(State(pieces): State<Pieces>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let headers = DeliveryHeaders::from(&headers);
    let verified = pieces.verifier.verify(&headers, &body, SystemClock.now());
    let verified = verified.is_ok();
    status(verified && is_batch(&GeminiEvent::parse(body)))
}

/// The floor: nothing that the layer checks is left out, but what it bounds and logs is.
async fn all_by_hand(State(pieces): State<Pieces>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let headers = DeliveryHeaders::from(&headers);
    let verified = pieces.verifier.verify(&headers, &body, SystemClock.now());
    let Ok(verified) = verified else {
        return StatusCode::BAD_REQUEST;
    };
    let key = ClaimKey::new("bench", Scheme::V1, verified.id());
    let (token, guard) = (ClaimToken::generate(), &pieces.guard);
    let claimed = guard.claim(&key, token, Duration::from_secs(60)).await;
    if !matches!(claimed, Ok(Claimed::Claimed)) {
        return StatusCode::CONFLICT;
    }
    let good = is_batch(&GeminiEvent::parse(body));
    let day = Duration::from_secs(25 * 60 * 60);
    let settled = guard.settle(&key, token, day).await;
    status(good && matches!(settled, Ok(Settled::Settled)))
}

/// Serves an app of actix-web, with one worker.
pub(crate) fn serve_actix(name: &str) -> Result<(), Error> {
    let name = name.to_owned();
    let (same_work, all) = (receiver(false)?, receiver(true)?);
    let server = HttpServer::new(move || {
        let (app, bytes) = (App::new(), web::resource(PATH));
        match name.as_str() {
            "actix all of it" => {
                let layer = VerifyWebhook::new(all.clone());
                let route = web::post().to(async |event: GeminiEvent| answer(is_batch(&event)));
                app.service(bytes.wrap(layer).route(route))
            }
            "actix same work" => {
                let layer = VerifyWebhook::new(same_work.clone());
                let route = web::post().to(async |_: web::Bytes| answer(true));
                app.service(bytes.wrap(layer).route(route))
            }
            "actix webhook-verify" => {
                let secret = Secret::new(testing::SECRET);
                app.app_data(WebhookConfig::new(Provider::StandardWebhooks, secret))
                    .route(PATH, web::post().to(async |_: VerifiedBody| answer(true)))
            }
            // What is not known answers all with 404, at which the sender stops.
            "actix bare" => {
                app.service(bytes.route(web::post().to(async |_: web::Bytes| answer(true))))
            }
            _ => app,
        }
    });
    let server = server.workers(1).bind(("127.0.0.1", 0))?;
    let address = server.addrs().first().copied().ok_or("no address")?;
    println!("{address}");
    std::io::stdout().flush()?;
    actix_web::rt::System::new().block_on(server.run())?;
    Ok(())
}

fn answer(good: bool) -> HttpResponse {
    if good {
        HttpResponse::Ok().finish()
    } else {
        HttpResponse::BadRequest().finish()
    }
}
