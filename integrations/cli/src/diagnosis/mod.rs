//! Why a delivery is refused, and what most probably went wrong.
//!
//! [`diagnose`] first does what a receiver does. If that refuses the delivery, it looks for a change that makes it
//! verify: another form of the body, another header, another secret. What verifies is proved: nobody without the key
//! could have made it fit.

mod causes;
mod forms;
mod headers;
mod report;
mod setup;
mod signers;

use std::time::SystemTime;

use gemini_webhooks::{DeliveryHeaders, GeminiEvent, VerifyError, VerifyErrorKind};

pub use report::{Accepted, Cause, Diagnosis, Finding, Refusal, Step};
pub use setup::Setup;

use crate::capture::Capture;

/// What a receiver takes by default.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Says what a receiver that is set up like this makes of a delivery at the time `now`, and, for a refusal, what
/// most probably went wrong.
///
/// Only the steps up to the signature are looked at: what your own check, the guard or the handler do is not known
/// here. It does no I/O. For a hostile delivery it can take about a second: run it in a task for blocking work, and do
/// not offer it to strangers.
#[must_use]
pub fn diagnose(capture: &Capture, setup: &Setup, now: SystemTime) -> Diagnosis {
    match judge(capture, setup, now) {
        Ok(accepted) => Diagnosis::accepted_as(accepted, Vec::new()),
        Err(error) => {
            let findings = causes::find(&error, capture, setup, now);
            Diagnosis::refused(Refusal::new(&error), findings)
        }
    }
}

/// The steps of a receiver, in its order.
fn judge(capture: &Capture, setup: &Setup, now: SystemTime) -> Result<Accepted, VerifyError> {
    if capture.method().is_some_and(|method| method != "POST") {
        return Err(VerifyErrorKind::MethodNotAllowed.into());
    }
    if !setup.is_addressed(capture) {
        return Err(VerifyErrorKind::WrongEndpoint.into());
    }
    let verifier = setup.verifier().ok_or(VerifyErrorKind::KeysUnavailable)?;
    let headers = DeliveryHeaders::from_lines(capture.headers());
    let checked = verifier.check(&headers, now)?;
    if capture.body().len() > MAX_BODY_BYTES {
        return Err(VerifyErrorKind::BodyTooLarge.into());
    }
    let verified = checked.verify(capture.body())?;
    let event = match verified.payload() {
        Some(payload) => GeminiEvent::parse(payload.to_vec()),
        None => GeminiEvent::parse(capture.body().clone()),
    };
    Ok(Accepted {
        webhook_id: verified.id().to_owned(),
        timestamp: verified.timestamp(),
        scheme: verified.scheme().as_str(),
        key: setup.name_of(verified.key_id()),
        event_type: event.type_name().map(str::to_owned),
    })
}
