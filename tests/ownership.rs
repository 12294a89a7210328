//! Whose job it is: a receiver that asks Google, against the mock of Google.
#![cfg(all(
    feature = "axum",
    feature = "client",
    feature = "jwks",
    feature = "testing-google"
))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use gemini_webhooks::client::{
    ClientError, ClientErrorKind, Job, Ownership, VideoState, WebhookConfig, WebhookService,
    reqwest,
};
use gemini_webhooks::testing::google::{
    BatchOutcome, Call, ErrorShape, Fault, InteractionStatus, MockGoogle, VideoOutcome,
};
use gemini_webhooks::testing::{self, Ed25519Signer, ManualClock};
use gemini_webhooks::{Clock as _, GeminiEvent, VerifyLayer, WebhookReceiver};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const MINE: &str = "my-project-key";
const STRANGERS: &str = "a-strangers-key";

/// Google with two projects, one of which is the app's.
struct Rig {
    google: MockGoogle,
    clock: ManualClock,
    mine: WebhookService,
    stranger: WebhookService,
}

impl Rig {
    async fn new() -> Self {
        let clock = ManualClock::default();
        let google = MockGoogle::builder()
            .api_key(MINE)
            .api_key(STRANGERS)
            .clock(clock.clone())
            .start()
            .await
            .unwrap();
        let service = |key| {
            let builder = WebhookService::builder().api_key(key);
            let builder = builder.base_url(google.base_url()).clock(clock.clone());
            builder.build().unwrap()
        };
        let (mine, stranger) = (service(MINE), service(STRANGERS));
        Self {
            google,
            clock,
            mine,
            stranger,
        }
    }

    fn ownership(&self) -> Ownership {
        self.mine.ownership()
    }

    /// How often the mock was asked about a job.
    fn asked(&self) -> usize {
        let requests = self.google.requests();
        let asks = |call| {
            matches!(
                call,
                Some(Call::BatchesGet | Call::InteractionsGet | Call::VideosGet)
            )
        };
        requests.iter().filter(|request| asks(request.call)).count()
    }
}

fn event(of_type: &str, id: &str) -> GeminiEvent {
    GeminiEvent::parse(json!({"type": of_type, "data": {"id": id}}).to_string())
}

/// A job of each kind that calls back: events about a batch, an interaction and a video.
async fn jobs(rig: &Rig, project: &str, uri: &str) -> [String; 3] {
    let service = [&rig.mine, &rig.stranger][usize::from(project == STRANGERS)];
    let (batches, interactions) = (service.batches(), service.interactions());
    let config = WebhookConfig::new().uri(uri);
    let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
    let batch = batches.create("m", request, Some(&config));
    let batch = batch.await.unwrap().name().to_owned();
    let request = json!({"model": "m", "input": "x"});
    let interaction = interactions.create(request, Some(&config));
    let interaction = interaction.await.unwrap().id().to_owned();
    let mut request = json!({"instances": [{"prompt": "x"}]});
    config.put_into(Job::Video, &mut request).unwrap();
    let url = format!(
        "{}/v1beta/models/veo:predictLongRunning",
        rig.google.base_url()
    );
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sent = client.post(url).header("x-goog-api-key", project);
    let answer = sent.body(request.to_string()).send().await.unwrap();
    let video: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
    let video = video["name"].as_str().unwrap().to_owned();
    [batch, interaction, video]
}

async fn batch(service: &WebhookService) -> String {
    let request = json!({"batch": {"inputConfig": {"fileName": "files/1"}}});
    let batch = service.batches().create("m", request, None).await.unwrap();
    batch.name().to_owned()
}

#[tokio::test]
async fn only_ones_own_jobs_are_owned() {
    let rig = Rig::new().await;
    for shape in [ErrorShape::Status, ErrorShape::Code] {
        rig.google.set_error_shape(shape);
        for (project, owned) in [(MINE, true), (STRANGERS, false)] {
            let [batch, interaction, video] = jobs(&rig, project, "https://a.example/x").await;
            for (of_type, id) in [
                ("batch.succeeded", batch.as_str()),
                ("batch.cancelled", batch.trim_start_matches("batches/")),
                ("interaction.requires_action", &interaction),
                ("interaction.completed", &interaction),
                ("video.generated", &video),
            ] {
                let asked = rig.ownership().owns(&event(of_type, id)).await;
                assert_eq!(asked.unwrap(), owned, "{project} {of_type} {id}");
            }
        }
    }
    assert_eq!(rig.asked(), 20);
}

#[tokio::test]
async fn what_names_no_job_is_not_asked_about() {
    let rig = Rig::new().await;
    let ownership = rig.ownership();
    for body in [
        "",
        "{}",
        r#"{"type":"batch.succeeded"}"#,
        r#"{"type":"batch.succeeded","data":{"id":7}}"#,
        r#"{"type":"model.tuned","data":{"id":"batches/1"}}"#,
    ] {
        let owned = ownership.owns(&GeminiEvent::parse(body)).await;
        assert!(!owned.unwrap(), "{body}");
    }
    let error = ownership.owns(&event("video.generated", "77")).await;
    let error = error.unwrap_err();
    let kind = error.client_error().map(ClientError::kind);
    assert_eq!(kind, Some(ClientErrorKind::InvalidArgument), "{error}");
    assert_eq!(rig.asked(), 0);
}

#[tokio::test]
async fn what_is_no_answer_is_an_error_and_is_asked_again() {
    use ClientErrorKind::*;
    let mut cases = JoinSet::new();
    for (name, fault, kind) in [
        ("a failure", Fault::Status(500), Server),
        ("unavailable", Fault::Status(503), Server),
        ("a time-out of the service", Fault::Status(408), Server),
        ("no connection", Fault::CloseBefore, Transport),
        ("a lost answer", Fault::CloseAfter, Transport),
        ("no answer", Fault::NoAnswer, Timeout),
        ("a key that ended", Fault::Status(401), Auth),
        ("a bad request", Fault::Status(400), InvalidArgument),
        ("a proxy's 404", Fault::Body(404, "gone".into()), NotFound),
        ("a proxy's 403", Fault::Body(403, "<html>".into()), Auth),
        ("a redirect", Fault::Body(302, String::new()), Redirected),
    ] {
        cases.spawn(async move {
            let rig = Rig::new().await;
            let ended = event("batch.failed", &batch(&rig.mine).await);
            let ownership = rig.ownership();
            rig.google.fail(Call::BatchesGet, 1, fault);
            let error = ownership.owns(&ended).await.unwrap_err();
            let found = error.client_error().map(ClientError::kind);
            assert_eq!(found, Some(kind), "{name}: {error}");
            assert_eq!(rig.asked(), 1, "{name}: one try");
            assert!(ownership.owns(&ended).await.unwrap(), "{name}");
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn the_head_of_an_answer_is_enough() {
    for (name, fault) in [
        ("cut off", Fault::Truncated),
        ("more than is read", Fault::Oversized(6 * 1024 * 1024)),
    ] {
        let rig = Rig::new().await;
        let ended = event("batch.failed", &batch(&rig.mine).await);
        rig.google.fail(Call::BatchesGet, 1, fault);
        assert!(rig.ownership().owns(&ended).await.unwrap(), "{name}");
    }
    // With the status alone Google does not say that there is no such job to this project.
    let rig = Rig::new().await;
    let foreign = event("batch.failed", &batch(&rig.stranger).await);
    rig.google.fail(Call::BatchesGet, 1, Fault::Truncated);
    rig.ownership().owns(&foreign).await.unwrap_err();
}

#[tokio::test]
async fn permission_denied_is_a_no() {
    let rig = Rig::new().await;
    let foreign = event("batch.failed", "8kq2");
    let denied = |code: &str, message: &str| {
        let error = serde_json::json!({"error": {"code": 403, "message": message, "status": code}});
        Fault::Body(403, error.to_string())
    };
    let caller = "The caller does not have permission";
    rig.google
        .fail(Call::BatchesGet, 1, denied("PERMISSION_DENIED", caller));
    assert!(!rig.ownership().owns(&foreign).await.unwrap());
    // A gateway's word, and Google's about the project.
    for (code, message) in [
        ("Forbidden", "blocked by policy"),
        ("PERMISSION_DENIED", "The project has been suspended."),
        ("PERMISSION_DENIED", "Requests to this API are blocked."),
    ] {
        rig.google.fail(Call::BatchesGet, 1, denied(code, message));
        let answer = rig.ownership().owns(&foreign).await;
        answer.expect_err(message);
    }
    for body in [
        r#"{"error":{"code":404,"message":"no route"}}"#,
        r#"{"error":{"code":"ROUTE_NOT_FOUND","message":"x"}}"#,
    ] {
        rig.google
            .fail(Call::BatchesGet, 1, Fault::Body(404, body.into()));
        rig.ownership().owns(&foreign).await.expect_err(body);
    }
}

/// What a gateway answers in Google's place must not be taken, and remembered, for a yes.
#[tokio::test]
async fn a_success_about_something_else_is_no_yes() {
    let rig = Rig::new().await;
    let foreign = event("batch.failed", &batch(&rig.stranger).await);
    for body in [
        r#"{"status":"maintenance"}"#,
        r#"{"name":"batches/another"}"#,
        r#"{"error":{"code":404}}"#,
        "[]",
    ] {
        rig.google
            .fail(Call::BatchesGet, 1, Fault::Body(200, body.into()));
        rig.ownership().owns(&foreign).await.expect_err(body);
    }
}

#[tokio::test]
async fn after_a_429_nothing_is_asked_for_a_while() {
    let rig = Rig::new().await;
    let [first, second] = [batch(&rig.mine).await, batch(&rig.mine).await];
    let [first, second] = [&first, &second].map(|id| event("batch.failed", id));
    let ownership = rig.ownership();
    let fault = Fault::RetryAfter(429, "20".into());
    rig.google.fail(Call::BatchesGet, 1, fault);
    let error = ownership.owns(&first).await.unwrap_err();
    let kind = error.client_error().map(ClientError::kind);
    assert_eq!(kind, Some(ClientErrorKind::RateLimited));

    rig.clock.advance(Duration::from_secs(19));
    let error = ownership.owns(&second).await.unwrap_err();
    assert!(error.to_string().contains("429"), "{error}");
    assert_eq!(rig.asked(), 1);
    rig.clock.advance(Duration::from_secs(1));
    assert!(ownership.owns(&second).await.unwrap());
    assert!(ownership.owns(&first).await.unwrap());
}

#[tokio::test]
async fn a_flood_of_strangers_jobs_does_not_use_up_the_quota() {
    let rig = Rig::new().await;
    let known = event("batch.failed", &batch(&rig.mine).await);
    let ownership = rig.ownership().per_minute(10);
    assert!(ownership.owns(&known).await.unwrap());
    let flood = async |from: usize| {
        let (mut refused, mut errors) = (0, 0);
        for number in from..from + 200 {
            match ownership
                .owns(&event("batch.failed", &format!("{number}")))
                .await
            {
                Ok(owned) => refused += usize::from(!owned),
                Err(error) => {
                    assert!(error.to_string().contains("`per_minute`"), "{error}");
                    errors += 1;
                }
            }
        }
        (refused, errors)
    };
    assert_eq!(flood(0).await, (9, 191));
    assert_eq!(rig.asked(), 10);
    // What is known costs nothing, whether it is ours or not.
    assert!(ownership.owns(&known).await.unwrap());
    assert!(!ownership.owns(&event("batch.failed", "0")).await.unwrap());
    assert_eq!(rig.asked(), 10);

    rig.clock.advance(Duration::from_secs(60));
    assert_eq!(flood(1000).await, (10, 190));
    assert_eq!(rig.asked(), 20);
}

#[tokio::test]
async fn many_events_of_one_job_at_once_cost_one_request() {
    let rig = Rig::new().await;
    for service in [&rig.mine, &rig.stranger] {
        let before = rig.asked();
        let ended = event("batch.failed", &batch(service).await);
        let owned = std::ptr::eq(service, &rig.mine);
        let ownership = rig.ownership();
        let mut asked = JoinSet::new();
        for _ in 0..200 {
            let (ownership, ended) = (ownership.clone(), ended.clone());
            asked.spawn(async move { ownership.owns(&ended).await.unwrap() });
        }
        let answers = asked.join_all().await;
        assert!(answers.iter().all(|answer| *answer == owned));
        assert_eq!(rig.asked() - before, 1);
    }
}

#[tokio::test]
async fn who_leaves_takes_no_answer_along() {
    let rig = Rig::new().await;
    let ended = event("batch.failed", &batch(&rig.mine).await);
    let ownership = rig.ownership();
    let mut first = Box::pin(ownership.owns(&ended));
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(first.as_mut().poll(cx)));
    assert!(polled.await.is_pending());
    drop(first);
    assert!(ownership.owns(&ended).await.unwrap());
    assert_eq!(rig.asked(), 1);
}

#[tokio::test]
async fn how_long_answers_are_remembered() {
    let rig = Rig::new().await;
    let ownership = rig.ownership();
    let [mine, foreign] = [batch(&rig.mine).await, batch(&rig.stranger).await];
    let [mine, foreign] = [&mine, &foreign].map(|id| event("batch.failed", id));
    let ask = async |asked: usize, name: &str| {
        assert!(ownership.owns(&mine).await.unwrap(), "{name}");
        assert!(!ownership.owns(&foreign).await.unwrap(), "{name}");
        assert_eq!(rig.asked(), asked, "{name}");
    };
    ask(2, "at first").await;
    ask(2, "again").await;
    rig.clock.advance(Duration::from_secs(299));
    ask(2, "within five minutes").await;
    rig.clock.advance(Duration::from_secs(1));
    ask(3, "after five minutes").await;
    rig.clock.advance(Duration::from_secs(25 * 3600 - 301));
    ask(4, "within 25 hours").await;
    rig.clock.advance(Duration::from_secs(1));
    ask(5, "after 25 hours").await;
    // Nobody can shorten that by setting the wall clock.
    rig.clock
        .set(rig.clock.now() + Duration::from_secs(365 * 24 * 3600));
    ask(5, "a year later by the wall").await;
}

#[tokio::test]
async fn a_video_is_read_by_its_operation() {
    let rig = Rig::new().await;
    let [_, _, name] = jobs(&rig, MINE, "https://a.example/x").await;
    let videos = rig.mine.videos();
    let video = videos.get(&name).await.unwrap();
    assert_eq!((video.name(), video.state()), (&*name, VideoState::Running));
    rig.google
        .finish_video(&name, VideoOutcome::Generated)
        .await
        .unwrap();
    let video = videos.get(&name).await.unwrap();
    assert_eq!(video.state(), VideoState::Succeeded);
    assert!(
        video
            .json()
            .pointer("/response/generateVideoResponse")
            .is_some()
    );

    let [_, _, name] = jobs(&rig, MINE, "https://a.example/x").await;
    rig.google
        .finish_video(&name, VideoOutcome::Failed)
        .await
        .unwrap();
    let video = videos.get(&name).await.unwrap();
    assert_eq!(video.state(), VideoState::Failed);
    assert_eq!(video.error_message(), Some("The model stopped."));

    let error = rig.stranger.videos().get(&name).await.unwrap_err();
    assert_eq!(error.kind(), ClientErrorKind::NotFound);
}

/// An app whose receiver asks, and the types of the events that its handler got.
async fn app(rig: &Rig, jwks_url: &str) -> (String, Arc<Mutex<Vec<String>>>) {
    let receiver = WebhookReceiver::builder()
        .clock(rig.clock.clone())
        .jwks_url(jwks_url)
        .accept_if(rig.mine.owns())
        .build()
        .unwrap();
    let handled = Arc::new(Mutex::new(Vec::new()));
    let handler = {
        let handled = Arc::clone(&handled);
        move |event: GeminiEvent| async move {
            let of_type = event.type_name().unwrap().to_owned();
            handled.lock().unwrap().push(of_type);
            StatusCode::OK
        }
    };
    let callback = post(handler).layer(VerifyLayer::new(receiver));
    let app = Router::new().route("/hook", callback);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (url, handled)
}

async fn end(google: &MockGoogle, [batch, interaction, video]: &[String; 3]) {
    google
        .finish_batch(batch, BatchOutcome::Succeeded)
        .await
        .unwrap();
    for status in [
        InteractionStatus::RequiresAction,
        InteractionStatus::Completed,
    ] {
        google.set_interaction(interaction, status).await.unwrap();
    }
    google
        .finish_video(video, VideoOutcome::Generated)
        .await
        .unwrap();
}

fn answers(google: &MockGoogle) -> Vec<u16> {
    let sent = google.deliveries();
    let attempts = sent.iter().flat_map(|event| &event.attempts);
    attempts
        .map(|attempt| attempt.answer.clone().unwrap())
        .collect()
}

#[tokio::test]
async fn a_receiver_handles_its_own_jobs_only() {
    let rig = Rig::new().await;
    let (url, handled) = app(&rig, &rig.google.jwks_url()).await;
    let foreign = jobs(&rig, STRANGERS, &url).await;
    end(&rig.google, &foreign).await;
    assert_eq!(answers(&rig.google), [400; 4]);
    assert!(handled.lock().unwrap().is_empty());
    // Their retries are refused without another question.
    assert_eq!(rig.asked(), 3);
    rig.google.retry_now().await;
    assert_eq!(answers(&rig.google), [400; 8]);
    assert_eq!(rig.asked(), 3);

    let own = jobs(&rig, MINE, &url).await;
    end(&rig.google, &own).await;
    assert_eq!(answers(&rig.google)[8..], [200; 4]);
    assert_eq!(
        *handled.lock().unwrap(),
        [
            "batch.succeeded",
            "interaction.requires_action",
            "interaction.completed",
            "video.generated",
        ]
    );
    assert_eq!(rig.asked(), 6);
}

#[tokio::test]
async fn what_cannot_be_asked_is_sent_again() {
    let rig = Rig::new().await;
    let (url, handled) = app(&rig, &rig.google.jwks_url()).await;
    let [batch, ..] = jobs(&rig, MINE, &url).await;
    for fault in [Fault::NoAnswer, Fault::Status(503)] {
        rig.google.fail(Call::BatchesGet, 1, fault);
    }
    rig.google
        .finish_batch(&batch, BatchOutcome::Succeeded)
        .await
        .unwrap();
    rig.google.retry_now().await;
    assert_eq!(answers(&rig.google), [503, 503]);
    assert!(handled.lock().unwrap().is_empty());
    rig.google.retry_now().await;
    assert_eq!(answers(&rig.google), [503, 503, 200]);
    assert_eq!(*handled.lock().unwrap(), ["batch.succeeded"]);
}

/// Another Google, whose jobs this one does not have, signs under the same keys: what its own deliveries are, but for
/// the keys.
#[tokio::test]
async fn a_job_of_another_mock_under_the_same_keys_is_refused() {
    let (rig, other) = (Rig::new().await, Rig::new().await);
    let signer = Ed25519Signer::new("shared", [7; 32]);
    let keys = testing::JwksServer::start([signer.jwk()]).await.unwrap();
    let (url, handled) = app(&rig, &keys.url()).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for (rig_of_job, status) in [(&other, 400), (&rig, 200)] {
        let [batch, ..] = jobs(rig_of_job, MINE, "https://a.example/x").await;
        let google = &rig_of_job.google;
        google
            .finish_batch(&batch, BatchOutcome::Succeeded)
            .await
            .unwrap();
        let body = google.deliveries()[0].body.clone();
        let now = rig.clock.unix_seconds();
        let mut request = client.post(&url);
        for (name, value) in signer.sign("msg_1", now, &body) {
            request = request.header(name, value);
        }
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
    }
    assert_eq!(*handled.lock().unwrap(), ["batch.succeeded"]);
}
