//! A server of its own, a guard that reaches it through a proxy, and an app.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gemini_webhooks::{Delivery, VerifyErrorKind};
use gemini_webhooks_harness::{PostgresServer, Proxy};
use gemini_webhooks_sqlx::PostgresGuard;
use gemini_webhooks_sqlx::sqlx::postgres::{PgPool, PgPoolOptions};
use gemini_webhooks_sqlx::sqlx::{query, query_scalar};
use tokio::time::{sleep, timeout};

use crate::app::{Answer, Answered, App, HANDLED};

/// Less than the default, so that the tests take less time.
pub(crate) const GUARD_TIMEOUT: Duration = Duration::from_millis(500);
/// A bound for what should take some seconds at most. It is shorter than the lease.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) const UNAVAILABLE: Answer = Answer {
    status: 503,
    kind: Some(VerifyErrorKind::GuardUnavailable),
};

pub(crate) const FAILED: Answer = Answer {
    status: 500,
    kind: None,
};

pub(crate) struct Rig {
    pub(crate) proxy: Proxy,
    pub(crate) server: PostgresServer,
    /// By way of the proxy.
    pub(crate) guard: PostgresGuard,
    pub(crate) app: App,
    /// Not by way of the proxy.
    pub(crate) pool: PgPool,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(settings: &[(&str, &str)]) -> Self {
        let server = PostgresServer::start_with(settings);
        let proxy = Proxy::start(server.port());
        let pool = PgPoolOptions::new()
            .max_connections(8)
            .connect(&server.url())
            .await
            .unwrap();
        query("CREATE TABLE work (id text)")
            .execute(&pool)
            .await
            .unwrap();
        let guard = PostgresGuard::connect(&proxy.through(&server.url()))
            .await
            .unwrap();
        guard.migrate().await.unwrap();
        Self {
            app: app(&guard),
            proxy,
            server,
            guard,
            pool,
        }
    }

    /// How often the handler has done the work of an event, as the database has it.
    pub(crate) async fn work_done(&self, id: &str) -> i64 {
        query_scalar("SELECT count(*) FROM work WHERE id = $1")
            .bind(id)
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }

    /// Waits until the pool of the guard has its connections back, and tests none of them.
    pub(crate) async fn quiet(&self) {
        let pool = self.guard.pool();
        let back = async {
            while pool.num_idle() < pool.size() as usize {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, back)
            .await
            .expect("the connections come back");
    }
}

/// An app with a guard. Its lease is 120 s, as by default.
pub(crate) fn app(guard: &PostgresGuard) -> App {
    App::with(|builder| {
        builder
            .guard("test", guard.clone())
            .guard_timeout(GUARD_TIMEOUT)
    })
}

/// A handler that counts its runs.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<AtomicUsize>);

impl Runs {
    pub(crate) fn count(&self) -> usize {
        self.0.load(SeqCst)
    }

    pub(crate) fn count_one(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    /// A handler that answers so.
    pub(crate) fn answering(
        &self,
        status: u16,
    ) -> impl Fn(Delivery) -> std::future::Ready<Answered> + Clone + Send + use<> {
        let runs = self.clone();
        move |_| {
            runs.count_one();
            std::future::ready(Ok(status))
        }
    }
}

/// Delivers the event again and again, as Google does, until it is answered 200. Returns the answers
/// before that.
pub(crate) async fn until_handled<F>(
    app: &App,
    id: &str,
    handler: impl Fn(Delivery) -> F + Clone + Send + 'static,
) -> Vec<Answer>
where
    F: Future<Output = Answered> + Send + 'static,
{
    let mut answers = Vec::new();
    let handled = async {
        loop {
            match app.deliver(id, handler.clone()).await {
                HANDLED => break,
                answer => answers.push(answer),
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    if timeout(SOON, handled).await.is_err() {
        panic!("{id} was not handled, but answered {answers:?}");
    }
    answers
}

/// Something to do once.
#[derive(Clone, Default)]
pub(crate) struct Once(Arc<OnceLock<()>>);

impl Once {
    pub(crate) fn is_first(&self) -> bool {
        self.0.set(()).is_ok()
    }
}
