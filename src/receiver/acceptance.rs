//! Step 8: what the app itself wants of a delivery.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Delivery;
use crate::error::{BoxError, Detail, VerifyError, VerifyErrorKind};
use crate::event::GeminiEvent;

/// A sender waits a few seconds only, and the handler needs some of them.
const PATIENCE: Duration = Duration::from_secs(2);

type Answer = Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send>>;

/// The app's own check.
#[derive(Clone)]
pub(super) struct Acceptance(Arc<dyn Fn(GeminiEvent, Delivery) -> Answer + Send + Sync>);

impl Acceptance {
    pub(super) fn new<F, A>(check: F) -> Self
    where
        F: Fn(GeminiEvent, Delivery) -> A + Send + Sync + 'static,
        A: Future<Output = Result<bool, BoxError>> + Send + 'static,
    {
        Self(Arc::new(move |event, delivery| {
            Box::pin(check(event, delivery))
        }))
    }

    pub(super) async fn ask(
        &self,
        event: GeminiEvent,
        delivery: Delivery,
    ) -> Result<(), VerifyError> {
        let failed = |detail| VerifyError::new(VerifyErrorKind::AcceptanceFailed, detail);
        match timeout(PATIENCE, (self.0)(event, delivery)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(VerifyErrorKind::NotAccepted.into()),
            Ok(Err(error)) => Err(failed(Detail::Source(error.into()))),
            Err(_) => Err(failed(Detail::After(PATIENCE))),
        }
    }
}

impl fmt::Debug for Acceptance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptance(…)")
    }
}
