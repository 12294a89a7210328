//! The form of dynamic webhooks that Google's guide shows: a compact RS256 JWT (RFC 7515, RFC 7519)
//! in place of the signature. Nothing but the token is signed, so the token is the event.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use jsonwebtoken::Algorithm;
use sha2::{Digest as _, Sha256};

use crate::error::{Detail, Plain, VerifyError, VerifyErrorKind};
use crate::scheme::{Failure, KeySet};

mod claims;
mod rs256;

pub(crate) use rs256::PublicKey;

/// A sender sends one, two while it changes keys.
pub(crate) const MAX_TOKENS: usize = 2;

/// Of the header of a token, in base64url: 1 KiB of JSON. A genuine one has about a hundred bytes;
/// and it is read before anything is known of who sent it.
const MAX_HEADER: usize = 1366;

/// A key set has one of a name, unless its maker is careless.
const MAX_NAMESAKES: usize = 2;

/// What tokens are held to, beyond their signature.
#[derive(Clone, Debug, Default)]
pub(crate) struct JwtRules {
    /// `aud` must be one of these.
    pub(crate) audiences: Vec<String>,
    /// `iss` must be this.
    pub(crate) issuer: Option<String>,
}

/// What is known of a token that is in order.
#[derive(Clone)]
pub(crate) struct SignedToken {
    pub(crate) key_id: Arc<str>,
    /// The claims as they were signed: the event.
    pub(crate) payload: Bytes,
    /// `jti`, else the digest of the token: what a repeat is known by, since `webhook-id` is not
    /// signed.
    pub(crate) claim_id: Arc<str>,
    /// In seconds since the Unix epoch.
    pub(crate) valid_until: u64,
}

/// Without the payload, which does not belong in a log.
impl fmt::Debug for SignedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedToken")
            .field("key_id", &self.key_id)
            .field("claim_id", &self.claim_id)
            .field("valid_until", &self.valid_until)
            .finish_non_exhaustive()
    }
}

impl JwtRules {
    /// Whether a key of `keys` signed `token`, for us, for now, and `body` agrees with it.
    pub(crate) fn verify(
        &self,
        keys: Option<&KeySet>,
        token: &[u8],
        body: &[u8],
        (now, tolerance): (u64, u64),
    ) -> Result<SignedToken, Failure> {
        let token = Token::read(token)?;
        let named = |keys: &'_ KeySet| keys.named(&token.kid).next().is_some();
        let Some(keys) = keys.filter(|keys| named(keys)) else {
            let kid = Detail::Told(token.shown_kid().into());
            let error = VerifyError::new(VerifyErrorKind::UnknownKey, kid);
            return Err(Failure::UnknownKey(error));
        };
        let key_id = keys
            .named(&token.kid)
            .take(MAX_NAMESAKES)
            .find(|(_, key)| key.signed(&token.signature, token.signed))
            .map(|(id, _)| Arc::clone(id))
            .ok_or_else(|| {
                let kid = token.shown_kid();
                let why = format!("the JWT names the public key {kid}, which did not sign it");
                VerifyError::new(VerifyErrorKind::SignatureMismatch, Detail::Told(why.into()))
            })?;
        // Only now: what nobody signed is not worth reading.
        let payload = decode(token.payload).ok_or(refuse("its payload is not base64url"))?;
        let claims = self.claims(&payload, now, tolerance)?;
        claims::check_body(&payload, body)?;
        Ok(SignedToken {
            key_id,
            // Told apart, so that nobody's `jti` is another token's digest.
            claim_id: match claims.jti {
                Some(jti) => format!("jti:{jti}").into(),
                None => format!("sha256:{}", token.digest()).into(),
            },
            valid_until: claims.valid_until,
            payload: payload.into(),
        })
    }
}

/// A token that is well-formed, under RS256, and names a key.
struct Token<'a> {
    text: &'a [u8],
    /// Header and payload as they stand in the text.
    signed: &'a [u8],
    kid: String,
    payload: &'a [u8],
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    fn read(text: &'a [u8]) -> Result<Self, VerifyError> {
        let mut parts = text.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse("it does not have three parts separated by dots"));
        };
        if header.len() > MAX_HEADER {
            return Err(refuse("its header is longer than 1 KiB"));
        }
        let signed = text.split_at(header.len() + 1 + payload.len()).0;
        let signature = decode(signature).ok_or(refuse("its signature is not base64url"))?;
        // The one of the token's header that says how to check it is not asked what it would like:
        // no other algorithm, no key of its own (`jwk`, `jku`, `x5c`, `x5u`), no extension.
        let header = jsonwebtoken::decode_header(text)
            .map_err(|_| refuse("its header is not a JSON object with a known `alg`"))?;
        if header.alg != Algorithm::RS256 {
            return Err(refuse("its `alg` is not RS256"));
        }
        if header.crit.is_some() {
            return Err(refuse("it has extensions (`crit`)"));
        }
        let kid = header
            .kid
            .ok_or(refuse("it does not name its key (`kid`)"))?;
        Ok(Self {
            text,
            signed,
            kid,
            payload,
            signature,
        })
    }

    /// For the log: whoever sent it may be anyone.
    fn shown_kid(&self) -> String {
        Plain::new(&self.kid).at_most(64).quoted().to_string()
    }

    fn digest(&self) -> String {
        URL_SAFE_NO_PAD.encode(Sha256::digest(self.text))
    }
}

/// Base64url without padding, canonical (RFC 7515, 2).
fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

fn refuse(why: &'static str) -> VerifyError {
    VerifyError::new(VerifyErrorKind::InvalidToken, Detail::Text(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It is read before anything is known of who sent it.
    #[test]
    fn a_header_is_bounded() {
        let token = |length: usize| {
            let header = r#"{"alg":"RS256","kid":"k"}"#;
            let header = format!("{header:length$}");
            format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header))
        };
        assert!(Token::read(token(1024).as_bytes()).is_ok());
        let error = Token::read(token(1025).as_bytes()).err().unwrap();
        assert!(error.to_string().contains("1 KiB"), "{error}");
    }
}
