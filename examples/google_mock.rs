//! A mock of the Gemini API on a port of this machine, to develop against.
//!
//! ```text
//! cargo run --example google_mock --features testing-google -- 127.0.0.1:8090
//! ```
//!
//! Let your app, or Google's own SDK, use the base URL `http://127.0.0.1:8090` with the API key
//! `mock-api-key`. Let its receiver fetch keys from `http://127.0.0.1:8090/.well-known/jwks.json`. Then
//! type what happens, one command in a line:
//!
//! | Command | What it does |
//! |---|---|
//! | `batch ID succeeded` | ends a batch; the outcome can also be `failed`, `expired` or `cancelled` |
//! | `interaction ID completed` | sets the status of an interaction, such as `requires_action`, `failed` or `incomplete` |
//! | `video NAME generated` | ends a video; the outcome can also be `failed` |
//! | `trigger ID` | starts the interaction of a trigger, and prints its id |
//! | `forward ORIGIN URL` | sends deliveries for `https://my-api.com` to `http://127.0.0.1:8080` |
//! | `lose N` | the next N events never arrive |
//! | `forget NAME` | the job is gone |
//! | `rotate-keys` | publishes a new key |
//! | `deliveries` | prints all events with their attempts, as JSON in one line |
//!
//! After 10 deliveries in a row that fail, a registered webhook is switched off.
//!
//! It answers each command with `ok` or `error: …`, and ends when its input ends.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use gemini_webhooks::testing::google::{
    API_KEY, BatchOutcome, DeliveryFault, InteractionStatus, MockGoogle, SentEvent, VideoOutcome,
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

type BoxError = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let address: SocketAddr = match std::env::args().nth(1) {
        Some(address) => address.parse()?,
        None => ([127, 0, 0, 1], 0).into(),
    };
    let google = MockGoogle::builder().address(address).start().await?;
    print(&format!("{} {API_KEY}", google.base_url()))?;

    let mut commands = lines();
    let mut retries = interval(Duration::from_secs(1));
    retries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return Ok(()),
                Some(command) => match run(&google, &command).await {
                    Ok(answer) => print(&answer)?,
                    Err(error) => print(&format!("error: {error}"))?,
                },
            },
            _ = retries.tick() => google.deliver_due().await,
        }
    }
}

async fn run(google: &MockGoogle, command: &str) -> Result<String, BoxError> {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        [] => return Ok(String::new()),
        ["batch", id, outcome] => {
            let outcome = match *outcome {
                "succeeded" => BatchOutcome::Succeeded,
                "failed" => BatchOutcome::Failed,
                "expired" => BatchOutcome::Expired,
                "cancelled" => BatchOutcome::Cancelled,
                other => return Err(format!("a batch does not end {other}").into()),
            };
            google.finish_batch(id, outcome).await?;
        }
        ["interaction", id, status] => {
            let status = match *status {
                "requires_action" => InteractionStatus::RequiresAction,
                "requires_continuation" => InteractionStatus::RequiresContinuation,
                "incomplete" => InteractionStatus::Incomplete,
                "budget_exceeded" => InteractionStatus::BudgetExceeded,
                "idle" => InteractionStatus::Idle,
                "completed" => InteractionStatus::Completed,
                "failed" => InteractionStatus::Failed,
                "cancelled" => InteractionStatus::Cancelled,
                other => return Err(format!("an interaction is never {other}").into()),
            };
            google.set_interaction(id, status).await?;
        }
        ["video", name, outcome] => {
            let outcome = match *outcome {
                "generated" => VideoOutcome::Generated,
                "failed" => VideoOutcome::Failed,
                other => return Err(format!("a video does not end {other}").into()),
            };
            google.finish_video(name, outcome).await?;
        }
        ["trigger", id] => return Ok(google.fire_trigger(id)?),
        ["forward", origin, to] => google.forward(origin, to),
        ["lose", events] => google.disturb(events.parse()?, DeliveryFault::Lose),
        ["forget", name] => google.forget_job(name)?,
        ["rotate-keys"] => google.rotate_keys(),
        ["deliveries"] => {
            // What is under way ends first.
            google.deliver_due().await;
            let deliveries: Value = google.deliveries().iter().map(shown).collect();
            return Ok(deliveries.to_string());
        }
        _ => return Err(format!("there is no command `{command}`").into()),
    }
    Ok("ok".to_owned())
}

fn shown(sent: &SentEvent) -> Value {
    let attempts = sent.attempts.iter();
    let attempts: Vec<Value> = attempts
        .map(|attempt| match &attempt.answer {
            Ok(status) => json!(status),
            Err(reason) => json!(reason),
        })
        .collect();
    json!({"id": sent.id, "type": sent.event_type, "uri": sent.uri, "attempts": attempts})
}

/// The lines of the standard input, until it ends.
fn lines() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { break };
            if sender.blocking_send(line).is_err() {
                break;
            }
        }
    });
    receiver
}

fn print(line: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}
