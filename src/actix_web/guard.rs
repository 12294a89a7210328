//! Routes by type of event.

use ::actix_web::dev::ServiceResponse;
use ::actix_web::guard::{Guard, GuardContext};
use ::actix_web::http::StatusCode;
use ::actix_web::{HttpMessage as _, HttpResponse, Responder};

use crate::event::GeminiEvent;
use crate::trace;

/// A guard for routes: events of this type. An older name counts as what it stands for, both here
/// and in the event.
///
/// It knows the event once [`VerifyWebhook`](super::VerifyWebhook) has run, so that must be on the
/// resource, the scope or the app, as `wrap` puts it. Without it no event is of any type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a name to write with its value")]
pub struct EventType(pub &'static str);

/// Whether one of the guards of a request let it pass.
struct Asked {
    passed: bool,
}

impl Guard for EventType {
    fn check(&self, context: &GuardContext<'_>) -> bool {
        let passes = context
            .req_data()
            .get::<GeminiEvent>()
            .is_some_and(|event| event.is(self.0));
        let mut data = context.req_data_mut();
        let before = data.get::<Asked>().is_some_and(|asked| asked.passed);
        data.insert(Asked {
            passed: passes || before,
        });
        passes
    }
}

/// Says in the log when an event fell through the routes, which nobody decided.
pub(super) fn check_routes<B>(response: &ServiceResponse<B>) {
    let nowhere = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
    if !nowhere.contains(&response.status()) {
        return;
    }
    let extensions = response.request().extensions();
    if extensions.get::<Asked>().is_some_and(|asked| !asked.passed) {
        let event = extensions.get::<GeminiEvent>();
        trace::unrouted(event.and_then(GeminiEvent::type_name));
    }
}

/// Takes what no other route takes: 200, and it counts as handled. For events that are of no
/// interest.
pub async fn acknowledge() -> impl Responder {
    HttpResponse::Ok()
}

/// Refuses what no other route takes: 501, so that Google sends it again for a day, in which the app
/// may learn to handle it. After repeated failures Google switches a webhook off.
pub async fn refuse() -> impl Responder {
    HttpResponse::NotImplemented()
}
