//! Events that come at a steady rate, and two processes that work them off.

use std::env;
use std::io::{Read as _, stdin};
use std::process::{Command, Stdio};
use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_benches::tasks::Error;
use gemini_webhooks_inbox::sqlx::Postgres as Db;
use gemini_webhooks_inbox::{Inbox, State};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::app::{app_of, deliver};
use super::postgres::open;

const EVENTS: u64 = 20_000;
const A_SECOND: u64 = 1_000;
/// So many come together, each few milliseconds.
const AT_ONCE: u64 = 10;

/// What a worker's process does, until its standard input ends.
pub(crate) async fn work(url: &str) -> Result<(), Error> {
    let inbox = open(url).await?;
    let end = spawn_blocking(|| stdin().read_to_end(&mut Vec::new()));
    let worker = inbox.worker().concurrency(32).ignore_others();
    worker
        .run_until(async {
            let _ended = end.await;
        })
        .await?;
    Ok(())
}

pub(crate) async fn measure(url: &str, inbox: &Inbox<Db>) -> Result<(), Error> {
    println!(
        "\nPostgreSQL: {EVENTS} events at {A_SECOND} a second, and two processes that work them off"
    );
    let mut workers = Vec::new();
    for _ in 0..2 {
        let mut worker = Command::new(env::current_exe()?);
        worker.args(["work", url]).stdin(Stdio::piped());
        workers.push(worker.spawn()?);
    }
    sleep(Duration::from_secs(1)).await;

    let app = app_of(inbox)?;
    let begun = SystemClock.monotonic();
    let mut ticks = interval(Duration::from_millis(1000 * AT_ONCE / A_SECOND));
    // What was late is made up for, so that the rate is kept.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut storing = JoinSet::new();
    let mut backlogs = Vec::new();
    for first in (0..EVENTS).step_by(usize::try_from(AT_ONCE)?) {
        ticks.tick().await;
        for number in first..first + AT_ONCE {
            storing.spawn(deliver(app.clone(), number));
        }
        if first > 0 && first % A_SECOND == 0 {
            let depth = inbox.depth().await?;
            backlogs.push(depth.waiting + depth.running);
        }
    }
    while let Some(stored) = storing.join_next().await {
        stored??;
    }
    let stored = SystemClock.monotonic() - begun;
    let left = loop {
        let depth = inbox.depth().await?;
        let left = depth.waiting + depth.running;
        if left == 0 || SystemClock.monotonic() - begun > stored + Duration::from_secs(120) {
            break left;
        }
        sleep(Duration::from_millis(20)).await;
    };
    let ended = SystemClock.monotonic() - begun;
    for mut worker in workers {
        drop(worker.stdin.take());
        worker.wait()?;
    }
    let done = inbox.entries().state(State::Done).count().await?;
    let rate = |time: Duration| EVENTS as f64 / time.as_secs_f64();
    println!("stored in {stored:.1?}, {:.0} a second", rate(stored));
    println!(
        "worked off in {ended:.1?}, {:.0} a second; {left} left",
        done as f64 / ended.as_secs_f64()
    );
    println!("waiting or running, each second: {backlogs:?}");
    println!("lost: {}", EVENTS - done);
    Ok(())
}
