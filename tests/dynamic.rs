//! Dynamic webhooks through `VerifyLayer`, with a key server on this machine.
#![cfg(all(feature = "jwt", feature = "testing", feature = "tower"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::jwks::KeySet;
use gemini_webhooks::testing::{self, Ed25519Signer, JwksServer, ManualClock, Rs256Signer};
use gemini_webhooks::{
    Clock as _, Delivery, EndpointToken, GeminiEvent, Scheme, VerifyLayer, WebhookReceiver,
    WebhookReceiverBuilder,
};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, service_fn};

const EVENT: &str = testing::SAMPLE_EVENTS[0];
const AUDIENCE: &str = "my-app";

type Headers = [(&'static str, String); 3];

/// An app with one route, and what reached its handler.
struct App {
    receiver: WebhookReceiver,
    clock: ManualClock,
    handled: Arc<Mutex<Vec<(Delivery, String)>>>,
}

impl App {
    fn new(configure: impl FnOnce(WebhookReceiverBuilder) -> WebhookReceiverBuilder) -> Self {
        let clock = ManualClock::default();
        let builder = WebhookReceiver::builder().clock(clock.clone());
        Self {
            receiver: configure(builder).build().unwrap(),
            clock,
            handled: Arc::default(),
        }
    }

    /// It handles the same event again and again: the keys are what matters.
    fn with_keys_of(server: &JwksServer) -> Self {
        Self::new(|builder| {
            builder
                .jwks_url(server.url())
                .allow_any_google_project()
                .without_replay_protection()
        })
    }

    fn now(&self) -> u64 {
        self.clock.unix_seconds()
    }

    async fn post(&self, target: &str, headers: Headers, body: &str) -> (u16, String) {
        let handled = Arc::clone(&self.handled);
        let inner = service_fn(move |request: Request<Full<Bytes>>| {
            let handled = Arc::clone(&handled);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let event: &GeminiEvent = head.extensions.get().unwrap();
                assert_eq!(event.raw(), &body);
                let delivery: &Delivery = head.extensions.get().unwrap();
                let seen = (delivery.clone(), event.type_name().unwrap().to_owned());
                handled.lock().unwrap().push(seen);
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
            }
        });
        let mut request = Request::post(target)
            .body(Full::<Bytes>::from(body.to_owned()))
            .unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let service = VerifyLayer::new(self.receiver.clone()).layer(inner);
        let response = service.oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let code = String::from_utf8(body.to_vec()).unwrap();
        let code = code
            .trim_start_matches(r#"{"error":""#)
            .trim_end_matches(r#""}"#);
        (status, code.to_owned())
    }

    async fn deliver(&self, signer: &Ed25519Signer) -> (u16, String) {
        self.post("/", signer.sign("msg_1", self.now(), EVENT), EVENT)
            .await
    }

    async fn deliver_token(&self, signer: &Rs256Signer) -> (u16, String) {
        let claims = testing::claims(EVENT, AUDIENCE, self.now()).unwrap();
        self.post("/", signer.sign("msg_1", self.now(), &claims), "")
            .await
    }

    fn handled(&self) -> usize {
        self.handled.lock().unwrap().len()
    }
}

fn ok() -> (u16, String) {
    (200, String::new())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

fn signer(number: u8) -> Ed25519Signer {
    Ed25519Signer::new(&format!("key-{number}"), [number; 32])
}

/// Waits until the server has been asked so often, for a while at most.
async fn fetched(server: &JwksServer, times: usize) {
    let asked = async {
        while server.fetches() < times {
            tokio::task::yield_now().await;
        }
    };
    let asked = tokio::time::timeout(Duration::from_secs(20), asked).await;
    assert!(asked.is_ok(), "asked {} times", server.fetches());
}

const COOL_DOWN: Duration = Duration::from_secs(30);

#[tokio::test]
async fn forty_deliveries_on_a_cold_cache_make_one_fetch() {
    let server = JwksServer::start([signer(1).jwk(), signer(2).jwk()])
        .await
        .unwrap();
    let app = Arc::new(App::with_keys_of(&server));
    assert_eq!(server.fetches(), 0);
    let mut deliveries = JoinSet::new();
    for _ in 0..40 {
        let app = Arc::clone(&app);
        deliveries.spawn(async move { app.deliver(&signer(2)).await });
    }
    assert_eq!(deliveries.join_all().await, vec![ok(); 40]);
    assert_eq!((server.fetches(), app.handled()), (1, 40));
    let (delivery, _) = app.handled.lock().unwrap()[0].clone();
    assert_eq!(
        (delivery.scheme(), delivery.key_id()),
        (Scheme::V1a, "key-2")
    );
}

#[tokio::test]
async fn a_known_key_is_not_delayed_by_a_stalled_server() {
    let server = JwksServer::start([signer(1).jwk()]).await.unwrap();
    let (app, signer) = (App::with_keys_of(&server), signer(1));
    app.receiver.ready().await.unwrap();
    server.stall();
    // The refresh is due, and hangs.
    app.clock.advance(Duration::from_secs(50 * 60));
    let delivery = tokio::time::timeout(Duration::from_secs(2), app.deliver(&signer));
    assert_eq!(delivery.await.expect("delayed"), ok());
    fetched(&server, 2).await;
    let delivery = tokio::time::timeout(Duration::from_secs(2), app.deliver(&signer));
    assert_eq!(delivery.await.expect("delayed"), ok());
}

#[tokio::test]
async fn a_rotation_is_picked_up_and_a_key_that_is_gone_is_dead() {
    let (old, new) = (signer(1), signer(2));
    let server = JwksServer::start([old.jwk()]).await.unwrap();
    let app = App::with_keys_of(&server);
    assert_eq!(app.deliver(&old).await, ok());
    server.publish([new.jwk()]);
    // Just fetched: refused without asking.
    assert_eq!(app.deliver(&new).await, refused(400, "signature_mismatch"));
    assert_eq!(server.fetches(), 1);
    app.clock.advance(COOL_DOWN);
    assert_eq!(app.deliver(&new).await, ok());
    assert_eq!(server.fetches(), 2);
    assert_eq!(app.deliver(&old).await, refused(400, "signature_mismatch"));
    // Withdrawn at once, by hand.
    server.publish([old.jwk()]);
    app.receiver.refresh_keys().await.unwrap();
    assert_eq!(app.deliver(&new).await, refused(400, "signature_mismatch"));
    assert_eq!(app.deliver(&old).await, ok());
}

#[tokio::test]
async fn a_thousand_forged_deliveries_cost_two_fetches() {
    let genuine = Rs256Signer::generate("genuine").unwrap();
    let foreign = Rs256Signer::generate("foreign").unwrap();
    let server = JwksServer::start([signer(1).jwk(), genuine.jwk()])
        .await
        .unwrap();
    let app = App::new(|builder| {
        builder
            .jwks_url(server.url())
            .allow_any_google_project()
            .accept_jwt(AUDIENCE)
    });
    assert_eq!(app.deliver_token(&genuine).await, ok());
    app.clock.advance(COOL_DOWN);
    for number in 0..500 {
        assert_eq!(
            app.deliver(&signer(9)).await,
            refused(400, "signature_mismatch")
        );
        let token = foreign.token(&format!(r#"{{"alg":"RS256","kid":"{number}"}}"#), "{}");
        let headers = testing_headers(app.now(), token);
        assert_eq!(
            app.post("/", headers, "").await,
            refused(400, "unknown_key")
        );
    }
    assert_eq!((server.fetches(), app.handled()), (2, 1));
    // A foreign key under a known name does not even ask.
    app.clock.advance(COOL_DOWN);
    let token = foreign.token(r#"{"alg":"RS256","kid":"genuine"}"#, "{}");
    let headers = testing_headers(app.now(), token);
    assert_eq!(
        app.post("/", headers, "").await,
        refused(400, "signature_mismatch")
    );
    assert_eq!(server.fetches(), 2);
}

fn testing_headers(now: u64, signature: String) -> Headers {
    [
        ("webhook-id", "msg_1".to_owned()),
        ("webhook-timestamp", now.to_string()),
        ("webhook-signature", signature),
    ]
}

/// Time stands still, but for what is waited for: so five seconds pass at once.
#[tokio::test(start_paused = true)]
async fn what_a_key_server_may_do() {
    let server = JwksServer::start([]).await.unwrap();
    let elsewhere = JwksServer::start([signer(1).jwk()]).await.unwrap();
    let many = |count: u8| (0..count).map(|number| signer(number + 1).jwk());
    let weak =
        r#"{"kty":"RSA","kid":"weak","e":"AQAB","n":""#.to_owned() + &"_".repeat(171) + "\"}";
    // 2048 bits, good for tokens; this receiver takes none.
    let for_tokens =
        r#"{"kty":"RSA","kid":"r","e":"AQAB","n":""#.to_owned() + &"_".repeat(341) + "w\"}";
    let keys_with = |status: u16| {
        server.respond(status, [], testing::key_set([signer(1).jwk()]));
    };
    let cases: [(&str, &dyn Fn()); 15] = [
        ("201 with the keys", &|| keys_with(201)),
        ("206 with some keys", &|| keys_with(206)),
        ("404 with the keys", &|| keys_with(404)),
        ("500 with the keys", &|| keys_with(500)),
        ("no keys", &|| server.publish([])),
        ("503", &|| server.fail()),
        ("a redirect", &|| server.redirect(&elsewhere.url())),
        ("never answers", &|| server.stall()),
        ("no JSON", &|| server.send("<html>")),
        ("nothing", &|| server.send("")),
        ("another shape", &|| server.send(signer(1).jwk())),
        ("65 KiB", &|| {
            server.send(testing::key_set([signer(1).jwk()]) + &" ".repeat(65 * 1024));
        }),
        ("17 keys", &|| server.publish(many(17))),
        ("1024 bits", &|| server.publish([weak.clone()])),
        ("no Ed25519", &|| server.publish([for_tokens.clone()])),
    ];
    for (what, prepare) in cases {
        let app = App::with_keys_of(&server);
        prepare();
        let fetches = server.fetches();
        assert_eq!(
            app.deliver(&signer(1)).await,
            refused(503, "keys_unavailable"),
            "{what}"
        );
        assert!(app.receiver.ready().await.is_err(), "{what}");
        assert_eq!(
            app.deliver(&signer(1)).await,
            refused(503, "keys_unavailable"),
            "{what}"
        );
        assert!(
            server.fetches() <= fetches + 1,
            "{what}: no second fetch at once"
        );
        // It recovers by itself.
        server.publish(many(16));
        app.clock.advance(Duration::from_secs(1));
        assert_eq!(app.deliver(&signer(1)).await, ok(), "{what}");
        // And once there are keys, none of it takes them away.
        prepare();
        assert!(app.receiver.refresh_keys().await.is_err(), "{what}");
        assert_eq!(app.deliver(&signer(1)).await, ok(), "{what}");
    }
    assert_eq!(elsewhere.fetches(), 0, "redirects are not followed");
}

#[tokio::test]
async fn duplicate_names_and_other_sorts_of_keys_do_no_harm() {
    let server = JwksServer::start([
        r#"{"kty":"EC","crv":"P-256","kid":"a","x":"AA","y":"AA"}"#.to_owned(),
        r#"{"kty":"oct","kid":"a","k":"AAAA"}"#.to_owned(),
        r#"{"kty":"AKP","kid":"a"}"#.to_owned(),
        "null".to_owned(),
        Ed25519Signer::new("a", [1; 32]).jwk(),
        Ed25519Signer::new("a", [2; 32]).jwk(),
        Rs256Signer::generate("a").unwrap().jwk(),
    ])
    .await
    .unwrap();
    let app = App::with_keys_of(&server);
    for number in [1, 2, 1] {
        assert_eq!(app.deliver(&signer(number)).await, ok());
    }
}

/// A process that is suspended for hours between two deliveries: the key was withdrawn meanwhile.
#[tokio::test(start_paused = true)]
async fn keys_past_their_age_are_confirmed_before_they_count() {
    let (old, new) = (signer(1), signer(2));
    let rsa = Rs256Signer::generate("rsa").unwrap();
    let server = JwksServer::start([old.jwk(), rsa.jwk()]).await.unwrap();
    let app = App::new(|builder| {
        builder
            .jwks_url(server.url())
            .allow_any_google_project()
            .accept_jwt(AUDIENCE)
            .without_replay_protection()
    });
    let wait = |seconds: u64| {
        app.clock
            .set(app.clock.now() + Duration::from_secs(seconds));
    };
    app.receiver.ready().await.unwrap();
    // While the server cannot say, the old keys count, after two seconds at most.
    wait(10 * 3600);
    server.stall();
    let limit = Duration::from_millis(2100);
    let delivery = tokio::time::timeout(limit, app.deliver(&old));
    assert_eq!(delivery.await.expect("delayed"), ok());
    // Until the next fetch nothing more is waited for.
    let delivery = tokio::time::timeout(Duration::from_millis(1), app.deliver_token(&rsa));
    assert_eq!(delivery.await.expect("delayed"), ok());
    // The same, where it fails at once.
    wait(60);
    server.fail();
    assert_eq!(app.deliver(&old).await, ok());
    let fetches = server.fetches();
    // Where it can say, what it says counts.
    wait(60);
    server.publish([new.jwk()]);
    assert_eq!(app.deliver(&old).await, refused(400, "signature_mismatch"));
    assert_eq!(app.deliver(&new).await, ok());
    assert_eq!(app.deliver_token(&rsa).await, refused(400, "unknown_key"));
    assert_eq!(server.fetches(), fetches + 1);
}

#[tokio::test]
async fn how_long_keys_are_fresh_is_the_servers_to_say() {
    for (headers, fresh) in [
        (&[("cache-control", "max-age=120")][..], 95),
        (&[("cache-control", "max-age=1")], 47),
        (&[("cache-control", "max-age=999999")], 2879),
        // Two lines, and the time in caches on the way.
        (
            &[
                ("cache-control", "public"),
                ("Cache-Control", "max-age=3600"),
                ("Age", "3480"),
            ],
            95,
        ),
        (&[("expires", "Thu, 22 Jan 2026 12:02:00 GMT")], 95),
        (&[("expires", "0")], 47),
    ] {
        let server = JwksServer::start([]).await.unwrap();
        server.respond(
            200,
            headers.iter().copied(),
            testing::key_set([signer(1).jwk()]),
        );
        let app = App::with_keys_of(&server);
        app.receiver.ready().await.unwrap();
        app.clock.advance(Duration::from_secs(fresh));
        assert_eq!(app.deliver(&signer(1)).await, ok());
        tokio::task::yield_now().await;
        assert_eq!(server.fetches(), 1, "{headers:?}");
        app.clock.advance(Duration::from_secs(2));
        assert_eq!(app.deliver(&signer(1)).await, ok());
        fetched(&server, 2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_secret_never_waits_for_keys() {
    let server = JwksServer::start([]).await.unwrap();
    server.stall();
    let app = App::new(|builder| {
        builder
            .signing_secret(testing::SECRET)
            .jwks_url(server.url())
            .allow_any_google_project()
    });
    let headers = testing::sign_v1(&testing::SECRET.parse().unwrap(), "msg_1", app.now(), EVENT);
    assert_eq!(app.post("/", headers.clone(), EVENT).await, ok());
    assert_eq!(
        app.post("/", headers, "{}").await,
        refused(400, "signature_mismatch")
    );
    // An entry that could be no signature under any key is not worth a fetch either.
    let nothing = format!("v1a,{}==", "A".repeat(86));
    let answer = app
        .post("/", testing_headers(app.now(), nothing), EVENT)
        .await;
    assert_eq!(answer, refused(400, "signature_mismatch"));
    assert_eq!(server.fetches(), 0);
    // Nor where keys are known and past their age.
    server.publish([signer(1).jwk()]);
    app.receiver.ready().await.unwrap();
    server.stall();
    app.clock.advance(Duration::from_secs(2 * 3600));
    let secret = testing::SECRET.parse().unwrap();
    for (id, body, answer) in [
        ("msg_2", EVENT, ok()),
        ("msg_3", "{}", refused(400, "signature_mismatch")),
    ] {
        let headers = testing::sign_v1(&secret, id, app.now(), EVENT);
        let delivery = app.post("/", headers, body);
        let delivery = tokio::time::timeout(Duration::from_millis(1), delivery);
        assert_eq!(delivery.await.expect("delayed"), answer);
    }
}

#[tokio::test]
async fn a_copy_of_a_token_under_another_id_is_the_same_claim() {
    let rsa = Rs256Signer::generate("rsa").unwrap();
    let keys = KeySet::from_json(testing::key_set([rsa.jwk()]).as_bytes()).unwrap();
    let open = |builder: WebhookReceiverBuilder| {
        builder
            .jwks(keys.clone())
            .allow_any_google_project()
            .accept_jwt(AUDIENCE)
    };
    let guarded = App::new(open);
    let app = App::new(|builder| open(builder).without_replay_protection());
    let plain = testing::claims(EVENT, AUDIENCE, app.now()).unwrap();
    let named = plain.replacen('{', r#"{"jti":"one","#, 1);
    for claims in [&plain, &named] {
        for (id, age) in [("msg_1", 0), ("msg_2", 100)] {
            for app in [&app, &guarded] {
                let headers = rsa.sign(id, app.now() - age, claims);
                assert_eq!(app.post("/", headers, "").await, ok());
            }
        }
    }
    assert_eq!((app.handled(), guarded.handled()), (4, 2));
    let handled = app.handled.lock().unwrap();
    let claims: Vec<&str> = handled
        .iter()
        .map(|(delivery, _)| delivery.claim_id())
        .collect();
    assert_eq!(claims[0], claims[1]);
    assert!(claims[0].starts_with("sha256:"), "{}", claims[0]);
    assert_eq!(claims[2..], ["jti:one", "jti:one"]);
    for (delivery, type_name) in handled.iter() {
        assert_eq!((delivery.scheme(), delivery.key_id()), (Scheme::Jwt, "rsa"));
        assert!(!delivery.id_is_signed());
        assert_eq!(type_name, "batch.succeeded");
    }
}

#[tokio::test(start_paused = true)]
async fn the_app_may_ask_whether_a_job_is_its_own() {
    let app = App::new(|builder| {
        builder.signing_secret(testing::SECRET).accept_if(
            |event: GeminiEvent, delivery: Delivery| async move {
                assert_eq!(event.type_name(), Some("batch.succeeded"));
                match delivery.id() {
                    "ours" => Ok(true),
                    "theirs" => Ok(false),
                    "slow" => {
                        tokio::time::sleep(Duration::from_millis(1999)).await;
                        Ok(true)
                    }
                    "never" => std::future::pending().await,
                    _ => Err("the table of jobs is gone".into()),
                }
            },
        )
    });
    for (id, expected) in [
        ("ours", ok()),
        ("slow", ok()),
        ("theirs", refused(400, "not_accepted")),
        ("broken", refused(503, "acceptance_failed")),
        ("never", refused(503, "acceptance_failed")),
    ] {
        let headers = testing::sign_v1(&testing::SECRET.parse().unwrap(), id, app.now(), EVENT);
        assert_eq!(app.post("/", headers, EVENT).await, expected, "{id}");
    }
    assert_eq!(app.handled(), 2);
    // What is not authentic is not asked about.
    let answer = app
        .post("/", testing_headers(app.now(), "v1,AAAA".to_owned()), "{}")
        .await;
    assert_eq!(answer, refused(400, "unsupported_scheme"));
}

#[tokio::test]
async fn the_endpoint_token_comes_before_everything_else() {
    let server = JwksServer::start([signer(1).jwk()]).await.unwrap();
    let (current, previous) = (
        EndpointToken::generate().unwrap(),
        EndpointToken::generate().unwrap(),
    );
    let app = App::new(|builder| {
        builder
            .jwks_url(server.url())
            .endpoint_token(current.clone())
            .endpoint_token(previous.clone())
    });
    let target = |token: &EndpointToken| token.url("/hook");
    let headers = || signer(1).sign("msg_1", app.now(), EVENT);
    let wrong = refused(400, "wrong_endpoint");
    let twice = target(&current) + "&" + target(&current).split_once('?').unwrap().1;
    let encoded = target(&current).replace("token=", "token=%4");
    for bad in [
        "/hook".to_owned(),
        "/hook?token=".to_owned(),
        twice,
        encoded,
        target(&current) + "x",
    ] {
        assert_eq!(app.post(&bad, headers(), EVENT).await, wrong, "{bad}");
    }
    assert_eq!(server.fetches(), 0);
    assert_eq!(app.post(&target(&current), headers(), EVENT).await, ok());
    assert_eq!(app.post(&target(&previous), headers(), EVENT).await, ok());
    // It never replaces a signature.
    let forged = signer(2).sign("msg_1", app.now(), EVENT);
    assert_eq!(
        app.post(&target(&current), forged, EVENT).await,
        refused(400, "signature_mismatch")
    );
}
