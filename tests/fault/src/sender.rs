//! The sender, which behaves as Google is known to: it sends an event until it is answered with a 2xx, each
//! time with a new timestamp and a new signature, and sometimes again after that.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Client, RequestBuilder};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::Error;
use crate::clock::Clock;
use crate::events::{Event, Forgery, Habit};
use crate::journal::{Answer, Attempt, Journal};
use crate::keys::Keys;

/// Google waits "a few seconds" for an answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two attempts: first, and at most. Google's take longer, and go on for a day.
const PAUSES: (u64, u64) = (500, 8_000);
/// Further than a receiver tolerates, in seconds, also one whose clock is two minutes ahead.
const FAR_OFF: u64 = 600;
/// At the end each so many-th event is sent once more.
const OLD: usize = 20;
/// An event that is not answered for so long is given up.
const DAY: u64 = 240_000;

pub(crate) struct Sender {
    pub(crate) client: Client,
    pub(crate) address: String,
    pub(crate) endpoint_token: String,
    pub(crate) keys: Arc<Keys>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) events: Arc<Vec<Event>>,
    pub(crate) seed: u64,
    /// How many events were sent, and how many are done with, for the progress.
    pub(crate) begun: AtomicUsize,
    pub(crate) ended: AtomicUsize,
}

impl Sender {
    pub(crate) fn client() -> Result<Client, Error> {
        Ok(Client::builder().no_proxy().build()?)
    }

    /// Sends all events, to their end.
    pub(crate) async fn send_all(self: Arc<Self>) -> Result<(), Error> {
        let mut sending = JoinSet::new();
        let mut order: Vec<usize> = (0..self.events.len()).collect();
        order.sort_by_key(|place| self.events.get(*place).map(|event| event.due));
        for place in order {
            let Some(event) = self.events.get(place) else {
                continue;
            };
            self.journal.clock.until(event.due).await;
            self.begun.fetch_add(1, Ordering::Relaxed);
            let sender = Arc::clone(&self);
            sending.spawn(async move { sender.send(place).await });
            while let Some(ended) = sending.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = sending.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn send(&self, place: usize) -> Result<(), Error> {
        let event = self.events.get(place).ok_or("no such event")?;
        let mut random = fastrand::Rng::with_seed(self.seed ^ place as u64);
        match event.habit {
            Habit::Plain => self.until_answered(place, event, &mut random).await?,
            Habit::Again(pause) => {
                self.until_answered(place, event, &mut random).await?;
                sleep(Duration::from_millis(pause)).await;
                self.until_answered(place, event, &mut random).await?;
            }
            Habit::Twice => {
                let mut other = random.fork();
                tokio::try_join!(
                    self.until_answered(place, event, &mut random),
                    self.until_answered(place, event, &mut other),
                )?;
            }
            Habit::Forged(_) => {
                self.attempt(place, event).await?;
            }
        }
        self.ended.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn until_answered(
        &self,
        place: usize,
        event: &Event,
        random: &mut fastrand::Rng,
    ) -> Result<(), Error> {
        let end = self.journal.clock.now().after(DAY);
        let (mut pause, longest) = PAUSES;
        while !self.attempt(place, event).await? && self.journal.clock.now() < end {
            let jittered = random.u64(pause * 3 / 4..pause * 5 / 4);
            sleep(Duration::from_millis(jittered)).await;
            pause = (pause * 2).min(longest);
        }
        Ok(())
    }

    /// Whether it was answered with a 2xx.
    async fn attempt(&self, place: usize, event: &Event) -> Result<bool, Error> {
        let request = self.request(event)?;
        let answered = async {
            let response = request.send().await?;
            let status = response.status().as_u16();
            // So that the connection can be used again.
            response.bytes().await?;
            Ok::<_, reqwest::Error>(status)
        };
        let answer = match timeout(PATIENCE, answered).await {
            Err(_) => Answer::TimedOut,
            Ok(Err(_)) => Answer::Broken,
            Ok(Ok(status)) => Answer::Status(status),
        };
        let success = answer.is_success();
        let attempt = Attempt {
            event: place,
            ended: self.journal.clock.now(),
            answer,
        };
        self.journal.write().attempts.push(attempt);
        Ok(success)
    }

    fn request(&self, event: &Event) -> Result<RequestBuilder, Error> {
        let forgery = match event.habit {
            Habit::Forged(forgery) => Some(forgery),
            _ => None,
        };
        let Event { id, dynamic, .. } = event;
        let mut body = event.body.clone();
        let mut timestamp = Clock::unix_seconds();
        match forgery {
            Some(Forgery::Stale) => timestamp -= FAR_OFF,
            Some(Forgery::Early) => timestamp += FAR_OFF,
            _ => {}
        }
        let signature = match forgery {
            Some(Forgery::Unsigned) => None,
            Some(Forgery::Stranger) => {
                Some(Keys::sign_as_stranger(*dynamic, id, timestamp, &body)?)
            }
            _ if *dynamic => Some(self.keys.sign_v1a(id, timestamp, &body)?),
            _ => Some(self.keys.sign_v1(id, timestamp, &body)?),
        };
        if forgery == Some(Forgery::Body) {
            // After it was signed.
            body.push(b' ');
        }
        let path = match forgery {
            Some(Forgery::WrongEndpoint) => "/gemini-webhook-dynamic?token=another".to_owned(),
            _ if *dynamic => format!("/gemini-webhook-dynamic?token={}", self.endpoint_token),
            _ => "/gemini-callback".to_owned(),
        };
        let mut request = self
            .client
            .post(format!("http://{}{path}", self.address))
            .header("content-type", "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp);
        if let Some(signature) = signature {
            request = request.header("webhook-signature", signature);
        }
        Ok(request.body(body))
    }

    /// Sends some events once more, long after they were answered.
    pub(crate) async fn send_old_ones(&self) -> Result<(), Error> {
        let genuine = self.events.iter().enumerate();
        let genuine = genuine.filter(|(_, event)| !event.is_forged());
        for (place, event) in genuine.step_by(OLD) {
            let mut random = fastrand::Rng::with_seed(self.seed ^ place as u64);
            self.until_answered(place, event, &mut random).await?;
        }
        Ok(())
    }
}
