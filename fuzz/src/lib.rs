//! What the targets have in common: the keys, and the format of inputs that are more than a text.

use std::ops::RangeInclusive;

use arbitrary::{Result, Unstructured};
use ed25519_dalek::SigningKey;
use gemini_webhooks::testing::Ed25519Signer;

/// The time of the vectors, in seconds since the Unix epoch.
pub const NOW: u64 = 1_769_083_200;

/// The secrets of the vectors.
pub const SECRETS: [&str; 3] = [
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "whsec_plJ3nmyCDGBKInavdOK15jsl",
];

/// Numbers of the Ed25519 keys of the vectors, whose seeds are one byte repeated.
pub fn ed25519_keys() -> RangeInclusive<u8> {
    1..=8
}

/// An Ed25519 key of the vectors: its signer, and its public half by another way.
#[must_use]
pub fn ed25519_key(number: u8) -> (Ed25519Signer, [u8; 32]) {
    let seed = [number; 32];
    let public = SigningKey::from_bytes(&seed).verifying_key().to_bytes();
    (Ed25519Signer::new(&number.to_string(), seed), public)
}

/// Reads a length in two bytes and as many bytes as that, or what is left.
///
/// Unlike the lengths of `Vec`'s own `Arbitrary`, it stands in front, so that `seeds.py` can write it.
pub fn part<'a>(input: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let length: u16 = input.arbitrary()?;
    input.bytes(usize::from(length).min(input.len()))
}

/// What the tokens of the vectors say of whom they are from and for.
pub mod token {
    /// The name of the key.
    pub const KID: &str = "rsa-1";
    /// The audience.
    pub const AUDIENCE: &str = "https://example.com/gemini-webhook-dynamic";
    /// The header of most of them.
    pub const HEADER: &str = r#"{"alg":"RS256","kid":"rsa-1","typ":"JWT"}"#;
}
