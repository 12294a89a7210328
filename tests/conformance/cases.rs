//! What every adapter must do alike, beyond the vectors: each row of the table of answers, limits,
//! slow bodies, repeats, and faults of guard, hook and key source.

use std::time::Duration;

use bytes::Bytes;
use gemini_webhooks::jwks::{KeyFuture, KeySource};
use gemini_webhooks::replay::{
    ClaimKey, ClaimToken, Claimed, GuardError, GuardFuture, MemoryGuard, ReplayGuard, Settled,
};
use gemini_webhooks::testing::{self, Ed25519Signer, ManualClock, Rs256Signer};
use gemini_webhooks::{
    Delivery, EndpointToken, GeminiEvent, Scheme, VerifyErrorKind, WebhookReceiver,
    WebhookReceiverBuilder,
};

use crate::rig::{Call, Does, End, Script, Sent};

/// Requests to one app, one after the other.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) receiver: WebhookReceiver,
    pub(crate) exchanges: Vec<(Sent, Does, Expected)>,
}

/// What must come back, and whether the handler ran.
#[derive(Clone, Debug)]
pub(crate) enum Expected {
    /// It ran, was called so (if that can be said), and this is its status.
    Handled(u16, Option<Call>),
    /// It ran, and the answer is 503 with this code.
    Overruled(&'static str),
    /// It did not run, as the event was handled before.
    Repeat,
    /// It did not run.
    Refused(u16, String),
}

const EVENT: &str = testing::SAMPLE_EVENTS[0];

fn now() -> u64 {
    ManualClock::default().unix_seconds()
}

fn sent(id: &str) -> Sent {
    signed(id, EVENT)
}

fn signed(id: &str, body: impl Into<Bytes>) -> Sent {
    let body = body.into();
    let headers = testing::sign_v1(&testing::SECRET.parse().unwrap(), id, now(), &body);
    with_headers(headers, body)
}

fn with_headers(headers: [(&'static str, String); 3], body: impl Into<Bytes>) -> Sent {
    let line = |(name, value): (&str, String)| (name.to_owned(), value.into_bytes());
    Sent {
        method: "POST",
        target: "/hook".to_owned(),
        headers: headers.into_iter().map(line).collect(),
        body: Script::whole(body),
    }
}

impl Sent {
    fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    fn ending(mut self, end: End) -> Self {
        self.body.end = end;
        self
    }
}

fn builder() -> WebhookReceiverBuilder {
    WebhookReceiver::builder()
        .signing_secret(testing::SECRET)
        .clock(ManualClock::default())
}

const OK: Does = Does::Answers(200);

fn handled(id: &str) -> Expected {
    Expected::Handled(200, Some(call(id)))
}

fn call(id: &str) -> Call {
    Call {
        id: id.to_owned(),
        claim_id: id.to_owned(),
        scheme: Scheme::V1,
        type_name: Some("batch.succeeded".to_owned()),
        body: EVENT.into(),
    }
}

fn refused(status: u16, code: &str) -> Expected {
    Expected::Refused(status, code.to_owned())
}

/// Collects cases.
#[derive(Default)]
struct Cases(Vec<Case>);

impl Cases {
    fn add(
        &mut self,
        name: impl Into<String>,
        builder: WebhookReceiverBuilder,
        exchanges: impl IntoIterator<Item = (Sent, Does, Expected)>,
    ) {
        self.0.push(Case {
            name: name.into(),
            receiver: builder.build().unwrap(),
            exchanges: exchanges.into_iter().collect(),
        });
    }

    fn one(
        &mut self,
        name: impl Into<String>,
        builder: WebhookReceiverBuilder,
        sent: Sent,
        expected: Expected,
    ) {
        self.add(name, builder, [(sent, OK, expected)]);
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Cases::default();
    requests(&mut cases);
    bodies(&mut cases);
    answers(&mut cases);
    repeats(&mut cases);
    hooks(&mut cases);
    keys(&mut cases);
    guards(&mut cases);
    cases.0
}

fn requests(cases: &mut Cases) {
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let sent = Sent {
            method,
            ..sent("msg_1")
        };
        cases.one(
            format!("a {method}"),
            builder(),
            sent,
            refused(405, "method_not_allowed"),
        );
    }
    for value in [
        "application/json",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let sent = sent("msg_1").header("content-type", value);
        cases.one(
            format!("content type {value}"),
            builder(),
            sent,
            handled("msg_1"),
        );
    }
    let token = EndpointToken::new("0123456789abcdefghijkl").unwrap();
    let guarded = || builder().endpoint_token(token.clone());
    for (target, accepted) in [
        ("/hook?token=0123456789abcdefghijkl", true),
        ("/hook/0123456789abcdefghijkl?a=b", true),
        ("/hook", false),
        ("/hook?token=%30123456789abcdefghijkl", false),
        ("/hook?token=0123456789abcdefghijkl&token=x", false),
    ] {
        let sent = Sent {
            target: target.to_owned(),
            ..sent("msg_1")
        };
        let expected = if accepted {
            handled("msg_1")
        } else {
            refused(400, "wrong_endpoint")
        };
        cases.one(format!("to {target}"), guarded(), sent, expected);
    }
    let mut stale = sent("msg_1");
    stale.headers[1].1 = (now() - 301).to_string().into_bytes();
    // The last one counts.
    let mapped = || {
        builder()
            .status(VerifyErrorKind::TimestampTooOld, 411)
            .status(VerifyErrorKind::TimestampTooOld, 410)
    };
    cases.one(
        "a status mapped",
        mapped(),
        stale,
        refused(410, "timestamp_too_old"),
    );
}

fn bodies(cases: &mut Cases) {
    let mut split = sent("msg_1");
    split.body.parts = EVENT
        .as_bytes()
        .chunks(7)
        .map(Bytes::copy_from_slice)
        .collect();
    split.body.parts.insert(3, Bytes::new());
    cases.one("a body in parts", builder(), split, handled("msg_1"));

    let limit = 64 * 1024;
    let call_of = |body: &Bytes| Call {
        type_name: None,
        body: body.clone(),
        ..call("msg_1")
    };
    let longest = Bytes::from(vec![b' '; limit]);
    let expected = Expected::Handled(200, Some(call_of(&longest)));
    cases.one("64 KiB", builder(), signed("msg_1", longest), expected);
    let empty = Expected::Handled(200, Some(call_of(&Bytes::new())));
    cases.one("no body", builder(), signed("msg_1", ""), empty);
    let longer = signed("msg_1", vec![b' '; limit + 1]);
    cases.one(
        "a byte more",
        builder(),
        longer,
        refused(413, "body_too_large"),
    );
    let said = sent("msg_1")
        .header("content-length", "65537")
        .ending(End::Never);
    cases.one(
        "a length that says more",
        builder(),
        said,
        refused(413, "body_too_large"),
    );
    let small = || builder().max_buffered_bytes(100);
    cases.one(
        "no room for it",
        small(),
        sent("msg_1"),
        refused(503, "overloaded"),
    );

    let broken = sent("msg_1").ending(End::BreaksOff);
    cases.one(
        "a body that breaks off",
        builder(),
        broken,
        refused(400, "body_incomplete"),
    );
    for end in [End::Never, End::Empty] {
        let slow = sent("msg_1").ending(end);
        let patient = || builder().body_timeout(Duration::from_millis(50));
        cases.one(
            format!("a body without end: {end:?}"),
            patient(),
            slow,
            refused(408, "body_timeout"),
        );
    }
}

fn answers(cases: &mut Cases) {
    for status in [200, 201, 204, 301, 400, 404, 409, 500, 503] {
        let expected = || Expected::Handled(status, Some(call("msg_1")));
        let again = if status < 300 {
            Expected::Repeat
        } else {
            expected()
        };
        cases.add(
            format!("a handler that answers {status}, and a retry"),
            builder(),
            [
                (sent("msg_1"), Does::Answers(status), expected()),
                (sent("msg_1"), Does::Answers(status), again),
            ],
        );
    }
    cases.add(
        "a handler that never answers, and a retry",
        builder().handler_timeout(Duration::from_millis(50)),
        [
            (
                sent("msg_1"),
                Does::Never,
                Expected::Overruled("handler_timeout"),
            ),
            (sent("msg_1"), OK, handled("msg_1")),
            (sent("msg_1"), OK, Expected::Repeat),
        ],
    );
}

fn repeats(cases: &mut Cases) {
    cases.add(
        "repeats, and others between them",
        builder(),
        ["a", "b", "a", "c", "b", "a"]
            .iter()
            .enumerate()
            .map(|(n, id)| {
                let expected = if n < 2 || n == 3 {
                    handled(id)
                } else {
                    Expected::Repeat
                };
                (sent(id), OK, expected)
            }),
    );
    cases.add(
        "a retry is signed anew, and its body may differ",
        builder(),
        [
            (sent("msg_1"), OK, handled("msg_1")),
            (signed("msg_1", "{}"), OK, Expected::Repeat),
        ],
    );
    cases.add(
        "a forged copy is no repeat",
        builder(),
        [
            (sent("msg_1"), OK, handled("msg_1")),
            (
                Sent {
                    body: Script::whole("{}"),
                    ..sent("msg_1")
                },
                OK,
                refused(400, "signature_mismatch"),
            ),
        ],
    );
    cases.add(
        "without replay protection",
        builder().without_replay_protection(),
        [
            (sent("msg_1"), OK, handled("msg_1")),
            (sent("msg_1"), OK, handled("msg_1")),
        ],
    );
}

fn hooks(cases: &mut Cases) {
    let hooked = || {
        builder().accept_if(|event: GeminiEvent, delivery: Delivery| async move {
            assert_eq!(event.type_name(), Some("batch.succeeded"));
            match delivery.id() {
                "ours" => Ok(true),
                "theirs" => Ok(false),
                "slow" => std::future::pending().await,
                _ => Err("no answer".into()),
            }
        })
    };
    cases.one("an accepted event", hooked(), sent("ours"), handled("ours"));
    cases.one(
        "another's event",
        hooked(),
        sent("theirs"),
        refused(400, "not_accepted"),
    );
    cases.one(
        "a hook that fails",
        hooked(),
        sent("broken"),
        refused(503, "acceptance_failed"),
    );
    cases.one(
        "a hook that never answers",
        hooked(),
        sent("slow"),
        refused(503, "acceptance_failed"),
    );
}

/// A source of keys that has none.
#[derive(Debug)]
struct NoKeys;

impl KeySource for NoKeys {
    fn fetch(&self) -> KeyFuture<'_> {
        Box::pin(std::future::ready(Err("it is down".into())))
    }
}

fn keys(cases: &mut Cases) {
    let without_keys = || builder().key_source(NoKeys).allow_any_google_project();
    let dynamic = with_headers(
        Ed25519Signer::new("k", [1; 32]).sign("msg_1", now(), EVENT),
        EVENT,
    );
    let unavailable = refused(503, "keys_unavailable");
    cases.one("no keys to be had", without_keys(), dynamic, unavailable);
    cases.one(
        "a shared secret beside that",
        without_keys(),
        sent("msg_1"),
        handled("msg_1"),
    );

    let rsa = Rs256Signer::generate("rsa").unwrap();
    let set = testing::key_set([rsa.jwk()]);
    let set = gemini_webhooks::jwks::KeySet::from_json(set.as_bytes()).unwrap();
    let claims = testing::claims(EVENT, "us", now()).unwrap();
    let token = |id: &str, body: &str| {
        with_headers(rsa.sign(id, now(), &claims), body.to_owned())
            .header("content-length", &body.len().to_string())
    };
    let taking_tokens = || {
        builder()
            .jwks(set.clone())
            .allow_any_google_project()
            .accept_jwt("us")
    };
    // Its claim id is a digest, so what it was called with is not told here.
    cases.add(
        "copies of a token under other ids",
        taking_tokens(),
        [
            (token("msg_1", ""), OK, Expected::Handled(200, None)),
            (token("msg_2", EVENT), OK, Expected::Repeat),
            (
                token("msg_3", "{\"type\":1}"),
                OK,
                refused(400, "body_mismatch"),
            ),
        ],
    );
    // Of every delivery the suite looks at the headers that speak of the body.
    let spoken_of = |sent: Sent| {
        sent.header("content-type", "application/jwt")
            .header("Content-Type", "text/plain")
            .header("content-encoding", "gzip")
            .header("transfer-encoding", "chunked")
            .header("trailer", "x-checksum")
    };
    cases.add(
        "headers that speak of the body",
        taking_tokens(),
        [
            (
                spoken_of(token("msg_1", "")),
                OK,
                Expected::Handled(200, None),
            ),
            (spoken_of(sent("msg_2")), OK, handled("msg_2")),
        ],
    );
}

/// A guard that cannot answer.
#[derive(Clone, Copy, Debug)]
enum Failing {
    AtOnce,
    Never,
    /// It claims, and that is all it can.
    Later,
}

impl Failing {
    fn answer<T: Send + 'static>(self) -> GuardFuture<T> {
        match self {
            Self::Never => GuardFuture::boxed(std::future::pending()),
            Self::AtOnce | Self::Later => {
                GuardFuture::ready(Err(GuardError::unavailable("it is down")))
            }
        }
    }
}

impl ReplayGuard for Failing {
    fn claim(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Claimed> {
        match self {
            Self::Later => GuardFuture::ready(Ok(Claimed::Claimed)),
            _ => self.answer(),
        }
    }

    fn settle(&self, _: &ClaimKey, _: ClaimToken, _: Duration) -> GuardFuture<Settled> {
        self.answer()
    }

    fn release(&self, _: &ClaimKey, _: ClaimToken) -> GuardFuture<()> {
        self.answer()
    }

    fn ready(&self) -> GuardFuture<Vec<String>> {
        GuardFuture::ready(Ok(Vec::new()))
    }
}

fn guards(cases: &mut Cases) {
    let unavailable = || refused(503, "guard_unavailable");
    for guard in [Failing::AtOnce, Failing::Never] {
        let failing = || {
            let patience = Duration::from_millis(50);
            builder().guard("test", guard).guard_timeout(patience)
        };
        cases.one(
            format!("a guard that fails: {guard:?}"),
            failing(),
            sent("msg_1"),
            unavailable(),
        );
        let unclaimed = failing().handle_unclaimed_while_guard_fails();
        cases.one(
            format!("the same, by choice: {guard:?}"),
            unclaimed,
            sent("msg_1"),
            handled("msg_1"),
        );
    }
    cases.add(
        "a guard that fails after the claim: the handler's answer stands",
        builder().guard("test", Failing::Later),
        [
            (sent("msg_1"), OK, handled("msg_1")),
            (
                sent("msg_2"),
                Does::Answers(500),
                Expected::Handled(500, Some(call("msg_2"))),
            ),
        ],
    );
    cases.add(
        "a full guard",
        builder().guard("test", MemoryGuard::new().with_capacity(1)),
        [
            (sent("msg_1"), OK, handled("msg_1")),
            (sent("msg_2"), OK, unavailable()),
            (sent("msg_1"), OK, Expected::Repeat),
        ],
    );
    let guard = MemoryGuard::new();
    let elsewhere = ClaimKey::new("test", Scheme::V1, "msg_1");
    drop(guard.claim(&elsewhere, ClaimToken::generate(), Duration::from_secs(60)));
    let calls = |status| Expected::Handled(status, Some(call("msg_1")));
    cases.add(
        "a claim that was taken over and not settled is free again",
        builder(),
        [
            (
                sent("msg_1"),
                Does::TakesOver(200),
                Expected::Overruled("not_settled"),
            ),
            (sent("msg_1"), Does::TakesOver(500), calls(500)),
            (sent("msg_1"), OK, calls(200)),
            (sent("msg_1"), OK, Expected::Repeat),
        ],
    );
    cases.add(
        "in flight elsewhere",
        builder().guard("test", guard),
        [
            (sent("msg_1"), OK, refused(409, "in_flight")),
            (sent("msg_2"), OK, handled("msg_2")),
        ],
    );
}
