//! Verifies deliveries, fetches public keys anew, and knows which ids were seen.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_cli::{Capture, Diagnosis, Setup, diagnose, verdict};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use crate::shown;
use crate::trust::Trust;

/// A key that is not known is fetched at most so often, whatever strangers send.
const KEYS_PAUSE: Duration = Duration::from_secs(30);
/// How often the keys are fetched anyway: one that was withdrawn must not stay trusted.
pub(super) const KEYS_AGE: Duration = Duration::from_secs(3600);
/// So many are looked into at a time,
const AT_A_TIME: usize = 2;
/// and another one waits so long for its turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many ids are known, the newest ones.
const KNOWN_IDS: usize = 10_000;

/// What deliveries are compared with.
#[derive(Debug)]
pub(super) struct Judge {
    setup: RwLock<Arc<Setup>>,
    trust: Trust,
    /// When keys were fetched again. Held while they are fetched, by deliveries that need them only.
    fetched: tokio::sync::Mutex<Option<Instant>>,
    places: Semaphore,
    seen: Mutex<Seen>,
}

impl Judge {
    /// Makes a judge. `trust` is what the setup was made from.
    pub(super) fn new(setup: Setup, trust: Trust) -> Self {
        Self {
            setup: RwLock::new(Arc::new(setup)),
            trust,
            fetched: tokio::sync::Mutex::default(),
            places: Semaphore::new(AT_A_TIME),
            seen: Mutex::new(Seen::new(KNOWN_IDS)),
        }
    }

    /// Compares a delivery with what is trusted. If it may be signed by a new public key, the keys are fetched first.
    pub(super) async fn verdict(&self, capture: &Capture, at: SystemTime) -> Diagnosis {
        let arrived = SystemClock.monotonic();
        let setup = self.setup();
        let first = verdict(capture, &setup, at);
        if !self.trust.can_fetch_again() || !may_need_new_keys(&first, capture) {
            return self.explained(first, capture, &setup, at).await;
        }
        let mut fetched = self.fetched.lock().await;
        // Another delivery may have had them fetched while this one waited.
        let is_new = fetched.is_some_and(|at| at > arrived) || self.fetch(&mut fetched).await;
        drop(fetched);
        let setup = self.setup();
        let second = if is_new {
            verdict(capture, &setup, at)
        } else {
            first
        };
        self.explained(second, capture, &setup, at).await
    }

    /// Looks for the causes of a refusal. That can take a second of the processor for each, and strangers may send
    /// what is refused: genuine deliveries do not wait for it, and those beyond what can be done get none.
    async fn explained(
        &self,
        verdict: Diagnosis,
        capture: &Capture,
        setup: &Setup,
        at: SystemTime,
    ) -> Diagnosis {
        if verdict.is_verified() {
            return verdict;
        }
        let Ok(Ok(_place)) = timeout(PATIENCE, self.places.acquire()).await else {
            shown::note(
                "too many refused deliveries at a time: no causes are looked for in this one",
            );
            return verdict;
        };
        tokio::task::block_in_place(|| diagnose(capture, setup, at))
    }

    fn setup(&self) -> Arc<Setup> {
        Arc::clone(&self.setup.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches the keys, unless that was done a short time ago, and returns whether there are new ones.
    async fn fetch(&self, fetched: &mut Option<Instant>) -> bool {
        let now = SystemClock.monotonic();
        if fetched.is_some_and(|at| now.saturating_duration_since(at) < KEYS_PAUSE) {
            return false;
        }
        let is_new = self.fetch_now(fetched).await;
        if is_new {
            shown::note("a signature fits no public key that is known: fetched the keys again");
        }
        is_new
    }

    async fn fetch_now(&self, fetched: &mut Option<Instant>) -> bool {
        let keys = self.trust.fetch_keys().await;
        *fetched = Some(SystemClock.monotonic());
        match keys {
            Ok(Some(keys)) => {
                let mut setup = self.setup.write().unwrap_or_else(PoisonError::into_inner);
                *setup = Arc::new(Setup::clone(&setup).keys(keys));
                true
            }
            Ok(None) => false,
            Err(failure) => {
                shown::warning(format_args!(
                    "{}. The keys that are known stay in use",
                    failure.text()
                ));
                false
            }
        }
    }

    /// Fetches the keys each time that so much has passed, so that those that were withdrawn are not trusted any more.
    /// Does not end.
    pub(super) async fn keep_fresh(&self, every: Duration) {
        if !self.trust.can_fetch_again() {
            return std::future::pending().await;
        }
        loop {
            sleep(every).await;
            let mut fetched = self.fetched.lock().await;
            self.fetch_now(&mut fetched).await;
        }
    }

    /// Remembers the id of a verified delivery. Returns the number of the first one that had it, if there was one.
    pub(super) fn first_with(&self, id: &str, number: u64) -> Option<u64> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.first_with(id, number)
    }
}

/// Whether a key that was published since could have signed it.
fn may_need_new_keys(diagnosis: &Diagnosis, capture: &Capture) -> bool {
    let Some(refusal) = diagnosis.refusal() else {
        return false;
    };
    let names_ed25519 = || {
        capture.headers().any(|(name, value)| {
            name.eq_ignore_ascii_case(gemini_webhooks::WEBHOOK_SIGNATURE)
                && value.windows(4).any(|part| part == b"v1a,")
        })
    };
    match refusal.code() {
        "unknown_key" => true,
        "signature_mismatch" => names_ed25519(),
        _ => false,
    }
}

/// The ids of verified deliveries, each with the number of the first delivery that had it.
#[derive(Debug)]
struct Seen {
    limit: usize,
    numbers: HashMap<String, u64>,
    oldest_first: VecDeque<String>,
}

impl Seen {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            numbers: HashMap::new(),
            oldest_first: VecDeque::new(),
        }
    }

    fn first_with(&mut self, id: &str, number: u64) -> Option<u64> {
        if let Some(first) = self.numbers.get(id) {
            return Some(*first);
        }
        if self.oldest_first.len() >= self.limit
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.numbers.remove(&oldest);
        }
        self.numbers.insert(id.to_owned(), number);
        self.oldest_first.push_back(id.to_owned());
        None
    }
}

#[cfg(test)]
mod tests {
    use gemini_webhooks::testing::{Ed25519Signer, JwksServer};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_key_that_was_withdrawn_is_not_trusted_any_more() {
        let withdrawn = Ed25519Signer::new("withdrawn", [1; 32]);
        let other = Ed25519Signer::new("other", [2; 32]);
        let server = JwksServer::start([withdrawn.jwk()]).await.unwrap();
        let trust = Trust {
            secret_file: Vec::new(),
            keys: Some(server.url()),
            jwt_audience: Vec::new(),
            endpoint_token_file: None,
            tolerance: Duration::from_secs(300),
        };
        let keys = trust.fetch_keys().await.unwrap().unwrap();
        let judge = Judge::new(Setup::new().keys(keys), trust);
        let capture = Capture::new(withdrawn.sign("msg_1", 0, b"{}"), "{}");
        let now = SystemTime::UNIX_EPOCH;
        assert!(judge.verdict(&capture, now).await.is_verified());

        server.publish([other.jwk()]);
        let is_refused = async {
            while judge.verdict(&capture, now).await.is_verified() {
                sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::select! {
            () = is_refused => {}
            () = judge.keep_fresh(Duration::from_millis(10)) => panic!("it does not end"),
            () = sleep(Duration::from_secs(60)) => panic!("it is still trusted"),
        }
    }

    #[test]
    fn repeats_are_known_within_the_limit() {
        let mut seen = Seen::new(2);
        for (id, number, expected) in [
            ("a", 1, None),
            ("a", 2, Some(1)),
            ("b", 3, None),
            ("a", 4, Some(1)),
            ("c", 5, None),
            ("b", 6, Some(3)),
            ("a", 7, None),
        ] {
            assert_eq!(seen.first_with(id, number), expected, "{id}, {number}");
        }
        assert_eq!((seen.numbers.len(), seen.oldest_first.len()), (2, 2));
    }

    #[test]
    fn when_new_keys_may_help() {
        let now = SystemClock.now();
        let seconds = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let signer = Ed25519Signer::new("k", [7; 32]);
        let keys = gemini_webhooks::testing::key_set([signer.jwk()]);
        let keys = gemini_webhooks::jwks::KeySet::from_json(keys.as_bytes()).unwrap();
        let setup = Setup::new().secret("it", secret).unwrap().keys(keys);
        let ed25519 = "v1a,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==";
        let hmac = "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        for (name, signature, timestamp, expected) in [
            ("an unknown key", ed25519, seconds, true),
            ("a secret that is not known", hmac, seconds, false),
            ("too old", ed25519, seconds - 1000, false),
            ("malformed", "", seconds, false),
        ] {
            let headers = [
                ("webhook-id", "msg_1".to_owned()),
                ("webhook-timestamp", timestamp.to_string()),
                ("Webhook-Signature", signature.to_owned()),
            ];
            let capture = Capture::new(headers, "{}");
            let diagnosis = diagnose(&capture, &setup, now);
            assert_eq!(
                may_need_new_keys(&diagnosis, &capture),
                expected,
                "{name}: {diagnosis}"
            );
        }
    }
}
