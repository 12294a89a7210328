//! The ways into a handler that this crate has.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use actix_web::dev::Service as _;
use actix_web::error::PayloadError;
use actix_web::{App, HttpRequest, HttpResponse, web};
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_core::Stream;
use gemini_webhooks::adapter::{Arrival, Finished, Received, Run};
use gemini_webhooks::{
    Delivery, DeliveryHeaders, GeminiEvent, VerifyError, VerifyLayer, VerifyWebhook,
    WebhookReceiver,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::rig::{Answered, BodyHeaders, Handler, Parts, Rig, Sent, body_headers};

/// The receiver, without any adapter.
pub(crate) struct Bare;

impl Rig for Bare {
    async fn exchange(
        &self,
        receiver: &WebhookReceiver,
        sent: &Sent,
        handler: Handler,
    ) -> Answered {
        let refused = |error: VerifyError| Answered {
            status: error.status(),
            body: format!(r#"{{"error":"{}"}}"#, error.kind().code()).into(),
            content_type: Some("application/json".to_owned()),
            retry_after: error.retry_after().is_some(),
            allow: (error.status() == 405).then(|| "POST".to_owned()),
        };
        let answered = |status| Answered {
            status,
            body: Bytes::new(),
            content_type: None,
            retry_after: false,
            allow: None,
        };
        if sent.method != "POST" {
            return refused(receiver.method_not_allowed(sent.method));
        }
        let headers = DeliveryHeaders::from_lines(sent.headers.iter().map(|(n, v)| (n, v)));
        let length = sent.headers.iter().find_map(|(name, value)| {
            let value = (name == "content-length").then_some(value)?;
            std::str::from_utf8(value).ok()?.parse().ok()
        });
        let outcome = async {
            let intake = receiver.admit(&sent.target, &headers, length)?;
            let (mut parts, mut arrival) = (Parts::new(&sent.body), pin!(Arrival::new(intake)));
            let finish = std::future::poll_fn(|cx| arrival.as_mut().poll(cx, |cx| parts.poll(cx)));
            let received = match finish.await?.await? {
                Finished::Run(received) => received,
                Finished::Repeat => return Ok(200),
            };
            let mut lines = sent.headers.clone();
            for (name, value) in received.header_corrections() {
                lines.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                lines.extend(value.map(|value| (name.to_owned(), value.into_bytes())));
            }
            let lines = lines.iter();
            let seen = body_headers(lines.map(|(name, value)| (name.as_str(), value.as_slice())));
            let Received {
                event,
                delivery,
                body,
                flight,
                ..
            } = received;
            let called = handler.called(&delivery, &event, seen, body);
            Run::new(called, flight, |status| Some(*status)).await
        };
        outcome.await.map_or_else(refused, answered)
    }
}

fn request<B>(sent: &Sent, body: B) -> Request<B> {
    let mut request = Request::new(body);
    *request.method_mut() = sent.method.parse().unwrap();
    *request.uri_mut() = sent.target.parse().unwrap();
    for (name, value) in &sent.headers {
        let name: HeaderName = name.parse().unwrap();
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append(name, value);
    }
    request
}

fn seen(headers: &HeaderMap) -> BodyHeaders {
    let lines = headers.iter();
    body_headers(lines.map(|(name, value)| (name.as_str(), value.as_bytes())))
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(headers.get(name)?.to_str().unwrap().to_owned())
}

/// Whether the sender is told to wait: for as long as chance says, within bounds.
fn waits(retry_after: Option<String>) -> bool {
    retry_after.is_some_and(|after| (5..=180).contains(&after.parse::<u32>().unwrap()))
}

/// Of a service that speaks `http`: the error is in the extensions, and tells the same story.
async fn answered<B>(response: Response<B>) -> Answered
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug>,
{
    let (head, body) = response.into_parts();
    let answered = Answered {
        status: head.status.as_u16(),
        body: body.collect().await.unwrap().to_bytes(),
        content_type: text(&head.headers, "content-type"),
        retry_after: waits(text(&head.headers, "retry-after")),
        allow: text(&head.headers, "allow"),
    };
    match head.extensions.get::<VerifyError>() {
        Some(error) => says(&answered, error),
        None => assert!(answered.body.is_empty(), "{answered:?}"),
    }
    answered
}

fn says(answered: &Answered, error: &VerifyError) {
    assert_eq!(answered.status, error.status());
    let code = format!(r#"{{"error":"{}"}}"#, error.kind().code());
    assert_eq!(answered.body, code);
}

/// `VerifyLayer` around a plain service.
pub(crate) struct Tower;

impl Rig for Tower {
    async fn exchange(
        &self,
        receiver: &WebhookReceiver,
        sent: &Sent,
        handler: Handler,
    ) -> Answered {
        let inner = service_fn(move |request: Request<Full<Bytes>>| {
            let handler = handler.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let delivery = head.extensions.get().unwrap();
                let event = head.extensions.get().unwrap();
                let mut response = Response::new(Full::<Bytes>::default());
                let seen = seen(&head.headers);
                let status = handler.called(delivery, event, seen, body).await;
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                Ok::<_, Infallible>(response)
            }
        });
        let service = VerifyLayer::new(receiver.clone()).layer(inner);
        let request = request(sent, Parts::new(&sent.body));
        answered(service.oneshot(request).await.unwrap()).await
    }
}

/// A route of an axum app.
pub(crate) struct Axum;

impl Rig for Axum {
    async fn exchange(
        &self,
        receiver: &WebhookReceiver,
        sent: &Sent,
        handler: Handler,
    ) -> Answered {
        let on_event =
            async move |delivery: Delivery, event: GeminiEvent, headers: HeaderMap, body: Bytes| {
                let called = handler.called(&delivery, &event, seen(&headers), body);
                StatusCode::from_u16(called.await).unwrap()
            };
        let app: Router = Router::new()
            .fallback(on_event)
            .layer(VerifyLayer::new(receiver.clone()));
        let request = request(sent, Body::new(Parts::new(&sent.body)));
        answered(app.oneshot(request).await.unwrap()).await
    }
}

/// A resource of an actix-web app.
pub(crate) struct Actix;

impl Rig for Actix {
    async fn exchange(
        &self,
        receiver: &WebhookReceiver,
        sent: &Sent,
        handler: Handler,
    ) -> Answered {
        let on_event = move |delivery: Delivery,
                             event: GeminiEvent,
                             request: HttpRequest,
                             body: web::Bytes| {
            let handler = handler.clone();
            async move {
                let lines = request.headers().iter();
                let seen =
                    body_headers(lines.map(|(name, value)| (name.as_str(), value.as_bytes())));
                let status = handler.called(&delivery, &event, seen, body).await;
                HttpResponse::new(actix_web::http::StatusCode::from_u16(status).unwrap())
            }
        };
        let route = web::resource("/{tail:.*}")
            .wrap(VerifyWebhook::new(receiver.clone()))
            .default_service(web::to(on_event));
        let app = actix_web::test::init_service(App::new().service(route)).await;
        let mut request = actix_web::test::TestRequest::with_uri(&sent.target)
            .method(sent.method.parse().unwrap());
        for (name, value) in &sent.headers {
            let value = actix_web::http::header::HeaderValue::from_bytes(value).unwrap();
            request = request.append_header((name.as_str(), value));
        }
        let (request, _) = request
            .to_request()
            .replace_payload(actix_web::dev::Payload::Stream {
                payload: Box::pin(Stated(Parts::new(&sent.body))) as Pin<Box<dyn Stream<Item = _>>>,
            });
        let response = match app.call(request).await {
            Ok(response) => response.map_into_boxed_body(),
            // As the server does with it.
            Err(error) => {
                let response = HttpResponse::from_error(error);
                let request = actix_web::test::TestRequest::default().to_http_request();
                actix_web::dev::ServiceResponse::new(request, response)
            }
        };
        let header = |name| {
            let value = response.headers().get(name)?;
            Some(value.to_str().unwrap().to_owned())
        };
        let (retry_after, allow) = (header("retry-after"), header("allow"));
        let content_type = header("content-type");
        let error = response
            .response()
            .error()
            .and_then(|error| error.as_error::<VerifyError>())
            .cloned();
        let answered = Answered {
            status: response.status().as_u16(),
            content_type,
            retry_after: waits(retry_after),
            allow,
            body: actix_web::test::read_body(response).await,
        };
        match error {
            Some(error) => says(&answered, &error),
            None => assert!(answered.body.is_empty(), "{answered:?}"),
        }
        answered
    }
}

struct Stated(Parts);

impl Stream for Stated {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let incomplete = |_| PayloadError::Incomplete(None);
        self.0.poll(cx).map_err(incomplete)
    }
}
