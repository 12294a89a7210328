//! An app that makes and reads tokens of its own with `jsonwebtoken`, and receives deliveries in
//! the JWT form beside it. `scripts/beside-jsonwebtoken` builds it with either backend and with
//! both: Cargo unifies features, so a backend that gemini-webhooks turned on would be one of the
//! app's.

use std::error::Error;

use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::{self, ManualClock, Rs256Signer};
use gemini_webhooks::{Clock as _, DeliveryHeaders, Verifier};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn Error>> {
    // Before the app chose a provider, and after.
    delivery()?;
    #[cfg(all(feature = "aws_lc_rs", feature = "rust_crypto"))]
    jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER
        .install_default()
        .map_err(|_| "gemini-webhooks installed a provider")?;
    token_of_the_app()?;
    delivery()?;
    token_of_the_app()?;
    println!("ok");
    Ok(())
}

fn token_of_the_app() -> Result<(), Box<dyn Error>> {
    let claims = json!({"sub": "somebody", "exp": 4_102_444_800_u64});
    let secret = b"the app's own secret, of some length";
    let token = jsonwebtoken::encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(secret),
    )?;
    let key = DecodingKey::from_secret(secret);
    let read = jsonwebtoken::decode::<Value>(&token, &key, &Validation::new(Algorithm::HS256))?;
    if read.claims != claims {
        return Err("the app's token reads otherwise".into());
    }
    Ok(())
}

fn delivery() -> Result<(), Box<dyn Error>> {
    let signer = Rs256Signer::generate("google")?;
    let keys = KeySet::from_json(testing::key_set([signer.jwk()]).as_bytes())?;
    let clock = ManualClock::default();
    let claims = testing::claims(testing::SAMPLE_EVENTS[0], "my-app", clock.unix_seconds())?;
    let headers = signer.sign("msg_1", clock.unix_seconds(), &claims);
    let headers = DeliveryHeaders::from_lines(headers.iter().map(|(name, value)| (*name, value)));
    let verifier = Verifier::for_keys(keys).accept_jwt("my-app");
    let verified = verifier.verify(&headers, b"", clock.now())?;
    if verified.payload() != Some(claims.as_bytes()) {
        return Err("the delivery reads otherwise".into());
    }
    Ok(())
}
