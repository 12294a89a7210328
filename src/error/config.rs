use std::error::Error;
use std::fmt;

use super::Plain;

/// A mistake in the configuration, found while building.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigError {
    /// Neither a secret nor public keys were given, so nothing could ever be verified.
    NoKeys,
    /// Public keys are trusted that all of Google's customers share, and nothing ties a delivery to
    /// this project: set an [`EndpointToken`](crate::EndpointToken) or a check of your own
    /// (`accept_if`), or say `allow_any_google_project`.
    AnyGoogleProject,
    /// The endpoint token is shorter than 22 characters, which hold 128 bits.
    EndpointTokenTooShort {
        /// How many characters it has.
        chars: usize,
    },
    /// The endpoint token is something else, such as a placeholder or a signing secret, or has
    /// something around it, such as quotes; or other characters than letters, digits, `-` and `_`.
    EndpointTokenMalformed {
        /// The end of a sentence that begins with "the endpoint token".
        reason: &'static str,
    },
    /// An environment variable is not set, is empty, or holds what cannot be used.
    Variable {
        /// The variable.
        name: String,
        /// The end of a sentence that begins with the name.
        reason: String,
    },
    /// The JWT form was switched on without public keys to check tokens with.
    JwtWithoutKeys,
    /// The audience or the issuer that tokens are to name is empty.
    JwtNameEmpty,
    /// The URL to fetch keys from cannot be read.
    KeysUrlInvalid,
    /// The URL to fetch keys from is no `https`. Only this machine itself may be asked without.
    KeysUrlInsecure,
    /// Public keys may be stale for less than a minute, in which they could not be fetched again.
    MaxStaleTooShort,
    /// The API key is something else, such as a placeholder or a signing secret, or has something
    /// around it, such as quotes.
    ApiKeyMalformed {
        /// The end of a sentence that begins with "the API key".
        reason: &'static str,
    },
    /// The base URL or the version of the API cannot be used.
    ApiUrlInvalid {
        /// The end of a sentence that begins with "the base URL".
        reason: &'static str,
    },
    /// The HTTP client that fetches keys or calls the API cannot be made, for instance because this machine has no
    /// certificates of authorities.
    HttpClient {
        /// What it says.
        reason: String,
    },
    /// The operating system gave no random bytes.
    NoRandomness,
    /// The secret is empty.
    SecretEmpty,
    /// The secret decodes to fewer than 16 bytes, which could be guessed. Standard Webhooks asks
    /// for 24 to 64.
    SecretTooShort {
        /// How many bytes it decodes to.
        bytes: usize,
    },
    /// The secret is something else, such as a placeholder, a signature or an API key, or has
    /// something around it, such as quotes or a name; or it is not standard base64.
    SecretMalformed {
        /// The end of a sentence that begins with "the signing secret".
        reason: &'static str,
    },
    /// A limit or a duration is zero, which would refuse every delivery.
    Zero {
        /// The builder's method.
        setting: &'static str,
    },
    /// The namespace of a guard is empty: what shares it would swallow each other's events.
    NamespaceEmpty,
    /// The lease is not longer than the handler and two answers of the guard may take: a retry could
    /// run beside it.
    LeaseTooShort,
    /// Handled events are remembered for less than twice the tolerance: a copy could come after that.
    RetentionTooShort,
    /// Two routes take events of the same type, so one of them would never be called.
    RouteTwice {
        /// What the type is called now.
        type_name: String,
    },
    /// An error can only be answered with a status from 400 to 599: anything else would tell the
    /// sender that the delivery was taken.
    StatusNotAnError {
        /// The status that was asked for.
        status: u16,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKeys => f.write_str("neither a signing secret nor public keys were given"),
            Self::AnyGoogleProject => f.write_str(
                "public keys prove that Google sent a delivery, not that it is yours: set an endpoint token or `accept_if`, or call `allow_any_google_project`",
            ),
            Self::EndpointTokenTooShort { chars } => write!(
                f,
                "the endpoint token has {chars} characters; at least 22 are needed, which hold 128 bits"
            ),
            Self::EndpointTokenMalformed { reason } => write!(f, "the endpoint token {reason}"),
            Self::Variable { name, reason } => {
                write!(f, "the environment variable `{}` {reason}", Plain::new(name))
            }
            Self::JwtWithoutKeys => f.write_str(
                "the JWT form wants public keys: call `google_keys`, `jwks_url`, `key_source` or `jwks`",
            ),
            Self::JwtNameEmpty => f.write_str("the audience or the issuer of tokens is empty"),
            Self::KeysUrlInvalid => f.write_str("the URL to fetch keys from cannot be read"),
            Self::KeysUrlInsecure => f.write_str(
                "the URL to fetch keys from is no `https`, and not of this machine itself",
            ),
            Self::MaxStaleTooShort => f.write_str("`max_stale` is less than a minute"),
            Self::ApiKeyMalformed { reason } => write!(f, "the API key {reason}"),
            Self::ApiUrlInvalid { reason } => write!(f, "the base URL {reason}"),
            Self::HttpClient { reason } => {
                write!(f, "the HTTP client cannot be made: {}", Plain::new(reason))
            }
            Self::NoRandomness => f.write_str("the operating system gave no random bytes"),
            Self::SecretEmpty => f.write_str("the signing secret is empty"),
            Self::SecretTooShort { bytes } => write!(
                f,
                "the signing secret decodes to {bytes} bytes; at least 16 are needed, 24 to 64 are usual"
            ),
            Self::SecretMalformed { reason } => write!(f, "the signing secret {reason}"),
            Self::Zero { setting } => write!(f, "`{setting}` is zero, which would refuse every delivery"),
            Self::NamespaceEmpty => f.write_str("the namespace of the guard is empty"),
            Self::LeaseTooShort => f.write_str("`lease` is not longer than `handler_timeout` and twice `guard_timeout`"),
            Self::RetentionTooShort => f.write_str("`retention` is less than twice `tolerance`"),
            Self::RouteTwice { type_name } => write!(
                f,
                "two routes take events of the type `{}`; keep one of them",
                type_name.escape_debug()
            ),
            Self::StatusNotAnError { status } => {
                write!(f, "{status} is no error status; 400 to 599 are")
            }
        }
    }
}

impl Error for ConfigError {}
