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
