//! What happens to the handlers.

use std::env;
use std::process::abort;
use std::sync::Mutex;
use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use serde::Deserialize;
use tokio::time::sleep;
use tracing::warn;

use crate::BoxError;

/// Decides for each run what is to happen to it.
#[derive(Debug)]
pub(crate) struct Mishaps(Option<Mutex<fastrand::Rng>>);

/// What happens to one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mishap {
    Nothing,
    Fails,
    /// Longer than any time-out.
    Hangs,
    /// Longer than the sender waits, shorter than the handler may take.
    Late,
    AbortsBefore,
    /// After the work and its line, and before the event is marked as handled.
    AbortsAfter,
}

/// The sender can say that an event always fails, in its `user_metadata`.
#[derive(Deserialize)]
struct Metadata {
    poison: Option<Poison>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Poison {
    Fails,
    Aborts,
}

impl Mishaps {
    pub(crate) fn from_env() -> Result<Self, BoxError> {
        let Some(seed) = env::var_os("FAULT_RANDOM") else {
            return Ok(Self(None));
        };
        let seed = seed.to_str().unwrap_or_default().parse();
        let seed = seed.map_err(|error| format!("FAULT_RANDOM: {error}"))?;
        Ok(Self(Some(Mutex::new(fastrand::Rng::with_seed(seed)))))
    }

    pub(crate) fn draw(&self, event: &GeminiEvent) -> Mishap {
        match event.user_metadata_as::<Metadata>() {
            Ok(Some(Metadata {
                poison: Some(Poison::Fails),
            })) => return Mishap::Fails,
            Ok(Some(Metadata {
                poison: Some(Poison::Aborts),
            })) => return Mishap::AbortsBefore,
            _ => {}
        }
        let Some(random) = &self.0 else {
            return Mishap::Nothing;
        };
        let Ok(mut random) = random.lock() else {
            return Mishap::Nothing;
        };
        // Of ten thousand.
        match random.u32(..10_000) {
            0..500 => Mishap::Fails,
            500..530 => Mishap::Hangs,
            530..560 => Mishap::Late,
            560..562 => Mishap::AbortsBefore,
            562..564 => Mishap::AbortsAfter,
            _ => Mishap::Nothing,
        }
    }
}

impl Mishap {
    /// Is awaited before the work.
    pub(crate) async fn before(self) -> Result<(), BoxError> {
        match self {
            Self::Fails => return Err("the handler was to fail".into()),
            Self::Hangs => sleep(Duration::from_secs(60)).await,
            Self::Late => sleep(Duration::from_millis(4_000)).await,
            Self::AbortsBefore => {
                warn!("the handler was to abort the process");
                abort()
            }
            Self::Nothing | Self::AbortsAfter => {}
        }
        Ok(())
    }

    /// Is called after the line was printed.
    pub(crate) fn after(self) {
        if self == Self::AbortsAfter {
            warn!("the handler was to abort the process after its work");
            abort();
        }
    }
}
