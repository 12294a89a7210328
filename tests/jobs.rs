//! Each job handled once, whoever reports that it has ended.
#![cfg(all(feature = "jwt", feature = "testing", feature = "tower"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::replay::{ClaimKey, ClaimToken, Claimed, MemoryGuard, ReplayGuard as _};
use gemini_webhooks::testing::{self, Ed25519Signer, ManualClock, Rs256Signer};
use gemini_webhooks::{VerifyLayer, WebhookReceiver, WebhookReceiverBuilder};
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer as _, ServiceExt as _, service_fn};

const OTHER: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const ENDED: &str = r#"{"type":"batch.succeeded","data":{"id":"batches/8kq2"}}"#;
const ENDED_TOO: &str = r#"{"type":"batch.completed","data":{"id":"8kq2","x":1}}"#;

type Lines = [(&'static str, String); 3];

/// Receivers that share a guard and a namespace, and a handler that counts.
struct Rig {
    clock: ManualClock,
    guard: Arc<MemoryGuard>,
    runs: Arc<AtomicUsize>,
    answer: Arc<AtomicU16>,
    ed25519: Ed25519Signer,
    rsa: Rs256Signer,
}

impl Rig {
    fn new() -> Self {
        let clock = ManualClock::default();
        Self {
            guard: Arc::new(MemoryGuard::new().with_clock(clock.clone())),
            clock,
            runs: Arc::default(),
            answer: Arc::new(AtomicU16::new(200)),
            ed25519: Ed25519Signer::new("ed", [7; 32]),
            rsa: Rs256Signer::generate("rsa").unwrap(),
        }
    }

    fn builder(&self) -> WebhookReceiverBuilder {
        WebhookReceiver::builder()
            .clock(self.clock.clone())
            .guard("jobs", Arc::clone(&self.guard))
            .once_per_job()
    }

    fn fixed(&self, secret: &str) -> WebhookReceiver {
        self.builder().signing_secret(secret).build().unwrap()
    }

    fn dynamic(&self) -> WebhookReceiver {
        let jwks = testing::key_set([self.ed25519.jwk(), self.rsa.jwk()]);
        self.builder()
            .jwks(KeySet::from_json(jwks.as_bytes()).unwrap())
            .accept_jwt("me")
            .allow_any_google_project()
            .build()
            .unwrap()
    }

    fn signed(&self, secret: &str, id: &str, body: &str) -> Lines {
        testing::sign_v1(
            &secret.parse().unwrap(),
            id,
            self.clock.unix_seconds(),
            body,
        )
    }

    /// Delivers it, and returns the status and whether the handler ran.
    async fn deliver(&self, receiver: &WebhookReceiver, lines: &Lines, body: &str) -> (u16, bool) {
        let before = self.runs.load(SeqCst);
        let (runs, answer) = (Arc::clone(&self.runs), Arc::clone(&self.answer));
        let handler = service_fn(move |_| {
            runs.fetch_add(1, SeqCst);
            let status = answer.load(SeqCst);
            async move {
                let response = Response::builder()
                    .status(status)
                    .body(Full::<bytes::Bytes>::default());
                Ok::<_, Infallible>(response.unwrap())
            }
        });
        let mut request = Request::post("/hook");
        for (name, value) in lines {
            request = request.header(*name, value);
        }
        let request = request
            .body(Full::<bytes::Bytes>::from(body.to_owned()))
            .unwrap();
        let service = VerifyLayer::new(receiver.clone()).layer(handler);
        let response: Response<_> = service.oneshot(request).await.unwrap();
        (response.status().as_u16(), self.runs.load(SeqCst) > before)
    }
}

#[tokio::test]
async fn a_job_is_handled_once_whoever_reports_it() {
    let rig = Rig::new();
    let (one, two, dynamic) = (rig.fixed(testing::SECRET), rig.fixed(OTHER), rig.dynamic());
    let now = rig.clock.unix_seconds();

    let first = rig.signed(testing::SECRET, "msg_1", ENDED);
    assert_eq!(rig.deliver(&one, &first, ENDED).await, (200, true));
    // A retry; the event of another webhook, which names the job in another form; a dynamic webhook; a token.
    assert_eq!(rig.deliver(&one, &first, ENDED).await, (200, false));
    let second = rig.signed(OTHER, "msg_2", ENDED_TOO);
    assert_eq!(rig.deliver(&two, &second, ENDED_TOO).await, (200, false));
    let third = rig.ed25519.sign("msg_3", now, ENDED);
    assert_eq!(rig.deliver(&dynamic, &third, ENDED).await, (200, false));
    let claims = testing::claims(ENDED, "me", now).unwrap();
    let fourth = rig.rsa.sign("msg_4", now, &claims);
    assert_eq!(rig.deliver(&dynamic, &fourth, "").await, (200, false));

    // Other jobs, the same id of another kind, and events that end none are others.
    for (body, id) in [
        (
            r#"{"type":"batch.succeeded","data":{"id":"batches/8kq3"}}"#,
            "msg_5",
        ),
        (
            r#"{"type":"interaction.completed","data":{"id":"8kq2"}}"#,
            "msg_6",
        ),
        (
            r#"{"type":"interaction.requires_action","data":{"id":"8kq2"}}"#,
            "msg_7",
        ),
        (
            r#"{"type":"interaction.requires_action","data":{"id":"8kq2"}}"#,
            "msg_8",
        ),
        (r#"{"type":"batch.succeeded"}"#, "msg_9"),
        (r#"{"type":"batch.succeeded"}"#, "msg_10"),
        (
            r#"{"type":"video.generated","data":{"id":"models/veo-3/operations/77"}}"#,
            "msg_11",
        ),
        (
            r#"{"type":"video.generated","data":{"id":"models/veo-2/operations/77"}}"#,
            "msg_12",
        ),
    ] {
        let lines = rig.signed(testing::SECRET, id, body);
        assert_eq!(rig.deliver(&one, &lines, body).await, (200, true), "{body}");
    }
}

/// The first report has no long life; a token that reports the job again has.
#[tokio::test]
async fn a_token_that_lives_on_does_not_report_a_job_twice() {
    let rig = Rig::new();
    let (one, dynamic) = (rig.fixed(testing::SECRET), rig.dynamic());
    let first = rig.signed(testing::SECRET, "msg_1", ENDED);
    assert_eq!(rig.deliver(&one, &first, ENDED).await, (200, true));
    rig.clock.advance(Duration::from_secs(2 * 3600));
    let now = rig.clock.unix_seconds();
    let claims = serde_json::json!({
        "type": "batch.succeeded", "data": {"id": "batches/8kq2"}, "aud": "me", "exp": now + 24 * 3600 - 60,
    });
    let token = rig.rsa.sign("msg_2", now, &claims.to_string());
    assert_eq!(rig.deliver(&dynamic, &token, "").await, (200, false));
    rig.clock.advance(Duration::from_secs(23 * 3600 + 1800));
    let mut later = token.clone();
    later[1].1 = rig.clock.unix_seconds().to_string();
    assert_eq!(rig.deliver(&dynamic, &later, "").await, (200, false));
}

#[tokio::test]
async fn a_job_whose_handler_failed_is_handled_when_another_reports_it() {
    let rig = Rig::new();
    let (one, dynamic) = (rig.fixed(testing::SECRET), rig.dynamic());
    rig.answer.store(500, SeqCst);
    let first = rig.signed(testing::SECRET, "msg_1", ENDED);
    assert_eq!(rig.deliver(&one, &first, ENDED).await, (500, true));
    rig.answer.store(200, SeqCst);
    let other = rig.ed25519.sign("msg_2", rig.clock.unix_seconds(), ENDED);
    assert_eq!(rig.deliver(&dynamic, &other, ENDED).await, (200, true));
    assert_eq!(rig.deliver(&one, &first, ENDED).await, (200, false));
}

#[tokio::test]
async fn a_job_that_is_being_handled_is_in_flight_for_everyone() {
    let rig = Rig::new();
    let (one, dynamic) = (rig.fixed(testing::SECRET), rig.dynamic());
    let job = JobId::new(JobKind::Batch, "8kq2").unwrap();
    let key = ClaimKey::for_job("jobs", &job);
    let token = ClaimToken::generate();
    let claimed = rig.guard.claim(&key, token, Duration::from_secs(120)).await;
    assert_eq!(claimed.unwrap(), Claimed::Claimed);
    let first = rig.signed(testing::SECRET, "msg_1", ENDED);
    assert_eq!(rig.deliver(&one, &first, ENDED).await, (409, false));
    let other = rig.ed25519.sign("msg_2", rig.clock.unix_seconds(), ENDED);
    assert_eq!(rig.deliver(&dynamic, &other, ENDED).await, (409, false));
    rig.guard.release(&key, token).await.unwrap();
    assert_eq!(rig.deliver(&dynamic, &other, ENDED).await, (200, true));
}

#[tokio::test]
async fn without_the_setting_events_are_recognised_by_their_id() {
    let rig = Rig::new();
    let receiver = WebhookReceiver::builder()
        .clock(rig.clock.clone())
        .guard("jobs", Arc::clone(&rig.guard))
        .signing_secret(testing::SECRET)
        .build()
        .unwrap();
    for (id, runs) in [("msg_1", true), ("msg_2", true), ("msg_1", false)] {
        let lines = rig.signed(testing::SECRET, id, ENDED);
        assert_eq!(
            rig.deliver(&receiver, &lines, ENDED).await,
            (200, runs),
            "{id}"
        );
    }
}
