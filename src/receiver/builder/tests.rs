use std::time::SystemTime;

use super::*;
use crate::endpoint::EndpointToken;
#[cfg(feature = "jwks")]
use crate::jwks::KeySet;
use crate::receiver::WebhookReceiver;
use crate::replay::MemoryGuard;
use crate::testing::ManualClock;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
#[cfg(feature = "jwks")]
const KEYS: &[u8] = br#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

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
    let keys = KeySet::from_json(KEYS).unwrap();
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

/// As the documentation of the setters says.
#[test]
fn the_defaults() {
    let seconds = Duration::from_secs;
    let builder = WebhookReceiver::builder().signing_secret(SECRET);
    #[cfg(feature = "jwks")]
    assert_eq!(builder.max_stale, seconds(86_400));
    let receiver = builder.build().unwrap();
    let shared = &receiver.shared;
    assert_eq!(shared.max_body_bytes, 65_536);
    assert_eq!(shared.max_buffered_bytes, 268_435_456);
    assert_eq!(shared.body_timeout, seconds(10));
    assert_eq!(shared.handler_timeout, seconds(30));
    assert_eq!(shared.retention, seconds(90_000));
    // The body, ten seconds for what follows it, and the guard.
    assert_eq!(shared.delay, seconds(10 + 10 + 2));
    assert!(!shared.once_per_job && shared.captures.is_none() && shared.statuses.is_empty());
    let claims = receiver.claims().unwrap();
    assert_eq!((claims.lease, claims.timeout), (seconds(120), seconds(2)));
    assert_eq!(&*claims.namespace, "");
    assert!(!claims.handle_unclaimed);
}

#[test]
fn each_setting_arrives_and_leaves_the_others() {
    let seconds = Duration::from_secs;
    let clock = ManualClock::default();
    let receiver = WebhookReceiver::builder()
        .signing_secret(SECRET)
        .signing_secret_until(SECRET, SystemTime::UNIX_EPOCH)
        .keyring(Keyring::new(SECRET.parse().unwrap()))
        .endpoint_token(EndpointToken::generate().unwrap())
        .endpoint_tokens(Keyring::new(EndpointToken::generate().unwrap()))
        .accept_if(|_, _| async { Ok(true) })
        .guard("app", MemoryGuard::new())
        .lease(seconds(301))
        .retention(seconds(200_000))
        .guard_timeout(seconds(3))
        .handle_unclaimed_while_guard_fails()
        .tolerance(seconds(60))
        .max_body_bytes(1)
        .max_buffered_bytes(2)
        .body_timeout(seconds(4))
        .handler_timeout(seconds(5))
        .status(VerifyErrorKind::SignatureMismatch, 400)
        .status(VerifyErrorKind::InFlight, 599)
        .once_per_job()
        .log_refused_deliveries()
        .clock(clock.clone())
        .build()
        .unwrap();
    let shared = &receiver.shared;
    assert_eq!(shared.verifier.keyrings().len(), 3);
    assert_eq!(shared.endpoint_tokens.keyrings().len(), 2);
    assert_eq!(format!("{:?}", shared.acceptance), "1 checks");
    assert_eq!((shared.max_body_bytes, shared.max_buffered_bytes), (1, 2));
    assert_eq!(shared.body_timeout, seconds(4));
    assert_eq!(shared.handler_timeout, seconds(5));
    assert_eq!(shared.retention, seconds(200_000));
    assert_eq!(shared.delay, seconds(4 + 10 + 3));
    assert!(shared.once_per_job && shared.captures.is_some());
    assert_eq!(shared.clock.now(), clock.now());
    assert_eq!(
        shared.statuses,
        [
            (VerifyErrorKind::SignatureMismatch, 400),
            (VerifyErrorKind::InFlight, 599)
        ]
    );
    let claims = receiver.claims().unwrap();
    assert_eq!((claims.lease, claims.timeout), (seconds(301), seconds(3)));
    assert_eq!(&*claims.namespace, "app");
    assert!(claims.handle_unclaimed);
    let unprotected = WebhookReceiver::builder()
        .signing_secret(SECRET)
        .without_replay_protection()
        .build();
    assert!(unprotected.unwrap().claims().is_none());
}

#[cfg(feature = "jwks")]
#[test]
fn settings_of_public_keys() {
    let keys = KeySet::from_json(KEYS).unwrap();
    let with_keys = || {
        WebhookReceiver::builder()
            .jwks(keys.clone())
            .allow_any_google_project()
    };
    let too_short = Some(ConfigError::MaxStaleTooShort);
    for (builder, expected) in [
        (with_keys().max_stale(Duration::from_secs(59)), too_short),
        (with_keys().max_stale(Duration::from_secs(60)), None),
        (
            WebhookReceiver::builder()
                .jwks(keys.clone())
                .accept_if(|_, _| async { Ok(true) }),
            None,
        ),
        (
            WebhookReceiver::builder()
                .allow_any_google_project()
                .google_keys(),
            None,
        ),
        (
            WebhookReceiver::builder()
                .allow_any_google_project()
                .jwks_url("https://keys.example/jwks"),
            None,
        ),
        (
            WebhookReceiver::builder()
                .allow_any_google_project()
                .key_source(crate::jwks::HttpKeySource::google().unwrap()),
            None,
        ),
    ] {
        assert_eq!(builder.build().err(), expected);
    }
}

#[cfg(feature = "jwt")]
#[test]
fn settings_of_tokens() {
    let keys = KeySet::from_json(KEYS).unwrap();
    let with_keys = || {
        WebhookReceiver::builder()
            .jwks(keys.clone())
            .allow_any_google_project()
    };
    let static_only = || WebhookReceiver::builder().signing_secret(SECRET);
    let (nameless, keyless) = (ConfigError::JwtNameEmpty, ConfigError::JwtWithoutKeys);
    for (builder, expected) in [
        (with_keys().accept_jwt("app").jwt_issuer("google"), None),
        (with_keys().accept_jwt(""), Some(nameless.clone())),
        (with_keys().accept_jwt("app").jwt_issuer(""), Some(nameless)),
        (static_only().accept_jwt("app"), Some(keyless)),
        (static_only(), None),
    ] {
        assert_eq!(builder.build().err(), expected);
    }
}

#[test]
fn debug_shows_no_secret() {
    let builder = WebhookReceiver::builder().signing_secret(SECRET);
    let shown = format!("{builder:?} {:?}", builder.clone().build().unwrap());
    assert!(!shown.contains("MfKQ"), "{shown}");
}
