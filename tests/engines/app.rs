//! The documented app on a port, and a server of its own.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Config;
use async_nats::{Error, jetstream};
use gemini_webhooks::{
    Clock as _, GeminiEvent, SystemClock, WebhookReceiver, WebhookReceiverBuilder, testing,
};
use gemini_webhooks_harness::NatsServer;
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

mod documented {
    include!("../documented/guide/jetstream_axum.rs");

    pub(super) async fn opened(server: &str) -> (Context, PullConsumer) {
        open(server).await.unwrap()
    }

    pub(super) fn routes(receiver: WebhookReceiver, jetstream: Context) -> Router {
        app(receiver, jetstream)
    }

    pub(super) async fn worked<W>(
        worker: &PullConsumer,
        attempts: i64,
        work: impl FnOnce(GeminiEvent) -> W,
    ) -> Result<(), Error>
    where
        W: Future<Output = Result<(), Error>> + Send + 'static,
    {
        work_on_next(worker, attempts, work).await
    }

    pub(super) async fn worked_on_all<W>(worker: &PullConsumer, work: impl Fn(GeminiEvent) -> W)
    where
        W: Future<Output = Result<(), Error>> + Send + 'static,
    {
        work_on_all(worker, work).await
    }
}

pub(crate) const EVENT: &str = testing::SAMPLE_EVENTS[0];

/// What a run of the work comes to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Run {
    Succeeds,
    Fails,
    Panics,
}

/// What is done with the events of a stream.
pub(crate) struct Worker {
    consumer: PullConsumer,
    attempts: i64,
    runs: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    pub(crate) async fn connect(server: &str, attempts: i64) -> Self {
        let (_, consumer) = documented::opened(server).await;
        Self {
            consumer,
            attempts,
            runs: Arc::default(),
        }
    }

    /// Takes the next event, if one comes soon.
    pub(crate) async fn next(&self, run: Run) -> Result<(), Error> {
        let runs = Arc::clone(&self.runs);
        let work = async move |event: GeminiEvent| {
            let body = String::from_utf8(event.raw().to_vec()).unwrap();
            runs.lock().unwrap().push(body);
            match run {
                Run::Succeeds => Ok(()),
                Run::Fails => Err("the work fails".into()),
                Run::Panics => panic!("in a test"),
            }
        };
        documented::worked(&self.consumer, self.attempts, work).await
    }

    /// Works on what there is until nothing is left, and returns the bodies.
    pub(crate) async fn until_done(&mut self) -> Vec<String> {
        let consumer = self.consumer.clone();
        let runs = Arc::clone(&self.runs);
        let work = move |event: GeminiEvent| {
            let body = String::from_utf8(event.raw().to_vec()).unwrap();
            runs.lock().unwrap().push(body);
            async { Ok(()) }
        };
        let done = async {
            while self.left().await != (0, 0) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            () = documented::worked_on_all(&consumer, work) => {}
            done = timeout(Duration::from_secs(20), done) => done.expect("all is done"),
        }
        self.runs()
    }

    /// Ends the process in the middle of the next event.
    pub(crate) async fn die(&self) -> Result<(), Error> {
        let work = async |_| std::process::abort();
        documented::worked(&self.consumer, self.attempts, work).await
    }

    /// The bodies that have been worked on since the last call.
    pub(crate) fn runs(&self) -> Vec<String> {
        std::mem::take(&mut self.runs.lock().unwrap())
    }

    /// How many events are not done: some wait, and some are with a worker or wait for another attempt.
    pub(crate) async fn left(&mut self) -> (u64, usize) {
        let info = self.consumer.info().await.unwrap();
        (info.num_pending, info.num_ack_pending)
    }

    /// Lets the server give up a worker after a second.
    pub(crate) async fn give_up_soon(&mut self, jetstream: &jetstream::Context) {
        let mut config = self.consumer.info().await.unwrap().config.clone();
        config.ack_wait = Duration::from_secs(1);
        let updated = jetstream.create_consumer_on_stream(config, "GEMINI");
        updated.await.unwrap();
    }
}

pub(crate) struct App {
    pub(crate) server: NatsServer,
    pub(crate) jetstream: jetstream::Context,
    address: SocketAddr,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::receiving(|receiver| receiver).await
    }

    pub(crate) async fn receiving(
        also: impl FnOnce(WebhookReceiverBuilder) -> WebhookReceiverBuilder,
    ) -> Self {
        let server = NatsServer::start();
        let (jetstream, _) = documented::opened(&server.url()).await;
        let receiver = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .without_replay_protection();
        let receiver = also(receiver).build().unwrap();
        let routes = documented::routes(receiver, jetstream.clone());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            server,
            jetstream,
            address,
        }
    }

    pub(crate) async fn worker(&self, attempts: i64) -> Worker {
        Worker::connect(&self.server.url(), attempts).await
    }

    /// Sends the event as the official library signs it now, and returns the status.
    pub(crate) async fn deliver(&self, id: &str, body: &str) -> u16 {
        self.post(&signed(id, 0, body), body).await
    }

    /// Sends a copy: the same event, signed at another second.
    pub(crate) async fn copy(&self, id: &str, body: &str) -> u16 {
        self.post(&signed(id, 1, body), body).await
    }

    /// Sends copies while the app is finding its server again.
    pub(crate) async fn retry(&self, id: &str, body: &str) {
        let answered = async {
            loop {
                match self.copy(id, body).await {
                    200 => return,
                    503 => sleep(Duration::from_millis(20)).await,
                    other => panic!("{other}"),
                }
            }
        };
        timeout(Duration::from_secs(30), answered)
            .await
            .expect("the app finds its server again");
    }

    /// Sends a request, with header lines before the last ones.
    pub(crate) async fn post(&self, headers: &str, body: &str) -> u16 {
        let length = body.len();
        let request = format!(
            "POST /gemini-callback HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{headers}\r\n{body}"
        );
        // For longer Google does not wait.
        let answer = timeout(Duration::from_secs(4), async {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let answer = answer.await.expect("an answer while Google waits");
        let status = answer
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        status.expect(&answer).parse().unwrap()
    }

    /// How many messages the stream has, done or not.
    pub(crate) async fn stored(&self) -> u64 {
        let mut stream = self.jetstream.get_stream("GEMINI").await.unwrap();
        stream.info().await.unwrap().state.messages
    }

    /// The id and the body of the last dead letter.
    pub(crate) async fn dead(&self) -> Option<(String, String)> {
        let stream = self.jetstream.get_stream("GEMINI_DEAD").await.unwrap();
        let message = stream
            .get_last_raw_message_by_subject("gemini.dead")
            .await
            .ok()?;
        let id = message.headers.get("Nats-Msg-Id").unwrap().to_string();
        let body = String::from_utf8(message.payload.to_vec()).unwrap();
        Some((id, body))
    }

    /// Puts a message into a stream as others than the app do, and returns whether it is a copy.
    pub(crate) async fn publish(&self, id: Option<&str>, body: &str) -> bool {
        let mut message = PublishMessage::build().payload(body.to_owned().into());
        if let Some(id) = id {
            message = message.message_id(id);
        }
        let sent = self.jetstream.send_publish("gemini.event", message).await;
        sent.unwrap().await.unwrap().duplicate
    }

    /// Lets no more than so many messages into the stream.
    pub(crate) async fn limit(&self, max_messages: i64) {
        let stream = self.jetstream.get_stream("GEMINI").await.unwrap();
        let config = Config {
            max_messages,
            ..stream.cached_info().config.clone()
        };
        self.jetstream.update_stream(config).await.unwrap();
    }
}

/// The header lines of a delivery, signed so many seconds ago.
pub(crate) fn signed(id: &str, ago: i64, body: &str) -> String {
    let at = i64::try_from(now()).unwrap() - ago;
    let official = Webhook::new(testing::SECRET).unwrap();
    let signature = official.sign(id, at, body.as_bytes()).unwrap();
    format!("webhook-id: {id}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: {signature}\r\n")
}

pub(crate) fn now() -> u64 {
    let now = SystemClock.now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}
