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
mod words;

use std::time::SystemTime;

use gemini_webhooks::{DeliveryHeaders, GeminiEvent, VerifyError, VerifyErrorKind};

pub use report::{Accepted, Cause, Diagnosis, Finding, Refusal, Step, is_hidden};
pub use setup::Setup;

use crate::capture::Capture;

/// Says what a receiver that is set up like this makes of a delivery at the time `now`, and, for a refusal, what
/// most probably went wrong.
///
/// A capture of the log of a receiver was refused by that receiver. If it verifies here all the same, the receiver has other
/// keys, and the diagnosis is a refusal that says so.
///
/// Only the steps up to the signature are looked at: what your own check, the guard or the handler do is not known
/// here. It does no I/O. For a hostile delivery it can take about a second: run it in a task for blocking work, and do
/// not offer it to strangers.
#[must_use]
pub fn diagnose(capture: &Capture, setup: &Setup, now: SystemTime) -> Diagnosis {
    judged(capture, setup, now, |error| {
        causes::find(error, capture, setup, now)
    })
}

/// Says what a receiver makes of a delivery, as [`diagnose`] does, and looks for no causes.
///
/// It is quick for hostile deliveries too. Call it for what strangers send, and [`diagnose`] for some of what it
/// refuses.
///
/// ```
/// use std::time::SystemTime;
///
/// use gemini_webhooks_cli::{Capture, Setup, diagnose, verdict};
///
/// let setup = Setup::new().secret("the app's", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
/// let capture = Capture::new([("webhook_id", "msg_1")], "{}");
/// let now = SystemTime::UNIX_EPOCH;
/// let quick = verdict(&capture, &setup, now);
/// assert_eq!(quick.refusal().map(|refusal| refusal.code()), Some("missing_header"));
/// assert!(quick.findings().is_empty());
/// assert!(!diagnose(&capture, &setup, now).findings().is_empty());
/// # Ok::<(), gemini_webhooks::ConfigError>(())
/// ```
#[must_use]
pub fn verdict(capture: &Capture, setup: &Setup, now: SystemTime) -> Diagnosis {
    judged(capture, setup, now, |_| Vec::new())
}

/// What a receiver says, and what is found of a refusal. A receiver whose log the capture is of has refused it in any case.
fn judged(
    capture: &Capture,
    setup: &Setup,
    now: SystemTime,
    find: impl FnOnce(&VerifyError) -> Vec<Finding>,
) -> Diagnosis {
    match judge(capture, setup, now) {
        Ok(accepted) => match words::other_app(&accepted, capture) {
            Some(finding) => {
                let error = VerifyErrorKind::SignatureMismatch.into();
                Diagnosis::refused(Refusal::new(&error), vec![finding])
            }
            None => Diagnosis::accepted_as(accepted),
        },
        Err(error) => Diagnosis::refused(Refusal::new(&error), find(&error)),
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
    if capture.body().len() > setup.max_body_bytes {
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
        key_id: verified.key_id().to_owned(),
        event_type: event.type_name().map(str::to_owned),
    })
}
