//! Tools for your tests: signers, sample events, a manual clock, and a server of public keys.
//!
//! Sign a body as Google does, and send it to your app:
//!
//! ```
//! use gemini_webhooks::testing::{self, ManualClock};
//! use gemini_webhooks::{Clock as _, DeliveryHeaders, Keyring, SigningSecret, Verifier};
//!
//! let secret: SigningSecret = testing::SECRET.parse()?;
//! let clock = ManualClock::default();
//! let body = testing::SAMPLE_EVENTS[0];
//!
//! let lines = testing::sign_v1(&secret, "msg_1", clock.unix_seconds(), body);
//! let lines = lines.iter().map(|(name, value)| (*name, value));
//! let headers = DeliveryHeaders::from_lines(lines);
//! let verifier = Verifier::new(Keyring::new(secret));
//! let verified = verifier.verify(&headers, body.as_bytes(), clock.now())?;
//! assert_eq!(verified.id(), "msg_1");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! With the feature `testing-google`, the module `testing::google` has a mock of Google's service,
//! from creating a webhook to its deliveries. The guide's page *Testing your app* tests whole apps.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::headers::{WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP};
use crate::scheme::Scheme;
use crate::secret::SigningSecret;

mod clock;
// These bring in more than the tests of this crate by itself need.
#[cfg(feature = "testing-google")]
#[cfg_attr(docsrs, doc(cfg(feature = "testing-google")))]
pub mod google;
#[cfg(all(feature = "jwks", feature = "testing"))]
mod key_server;
#[cfg(all(feature = "jwks", feature = "testing"))]
mod public;
#[cfg(feature = "receiver")]
mod replay_suite;
#[cfg(all(feature = "jwt", feature = "testing"))]
mod tokens;

pub use clock::ManualClock;
#[cfg(all(feature = "jwks", feature = "testing"))]
pub use key_server::JwksServer;
#[cfg(all(feature = "jwks", feature = "testing"))]
pub use public::{Ed25519Signer, key_set};
#[cfg(feature = "receiver")]
pub use replay_suite::{RealTime, SuiteClock, replay_suite};
#[cfg(all(feature = "jwt", feature = "testing"))]
pub use tokens::{Rs256Signer, claims};

/// A signing secret for tests, in the form that Google issues. Everybody knows it.
pub const SECRET: &str = "whsec_Z2VtaW5pLXdlYmhvb2tzIHRlc3Qgc2VjcmV0IDE=";

/// The bodies of nine events, one of each type, in the form that Google's guide shows.
pub const SAMPLE_EVENTS: [&str; 9] = [
    r#"{"type":"batch.succeeded","version":"v1","timestamp":"2026-01-22T12:00:00Z","data":{"id":"batches/8kq2","output_file_uri":"files/batch-8kq2-output"}}"#,
    r#"{"type":"batch.failed","version":"v1","timestamp":"2026-01-22T12:00:01Z","data":{"id":"batches/8kq3","error_code":"INTERNAL","error_message":"The batch could not be processed."}}"#,
    r#"{"type":"batch.expired","version":"v1","timestamp":"2026-01-22T12:00:02Z","data":{"id":"batches/8kq4"}}"#,
    r#"{"type":"batch.cancelled","version":"v1","timestamp":"2026-01-22T12:00:03Z","data":{"id":"batches/8kq5"}}"#,
    r#"{"type":"interaction.requires_action","version":"v1","timestamp":"2026-01-22T12:00:04Z","data":{"id":"v1_ChdQb1"}}"#,
    r#"{"type":"interaction.completed","version":"v1","timestamp":"2026-01-22T12:00:05Z","data":{"id":"v1_ChdQb2"}}"#,
    r#"{"type":"interaction.failed","version":"v1","timestamp":"2026-01-22T12:00:06Z","data":{"id":"v1_ChdQb3","error_code":13,"error_message":"The model stopped."}}"#,
    r#"{"type":"interaction.cancelled","version":"v1","timestamp":"2026-01-22T12:00:07Z","data":{"id":"v1_ChdQb4"}}"#,
    r#"{"type":"video.generated","version":"v1","timestamp":"2026-01-22T12:00:08Z","data":{"id":"models/veo/operations/77","output_file_uri":"files/video-77","file_name":"files/video-77"}}"#,
];

/// Signs a delivery of a static webhook (`v1`), and returns its three headers.
///
/// Each item is a name and a value. `timestamp` is in seconds since the Unix epoch. To imitate a
/// rotation, join the signatures of two calls with a space. The [module](self) has an example.
#[must_use]
pub fn sign_v1(
    secret: &SigningSecret,
    id: &str,
    timestamp: u64,
    body: impl AsRef<[u8]>,
) -> [(&'static str, String); 3] {
    let timestamp = timestamp.to_string();
    let digest = secret.mac().digest(id, timestamp.as_bytes(), body.as_ref());
    let signature = STANDARD.encode(digest.into_bytes());
    headers(id, timestamp, format!("{},{signature}", Scheme::V1))
}

fn headers(id: &str, timestamp: impl Display, signature: String) -> [(&'static str, String); 3] {
    [
        (WEBHOOK_ID, id.to_owned()),
        (WEBHOOK_TIMESTAMP, timestamp.to_string()),
        (WEBHOOK_SIGNATURE, signature),
    ]
}
