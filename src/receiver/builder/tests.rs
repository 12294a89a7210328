use std::time::SystemTime;

use super::*;
#[cfg(feature = "jwks")]
use crate::endpoint::EndpointToken;
#[cfg(feature = "jwks")]
use crate::jwks::KeySet;
use crate::receiver::WebhookReceiver;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[test]
fn mistakes_are_told_at_the_end_the_first_one() {
    let zero = |setting| ConfigError::Zero { setting };
    let good = || WebhookReceiver::builder().signing_secret(SECRET);
    for (builder, expected) in [
        (WebhookReceiver::builder(), ConfigError::NoKeys),
        (good().signing_secret(""), ConfigError::SecretEmpty),
        (
            WebhookReceiver::builder()
                .signing_secret("AA==")
                .signing_secret(""),
            ConfigError::SecretTooShort { bytes: 1 },
        ),
        (
            good().signing_secret_until("", SystemTime::UNIX_EPOCH),
            ConfigError::SecretEmpty,
        ),
        (
            good().tolerance(Duration::from_millis(999)),
            zero("tolerance"),
        ),
        (good().max_body_bytes(0), zero("max_body_bytes")),
        (good().max_buffered_bytes(0), zero("max_buffered_bytes")),
        (good().body_timeout(Duration::ZERO), zero("body_timeout")),
        (
            good().handler_timeout(Duration::ZERO),
            zero("handler_timeout"),
        ),
        (
            good().status(VerifyErrorKind::SignatureMismatch, 200),
            ConfigError::StatusNotAnError { status: 200 },
        ),
        (
            good().status(VerifyErrorKind::SignatureMismatch, 600),
            ConfigError::StatusNotAnError { status: 600 },
        ),
    ] {
        assert_eq!(builder.build().map(drop), Err(expected));
    }
    assert!(good().build().is_ok());
}

#[cfg(feature = "jwks")]
#[test]
fn public_keys_want_something_that_ties_deliveries_to_this_project() {
    let json = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let keys = KeySet::from_json(json).unwrap();
    let with_keys = || WebhookReceiver::builder().jwks(keys.clone());
    let token = EndpointToken::generate().unwrap();
    for builder in [with_keys(), with_keys().signing_secret(SECRET)] {
        assert_eq!(
            builder.clone().build().map(drop),
            Err(ConfigError::AnyGoogleProject)
        );
        assert!(
            builder
                .clone()
                .endpoint_token(token.clone())
                .build()
                .is_ok()
        );
        assert!(builder.allow_any_google_project().build().is_ok());
    }
}

#[test]
fn debug_shows_no_secret() {
    let builder = WebhookReceiver::builder().signing_secret(SECRET);
    let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    assert!(!shown.contains("MfKQ"), "{shown}");
}
