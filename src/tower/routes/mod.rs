use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower_service::Service;

use super::{MissingVerifyLayer, ResponseBody};
use crate::error::ConfigError;
use crate::event::{GeminiEvent, Payload, present_name};
use crate::eventual::Eventual;
use crate::trace;

/// A service that [`EventRoutes`] can call: the bounds it needs, in one name.
///
/// Every service with these bounds implements it, so there is nothing to implement. In axum, a
/// `MethodRouter` such as `post(handler)` does, and so does a `Router`.
#[diagnostic::on_unimplemented(
    message = "events cannot go to `{Self}`",
    note = "if it is a `MethodRouter` or `Router` of axum with a state, call `.with_state(…)` on it",
    note = "otherwise it must be a `Service<Request<Full<Bytes>>>` that is `Clone + Send + Sync + 'static`"
)]
pub trait EventService<B, E>:
    Service<Request<Full<Bytes>>, Response = Response<B>, Error = E, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S, B, E> EventService<B, E> for S where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = E, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static
{
}

/// Builds a service that calls another service for each type of event.
///
/// It replaces a `match` in one handler. Add a route for each type that you handle, then say what
/// happens to the others: that returns an [`EventRouter`]. Put it directly inside of a
/// [`VerifyLayer`](super::VerifyLayer). The [module](super#routes-by-type) has an example, and the
/// module `axum` has [one for axum](crate::axum#routes-by-type).
///
/// All services must have the same types of response body and error. Those of axum have: a
/// `MethodRouter` such as `post(handler)`, or a `Router`. If a handler has a state, call
/// `with_state` on its router first.
#[must_use = "it becomes a service by saying what becomes of other events"]
pub struct EventRoutes<B, E> {
    calls: BTreeMap<Cow<'static, str>, Call<B, E>>,
    twice: Option<String>,
}

impl<B: 'static, E: 'static> EventRoutes<B, E> {
    /// Starts without routes.
    pub fn new() -> Self {
        Self {
            calls: BTreeMap::new(),
            twice: None,
        }
    }

    /// Passes events with the payload `P` to `service`.
    ///
    /// Their type is recognised by its present name and by older ones.
    pub fn on<P: Payload>(self, service: impl EventService<B, E>) -> Self {
        self.on_type(P::TYPE_NAME, service)
    }

    /// Passes events of the type `type_name` to `service`, for types that have no [`Payload`] here.
    ///
    /// A misspelled name is not noticed, because it could be a type that Google will add. So prefer
    /// [`on`](Self::on), where the compiler checks the name.
    pub fn on_type(
        mut self,
        type_name: impl Into<Cow<'static, str>>,
        service: impl EventService<B, E>,
    ) -> Self {
        let type_name = match type_name.into() {
            Cow::Borrowed(name) => Cow::Borrowed(present_name(name)),
            Cow::Owned(name) => Cow::Owned(present_name(&name).to_owned()),
        };
        let again = self.calls.contains_key(&type_name);
        if again && self.twice.is_none() {
            self.twice = Some(type_name.clone().into_owned());
        }
        self.calls.insert(type_name, call(service));
        self
    }

    /// Answers 200 to events that no route takes, and counts them as handled.
    ///
    /// Use it if other events are of no interest.
    ///
    /// # Errors
    ///
    /// [`ConfigError::RouteTwice`] if two routes take the same type.
    pub fn otherwise_acknowledge(self) -> Result<EventRouter<B, E>, ConfigError> {
        self.build(Otherwise::Answer(StatusCode::OK))
    }

    /// Answers 501 to events that no route takes.
    ///
    /// Google then sends them again for 24 hours (Google's guide, copies up to 2026-10-05), so
    /// there is a day to deploy a route for them. Repeated failures switch a webhook off: subscribe
    /// to the events that you handle only.
    ///
    /// # Errors
    ///
    /// [`ConfigError::RouteTwice`] if two routes take the same type.
    pub fn otherwise_refuse(self) -> Result<EventRouter<B, E>, ConfigError> {
        self.build(Otherwise::Answer(StatusCode::NOT_IMPLEMENTED))
    }

    /// Passes events that no route takes to `service`, also those without a type.
    ///
    /// # Errors
    ///
    /// [`ConfigError::RouteTwice`] if two routes take the same type.
    pub fn otherwise(
        self,
        service: impl EventService<B, E>,
    ) -> Result<EventRouter<B, E>, ConfigError> {
        self.build(Otherwise::Call(call(service)))
    }

    fn build(self, otherwise: Otherwise<B, E>) -> Result<EventRouter<B, E>, ConfigError> {
        if let Some(type_name) = self.twice {
            return Err(ConfigError::RouteTwice { type_name });
        }
        let calls = self.calls;
        let routes = Arc::new(Routes { calls, otherwise });
        Ok(EventRouter { routes })
    }
}

/// A service that passes each event to the service for its type.
///
/// [`EventRoutes`] builds it. It is always ready: its future clones the service for the event's type
/// and waits until that is ready. So a limit around one service, such as
/// `tower::limit::ConcurrencyLimit`, applies to all deliveries for it and delays no others. The wait
/// counts towards [`handler_timeout`](crate::WebhookReceiverBuilder::handler_timeout).
///
/// A request without a verified event is answered 500, with the text of [`MissingVerifyLayer`].
pub struct EventRouter<B, E> {
    routes: Arc<Routes<B, E>>,
}

struct Routes<B, E> {
    /// By the present name of a type.
    calls: BTreeMap<Cow<'static, str>, Call<B, E>>,
    otherwise: Otherwise<B, E>,
}

enum Otherwise<B, E> {
    Answer(StatusCode),
    Call(Call<B, E>),
}

type Call<B, E> = Box<dyn Fn(Request<Full<Bytes>>) -> RouteFuture<B, E> + Send + Sync>;

/// Calls a clone of `service`, each time the very one that was waited for.
fn call<B: 'static, E: 'static>(service: impl EventService<B, E>) -> Call<B, E> {
    Box::new(move |request| {
        let mut service = service.clone();
        RouteFuture(Eventual::later(async move {
            poll_fn(|cx| service.poll_ready(cx)).await?;
            let response = service.call(request).await?;
            Ok(response.map(ResponseBody::inner))
        }))
    })
}

impl<B, E> Service<Request<Full<Bytes>>> for EventRouter<B, E> {
    type Response = Response<ResponseBody<B>>;
    type Error = E;
    type Future = RouteFuture<B, E>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), E>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> RouteFuture<B, E> {
        let Some(event) = request.extensions().get::<GeminiEvent>() else {
            trace::misconfigured(&MissingVerifyLayer);
            return RouteFuture::missing(MissingVerifyLayer);
        };
        let call = event
            .type_name()
            .and_then(|type_name| self.routes.calls.get(present_name(type_name)));
        match (call, &self.routes.otherwise) {
            (Some(call), _) | (None, Otherwise::Call(call)) => call(request),
            (None, Otherwise::Answer(status)) => {
                trace::otherwise(event.type_name(), *status == StatusCode::OK);
                RouteFuture::answer(*status, Bytes::new())
            }
        }
    }
}

/// The future of [`EventRouter`].
#[must_use = "futures do nothing unless polled"]
pub struct RouteFuture<B, E>(Eventual<Result<Response<ResponseBody<B>>, E>>);

impl<B, E> RouteFuture<B, E> {
    fn answer(status: StatusCode, body: Bytes) -> Self {
        let mut response = Response::new(ResponseBody::refusal(body));
        *response.status_mut() = status;
        Self(Eventual::now(Ok(response)))
    }

    fn missing(error: MissingVerifyLayer) -> Self {
        Self::answer(error.status(), error.body_text().into())
    }
}

impl<B, E> Future for RouteFuture<B, E> {
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl<B: 'static, E: 'static> Default for EventRoutes<B, E> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B, E> Clone for EventRouter<B, E> {
    fn clone(&self) -> Self {
        let routes = Arc::clone(&self.routes);
        Self { routes }
    }
}

impl<B, E> fmt::Debug for EventRoutes<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EventRoutes")
            .field(&self.calls.keys())
            .finish()
    }
}

impl<B, E> fmt::Debug for EventRouter<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let otherwise: &dyn fmt::Debug = match &self.routes.otherwise {
            Otherwise::Answer(status) => status,
            Otherwise::Call(_) => &"a service",
        };
        f.debug_struct("EventRouter")
            .field("types", &self.routes.calls.keys())
            .field("otherwise", otherwise)
            .finish()
    }
}

impl<B, E> fmt::Debug for RouteFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RouteFuture").field(&self.0).finish()
    }
}

#[cfg(test)]
mod tests;
