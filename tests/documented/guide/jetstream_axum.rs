use std::time::Duration;

use async_nats::Error;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::message::{AckKind, PublishMessage};
use async_nats::jetstream::stream::{self, DiscardPolicy};
use async_nats::jetstream::{self, Context};
use axum::{Router, extract::State, http::StatusCode, routing::post};
use futures_util::TryStreamExt as _;
use gemini_webhooks::{Delivery, GeminiEvent, VerifyLayer, WebhookReceiver};
use tokio::time::{sleep, timeout};

const HOUR: Duration = Duration::from_secs(3600);
const LONGEST_WORK: Duration = Duration::from_secs(45);
/// If a worker dies, another gets its event then. Longer than the work.
const ACK_WAIT: Duration = Duration::from_secs(60);

async fn open(server: &str) -> Result<(Context, PullConsumer), Error> {
    let jetstream = jetstream::new(async_nats::connect(server).await?);
    let events = stream::Config {
        name: "GEMINI".to_owned(),
        subjects: vec!["gemini.event".to_owned()],
        duplicate_window: 25 * HOUR, // Google retries for 24.
        max_age: 7 * 24 * HOUR,      // Done or not.
        max_messages: 1_000_000,
        discard: DiscardPolicy::New, // If it is full, refuse new events.
        ..Default::default()
    };
    // A stream of its own takes them also while that of the events is full.
    let dead_letters = stream::Config {
        name: "GEMINI_DEAD".to_owned(),
        subjects: vec!["gemini.dead".to_owned()],
        ..events.clone()
    };
    let worker = pull::Config {
        durable_name: Some("worker".to_owned()),
        filter_subject: "gemini.event".to_owned(),
        ack_wait: ACK_WAIT,
        ..Default::default()
    };
    jetstream.get_or_create_stream(dead_letters).await?;
    let events = jetstream.get_or_create_stream(events).await?;
    let worker = events.get_or_create_consumer("worker", worker).await?;
    Ok((jetstream, worker))
}

fn app(receiver: WebhookReceiver, jetstream: Context) -> Router {
    let callback = post(on_event).layer(VerifyLayer::new(receiver));
    Router::new()
        .route("/gemini-callback", callback)
        .with_state(jetstream)
}

async fn on_event(
    State(jetstream): State<Context>,
    delivery: Delivery,
    event: GeminiEvent,
) -> StatusCode {
    // The id of a JWT can have line breaks, on which a NATS header panics.
    let claim_id = delivery.claim_id().escape_default();
    let id = format!("{} {claim_id}", delivery.scheme());
    let message = PublishMessage::build().message_id(&id);
    let message = message.payload(event.raw().clone());
    match store(&jetstream, "gemini.event", message).await {
        Ok(()) => StatusCode::OK,
        Err(error) => {
            eprintln!("{id} is not stored: {error}");
            StatusCode::SERVICE_UNAVAILABLE // Google sends it again.
        }
    }
}

/// Returns when the server has the message. A copy is not stored again.
async fn store(
    jetstream: &Context,
    subject: &'static str,
    message: PublishMessage,
) -> Result<(), Error> {
    let stored =
        async { jetstream.send_publish(subject, message).await?.await };
    timeout(Duration::from_secs(2), stored).await??;
    Ok(())
}

/// Works on one event after the other. Any number of workers may do so, on any
/// machines. If this is dropped in its work, the event comes again.
async fn work_on_all<W>(
    worker: &PullConsumer,
    work: impl Fn(GeminiEvent) -> W,
) -> !
where
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    loop {
        // 20 attempts take 10 hours.
        if let Err(error) = work_on_next(worker, 20, &work).await {
            eprintln!("the worker tries again: {error}");
            sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Waits for an event and works on it.
async fn work_on_next<W>(
    worker: &PullConsumer,
    attempts: i64,
    work: impl FnOnce(GeminiEvent) -> W,
) -> Result<(), Error>
where
    W: Future<Output = Result<(), Error>> + Send + 'static,
{
    // Not more than one: `ack_wait` counts from now.
    let next = worker.batch().max_messages(1);
    let mut next = next.expires(Duration::from_secs(10)).messages().await?;
    let Some(message) = next.try_next().await? else {
        return Ok(());
    };
    let attempt = message.info()?.delivered; // Runs that died count as well.
    let headers = message.headers.as_ref();
    let id = headers.and_then(|headers| headers.get("Nats-Msg-Id"));
    let Some(id) = id else {
        eprintln!("a message has no id, and is given up");
        return message.ack_with(AckKind::Term).await;
    };
    let body = message.payload.clone();
    if attempt > attempts {
        let dead = PublishMessage::build().message_id(format!("dead {id}"));
        store(&message.context, "gemini.dead", dead.payload(body)).await?;
        return message.double_ack().await;
    }
    let work = timeout(LONGEST_WORK, work(GeminiEvent::parse(body)));
    // A panic in a task of its own is a failure, not the end of the worker.
    match tokio::spawn(work).await {
        Ok(Ok(Ok(()))) => message.double_ack().await,
        failed => {
            eprintln!("{id}, attempt {attempt}: {failed:?}");
            let pause = Duration::from_secs(1 << attempt.min(12));
            message.ack_with(AckKind::Nak(Some(pause))).await
        }
    }
}
