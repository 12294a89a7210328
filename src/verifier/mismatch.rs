//! What the log says of a delivery that no key signed.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Rules;
use crate::error::{Detail, Plain, VerifyError, VerifyErrorKind};
use crate::headers::Fields;
#[cfg(feature = "jwks")]
use crate::scheme::ed25519;
use crate::scheme::{KeySet, hmac};
use crate::secret::sealed::{self, Secret as _};
use crate::secret::{Held, ended_at, valid_at};

/// How many secrets past their end are tried, the last ones first. Each is a hash of the body, which
/// anyone can make us do; and more than one rotation ago nobody signs with any longer.
const MAX_ENDED: usize = 2;

/// How many keys are named; the others are counted.
const MAX_NAMES: usize = 4;

/// A public key is named by whoever publishes it.
const MAX_NAME_BYTES: usize = 64;

impl Rules {
    /// Says what was tried, and whether a secret that has ended would have fitted. Whether the key is
    /// another or the body has changed, nobody can tell: so what to check for either.
    pub(super) fn mismatch(
        &self,
        keys: Option<&KeySet>,
        fields: &Fields<'_>,
        body: &[u8],
        now: SystemTime,
    ) -> VerifyError {
        let mut text = fields.signatures.found();
        let _ = match self.ended(fields, body, now) {
            Some((key_id, end)) => write!(
                text,
                "; the secret {key_id} did, but it ended {}. So the body was not changed. Unless that secret leaked, let it end later, or give this receiver the secret that replaced it",
                Ago(now, end)
            ),
            None => write!(
                text,
                "; tried {}; the body has {} bytes. Either another key signed it, or the body was changed on its way; the program `gemini-webhooks verify` can often tell which. Check that the secret (or the set of public keys) is the one of this webhook, and that nothing in front of this receiver decompresses, decodes or reformats the body",
                self.tried(keys, fields, now),
                body.len()
            ),
        };
        VerifyError::new(
            VerifyErrorKind::SignatureMismatch,
            Detail::Told(text.into()),
        )
    }

    /// The id of the secret past its end that signed, if one did, and its end.
    fn ended(
        &self,
        fields: &Fields<'_>,
        body: &[u8],
        now: SystemTime,
    ) -> Option<(Arc<str>, SystemTime)> {
        hmac::candidates(fields).next()?;
        let loaded: Vec<_> = self.keyrings.iter().map(Held::load).collect();
        let mut ended = loaded
            .iter()
            .flat_map(|entries| ended_at(entries, now))
            .take(MAX_ENDED);
        let (secret, end) = ended.find(|(secret, _)| secret.mac().signed(fields, body))?;
        Some((Arc::clone(secret.id()), end))
    }

    /// No secret is valid any longer.
    pub(super) fn all_ended(&self, now: SystemTime) -> VerifyError {
        let mut text = "every signing secret has ended".to_owned();
        let loaded: Vec<_> = self.keyrings.iter().map(Held::load).collect();
        let ended = loaded.iter().flat_map(|entries| ended_at(entries, now));
        if let Some((secret, end)) = ended.max_by_key(|(_, end)| *end) {
            let (id, ago) = (secret.key_id(), Ago(now, end));
            let _ = write!(
                text,
                ", the last one ({id}) {ago}; give this receiver the secret that replaced it"
            );
        }
        VerifyError::new(VerifyErrorKind::KeysUnavailable, Detail::Told(text.into()))
    }

    fn tried(&self, keys: Option<&KeySet>, fields: &Fields<'_>, now: SystemTime) -> String {
        let mut tried = Vec::new();
        if hmac::candidates(fields).next().is_some() {
            let loaded: Vec<_> = self.keyrings.iter().map(Held::load).collect();
            let secrets = loaded.iter().flat_map(|entries| valid_at(entries, now));
            tried.extend(named("secret", secrets.map(sealed::Secret::id)));
        }
        #[cfg(feature = "jwks")]
        if let Some(keys) = keys
            && ed25519::signatures(fields).next().is_some()
        {
            tried.extend(named("public key", keys.ed25519_ids()));
        }
        #[cfg(not(feature = "jwks"))]
        let _ = keys;
        if tried.is_empty() {
            return "no key".to_owned();
        }
        tried.join(" and ")
    }
}

/// `secret a`, `public keys a, b, c, d and 3 more`; nothing for none.
fn named<'a>(what: &str, mut ids: impl Iterator<Item = &'a Arc<str>>) -> Option<String> {
    let names: Vec<String> = ids
        .by_ref()
        .take(MAX_NAMES)
        .map(|id| Plain::new(id).at_most(MAX_NAME_BYTES).to_string())
        .collect();
    let plural = if names.len() > 1 { "s" } else { "" };
    let list = format!("{what}{plural} {}", names.join(", "));
    match ids.count() {
        0 if names.is_empty() => None,
        0 => Some(list),
        more => Some(format!("{list} and {more} more")),
    }
}

/// How long before the first the second was, in the largest unit that has at least two.
struct Ago(SystemTime, SystemTime);

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(now, then) = self;
        let seconds = now
            .duration_since(*then)
            .map_or(0, |since: Duration| since.as_secs());
        let units = [(24 * 60 * 60, "days"), (60 * 60, "h"), (60, "min")];
        let (length, unit) = units
            .into_iter()
            .find(|(length, _)| seconds >= 2 * length)
            .unwrap_or((1, "s"));
        write!(f, "{} {unit} ago", seconds / length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_ago() {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        for (seconds, shown) in [
            (0, "0 s ago"),
            (119, "119 s ago"),
            (120, "2 min ago"),
            (7199, "119 min ago"),
            (7200, "2 h ago"),
            (172_799, "47 h ago"),
            (172_800, "2 days ago"),
            (1_000_000, "11 days ago"),
        ] {
            let now = then + Duration::from_secs(seconds);
            assert_eq!(Ago(now, then).to_string(), shown);
        }
        assert_eq!(
            Ago(then - Duration::from_secs(9), then).to_string(),
            "0 s ago"
        );
    }

    #[test]
    fn names_are_few_and_plain() {
        let ids =
            |count: usize| -> Vec<Arc<str>> { (0..count).map(|n| n.to_string().into()).collect() };
        for (count, shown) in [
            (0, None),
            (1, Some("key 0")),
            (2, Some("keys 0, 1")),
            (4, Some("keys 0, 1, 2, 3")),
            (5, Some("keys 0, 1, 2, 3 and 1 more")),
            (16, Some("keys 0, 1, 2, 3 and 12 more")),
        ] {
            assert_eq!(named("key", ids(count).iter()).as_deref(), shown);
        }
        let forged = Arc::from(format!("a\n{}", "x".repeat(1000)));
        let shown = named("key", [&forged].into_iter()).unwrap();
        assert!(
            shown.starts_with(r"key a\nxx") && shown.len() < 100,
            "{shown}"
        );
    }
}
