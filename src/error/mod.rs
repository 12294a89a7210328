//! What can go wrong: [`ConfigError`] while building, [`VerifyError`] with a delivery.

#[cfg(any(feature = "client", feature = "receiver"))]
use std::error::Error;
#[cfg(any(feature = "client", feature = "receiver"))]
use std::fmt;

mod config;
mod plain;
mod verify;

pub use config::ConfigError;
pub(crate) use plain::Plain;
pub(crate) use verify::Detail;
pub use verify::{VerifyError, VerifyErrorKind};

/// Any error, boxed.
#[cfg(any(feature = "client", feature = "receiver"))]
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// An error with all its causes, for a line of text.
#[cfg(any(feature = "client", feature = "receiver"))]
pub(crate) struct Chain<'a>(pub(crate) &'a dyn Error);

#[cfg(any(feature = "client", feature = "receiver"))]
impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
