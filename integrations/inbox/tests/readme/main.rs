//! What the README shows, as it stands there, with good deliveries and bad ones.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../inbox/app.rs"]
mod app;
#[allow(dead_code, reason = "other tests use more of it")]
#[path = "../inbox/home.rs"]
mod home;
mod jobs;

mod axum_app {
    include!("axum_app.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn it_stores_and_works() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder
            .path()
            .join("webhooks.db")
            .to_str()
            .unwrap()
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/gemini-callback", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let (at, until) = (file.clone(), stop.clone());
        let running = tokio::spawn(async move {
            let ended = run(listener, gemini_webhooks::testing::SECRET, &at, until).await;
            ended.map_err(|error| error.to_string())
        });
        let send = async |id: &str, event: &str, signed: &str| {
            let request = crate::app::request(id, signed);
            let (head, _) = request.into_parts();
            let mut request = reqwest::Client::new()
                .post(&url)
                .body(crate::app::about(id, event));
            for (name, value) in &head.headers {
                request = request.header(name, value);
            }
            request.send().await.unwrap().status().as_u16()
        };
        assert_eq!(
            send("msg_1", crate::app::BATCH, crate::app::BATCH).await,
            200
        );
        assert_eq!(
            send("msg_1", crate::app::BATCH, crate::app::BATCH).await,
            200
        );
        assert_eq!(
            send("msg_2", crate::app::VIDEO, crate::app::VIDEO).await,
            200
        );
        assert_eq!(
            send("msg_3", crate::app::BATCH, "something else").await,
            400
        );
        let inbox = Inbox::sqlite(&file).await.unwrap();
        crate::app::until(&inbox, crate::app::is_empty).await;
        assert_eq!(inbox.entries().count().await.unwrap(), 2);
        stop.cancel();
        running.await.unwrap().unwrap();
    }
}

mod actix_app {
    include!("actix_app.rs");

    #[actix_web::test]
    async fn it_stores() {
        use actix_web::{App, test};

        let folder = tempfile::tempdir().unwrap();
        let file = folder
            .path()
            .join("webhooks.db")
            .to_str()
            .unwrap()
            .to_owned();
        let inbox = Inbox::sqlite(&file).max_waiting(1).await.unwrap();
        let routes = routes(inbox.clone(), crate::app::receiver());
        let app = test::init_service(App::new().configure(routes)).await;
        let send = async |id: &str, event: &str, signed: &str| {
            let (head, _) = crate::app::request(id, signed).into_parts();
            let mut request = test::TestRequest::post().uri("/gemini-callback");
            for (name, value) in &head.headers {
                request = request.insert_header((name.as_str(), value.to_str().unwrap()));
            }
            let request = request
                .set_payload(crate::app::about(id, event))
                .to_request();
            let answer = test::call_service(&app, request).await;
            let status = answer.status().as_u16();
            let retry_after = answer.headers().contains_key("retry-after");
            let body = test::read_body(answer).await;
            (
                status,
                retry_after,
                String::from_utf8(body.to_vec()).unwrap(),
            )
        };
        let event = crate::app::BATCH;
        let received = (200, false, r#"{"status":"received"}"#.to_owned());
        assert_eq!(send("msg_1", event, event).await, received);
        assert_eq!(send("msg_1", event, event).await, received);
        assert_eq!(send("msg_2", event, "something else").await.0, 400);
        let full = (503, true, r#"{"error":"inbox_full"}"#.to_owned());
        assert_eq!(send("msg_2", event, event).await, full);
        assert_eq!(inbox.entries().count().await.unwrap(), 1);

        // The whole of it, which works off what is there and ends.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/gemini-callback", listener.local_addr().unwrap());
        let stop = CancellationToken::new();
        let receiver = crate::app::receiver();
        let worker = inbox.worker().ignore_others();
        let running = run(listener, inbox.clone(), receiver, worker, stop.clone());
        let watching = async {
            crate::app::until(&inbox, crate::app::is_empty).await;
            let answer = reqwest::Client::new().post(&url).send().await;
            assert_eq!(answer.unwrap().status(), 400);
            stop.cancel();
        };
        let (ran, ()) = tokio::join!(running, watching);
        ran.unwrap();
    }
}

mod typed {
    include!("typed.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn it_works_with_a_state() {
        use crate::home::{Home as _, SqliteHome};

        let home = SqliteHome::new().await;
        let inbox = home.open().await.unwrap();
        let named = crate::app::VIDEO.replace(r#"videos/1""#, r#"videos/1","video_uri":"files/1""#);
        crate::app::deliver(&inbox, "msg_1", &named).await;
        crate::app::deliver(&inbox, "msg_2", crate::app::VIDEO).await;
        let folder = "videos".to_owned();
        let ended = async {
            crate::app::until(&inbox, crate::app::is_empty).await;
        };
        worker(&inbox, App { folder })
            .run_until(ended)
            .await
            .unwrap();
        let depth = inbox.depth().await.unwrap();
        assert_eq!((depth.waiting, depth.dead), (0, 1));
    }
}

mod once {
    use crate::app::{BATCH, deliver, is_empty, until};
    use crate::home::{Home as _, PostgresHome};

    include!("once.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn it_counts_a_batch_once() {
        let home = PostgresHome::new().await;
        home.execute("CREATE TABLE jobs (id text, completions bigint)")
            .await;
        home.execute("INSERT INTO jobs VALUES ('batches/msg_1', 0)")
            .await;
        let worker = worker(home.pool.clone()).await.unwrap();
        let worker = worker.pauses(std::time::Duration::ZERO, std::time::Duration::ZERO);
        let inbox = home.open().await.unwrap();
        // Without its table the work fails, and is done once it is there.
        home.execute("ALTER TABLE jobs RENAME TO away").await;
        deliver(&inbox, "msg_1", BATCH).await;
        let worker = tokio::spawn(
            worker
                .max_attempts(u32::MAX)
                .run_until(std::future::pending()),
        );
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        assert_eq!(inbox.depth().await.unwrap().dead, 0);
        home.execute("ALTER TABLE away RENAME TO jobs").await;
        until(&inbox, is_empty).await;
        deliver(&inbox, "msg_1", BATCH).await;
        until(&inbox, is_empty).await;
        worker.abort();
        assert_eq!(home.number("SELECT completions FROM jobs").await, 1);
    }
}

mod operating {
    include!("operating.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn it_tries_dead_letters_again() {
        use crate::home::{Home as _, SqliteHome};

        let home = SqliteHome::new().await;
        let inbox = home.open().await.unwrap();
        for id in ["msg_1", "msg_2"] {
            crate::app::deliver(&inbox, id, crate::app::BATCH).await;
        }
        home.execute("UPDATE gemini_webhooks_inbox SET state = 3 WHERE webhook_id = 'msg_2'")
            .await;
        assert_eq!(operate(&inbox).await.unwrap(), 1);
        assert_eq!(operate(&inbox).await.unwrap(), 0);
    }
}

/// What the guide shows of the inbox, and the page.
const IN_THE_GUIDE: [(&str, &str); 9] = [
    ("answering-at-once.md", include_str!("smallest.rs")),
    ("no-event-missed.md", include_str!("jobs_app.rs")),
    ("no-event-missed.md", include_str!("jobs_expect.rs")),
    ("no-event-missed.md", include_str!("jobs_own.rs")),
    ("no-event-missed.md", include_str!("jobs_handle.rs")),
    ("no-event-missed.md", include_str!("jobs_health.rs")),
    ("no-event-missed.md", include_str!("jobs_backfill.rs")),
    ("testing.md", include_str!("jobs_testing.rs")),
    ("testing.md", include_str!("testing.rs")),
];

/// The guide is not in the package.
#[test]
fn the_guide_has_these_texts_and_no_others() {
    let guide = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    let Ok(pages) = std::fs::read_dir(guide) else {
        return;
    };
    let mut shown = Vec::new();
    for page in pages {
        let page = page.unwrap();
        let name = page.file_name().into_string().unwrap();
        if !name.ends_with(".md") {
            continue;
        }
        let text = std::fs::read_to_string(page.path()).unwrap();
        let blocks = text.split("\n```rust").skip(1).map(|block| {
            let (_, block) = block.split_once('\n').unwrap();
            block.split_once("```").unwrap().0
        });
        let of_inbox = blocks.filter(|block| block.contains("use gemini_webhooks_inbox"));
        shown.extend(of_inbox.map(|block| (name.clone(), block.to_owned())));
    }
    let mut run: Vec<_> = IN_THE_GUIDE
        .map(|(page, text)| (page.to_owned(), text.to_owned()))
        .into();
    shown.sort();
    run.sort();
    assert_eq!(shown, run);
}

mod smallest {
    include!("smallest.rs");

    #[tokio::test(flavor = "multi_thread")]
    async fn it_stores_and_works() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("webhooks.db");
        let file = file.to_str().unwrap();
        let (_callback, worker) = open(file).await.unwrap();
        let inbox = Inbox::sqlite(file).await.unwrap();
        crate::app::deliver(&inbox, "msg_1", crate::app::BATCH).await;
        let ended = async {
            crate::app::until(&inbox, crate::app::is_empty).await;
        };
        worker.run_until(ended).await.unwrap();
        assert_eq!(inbox.entries().count().await.unwrap(), 1);
    }
}

mod testing {
    use crate::app::router as app;

    include!("testing.rs");

    fn request() -> http::Request<axum::body::Body> {
        crate::app::request("msg_1", crate::app::BATCH)
    }

    fn worker<DB: gemini_webhooks_inbox::Database>(
        inbox: &Inbox<DB>,
    ) -> gemini_webhooks_inbox::Worker<DB> {
        let fails_once = async |_, work: gemini_webhooks_inbox::Work<_>| match work.attempt() {
            1 => Err(gemini_webhooks_inbox::WorkError::new("the first time")),
            _ => Ok(()),
        };
        inbox.worker().otherwise(fails_once)
    }
}

#[test]
fn the_readme_has_these_texts() {
    let readme = include_str!("../../README.md");
    for text in [
        include_str!("axum_app.rs"),
        include_str!("typed.rs"),
        include_str!("actix_app.rs"),
        include_str!("once.rs"),
        include_str!("jobs_app.rs"),
        include_str!("operating.rs"),
    ] {
        assert!(readme.contains(&format!("```rust\n{text}```")), "{text}");
    }
    assert_eq!(readme.matches("```rust\n").count(), 6);
}
