//! The HTTP side: requests in, answers or faults out.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use reqwest::Url;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::call::{Call, route};
use super::fault::Fault;
use super::refusal::{Answered, Refusal};
use super::time::Now;
use super::webhooks::Webhooks;
use super::{Shared, State, batches, fields, interactions, videos};

/// More than any request that a test makes; inline batches are the longest.
const MAX_BODY_BYTES: usize = 20 * 1024 * 1024;

/// A request that the mock received.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Received {
    /// Which call it is; `None` for one that the service does not have.
    pub call: Option<Call>,
    /// The method, such as `POST`.
    pub method: String,
    /// The path, as it was sent.
    pub path: String,
    /// The query, as it was sent, without the question mark.
    pub query: Option<String>,
    /// The body.
    pub body: Bytes,
}

/// The connection is closed without an answer.
#[derive(Debug)]
struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the mock was told to hang up")
    }
}

impl std::error::Error for HungUp {}

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    // Dropped with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files: some may be closed soon.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&shared), request));
            // Fails when a client leaves, or where the mock hangs up on it.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Sent>, HungUp> {
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY_BYTES).collect().await else {
        return Ok(shared.refuse(&Refusal::new(
            413,
            "Request payload size exceeds the limit.",
        )));
    };
    let body = body.to_bytes();
    let path = head.uri.path();
    let routed = route(&head.method, path);
    let call = routed.map(|(call, _)| call);
    let fault = shared.with(|state, _| {
        state.received.push(Received {
            call,
            method: head.method.to_string(),
            path: path.to_owned(),
            query: head.uri.query().map(str::to_owned),
            body: body.clone(),
        });
        call.and_then(|call| state.take_fault(call))
    });
    match &fault {
        Some(Fault::Status(status)) => {
            return Ok(shared.refuse(&Refusal::new(*status, "The mock was told to fail.")));
        }
        Some(Fault::RetryAfter(status, after)) => {
            let mut response = shared.refuse(&Refusal::new(*status, "The mock was told to fail."));
            if let Ok(after) = after.parse() {
                response.headers_mut().insert(RETRY_AFTER, after);
            }
            return Ok(response);
        }
        Some(Fault::Body(status, body)) => return Ok(response(*status, body.clone().into())),
        Some(Fault::CloseBefore) => return Err(HungUp),
        _ => {}
    }

    let answered = match routed {
        None => Err(Refusal::new(404, "There is no such method.")),
        Some((Call::Keys, _)) => Ok(None),
        Some((call, subject)) => {
            let project = shared.project(&head.headers);
            project.and_then(|project| {
                let query = pairs(head.uri.query().unwrap_or_default());
                shared.with(|state, now| {
                    let order = Order {
                        project,
                        subject,
                        query: &query,
                        body: &body,
                    };
                    carry_out(state, now, call, &order).map(Some)
                })
            })
        }
    };
    shared.send_due();
    let mut response = match answered {
        Err(refusal) => shared.refuse(&refusal),
        Ok(None) => shared.with(|state, _| state.keys_response()),
        Ok(Some(json)) => response(200, json.to_string().into()),
    };
    match fault {
        Some(Fault::CloseAfter) => return Err(HungUp),
        Some(Fault::NoAnswer) => std::future::pending().await,
        Some(Fault::Truncated) => response.body_mut().truncate(),
        Some(Fault::Oversized(bytes)) => response.body_mut().pad(bytes),
        _ => {}
    }
    Ok(response)
}

struct Order<'r> {
    project: usize,
    subject: &'r str,
    query: &'r [(String, String)],
    body: &'r [u8],
}

fn carry_out(state: &mut State, now: Now, call: Call, order: &Order<'_>) -> Answered {
    let Order {
        project,
        subject,
        query,
        body,
    } = *order;
    let has_parameters = matches!(
        call,
        Call::WebhooksList | Call::WebhooksUpdate | Call::BatchesList | Call::InteractionsGet
    );
    if !has_parameters {
        fields::only(query.iter().map(|(name, _)| name), &[])?;
    }
    let webhooks = |state| Webhooks {
        state,
        project,
        now,
    };
    match call {
        Call::WebhooksCreate => webhooks(state).create(body),
        Call::WebhooksGet => webhooks(state).get(subject),
        Call::WebhooksList => webhooks(state).list(query),
        Call::WebhooksUpdate => webhooks(state).update(subject, query, body),
        Call::WebhooksDelete => webhooks(state).delete(subject),
        Call::WebhooksRotate => webhooks(state).rotate(subject, body),
        Call::WebhooksPing => webhooks(state).ping(subject, body),
        Call::BatchesCreate => batches::create(state, project, subject, body, now),
        Call::BatchesGet => batches::get(state, project, subject),
        Call::BatchesList => batches::list(state, project, query),
        Call::InteractionsCreate => interactions::create(state, project, body, now),
        Call::InteractionsGet => interactions::get(state, project, subject, query),
        Call::TriggersCreate => interactions::create_trigger(state, project, body, now),
        Call::VideosCreate => videos::create(state, project, subject, body),
        Call::VideosGet => videos::get(state, project, subject),
        Call::Keys => Err(Refusal::new(404, "The keys are no method.")),
    }
}

impl Shared {
    /// Each API key is a project of its own.
    fn project(&self, headers: &HeaderMap) -> Result<usize, Refusal> {
        let mut given = headers.get_all("x-goog-api-key").iter();
        let (Some(key), None) = (given.next(), given.next()) else {
            return Err(Refusal::no_api_key());
        };
        let project = self.api_keys.iter().position(|known| key == known.as_str());
        project.ok_or_else(Refusal::wrong_api_key)
    }

    fn refuse(&self, refusal: &Refusal) -> Response<Sent> {
        let body = self.with(|state, _| refusal.body(state.error_shape));
        response(refusal.status, body.to_string().into())
    }
}

impl State {
    fn keys_response(&self) -> Response<Sent> {
        let mut response = response(200, self.keys.json().into());
        if let Some(Ok(value)) = self.keys.cache_control.as_deref().map(str::parse) {
            response.headers_mut().insert(CACHE_CONTROL, value);
        }
        response
    }
}

fn response(status: u16, body: Bytes) -> Response<Sent> {
    let mut response = Response::new(Sent::new(body));
    let status = StatusCode::from_u16(status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let json = hyper::header::HeaderValue::from_static("application/json; charset=UTF-8");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// The parameters of a query, decoded.
fn pairs(query: &str) -> Vec<(String, String)> {
    let url = Url::parse(&format!("http://localhost/?{query}"));
    url.map_or_else(
        |_| Vec::new(),
        |url| url.query_pairs().into_owned().collect(),
    )
}

/// A body that may end before it is whole.
struct Sent {
    bytes: Bytes,
    /// What the head promises and never comes.
    missing: usize,
    has_paused: bool,
}

impl Sent {
    fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            missing: 0,
            has_paused: false,
        }
    }

    fn truncate(&mut self) {
        let half = self.bytes.len() / 2;
        self.missing = self.bytes.split_off(half).len();
    }

    fn pad(&mut self, bytes: usize) {
        self.bytes = [&*self.bytes, &vec![b' '; bytes]].concat().into();
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = HungUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HungUp>>> {
        if !self.bytes.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.bytes)))));
        }
        if self.missing == 0 {
            return Poll::Ready(None);
        }
        if !self.has_paused {
            // hyper sends what it has before it asks again.
            self.has_paused = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Some(Err(HungUp)))
    }

    fn size_hint(&self) -> SizeHint {
        let whole = self.bytes.len() + self.missing;
        SizeHint::with_exact(u64::try_from(whole).unwrap_or(u64::MAX))
    }
}
