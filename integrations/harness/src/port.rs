use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::TcpListener;

/// A port of 127.0.0.1 that no other test takes, also while its server is down.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// Nobody connects to it. It tells all processes that the port is taken, until this one ends.
    _reservation: TcpListener,
}

impl Port {
    /// Finds one between 10000 and 30000, and keeps other tests from it.
    ///
    /// # Panics
    ///
    /// If all are taken.
    #[must_use]
    pub fn free() -> Self {
        for _ in 0..1000 {
            // Below the ports that the system gives to outgoing connections: one of those could
            // otherwise hold the port when the server wants to start again.
            let number = 10_000 + u16::try_from(random() % 20_000).unwrap();
            let Ok(reservation) = TcpListener::bind(("127.77.0.1", number)) else {
                continue;
            };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self {
                    number,
                    _reservation: reservation,
                };
            }
        }
        panic!("found no free port between 10000 and 30000");
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// From the system's source of randomness, by way of the keys of std's hasher.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
