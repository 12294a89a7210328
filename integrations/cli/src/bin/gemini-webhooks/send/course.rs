//! The course of the deliveries: how many, how fast, and when again.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::{Clock as _, SystemClock};
use reqwest::Client;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, Sleep, interval, sleep};

use super::answer::{self, Answer};
use super::event;
use super::sign::Signer;
use super::tamper::{Request, Tamper};
use super::target::Target;
use super::wanted::Wanted;
use crate::exit::Failure;
use crate::stop::Stop;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How long what is in flight may take after Ctrl-C.
const GRACE: Duration = Duration::from_secs(1);
const TICK: Duration = Duration::from_secs(2);

/// What is to be sent, and how.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) client: Client,
    pub(super) target: Target,
    pub(super) signer: Signer,
    pub(super) body: Bytes,
    /// Whether each event is about a job of its own.
    pub(super) is_sample: bool,
    /// Without it each event gets one of its own.
    pub(super) id: Option<String>,
    pub(super) tamper: Option<Tamper>,
    /// In seconds.
    pub(super) clock_offset: i64,
    pub(super) count: u64,
    pub(super) repeat: u64,
    pub(super) rate: Option<f64>,
    pub(super) concurrency: usize,
    /// For how long a delivery is sent again.
    pub(super) retry_for: Option<Duration>,
    pub(super) wanted: Wanted,
}

/// One request and what came of it.
#[derive(Debug)]
pub(super) struct Attempt {
    /// Counted from 1, as the others.
    pub(super) delivery: u64,
    pub(super) repeat: u64,
    pub(super) attempt: u32,
    pub(super) id: Arc<str>,
    pub(super) timestamp: u64,
    pub(super) answer: Answer,
    pub(super) next: Next,
}

/// What comes after an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: it was answered as it should be, or is not to be sent again.
    Done,
    /// It is sent again after this pause.
    Again(Duration),
    /// Nothing, because this pause would end after the time for retries.
    TooLate(Duration),
}

/// How it ended.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct End {
    /// The user stopped it.
    pub(super) stopped: bool,
    /// How many deliveries were in flight then, and were cut off.
    pub(super) cut_off: u64,
    /// How many waited then to be sent again.
    pub(super) waited: u64,
}

/// Who is told what happens.
pub(super) trait Listener {
    fn attempt(&mut self, attempt: &Attempt) -> Result<(), Failure>;
    /// Once in a while.
    fn tick(&mut self);
}

impl Plan {
    /// How many deliveries it is, without those again after a failure.
    pub(super) fn total(&self) -> u64 {
        self.count.saturating_mul(self.repeat)
    }

    /// A delivery that is signed now.
    pub(super) fn request(&self, id: &str) -> Result<(Request, u64), Failure> {
        let now = unix_seconds();
        let timestamp = now.checked_add_signed(self.clock_offset).ok_or_else(|| {
            Failure::unusable("--clock-offset leads to a time before 1970: give a smaller one")
        })?;
        let signed = (id, timestamp);
        let body = if self.is_sample {
            event::body_of(&self.body, id).into()
        } else {
            self.body.clone()
        };
        let request = Request::new(&self.target, &self.signer, signed, &body, self.tamper)?;
        Ok((request, timestamp))
    }

    /// Sends one delivery, and again as long as it should be. Returns whether it was stopped while it waited to be sent
    /// again.
    async fn deliver(
        &self,
        (delivery, repeat): (u64, u64),
        id: Arc<str>,
        mut stopped: watch::Receiver<bool>,
        attempts: mpsc::UnboundedSender<Attempt>,
    ) -> Result<bool, Failure> {
        let begun = SystemClock.monotonic();
        for attempt in 1.. {
            let (request, timestamp) = self.request(&id)?;
            let headers = answer::headers(&request)?;
            let answer = answer::send(&self.client, request, headers).await;
            let passed = SystemClock.monotonic().saturating_duration_since(begun);
            let next = match self.retry_for {
                Some(limit) if !self.wanted.is_met_by(&answer) && !*stopped.borrow() => {
                    next(attempt, limit.saturating_sub(passed))
                }
                _ => Next::Done,
            };
            let attempt = Attempt {
                delivery,
                repeat,
                attempt,
                id: Arc::clone(&id),
                timestamp,
                answer,
                next,
            };
            if attempts.send(attempt).is_err() {
                break;
            }
            let Next::Again(pause) = next else { break };
            tokio::select! {
                () = sleep(pause) => {}
                // An error means that nobody listens any more.
                _ = stopped.wait_for(|stopped| *stopped) => return Ok(true),
            }
        }
        Ok(false)
    }
}

/// What comes after the attempt of this number, which failed, if this much time is left.
///
/// A `Retry-After` is not waited for: that of an event in flight can be minutes, and whether Google obeys it is not
/// known.
fn next(attempt: u32, left: Duration) -> Next {
    let doubled = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(attempt.saturating_sub(1)));
    let pause = doubled.min(LONGEST_PAUSE);
    if pause > left {
        Next::TooLate(pause)
    } else {
        Next::Again(pause)
    }
}

/// Sends all, until it is done or the user stops it.
pub(super) async fn run(
    plan: &Arc<Plan>,
    stop: &mut Stop,
    listener: &mut impl Listener,
) -> Result<End, Failure> {
    let total = plan.total();
    let (stopping, stopped) = watch::channel(false);
    let (sender, mut attempts) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    let mut pace = plan
        .rate
        .map(|rate| interval(Duration::from_secs_f64(1.0 / rate)));
    let mut ticks = interval(TICK);
    ticks.tick().await;
    let mut grace: Option<Pin<Box<Sleep>>> = None;
    let mut begun: u64 = 0;
    let mut id: Arc<str> = "".into();
    let mut end = End::default();
    loop {
        let has_more = begun < total && !end.stopped;
        if tasks.is_empty() && !has_more {
            break;
        }
        tokio::select! {
            biased;
            () = stop.requested(), if !end.stopped => {
                end.stopped = true;
                stopping.send_replace(true);
                grace = Some(Box::pin(sleep(GRACE)));
            }
            () = ended(&mut grace) => {
                end.cut_off = u64::try_from(tasks.len()).unwrap_or(u64::MAX);
                tasks.abort_all();
                break;
            }
            Some(attempt) = attempts.recv() => listener.attempt(&attempt)?,
            Some(done) = tasks.join_next() => {
                let done = done.map_err(|error| {
                    Failure::new(format!("a delivery ended early: {error}"))
                })?;
                end.waited += u64::from(done?);
            }
            () = turn(&mut pace), if has_more && tasks.len() < plan.concurrency => {
                let repeat = begun % plan.repeat + 1;
                if repeat == 1 {
                    id = match &plan.id {
                        Some(id) => id.as_str().into(),
                        None => event::new_id()?.into(),
                    };
                }
                begun += 1;
                let (plan, id) = (Arc::clone(plan), Arc::clone(&id));
                let (stopped, sender, number) = (stopped.clone(), sender.clone(), begun);
                tasks.spawn(async move {
                    plan.deliver((number, repeat), id, stopped, sender).await
                });
            }
            _ = ticks.tick() => listener.tick(),
        }
    }
    while let Ok(attempt) = attempts.try_recv() {
        listener.attempt(&attempt)?;
    }
    Ok(end)
}

async fn ended(grace: &mut Option<Pin<Box<Sleep>>>) {
    match grace {
        Some(sleep) => sleep.await,
        None => std::future::pending().await,
    }
}

/// When the next one may begin.
async fn turn(pace: &mut Option<Interval>) {
    if let Some(pace) = pace {
        pace.tick().await;
    }
}

fn unix_seconds() -> u64 {
    let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_end() {
        let seconds = Duration::from_secs;
        let again = |pause| Next::Again(seconds(pause));
        for (name, attempt, left, comes) in [
            ("the first", 1, 60, again(1)),
            ("the third", 3, 60, again(4)),
            ("not longer than half a minute", 20, 60, again(30)),
            ("any number", u32::MAX, 60, again(30)),
            ("just in time", 1, 1, again(1)),
            ("too late", 1, 0, Next::TooLate(seconds(1))),
            ("later too late", 3, 3, Next::TooLate(seconds(4))),
        ] {
            assert_eq!(next(attempt, seconds(left)), comes, "{name}");
        }
    }
}
