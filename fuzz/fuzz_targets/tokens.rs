//! JWTs: none is accepted but what the key of this process signed, byte for byte, for this audience and for now.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use arbitrary::{Result, Unstructured};
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::{self, Rs256Signer};
use gemini_webhooks::{DeliveryHeaders, Verifier};
use gemini_webhooks_fuzz::{NOW, fuzz_target, part, token};
use serde_json::Value;

static SIGNER: LazyLock<Rs256Signer> =
    LazyLock::new(|| Rs256Signer::generate(token::KID).expect("there is randomness"));

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let keys = testing::key_set([SIGNER.jwk()]);
    let keys = KeySet::from_json(keys.as_bytes()).expect("it has a key");
    Verifier::for_keys(keys).accept_jwt(token::AUDIENCE)
});

fuzz_target!(|input: &[u8]| {
    // Whatever cannot be read has nothing to say.
    let _ = try_one(&mut Unstructured::new(input));
});

fn try_one(input: &mut Unstructured<'_>) -> Result<()> {
    let offset: i16 = input.arbitrary()?;
    let now = NOW.saturating_add_signed(i64::from(offset));
    let (place, change): (u16, u8) = input.arbitrary()?;
    let (header, claims, body, beside) = (part(input)?, part(input)?, part(input)?, part(input)?);
    let (Ok(header), Ok(claims)) = (str::from_utf8(header), str::from_utf8(claims)) else {
        return Ok(());
    };

    let genuine = SIGNER.token(header, claims);
    let mut sent = genuine.clone().into_bytes();
    let place = usize::from(place) % sent.len();
    sent[place] ^= change;
    let list = [beside, b" ", &sent].concat();
    let timestamp = now.to_string();
    let lines = [
        ("webhook-id", b"msg_1".as_slice()),
        ("webhook-timestamp", timestamp.as_bytes()),
        ("webhook-signature", &list),
    ];
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
    let headers = DeliveryHeaders::from_lines(lines);
    let verified = VERIFIER.verify(&headers, body, at);

    if let Ok(verified) = &verified {
        assert_eq!(sent, genuine.as_bytes());
        assert_eq!(verified.payload(), Some(claims.as_bytes()));
        assert_eq!(verified.key_id(), token::KID);
        assert!(
            verified
                .token_valid_until()
                .is_some_and(|until| until + Duration::from_secs(1) > at)
        );
        let header: Value = serde_json::from_str(header).expect("a header that was read is JSON");
        assert_eq!(
            (&header["alg"], &header["kid"]),
            (&"RS256".into(), &token::KID.into())
        );
    }
    // A reader of plain JSON takes less than the one of claims, and what it takes means the same.
    if let Ok(claims) = serde_json::from_str::<Value>(claims) {
        let is_ours = claims.is_object() && is_for_us(&claims["aud"]) && is_for_now(&claims, now);
        assert!(verified.is_err() || is_ours);
        let is_alone = beside.is_empty() && body.is_empty() && change == 0;
        if is_alone && header == token::HEADER && list.len() <= 16 * 1024 {
            assert_eq!(verified.is_ok(), is_ours, "{:?}", verified.err());
        }
    }
    Ok(())
}

fn is_for_us(aud: &Value) -> bool {
    let ours = |aud: &Value| aud.as_str() == Some(token::AUDIENCE);
    ours(aud)
        || aud
            .as_array()
            .is_some_and(|several| several.iter().any(ours))
}

/// The times of RFC 7519, 4.1, with five minutes to spare; and a token that does not say when it was issued expires
/// within a day.
fn is_for_now(claims: &Value, now: u64) -> bool {
    const SPARE: u64 = 300;
    // Nothing, or a number of seconds that a `Duration` can hold.
    let seconds = |value: &Value| {
        let time = Duration::try_from_secs_f64(value.as_f64()?);
        Some(time.ok()?.as_secs())
    };
    let time = |name: &str| claims.get(name).map(seconds);
    let (exp, nbf, iat) = (time("exp"), time("nbf"), time("iat"));
    let (Some(Some(exp)), false) = (exp, nbf == Some(None) || iat == Some(None)) else {
        return false;
    };
    let (nbf, iat) = (nbf.flatten(), iat.flatten());
    let begins = nbf.max(iat).unwrap_or(0);
    let is_recent = match iat {
        Some(iat) => now <= iat.saturating_add(SPARE),
        None => exp <= now + 24 * 60 * 60,
    };
    now <= exp.saturating_add(SPARE) && begins <= now + SPARE && is_recent
}
