//! `v1`: HMAC-SHA256 over `{id}.{timestamp}.{body}`
//! ([Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)).

use ::hmac::digest::CtOutput;
use ::hmac::{Hmac, KeyInit as _, Mac as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Sha256;

use crate::headers::Fields;

const PREFIX: &[u8] = b"v1,";

/// 32 bytes in canonical, padded base64.
const SIGNATURE_CHARS: usize = 44;

/// Compares itself in constant time.
type Digest = CtOutput<Hmac<Sha256>>;

/// A key after its setup: starting a message from here is a copy, not two more compressions.
#[derive(Clone)]
pub(crate) struct KeyedMac(Hmac<Sha256>);

impl KeyedMac {
    pub(crate) fn new(key: &[u8]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "HMAC takes a key of any length (RFC 2104, 2)"
        )]
        Self(Hmac::new_from_slice(key).expect("HMAC takes a key of any length"))
    }

    /// Fed in parts, so that the body is not copied. It need not be text.
    pub(crate) fn digest(&self, id: &str, timestamp: &[u8], body: &[u8]) -> Digest {
        let mut mac = self.0.clone();
        for part in [id.as_bytes(), b".", timestamp, b".", body] {
            mac.update(part);
        }
        mac.finalize()
    }

    /// Whether one of the `v1` entries is this key's. The body is hashed once, however many there
    /// are; an entry that is no digest does not spoil the others.
    pub(crate) fn signed(&self, fields: &Fields<'_>, body: &[u8]) -> bool {
        let expected = self.digest(fields.id, fields.timestamp, body);
        candidates(fields)
            .filter_map(decode)
            .any(|claimed| expected == claimed)
    }
}

/// The `v1` entries that have the length of a digest: the only ones worth a hash.
pub(crate) fn candidates<'a>(fields: &Fields<'a>) -> impl Iterator<Item = &'a [u8]> {
    fields
        .signatures
        .after(PREFIX)
        .filter(|text| text.len() == SIGNATURE_CHARS)
}

/// Standard base64, canonical and padded: one text for each digest.
fn decode(text: &[u8]) -> Option<Digest> {
    let mut digest = [0; 32];
    let length = STANDARD.decode_slice(text, &mut digest).ok()?;
    (length == digest.len()).then(|| Digest::new(digest.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_4231_test_case_1() {
        // Key 20 × 0b, data "Hi There"; ours is split as id "Hi There", so the dots are added.
        // The vector itself goes through the same state.
        let mut mac = KeyedMac::new(&[0x0b; 20]).0;
        mac.update(b"Hi There");
        let hex: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn parts_are_one_message() {
        let mut whole = KeyedMac::new(&[7; 32]).0;
        whole.update(b"msg_1.1700000000.{}");
        let whole = whole.finalize();
        assert!(KeyedMac::new(&[7; 32]).digest("msg_1", b"1700000000", b"{}") == whole);
    }

    #[test]
    fn only_canonical_padded_base64_of_32_bytes() {
        let good = STANDARD.encode([0xab; 32]);
        assert!(decode(good.as_bytes()) == Some(Digest::new([0xab; 32].into())));
        for bad in [
            good.trim_end_matches('=').to_owned(),
            format!("{good}="),
            // the last character carries two unused bits
            good.replace("6s=", "6t="),
            good.replace('q', "-"),
            STANDARD.encode([0xab; 31]),
            STANDARD.encode([0xab; 33]),
            String::new(),
        ] {
            assert_ne!(bad, good);
            assert!(decode(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
