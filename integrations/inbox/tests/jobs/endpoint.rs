//! An endpoint that is registered at Google, and that can be down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use gemini_webhooks::client::{SubscribedEvent, WebhookSpec, WebhookState, WebhookUpdate};
use gemini_webhooks::testing::google::BatchOutcome;
use tokio_util::task::AbortOnDropHandle;

use crate::home::Home;
use crate::rig::{Rig, batch_request};

pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) is_up: Arc<AtomicBool>,
    taken: Arc<AtomicUsize>,
    _app: AbortOnDropHandle<()>,
}

impl Endpoint {
    pub(crate) async fn register<H: Home>(rig: &Rig<H>) -> Self {
        let is_up = Arc::new(AtomicBool::new(true));
        let taken = Arc::new(AtomicUsize::new(0));
        let (up, count) = (Arc::clone(&is_up), Arc::clone(&taken));
        let answer = post(move || {
            let is_up = up.load(Ordering::SeqCst);
            count.fetch_add(usize::from(is_up), Ordering::SeqCst);
            std::future::ready(match is_up {
                true => StatusCode::OK,
                false => StatusCode::BAD_GATEWAY,
            })
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/static", listener.local_addr().unwrap());
        let app = Router::new().route("/static", answer);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let spec = WebhookSpec::new(url, [SubscribedEvent::BatchSucceeded]);
        let created = rig.service.create(&spec).await.unwrap();
        Self {
            id: created.webhook().id().to_owned(),
            is_up,
            taken,
            _app: AbortOnDropHandle::new(serving),
        }
    }

    /// How many deliveries it has taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }

    pub(crate) async fn state<H: Home>(&self, rig: &Rig<H>) -> WebhookState {
        let webhook = rig.service.get(&self.id).await.unwrap();
        webhook.state().unwrap().clone()
    }

    pub(crate) async fn set<H: Home>(&self, rig: &Rig<H>, state: WebhookState) {
        let update = WebhookUpdate::new().state(state);
        rig.service.update(&self.id, &update).await.unwrap();
    }

    /// A batch succeeds, of which Google tells the registered webhooks.
    pub(crate) async fn deliver<H: Home>(&self, rig: &Rig<H>) {
        let batches = rig.service.batches();
        let batch = batches.create("gemini-3", batch_request(), None).await;
        let name = batch.unwrap().name().to_owned();
        rig.google
            .finish_batch(&name, BatchOutcome::Succeeded)
            .await
            .unwrap();
    }

    /// It is down until Google sends nothing more.
    pub(crate) async fn go_down<H: Home>(&self, rig: &Rig<H>) {
        self.is_up.store(false, Ordering::SeqCst);
        self.deliver(rig).await;
        for _ in 0..20 {
            if self.state(rig).await == WebhookState::DisabledDueToFailedDeliveries {
                return;
            }
            rig.google.retry_now().await;
        }
        panic!("Google goes on");
    }

    pub(crate) fn come_up(&self) {
        self.is_up.store(true, Ordering::SeqCst);
    }
}
