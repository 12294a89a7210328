//! What the watcher asks, and how long that takes: jobs whose time is over, of which the events of some are lost; and jobs
//! whose time is not over.

use std::time::Duration;

use gemini_webhooks::client::WebhookService;
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, Call, MockGoogle};
use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_benches::quantile;
use gemini_webhooks_benches::tasks::Error;
use gemini_webhooks_inbox::{Database, Inbox};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::app::{app_of, deliver, id};

const JOBS: u64 = 10_000;
/// Of these jobs no event has come.
const LOST: [u64; 4] = [0, JOBS / 100, JOBS / 10, JOBS];
/// Jobs that are not due, and cost their place in the table.
const OPEN: [u64; 2] = [10_000, 100_000];

/// Of a watcher's questions.
const DEFAULT_CONCURRENCY: u32 = 4;
const AT_ONCE: usize = 64;
const PASSES: usize = 20;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Each on a database of its own.
pub(crate) async fn measure<DB: Database, Store>(
    name: &str,
    start: impl AsyncFn() -> Result<(Inbox<DB>, Store), Error>,
) -> Result<(), Error> {
    println!("\n{name}: {JOBS} expected jobs whose time is over, of which events are lost");
    for events in LOST {
        for concurrency in [DEFAULT_CONCURRENCY, 64] {
            let (inbox, _store) = start().await?;
            lost(&inbox, events, concurrency).await?;
        }
    }
    let (inbox, _store) = start().await?;
    by_default(&inbox, JOBS / 100).await?;
    println!("{name}: expected jobs whose time is not over");
    for jobs in OPEN {
        let (inbox, _store) = start().await?;
        open(&inbox, jobs).await?;
    }
    Ok(())
}

/// One pass over jobs whose time is over, without a quota that holds it up.
async fn lost<DB: Database>(inbox: &Inbox<DB>, lost: u64, concurrency: u32) -> Result<(), Error> {
    let (google, service) = jobs(inbox, lost).await?;
    let watcher = inbox.watch(service).concurrency(concurrency);
    let begun = SystemClock.monotonic();
    let pass = watcher.per_minute(u32::MAX).pass().await?;
    let took = SystemClock.monotonic() - begun;
    let asked = asked(&google);
    if (pass.found, pass.asked, asked) != (lost, lost, lost) {
        return Err(format!("{lost} were lost, Google was asked {asked} times: {pass:?}").into());
    }
    println!(
        "{lost:>7} lost, {concurrency:>2} at once: {asked:>6} requests, {took:>8.2?}, {:>6.0} a second",
        lost as f64 / took.as_secs_f64()
    );
    Ok(())
}

/// With the settings that a watcher has by default, until all are answered.
async fn by_default<DB: Database>(inbox: &Inbox<DB>, lost: u64) -> Result<(), Error> {
    let (google, service) = jobs(inbox, lost).await?;
    let (stop, stopped) = oneshot::channel::<()>();
    let begun = SystemClock.monotonic();
    let watching = tokio::spawn(inbox.watch(service).run_until(async {
        let _stopped = stopped.await;
    }));
    while inbox.awaited().await?.open > 0 {
        sleep(Duration::from_millis(50)).await;
    }
    let took = SystemClock.monotonic() - begun;
    drop(stop);
    watching.await??;
    let asked = asked(&google);
    println!("{lost:>7} lost, default settings: {asked:>6} requests, {took:>8.2?}");
    Ok(())
}

/// Passes while no job is due.
async fn open<DB: Database>(inbox: &Inbox<DB>, jobs: u64) -> Result<(), Error> {
    for_all(0..jobs, |number| {
        let inbox = inbox.clone();
        async move { Ok(inbox.expect(&job(&id(number))?, DAY).await?) }
    })
    .await?;
    let google = MockGoogle::start().await?;
    let watcher = inbox.watch(service(&google)?);
    let mut took = Vec::new();
    for _ in 0..PASSES {
        let begun = SystemClock.monotonic();
        let pass = watcher.pass().await?;
        took.push((SystemClock.monotonic() - begun).as_secs_f64() * 1000.0);
        if pass.asked > 0 {
            return Err(format!("no job is due: {pass:?}").into());
        }
    }
    let at = |part| quantile(took.iter().copied(), part);
    let (p50, worst) = (at(0.5), at(1.0));
    println!(
        "{jobs:>7} open, none due: a pass takes p50 {p50:.2} ms, the worst of {PASSES} {worst:.2} ms"
    );
    Ok(())
}

/// So many jobs whose time is over. All have ended, and the events of these are lost.
async fn jobs<DB: Database>(
    inbox: &Inbox<DB>,
    lost: u64,
) -> Result<(MockGoogle, WebhookService), Error> {
    let google = MockGoogle::start().await?;
    let service = service(&google)?;
    let app = app_of(inbox)?;
    // Of these Google need not know: nobody asks.
    for_all(lost..JOBS, |number| {
        let (inbox, app) = (inbox.clone(), app.clone());
        async move {
            deliver(app, number).await?;
            Ok(inbox.expect(&job(&id(number))?, Duration::ZERO).await?)
        }
    })
    .await?;
    for_all(0..lost, |_| {
        let (inbox, batches) = (inbox.clone(), service.batches());
        async move {
            let request = json!({"batch": {"inputConfig": {"fileName": "files/7"}}});
            let batch = batches.create("gemini-3", request, None).await?;
            Ok(inbox.expect(&job(batch.name())?, Duration::ZERO).await?)
        }
    })
    .await?;
    for name in google.job_names() {
        // No webhook is registered, so nothing is delivered.
        let ended = google.finish_batch(&name, BatchOutcome::Succeeded).await;
        ended.map_err(|error| error.to_string())?;
    }
    Ok((google, service))
}

fn service(google: &MockGoogle) -> Result<WebhookService, Error> {
    let builder = WebhookService::builder().api_key(API_KEY);
    Ok(builder.base_url(google.base_url()).build()?)
}

fn job(name: &str) -> Result<JobId, Error> {
    JobId::new(JobKind::Batch, name).ok_or_else(|| "no name of a batch".into())
}

fn asked(google: &MockGoogle) -> u64 {
    let requests = google.requests();
    let asked = requests
        .iter()
        .filter(|request| request.call == Some(Call::BatchesGet));
    asked.count() as u64
}

/// Does it for all of these, a few at the same time.
async fn for_all<F>(numbers: std::ops::Range<u64>, work: impl Fn(u64) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    let mut running = JoinSet::new();
    for number in numbers {
        if running.len() >= AT_ONCE
            && let Some(ended) = running.join_next().await
        {
            ended??;
        }
        running.spawn(work(number));
    }
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    Ok(())
}
