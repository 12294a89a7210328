//! From the last byte of the body to the handler: steps 6 to 9.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;

use super::Flight;
use super::intake::Held;
use crate::error::{VerifyError, VerifyErrorKind};
use crate::event::GeminiEvent;
use crate::eventual::Eventual;
#[cfg(feature = "jwks")]
use crate::jwks::Current;
use crate::metrics::{self, Begun, Known};
#[cfg(feature = "jwks")]
use crate::receiver::Keys;
use crate::receiver::{Delivery, ask};
use crate::scheme::{Failure, KeySet};
use crate::trace;
use crate::verifier::Checked;

/// An authentic delivery whose event is claimed: what the handler needs.
#[non_exhaustive]
pub struct Received {
    /// The event, to be put where the framework keeps such things.
    pub event: GeminiEvent,
    /// The delivery that brought it, to be put there too.
    pub delivery: Delivery,
    /// The body for the handler: byte for byte as it arrived, or the payload of the JWT that carried
    /// the event.
    pub body: Bytes,
    /// The run of the handler: keep it until the handler has ended, and say how.
    pub flight: Flight,
}

/// What a handler is to see of a header: this value, or `None`, nothing.
type Correction = (&'static str, Option<String>);

impl Received {
    /// Returns which headers an adapter changes before the handler sees the request.
    ///
    /// Each item is a name in lower case, and its new value, or `None` to remove it. There are none,
    /// unless a JWT carried the event: then the headers describe another body.
    pub fn header_corrections(&self) -> impl Iterator<Item = Correction> + use<> {
        let of_a_token = || {
            [
                ("content-length", Some(self.body.len().to_string())),
                ("content-type", Some("application/json".to_owned())),
                ("content-encoding", None),
                ("transfer-encoding", None),
                ("trailer", None),
            ]
        };
        let corrected = !self.delivery.id_is_signed();
        corrected.then(of_a_token).into_iter().flatten()
    }
}

/// Without the body and what stands in it, which is not for every log.
impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received")
            .field("delivery", &self.delivery)
            .field("body_length", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// What an adapter does with an authentic delivery.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "an adapter must answer both")]
pub enum Finished {
    /// Run the handler.
    Run(Received),
    /// The event has been handled: answer 200, without the handler.
    Repeat,
}

type Outcome = Result<Finished, VerifyError>;

/// The future of [`Intake::finish`](super::Intake::finish).
///
/// Nearly always it is ready when it is first polled. It waits only for public keys that are not
/// known yet or are old, for `accept_if`, and for a guard that asks a store. If the request is
/// dropped, drop it: a claim that was made is then released.
#[must_use = "futures do nothing unless polled"]
pub struct Finish(Eventual<Outcome>);

impl Future for Finish {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for Finish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Finish").field(&self.0).finish()
    }
}

fn ready(outcome: Outcome) -> Finish {
    Finish(Eventual::now(outcome))
}

fn waiting(future: impl Future<Output = Outcome> + Send + 'static) -> Finish {
    Finish(Eventual::later(future))
}

/// A delivery whose body is there.
pub(super) struct Arrived {
    pub(super) checked: Checked,
    pub(super) declared: Option<u64>,
    pub(super) body: Bytes,
    pub(super) held: Held,
    pub(super) begun: Begun,
}

impl Arrived {
    /// Step 6, the signature: at once if the keys are known.
    pub(super) fn finish(self) -> Finish {
        #[cfg(feature = "jwks")]
        let current = self.held.receiver.shared.keys.current();
        #[cfg(feature = "jwks")]
        let verified = self.verify(current.known());
        #[cfg(not(feature = "jwks"))]
        let verified = self.verify(None);
        match verified {
            Ok(verified) => self.accept(verified),
            Err(Failure::Refused(error)) => ready(Err(self.refuse(error, Known::default()))),
            #[cfg(feature = "jwks")]
            Err(Failure::UnknownKey(error)) => waiting(async move {
                match self.verify_later(current, error).await {
                    Ok(verified) => self.accept(verified).await,
                    Err(error) => Err(self.refuse(error, Known::default())),
                }
            }),
        }
    }

    /// Under keys that have to be waited for: those that are past their age once they are
    /// confirmed, then those that were not known.
    #[cfg(feature = "jwks")]
    async fn verify_later(
        &self,
        current: Current,
        mut error: VerifyError,
    ) -> Result<(Delivery, Bytes), VerifyError> {
        let seen = match current {
            Current::Known(keys) => Some(keys),
            Current::Unknown => None,
            Current::Aged(aged) => {
                let keys = Keys::confirmed(aged).await?;
                match self.verify(keys.as_ref()) {
                    Err(Failure::UnknownKey(unknown)) => error = unknown,
                    judged => return judged.map_err(Failure::into_error),
                }
                keys
            }
        };
        let keys = &self.held.receiver.shared.keys;
        let others = keys.others(seen.as_ref(), error).await?;
        self.verify(Some(&others)).map_err(Failure::into_error)
    }

    /// Who signed it, and the bytes of the event that were signed.
    fn verify(&self, keys: Option<&KeySet>) -> Result<(Delivery, Bytes), Failure> {
        let verified = self.checked.verify_under(keys, &self.body)?;
        let receiver = &self.held.receiver;
        let delivery = Delivery::new(
            self.checked.shared_id(),
            &verified,
            receiver,
            self.checked.now(),
        );
        #[cfg(feature = "jwt")]
        if let Some(token) = verified.token() {
            return Ok((delivery, token.payload.clone()));
        }
        Ok((delivery, self.body.clone()))
    }

    /// Steps 7 (event) and 8 (`accept_if`).
    fn accept(self, (delivery, body): (Delivery, Bytes)) -> Finish {
        let event = GeminiEvent::parse(body.clone());
        if let Some(looks) = event.formless() {
            trace::formless(delivery.who(), body.len(), looks);
        }
        let mut delivery = delivery;
        if self.held.receiver.shared.once_per_job
            && let Some(job) = event.ended_job()
        {
            delivery = delivery.about(&job, &self.held.receiver);
        }
        if self.held.receiver.shared.acceptance.is_empty() {
            return self.claim(event, delivery, body);
        }
        waiting(async move {
            let acceptance = &self.held.receiver.shared.acceptance;
            match acceptance.ask(&event, &delivery).await {
                Ok(()) => self.claim(event, delivery, body).await,
                Err(error) => Err(self.refuse(error, known(&delivery, &event))),
            }
        })
    }

    /// Step 9, the claim.
    fn claim(self, event: GeminiEvent, delivery: Delivery, body: Bytes) -> Finish {
        match ask(&self.held.receiver, &delivery) {
            Ok(judged) => ready(self.finished(judged, event, delivery, body)),
            Err(asking) => waiting(async move {
                let judged = asking.judged().await;
                self.finished(judged, event, delivery, body)
            }),
        }
    }

    fn finished(
        self,
        judged: Result<bool, VerifyError>,
        event: GeminiEvent,
        delivery: Delivery,
        body: Bytes,
    ) -> Outcome {
        if judged.is_ok() {
            let clock = &*self.held.receiver.shared.clock;
            self.begun.verified(delivery.scheme(), clock);
        }
        match judged {
            Ok(true) => Ok(Finished::Run(Received {
                flight: Flight::new(delivery.clone(), &event, self.held),
                event,
                delivery,
                body,
            })),
            Ok(false) => {
                metrics::repeated(delivery.scheme(), &event);
                Ok(Finished::Repeat)
            }
            Err(error) => Err(self.refuse(error, known(&delivery, &event))),
        }
    }

    fn refuse(&self, error: VerifyError, known: Known<'_>) -> VerifyError {
        let arrived = u64::try_from(self.body.len()).ok();
        let error = match self.declared {
            Some(declared)
                if error.kind() == VerifyErrorKind::SignatureMismatch
                    && self.declared != arrived =>
            {
                error.adding(&format!(
                    "the Content-Length header says {declared} bytes, so something in front of this receiver has changed the body"
                ))
            }
            _ => error,
        };
        let receiver = &self.held.receiver;
        let capture = receiver.shared.captures.as_ref().and_then(|captures| {
            let now = receiver.shared.clock.monotonic();
            captures.keep(error.kind(), &self.checked, self.declared, &self.body, now)
        });
        receiver.refuse_keeping(error, Some(self.checked.id()), known, capture)
    }
}

/// An authentic delivery, as the metrics tell it.
fn known<'a>(delivery: &Delivery, event: &'a GeminiEvent) -> Known<'a> {
    Known {
        scheme: Some(delivery.scheme()),
        event: Some(event),
    }
}
