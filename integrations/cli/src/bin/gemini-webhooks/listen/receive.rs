//! What becomes of a request.

use std::sync::Arc;
use std::time::SystemTime;

use axum::body::Body;
use axum::http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use bytes::Bytes;
use gemini_webhooks::{Clock as _, SystemClock, VerifyErrorKind};
use gemini_webhooks_cli::Capture;
use hyper::body::Incoming;

use super::delivery::{Answer, Delivery, Unread, Verdict};
use super::forward::App;
use super::intake;
use super::judge::Judge;
use super::kept::Kept;
use super::output::Output;

/// The receiver behind the tunnel.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) judge: Judge,
    pub(super) limits: intake::Limits,
    pub(super) app: Option<App>,
    pub(super) forward_refused: bool,
    /// For the page.
    pub(super) kept: Option<Kept>,
    pub(super) output: Output,
}

impl Receiver {
    /// Receives a request, shows it, and returns the answer.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let in_flight = self.output.begin();
        let at = SystemClock.now();
        let (head, mut body) = request.into_parts();
        let read = if head.method == Method::POST {
            intake::read(&mut body, self.limits).await
        } else {
            let reason = "a delivery is a POST: this is a browser, a health check or a scanner";
            Err(Unread::new(
                VerifyErrorKind::MethodNotAllowed,
                reason.to_owned(),
            ))
        };
        let mut delivery = Delivery {
            number: in_flight.number,
            at,
            method: head.method.to_string(),
            target: head
                .uri
                .path_and_query()
                .map_or_else(|| "/".to_owned(), ToString::to_string),
            headers: head.headers,
            body: Bytes::new(),
            verdict: Verdict::Unread(Unread::new(VerifyErrorKind::BodyIncomplete, String::new())),
            repeat_of: None,
            answered: 0,
            app: None,
        };
        let mut can_go_on = true;
        match read {
            Ok(bytes) => {
                delivery.body = bytes;
                self.compare(&mut delivery, at).await;
            }
            Err(unread) => {
                can_go_on = intake::drain(&mut body, &delivery.headers, unread.kind).await;
                delivery.verdict = Verdict::Unread(unread);
            }
        }
        self.forward(&mut delivery).await;
        let mut answer = answer_to(&delivery);
        if !can_go_on {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        delivery.answered = answer.status().as_u16();
        self.output.delivery(&delivery);
        if let Some(kept) = &self.kept {
            kept.add(delivery);
        }
        answer
    }

    async fn compare(&self, delivery: &mut Delivery, at: SystemTime) {
        let headers = delivery
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()));
        let capture = Capture::new(headers, delivery.body.clone())
            .with_request_line(&delivery.method, &delivery.target);
        let diagnosis = self.judge.verdict(&capture, at).await;
        if let Some(accepted) = diagnosis.accepted() {
            let first = self
                .judge
                .first_with(accepted.webhook_id(), delivery.number);
            delivery.repeat_of = first;
        }
        delivery.verdict = Verdict::Diagnosed(diagnosis);
    }

    /// Passes it to the app, if it may.
    async fn forward(&self, delivery: &mut Delivery) {
        let Some(app) = &self.app else {
            return;
        };
        // What was not read to its end has no body to pass on.
        if delivery.is_whole() && (delivery.is_verified() || self.forward_refused) {
            let sent = app.send(&delivery.target, &delivery.headers, delivery.body.clone());
            delivery.app = Some(sent.await);
        }
    }

    /// Sends a kept delivery to the app once more.
    pub(super) async fn send_again(&self, app: &App, delivery: &Arc<Delivery>) -> Answer {
        let sent = app.send(&delivery.target, &delivery.headers, delivery.body.clone());
        let answer = sent.await;
        self.output.sent_again(delivery.number, &answer);
        answer
    }
}

/// What the sender gets: the app's answer, or that of a receiver.
fn answer_to(delivery: &Delivery) -> Response<Body> {
    match (&delivery.app, &delivery.verdict) {
        (
            Some(Answer {
                outcome: Ok(given), ..
            }),
            _,
        ) => {
            let mut answer = Response::new(Body::from(given.body.clone()));
            *answer.status_mut() = status(given.status);
            *answer.headers_mut() = given.headers.clone();
            // The body may have been cut.
            answer.headers_mut().remove(CONTENT_LENGTH);
            answer
        }
        (
            Some(Answer {
                outcome: Err(none), ..
            }),
            _,
        ) => refusal(none.status, none.code),
        (None, Verdict::Unread(unread)) => {
            let mut answer = refusal(unread.status(), unread.kind.code());
            if unread.kind == VerifyErrorKind::MethodNotAllowed {
                let post = HeaderValue::from_static("POST");
                answer.headers_mut().insert(ALLOW, post);
            }
            answer
        }
        (None, Verdict::Diagnosed(diagnosis)) => match diagnosis.refusal() {
            Some(refused) => refusal(refused.status(), refused.code()),
            None => json(200, r#"{"status":"received"}"#.to_owned()),
        },
    }
}

fn refusal(status: u16, code: &str) -> Response<Body> {
    json(status, serde_json::json!({ "error": code }).to_string())
}

fn json(code: u16, text: String) -> Response<Body> {
    let mut answer = Response::new(Body::from(text));
    *answer.status_mut() = status(code);
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn status(code: u16) -> StatusCode {
    // A server or a diagnosis has no other.
    StatusCode::from_u16(code).unwrap_or(StatusCode::BAD_GATEWAY)
}
