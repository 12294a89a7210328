//! What is shown of expected jobs, against a mock of Google.

use gemini_webhooks::client::WebhookService;
use gemini_webhooks::testing::google::{API_KEY, MockGoogle};

fn service(google: &MockGoogle) -> WebhookService {
    let builder = WebhookService::builder().api_key(API_KEY);
    builder.base_url(google.base_url()).build().unwrap()
}

mod app {
    include!("jobs_app.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_lost_is_found_and_what_is_strange_refused() {
        use gemini_webhooks::WebhookReceiver;
        use gemini_webhooks::testing::google::{BatchOutcome, DeliveryFault, MockGoogle};
        use gemini_webhooks_inbox::Entry;

        use crate::home::{Home as _, SqliteHome};

        let google = MockGoogle::start().await.unwrap();
        let service = super::service(&google);
        let home = SqliteHome::new().await;
        let inbox = home.open().await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!(
            "http://{}/gemini-webhook-dynamic",
            listener.local_addr().unwrap()
        );
        let config = WebhookConfig::new().uri(url);
        let lost = start(&inbox, &service, &config).await.unwrap();
        let batches = service.batches();
        let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
        let strange = batches.create("gemini-3", request, Some(&config));
        let strange = strange.await.unwrap();

        google.disturb(1, DeliveryFault::Lose);
        google
            .finish_batch(&lost, BatchOutcome::Succeeded)
            .await
            .unwrap();
        // As if a day had gone by.
        home.execute(
            "UPDATE gemini_webhooks_inbox_jobs SET ask_at = 0, answer_by = answer_by - 86400000",
        )
        .await;
        let told = start(&inbox, &service, &config).await.unwrap();
        let stop = CancellationToken::new();
        let receiver = WebhookReceiver::builder().jwks_url(google.jwks_url());
        let running = run(listener, inbox.clone(), service, receiver, stop.clone());
        let watching = async {
            for (name, status) in [(&*told, 200), (strange.name(), 400)] {
                google
                    .finish_batch(name, BatchOutcome::Succeeded)
                    .await
                    .unwrap();
                let sent = google.deliveries().pop().unwrap();
                assert_eq!(sent.attempts[0].answer, Ok(status), "{name}");
            }
            for _ in 0..1_000 {
                if inbox.entries().count().await.unwrap() == 2 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            crate::app::until(&inbox, crate::app::is_empty).await;
            stop.cancel();
        };
        let (ran, ()) = tokio::join!(running, watching);
        ran.unwrap();
        let entries = inbox.entries().list().await.unwrap();
        let mut found: Vec<_> = entries.iter().map(Entry::found).collect();
        found.sort_unstable();
        assert_eq!(found, [false, true]);
        assert_eq!(inbox.depth().await.unwrap().dead, 0);
    }
}

mod expect {
    use crate::home::{Home as _, PostgresHome};

    include!("jobs_expect.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_written_down_with_the_order() {
        let home = PostgresHome::new().await;
        let inbox = home.open().await.unwrap();
        let failed = write_down(&inbox, &home.pool, 7, "batches/1").await;
        assert!(failed.is_err(), "there is no such table");
        assert_eq!(inbox.awaited().await.unwrap().open, 0);
        home.execute("CREATE TABLE orders (id bigint, batch text)")
            .await;
        home.execute("INSERT INTO orders VALUES (7, NULL)").await;
        write_down(&inbox, &home.pool, 7, "batches/1")
            .await
            .unwrap();
        assert_eq!(inbox.awaited().await.unwrap().open, 1);
        let noted = "SELECT count(*) FROM orders WHERE batch = 'batches/1'";
        assert_eq!(home.number(noted).await, 1);
    }
}

mod own {
    include!("jobs_own.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn jobs_of_an_own_client_are_expected_and_found() {
        use gemini_webhooks::testing::google::{API_KEY, MockGoogle};
        use serde_json::json;

        use crate::home::{Home as _, SqliteHome};

        let google = MockGoogle::start().await.unwrap();
        let home = SqliteHome::new().await;
        let inbox = home.open().await.unwrap();
        let config = WebhookConfig::new().uri("https://example.com/");
        let base = google.base_url();
        let send = async |path: &str, body: Value| -> Result<String, Box<dyn Error>> {
            let request = reqwest::Client::new().post(format!("{base}/{path}"));
            let request = request.header("x-goog-api-key", API_KEY);
            let answer = request.body(body.to_string()).send().await?.bytes().await?;
            let answer: Value = serde_json::from_slice(&answer)?;
            let name = answer.get("name").or(answer.get("id"));
            Ok(name.and_then(Value::as_str).ok_or("no name")?.to_owned())
        };
        for (kind, path, body) in [
            (
                JobKind::Batch,
                "v1/models/gemini-3:batchGenerateContent",
                json!({"batch": {"inputConfig": {"fileName": "files/1"}}}),
            ),
            (
                JobKind::Interaction,
                "v1/interactions",
                json!({"model": "gemini-3", "input": "hello"}),
            ),
            (
                JobKind::Video,
                "v1beta/models/veo-3.1:predictLongRunning",
                json!({"instances": [{"prompt": "a cat"}]}),
            ),
        ] {
            let send_this = async |body| send(path, body).await;
            start_own(&inbox, kind, body, &config, send_this)
                .await
                .unwrap();
            let sent = google.requests().pop().unwrap().body;
            let sent = String::from_utf8_lossy(&sent).into_owned();
            let name = google.job_names().into_iter();
            let jobs = name.filter_map(|name| JobId::new(kind, &name));
            let mut known = None;
            for job in jobs {
                known = known.or(inbox.expectation(&job).await.unwrap());
            }
            assert!(sent.contains(known.unwrap().announced().id()), "{sent}");
        }
        assert_eq!(inbox.awaited().await.unwrap().unnamed, 0);

        // A batch whose name is lost has its id where the list shows it.
        let lost = async |body| {
            send("v1/models/gemini-3:batchGenerateContent", body).await?;
            Err("the connection broke".into())
        };
        let body = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
        let ended = start_own(&inbox, JobKind::Batch, body, &config, lost).await;
        assert!(ended.is_err());
        home.execute("UPDATE gemini_webhooks_inbox_jobs SET ask_at = 0 WHERE id IS NULL")
            .await;
        let watcher = inbox.watch(super::service(&google));
        assert_eq!(watcher.pass().await.unwrap().named, 1);
    }
}

mod handle {
    include!("jobs_handle.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_found_is_handled() {
        use std::time::Duration;

        use gemini_webhooks::testing::google::{BatchOutcome, InteractionStatus, MockGoogle};
        use serde_json::json;

        use crate::home::{Home as _, SqliteHome};

        let google = MockGoogle::start().await.unwrap();
        let service = super::service(&google);
        let home = SqliteHome::new().await;
        let inbox = home.open().await.unwrap();
        let within = Duration::ZERO;
        let (batches, interactions) = (service.batches(), service.interactions());
        let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
        let batch = inbox.start_batch(&batches, "gemini-3", request, None, within);
        let batch = batch.await.unwrap();
        let request = json!({"model": "gemini-3", "input": "hello", "background": true});
        let started = inbox.start_interaction(&interactions, request, None, within);
        let interaction = started.await.unwrap();
        google
            .finish_batch(batch.name(), BatchOutcome::Succeeded)
            .await
            .unwrap();
        google
            .set_interaction(interaction.id(), InteractionStatus::BudgetExceeded)
            .await
            .unwrap();
        assert_eq!(inbox.watch(service).pass().await.unwrap().found, 2);
        let ended = async {
            crate::app::until(&inbox, crate::app::is_empty).await;
        };
        worker(&inbox).run_until(ended).await.unwrap();
        let depth = inbox.depth().await.unwrap();
        assert_eq!((depth.waiting, depth.dead), (0, 0));
        assert_eq!(inbox.entries().count().await.unwrap(), 2);
    }
}

mod health {
    include!("jobs_health.rs");

    #[tokio::test]
    async fn what_google_has_switched_off_is_enabled_again() {
        use gemini_webhooks::client::{WebhookSpec, WebhookState};
        use gemini_webhooks::testing::google::{BatchOutcome, MockGoogle};

        use crate::home::{Home as _, SqliteHome};

        let google = MockGoogle::start().await.unwrap();
        let service = super::service(&google);
        let home = SqliteHome::new().await;
        let inbox = home.open().await.unwrap();
        // Nobody answers there: nothing is delivered to another machine.
        let spec = WebhookSpec::new("https://example.com/", ["batch.succeeded"]);
        let created = service.create(&spec).await.unwrap();
        let id = created.webhook().id();
        let request = serde_json::json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
        let batches = service.batches();
        let batch = batches.create("gemini-3", request, None).await.unwrap();
        google
            .finish_batch(batch.name(), BatchOutcome::Succeeded)
            .await
            .unwrap();
        for _ in 0..20 {
            google.retry_now().await;
        }
        let state = async || service.get(id).await.unwrap().state().cloned();
        let off = Some(WebhookState::DisabledDueToFailedDeliveries);
        assert_eq!(state().await, off);
        let watcher = watcher(&inbox, service.clone(), id);
        let pass = watcher.pass().await.unwrap();
        assert_eq!((pass.switched_off, pass.enabled_again), (1, 1));
        assert_eq!(state().await, Some(WebhookState::Enabled));
    }
}

mod backfill {
    include!("jobs_backfill.rs");

    #[tokio::test]
    async fn a_batch_that_nobody_wrote_down_is_found_once() {
        use gemini_webhooks::testing::google::{BatchOutcome, MockGoogle};

        use crate::home::{Home as _, SqliteHome};

        let google = MockGoogle::start().await.unwrap();
        let service = super::service(&google);
        let home = SqliteHome::new().await;
        let inbox = home.open().await.unwrap();
        let request = serde_json::json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
        let batches = service.batches();
        let batch = batches.create("gemini-3", request, None).await.unwrap();
        assert_eq!(backfill(&inbox, &service).await.unwrap(), 0, "it runs");
        google
            .finish_batch(batch.name(), BatchOutcome::Succeeded)
            .await
            .unwrap();
        for found in [1, 0] {
            assert_eq!(backfill(&inbox, &service).await.unwrap(), found);
        }
        assert_eq!(inbox.depth().await.unwrap().waiting, 1);
    }
}

mod testing {
    include!("jobs_testing.rs");
}
