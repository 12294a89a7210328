//! The set-ups with expected jobs: the app starts jobs of a mock of Google, and asks after those whose event does not
//! come.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use gemini_webhooks::GeminiEvent;
use gemini_webhooks::testing::google::{Call, SentEvent};
use gemini_webhooks_harness::Balancer;
use tokio::sync::Mutex;
use tokio::time::{interval, sleep};

use crate::clock::{Clock, Moment};
use crate::fleet::Fleet;
use crate::journal::{Journal, Told};
use crate::plan::{self, Fault, Scene};
use crate::replica::Order;
use crate::report::Faults;
use crate::run::{PROGRESS, Size};
use crate::setup::{Front, Parts, Plant, StoreKind};
use crate::store::Store;
use crate::{Ended, Error};

mod book;
mod google;
mod judge;
mod left;
mod logs;
mod mischief;
mod report;
mod starter;
mod wish;

use book::{Book, Job};
use google::Google;
use judge::{Evidence, judge};
use left::Left;
use logs::Logs;
use mischief::Mischief;
use report::{Deliveries, Summary};
use starter::Starter;
use wish::End;

/// After the last job. If nothing more comes to its end for so long, in milliseconds, nothing will.
const STANDSTILL: u64 = 45_000;
/// The watcher tells of its passes.
const LOG: &str = "info,gemini_webhooks_inbox::jobs=debug";

struct World {
    journal: Arc<Journal>,
    book: Arc<Book>,
    google: Arc<Google>,
    store: Store,
    store_turn: Mutex<()>,
    fleet: Arc<Fleet>,
    logs: Mutex<Logs>,
    leaders_killed: AtomicUsize,
    balancer: Balancer,
    starter: Arc<Starter>,
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
    let mut random = fastrand::Rng::with_seed(size.seed);
    let mut plan = plan::draw(&mut random, scene);
    if scene.replicas == 1 {
        spare(&mut plan);
    }
    let mischief = mischief::draw(&mut random, length);
    let work = async {
        tokio::try_join!(
            world.break_everything(plan),
            world.make_mischief(mischief),
            Arc::clone(&world.starter).start_all(),
        )?;
        if world.work_off().await? {
            // What is late comes as well.
            world.google.mock.retry_now().await;
            world.work_off().await?;
        }
        Ok::<_, Error>(())
    };
    tokio::select! {
        ended = work => ended?,
        ended = world.google.run() => match ended? {},
        () = world.tell_progress() => {}
        () = world.fleet.loses_one() => {}
    }
    world.end(parts, size).await
}

/// Leaves every third kill. A watcher waits for the end of the lease of the one before it, which a process that is alone
/// would hardly live to see.
fn spare(plan: &mut Vec<(Moment, Fault)>) {
    let mut kills = 0;
    plan.retain(|(_, fault)| {
        kills += usize::from(matches!(fault, Fault::Kill { .. }));
        !matches!(fault, Fault::Kill { .. }) || kills % 3 == 1
    });
}

impl World {
    async fn start(parts: &Parts, size: Size, folder: &Path) -> Result<Self, Error> {
        let mut random = fastrand::Rng::with_seed(size.seed);
        let journal = Arc::new(Journal::new(Clock::start()));
        let wishes = wish::draw(&mut random, size.events, size.rate);
        let book = Arc::new(Book::new(wishes));
        let secrets = folder.join("secrets");
        let google = Google::start(Arc::clone(&book), Arc::clone(&journal), secrets).await?;
        let store = match parts.store {
            StoreKind::Sqlite => Store::sqlite(folder).await?,
            _ => Store::postgres().await?,
        };
        let mut variables = google.variables();
        variables.extend(store.variable());
        variables.extend(size.plant.map(Plant::variable));
        variables.push(("RUST_LOG".to_owned(), LOG.to_owned()));
        let mut fleet = Fleet::start(parts, &variables, folder, &mut random, &journal);
        fleet.listens().await?;
        let balancer = match parts.front {
            Front::Nginx => Balancer::nginx(&fleet.ports),
            Front::Haproxy => Balancer::haproxy(&fleet.ports),
        };
        google.deliver_to(balancer.port());
        let fleet = Arc::new(fleet);
        let starter = Starter {
            client: Starter::client()?,
            book: Arc::clone(&book),
            fleet: Arc::clone(&fleet),
            journal: Arc::clone(&journal),
            seed: random.u64(..),
        };
        Ok(Self {
            logs: Mutex::new(Logs::new(fleet.logs(folder))),
            leaders_killed: AtomicUsize::new(0),
            journal,
            book,
            google: Arc::new(google),
            store,
            store_turn: Mutex::new(()),
            fleet,
            balancer,
            starter: Arc::new(starter),
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
                Fault::Keys(fault) => self.google.suffer_keys(fault),
                Fault::RotateSecret => self.google.rotate_secret().await?,
            }
            Ok::<_, Error>(())
        });
        try_join_all(suffering).await?;
        Ok(())
    }

    async fn make_mischief(&self, plan: Vec<(Moment, Mischief)>) -> Result<(), Error> {
        let began = self.journal.clock.now();
        let port = self.balancer.port();
        let suffering = plan.into_iter().map(|(at, mischief)| async move {
            self.journal.clock.until(began.after(at.0)).await;
            self.google.suffer(&mischief, port).await;
            if let Mischief::KillLeader { down } = mischief {
                self.kill_leader(down).await?;
            }
            Ok::<_, Error>(())
        });
        try_join_all(suffering).await?;
        Ok(())
    }

    /// As soon as a watcher has asked.
    async fn kill_leader(&self, down: u64) -> Result<(), Error> {
        let mut logs = self.logs.lock().await;
        logs.leader()?;
        for _ in 0..50 {
            sleep(Duration::from_millis(100)).await;
            if let Some(replica) = logs.leader()? {
                self.fleet.order(replica, Order::KillAtOnce { down });
                self.leaders_killed.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
        }
        Ok(())
    }

    /// Until all jobs have ended and are answered, or nothing happens any more. Returns whether all are.
    async fn work_off(&self) -> Result<bool, Error> {
        let now = || self.journal.clock.now();
        let (mut least, mut end) = (u64::MAX, now().after(STANDSTILL));
        while now() < end {
            self.store.hurry_nameless().await?;
            let running = self.running();
            let left = Left::look(&self.store, &running).await?;
            let open = left.open - left.known_open.len() as u64;
            let left = open + left.waiting + self.unended();
            if left == 0 {
                return Ok(true);
            }
            if left < least {
                (least, end) = (left, now().after(STANDSTILL));
            }
            sleep(Duration::from_millis(500)).await;
        }
        Ok(false)
    }

    fn unended(&self) -> u64 {
        let pages = self.book.open();
        let unended = pages.jobs.iter().filter(|job| job.ended.is_none());
        unended.count() as u64
    }

    /// The jobs that never end.
    fn running(&self) -> Vec<Job> {
        let pages = self.book.open();
        let running = pages.jobs.iter().filter(|job| job.end == End::Never);
        running.cloned().collect()
    }

    async fn tell_progress(&self) {
        let mut ticks = interval(PROGRESS);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let (starts, jobs) = {
                let pages = self.book.open();
                (pages.starts.len(), pages.jobs.len())
            };
            let line = {
                let entries = self.journal.write();
                let found = |told: &Told| told.found;
                let found = entries
                    .runs
                    .iter()
                    .filter(|run| run.told.as_ref().is_some_and(found));
                format!(
                    "{:>5} s  starts asked for {starts}, jobs {jobs}; successful runs {}, of which found {} | {}",
                    self.journal.clock.now().0 / 1_000,
                    entries.runs.len(),
                    found.count(),
                    Faults(&entries)
                )
            };
            eprintln!("{line}");
        }
    }

    /// Stops all processes in order, and judges.
    async fn end(self, parts: &Parts, size: Size) -> Result<(Ended, String), Error> {
        let running = self.running();
        drop(self.starter);
        let fleet = Arc::into_inner(self.fleet).ok_or("a job is still being started")?;
        let names = fleet.end().await?;
        drop(self.balancer);
        let left = Left::look(&self.store, &running).await?;
        let sent = self.google.mock.deliveries();
        let delivered = sent.iter().filter(|event| event.is_delivered);
        let delivered: HashSet<String> = delivered.filter_map(job_of).collect();
        let requests = self.google.mock.requests();
        let questions = requests.iter().filter(|request| {
            let asks = [
                Call::BatchesGet,
                Call::BatchesList,
                Call::InteractionsGet,
                Call::VideosGet,
            ];
            request.call.is_some_and(|call| asks.contains(&call))
        });
        let questions: Vec<&str> = questions.map(|request| request.path.as_str()).collect();
        let asked = running.iter().filter(|job| {
            let mut paths = questions.iter();
            paths.any(|path| path.ends_with(&job.name))
        });
        let asked: HashSet<String> = asked.map(|job| job.id.clone()).collect();
        let pages = self.book.open();
        let entries = self.journal.write();
        let verdict = judge(Evidence {
            wishes: &self.book.wishes,
            starts: &pages.starts,
            jobs: &pages.jobs,
            entries: &entries,
            names: &names,
            dead: &left.dead,
            delivered: &delivered,
            asked: &asked,
            open: &left.known_open,
        });
        let started = pages.jobs.iter().filter(|job| job.start.is_some()).count();
        let summary = Summary {
            title: &parts.title,
            seed: size.seed,
            seconds: self.journal.clock.now().0 / 1_000,
            asked_for: self.book.wishes.len(),
            started,
            deliveries: deliveries(&sent),
            requests: questions.len(),
            passes: self.logs.into_inner().passes()?,
            switched_off: self.google.switched_off.load(Ordering::Relaxed),
            failed_calls: self.google.failed_calls.load(Ordering::Relaxed),
            leaders_killed: self.leaders_killed.load(Ordering::Relaxed),
            killed_at_start: self
                .book
                .wishes
                .iter()
                .filter(|wish| wish.kill.is_some())
                .count(),
            faults: Faults(&entries).to_string(),
            verdict: &verdict,
        };
        let ended = Ended::of(verdict.holds(), verdict.not_tried.is_empty());
        Ok((ended, summary.to_string()))
    }
}

fn job_of(event: &SentEvent) -> Option<String> {
    let event = GeminiEvent::parse(event.body.clone());
    event.job().map(|job| job.to_string())
}

fn deliveries(sent: &[SentEvent]) -> Deliveries {
    let attempts = sent.iter().map(|event| event.attempts.len()).sum();
    let count = |is: fn(&&SentEvent) -> bool| sent.iter().filter(is).count();
    Deliveries {
        events: sent.len(),
        attempts,
        lost: count(|event| event.attempts.is_empty() && !event.is_pending),
        undelivered: count(|event| !event.is_delivered),
    }
}
