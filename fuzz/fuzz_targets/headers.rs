//! Deliveries under secrets and Ed25519 keys against other implementations: those of the crates
//! `standardwebhooks`, `hmac-sha256` and `ed25519-dalek`, and the rules of this crate, written once more.
#![cfg_attr(fuzzing, no_main)]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use arbitrary::{Result, Unstructured};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::{DeliveryHeaders, Keyring, Scheme, SigningSecret, Verifier, testing};
use gemini_webhooks_fuzz::{NOW, SECRETS, ed25519_key, ed25519_keys, fuzz_target, part};
use standardwebhooks::Webhook;

/// More would not find more.
const MAX_ENTRIES: u8 = 24;

struct Delivery {
    secrets: Vec<&'static str>,
    keys: Vec<u8>,
    now: u64,
    lines: Vec<(&'static str, Vec<u8>)>,
    /// Each header once, or twice with the same value.
    is_plain: bool,
    id: Vec<u8>,
    timestamp: Vec<u8>,
    /// The entries that the list was made of; `None` if some of its text is of anybody's making.
    entries: Option<Vec<Vec<u8>>>,
    list: Vec<u8>,
    body: Vec<u8>,
}

static SIGNING_KEYS: LazyLock<Vec<SigningKey>> = LazyLock::new(|| {
    ed25519_keys()
        .map(|key| SigningKey::from_bytes(&[key; 32]))
        .collect()
});

static JWKS: LazyLock<Vec<String>> =
    LazyLock::new(|| ed25519_keys().map(|key| ed25519_key(key).0.jwk()).collect());

fuzz_target!(|input: &[u8]| {
    let Ok(delivery) = Delivery::read(&mut Unstructured::new(input)) else {
        return;
    };
    let Some(verifier) = delivery.verifier() else {
        return;
    };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(delivery.now);
    let lines = delivery.lines.iter().map(|(name, value)| (*name, value));
    let headers = DeliveryHeaders::from_lines(lines);
    let whole = verifier.verify(&headers, &delivery.body, now);
    let checked = verifier.check(&headers, now);
    let halves = checked.as_ref().map_err(Clone::clone);
    let halves = halves.and_then(|checked| checked.verify(&delivery.body));
    assert_eq!(
        whole.as_ref().map_err(|error| error.kind()).map(|_| ()),
        halves.as_ref().map_err(|error| error.kind()).map(|_| ()),
    );
    match &whole {
        Ok(verified) => {
            assert_eq!(verified.id().as_bytes(), delivery.id);
            assert_eq!(
                verified.timestamp().to_string().as_bytes(),
                delivery.timestamp
            );
            assert!(matches!(verified.scheme(), Scheme::V1 | Scheme::V1a));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }

    let in_order = delivery.is_plain
        && is_id(&delivery.id)
        && delivery.list.len() <= 4096
        && sent_at(&delivery.timestamp).is_some_and(|at| at.abs_diff(delivery.now) <= 300);
    // A list of anybody's making has its entries between spaces, unless there are more commas than one in them.
    let entries = delivery.entries.clone().or_else(|| {
        let entries = delivery.list.split(|byte| *byte == b' ');
        let entries = entries
            .filter(|entry| !entry.is_empty())
            .map(<[u8]>::to_vec);
        let entries: Vec<Vec<u8>> = entries.collect();
        entries
            .iter()
            .all(|entry| is_plain_entry(entry))
            .then_some(entries)
    });
    match entries {
        Some(entries) => {
            let expected =
                in_order && (1..=16).contains(&entries.len()) && delivery.has_good(&entries);
            assert_eq!(whole.is_ok(), expected);
        }
        // Wherever an entry begins and ends, there has to be a good one.
        None if whole.is_ok() => {
            let parts: Vec<&[u8]> = delivery.list.split(|byte| b" ,".contains(byte)).collect();
            let pairs = parts.windows(2).map(|pair| pair.join(&b','));
            assert!(in_order && delivery.has_good(&pairs.collect::<Vec<_>>()));
        }
        None => {}
    }
});

impl Delivery {
    fn read(input: &mut Unstructured<'_>) -> Result<Self> {
        let which: u8 = input.arbitrary()?;
        let secrets = (0..3)
            .filter(|bit| which & 1 << bit != 0)
            .map(|bit| SECRETS[bit])
            .collect();
        let which: u8 = input.arbitrary()?;
        let keys = ed25519_keys()
            .take(3)
            .filter(|key| which & 1 << key != 0)
            .collect();
        let offset: i16 = input.arbitrary()?;
        let now = NOW.saturating_add_signed(offset.into());
        let repeated: u8 = input.arbitrary()?;
        let id = part(input)?.to_vec();
        let timestamp = match part(input)? {
            [] => NOW.to_string().into_bytes(),
            text => text.to_vec(),
        };
        let body = part(input)?.to_vec();
        let message = [&*id, b".", &timestamp, b".", &body].concat();

        let (mut list, mut entries) = (Vec::new(), Some(Vec::new()));
        for _ in 0..input.arbitrary::<u8>()? % MAX_ENTRIES {
            let kind: u8 = input.arbitrary()?;
            let (place, change): (u8, u8) = input.arbitrary()?;
            let mut entry = match kind % 6 {
                0 | 1 => v1(SECRETS[usize::from(place % 3)], &message),
                2 | 3 => v1a(place, &message),
                4 => v1(SECRETS[usize::from(place % 3)], &body),
                _ => {
                    entries = None;
                    part(input)?.to_vec()
                }
            };
            if kind % 6 == 1 || kind % 6 == 3 {
                // Within base64, so that it stays one entry.
                let end = entry.len();
                let place = end - 1 - usize::from(change) % (end - 4);
                entry[place] = STANDARD.encode([change]).as_bytes()[0];
            }
            let separator: &[&[u8]] = &[b" ", b", ", b",", b"  "];
            if !list.is_empty() {
                list.extend(separator[usize::from(kind / 6 % 4)]);
            }
            list.extend(&entry);
            entries = entries.map(|mut entries| {
                entries.push(entry);
                entries
            });
        }

        let mut lines = vec![
            ("webhook-id", id.clone()),
            ("Webhook-Timestamp", timestamp.clone()),
            ("WEBHOOK-SIGNATURE", list.clone()),
        ];
        let index = usize::from(repeated / 4 % 3);
        let (name, value) = lines[index].clone();
        let is_plain = match repeated % 4 {
            1 => {
                lines.push((name, value));
                true
            }
            2 => {
                lines.insert(0, (name, [&value[..], b"1"].concat()));
                false
            }
            3 => {
                lines.remove(index);
                false
            }
            _ => true,
        };
        Ok(Self {
            secrets,
            keys,
            now,
            lines,
            is_plain,
            id,
            timestamp,
            entries,
            list,
            body,
        })
    }

    /// `None` if there is no key.
    fn verifier(&self) -> Option<Verifier> {
        let secret = |text: &&str| text.parse::<SigningSecret>().expect("it is a secret");
        let mut secrets = self.secrets.iter().map(secret);
        let keyring = secrets.next().map(Keyring::new);
        let keyring = keyring.map(|first| secrets.fold(first, Keyring::add));
        let jwks = self
            .keys
            .iter()
            .map(|key| JWKS[usize::from(*key - 1)].clone());
        let keys = KeySet::from_json(testing::key_set(jwks).as_bytes()).ok();
        match (keyring, keys) {
            (Some(keyring), Some(keys)) => Some(Verifier::new(keyring).with_keys(keys)),
            (Some(keyring), None) => Some(Verifier::new(keyring)),
            (None, Some(keys)) => Some(Verifier::for_keys(keys)),
            (None, None) => None,
        }
    }

    /// Whether another implementation accepts one of these entries.
    fn has_good(&self, entries: &[Vec<u8>]) -> bool {
        let message = [&*self.id, b".", &self.timestamp, b".", &self.body].concat();
        let good = self.secrets.iter().map(|secret| v1(secret, &message));
        if good.into_iter().any(|good| entries.contains(&good)) {
            return true;
        }
        let signature = |entry: &Vec<u8>| {
            let bytes = STANDARD.decode(entry.strip_prefix(b"v1a,")?).ok()?;
            let signature = Signature::from_slice(&bytes).ok()?;
            // An R of small order fits other messages too, and is not counted.
            let weak = VerifyingKey::from_bytes(signature.r_bytes()).is_ok_and(|r| r.is_weak());
            (!weak).then_some(signature)
        };
        entries
            .iter()
            .filter_map(signature)
            .take(4)
            .any(|signature| {
                let public = |key: &u8| SIGNING_KEYS[usize::from(*key - 1)].verifying_key();
                let signed = |key: VerifyingKey| key.verify_strict(&message, &signature).is_ok();
                self.keys.iter().map(public).any(signed)
            })
    }
}

/// The entry that a sender with this secret makes. The official crate takes text only, and agrees on it.
fn v1(secret: &str, message: &[u8]) -> Vec<u8> {
    let key = secret.strip_prefix("whsec_").expect("it has the prefix");
    let key = STANDARD.decode(key).expect("it is base64");
    let digest = hmac_sha256::HMAC::mac(message, &key);
    let entry = format!("v1,{}", STANDARD.encode(digest));
    if let Some((id, timestamp, body)) = official(message) {
        let webhook = Webhook::new(secret).expect("it is a secret");
        let signed = webhook.sign(id, timestamp, body).expect("it is text");
        assert_eq!(signed, entry);
    }
    entry.into_bytes()
}

/// The parts of a message that the official crate would sign as it is: it prints the timestamp again.
fn official(message: &[u8]) -> Option<(&str, i64, &[u8])> {
    let mut parts = str::from_utf8(message).ok()?.splitn(3, '.');
    let (id, timestamp, body) = (parts.next()?, parts.next()?, parts.next()?);
    let number: i64 = timestamp.parse().ok()?;
    (number.to_string() == timestamp).then_some((id, number, body.as_bytes()))
}

fn v1a(key: u8, message: &[u8]) -> Vec<u8> {
    let key = &SIGNING_KEYS[usize::from(key) % SIGNING_KEYS.len()];
    let signature = key.sign(message).to_bytes();
    format!("v1a,{}", STANDARD.encode(signature)).into_bytes()
}

/// Stricter than Standard Webhooks, so that one signed text is one delivery: visible ASCII, at most 256, and no
/// part behind a dot that could be a timestamp.
fn is_id(id: &[u8]) -> bool {
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    (1..=256).contains(&id.len())
        && id.iter().all(|byte| (b'!'..=b'~').contains(byte))
        && !id.split(|byte| *byte == b'.').skip(1).any(is_number)
}

/// Stricter than the official crate, which takes a sign and leading zeros.
fn sent_at(text: &[u8]) -> Option<u64> {
    let number: u64 = str::from_utf8(text).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == text).then_some(number)
}

/// A version and a signature. What has more commas may be several entries that a proxy joined.
fn is_plain_entry(entry: &[u8]) -> bool {
    let comma = entry.iter().position(|byte| *byte == b',');
    comma.is_some_and(|at| at > 0 && at + 1 < entry.len() && !entry[at + 1..].contains(&b','))
        && !entry.windows(3).any(|start| start == b"eyJ")
}
