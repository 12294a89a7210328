//! Google in a run: a mock that has the jobs, ends them, and delivers their events.

use std::collections::HashSet;
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gemini_webhooks::client::{
    SubscribedEvent, WebhookConfig, WebhookService, WebhookSpec, WebhookState, WebhookUpdate,
};
use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::google::{API_KEY, BatchOutcome, Call, Fault, MockError, MockGoogle};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::Error;
use crate::jobs::book::{Book, Job};
use crate::jobs::mischief::Mischief;
use crate::jobs::wish::{End, Wish};
use crate::journal::Journal;
use crate::plan::KeyFault;

/// Another customer of Google's, who knows the URL of the app.
const STRANGER: &str = "strangers-api-key";
/// The registered webhook, and the URI that jobs have of their own. The mock forwards both to the app.
const STATIC: &str = "https://static.fault.example";
const DYNAMIC: &str = "https://dynamic.fault.example";
/// Where nobody listens.
const NOWHERE: &str = "http://127.0.0.1:9";
/// So many failures in a row switch the registered webhook off.
const DISABLE_AFTER: u32 = 8;
/// New jobs are noticed so often.
const LOOK: Duration = Duration::from_millis(50);
/// A stranger's job ends so soon.
const STRANGERS_JOB: Duration = Duration::from_millis(500);
/// Between two strangers.
const STRANGERS: Duration = Duration::from_secs(2);
/// The operators see so late that a webhook is switched off.
const OPERATORS: Duration = Duration::from_secs(3);

pub(crate) struct Google {
    pub(crate) mock: MockGoogle,
    service: WebhookService,
    strangers: WebhookService,
    webhook: String,
    /// The newest signing secret, and where the app reads it.
    secret: Mutex<String>,
    secrets: PathBuf,
    book: Arc<Book>,
    journal: Arc<Journal>,
    /// How often the registered webhook was switched off.
    pub(crate) switched_off: AtomicUsize,
    /// How many calls were made to fail.
    pub(crate) failed_calls: AtomicUsize,
}

impl Google {
    pub(crate) async fn start(
        book: Arc<Book>,
        journal: Arc<Journal>,
        secrets: PathBuf,
    ) -> Result<Self, Error> {
        let mock = MockGoogle::builder()
            .api_key(API_KEY)
            .api_key(STRANGER)
            .disable_after(DISABLE_AFTER)
            .start()
            .await?;
        let service = |key| {
            let builder = WebhookService::builder().api_key(key);
            builder.base_url(mock.base_url()).build()
        };
        let (service, strangers) = (service(API_KEY)?, service(STRANGER)?);
        let uri = format!("{STATIC}/gemini-callback");
        let spec = WebhookSpec::new(uri, SubscribedEvent::ALL);
        let (webhook, secret) = service.create(&spec).await?.into_parts();
        fs::write(&secrets, format!("{}\n", secret.expose()))?;
        Ok(Self {
            mock,
            service,
            strangers,
            webhook: webhook.id().to_owned(),
            secret: Mutex::new(secret.expose().to_owned()),
            secrets,
            book,
            journal,
            switched_off: AtomicUsize::new(0),
            failed_calls: AtomicUsize::new(0),
        })
    }

    /// What tells the app.
    pub(crate) fn variables(&self) -> Vec<(String, String)> {
        let secrets = self.secrets.display().to_string();
        [
            ("WEBHOOK_SIGNING_SECRET_FILE", secrets),
            ("GEMINI_JWKS_URL", self.mock.jwks_url()),
            ("GEMINI_BASE_URL", self.mock.base_url()),
            ("GEMINI_API_KEY", API_KEY.to_owned()),
            (
                "FAULT_CALLBACK",
                format!("{DYNAMIC}/gemini-webhook-dynamic"),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// Delivers to this address from now on.
    pub(crate) fn deliver_to(&self, port: u16) {
        for origin in [STATIC, DYNAMIC] {
            self.mock
                .forward(origin, &format!("http://127.0.0.1:{port}"));
        }
    }

    /// Ends what was started, delivers again what was not taken, and switches the webhook on again. Ends with an error
    /// only.
    pub(crate) async fn run(self: &Arc<Self>) -> Result<Infallible, Error> {
        tokio::select! {
            error = self.end_jobs() => error,
            error = self.operate() => error,
            error = self.be_strange() => error,
            never = self.deliver() => match never {},
        }
    }

    async fn deliver(&self) -> Infallible {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            ticks.tick().await;
            // Some delivery may always be under way.
            let _ = timeout(Duration::from_secs(1), self.mock.deliver_due()).await;
        }
    }

    async fn end_jobs(self: &Arc<Self>) -> Result<Infallible, Error> {
        let mut known = HashSet::new();
        let mut ending = JoinSet::new();
        let mut ticks = interval(LOOK);
        loop {
            ticks.tick().await;
            for name in self.mock.job_names() {
                if known.contains(&name) {
                    continue;
                }
                let google = Arc::clone(self);
                let (place, wish) = self.note(&name)?;
                known.insert(name.clone());
                ending.spawn(async move { google.end(place, &name, wish).await });
            }
            while let Some(ended) = ending.try_join_next() {
                ended??;
            }
        }
    }

    /// Notes a job that is new. Returns its place in the book.
    fn note(&self, name: &str) -> Result<(usize, Option<Wish>), Error> {
        let kind = match name {
            _ if name.starts_with("batches/") => JobKind::Batch,
            _ if name.contains("/operations/") => JobKind::Video,
            _ => JobKind::Interaction,
        };
        let json = self.mock.job(name).unwrap_or_default();
        let start = number(name, &json);
        let wish = start.and_then(|start| self.book.wish_of(start));
        let id = JobId::new(kind, name).ok_or("a job without a name")?;
        let job = Job {
            name: name.to_owned(),
            id: id.to_string(),
            start,
            end: wish.map_or(End::Batch(BatchOutcome::Succeeded), |wish| wish.end),
            ended: None,
        };
        let mut pages = self.book.open();
        pages.jobs.push(job);
        Ok((pages.jobs.len() - 1, wish))
    }

    async fn end(&self, place: usize, name: &str, wish: Option<Wish>) -> Result<(), MockError> {
        let (end, after) = match wish {
            Some(wish) => (wish.end, Duration::from_millis(wish.ends_after)),
            None => (End::Batch(BatchOutcome::Succeeded), STRANGERS_JOB),
        };
        sleep(after).await;
        self.book.ended(place, self.journal.clock.now());
        if let (Some(fault), Some(_)) = (wish.and_then(|wish| wish.delivery), end.event()) {
            self.mock.disturb(1, fault);
        }
        let ending = async {
            match end {
                End::Batch(outcome) => self.mock.finish_batch(name, outcome).await,
                End::Interaction(status) => self.mock.set_interaction(name, status).await,
                End::Video(outcome) => self.mock.finish_video(name, outcome).await,
                End::Forgotten => self.mock.forget_job(name),
                End::Never => Ok(()),
            }
        };
        // It has ended at once. What the call waits for then are the deliveries of all jobs.
        match timeout(Duration::ZERO, ending).await {
            Ok(ended) => ended,
            Err(_) => Ok(()),
        }
    }

    /// As those do who run the app.
    async fn operate(&self) -> Result<Infallible, Error> {
        loop {
            sleep(OPERATORS).await;
            let webhook = self.service.get(&self.webhook).await?;
            if webhook.state() == Some(&WebhookState::DisabledDueToFailedDeliveries) {
                self.switched_off.fetch_add(1, Ordering::Relaxed);
                let enable = WebhookUpdate::new().state(WebhookState::Enabled);
                self.service.update(&self.webhook, &enable).await?;
            }
        }
    }

    /// Another customer starts jobs that call this app back. Google signs their deliveries with the same keys.
    async fn be_strange(&self) -> Result<Infallible, Error> {
        let config = WebhookConfig::new()
            .uri(format!("{DYNAMIC}/gemini-webhook-dynamic"))
            .user_metadata("gemini_webhooks_id", "0123456789abcdef0123456789abcdef");
        let request = json!({"batch": {"inputConfig": {"fileName": "files/7"}}});
        loop {
            sleep(STRANGERS).await;
            let batches = self.strangers.batches();
            let started = batches.create("strange", request.clone(), Some(&config));
            if let Err(error) = started.await {
                eprintln!("a stranger could not start a job: {error}");
            }
        }
    }

    pub(crate) fn suffer_keys(&self, fault: KeyFault) {
        match fault {
            KeyFault::Fail(_) => self.mock.fail(Call::Keys, 1, Fault::Status(503)),
            KeyFault::Stall(_) => self.mock.fail(Call::Keys, 1, Fault::NoAnswer),
            // The mock has three that take turns. The new one is published at that moment.
            KeyFault::Rotate { announced: true } => return,
            KeyFault::Rotate { announced: false } => self.mock.rotate_keys(),
        }
        self.journal.note(format!("public keys: {fault:?}"));
    }

    pub(crate) async fn rotate_secret(&self) -> Result<(), Error> {
        let new = self.service.rotate_signing_secret(&self.webhook, None);
        let new = new.await?.expose().to_owned();
        {
            let mut secret = self.secret.lock().unwrap_or_else(PoisonError::into_inner);
            // At once, as a mounted secret is replaced.
            let file = self.secrets.with_extension("new");
            fs::write(&file, format!("{new}\n{secret}\n"))?;
            fs::rename(file, &self.secrets)?;
            *secret = new;
        }
        self.journal.note("a new signing secret");
        Ok(())
    }

    pub(crate) async fn suffer(&self, mischief: &Mischief, port: u16) {
        match mischief {
            Mischief::Api(calls, fault) => {
                self.failed_calls.fetch_add(calls.len(), Ordering::Relaxed);
                for call in calls {
                    self.mock.fail(*call, 1, fault.clone());
                }
            }
            Mischief::Unreachable(time) => {
                self.mock.forward(STATIC, NOWHERE);
                sleep(Duration::from_millis(*time)).await;
                self.mock
                    .forward(STATIC, &format!("http://127.0.0.1:{port}"));
            }
            // The app's processes are not Google's.
            Mischief::KillLeader { .. } => {}
        }
    }
}

/// Which start a job comes from: it is in the name of its model.
fn number(name: &str, job: &Value) -> Option<usize> {
    let model = job.pointer("/metadata/model").or(job.get("model"));
    let model = model.and_then(Value::as_str).unwrap_or(name);
    let (_, digits) = model.split_once("fault-")?;
    let digits = digits.split('/').next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_tells_its_start() {
        for (name, job, start) in [
            (
                "batches/8kq2",
                json!({"metadata": {"model": "models/fault-17"}}),
                Some(17),
            ),
            ("v1_8kq2", json!({"model": "fault-0"}), Some(0)),
            ("models/fault-3/operations/8kq2", json!({}), Some(3)),
            (
                "batches/8kq2",
                json!({"metadata": {"model": "models/strange"}}),
                None,
            ),
        ] {
            assert_eq!(number(name, &job), start, "{name}");
        }
    }
}
