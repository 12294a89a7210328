//! Ids and secrets, different in each mock.

use std::io;

use sha2::{Digest as _, Sha256};

/// Everything is derived from one seed, so that only the start can fail.
pub(super) struct Random {
    seed: [u8; 32],
    drawn: u64,
}

impl Random {
    pub(super) fn new() -> io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(io::Error::other)?;
        Ok(Self { seed, drawn: 0 })
    }

    pub(super) fn bytes(&mut self) -> [u8; 32] {
        self.drawn += 1;
        let digest = Sha256::new()
            .chain_update(self.seed)
            .chain_update(self.drawn.to_le_bytes());
        digest.finalize().into()
    }

    /// 36 lower-case letters and digits, as the ids of webhooks are.
    pub(super) fn id(&mut self) -> String {
        let bytes = [self.bytes(), self.bytes()].concat();
        let digits = bytes.iter().take(36);
        digits
            .filter_map(|byte| char::from_digit(u32::from(byte % 36), 36))
            .collect()
    }

    pub(super) fn hex(&mut self) -> String {
        self.bytes().map(|byte| format!("{byte:02x}")).concat()
    }
}
