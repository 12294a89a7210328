//! Serves a page on loopback to the user of this machine, and to nobody else.
//!
//! The page is HTML, CSS and JavaScript that are part of the program. It gets its data from an API under `/api`. Each
//! request passes the [guard](guard). A page's script imports `/shared.js`, which sends the token with each call and
//! puts text from elsewhere into the page as text; its HTML names `/shared.css`, `/page.css` and `/page.js`.

mod guard;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use crate::exit::Failure;
use crate::serve::{self, Limits};
use guard::Guard;

const SHARED_STYLE: &str = include_str!("assets/shared.css");
const SHARED_SCRIPT: &str = include_str!("assets/shared.js");
const ICON: &str = include_str!("assets/icon.svg");

/// A browser opens six connections to a host, and a user may have some tabs.
const LIMITS: Limits = Limits {
    connections: 64,
    head_time: Duration::from_secs(30),
    grace: Duration::from_millis(500),
};

/// Scripts and styles come from the program only, nothing is written into the page as HTML, and nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What a page is made of.
#[derive(Debug)]
pub(crate) struct Page {
    /// The page itself, at `/`.
    pub(crate) html: &'static str,
    /// Its script, at `/page.js`. It is a module.
    pub(crate) script: &'static str,
    /// What it adds to the shared style, at `/page.css`.
    pub(crate) style: &'static str,
    /// What its script calls, under `/api`.
    pub(crate) api: Router,
}

/// Opens the port of a page. Only loopback addresses are taken: whoever else could reach the page could try tokens.
pub(crate) async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    if !serve::is_loopback(address.ip()) {
        return Err(Failure::unusable(format!(
            "the page is for this machine only, and {} is not an address of its loopback: give 127.0.0.1:PORT",
            address.ip()
        )));
    }
    serve::bind(address).await
}

/// Returns the page's URL, which carries the token, and the server, which runs until `stop` is done.
///
/// An answer of the API that waits for something new has to end by itself when the program stops: what is in flight
/// then is cut off after half a second.
pub(crate) fn serve(
    listener: TcpListener,
    page: Page,
    stop: impl Future<Output = ()>,
) -> Result<(String, impl Future<Output = ()>), Failure> {
    let address = serve::address(&listener)?;
    let guard = Guard::new(address)?;
    let url = guard.url(address);
    let service = TowerToHyperService::new(router(page, guard));
    Ok((url, serve::serve(listener, service, LIMITS, stop)))
}

fn router(page: Page, guard: Guard) -> Router {
    let asset = |kind: &'static str, text: &'static str| {
        get(move || std::future::ready(([(CONTENT_TYPE, kind)], text)))
    };
    Router::new()
        .route("/", asset("text/html; charset=utf-8", page.html))
        .route(
            "/page.js",
            asset("text/javascript; charset=utf-8", page.script),
        )
        .route("/page.css", asset("text/css; charset=utf-8", page.style))
        .route(
            "/shared.js",
            asset("text/javascript; charset=utf-8", SHARED_SCRIPT),
        )
        .route(
            "/shared.css",
            asset("text/css; charset=utf-8", SHARED_STYLE),
        )
        .route("/icon.svg", asset("image/svg+xml", ICON))
        .nest("/api", page.api)
        .fallback(|| std::future::ready((StatusCode::NOT_FOUND, "not found\n")))
        .layer(middleware::from_fn_with_state(guard, guarded))
}

/// Lets a request pass if the guard does, and adds the headers that each answer has.
async fn guarded(
    State(guard): State<Guard>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    let passed = guard.check(request.method(), request.uri(), request.headers());
    let mut answer = match passed {
        Ok(()) => next.run(request).await,
        Err(refused) => (refused.status(), format!("{refused}\n")).into_response(),
    };
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-embedder-policy"),
            "require-corp",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        answer
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    answer
}
