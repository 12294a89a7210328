//! Routes by the type of an event.

use ::actix_web::dev::ServiceResponse;
use ::actix_web::guard::{Guard, GuardContext};
use ::actix_web::http::StatusCode;
use ::actix_web::{HttpMessage as _, HttpRequest, HttpResponse, Responder};

use super::MisplacedVerifyWebhook;
use crate::event::GeminiEvent;
use crate::trace;

/// A guard for routes that passes events of one type.
///
/// Write `EventType(BatchSucceeded::TYPE_NAME)`, so that the compiler checks the name: a misspelled
/// one never passes. Older names of a type count as its present one, in the guard and in the event.
/// The [module](super#routes-by-type) has an example.
///
/// Wrap [`VerifyWebhook`](super::VerifyWebhook) around the resource, the scope or the app that
/// contains the guarded routes. Around a route it is too late: actix-web asks the guards of a route
/// before it calls what wraps the route.
///
/// If the guard is asked before an event was verified, it passes nothing and logs an error. From
/// then on `VerifyWebhook`, [`acknowledge`], [`refuse`] and the extractors answer this request 500,
/// so that a later route does not take an event that was meant for another one. If none of them
/// gets the request, actix-web answers 404 or 405.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a name to write with its value")]
pub struct EventType(pub &'static str);

/// What the guards of a request have said so far.
#[derive(Clone, Copy)]
enum Asked {
    /// The event is of another type than any of theirs.
    Failed,
    /// One of them let it pass.
    Passed,
    /// No event was verified when the first of them was asked.
    TooEarly,
}

impl Guard for EventType {
    fn check(&self, context: &GuardContext<'_>) -> bool {
        let mut data = context.req_data_mut();
        let before = data.get::<Asked>().copied();
        let passes = data.get::<GeminiEvent>().map(|event| event.is(self.0));
        let asked = match (before, passes) {
            (Some(Asked::TooEarly), _) => return false,
            (_, None) => Asked::TooEarly,
            (Some(Asked::Passed), _) | (_, Some(true)) => Asked::Passed,
            (_, Some(false)) => Asked::Failed,
        };
        data.insert(asked);
        // Before the log, whose writer may be code of the app's that looks at the request.
        drop(data);
        if matches!(asked, Asked::TooEarly) {
            trace::misconfigured(&MisplacedVerifyWebhook::INSIDE_OF_A_GUARD);
        }
        passes.unwrap_or(false)
    }
}

/// Whether a guard of this request was asked before there was an event. It said no to whatever comes,
/// so the route that the request has come to need not be the one for it.
pub(super) fn asked_too_early(request: &HttpRequest) -> bool {
    matches!(request.extensions().get(), Some(Asked::TooEarly))
}

/// Says in the log when an event fell through the routes, which nobody decided.
pub(super) fn check_routes<B>(response: &ServiceResponse<B>) {
    let nowhere = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
    if !nowhere.contains(&response.status()) {
        return;
    }
    let extensions = response.request().extensions();
    if matches!(extensions.get(), Some(Asked::Failed)) {
        let event = extensions.get::<GeminiEvent>();
        trace::unrouted(event.and_then(GeminiEvent::type_name));
    }
}

/// A handler for events that no other route takes: answers 200, and they count as handled.
///
/// Put it on the last route if other events are of no interest.
///
/// Without [`VerifyWebhook`](super::VerifyWebhook) around it, it answers 500: it would otherwise
/// acknowledge what nobody has verified.
pub async fn acknowledge(event: GeminiEvent) -> impl Responder {
    trace::otherwise(event.type_name(), true);
    HttpResponse::Ok()
}

/// A handler for events that no other route takes: answers 501.
///
/// Google then sends them again for 24 hours (Google's guide, copies up to 2026-10-05), so there is
/// a day to deploy a route for them. Repeated failures switch a webhook off: subscribe to the
/// events that you handle only.
///
/// Without [`VerifyWebhook`](super::VerifyWebhook) around it, it answers 500.
pub async fn refuse(event: GeminiEvent) -> impl Responder {
    trace::otherwise(event.type_name(), false);
    HttpResponse::NotImplemented()
}
