//! How deliveries are signed.

use std::fmt::Write as _;

use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::{self, Ed25519Signer, Rs256Signer};
use gemini_webhooks::{Keyring, SigningSecret, Verifier};
use serde_json::Value;

use super::keys;
use super::options::SignedOptions;
use crate::exit::Failure;
use crate::{input, shown};

/// The names and values of the three headers.
pub(super) type Headers = Vec<(&'static str, String)>;

/// Signs in Google's place.
#[derive(Debug)]
pub(super) enum Signer {
    /// `v1`, with all of them.
    Secrets(Vec<SigningSecret>),
    /// `v1a`.
    Ed25519(Ed25519Signer),
    /// A JWT for an audience.
    Jwt(Rs256Signer, String),
}

impl Signer {
    pub(super) async fn of(options: &SignedOptions) -> Result<Self, Failure> {
        let file = options.key_file.as_deref();
        if let Some(audience) = &options.jwt {
            if audience.is_empty() {
                return Err(Failure::unusable(
                    "--jwt has an empty audience: give the one that the app passes to `accept_jwt`",
                ));
            }
            return Ok(Self::Jwt(keys::rs256(file).await?, audience.clone()));
        }
        if options.ed25519 {
            return Ok(Self::Ed25519(keys::ed25519(file).await?));
        }
        let mut secrets = Vec::new();
        for path in &options.secret_file {
            let text = input::read_secret(path, "signing secret").await?;
            add(&mut secrets, &input::name(path), &text)?;
        }
        if options.secret_file.is_empty() {
            const VARIABLE: &str = "WEBHOOK_SIGNING_SECRET";
            let text = input::variable(VARIABLE)?.ok_or_else(|| {
                Failure::unusable(format!(
                    "nothing to sign with{}: set {VARIABLE} or give --secret-file FILE for a static webhook \
                     (`--secret-file -` asks for the secret), or --ed25519 for a dynamic one",
                    input::if_empty(&[VARIABLE])
                ))
            })?;
            add(&mut secrets, VARIABLE, &text)?;
        }
        Ok(Self::Secrets(secrets))
    }

    /// The three headers of a delivery at this time, in seconds since the Unix epoch.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> Result<Headers, Failure> {
        let headers = match self {
            Self::Secrets(secrets) => {
                let mut headers: Option<Headers> = None;
                for secret in secrets {
                    let signed = testing::sign_v1(secret, id, timestamp, body);
                    match headers.as_mut().and_then(|headers| headers.last_mut()) {
                        // The signature is the last one.
                        Some((_, all)) => {
                            for (_, signature) in signed.iter().skip(2) {
                                let _ = write!(all, " {signature}");
                            }
                        }
                        None => headers = Some(signed.to_vec()),
                    }
                }
                headers.unwrap_or_default()
            }
            Self::Ed25519(signer) => signer.sign(id, timestamp, body).to_vec(),
            Self::Jwt(signer, audience) => {
                let claims = claims(body, audience, timestamp, id)?;
                signer.sign(id, timestamp, &claims).to_vec()
            }
        };
        Ok(headers)
    }

    /// A verifier that trusts these keys, with the default tolerance: what a receiver of this crate makes of it.
    pub(super) fn verifier(&self) -> Result<Verifier, Failure> {
        if let Self::Secrets(secrets) = self {
            let mut secrets = secrets.iter().cloned();
            let first = secrets
                .next()
                .ok_or_else(|| Failure::unusable("there is no signing secret"))?;
            return Ok(Verifier::new(
                secrets.fold(Keyring::new(first), Keyring::add),
            ));
        }
        let set = self.key_set().unwrap_or_default();
        let keys = KeySet::from_json(set.as_bytes())
            .map_err(|error| Failure::new(format!("the public key cannot be used: {error}")))?;
        let verifier = Verifier::for_keys(keys);
        Ok(match self {
            Self::Jwt(_, audience) => verifier.accept_jwt(audience),
            _ => verifier,
        })
    }

    /// The public key as a JSON Web Key Set, for dynamic webhooks.
    pub(super) fn key_set(&self) -> Option<String> {
        let jwk = match self {
            Self::Secrets(_) => return None,
            Self::Ed25519(signer) => signer.jwk(),
            Self::Jwt(signer, _) => signer.jwk(),
        };
        Some(testing::key_set([jwk]))
    }

    /// What signs, by the name that the log of the app has for it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Secrets(secrets) => {
                let ids: Vec<&str> = secrets.iter().map(SigningSecret::key_id).collect();
                let noun = if ids.len() > 1 { "secrets" } else { "secret" };
                format!("v1, {noun} {}", ids.join(" and "))
            }
            Self::Ed25519(signer) => format!("v1a, key {}", keys::kid(&signer.jwk())),
            Self::Jwt(signer, audience) => format!(
                "JWT for {}, key {}",
                shown::plain(audience),
                keys::kid(&signer.jwk())
            ),
        }
    }
}

/// Adds the secrets in a text, separated by white space.
fn add(secrets: &mut Vec<SigningSecret>, name: &str, text: &str) -> Result<(), Failure> {
    if text.trim().is_empty() {
        return Err(Failure::unusable(format!("{name} holds no signing secret")));
    }
    for secret in text.split_whitespace() {
        let secret: SigningSecret = secret
            .parse()
            .map_err(|error| Failure::unusable(format!("{name}: {error}")))?;
        secrets.push(secret);
    }
    Ok(())
}

/// The event and the members of a JWT. `jti` lets a receiver recognise a repeat, which is signed anew.
fn claims(body: &[u8], audience: &str, issued_at: u64, id: &str) -> Result<String, Failure> {
    let unusable = |why: String| {
        Failure::unusable(format!(
            "a JWT can carry only a JSON object, and the body is none: {why}"
        ))
    };
    let event = str::from_utf8(body).map_err(|error| unusable(error.to_string()))?;
    let claims =
        testing::claims(event, audience, issued_at).map_err(|error| unusable(error.to_string()))?;
    let mut claims: Value =
        serde_json::from_str(&claims).map_err(|error| unusable(error.to_string()))?;
    if let Value::Object(claims) = &mut claims {
        claims.insert("jti".to_owned(), id.into());
    }
    Ok(claims.to_string())
}
