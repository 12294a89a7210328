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

/// A service that an event can go to. Every service is that has these bounds; there is nothing to
/// implement.
#[diagnostic::on_unimplemented(
    message = "events cannot go to `{Self}`",
    note = "a `MethodRouter` or `Router` of axum that wants a state is given it by `.with_state(…)`",
    note = "any service of `Request<Full<Bytes>>` will do that is `Clone + Send + Sync + 'static`"
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

/// A service for each type of event, instead of a `match` in one handler.
///
/// Add a route for each type that you handle, and then say what becomes of the others. That makes an
/// [`EventRouter`] of it, which goes inside of a [`VerifyLayer`](super::VerifyLayer); the
/// [module](super#routes-by-type) has an example.
///
/// The services answer with one type of body and of error. axum's do: a `MethodRouter`, such as
/// `post(handler)`, or a `Router`, each given its state by `with_state`.
#[must_use = "it becomes a service by saying what becomes of other events"]
pub struct EventRoutes<B, E> {
    calls: BTreeMap<Cow<'static, str>, Call<B, E>>,
    twice: Option<String>,
}

impl<B: 'static, E: 'static> EventRoutes<B, E> {
    /// No routes yet.
    pub fn new() -> Self {
        Self {
            calls: BTreeMap::new(),
            twice: None,
        }
    }

    /// Events with a `P` go to `service`, by the present name of their type or an older one.
    pub fn on<P: Payload>(self, service: impl EventService<B, E>) -> Self {
        self.on_type(P::TYPE_NAME, service)
    }

    /// Events of the type `type_name` go to `service`. For types that this version has no
    /// [`Payload`] of.
    ///
    /// A misspelled name is that of a type that never comes, which nobody can tell from one that
    /// Google will add. So prefer [`on`](Self::on), where the compiler knows the names.
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

    /// Acknowledges what no route takes: 200, and it counts as handled. For events that are of no
    /// interest.
    ///
    /// # Errors
    ///
    /// Two routes take the same type.
    pub fn otherwise_acknowledge(self) -> Result<EventRouter<B, E>, ConfigError> {
        self.build(Otherwise::Answer(StatusCode::OK))
    }

    /// Refuses what no route takes: 501, so that Google sends it again for a day, in which the app
    /// may learn to handle it. After repeated failures Google switches a webhook off.
    ///
    /// # Errors
    ///
    /// Two routes take the same type.
    pub fn otherwise_refuse(self) -> Result<EventRouter<B, E>, ConfigError> {
        self.build(Otherwise::Answer(StatusCode::NOT_IMPLEMENTED))
    }

    /// Hands what no route takes to `service`: other types, and events that have none.
    ///
    /// # Errors
    ///
    /// Two routes take the same type.
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

/// What [`EventRoutes`] become: a service that hands each event to the one of its type.
///
/// It is always ready. The service of an event's type is cloned and waited for in the future: limits
/// around one service, such as `tower::limit::ConcurrencyLimit`, hold over all deliveries and hold up
/// no other service. The wait is within the
/// [time of the handler](crate::WebhookReceiverBuilder::handler_timeout).
///
/// A request without a verified event is answered with a 500 that names what is missing,
/// [`MissingVerifyLayer`].
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
