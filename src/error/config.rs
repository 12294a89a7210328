use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Plain;

/// The error when a receiver or one of its settings is invalid.
///
/// [`WebhookReceiverBuilder::build`](crate::WebhookReceiverBuilder::build) returns it, and so do the
/// types that read a setting, such as [`SigningSecret`](crate::SigningSecret) and
/// [`EndpointToken`](crate::EndpointToken). Its text says what is wrong and what to do, and
/// contains no part of a secret. An app usually returns it from `main`.
///
/// ```
/// use gemini_webhooks::{ConfigError, WebhookReceiver};
///
/// let mistake = WebhookReceiver::builder().build().unwrap_err();
/// assert_eq!(mistake, ConfigError::NoKeys);
/// ```
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Neither a signing secret nor public keys were given, so no delivery could be verified.
    NoKeys,
    /// Google's public keys are trusted, and nothing ties a delivery to your project.
    ///
    /// All of Google's customers share these keys. Set an [`EndpointToken`](crate::EndpointToken)
    /// or a check of your own (`accept_if`), or call `allow_any_google_project`.
    AnyGoogleProject,
    /// The endpoint token has fewer than 22 characters, which hold 128 bits.
    EndpointTokenTooShort {
        /// How many characters it has.
        chars: usize,
    },
    /// The text is not an endpoint token: it is a placeholder or a signing secret, has something
    /// around it, such as quotes, or has other characters than letters, digits, `-` and `_`.
    EndpointTokenMalformed {
        /// The end of a sentence that begins with "the endpoint token".
        reason: &'static str,
    },
    /// An environment variable is not set, is empty, or holds a text that is refused.
    Variable {
        /// The name of the variable.
        name: String,
        /// The end of a sentence that begins with the name.
        reason: String,
    },
    /// `accept_jwt` was called, and there are no public keys to check JWTs with.
    JwtWithoutKeys,
    /// An audience given to `accept_jwt`, or the issuer given to `jwt_issuer`, is empty.
    JwtNameEmpty,
    /// The URL to fetch public keys from is not a valid URL.
    KeysUrlInvalid,
    /// The URL to fetch public keys from is not `https`, nor a loopback address.
    KeysUrlInsecure,
    /// `max_stale` is less than a minute, which leaves no time to fetch public keys again.
    MaxStaleTooShort,
    /// The text is not an API key: it is a placeholder or a signing secret, or has something around
    /// it, such as quotes.
    ApiKeyMalformed {
        /// The end of a sentence that begins with "the API key".
        reason: &'static str,
    },
    /// The base URL or the version of the API cannot be used.
    ApiUrlInvalid {
        /// The end of a sentence that begins with "the base URL".
        reason: &'static str,
    },
    /// The HTTP client that fetches keys or calls the API cannot be built, for instance because this
    /// machine has no root certificates.
    HttpClient {
        /// What the HTTP library reports.
        reason: String,
    },
    /// The operating system returned no random bytes.
    NoRandomness,
    /// The private key that a signer of the module `testing` was given is not an RSA key in PKCS#8, or
    /// has fewer than 2048 bits.
    PrivateKeyMalformed {
        /// What the cryptographic library reports.
        reason: String,
    },
    /// The signing secret is empty.
    SecretEmpty,
    /// The signing secret decodes to fewer than 16 bytes, which could be guessed. Standard Webhooks
    /// asks for 24 to 64.
    SecretTooShort {
        /// How many bytes it decodes to.
        bytes: usize,
    },
    /// The text is not a signing secret: it is a placeholder, a signature or an API key, has
    /// something around it, such as quotes or a name, or is not standard base64.
    SecretMalformed {
        /// The end of a sentence that begins with "the signing secret".
        reason: &'static str,
    },
    /// A keyring has no secret with this `key_id`.
    KeyIdUnknown,
    /// A keyring would have no secret that is valid now, so every delivery would be refused.
    LastSecret,
    /// A limit or a duration is zero, which would refuse every delivery.
    Zero {
        /// The method of the builder.
        setting: &'static str,
    },
    /// The namespace of a guard is empty. Apps that share a guard would take each other's events for
    /// duplicates.
    NamespaceEmpty,
    /// The lease is not longer than a handler and two answers of the guard may take, so a retry
    /// could run beside the handler.
    LeaseTooShort {
        /// The lease.
        lease: Duration,
        /// What it must be longer than: `handler_timeout` plus twice `guard_timeout`.
        longer_than: Duration,
    },
    /// Handled events are remembered for less than twice the tolerance, so a recorded delivery
    /// could be replayed afterwards.
    RetentionTooShort {
        /// The retention.
        retention: Duration,
        /// Twice the tolerance.
        at_least: Duration,
    },
    /// Two routes take events of the same type, so the first one would never be called.
    RouteTwice {
        /// The present name of the type.
        type_name: String,
    },
    /// The status given for a kind of error is not from 400 to 599. Another one would tell the sender
    /// that the delivery was accepted.
    StatusNotAnError {
        /// The status that was given.
        status: u16,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str(
                "no signing secret and no public keys were given, so no delivery could be verified: call `signing_secret` for a static webhook, or `google_keys` (feature `jwks`) for a dynamic one",
            ),
            Self::AnyGoogleProject => f.write_str(
                "all of Google's customers share its public keys, so they do not prove that a delivery is about your project: call `endpoint_token`, or `accept_if` with a check that knows your jobs; or call `allow_any_google_project` if your handler itself checks that it knows the job",
            ),
            Self::EndpointTokenTooShort { chars } => write!(
                f,
                "the endpoint token has {chars} characters, and at least 22 are needed, which hold 128 bits: make one with `EndpointToken::generate`"
            ),
            Self::EndpointTokenMalformed { reason } => write!(f, "the endpoint token {reason}"),
            Self::Variable { name, reason } => {
                write!(f, "the environment variable `{}` {reason}", Plain::new(name))
            }
            Self::KeyIdUnknown => f.write_str(
                "the keyring has no secret with this `key_id`: `key_ids` returns those that it has",
            ),
            Self::LastSecret => f.write_str(
                "the keyring would have no valid secret left, so every delivery would be refused: add the new one first",
            ),
            Self::JwtWithoutKeys => f.write_str(
                "`accept_jwt` was called, but there are no public keys to check JWTs with: also call `google_keys`, `jwks_url`, `key_source` or `jwks`",
            ),
            Self::JwtNameEmpty => f.write_str(
                "an audience given to `accept_jwt`, or the issuer given to `jwt_issuer`, is empty: give the text that `aud` or `iss` must have",
            ),
            Self::KeysUrlInvalid => f.write_str(
                "the URL to fetch public keys from is not a valid URL: give an absolute one, such as `https://example.com/jwks.json`",
            ),
            Self::KeysUrlInsecure => f.write_str(
                "the URL to fetch public keys from is neither `https` nor a loopback address: anyone on the way could replace the keys, so use `https`",
            ),
            Self::MaxStaleTooShort => f.write_str(
                "`max_stale` is less than a minute, which leaves no time to fetch public keys again: give a minute or more",
            ),
            Self::ApiKeyMalformed { reason } => write!(f, "the API key {reason}"),
            Self::ApiUrlInvalid { reason } => write!(f, "the base URL {reason}"),
            Self::HttpClient { reason } => write!(
                f,
                "the HTTP client cannot be built: {} (if it finds no root certificates, install `ca-certificates`)",
                Plain::new(reason)
            ),
            Self::NoRandomness => f.write_str(
                "the operating system returned no random bytes, so nothing secret can be generated here: check that this process may call `getrandom`",
            ),
            Self::PrivateKeyMalformed { reason } => write!(
                f,
                "the private key cannot be used ({}): give an RSA key of 2048 bits or more in PKCS#8",
                Plain::new(reason)
            ),
            Self::SecretEmpty => f.write_str(
                "the signing secret is empty: give the text starting with `whsec_` that Google showed when the webhook was created or its secret rotated",
            ),
            Self::SecretTooShort { bytes } => write!(
                f,
                "the signing secret decodes to {bytes} bytes, and at least 16 are needed (24 to 64 are usual): check that all of it was copied"
            ),
            Self::SecretMalformed { reason } => write!(f, "the signing secret {reason}"),
            Self::Zero { setting } => write!(
                f,
                "`{setting}` is zero, with which nothing could succeed: give a larger value, or leave it out for the default"
            ),
            Self::NamespaceEmpty => f.write_str(
                "the namespace of the guard is empty: give each app and environment a name of its own, such as `orders-production`",
            ),
            Self::LeaseTooShort { lease, longer_than } => write!(
                f,
                "`lease` is {lease:?}, and must be longer than {longer_than:?} (`handler_timeout` plus twice `guard_timeout`), or a retry could run beside the handler: raise `lease`, or lower the timeouts"
            ),
            Self::RetentionTooShort { retention, at_least } => write!(
                f,
                "`retention` is {retention:?}, and must be at least {at_least:?} (twice `tolerance`), or a recorded delivery could be replayed afterwards: raise `retention`"
            ),
            Self::RouteTwice { type_name } => write!(
                f,
                "two routes take events of the type `{}`: remove one of them",
                type_name.escape_debug()
            ),
            Self::StatusNotAnError { status } => write!(
                f,
                "{status} is not a status for an error: give one from 400 to 599"
            ),
        }
    }
}

/// As `Display`: a `main` that returns the error prints this.
impl fmt::Debug for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigError: {self}")
    }
}

impl Error for ConfigError {}
