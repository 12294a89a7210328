//! What is emitted, against the table of `docs/metrics.md`; the queries of that page and of the dashboard; and the
//! example that serves them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails loudly"
)]

mod emitted;
mod example;
mod queries;
mod rig;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use gemini_webhooks::testing::{self, ManualClock};
use gemini_webhooks::{GeminiEvent, SigningSecret, VerifyWebhook, WebhookReceiver};
use metrics_util::debugging::DebuggingRecorder;

use emitted::Emitted;
use rig::{Rig, emitting};

#[test]
fn what_is_emitted_is_documented_and_the_other_way_round() {
    let (rig, emitted) = emitting(async |rig: &Rig| {
        rig.every_outcome().await;
        rig.every_fault_of_the_guard().await;
        rig.every_type_and_scheme().await;
    });
    let codes = table::codes();
    let of_the_core = |name: &str| !table::is_of_the_inbox(name);
    let documented = table::documented(of_the_core);
    assert_eq!(emitted.metrics(&codes), documented);
    // Each delivery is counted once.
    let counted = emitted.sum("gemini_webhooks_deliveries_total", "");
    assert_eq!(counted, f64::from(rig.sent()), "{emitted:#?}");
    for gauge in [
        "gemini_webhooks_buffered_bytes",
        "gemini_webhooks_claims_in_flight",
    ] {
        assert_eq!(emitted.sum(gauge, ""), 0.0, "{gauge}");
    }
}

#[test]
fn times_are_those_of_the_receivers_clock() {
    let (_, emitted) = emitting(async |rig: &Rig| {
        rig.advancing(Duration::from_secs(2), Duration::from_secs(5))
            .await;
    });
    let times = |name: &str| emitted.values(name);
    assert_eq!(times("gemini_webhooks_verification_seconds"), [2.0]);
    assert_eq!(times("gemini_webhooks_handler_seconds"), [5.0]);
    assert_eq!(times("gemini_webhooks_guard_seconds"), [0.0, 0.0]);
}

#[test]
fn keys_are_as_old_as_the_last_use_shows() {
    let (_, emitted) = emitting(async |rig: &Rig| rig.keys_of_an_age(100).await);
    assert_eq!(emitted.values("gemini_webhooks_keys_age_seconds"), [100.0]);
}

#[test]
fn what_is_in_flight_is_in_the_gauges() {
    let (_, emitted) = emitting(async |rig: &Rig| rig.leave_one_running().await);
    let body = testing::SAMPLE_EVENTS[0].len() as f64;
    assert_eq!(emitted.values("gemini_webhooks_buffered_bytes"), [body]);
    assert_eq!(emitted.values("gemini_webhooks_claims_in_flight"), [1.0]);
}

/// A recorder that panics costs no delivery.
#[test]
fn a_recorder_that_panics_is_contained() {
    #[derive(Debug)]
    struct Panics;

    impl metrics::Recorder for Panics {
        fn describe_counter(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
            panic!("the recorder's own")
        }

        fn describe_gauge(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
            panic!("the recorder's own")
        }

        fn describe_histogram(
            &self,
            _: metrics::KeyName,
            _: Option<metrics::Unit>,
            _: metrics::SharedString,
        ) {
            panic!("the recorder's own")
        }

        fn register_counter(
            &self,
            _: &metrics::Key,
            _: &metrics::Metadata<'_>,
        ) -> metrics::Counter {
            panic!("the recorder's own")
        }

        fn register_gauge(&self, _: &metrics::Key, _: &metrics::Metadata<'_>) -> metrics::Gauge {
            panic!("the recorder's own")
        }

        fn register_histogram(
            &self,
            _: &metrics::Key,
            _: &metrics::Metadata<'_>,
        ) -> metrics::Histogram {
            panic!("the recorder's own")
        }
    }

    rig::with_recorder(&Panics, async |rig: &Rig| {
        assert_eq!(rig.send("msg_1", "ok").await, Some(200));
        assert_eq!(rig.send("msg_1", "ok").await, Some(200));
        assert_eq!(rig.unsigned().await, Some(400));
    });
}

/// The other adapter counts at the same places.
#[test]
fn deliveries_to_actix_web_are_counted() {
    use actix_web::{App, HttpResponse, test, web};

    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let clock = ManualClock::default();
    let work = async {
        let receiver = WebhookReceiver::builder()
            .signing_secret(testing::SECRET)
            .clock(clock.clone())
            .build()
            .unwrap();
        let on_event = async |event: GeminiEvent| match event.is("batch.failed") {
            true => HttpResponse::InternalServerError(),
            false => HttpResponse::Ok(),
        };
        let callback = web::resource("/")
            .wrap(VerifyWebhook::new(receiver))
            .default_service(web::to(on_event));
        let bare = web::resource("/bare").default_service(web::to(on_event));
        let app = test::init_service(App::new().service(callback).service(bare)).await;
        let secret: SigningSecret = testing::SECRET.parse().unwrap();
        for (id, event, status) in [("msg_1", 0, 200), ("msg_1", 0, 200), ("msg_2", 1, 500)] {
            let body = testing::SAMPLE_EVENTS[event];
            let mut request = test::TestRequest::post().set_payload(body);
            for header in testing::sign_v1(&secret, id, clock.unix_seconds(), body) {
                request = request.insert_header(header);
            }
            let answer = test::call_service(&app, request.to_request()).await;
            assert_eq!(answer.status(), status);
        }
        for (request, status) in [
            (test::TestRequest::get(), 405),
            (test::TestRequest::post(), 400),
            // Nobody has verified it, so it is no delivery.
            (test::TestRequest::post().uri("/bare"), 500),
        ] {
            let answer = test::call_service(&app, request.to_request()).await;
            assert_eq!(answer.status(), status);
        }
    };
    metrics::with_local_recorder(&recorder, || actix_web::rt::System::new().block_on(work));
    let emitted = Emitted::of(&snapshotter);
    let none = "scheme=none,type=none";
    let expected = [
        (
            "scheme=v1,type=batch.succeeded,outcome=handled,code=".to_owned(),
            1.0,
        ),
        (
            "scheme=v1,type=batch.succeeded,outcome=repeated,code=".to_owned(),
            1.0,
        ),
        (
            "scheme=v1,type=batch.failed,outcome=failed,code=".to_owned(),
            1.0,
        ),
        (
            format!("{none},outcome=refused,code=method_not_allowed"),
            1.0,
        ),
        (format!("{none},outcome=refused,code=missing_header"), 1.0),
    ];
    let counted = emitted.by_labels("gemini_webhooks_deliveries_total");
    assert_eq!(counted, BTreeMap::from(expected));
}
