//! Has the app start jobs, and kills it now and then while it does.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::Error;
use crate::fleet::Fleet;
use crate::jobs::book::{Answer, Book};
use crate::jobs::wish::Wish;
use crate::journal::Journal;
use crate::replica::Order;

/// Longer than a start can take.
const PATIENCE: Duration = Duration::from_secs(15);
/// After it Google has a job, or it was not started and is tried again.
/// First, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));
/// So often at most.
const TRIES: usize = 50;

pub(crate) struct Starter {
    pub(crate) client: Client,
    pub(crate) book: Arc<Book>,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) seed: u64,
}

impl Starter {
    pub(crate) fn client() -> Result<Client, Error> {
        // A connection to a process that was killed would leave open whether it has got the request.
        let builder = Client::builder().no_proxy().timeout(PATIENCE);
        Ok(builder.pool_max_idle_per_host(0).build()?)
    }

    pub(crate) async fn start_all(self: Arc<Self>) -> Result<(), Error> {
        let began = self.journal.clock.now();
        let mut starting = JoinSet::new();
        for (place, wish) in self.book.wishes.iter().copied().enumerate() {
            self.journal.clock.until(began.after(wish.due)).await;
            let starter = Arc::clone(&self);
            starting.spawn(async move { starter.start(place, wish).await });
            while let Some(ended) = starting.try_join_next() {
                ended??;
            }
        }
        while let Some(ended) = starting.join_next().await {
            ended??;
        }
        Ok(())
    }

    /// Until it has started.
    async fn start(&self, place: usize, wish: Wish) -> Result<(), Error> {
        let mut random = fastrand::Rng::with_seed(self.seed ^ place as u64);
        let mut kill = wish.kill;
        let (mut pause, longest) = PAUSES;
        for _ in 0..TRIES {
            let replica = random.usize(..self.fleet.ports.len());
            let down = random.u64(100..1_500);
            let kill = kill.take();
            let killing = async {
                if let Some(after) = kill {
                    sleep(Duration::from_millis(after)).await;
                    self.fleet.order(replica, Order::KillAtOnce { down });
                }
            };
            let number = self.book.begin(place, self.journal.clock.now());
            let (answer, ()) = tokio::join!(self.ask(replica, number, wish), killing);
            let answer = answer?;
            self.book.answered(number, answer, self.journal.clock.now());
            sleep(pause).await;
            pause = (pause * 2).min(longest);
            // The app may not know that it runs.
            if self.book.has_job_of(number) {
                return Ok(());
            }
        }
        Err(format!("a job was not started in {TRIES} tries").into())
    }

    async fn ask(&self, replica: usize, number: usize, wish: Wish) -> Result<Answer, Error> {
        let port = self.fleet.ports.get(replica).ok_or("no such replica")?;
        let order = json!({
            "number": number,
            "kind": wish.kind.as_str(),
            "expects_after": wish.expects_after,
            "within_ms": wish.within,
            "calls_back": wish.calls_back,
            "pause_ms": wish.pause,
        });
        let request = self
            .client
            .post(format!("http://127.0.0.1:{port}/start"))
            .header("content-type", "application/json")
            .body(order.to_string());
        let response = match request.send().await {
            Ok(response) => response,
            // It is down.
            Err(error) if error.is_connect() => return Ok(Answer::NotStarted),
            Err(_) => return Ok(Answer::None),
        };
        let status = response.status();
        let Ok(body) = response.bytes().await else {
            return Ok(Answer::None);
        };
        let body: Value = serde_json::from_slice(&body)
            .map_err(|error| format!("the app answered a start with {status}: {error}"))?;
        match (status, body.get("error").and_then(Value::as_str)) {
            (StatusCode::OK, None) => Ok(Answer::Started),
            (_, Some("not started")) => Ok(Answer::NotStarted),
            (_, Some("unknown")) => Ok(Answer::Unknown),
            _ => Err(format!("the app answered a start with {status} {body}").into()),
        }
    }
}
