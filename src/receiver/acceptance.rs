//! Step 8 of a delivery: the app's own checks (`accept_if`).

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Delivery;
use crate::contained::{Contained, contained};
use crate::error::{BoxError, Detail, VerifyError, VerifyErrorKind};
use crate::event::GeminiEvent;

/// A sender waits a few seconds only, and the handler needs some of them.
const PATIENCE: Duration = Duration::from_secs(2);

type Answer = Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send>>;

type Check = Arc<dyn Fn(GeminiEvent, Delivery) -> Answer + Send + Sync>;

/// The app's own checks, all of which must accept an event.
#[derive(Clone, Default)]
pub(crate) struct Acceptance(Vec<Check>);

impl Acceptance {
    pub(super) fn add<F, A>(&mut self, check: F)
    where
        F: Fn(GeminiEvent, Delivery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<bool, BoxError>> + Send + 'static,
    {
        self.0.push(Arc::new(move |event, delivery| {
            Box::pin(check(event, delivery))
        }));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) async fn ask(
        &self,
        event: &GeminiEvent,
        delivery: &Delivery,
    ) -> Result<(), VerifyError> {
        let failed = |detail| VerifyError::new(VerifyErrorKind::AcceptanceFailed, detail);
        match timeout(PATIENCE, self.all(event, delivery)).await {
            Ok(Some(Ok(true))) => Ok(()),
            Ok(Some(Ok(false))) => Err(VerifyErrorKind::NotAccepted.into()),
            Ok(Some(Err(error))) => Err(failed(Detail::Source(error.into()))),
            Ok(None) => Err(failed(Detail::Text("it panicked"))),
            Err(_) => Err(failed(Detail::After(PATIENCE))),
        }
    }

    /// Asks one after the other, up to the first that does not accept; `None` if it panicked.
    async fn all(
        &self,
        event: &GeminiEvent,
        delivery: &Delivery,
    ) -> Option<Result<bool, BoxError>> {
        for check in &self.0 {
            let answer = contained(|| check(event.clone(), delivery.clone()))?;
            match Contained::new(answer).await? {
                Ok(true) => {}
                other => return Some(other),
            }
        }
        Some(Ok(true))
    }
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} checks", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::headers::DeliveryHeaders;
    use crate::receiver::WebhookReceiver;
    use crate::testing::{self, ManualClock};
    use crate::verifier::Verifier;
    use crate::{Clock as _, Keyring};

    /// What a check of the app does.
    #[derive(Clone, Copy, Debug)]
    enum Does {
        Accept,
        Refuse,
        Fail,
        Panic,
        PanicLater,
        Hang,
    }

    fn event_and_delivery() -> (GeminiEvent, Delivery) {
        let (secret, clock) = (testing::SECRET.parse().unwrap(), ManualClock::default());
        let body = testing::SAMPLE_EVENTS[0];
        let lines = testing::sign_v1(&secret, "msg_1", clock.unix_seconds(), body);
        let headers = DeliveryHeaders::from_lines(lines.iter().map(|(name, value)| (*name, value)));
        let verifier = Verifier::new(Keyring::new(secret));
        let verified = verifier.verify(&headers, body.as_bytes(), clock.now());
        let receiver = WebhookReceiver::builder().signing_secret(testing::SECRET);
        let receiver = receiver.build().unwrap();
        let delivery = Delivery::new("msg_1".into(), &verified.unwrap(), &receiver, clock.now());
        (GeminiEvent::parse(body), delivery)
    }

    #[tokio::test(start_paused = true)]
    async fn all_have_to_accept_and_those_behind_one_that_does_not_are_not_asked() {
        use Does::{Accept, Fail, Hang, Panic, PanicLater, Refuse};
        use VerifyErrorKind::{AcceptanceFailed, NotAccepted};

        let (event, delivery) = event_and_delivery();
        for (checks, asked, expected) in [
            (vec![], 0, None),
            (vec![Accept], 1, None),
            (vec![Accept, Accept], 2, None),
            (vec![Refuse, Accept], 1, Some((NotAccepted, "returned"))),
            (vec![Accept, Refuse], 2, Some((NotAccepted, "returned"))),
            (vec![Fail, Refuse], 1, Some((AcceptanceFailed, "no table"))),
            (vec![Panic], 1, Some((AcceptanceFailed, "it panicked"))),
            (vec![PanicLater], 1, Some((AcceptanceFailed, "it panicked"))),
            (vec![Hang, Accept], 1, Some((AcceptanceFailed, "2s"))),
        ] {
            let mut acceptance = Acceptance::default();
            let count = Arc::new(AtomicUsize::new(0));
            for does in &checks {
                let (does, count) = (*does, Arc::clone(&count));
                acceptance.add(move |_, _| {
                    count.fetch_add(1, Ordering::Relaxed);
                    assert!(!matches!(does, Panic), "a check of the app");
                    async move {
                        match does {
                            Accept => Ok(true),
                            Refuse => Ok(false),
                            Fail => Err("no table".into()),
                            Hang => pending().await,
                            Panic | PanicLater => panic!("a check of the app"),
                        }
                    }
                });
            }
            assert_eq!(acceptance.is_empty(), checks.is_empty());
            assert_eq!(
                format!("{acceptance:?}"),
                format!("{} checks", checks.len())
            );
            let answer = acceptance.ask(&event, &delivery).await.err();
            assert_eq!(count.load(Ordering::Relaxed), asked, "{checks:?}");
            let kind = answer.as_ref().map(VerifyError::kind);
            assert_eq!(kind, expected.map(|(kind, _)| kind), "{checks:?}");
            if let (Some(error), Some((_, part))) = (answer, expected) {
                assert!(error.to_string().contains(part), "{checks:?}: {error}");
            }
        }
    }
}
