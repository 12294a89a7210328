//! How long it takes from the answer to the start of the work.

use std::time::Duration;

use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_benches::quantile;
use gemini_webhooks_benches::tasks::Error;
use gemini_webhooks_inbox::{Database, Inbox};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::app::{app_of, deliver};

const EVENTS: u64 = 50;

/// Stores by one inbox, and works off by the other, which may be the same.
pub(crate) async fn measure<DB: Database>(
    name: &str,
    stores: &Inbox<DB>,
    works: &Inbox<DB>,
) -> Result<(), Error> {
    let (begun, mut begins) = mpsc::unbounded_channel();
    let worker = works.worker().otherwise(move |_, _| {
        let sent = begun.send(SystemClock.monotonic());
        std::future::ready(sent.map_err(Into::into))
    });
    let (stop, stopped) = oneshot::channel::<()>();
    let worker = tokio::spawn(worker.run_until(async {
        let _stopped = stopped.await;
    }));
    let app = app_of(stores)?;
    let first = stores.entries().count().await?;
    let mut delays = Vec::new();
    for number in 0..EVENTS {
        // It is idle by then, at another place between two looks each time.
        sleep(Duration::from_millis(100 + number)).await;
        deliver(app.clone(), first + number).await?;
        let answered = SystemClock.monotonic();
        let begun = timeout(Duration::from_secs(10), begins.recv()).await?;
        let delay = begun.ok_or("the worker has ended")?;
        let delay = delay.saturating_duration_since(answered);
        delays.push(delay.as_secs_f64() * 1000.0);
    }
    drop(stop);
    worker.await??;
    let at = |part| quantile(delays.iter().copied(), part);
    let (p50, worst) = (at(0.5), at(1.0));
    println!("{name:<44} p50 {p50:>7.2} ms, the worst of {EVENTS} {worst:>7.2} ms");
    Ok(())
}
