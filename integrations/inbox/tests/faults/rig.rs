//! A server of its own, an inbox that reaches it through a proxy or directly, and a worker that is watched.

use std::sync::Arc;
use std::time::Duration;

use gemini_webhooks::GeminiEvent;
use gemini_webhooks_harness::{Direction, PostgresServer, Proxy};
use gemini_webhooks_inbox::sqlx::postgres::{PgConnection, PgPoolOptions, Postgres};
use gemini_webhooks_inbox::sqlx::{AssertSqlSafe, Connection as _, query_scalar};
use gemini_webhooks_inbox::{Database, Inbox, InboxError, Work, Worker};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::app::{BATCH, Seen, deliver};

/// Less than the default, so that the tests take less time.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(1);
/// How much later an answer may come on a busy machine.
pub(crate) const MARGIN: Duration = Duration::from_secs(2);
/// A bound for what should take some seconds at most.
pub(crate) const SOON: Duration = Duration::from_secs(60);

pub(crate) const UNAVAILABLE: (u16, &str) = (503, r#"{"error":"inbox_unavailable"}"#);

pub(crate) struct Rig {
    pub(crate) proxy: Proxy,
    pub(crate) server: PostgresServer,
    pub(crate) inbox: Inbox<Postgres>,
}

impl Rig {
    /// With an inbox that speaks with the server directly.
    pub(crate) async fn direct() -> Self {
        Self::with(|_, url| url).await
    }

    /// With an inbox that speaks with the server through the proxy.
    pub(crate) async fn through_proxy() -> Self {
        Self::with(|proxy, url| proxy.through(&url)).await
    }

    async fn with(url: impl Fn(&Proxy, String) -> String) -> Self {
        let server = PostgresServer::start();
        let proxy = Proxy::start(server.port());
        let url = url(&proxy, server.url());
        let pool = PgPoolOptions::new().connect_lazy(&url).unwrap();
        let inbox = Inbox::postgres(pool)
            .connections(4)
            .timeout(TIMEOUT)
            .await
            .unwrap();
        Self {
            proxy,
            server,
            inbox,
        }
    }

    /// Not by way of the proxy, and new each time, so that no outage concerns it.
    pub(crate) async fn connection(&self) -> PgConnection {
        let connection = PgConnection::connect(&self.server.url());
        timeout(SOON, connection).await.unwrap().unwrap()
    }

    /// The only number that a statement returns.
    pub(crate) async fn number(&self, statement: &str) -> i64 {
        let statement = AssertSqlSafe(statement.to_owned());
        let mut connection = self.connection().await;
        let number = query_scalar(statement).fetch_one(&mut connection);
        let number = timeout(SOON, number).await.unwrap().unwrap();
        connection.close().await.unwrap();
        number
    }

    /// How often an event is stored.
    pub(crate) async fn stored(&self, id: &str) -> i64 {
        self.number(&format!(
            "SELECT count(*) FROM gemini_webhooks_inbox WHERE webhook_id = '{id}'"
        ))
        .await
    }

    /// How many events are not yet worked off.
    pub(crate) async fn left(&self) -> i64 {
        self.number("SELECT count(*) FROM gemini_webhooks_inbox WHERE state <> 2")
            .await
    }

    /// Waits until all events are worked off.
    pub(crate) async fn until_done(&self) {
        let done = async {
            while self.left().await > 0 {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(SOON, done).await.is_err() {
            panic!("not worked off: {:?}", self.inbox.entries().list().await);
        }
    }

    /// Waits until nothing goes over the proxy.
    pub(crate) async fn quiet(&self) {
        let bytes = || [Direction::ToServer, Direction::ToClient].map(|way| self.proxy.bytes(way));
        let quiet = async {
            let mut before = None;
            while before != Some(bytes()) {
                before = Some(bytes());
                sleep(Duration::from_millis(80)).await;
            }
        };
        timeout(SOON, quiet).await.expect("it becomes quiet");
    }
}

/// Delivers an event again and again, as Google does, until it is answered 200.
pub(crate) async fn until_stored<DB: Database>(inbox: &Inbox<DB>, id: &str) {
    let stored = async {
        loop {
            let (status, body) = deliver(inbox, id, BATCH).await;
            if status == 200 {
                return;
            }
            assert_eq!((status, &*body), UNAVAILABLE, "{id}");
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(SOON, stored).await.is_err() {
        panic!("{id} was not answered 200");
    }
}

/// Delivers an event, which must be answered 503 in this time.
pub(crate) async fn assert_refused<DB: Database>(inbox: &Inbox<DB>, id: &str, within: Duration) {
    let answer = timeout(within + MARGIN, deliver(inbox, id, BATCH)).await;
    let (status, body) = answer.unwrap_or_else(|_| panic!("{id} has no answer in {within:?}"));
    assert_eq!((status, &*body), UNAVAILABLE, "{id}");
}

/// A worker that runs, and what it has run.
pub(crate) struct Watched {
    pub(crate) seen: Seen,
    /// A run of an event whose id begins with `held` ends when this says so.
    gate: Arc<Semaphore>,
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<(), InboxError>>,
}

impl Watched {
    pub(crate) fn start<DB: Database>(
        inbox: &Inbox<DB>,
        set: impl FnOnce(Worker<DB>) -> Worker<DB>,
    ) -> Self {
        let (seen, gate) = (Seen::default(), Arc::new(Semaphore::new(0)));
        let (stop, stopped) = oneshot::channel();
        let worker = set(inbox.worker()).otherwise({
            let (seen, gate) = (seen.clone(), Arc::clone(&gate));
            move |_: GeminiEvent, work: Work<DB>| {
                let (seen, gate) = (seen.clone(), Arc::clone(&gate));
                async move {
                    seen.add(work.webhook_id());
                    if work.webhook_id().starts_with("held") {
                        gate.acquire().await?.forget();
                    }
                    Ok(())
                }
            }
        });
        let until = async { drop(stopped.await) };
        Self {
            seen,
            gate,
            stop,
            worker: tokio::spawn(worker.run_until(until)),
        }
    }

    /// Waits until a run of this event has begun.
    pub(crate) async fn until_begun(&self, id: &str) {
        let begun = async {
            while self.runs(id) == 0 {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(SOON, begun).await.expect("its run begins");
    }

    /// Lets so many held runs come to their end.
    pub(crate) fn let_end(&self, runs: usize) {
        self.gate.add_permits(runs);
    }

    pub(crate) fn runs(&self, id: &str) -> usize {
        self.seen.all().iter().filter(|seen| *seen == id).count()
    }

    #[track_caller]
    pub(crate) fn assert_running(&self) {
        assert!(!self.worker.is_finished(), "the worker has ended");
    }

    pub(crate) async fn stop(self) {
        self.assert_running();
        self.stop.send(()).unwrap();
        let ended = timeout(SOON, self.worker).await.expect("it ends");
        ended.unwrap().unwrap();
    }
}
