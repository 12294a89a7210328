//! One set-up, from its start to its verdict.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use gemini_webhooks_harness::Balancer;
use tokio::sync::Mutex;
use tokio::time::{interval, sleep};

use crate::clock::{Clock, Moment};
use crate::events::{self, Wish};
use crate::fleet::Fleet;
use crate::journal::Journal;
use crate::judge::{Evidence, judge};
use crate::keys::Keys;
use crate::plan::{self, Breakable, Fault, Scene};
use crate::replica::Order;
use crate::report::{self, Faults, Summary};
use crate::sender::Sender;
use crate::setup::{Front, Parts, Plant, StoreKind};
use crate::store::Store;
use crate::{Ended, Error};

/// What is stored is worked off after the last fault. If nothing of it is done for so long, in milliseconds, nothing
/// will be. An event that always aborts its process takes half of that.
const STANDSTILL: u64 = 90_000;
pub(crate) const PROGRESS: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) events: usize,
    pub(crate) rate: u32,
    pub(crate) seed: u64,
    pub(crate) plant: Option<Plant>,
}

/// Everything that runs, to be broken and asked.
struct World {
    journal: Arc<Journal>,
    keys: Arc<Keys>,
    store: Store,
    /// Faults of the store do not overlap.
    store_turn: Mutex<()>,
    fleet: Fleet,
    sender: Arc<Sender>,
    balancer: Balancer,
}

/// Returns what came of it, with its summary. The folder gets the files and the logs of the app.
pub(crate) async fn run(
    parts: &Parts,
    size: Size,
    folder: &Path,
) -> Result<(Ended, String), Error> {
    let world = World::start(parts, size, folder).await?;
    let length = size.events as u64 * 1_000 / u64::from(size.rate.max(1));
    let scene = Scene {
        length,
        replicas: world.fleet.len(),
        store: world.store.breakable(),
    };
    let plan = plan::draw(&mut fastrand::Rng::with_seed(size.seed), scene);
    let work = async {
        let sending = Arc::clone(&world.sender).send_all();
        tokio::try_join!(world.break_everything(plan), sending)?;
        world.work_off(parts).await?;
        world.sender.send_old_ones().await?;
        world.work_off(parts).await
    };
    tokio::select! {
        ended = work => ended?,
        () = world.tell_progress() => {}
        () = world.fleet.loses_one() => {}
    }
    world.end(parts, size.seed).await
}

impl World {
    async fn start(parts: &Parts, size: Size, folder: &Path) -> Result<Self, Error> {
        let mut random = fastrand::Rng::with_seed(size.seed);
        let journal = Arc::new(Journal::new(Clock::start()));
        let keys = Arc::new(Keys::start(random.u64(..), folder.join("secrets")).await?);
        let store = match parts.store {
            StoreKind::Redis => Store::redis(),
            StoreKind::Postgres => Store::postgres().await?,
            StoreKind::Sqlite => Store::sqlite(folder).await?,
            StoreKind::None => Store::None,
        };
        let endpoint_token = format!("{:032x}", random.u128(..));
        let mut variables = vec![
            (
                "WEBHOOK_SIGNING_SECRET_FILE".to_owned(),
                keys.file().display().to_string(),
            ),
            ("WEBHOOK_SIGNING_SECRET".to_owned(), keys.all_secrets()),
            ("WEBHOOK_ENDPOINT_TOKEN".to_owned(), endpoint_token.clone()),
            ("GEMINI_JWKS_URL".to_owned(), keys.url()),
        ];
        variables.extend(store.variable());
        variables.extend(size.plant.map(Plant::variable));
        let mut fleet = Fleet::start(parts, &variables, folder, &mut random, &journal);
        fleet.listens().await?;
        let ports = &fleet.ports;
        let balancer = match parts.front {
            Front::Nginx => Balancer::nginx(ports),
            Front::Haproxy => Balancer::haproxy(ports),
        };
        let wish = Wish {
            events: size.events,
            rate: size.rate,
            poison: parts.has_inbox,
        };
        // Events are due from now on.
        let now = journal.clock.now();
        let mut events = events::draw(&mut random, wish);
        for event in &mut events {
            event.due = event.due.after(now.0);
        }
        let sender = Sender {
            client: Sender::client()?,
            address: format!("127.0.0.1:{}", balancer.port()),
            endpoint_token,
            keys: Arc::clone(&keys),
            journal: Arc::clone(&journal),
            events: Arc::new(events),
            seed: random.u64(..),
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        };
        Ok(Self {
            journal,
            keys,
            store,
            store_turn: Mutex::new(()),
            fleet,
            sender: Arc::new(sender),
            balancer,
        })
    }

    /// Carries the plan out. All is mended when it returns.
    async fn break_everything(&self, plan: Vec<(Moment, Fault)>) -> Result<(), Error> {
        let began = self.journal.clock.now();
        let suffering = plan.into_iter().map(|(at, fault)| async move {
            self.journal.clock.until(began.after(at.0)).await;
            match fault {
                Fault::Kill { replica, down } => self.fleet.order(replica, Order::Kill { down }),
                Fault::Stop { replica, down } => self.fleet.order(replica, Order::Stop { down }),
                Fault::Store(fault) => {
                    let _turn = self.store_turn.lock().await;
                    self.store.suffer(fault, &self.journal).await?;
                }
                Fault::Keys(fault) => self.keys.suffer(fault, &self.journal).await?,
                Fault::RotateSecret => self.keys.rotate_secret(&self.journal).await?,
            }
            Ok::<_, Error>(())
        });
        try_join_all(suffering).await?;
        Ok(())
    }

    /// Until the inbox has nothing to do, or what was answered has run, or nothing happens any more.
    async fn work_off(&self, parts: &Parts) -> Result<(), Error> {
        let now = || self.journal.clock.now();
        let (mut least, mut end) = (u64::MAX, now().after(STANDSTILL));
        while now() < end {
            let left = if parts.has_inbox {
                self.store.inbox().await?.1
            } else if parts.mishaps {
                0
            } else {
                self.not_run()
            };
            if left == 0 {
                break;
            }
            if left < least {
                (least, end) = (left, now().after(STANDSTILL));
            }
            sleep(Duration::from_millis(500)).await;
        }
        Ok(())
    }

    /// An app of the user's may answer first, and work later.
    fn not_run(&self) -> u64 {
        let entries = self.journal.write();
        let runs: HashSet<&str> = entries
            .runs
            .iter()
            .map(|run| run.webhook_id.as_str())
            .collect();
        let events = self.sender.events.iter();
        let left = events.filter(|event| !event.is_forged() && !runs.contains(event.id.as_str()));
        left.count() as u64
    }

    async fn tell_progress(&self) {
        let mut ticks = interval(PROGRESS);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let sent = self.sender.begun.load(Ordering::Relaxed);
            let ended = self.sender.ended.load(Ordering::Relaxed);
            let line = {
                let entries = self.journal.write();
                report::progress(self.journal.clock.now(), sent, ended, &entries)
            };
            eprintln!("{line}");
        }
    }

    /// Stops all processes in order, and judges.
    async fn end(self, parts: &Parts, seed: u64) -> Result<(Ended, String), Error> {
        let names = self.fleet.end().await?;
        drop(self.balancer);
        let rows = self.store.rows().await?;
        let (dead, _) = self.store.inbox().await?;
        let entries = self.journal.write();
        let evidence = Evidence {
            events: &self.sender.events,
            entries: &entries,
            rows: rows.as_ref(),
            dead: &dead,
            names: &names,
            breakable: self.store.breakable() != Breakable::Nothing,
        };
        let verdict = judge(evidence, parts.rules);
        let summary = Summary {
            title: &parts.title,
            seed,
            seconds: self.journal.clock.now().0 / 1_000,
            faults: Faults(&entries).to_string(),
            verdict: &verdict,
        };
        let ended = Ended::of(verdict.holds(), verdict.not_tried.is_empty());
        Ok((ended, summary.to_string()))
    }
}
