//! Who may have signed a delivery.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gemini_webhooks::{DeliveryHeaders, Keyring, SigningSecret, Verifier};

use super::setup::{Known, Name, Setup};
use crate::capture;

/// How much work a diagnosis may be: about a second on a slow machine. A hash of a byte counts one.
const BUDGET: u64 = 128 * 1024 * 1024;

/// What a check costs beside the hash of the body.
const PER_CHECK: u64 = 1000;

/// What a check of Ed25519 signatures costs.
const PER_PUBLIC_CHECK: u64 = 200_000;

/// Somebody who may have signed.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) who: Who,
    verifier: Verifier,
    is_public: bool,
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The receiver has this secret.
    Secret(Name),
    /// The receiver has these public keys.
    PublicKeys,
    /// The receiver does not have this secret.
    OtherSecret(Name),
    /// The receiver does not have these public keys.
    OtherKeys,
    /// The sender made another key of the receiver's secret: how.
    Misread(Name, &'static str),
}

/// All who may have signed, and how much may still be tried.
#[derive(Debug)]
pub(super) struct Signers {
    all: Vec<Signer>,
    left: u64,
}

impl Signers {
    /// Those of a setup: first whom the receiver trusts.
    pub(super) fn of(setup: &Setup) -> Self {
        let secret = |known: &Known, who| Signer {
            who,
            verifier: Verifier::new(Keyring::new(known.secret.clone())),
            is_public: false,
        };
        let keys = |keys: &_, who| Signer {
            who,
            verifier: setup
                .audiences
                .iter()
                .fold(Verifier::for_keys(Clone::clone(keys)), Verifier::accept_jwt),
            is_public: true,
        };
        let mut all = Vec::new();
        let (mine, others) = (&setup.secrets, &setup.others);
        all.extend(
            mine.iter()
                .map(|known| secret(known, Who::Secret(known.name()))),
        );
        all.extend(setup.keys.iter().map(|set| keys(set, Who::PublicKeys)));
        all.extend(
            others
                .iter()
                .map(|known| secret(known, Who::OtherSecret(known.name()))),
        );
        all.extend(setup.other_keys.iter().map(|set| keys(set, Who::OtherKeys)));
        for known in mine.iter().chain(others) {
            for (key, how) in misread(&known.text) {
                if let Ok(secret) = SigningSecret::from_bytes(&key) {
                    all.push(Signer {
                        who: Who::Misread(known.name(), how),
                        verifier: Verifier::new(Keyring::new(secret)),
                        is_public: false,
                    });
                }
            }
        }
        Self { all, left: BUDGET }
    }

    /// Whether there is still time to try more.
    pub(super) fn are_exhausted(&self) -> bool {
        self.left == 0
    }

    /// Who signed these headers and this body, whenever that was.
    pub(super) fn who_signed(&mut self, lines: &Lines<'_>, body: &[u8]) -> Option<Who> {
        let sent_at = lines.sent_at()?;
        for signer in &self.all {
            let hashing = u64::try_from(body.len()).unwrap_or(u64::MAX);
            let check = if signer.is_public {
                PER_PUBLIC_CHECK
            } else {
                PER_CHECK
            };
            self.left = self.left.saturating_sub(hashing.saturating_add(check));
            if self.left == 0 {
                return None;
            }
            let headers = lines.headers();
            if signer.verifier.verify(&headers, body, sent_at).is_ok() {
                return Some(signer.who.clone());
            }
        }
        None
    }
}

/// What senders take for the key that a secret stands for.
fn misread(text: &str) -> Vec<(Vec<u8>, &'static str)> {
    let bare = text.strip_prefix("whsec_").unwrap_or(text);
    let mut keys = vec![
        (
            text.as_bytes().to_vec(),
            "the text of the secret itself, undecoded",
        ),
        (
            bare.as_bytes().to_vec(),
            "the text after `whsec_`, undecoded",
        ),
    ];
    if let Ok(key) = STANDARD.decode(text) {
        keys.push((key, "the whole text decoded, with `whsec_`"));
    }
    if let Ok(key) = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')) {
        keys.push((
            key,
            "the whole text decoded in the URL-safe alphabet, with `whsec_`",
        ));
    }
    if let Some(padded) = decoded_with_newline(bare) {
        keys.push((padded, "the secret with a line break at its end"));
    }
    keys
}

/// The text with the line break that `echo` or an editor adds.
fn decoded_with_newline(bare: &str) -> Option<Vec<u8>> {
    (!bare.is_empty()).then(|| format!("{bare}\n").into_bytes())
}

/// The three headers of a delivery as they may have been sent.
#[derive(Clone, Debug)]
pub(super) struct Lines<'a> {
    pub(super) id: &'a [u8],
    pub(super) timestamp: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> Lines<'a> {
    pub(super) fn headers(&self) -> DeliveryHeaders<'a> {
        DeliveryHeaders::from_values([self.id], [self.timestamp], [self.signature])
    }

    /// The moment that the timestamp names.
    pub(super) fn sent_at(&self) -> Option<SystemTime> {
        capture::moment(self.timestamp)
    }
}
