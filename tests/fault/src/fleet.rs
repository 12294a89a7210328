//! The processes of a set-up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use gemini_webhooks_harness::Port;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::Error;
use crate::journal::Journal;
use crate::replica::{Order, Replica, Spec};
use crate::setup::{Parts, StoreKind};

/// The app must listen within this time, and may end so many times before.
const START: Duration = Duration::from_secs(30);
const STARTS: usize = 6;
/// The clock of the first replica.
const CLOCK_AHEAD: i64 = 120;

pub(crate) struct Fleet {
    replicas: Vec<Replica>,
    names: Vec<String>,
    /// Of those that receive.
    pub(crate) ports: Vec<u16>,
    journal: Arc<Journal>,
}

impl Fleet {
    pub(crate) fn start(
        parts: &Parts,
        variables: &[(String, String)],
        folder: &Path,
        random: &mut fastrand::Rng,
        journal: &Arc<Journal>,
    ) -> Self {
        let mut fleet = Self {
            replicas: Vec::new(),
            names: Vec::new(),
            ports: Vec::new(),
            journal: Arc::clone(journal),
        };
        // Those that share a file share a machine, and its clock.
        let clocks_differ = parts.receivers.len() > 1 && parts.store != StoreKind::Sqlite;
        let receivers = parts.receivers.iter().map(|it| ("receiver", it));
        let workers = parts.workers.iter().map(|it| ("worker", it));
        for (index, (kind, arguments)) in receivers.chain(workers).enumerate() {
            let name = format!("{kind} {}", index + 1);
            let is_ahead = index == 0 && clocks_differ;
            let spec = Spec {
                name: name.clone(),
                program: parts.program.clone(),
                arguments: arguments.clone(),
                variables: variables.to_vec(),
                log: log(folder, &name),
                mishaps: parts.mishaps.then(|| random.u64(..)),
                clock_ahead: if is_ahead { CLOCK_AHEAD } else { 0 },
            };
            let port = Port::free();
            if kind == "receiver" {
                fleet.ports.push(port.number());
            }
            let replica = Replica::start(index, spec, port, Arc::clone(journal));
            fleet.replicas.push(replica);
            fleet.names.push(name);
        }
        fleet
    }

    /// Returns when all that receive do.
    pub(crate) async fn listens(&mut self) -> Result<(), Error> {
        let listening = async {
            for port in &self.ports {
                while TcpStream::connect(("127.0.0.1", *port)).await.is_err() {
                    sleep(Duration::from_millis(50)).await;
                }
            }
        };
        let why = tokio::select! {
            () = listening => return Ok(()),
            why = self.cannot_start() => why,
            () = self.loses_one() => "cannot be watched".to_owned(),
            () = sleep(START) => format!("does not listen after {START:?}"),
        };
        // What a replica could not read tells more.
        for replica in self.replicas.drain(..).filter(Replica::is_lost) {
            replica.end().await?;
        }
        Err(format!("the app {why}").into())
    }

    /// Returns when it is plain that the app does not start, and says why.
    async fn cannot_start(&self) -> String {
        loop {
            sleep(Duration::from_millis(100)).await;
            let deaths = self.journal.write().deaths.len();
            if deaths >= STARTS {
                return format!("ended {deaths} times before it listened");
            }
        }
    }

    /// Returns when a replica cannot be watched any more. `end` then says why.
    pub(crate) async fn loses_one(&self) {
        while !self.replicas.iter().any(Replica::is_lost) {
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The log of each replica.
    pub(crate) fn logs(&self, folder: &Path) -> Vec<PathBuf> {
        self.names.iter().map(|name| log(folder, name)).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.replicas.len()
    }

    pub(crate) fn order(&self, replica: usize, order: Order) {
        if let Some(replica) = self.replicas.get(replica) {
            replica.order(order);
        }
    }

    /// Stops all in order. Returns their names.
    pub(crate) async fn end(self) -> Result<Vec<String>, Error> {
        try_join_all(self.replicas.into_iter().map(Replica::end)).await?;
        Ok(self.names)
    }
}

fn log(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{}.log", name.replace(' ', "-")))
}
