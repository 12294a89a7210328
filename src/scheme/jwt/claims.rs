//! What a token says, and whether it is meant for us and for now.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{JwtRules, refuse};
use crate::error::{Detail, Plain, VerifyError, VerifyErrorKind};
use crate::json::{members, string, string_or_number, unambiguous};

/// How far ahead a token without `iat` may expire. With it, the tolerance bounds how long a token
/// can be replayed.
const MAX_AHEAD: u64 = 24 * 60 * 60;

const MAX_JTI: usize = 256;

/// How much of a claim the log shows.
const MAX_SHOWN: usize = 256;

/// What is needed of the claims once they are found in order.
#[derive(Debug, PartialEq)]
pub(super) struct Claims {
    pub(super) jti: Option<String>,
    /// The last second, since the Unix epoch, at which the token is accepted.
    pub(super) valid_until: u64,
}

impl JwtRules {
    /// RFC 7519, 4.1: `exp` and `aud` must be there, `nbf`, `iat` and `iss` are checked.
    pub(super) fn claims(
        &self,
        payload: &[u8],
        now: u64,
        tolerance: u64,
    ) -> Result<Claims, VerifyError> {
        let [aud, exp, nbf, iat, iss, jti] = str::from_utf8(payload)
            .ok()
            .and_then(|payload| members(payload, &["aud", "exp", "nbf", "iat", "iss", "jti"]))
            .ok_or(refuse("its payload is not a JSON object"))?;

        let exp = seconds(exp.ok_or(refuse("it has no `exp`"))?)
            .ok_or(refuse("its `exp` is not a number of seconds"))?;
        let time = |claim: Option<&RawValue>, why| match claim {
            Some(claim) => seconds(claim).map(Some).ok_or(refuse(why)),
            None => Ok(None),
        };
        let nbf = time(nbf, "its `nbf` is not a number of seconds")?;
        let iat = time(iat, "its `iat` is not a number of seconds")?;

        let mut valid_until = exp.saturating_add(tolerance);
        if let Some(iat) = iat {
            valid_until = valid_until.min(iat.saturating_add(tolerance));
        }
        if now > valid_until {
            let seconds = now - valid_until + tolerance;
            return Err(VerifyError::new(
                VerifyErrorKind::TimestampTooOld,
                Detail::Off { seconds, tolerance },
            ));
        }
        let earliest = nbf.max(iat).unwrap_or(0);
        if earliest > now.saturating_add(tolerance) {
            let seconds = earliest - now;
            return Err(VerifyError::new(
                VerifyErrorKind::TimestampTooNew,
                Detail::Off { seconds, tolerance },
            ));
        }
        if iat.is_none() && exp > now.saturating_add(MAX_AHEAD) {
            return Err(refuse(
                "it has no `iat`, and expires more than a day from now",
            ));
        }

        if let Some(expected) = &self.issuer
            && iss.and_then(string).as_deref() != Some(expected)
        {
            let why = differs("iss", iss, &[expected]);
            return Err(VerifyError::new(VerifyErrorKind::InvalidToken, why));
        }
        if !self.is_for_us(aud) {
            let why = differs("aud", aud, &self.audiences);
            return Err(VerifyError::new(VerifyErrorKind::WrongAudience, why));
        }
        let jti = jti
            .and_then(string_or_number)
            .filter(|jti| (1..=MAX_JTI).contains(&jti.len()))
            .map(Cow::into_owned);
        Ok(Claims { jti, valid_until })
    }

    fn is_for_us(&self, aud: Option<&RawValue>) -> bool {
        let ours = |aud: &RawValue| {
            string(aud).is_some_and(|aud| self.audiences.iter().any(|ours| *ours == aud))
        };
        aud.is_some_and(
            |aud| match serde_json::from_str::<Vec<&RawValue>>(aud.get()) {
                Ok(several) => several.into_iter().any(ours),
                Err(_) => ours(aud),
            },
        )
    }
}

/// What a claim says and what it should: whoever configures this needs both. The token is authentic.
fn differs(name: &str, claim: Option<&RawValue>, expected: &[impl fmt::Debug]) -> Detail {
    let says = match claim {
        Some(claim) => format!("`{name}` is {}", Plain::new(claim.get()).at_most(MAX_SHOWN)),
        None => format!("it has no `{name}`"),
    };
    let names: Vec<String> = expected.iter().map(|name| format!("{name:?}")).collect();
    let expected = names.join(" or ");
    let expected = Plain::new(expected).at_most(MAX_SHOWN);
    Detail::Told(format!("{says}, and this receiver expects {expected}").into())
}

/// A `NumericDate` (RFC 7519, 2): seconds since the Unix epoch, perhaps with a fraction.
fn seconds(claim: &RawValue) -> Option<u64> {
    let seconds = serde_json::from_str(claim.get()).ok()?;
    Some(Duration::try_from_secs_f64(seconds).ok()?.as_secs())
}

/// Whether what came as a body agrees with the token: nothing, or a JSON object whose every member
/// equals the claim of that name. Neither may repeat a name, or two readers could differ.
pub(super) fn check_body(payload: &[u8], body: &[u8]) -> Result<(), VerifyError> {
    if body.is_empty() {
        return Ok(());
    }
    let differs = |why| VerifyError::new(VerifyErrorKind::BodyMismatch, Detail::Text(why));
    let body = unambiguous(body).ok_or(differs("it is not a JSON object, or it repeats a name"))?;
    let claims = unambiguous(payload).ok_or(differs("the JWT repeats a name"))?;
    if body
        .iter()
        .all(|(name, value)| claims.get(name) == Some(value))
    {
        Ok(())
    } else {
        Err(differs(
            "it has a member that the JWT does not have, or has with another value; look for a proxy that changes bodies",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn rules() -> JwtRules {
        JwtRules {
            audiences: vec!["us".to_owned(), "we".to_owned()],
            issuer: None,
        }
    }

    fn outcome(rules: &JwtRules, claims: &str) -> Result<u64, &'static str> {
        rules
            .claims(claims.as_bytes(), NOW, 300)
            .map(|claims| claims.valid_until - NOW)
            .map_err(|error| error.kind().code())
    }

    #[test]
    fn times() {
        let (old, new, bad) = (
            Err("timestamp_too_old"),
            Err("timestamp_too_new"),
            Err("invalid_token"),
        );
        let at = |offset: i64| NOW.checked_add_signed(offset).unwrap();
        for (what, claims, expected) in [
            ("exp", format!(r#""exp":{}"#, at(60)), Ok(360)),
            ("just expired", format!(r#""exp":{}"#, at(-300)), Ok(0)),
            ("expired", format!(r#""exp":{}"#, at(-301)), old),
            ("a day", format!(r#""exp":{}"#, at(86_400)), Ok(86_700)),
            ("more than a day", format!(r#""exp":{}"#, at(86_401)), bad),
            ("a fraction", format!(r#""exp":{}.9"#, at(60)), Ok(360)),
            ("an exponent", r#""exp":1.70000006e9"#.to_owned(), Ok(360)),
            ("no exp", r#""iat":1700000000"#.to_owned(), bad),
            ("exp null", r#""exp":null"#.to_owned(), bad),
            ("exp text", format!(r#""exp":"{}""#, at(60)), bad),
            ("exp negative", r#""exp":-1"#.to_owned(), bad),
            ("exp huge", r#""exp":1e300"#.to_owned(), bad),
            (
                "exp endless",
                format!(r#""exp":{},"iat":{NOW}"#, u64::MAX - 4096),
                Ok(300),
            ),
            (
                "iat",
                format!(r#""exp":{},"iat":{}"#, at(9_999_999), at(-300)),
                Ok(0),
            ),
            (
                "iat old",
                format!(r#""exp":{},"iat":{}"#, at(60), at(-301)),
                old,
            ),
            (
                "iat ahead",
                format!(r#""exp":{},"iat":{}"#, at(60), at(300)),
                Ok(360),
            ),
            (
                "iat too far ahead",
                format!(r#""exp":{},"iat":{}"#, at(60), at(301)),
                new,
            ),
            ("iat text", format!(r#""exp":{},"iat":"now""#, at(60)), bad),
            (
                "nbf",
                format!(r#""exp":{},"nbf":{}"#, at(600), at(300)),
                Ok(900),
            ),
            (
                "not yet",
                format!(r#""exp":{},"nbf":{}"#, at(600), at(301)),
                new,
            ),
            ("nbf list", format!(r#""exp":{},"nbf":[]"#, at(60)), bad),
        ] {
            let claims = format!(r#"{{"aud":"us",{claims}}}"#);
            assert_eq!(outcome(&rules(), &claims), expected, "{what}");
        }
        assert_eq!(outcome(&rules(), "[]"), bad);
        assert_eq!(outcome(&rules(), "{\"aud\":\"us\""), bad);
        assert!(rules().claims(b"\xff", NOW, 300).is_err());
        let late = format!(r#"{{"aud":"us","exp":{},"iat":0}}"#, NOW);
        assert_eq!(
            rules()
                .claims(late.as_bytes(), NOW, u64::MAX)
                .unwrap()
                .valid_until,
            u64::MAX
        );
    }

    #[test]
    fn audiences_and_issuers() {
        let wrong = Err("wrong_audience");
        for (aud, expected) in [
            (r#""us""#, Ok(360)),
            (r#""we""#, Ok(360)),
            (r#"["x","we"]"#, Ok(360)),
            (r#"[7,"us"]"#, Ok(360)),
            (r#""u\u0073""#, Ok(360)),
            (r#""US""#, wrong),
            (r#""usa""#, wrong),
            (r#""""#, wrong),
            ("[]", wrong),
            (r#"[["us"]]"#, wrong),
            ("null", wrong),
            (r#"{"us":1}"#, wrong),
        ] {
            let claims = format!(r#"{{"exp":{},"aud":{aud}}}"#, NOW + 60);
            assert_eq!(outcome(&rules(), &claims), expected, "{aud}");
        }
        assert_eq!(
            outcome(&rules(), &format!(r#"{{"exp":{}}}"#, NOW + 60)),
            wrong
        );

        let strict = JwtRules {
            issuer: Some("google".to_owned()),
            ..rules()
        };
        for (iss, expected) in [
            (r#","iss":"google""#, Ok(360)),
            (r#","iss":"gogle""#, Err("invalid_token")),
            (r#","iss":["google"]"#, Err("invalid_token")),
            ("", Err("invalid_token")),
        ] {
            let claims = format!(r#"{{"exp":{},"aud":"us"{iss}}}"#, NOW + 60);
            assert_eq!(outcome(&strict, &claims), expected, "{iss}");
            assert_eq!(outcome(&rules(), &claims), Ok(360));
        }
    }

    #[test]
    fn how_far_off_a_token_is() {
        for (claims, off) in [
            (
                format!(r#""exp":{}"#, NOW - 301),
                ": 301 s off, 300 s allowed",
            ),
            (
                format!(r#""exp":{},"iat":{}"#, NOW, NOW - 400),
                ": 400 s off, 300 s allowed",
            ),
            (
                format!(r#""exp":{0},"nbf":{0}"#, NOW + 301),
                ": 301 s off, 300 s allowed",
            ),
        ] {
            let claims = format!(r#"{{"aud":"us",{claims}}}"#);
            let error = rules().claims(claims.as_bytes(), NOW, 300).unwrap_err();
            assert!(error.to_string().contains(off), "{claims}: {error}");
        }
    }

    #[test]
    fn what_differs_is_told_beside_what_was_expected() {
        let strict = JwtRules {
            issuer: Some("google".to_owned()),
            ..rules()
        };
        let told = |rules: &JwtRules, claims: &str| {
            let claims = format!(r#"{{"exp":{}{claims}}}"#, NOW + 60);
            rules
                .claims(claims.as_bytes(), NOW, 300)
                .unwrap_err()
                .to_string()
        };
        for (rules, claims, part) in [
            (
                &rules(),
                r#","aud":"them""#,
                r#": `aud` is "them", and this receiver expects "us" or "we""#,
            ),
            (
                &rules(),
                r#","aud":["a","b"]"#,
                r#"`aud` is ["a","b"], and"#,
            ),
            (
                &rules(),
                "",
                r#"it has no `aud`, and this receiver expects "us""#,
            ),
            (
                &strict,
                r#","aud":"us","iss":"x""#,
                r#"`iss` is "x", and this receiver expects "google""#,
            ),
            (&strict, r#","aud":"us""#, "it has no `iss`, and"),
        ] {
            let told = told(rules, claims);
            assert!(told.contains(part), "{told}");
        }
        // It is authentic, but not ours.
        let long = "x".repeat(9000);
        let many = JwtRules {
            audiences: vec![long.clone()],
            issuer: None,
        };
        let told = told(&many, &format!(",\"aud\":\"\u{202e}\u{7f}{long}\""));
        assert!(
            told.contains(r"\u{202e}\u{7f}xxx") && told.len() < 800,
            "{told}"
        );
    }

    #[test]
    fn ids_of_tokens() {
        let long = "x".repeat(257);
        for (jti, expected) in [
            (r#""a""#.to_owned(), Some("a")),
            (format!(r#""{}""#, &long[1..]), Some(&long[1..])),
            (format!(r#""{long}""#), None),
            (r#""""#.to_owned(), None),
            ("7".to_owned(), Some("7")),
            ("[7]".to_owned(), None),
        ] {
            let claims = format!(r#"{{"exp":{},"aud":"us","jti":{jti}}}"#, NOW + 60);
            let claims = rules().claims(claims.as_bytes(), NOW, 300).unwrap();
            assert_eq!(claims.jti.as_deref(), expected, "{jti}");
        }
    }

    #[test]
    fn bodies_agree_or_are_empty() {
        let payload = br#"{"type":"batch.succeeded","data":{"id":"1","n":[1,{"a":null}]},"exp":1}"#;
        for (body, agrees) in [
            ("", true),
            ("{}", true),
            (r#"{"type":"batch.succeeded"}"#, true),
            (
                r#" {"data": {"n":[1,{"a":null}],"id":"\u0031"}, "type":"batch.succeeded"} "#,
                true,
            ),
            (r#"{"type":"batch.failed"}"#, false),
            (r#"{"data":{"id":"1"}}"#, false),
            (r#"{"more":null}"#, false),
            (r#"{"exp":1.5}"#, false),
            (r#"{"exp":"1"}"#, false),
            (
                r#"{"type":"batch.succeeded","type":"batch.succeeded"}"#,
                false,
            ),
            (r#"{"data":{"id":"1","id":"1","n":[1,{"a":null}]}}"#, false),
            ("[]", false),
            ("null", false),
            ("{", false),
            (" ", false),
        ] {
            assert_eq!(
                check_body(payload, body.as_bytes()).is_ok(),
                agrees,
                "{body}"
            );
        }
        assert!(check_body(br#"{"a":1,"a":1}"#, b"{}").is_err());
        let deep = format!(r#"{{"a":{}"#, "[".repeat(60_000));
        assert!(check_body(payload, deep.as_bytes()).is_err());
    }
}
