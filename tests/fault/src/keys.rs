//! What the sender signs with: a shared secret, and a key whose public half is served. Both rotate.
//!
//! The signatures are made by other libraries than those that the receiver verifies with.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gemini_webhooks::testing::JwksServer;
use serde_json::json;
use standardwebhooks::Webhook;
use tokio::time::sleep;

use crate::Error;
use crate::journal::Journal;
use crate::plan::KeyFault;

/// Longer than a receiver takes to see a changed file or to ask for keys, so far as it is in order.
const SEEN: Duration = Duration::from_secs(5);
/// Receivers may keep the keys so long.
const MAX_AGE: &str = "max-age=60";

pub(crate) struct Keys {
    server: JwksServer,
    /// The secrets that the receivers accept, a line each.
    file: PathBuf,
    /// All that will ever sign, for an app that does not follow the file.
    secrets: Vec<String>,
    state: Mutex<State>,
}

struct State {
    random: fastrand::Rng,
    /// The places of the secrets that sign, the newest first.
    signing: Vec<usize>,
    /// The public keys that are served: the one that signed before, the one that signs, and the next.
    old: Option<Signer>,
    current: Signer,
    next: Signer,
    made: u32,
    down: bool,
}

#[derive(Clone)]
struct Signer {
    seed: [u8; 32],
    kid: String,
}

impl Signer {
    fn new(random: &mut fastrand::Rng, number: u32) -> Self {
        let mut seed = [0; 32];
        random.fill(&mut seed);
        Self {
            seed,
            kid: format!("key-{number}"),
        }
    }

    fn pair(&self) -> Result<Ed25519KeyPair, Error> {
        Ok(Ed25519KeyPair::from_seed_unchecked(&self.seed)?)
    }

    fn jwk(&self) -> Result<String, Error> {
        let x = URL_SAFE_NO_PAD.encode(self.pair()?.public_key());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": self.kid, "x": x});
        Ok(jwk.to_string())
    }
}

impl Keys {
    pub(crate) async fn start(seed: u64, file: PathBuf) -> Result<Self, Error> {
        let mut random = fastrand::Rng::with_seed(seed);
        let secret = |random: &mut fastrand::Rng| {
            let mut bytes = [0; 32];
            random.fill(&mut bytes);
            format!("whsec_{}", STANDARD.encode(bytes))
        };
        let secrets: Vec<String> = (0..4).map(|_| secret(&mut random)).collect();
        let (current, next) = (Signer::new(&mut random, 1), Signer::new(&mut random, 2));
        let state = State {
            random,
            signing: vec![0],
            old: None,
            current,
            next,
            made: 2,
            down: false,
        };
        let keys = Self {
            server: JwksServer::start([]).await?,
            file,
            secrets,
            state: Mutex::new(state),
        };
        keys.publish(&keys.state())?;
        keys.write_file(&[0])?;
        Ok(keys)
    }

    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    pub(crate) fn file(&self) -> &PathBuf {
        &self.file
    }

    pub(crate) fn all_secrets(&self) -> String {
        self.secrets.join(" ")
    }

    /// The value of `webhook-signature` of a static webhook.
    pub(crate) fn sign_v1(&self, id: &str, timestamp: u64, body: &[u8]) -> Result<String, Error> {
        let signing = self.state().signing.clone();
        let timestamp = i64::try_from(timestamp)?;
        let sign = |place: &usize| {
            let secret = self.secrets.get(*place).ok_or("no such secret")?;
            Ok::<_, Error>(Webhook::new(secret)?.sign(id, timestamp, body)?)
        };
        let entries: Result<Vec<String>, Error> = signing.iter().map(sign).collect();
        Ok(entries?.join(" "))
    }

    /// The value of `webhook-signature` of a dynamic webhook.
    pub(crate) fn sign_v1a(&self, id: &str, timestamp: u64, body: &[u8]) -> Result<String, Error> {
        let pair = self.state().current.pair()?;
        Ok(sign_v1a(&pair, id, timestamp, body))
    }

    /// As somebody signs who has neither the secret nor the key.
    pub(crate) fn sign_as_stranger(
        dynamic: bool,
        id: &str,
        timestamp: u64,
        body: &[u8],
    ) -> Result<String, Error> {
        let key = [7; 32];
        if dynamic {
            let pair = Ed25519KeyPair::from_seed_unchecked(&key)?;
            return Ok(sign_v1a(&pair, id, timestamp, body));
        }
        let signer = Webhook::from_bytes(key.to_vec())?;
        Ok(signer.sign(id, i64::try_from(timestamp)?, body)?)
    }

    /// Makes a new secret sign beside the old one, then alone. The receivers hear of it late.
    pub(crate) async fn rotate_secret(&self, journal: &Journal) -> Result<(), Error> {
        let (new, old) = {
            let mut state = self.state();
            let old = state.signing.first().copied().unwrap_or(0);
            let new = old + 1;
            if new >= self.secrets.len() {
                return Ok(());
            }
            state.signing = vec![new, old];
            (new, old)
        };
        journal.note("a new signing secret signs beside the old one");
        sleep(Duration::from_secs(1)).await;
        self.write_file(&[new, old])?;
        sleep(SEEN).await;
        self.state().signing = vec![new];
        sleep(SEEN).await;
        self.write_file(&[new])?;
        journal.note("the old signing secret is withdrawn");
        Ok(())
    }

    pub(crate) async fn suffer(&self, fault: KeyFault, journal: &Journal) -> Result<(), Error> {
        let time = match fault {
            KeyFault::Fail(time) => {
                journal.note("the key server answers 503");
                self.state().down = true;
                self.server.fail();
                time
            }
            KeyFault::Stall(time) => {
                journal.note("the key server does not answer");
                self.state().down = true;
                self.server.stall();
                time
            }
            KeyFault::Rotate { announced } => return self.rotate_key(announced, journal).await,
        };
        sleep(Duration::from_millis(time)).await;
        let mut state = self.state();
        state.down = false;
        self.publish(&state)
    }

    async fn rotate_key(&self, announced: bool, journal: &Journal) -> Result<(), Error> {
        {
            let mut guard = self.state();
            let state = &mut *guard;
            state.made += 1;
            let made = Signer::new(&mut state.random, state.made);
            let (new, next) = if announced {
                (state.next.clone(), made)
            } else {
                (made, state.next.clone())
            };
            state.old = Some(std::mem::replace(&mut state.current, new));
            state.next = next;
            journal.note(format!("{} signs from now on", state.current.kid));
            self.publish(state)?;
        }
        sleep(SEEN).await;
        let mut state = self.state();
        state.old = None;
        self.publish(&state)
    }

    fn publish(&self, state: &State) -> Result<(), Error> {
        if state.down {
            return Ok(());
        }
        let signers = state.old.iter().chain([&state.current, &state.next]);
        let jwks: Result<Vec<String>, Error> = signers.map(Signer::jwk).collect();
        self.server.publish_for(jwks?, MAX_AGE);
        Ok(())
    }

    /// Replaces the file at once, as a mounted secret is.
    fn write_file(&self, places: &[usize]) -> io::Result<()> {
        let lines = places.iter().filter_map(|place| self.secrets.get(*place));
        let text: String = lines.map(|line| format!("{line}\n")).collect();
        let new = self.file.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, &self.file)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sign_v1a(pair: &Ed25519KeyPair, id: &str, timestamp: u64, body: &[u8]) -> String {
    let before = format!("{id}.{timestamp}.");
    let signature = pair.sign(&[before.as_bytes(), body].concat());
    format!("v1a,{}", STANDARD.encode(signature))
}
