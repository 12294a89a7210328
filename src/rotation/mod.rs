//! Secrets that change while requests run: followed from a file or from a secret manager.
//!
//! [`Keyring::follow`] reads a [`SecretSource`] when the app starts, and then again every 10 seconds. A
//! secret that the source lists is accepted from then on, and one that it does not list any more is refused.
//! [`SecretFile`] is the source for a file, such as one that Kubernetes mounts. For a secret manager,
//! implement [`SecretSource`].
//!
//! ```no_run
//! use gemini_webhooks::rotation::SecretFile;
//! use gemini_webhooks::{Keyring, WebhookReceiver};
//!
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! let keyring = Keyring::follow(SecretFile::new("/run/secrets/gemini-webhook/secrets")).await?;
//! let receiver = WebhookReceiver::builder().keyring(keyring).build()?;
//! # Ok(())
//! # }
//! ```
//!
//! # If something is wrong with the source
//!
//! - **It cannot be read, or lists nothing**: the secrets of before stay in use.
//! - **A line is no secret**: it is passed over, and the others count. The secret that stood there has ended.
//! - **A listed secret was [replaced](Keyring::replace) as leaked**: it stays refused.
//!
//! - **It is not read any more**, because it hangs or the runtime that awaited [`Keyring::follow`] has ended: the
//!   secrets of before stay in use.
//!
//! Until it is mended, [`WebhookReceiver::ready`](crate::WebhookReceiver::ready) fails. Each but the last is logged as
//! an error, when it begins. No text of a line is logged.
//!
//! # What the app changes itself
//!
//! The source owns what it lists. What the app adds by [`rotate`](Keyring::rotate) stays until its end, or,
//! once the source lists it, until the source does not any more. An end that the app gives to a secret
//! holds, also while the source lists it.

use std::error::Error;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::clock::{Clock, SystemClock};
use crate::contained::{Contained, contained};
use crate::error::{BoxError, Chain};
use crate::secret::{Keyring, Secret, SigningSecret, WeakKeyring};
use crate::trace;

mod file;
mod set;

pub use file::SecretFile;
pub use set::SecretSet;

/// A source is read so often, if it is not told otherwise.
const EVERY: Duration = Duration::from_secs(10);

/// A source that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(10);

/// Each secret costs a hash of the body for each forged delivery.
const MAX_SECRETS: usize = 16;

/// The future that [`SecretSource::fetch`] returns.
pub type SecretFuture<'a, S = SigningSecret> =
    Pin<Box<dyn Future<Output = Result<SecretSet<S>, BoxError>> + Send + 'a>>;

/// Where secrets are kept, for instance a secret manager.
///
/// Pass it to [`Keyring::follow`].
///
/// ```
/// use gemini_webhooks::Keyring;
/// use gemini_webhooks::rotation::{SecretFuture, SecretSet, SecretSource};
///
/// /// Secrets under one name in the app's secret manager, one a line.
/// #[derive(Debug)]
/// struct Managed(String);
///
/// impl SecretSource for Managed {
///     fn fetch(&self) -> SecretFuture<'_> {
///         Box::pin(async move { Ok(SecretSet::from_lines(&read_secret(&self.0).await?)) })
///     }
/// }
/// # async fn read_secret(_: &str) -> std::io::Result<String> {
/// #     Ok("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into())
/// # }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let keyring = Keyring::follow(Managed("gemini-webhook".into())).await?;
/// assert_eq!(keyring.len(), 1);
/// # Ok(())
/// # }
/// ```
pub trait SecretSource<S = SigningSecret>: fmt::Debug + Send + Sync + 'static {
    /// Reads all secrets that are to be accepted. The future is dropped if it takes longer than 10 seconds.
    ///
    /// Its error is logged, so it must not contain a secret.
    fn fetch(&self) -> SecretFuture<'_, S>;
}

impl<S: Secret> Keyring<S> {
    /// Makes a keyring of what a source lists now, and follows the source as long as the keyring is in use.
    ///
    /// Await what this returns, in the tokio runtime in which the receiver serves: another one that ends ends
    /// the following too, and then [`ready`](crate::WebhookReceiver::ready) fails. [`rotation`](crate::rotation) says what happens if something
    /// is wrong with the source.
    pub fn follow(source: impl SecretSource<S>) -> Following<S> {
        Following {
            source: Box::new(source),
            every: EVERY,
            clock: Arc::new(SystemClock),
        }
    }
}

/// A keyring that is about to follow a source. Await it.
#[derive(Debug)]
#[must_use = "it does nothing until it is awaited"]
pub struct Following<S = SigningSecret> {
    source: Box<dyn SecretSource<S>>,
    every: Duration,
    clock: Arc<dyn Clock>,
}

impl<S> Following<S> {
    /// Sets how long to wait from one reading to the next. 10 seconds by default; less than 100
    /// milliseconds counts as that.
    pub fn every(mut self, every: Duration) -> Self {
        self.every = every.max(Duration::from_millis(100));
        self
    }

    /// Sets the clock by which secrets end, for tests. The system's clock by default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }
}

impl<S: Secret> IntoFuture for Following<S> {
    type Output = Result<Keyring<S>, FollowError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    /// Fails if the source cannot be read, or lists no secret.
    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self {
                source,
                every,
                clock,
            } = self;
            let set = read(&*source).await?;
            let keyring = Keyring::listed(set.secrets, clock).map_err(FollowError::new)?;
            note(&keyring, set.faults, every);
            let followed = Followed(keyring.downgrade(), every);
            tokio::spawn(follow(followed, source));
            Ok(keyring)
        })
    }
}

/// Reads the source again and again, until nobody has the keyring any more.
async fn follow<S: Secret>(keyring: Followed<S>, source: Box<dyn SecretSource<S>>) {
    loop {
        sleep(keyring.1).await;
        if keyring.0.upgrade().is_none() {
            return;
        }
        let set = read(&*source).await;
        let Followed(weak, every) = &keyring;
        let Some(keyring) = weak.upgrade() else {
            return;
        };
        // The error of a source, and the clock, are not ours either.
        if contained(|| take_over(&keyring, set, *every)).is_none() {
            note(&keyring, vec!["reading it panicked".to_owned()], *every);
        }
    }
}

/// Says so if it is followed no more, because its runtime has ended.
struct Followed<S: Secret>(WeakKeyring<S>, Duration);

impl<S: Secret> Drop for Followed<S> {
    fn drop(&mut self) {
        if let Some(keyring) = self.0.upgrade() {
            // No error: an app that stops ends its runtime as well.
            trace::secrets_left();
            let ended = "the source of secrets is not followed any more: the runtime that read it has ended";
            keyring.note_fault(Some(ended), Duration::MAX);
        }
    }
}

fn take_over<S: Secret>(
    keyring: &Keyring<S>,
    set: Result<SecretSet<S>, FollowError>,
    every: Duration,
) {
    let stay = |error: &dyn Error| format!("{}; the secrets of before stay in use", Chain(error));
    let mut faults = Vec::new();
    match set {
        Err(error) => faults.push(stay(&*error.0)),
        Ok(set) => {
            faults.extend(set.faults);
            match keyring.list(set.secrets) {
                Err(error) => faults.push(stay(&error)),
                Ok(listed) => {
                    listed.change.tell();
                    let leaked = |id| format!("it still lists {id}, which was replaced as leaked");
                    faults.extend(listed.leaked.iter().map(leaked));
                }
            }
        }
    }
    note(keyring, faults, every);
}

async fn read<S: Secret>(source: &dyn SecretSource<S>) -> Result<SecretSet<S>, FollowError> {
    // It may panic before it has a future, too.
    let fetching = Box::pin(async { source.fetch().await });
    let set = match timeout(LIMIT, Contained::new(fetching)).await {
        Ok(Some(set)) => set.map_err(FollowError::new)?,
        Ok(None) => return Err(FollowError::new("reading it panicked")),
        Err(_) => {
            return Err(FollowError::new(format!(
                "reading it took longer than {LIMIT:?}"
            )));
        }
    };
    match set.secrets.len() {
        0 if set.faults.is_empty() => Err(FollowError::new("it lists no secret")),
        0 => Err(FollowError::new(format!(
            "it lists no secret: {}",
            set.faults.join("; ")
        ))),
        1..=MAX_SECRETS => Ok(set),
        many => Err(FollowError::new(format!(
            "it lists {many} secrets, and at most {MAX_SECRETS} may be: remove those that have ended"
        ))),
    }
}

/// What is wrong with the source, or nothing. It is logged when it is news.
fn note<S: Secret>(keyring: &Keyring<S>, faults: Vec<String>, every: Duration) {
    let text = || format!("the source of secrets: {}", faults.join("; "));
    let fault = (!faults.is_empty()).then(text);
    // A reading takes as long as it may, and a machine may be busy.
    let read_again = every.saturating_add(LIMIT * 2);
    if keyring.note_fault(fault.as_deref(), read_again) {
        trace::secret_source(fault.as_deref());
    }
}

/// The error when a source of secrets cannot be followed, because it cannot be read or lists no secret.
#[derive(Debug)]
pub struct FollowError(BoxError);

impl FollowError {
    fn new(why: impl Into<BoxError>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for FollowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the source of secrets: {}", Chain(&*self.0))
    }
}

impl Error for FollowError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
