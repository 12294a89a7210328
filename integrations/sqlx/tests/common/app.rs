//! An app behind a `VerifyLayer`, and deliveries to it.

use std::pin::Pin;

use bytes::Bytes;
use gemini_webhooks::replay::ReplayGuard;
use gemini_webhooks::{Clock as _, SystemClock, WebhookReceiverBuilder, testing};
use gemini_webhooks::{Delivery, VerifyError, VerifyErrorKind, VerifyLayer, WebhookReceiver};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::{BoxError, Layer as _, ServiceExt as _, service_fn};

const EVENT: &str = testing::SAMPLE_EVENTS[0];

/// What a handler answers. An error is one of the app's, such as that of a transaction.
pub(crate) type Answered = Result<u16, BoxError>;

/// What a delivery was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: Option<VerifyErrorKind>,
}

pub(crate) const HANDLED: Answer = Answer {
    status: 200,
    kind: None,
};

pub(crate) const IN_FLIGHT: Answer = Answer {
    status: 409,
    kind: Some(VerifyErrorKind::InFlight),
};

pub(crate) const NOT_SETTLED: Answer = Answer {
    status: 503,
    kind: Some(VerifyErrorKind::NotSettled),
};

#[derive(Clone)]
pub(crate) struct App {
    receiver: WebhookReceiver,
}

impl App {
    pub(crate) fn new(guard: impl ReplayGuard) -> Self {
        Self::with(|builder| builder.guard("test", guard))
    }

    pub(crate) fn with(
        configure: impl FnOnce(WebhookReceiverBuilder) -> WebhookReceiverBuilder,
    ) -> Self {
        let builder = WebhookReceiver::builder().signing_secret(testing::SECRET);
        Self {
            receiver: configure(builder).build().unwrap(),
        }
    }

    /// Delivers the event to the handler. An error of the handler is answered 500.
    pub(crate) async fn deliver<F>(
        &self,
        id: &str,
        handler: impl Fn(Delivery) -> F + Clone + Send + 'static,
    ) -> Answer
    where
        F: Future<Output = Answered> + Send + 'static,
    {
        let inner = service_fn(move |request: Request<Full<Bytes>>| {
            let delivery: &Delivery = request.extensions().get().unwrap();
            let answer = handler(delivery.clone());
            Box::pin(async move {
                let mut response = Response::new(Full::<Bytes>::default());
                *response.status_mut() = StatusCode::from_u16(answer.await.unwrap_or(500))?;
                Ok::<_, BoxError>(response)
            }) as Pin<Box<dyn Future<Output = _> + Send>>
        });
        let service = VerifyLayer::new(self.receiver.clone()).layer(inner);
        let response = service.oneshot(request(id)).await.unwrap();
        let kind = response.extensions().get().map(VerifyError::kind);
        Answer {
            status: response.status().as_u16(),
            kind,
        }
    }
}

fn request(id: &str) -> Request<Full<Bytes>> {
    let mut request = Request::post("/").body(Full::from(EVENT)).unwrap();
    let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
    let secret = testing::SECRET.parse().unwrap();
    for (name, value) in testing::sign_v1(&secret, id, now.unwrap().as_secs(), EVENT) {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}
