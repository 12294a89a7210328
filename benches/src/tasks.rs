//! Many tasks that do the same in a loop, and contenders that take turns.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};
use tokio::task::JoinSet;

use crate::{median, quantile};

/// Whatever goes wrong ends the measurement.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

const TASKS: usize = 64;
const TURNS: usize = 7;
const TURN: Duration = Duration::from_secs(1);

type Work = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// Something that is done again and again, each time for another event.
pub struct Contender {
    name: String,
    work: Arc<dyn Fn(u64) -> Work + Send + Sync>,
    next: Arc<AtomicU64>,
    rates: Vec<f64>,
    latencies: Vec<f64>,
}

impl fmt::Debug for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contender").field(&self.name).finish()
    }
}

impl Contender {
    /// With what it does for the event of a number.
    pub fn new<F>(name: &str, work: impl Fn(u64) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), Error>> + Send + 'static,
    {
        Self {
            name: name.to_owned(),
            work: Arc::new(move |number| Box::pin(work(number))),
            next: Arc::default(),
            rates: Vec::new(),
            latencies: Vec::new(),
        }
    }

    /// Does it by so many tasks, for so long. Returns how long each took, in milliseconds.
    ///
    /// # Errors
    ///
    /// The first of what it does.
    pub async fn run(&self, tasks: usize, time: Duration) -> Result<Vec<f64>, Error> {
        let end = SystemClock.monotonic() + time;
        let mut running = JoinSet::new();
        for _ in 0..tasks {
            let (work, next) = (Arc::clone(&self.work), Arc::clone(&self.next));
            running.spawn(async move {
                let mut took = Vec::new();
                loop {
                    let begun = SystemClock.monotonic();
                    if begun >= end {
                        return Ok::<_, Error>(took);
                    }
                    work(next.fetch_add(1, Relaxed)).await?;
                    let time = SystemClock.monotonic() - begun;
                    took.push(time.as_secs_f64() * 1000.0);
                }
            });
        }
        let mut all = Vec::new();
        while let Some(took) = running.join_next().await {
            all.extend(took??);
        }
        Ok(all)
    }
}

/// Lets all take turns, and prints a row for each; the ratio is to the first, in the same round.
///
/// # Errors
///
/// The first of what they do.
pub async fn compare(title: &str, contenders: Vec<Contender>) -> Result<(), Error> {
    compare_by(TASKS, title, contenders).await
}

/// As [`compare`], by so many tasks.
///
/// # Errors
///
/// The first of what they do.
pub async fn compare_by(
    tasks: usize,
    title: &str,
    mut contenders: Vec<Contender>,
) -> Result<(), Error> {
    for contender in &contenders {
        contender.run(tasks, TURN / 4).await?;
    }
    for _ in 0..TURNS {
        for contender in &mut contenders {
            let took = contender.run(tasks, TURN).await?;
            contender.rates.push(took.len() as f64 / TURN.as_secs_f64());
            contender.latencies.extend(took);
        }
    }
    println!("\n{title}: {tasks} tasks, {TURNS} turns of {TURN:?}");
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>7}",
        "", "a second", "p50 ms", "p99 ms", "ratio"
    );
    let base = contenders.first().map(|first| first.rates.clone());
    for Contender {
        name,
        rates,
        latencies,
        ..
    } in contenders
    {
        let ratios = rates.iter().zip(base.iter().flatten());
        let ratio = median(ratios.map(|(rate, base)| rate / base));
        let at = |part| quantile(latencies.iter().copied(), part);
        let (rate, p50, p99) = (median(rates.into_iter()), at(0.5), at(0.99));
        println!("{name:<44} {rate:>9.0} {p50:>9.2} {p99:>9.2} {ratio:>7.2}");
    }
    Ok(())
}
