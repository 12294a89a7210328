//! The settings of a mock.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::keys::Keys;
use super::outbox::Outbox;
use super::random::Random;
use super::{API_KEY, ErrorShape, MockGoogle, Shared, State, http_client, server};
use crate::clock::{Clock, SystemClock};

/// Builds a [`MockGoogle`] from its settings, which all have defaults.
#[derive(Debug)]
#[must_use]
pub struct MockGoogleBuilder {
    address: SocketAddr,
    api_keys: Vec<String>,
    clock: Box<dyn Clock>,
    patience: Duration,
    disable_after: u32,
}

impl MockGoogleBuilder {
    pub(super) fn new() -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            api_keys: Vec::new(),
            clock: Box::new(SystemClock),
            patience: Duration::from_secs(5),
            disable_after: 10,
        }
    }

    /// Sets the address to listen on. A free port of the loopback interface by default.
    pub fn address(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Accepts this API key instead of [`API_KEY`].
    ///
    /// Call it again for each further key. Each key is a project of its own, which sees its own
    /// webhooks and jobs only.
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.api_keys.push(key.into());
        self
    }

    /// Sets the clock for timestamps, ends of secrets, and due retries. The system's clock by
    /// default.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// Sets how long the mock waits for the answer to a delivery. 5 seconds by default.
    ///
    /// This is tokio's time, not that of the clock. How long Google waits is not known.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Sets after how many failures in a row a webhook is switched off. 10 by default.
    ///
    /// Google's number is not known.
    pub fn disable_after(mut self, attempts: u32) -> Self {
        self.disable_after = attempts;
        self
    }

    /// Starts the mock.
    ///
    /// # Errors
    ///
    /// The address is taken, or the operating system gave no random bytes.
    pub async fn start(mut self) -> io::Result<MockGoogle> {
        if self.api_keys.is_empty() {
            self.api_keys.push(API_KEY.to_owned());
        }
        let mut random = Random::new()?;
        let state = State {
            keys: Keys::new(&mut random),
            random,
            webhooks: BTreeMap::new(),
            batches: BTreeMap::new(),
            interactions: BTreeMap::new(),
            triggers: BTreeMap::new(),
            videos: BTreeMap::new(),
            outbox: Outbox::new(),
            forwarded: BTreeMap::new(),
            disable_after: self.disable_after,
            error_shape: ErrorShape::default(),
            received: Vec::new(),
            faults: VecDeque::new(),
            delivery_faults: VecDeque::new(),
        };
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            clock: self.clock,
            api_keys: self.api_keys,
            http: http_client(self.patience).map_err(io::Error::other)?,
            under_way: watch::Sender::new(0),
            attempts: Mutex::new(JoinSet::new()),
        });
        let listener = TcpListener::bind(self.address).await?;
        let address = listener.local_addr()?;
        let server = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(MockGoogle {
            address,
            shared,
            server,
        })
    }
}
