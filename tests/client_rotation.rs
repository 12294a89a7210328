//! A rotation at Google, in the keyring and in the app's store, against the mock of Google.
#![cfg(all(feature = "client", feature = "testing-google"))]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Ready, pending, ready};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use gemini_webhooks::client::{
    ClientErrorKind, EnsuredSecret, NewSecret, RevocationBehavior, RotationErrorKind,
    SubscribedEvent, WebhookService, WebhookSpec,
};
use gemini_webhooks::testing::google::{API_KEY, Call, Fault, MockGoogle};
use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{Clock as _, DeliveryHeaders, Keyring, Verifier};
use serde_json::{Value, json};

const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const SECOND: Duration = Duration::from_secs(1);
const AFTER_H24: RevocationBehavior = RevocationBehavior::AfterH24;
const IMMEDIATELY: RevocationBehavior = RevocationBehavior::Immediately;

/// A webhook at the mock, and a receiver's keyring of its secret.
struct Rig {
    google: MockGoogle,
    service: WebhookService,
    id: String,
    old: String,
    keyring: Keyring,
    /// That of the keyring and the client.
    clock: ManualClock,
    /// What was stored.
    stored: Arc<Mutex<Vec<String>>>,
}

impl Rig {
    async fn new() -> Self {
        Self::with_google_at(ManualClock::default().now()).await
    }

    /// Where Google's clock says something else than the receiver's.
    async fn with_google_at(now: SystemTime) -> Self {
        let google = MockGoogle::builder().clock(ManualClock::new(now));
        let google = google.start().await.unwrap();
        let clock = ManualClock::default();
        let builder = WebhookService::builder().api_key(API_KEY).max_retries(0);
        let builder = builder.base_url(google.base_url()).clock(clock.clone());
        let service = builder.build().unwrap();
        let (webhook, secret) = service.create(&spec()).await.unwrap().into_parts();
        Self {
            google,
            service,
            id: webhook.id().to_owned(),
            old: secret.expose().to_owned(),
            keyring: Keyring::new(secret.signing_secret().unwrap()).with_clock(clock.clone()),
            clock,
            stored: Arc::default(),
        }
    }

    /// An app's store.
    fn store(&self) -> impl FnOnce(NewSecret) -> Ready<Result<(), Infallible>> {
        move |new| {
            self.stored.lock().unwrap().push(new.expose().to_owned());
            ready(Ok(()))
        }
    }

    /// The one secret that was stored.
    fn new_secret(&self) -> String {
        let stored = self.stored.lock().unwrap();
        assert_eq!(stored.len(), 1, "it is stored once");
        stored[0].clone()
    }

    /// Whether the receiver accepts a delivery that is signed with this secret alone.
    fn accepts(&self, secret: &str) -> bool {
        let (body, now) = (testing::SAMPLE_EVENTS[0], self.clock.now());
        let headers = testing::sign_v1(
            &secret.parse().unwrap(),
            "msg_1",
            self.clock.unix_seconds(),
            body,
        );
        let headers =
            DeliveryHeaders::from_lines(headers.iter().map(|(name, value)| (*name, value)));
        let verifier = Verifier::new(self.keyring.clone());
        verifier.verify(&headers, body.as_bytes(), now).is_ok()
    }

    /// Expects that the keyring refuses the old secret from `end` on, and not before, and never the new one.
    fn expect_end(&self, end: SystemTime) {
        let (old, new) = (&self.old, &self.new_secret());
        self.clock.set(end - SECOND);
        assert!(self.accepts(old) && self.accepts(new));
        self.clock.set(end);
        assert!(!self.accepts(old) && self.accepts(new));
        self.clock.set(end + 30 * DAY);
        assert!(!self.accepts(old) && self.accepts(new));
    }

    fn calls(&self, call: Call) -> usize {
        let requests = self.google.requests();
        let of = requests.iter().filter(|request| request.call == Some(call));
        of.count()
    }

    /// Expects that the keyring has the old secret, without an end.
    fn expect_unchanged(&self) {
        assert_eq!(self.keyring.len(), 1);
        self.clock.advance(30 * DAY);
        assert!(self.accepts(&self.old));
    }
}

fn spec() -> WebhookSpec {
    let uri = "https://app.example/gemini-callback";
    WebhookSpec::new(uri, [SubscribedEvent::BatchSucceeded])
}

#[tokio::test]
async fn the_old_secret_is_accepted_until_google_ends_it() {
    // Four hours behind, so that the end that Google tells is another than 24 hours from now.
    let start = ManualClock::default().now();
    let rig = Rig::with_google_at(start - 4 * HOUR).await;
    let rotated = rig
        .service
        .rotate_into(&rig.id, AFTER_H24, &rig.keyring, async |new| {
            // The receiver has it already, and nothing that may fail comes before the storing.
            assert!(rig.accepts(&rig.old) && rig.accepts(new.expose()));
            assert_eq!(rig.calls(Call::WebhooksGet), 0);
            rig.store()(new).await
        })
        .await
        .unwrap();
    assert_eq!(rotated.previous_end(), start + 20 * HOUR);
    assert!(rotated.could_not_look().is_none());
    let key_ids = rig.keyring.key_ids();
    assert_eq!(rotated.key_id(), &*key_ids[1]);
    assert_eq!(
        rotated.to_string(),
        format!(
            "webhook {:?}: secret rotated; the new one is {}, and those before it end at Fri, 23 Jan 2026 08:00:00 GMT",
            rig.id, key_ids[1]
        )
    );
    rig.expect_end(start + 20 * HOUR);
}

#[tokio::test]
async fn it_is_never_accepted_for_longer_than_a_day() {
    let start = ManualClock::default().now();
    let rig = Rig::with_google_at(start + 4 * HOUR).await;
    let rotated = rig
        .service
        .rotate_into(&rig.id, None, &rig.keyring, rig.store())
        .await
        .unwrap();
    assert_eq!(rotated.previous_end(), start + DAY);
    rig.expect_end(start + DAY);
}

#[tokio::test]
async fn at_once_is_at_once() {
    let rig = Rig::new().await;
    let rotated = rig
        .service
        .rotate_into(&rig.id, IMMEDIATELY, &rig.keyring, async |new| {
            assert!(!rig.accepts(&rig.old) && rig.accepts(new.expose()));
            rig.store()(new).await
        })
        .await
        .unwrap();
    assert_eq!(rotated.previous_end(), rig.clock.now());
    assert!(!rig.accepts(&rig.old) && rig.accepts(&rig.new_secret()));
    assert_eq!(rig.keyring.len(), 1, "nothing is kept of what leaked");
    assert_eq!(rig.calls(Call::WebhooksGet), 0);
}

#[tokio::test]
async fn who_cannot_look_keeps_the_old_one_for_a_day() {
    let rig = Rig::new().await;
    rig.google.fail(Call::WebhooksGet, 1, Fault::Status(500));
    let rotated = rig
        .service
        .rotate_into(&rig.id, AFTER_H24, &rig.keyring, rig.store())
        .await
        .unwrap();
    let error = rotated.could_not_look().unwrap();
    assert_eq!(error.kind(), ClientErrorKind::Server);
    let shown = rotated.to_string();
    assert!(
        shown.contains("did not tell their end (webhooks.get failed"),
        "{shown}"
    );
    rig.expect_end(rig.clock.now() + DAY);
}

/// Each case is what the service tells of the secrets, in which `NEW` stands for the last characters of the
/// new one.
#[tokio::test]
async fn which_end_is_told() {
    let secret = |tail: &str, end: Option<&str>| match end {
        Some(end) => json!({"truncated_secret": format!("whsec_...{tail}"), "expire_time": end}),
        None => json!({"truncated_secret": format!("whsec_...{tail}")}),
    };
    let at = |hour: u32| Some(format!("2026-01-22T{hour}:00:00Z"));
    let (one, two) = (at(13), at(15));
    let (one, two) = (one.as_deref(), two.as_deref());
    for (case, secrets, hours) in [
        ("all", json!([secret("aaaa", one), secret("NEW", None)]), 1),
        (
            "of several the last",
            json!([
                secret("aaaa", one),
                secret("bbbb", two),
                secret("NEW", None)
            ]),
            3,
        ),
        (
            "an old one that ends as the new one does",
            json!([secret("NEW", one), secret("NEW", None)]),
            1,
        ),
        (
            "no end",
            json!([secret("aaaa", None), secret("NEW", None)]),
            24,
        ),
        (
            "no end of one",
            json!([
                secret("aaaa", one),
                secret("bbbb", None),
                secret("NEW", None)
            ]),
            24,
        ),
        (
            "before the rotation",
            json!([secret("aaaa", one), secret("bbbb", None)]),
            24,
        ),
        (
            "no time",
            json!([secret("aaaa", Some("tomorrow")), secret("NEW", None)]),
            24,
        ),
        ("no old one", json!([secret("NEW", None)]), 24),
        ("none", json!([]), 24),
        ("nothing", Value::Null, 24),
    ] {
        let rig = Rig::new().await;
        let start = rig.clock.now();
        let rotated = rig
            .service
            .rotate_into(&rig.id, AFTER_H24, &rig.keyring, async |new| {
                let tail = &new.expose()[new.expose().len() - 4..];
                let webhook =
                    json!({"id": "abc", "uri": "https://a.example/x", "signing_secrets": secrets});
                let webhook = webhook.to_string().replace("NEW", tail);
                let answer = Fault::Body(200, webhook);
                rig.google.fail(Call::WebhooksGet, 1, answer);
                rig.store()(new).await
            })
            .await
            .unwrap();
        assert!(rotated.could_not_look().is_none(), "{case}");
        assert_eq!(rotated.previous_end(), start + hours * HOUR, "{case}");
        rig.expect_end(start + hours * HOUR);
    }
}

#[tokio::test]
async fn an_end_is_for_those_that_were_there() {
    let rig = Rig::with_google_at(ManualClock::default().now() - 4 * HOUR).await;
    let [third, again] = [3, 1].map(|byte: u8| {
        let secret = gemini_webhooks::SigningSecret::from_bytes(&[byte; 24]);
        secret.unwrap()
    });
    let keyring = rig.keyring.clone().add(again.clone());
    let key_ids = [&again, &third].map(|secret| secret.key_id().to_owned());
    rig.service
        .rotate_into(&rig.id, AFTER_H24, &keyring, async |new| {
            // Meanwhile the app adds one, and lets one stay after all.
            let _ = keyring.clone().add(third).add(again);
            rig.store()(new).await
        })
        .await
        .unwrap();
    rig.clock.advance(30 * DAY);
    let valid = keyring.key_ids();
    assert!(!rig.accepts(&rig.old) && rig.accepts(&rig.new_secret()));
    for id in key_ids {
        assert!(valid.iter().any(|valid| **valid == *id), "{id} {valid:?}");
    }
}

/// A store may show what it was given in another form.
#[tokio::test]
async fn an_error_with_a_piece_of_the_secret_is_left_out() {
    let forms: [fn(&str) -> String; 4] = [
        |new| {
            new.replace('_', "%5F")
                .replace('+', "%2B")
                .replace('/', "%2F")
                .replace('=', "%3D")
        },
        |new| new.replace('/', r"\/"),
        |new| new[..20].to_owned(),
        |new| new[20..].to_owned(),
    ];
    for form in forms {
        let rig = Rig::new().await;
        let fails = async |new: NewSecret| {
            let shown = form(new.expose());
            Err(io::Error::other(format!(
                "PUT https://vault/?value={shown} failed"
            )))
        };
        let rotated = rig
            .service
            .rotate_into(&rig.id, AFTER_H24, &rig.keyring, fails);
        let error = rotated.await.unwrap_err();
        let new = error
            .secret()
            .unwrap()
            .expose()
            .trim_start_matches("whsec_");
        for shown in [error.to_string(), format!("{error:?}")] {
            for piece in new.as_bytes().windows(8) {
                let piece = std::str::from_utf8(piece).unwrap();
                assert!(!shown.contains(piece), "{shown}");
            }
        }
    }
}

#[tokio::test]
async fn what_cannot_be_stored_is_not_lost() {
    let rig = Rig::new().await;
    let error = rig
        .service
        .rotate_into(&rig.id, AFTER_H24, &rig.keyring, async |new| {
            let bare = new.expose().trim_start_matches("whsec_");
            let (new, old) = (new.expose(), &rig.old);
            let text = format!("cannot write {new} or {bare} over {old}\nto the disk");
            Err(io::Error::other(text))
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), RotationErrorKind::NotStored);
    assert!(error.is_in_keyring() && error.client_error().is_none());
    assert!(error.source().unwrap().to_string().contains("to the disk"));
    let new = error.secret().unwrap().expose();
    assert!(rig.accepts(new) && rig.accepts(&rig.old));
    for shown in [error.to_string(), format!("{error:?} {error:#?}")] {
        assert!(
            shown.contains("is in the keyring; it is not stored (cannot write"),
            "{shown}"
        );
        assert!(shown.contains(r"to the disk): store the secret"), "{shown}");
        for secret in [new, &rig.old] {
            let bare = secret.trim_start_matches("whsec_");
            assert!(!shown.contains(bare), "{shown}");
        }
    }
    assert_eq!(
        rig.calls(Call::WebhooksGet),
        0,
        "the caller is told at once"
    );
    rig.stored.lock().unwrap().push(new.to_owned());
    rig.expect_end(rig.clock.now() + DAY);
}

#[tokio::test]
async fn a_call_that_fails_changes_nothing() {
    for (fault, behavior, doubtful) in [
        (Fault::Status(403), AFTER_H24, false),
        (Fault::CloseAfter, AFTER_H24, true),
        (Fault::CloseAfter, IMMEDIATELY, true),
        // An empty text must not be stored over the secret before.
        (
            Fault::Body(200, r#"{"secret":" "}"#.to_owned()),
            AFTER_H24,
            true,
        ),
    ] {
        let rig = Rig::new().await;
        let case = format!("{fault:?} {behavior}");
        rig.google.fail(Call::WebhooksRotate, 1, fault);
        let error = rig
            .service
            .rotate_into(&rig.id, behavior, &rig.keyring, rig.store())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), RotationErrorKind::NotRotated, "{case}");
        assert!(error.secret().is_none() && !error.is_in_keyring(), "{case}");
        let client_error = error.client_error().unwrap();
        assert_eq!(client_error.may_have_been_carried_out(), doubtful, "{case}");
        let shown = error.to_string();
        assert!(shown.starts_with("the keyring is as it was"), "{shown}");
        assert_eq!(
            shown.contains("call `rotate_into` again"),
            doubtful,
            "{shown}"
        );
        assert!(rig.stored.lock().unwrap().is_empty(), "{case}");
        assert_eq!(rig.calls(Call::WebhooksGet), 0, "{case}");
        rig.expect_unchanged();
    }
}

#[tokio::test]
async fn a_secret_in_another_form_is_stored_and_told() {
    const OTHER: &str = "v2:another/form";
    for behavior in [AFTER_H24, IMMEDIATELY] {
        let rig = Rig::new().await;
        let answer = Fault::Body(200, json!({"secret": OTHER}).to_string());
        rig.google.fail(Call::WebhooksRotate, 2, answer);
        let error = rig
            .service
            .rotate_into(&rig.id, behavior.clone(), &rig.keyring, rig.store())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), RotationErrorKind::UnknownForm);
        assert_eq!(error.secret().unwrap().expose(), OTHER);
        assert_eq!(rig.new_secret(), OTHER);
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("is stored"), "{shown}");

        let fails = async |_| Err(format!("{OTHER} is too odd"));
        let both = rig
            .service
            .rotate_into(&rig.id, behavior, &rig.keyring, fails)
            .await
            .unwrap_err();
        assert_eq!(both.kind(), RotationErrorKind::NotStored);
        assert_eq!(both.secret().unwrap().expose(), OTHER);
        let shown_both = format!("{both} {both:?}");
        assert!(
            shown_both.contains("not stored (… is too odd)"),
            "{shown_both}"
        );
        for (error, shown) in [(error, shown), (both, shown_both)] {
            assert!(!error.is_in_keyring() && error.source().is_some());
            assert!(
                shown.contains("not in the keyring") && shown.contains("update gemini-webhooks"),
                "{shown}"
            );
            assert!(!shown.contains(OTHER), "{shown}");
        }
        rig.expect_unchanged();
    }
}

/// What the documentation says about a process that ends between Google's answer and the storing.
#[tokio::test]
async fn a_secret_that_was_lost_is_found_and_mended() {
    for behavior in [AFTER_H24, IMMEDIATELY] {
        let rig = Rig::new().await;
        let never = async |_: NewSecret| {
            pending::<()>().await;
            Ok::<(), Infallible>(())
        };
        let lost = rig
            .service
            .rotate_into(&rig.id, behavior.clone(), &rig.keyring, never);
        // It ends while the app stores.
        tokio::select! {
            rotated = lost => panic!("{rotated:?}"),
            () = async { while rig.keyring.key_ids().iter().all(|id| id == &rig_key(&rig.old)) {
                tokio::task::yield_now().await;
            } } => {}
        }

        // The app starts again, with what is stored.
        let keyring = Keyring::new(rig.old.parse().unwrap()).with_clock(rig.clock.clone());
        let rig = Rig { keyring, ..rig };
        let at_hand = spec().secret_at_hand(&rig.old);
        let ensured = rig.service.ensure(&at_hand).await.unwrap();
        let (is_found, ends) = (ensured.secret(), ensured.secret_expires());
        if behavior == AFTER_H24 {
            assert!(matches!(is_found, EnsuredSecret::AtHand) && ends.is_some());
        } else {
            assert!(matches!(is_found, EnsuredSecret::NotAtHand), "{ensured}");
        }
        rig.service
            .rotate_into(&rig.id, AFTER_H24, &rig.keyring, rig.store())
            .await
            .unwrap();
        let at_hand = spec().secret_at_hand(rig.new_secret());
        let ensured = rig.service.ensure(&at_hand).await.unwrap();
        assert!(matches!(ensured.secret(), EnsuredSecret::AtHand));
        assert_eq!(ensured.secret_expires(), None);
        if behavior == AFTER_H24 {
            rig.expect_end(rig.clock.now() + DAY);
        }
    }
}

fn rig_key(secret: &str) -> Arc<str> {
    let secret: gemini_webhooks::SigningSecret = secret.parse().unwrap();
    Arc::from(secret.key_id())
}

#[tokio::test]
async fn it_can_be_a_task_of_its_own() {
    let rig = Rig::new().await;
    let (service, id, keyring) = (rig.service.clone(), rig.id.clone(), rig.keyring.clone());
    let stored = Arc::clone(&rig.stored);
    let task = tokio::spawn(async move {
        let store = async |new: NewSecret| {
            stored.lock().unwrap().push(new.expose().to_owned());
            Ok::<(), io::Error>(())
        };
        let rotated = service.rotate_into(&id, AFTER_H24, &keyring, store).await;
        rotated.map(|rotated| rotated.previous_end())
    });
    assert_eq!(task.await.unwrap().unwrap(), rig.clock.now() + DAY);
    assert!(rig.accepts(&rig.new_secret()));
}
