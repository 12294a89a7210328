//! The signing secrets of a webhook.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use serde_json::{Value, json};

use super::fields::set;
use super::random::Random;
use super::time::rfc3339;
use crate::secret::SigningSecret;

/// How long a secret outlives its rotation.
const GRACE: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct Secrets {
    held: Vec<Held>,
}

struct Held {
    text: String,
    secret: SigningSecret,
    expires: Option<SystemTime>,
}

impl Held {
    fn is_valid(&self, now: SystemTime) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

impl Secrets {
    /// The first secret, and its text.
    pub(super) fn new(random: &mut Random) -> (Self, String) {
        let mut secrets = Self { held: Vec::new() };
        let text = secrets.add(random);
        (secrets, text)
    }

    /// Adds a secret; the others end now or in a day.
    pub(super) fn rotate(&mut self, at_once: bool, now: SystemTime, random: &mut Random) -> String {
        self.forget_expired(now);
        if at_once {
            self.held.clear();
        }
        for held in &mut self.held {
            let end = now + GRACE;
            held.expires = Some(held.expires.map_or(end, |earlier| earlier.min(end)));
        }
        self.add(random)
    }

    fn add(&mut self, random: &mut Random) -> String {
        let bytes = random.bytes();
        // Both have been seen: padding, and none.
        let encoded = match bytes.first() {
            Some(first) if first % 2 == 0 => STANDARD_NO_PAD.encode(bytes),
            _ => STANDARD.encode(bytes),
        };
        let text = format!("whsec_{encoded}");
        #[expect(clippy::expect_used, reason = "32 bytes are a secret")]
        let secret = text.parse().expect("32 bytes are a secret");
        self.held.push(Held {
            text: text.clone(),
            secret,
            expires: None,
        });
        text
    }

    fn forget_expired(&mut self, now: SystemTime) {
        self.held.retain(|held| held.is_valid(now));
    }

    /// Each of them signs, the newest first.
    pub(super) fn valid(&self, now: SystemTime) -> impl Iterator<Item = &SigningSecret> {
        let valid = self
            .held
            .iter()
            .rev()
            .filter(move |held| held.is_valid(now));
        valid.map(|held| &held.secret)
    }

    pub(super) fn listed(&self, now: SystemTime) -> Vec<Value> {
        let valid = self.held.iter().filter(|held| held.is_valid(now));
        let listed = valid.map(|held| {
            let last = held.text.len().saturating_sub(4);
            let last = held.text.get(last..).unwrap_or_default();
            let mut listed = json!({"truncated_secret": format!("whsec_...{last}")});
            if let Some(end) = held.expires {
                set(&mut listed, "expire_time", rfc3339(end));
            }
            listed
        });
        listed.collect()
    }
}
