//! Why a delivery is refused, and what most probably went wrong.

mod report;
mod setup;

use std::time::SystemTime;

use gemini_webhooks::{DeliveryHeaders, GeminiEvent, VerifyErrorKind};

pub use report::{Accepted, Cause, Diagnosis, Finding, Refusal, Step};
pub use setup::Setup;

use crate::capture::Capture;

/// Says what a receiver that is set up like this makes of a delivery at the time `now`, and, for a refusal, what
/// most probably went wrong.
#[must_use]
pub fn diagnose(capture: &Capture, setup: &Setup, now: SystemTime) -> Diagnosis {
    let Some(verifier) = setup.verifier() else {
        let error = VerifyErrorKind::KeysUnavailable.into();
        return Diagnosis::refused(Refusal::new(&error), Vec::new());
    };
    let headers = DeliveryHeaders::from_lines(capture.headers());
    match verifier.verify(&headers, capture.body(), now) {
        Ok(verified) => {
            let event = match verified.payload() {
                Some(payload) => GeminiEvent::parse(payload.to_vec()),
                None => GeminiEvent::parse(capture.body().clone()),
            };
            let accepted = Accepted {
                webhook_id: verified.id().to_owned(),
                timestamp: verified.timestamp(),
                scheme: report::scheme_name(verified.scheme()),
                key: setup.name_of(verified.key_id()),
                event_type: event.type_name().map(str::to_owned),
            };
            Diagnosis::accepted_as(accepted, Vec::new())
        }
        Err(error) => Diagnosis::refused(Refusal::new(&error), Vec::new()),
    }
}
