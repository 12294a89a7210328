//! The public keys, and who signs with them.

use super::random::Random;
use crate::testing::{Ed25519Signer, key_set};

/// As many as Google publishes.
const KEYS: usize = 3;

pub(super) struct Keys {
    /// The newest first.
    signers: [Ed25519Signer; KEYS],
    turn: usize,
    pub(super) cache_control: Option<String>,
}

impl Keys {
    pub(super) fn new(random: &mut Random) -> Self {
        Self {
            signers: std::array::from_fn(|_| signer(random)),
            turn: 0,
            cache_control: None,
        }
    }

    /// A new key takes the oldest one's place, and signs next.
    pub(super) fn rotate(&mut self, random: &mut Random) {
        self.signers.rotate_right(1);
        let [newest, ..] = &mut self.signers;
        *newest = signer(random);
        self.turn = 0;
    }

    pub(super) fn json(&self) -> String {
        key_set(self.signers.iter().map(Ed25519Signer::jwk))
    }

    /// Each in turn: who knows only one of the keys does not get far.
    pub(super) fn next(&mut self) -> &Ed25519Signer {
        let [first, second, third] = &self.signers;
        self.turn += 1;
        match self.turn % KEYS {
            1 => first,
            2 => second,
            _ => third,
        }
    }
}

pub(super) fn signer(random: &mut Random) -> Ed25519Signer {
    Ed25519Signer::new(&random.hex(), random.bytes())
}
