//! Says why a delivery of the Gemini API was refused, and what most probably went wrong.
//!
//! This is the library of the program `gemini-webhooks`, for an app that wants the same on a debug page of its
//! own. A [`Capture`] is one HTTP request as it arrived. A [`Setup`] is what your receiver trusts. [`diagnose`]
//! compares the two:
//!
//! ```
//! use gemini_webhooks::{Clock as _, SystemClock};
//! use gemini_webhooks_cli::{Setup, capture, diagnose};
//!
//! let capture = capture::from_http(
//!     b"POST /gemini-callback HTTP/1.1\r\n\
//!       webhook-id: msg_1\r\n\
//!       webhook-timestamp: 1700000000\r\n\
//!       webhook-signature: v1,bm90IHRoZSBzaWduYXR1cmUgb2YgdGhpcyBib2R5ISE=\r\n\r\n{}",
//! )?;
//! let setup = Setup::new().secret("the app's", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")?;
//! let diagnosis = diagnose(&capture, &setup, SystemClock.now());
//! assert!(diagnosis.refusal().is_some());
//! println!("{diagnosis}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Turn off the default features, so that the program's dependencies are not built:
//! `gemini-webhooks-cli = { version = "0.1", default-features = false }`.

pub mod capture;
pub mod diagnosis;

pub use capture::{Capture, CaptureError};
pub use diagnosis::{Diagnosis, Setup, diagnose, verdict};

/// Runs the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
