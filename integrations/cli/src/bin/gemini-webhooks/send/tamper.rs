//! What can be made wrong with a delivery, and what a receiver answers to that.

use std::time::SystemTime;

use bytes::Bytes;
use clap::ValueEnum;
use gemini_webhooks::{DeliveryHeaders, EndpointToken, Verifier, VerifyErrorKind};
use reqwest::Method;
use serde_json::Value;

use super::sign::{Headers, Signer};
use super::target::Target;
use crate::exit::Failure;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";
/// What a receiver takes by default.
const MAX_BODY: usize = 64 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Tamper {
    /// One byte of the body is another one.
    Body,
    /// A line break comes after the body.
    Newline,
    /// The JSON is written anew, with line breaks and spaces, as some proxies do.
    Reserialize,
    /// The last byte of the body is missing.
    Truncate,
    /// The body is longer than 64 KiB.
    Large,
    /// The id is another one.
    Id,
    /// The timestamp is a second later.
    Timestamp,
    /// The signature is another one.
    Signature,
    /// The signature has a version that nobody knows.
    Scheme,
    /// The timestamp is in milliseconds.
    Milliseconds,
    /// There is no webhook-id.
    NoId,
    /// There is no webhook-timestamp.
    NoTimestamp,
    /// There is no webhook-signature.
    NoSignature,
    /// There are two different ids.
    TwoIds,
    /// The id could be read in two ways.
    BadId,
    /// The timestamp has a sign.
    BadTimestamp,
    /// The list of signatures is too long.
    BadSignature,
    /// The request is a PUT.
    Method,
    /// The endpoint token in the URL is another one.
    Token,
}

/// What is sent.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) headers: Headers,
    pub(super) body: Bytes,
    tamper: Option<Tamper>,
}

impl Request {
    /// A delivery, signed at this time in seconds since the Unix epoch, and then tampered with.
    pub(super) fn new(
        target: &Target,
        signer: &Signer,
        (id, timestamp): (&str, u64),
        body: &Bytes,
        tamper: Option<Tamper>,
    ) -> Result<Self, Failure> {
        let mut signed = body.clone();
        let mut id = id.to_owned();
        let mut at = timestamp;
        match tamper {
            Some(Tamper::Large) => {
                let mut longer = body.to_vec();
                longer.resize(longer.len().max(MAX_BODY + 1), b' ');
                signed = longer.into();
            }
            Some(Tamper::BadId) => id.push_str(".1"),
            Some(Tamper::Milliseconds) => at = at.saturating_mul(1000),
            _ => {}
        }
        let headers = signer.sign(&id, at, &signed)?;
        let mut request = Self {
            method: Method::POST,
            target: target.clone(),
            headers,
            body: signed,
            tamper,
        };
        if let Some(tamper) = tamper {
            request.tamper(tamper, timestamp)?;
        }
        Ok(request)
    }

    fn tamper(&mut self, tamper: Tamper, timestamp: u64) -> Result<(), Failure> {
        match tamper {
            Tamper::Large | Tamper::Milliseconds | Tamper::BadId => {}
            Tamper::Body => self.body = other_byte(&self.body),
            Tamper::Newline => self.body = [&self.body, &b"\n"[..]].concat().into(),
            Tamper::Reserialize => self.body = written_anew(&self.body)?,
            Tamper::Truncate => self.body.truncate(self.body.len().saturating_sub(1)),
            Tamper::Id => self.change(ID, |id| id.push('x')),
            Tamper::Timestamp => {
                self.change(TIMESTAMP, |text| {
                    *text = timestamp.saturating_add(1).to_string();
                });
            }
            Tamper::Signature => self.change(SIGNATURE, other_signatures),
            Tamper::Scheme => self.change(SIGNATURE, |text| {
                let entries: Vec<String> = text
                    .split(' ')
                    .map(|entry| {
                        let (_, signature) = entry.split_once(',').unwrap_or(("", entry));
                        format!("v9,{signature}")
                    })
                    .collect();
                *text = entries.join(" ");
            }),
            Tamper::NoId => self.remove(ID),
            Tamper::NoTimestamp => self.remove(TIMESTAMP),
            Tamper::NoSignature => self.remove(SIGNATURE),
            Tamper::TwoIds => self.headers.push((ID, "msg_another".to_owned())),
            Tamper::BadTimestamp => self.change(TIMESTAMP, |text| text.insert(0, '+')),
            Tamper::BadSignature => {
                let more = " v1,AAAA".repeat(16);
                self.change(SIGNATURE, |text| text.push_str(&more));
            }
            Tamper::Method => self.method = Method::PUT,
            Tamper::Token => {
                if !self.target.has_token() {
                    return Err(Failure::unusable(
                        "there is no endpoint token in the URL to tamper with: give --endpoint-token-file",
                    ));
                }
                let other = EndpointToken::generate()
                    .map_err(|error| Failure::new(format!("no token can be made: {error}")))?;
                self.target = self.target.with_other_token(&other)?;
            }
        }
        Ok(())
    }

    fn change(&mut self, name: &str, change: impl Fn(&mut String)) {
        for (_, value) in self
            .headers
            .iter_mut()
            .filter(|(header, _)| *header == name)
        {
            change(value);
        }
    }

    fn remove(&mut self, name: &str) {
        self.headers.retain(|(header, _)| *header != name);
    }

    /// Why a receiver that trusts the signer, and has the default limits, refuses it; `None` if it accepts it.
    pub(super) fn refusal(&self, verifier: &Verifier, now: SystemTime) -> Option<VerifyErrorKind> {
        // As a receiver goes about it: first the request, then the headers, then the body.
        match self.tamper {
            Some(Tamper::Method) => return Some(VerifyErrorKind::MethodNotAllowed),
            Some(Tamper::Token) => return Some(VerifyErrorKind::WrongEndpoint),
            _ => {}
        }
        let headers = self.headers.iter().map(|(name, value)| (*name, value));
        let headers = DeliveryHeaders::from_lines(headers);
        if let Err(error) = verifier.check(&headers, now) {
            return Some(error.kind());
        }
        if self.tamper == Some(Tamper::Large) {
            return Some(VerifyErrorKind::BodyTooLarge);
        }
        let verified = verifier.verify(&headers, &self.body, now);
        verified.err().map(|error| error.kind())
    }
}

/// The last letter or digit becomes another one, so that JSON stays JSON.
fn other_byte(body: &Bytes) -> Bytes {
    let mut body = body.to_vec();
    let last = body
        .iter_mut()
        .rev()
        .find(|byte| byte.is_ascii_alphanumeric());
    match last {
        Some(byte) => {
            *byte = match *byte {
                b'1' => b'2',
                b'0'..=b'9' => b'1',
                b'x' => b'y',
                _ => b'x',
            };
        }
        None => body.push(b'x'),
    }
    body.into()
}

fn written_anew(body: &Bytes) -> Result<Bytes, Failure> {
    let anew = serde_json::from_slice::<Value>(body)
        .and_then(|value| serde_json::to_vec_pretty(&value))
        .map_err(|error| {
            Failure::unusable(format!(
                "only JSON can be written anew, and the body is none: {error}"
            ))
        })?;
    if anew == *body {
        return Err(Failure::unusable(
            "the body is already as it would be written anew: give another --tamper, such as `newline`",
        ));
    }
    Ok(anew.into())
}

/// Changes a character in the middle of each: the last one may hold bits that do not count.
fn other_signatures(text: &mut String) {
    let entries: Vec<String> = text
        .split(' ')
        .map(|entry| {
            // Of a JWT only the last part is the signature.
            let from = entry.rfind(['.', ',']).map_or(0, |at| at + 1);
            let (before, signature) = entry.split_at_checked(from).unwrap_or(("", entry));
            let middle = signature.len() / 2;
            let changed = signature.char_indices().map(|(at, char)| match char {
                'A' if at == middle => 'B',
                _ if at == middle => 'A',
                char => char,
            });
            before.chars().chain(changed).collect()
        })
        .collect();
    *text = entries.join(" ");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use VerifyErrorKind as Kind;
    use gemini_webhooks::testing::{self, Ed25519Signer, Rs256Signer};

    use super::*;

    const NOW: u64 = 1_769_083_200;

    /// With the refusal for `v1` and `v1a`, and the one for a JWT, which signs neither id nor timestamp and carries
    /// the event itself.
    const CASES: [(Tamper, Kind, Option<Kind>); 19] = [
        (
            Tamper::Body,
            Kind::SignatureMismatch,
            Some(Kind::BodyMismatch),
        ),
        (Tamper::Newline, Kind::SignatureMismatch, None),
        (Tamper::Reserialize, Kind::SignatureMismatch, None),
        (
            Tamper::Truncate,
            Kind::SignatureMismatch,
            Some(Kind::BodyMismatch),
        ),
        (Tamper::Large, Kind::BodyTooLarge, Some(Kind::BodyTooLarge)),
        (Tamper::Id, Kind::SignatureMismatch, None),
        (Tamper::Timestamp, Kind::SignatureMismatch, None),
        (
            Tamper::Signature,
            Kind::SignatureMismatch,
            Some(Kind::SignatureMismatch),
        ),
        (
            Tamper::Scheme,
            Kind::UnsupportedScheme,
            Some(Kind::UnsupportedScheme),
        ),
        (
            Tamper::Milliseconds,
            Kind::TimestampTooNew,
            Some(Kind::TimestampTooNew),
        ),
        (Tamper::NoId, Kind::MissingHeader, Some(Kind::MissingHeader)),
        (
            Tamper::NoTimestamp,
            Kind::MissingHeader,
            Some(Kind::MissingHeader),
        ),
        (
            Tamper::NoSignature,
            Kind::MissingHeader,
            Some(Kind::MissingHeader),
        ),
        (
            Tamper::TwoIds,
            Kind::ConflictingHeader,
            Some(Kind::ConflictingHeader),
        ),
        (Tamper::BadId, Kind::InvalidId, Some(Kind::InvalidId)),
        (
            Tamper::BadTimestamp,
            Kind::InvalidTimestamp,
            Some(Kind::InvalidTimestamp),
        ),
        (
            Tamper::BadSignature,
            Kind::InvalidSignatureHeader,
            Some(Kind::InvalidSignatureHeader),
        ),
        (
            Tamper::Method,
            Kind::MethodNotAllowed,
            Some(Kind::MethodNotAllowed),
        ),
        (
            Tamper::Token,
            Kind::WrongEndpoint,
            Some(Kind::WrongEndpoint),
        ),
    ];

    fn refusal(signer: &Signer, timestamp: u64, tamper: Option<Tamper>) -> Option<Kind> {
        let target =
            Target::new("http://127.0.0.1:1/x?token=Zm9yLWRvY3VtZW50YXRpb24tb25seQ").unwrap();
        let body = Bytes::from_static(testing::SAMPLE_EVENTS[0].as_bytes());
        let request = Request::new(&target, signer, ("msg_1", timestamp), &body, tamper).unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
        request.refusal(&signer.verifier().unwrap(), now)
    }

    #[test]
    fn each_is_refused_as_it_should_be() {
        let secrets = Signer::Secrets(vec![
            testing::SECRET.parse().unwrap(),
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap(),
        ]);
        let ed25519 = Signer::Ed25519(Ed25519Signer::new("key-1", [7; 32]));
        let jwt = Signer::Jwt(Rs256Signer::generate("key-1").unwrap(), "my-app".to_owned());
        for signer in [&secrets, &ed25519, &jwt] {
            assert_eq!(refusal(signer, NOW, None), None);
            assert_eq!(refusal(signer, NOW - 300, None), None);
            assert_eq!(
                refusal(signer, NOW - 301, None),
                Some(Kind::TimestampTooOld)
            );
            assert_eq!(
                refusal(signer, NOW + 301, None),
                Some(Kind::TimestampTooNew)
            );
        }
        assert_eq!(CASES.len(), Tamper::value_variants().len());
        for (tamper, kind, of_jwt) in CASES {
            assert_eq!(
                refusal(&secrets, NOW, Some(tamper)),
                Some(kind),
                "{tamper:?}"
            );
            assert_eq!(
                refusal(&ed25519, NOW, Some(tamper)),
                Some(kind),
                "{tamper:?}"
            );
            assert_eq!(refusal(&jwt, NOW, Some(tamper)), of_jwt, "{tamper:?}");
        }
    }

    #[test]
    fn a_byte_is_always_another_one() {
        for body in ["", "{}", "1", "x", "y", "a1x", r#"{"a":"é"}"#] {
            let body = Bytes::from_static(body.as_bytes());
            assert_ne!(other_byte(&body), body);
        }
        for body in ["", "text", "{\n  \"a\": 1\n}"] {
            assert!(
                written_anew(&Bytes::from_static(body.as_bytes())).is_err(),
                "{body}"
            );
        }
    }
}
