//! What the user is told while a call is under way, and what Ctrl-C does to it.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use crate::exit::Exit;
use crate::shown;
use crate::stop::Stop;

/// After so long the user is told that something is going on.
const SLOW: Duration = Duration::from_secs(2);

/// What the call returns. `None` if Ctrl-C ended it: it may have been carried out all the same.
pub(super) async fn for_answer<T>(
    stop: &mut Stop,
    limit: Duration,
    call: impl Future<Output = T>,
) -> Option<T> {
    stop.unless(tell_if_slow(limit, call)).await
}

/// What came of a call that makes a secret.
#[derive(Debug)]
pub(super) enum Made<T> {
    /// It ended. `stop` says whether Ctrl-C was pressed meanwhile.
    Ended { value: T, stop: bool },
    /// Ctrl-C was pressed twice.
    Abandoned,
}

/// Waits for a call that makes a secret: if it were cut off, the secret would be lost. So the first Ctrl-C waits
/// for its end, and only the second one ends it.
pub(super) async fn for_secret<T>(
    stop: &mut Stop,
    limit: Duration,
    call: impl Future<Output = T>,
) -> Made<T> {
    let mut call = pin!(tell_if_slow(limit, call));
    if let Some(value) = stop.unless(&mut call).await {
        return Made::Ended { value, stop: false };
    }
    shown::note(format_args!(
        "Waiting for Google's answer, which may have a secret that is shown once: at most {}. \
         Press Ctrl-C again to end at once.",
        shown::seconds(limit)
    ));
    match stop.unless(call).await {
        Some(value) => Made::Ended { value, stop: true },
        None => Made::Abandoned,
    }
}

/// Says what became of the work, for a command that Ctrl-C ended.
pub(super) fn stopped(what: &str) -> Exit {
    shown::note(format_args!("Ended by Ctrl-C. {what}"));
    Exit::Stopped
}

async fn tell_if_slow<T>(limit: Duration, call: impl Future<Output = T>) -> T {
    let mut call = pin!(call);
    tokio::select! {
        biased;
        value = &mut call => return value,
        () = tokio::time::sleep(SLOW) => {}
    }
    shown::note(format_args!(
        "Still waiting for Google, at most {} in all.",
        shown::seconds(limit)
    ));
    call.await
}
