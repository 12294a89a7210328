//! Registered webhooks: Google switches them off, and the watcher sees it.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gemini_webhooks::client::{Webhook, WebhookState, WebhookUpdate};
use gemini_webhooks::testing::google::{Call, Fault};
use gemini_webhooks_inbox::{InboxErrorKind, Watcher};
use tokio_util::sync::CancellationToken;

use crate::app::Seen;
use crate::endpoint::Endpoint;
use crate::home::Home;
use crate::on_both;
use crate::rig::{AT_ONCE, Rig};

type Answer = Result<bool, Box<dyn Error + Send + Sync>>;

/// It looks in each pass.
fn watcher<H: Home>(rig: &Rig<H>, endpoint: &Endpoint) -> Watcher<H::DB> {
    let watcher = rig.watcher().webhook(&endpoint.id);
    watcher.webhook_interval(AT_ONCE)
}

/// How often a webhook was changed, by whomever.
fn changes<H: Home>(rig: &Rig<H>) -> usize {
    let requests = rig.google.requests();
    let changes = requests.iter().filter(|request| request.method == "PATCH");
    changes.count()
}

async fn the_app_is_told_once_that_google_has_switched_it_off(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    let told = Seen::default();
    let tell = told.clone();
    let watcher = watcher(&rig, &endpoint).on_switched_off(move |webhook: Webhook| {
        tell.add(webhook.id());
        std::future::ready(())
    });
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.asked, pass.switched_off), (1, 0));
    assert!(told.all().is_empty());

    endpoint.go_down(&rig).await;
    for _ in 0..3 {
        let pass = watcher.pass().await.unwrap();
        assert_eq!((pass.switched_off, pass.enabled_again), (1, 0));
        assert_eq!(told.all(), [endpoint.id.as_str()]);
    }
    assert_eq!(changes(&rig), 0, "nobody has asked for more");

    endpoint.come_up();
    endpoint.set(&rig, WebhookState::Enabled).await;
    assert_eq!(watcher.pass().await.unwrap().switched_off, 0);
    endpoint.go_down(&rig).await;
    assert_eq!(watcher.pass().await.unwrap().switched_off, 1);
    assert_eq!(told.all().len(), 2);
}

async fn it_is_enabled_again_when_the_app_says_so(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    let asked = Seen::default();
    let (ask, is_up) = (asked.clone(), Arc::clone(&endpoint.is_up));
    let watcher = watcher(&rig, &endpoint).enable_again_if(move |webhook: Webhook| {
        ask.add(webhook.id());
        std::future::ready(Ok(is_up.load(Ordering::SeqCst)))
    });
    assert_eq!(watcher.pass().await.unwrap().asked, 1);
    assert!(asked.all().is_empty());

    endpoint.go_down(&rig).await;
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.switched_off, pass.enabled_again), (1, 0));
    assert_eq!((asked.all().len(), changes(&rig)), (1, 0));

    endpoint.come_up();
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.switched_off, pass.enabled_again), (1, 1));
    assert_eq!(pass.asked, 3, "it is read again right before");
    assert_eq!((asked.all().len(), changes(&rig)), (2, 1));
    assert_eq!(endpoint.state(&rig).await, WebhookState::Enabled);
    assert_eq!(watcher.pass().await.unwrap().switched_off, 0);
    let before = endpoint.taken();
    endpoint.deliver(&rig).await;
    assert_eq!(endpoint.taken(), before + 1);

    // Again: now it waits.
    endpoint.go_down(&rig).await;
    endpoint.come_up();
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.switched_off, pass.enabled_again), (1, 0));
    assert_eq!((asked.all().len(), changes(&rig)), (2, 1));
}

async fn what_a_person_has_disabled_stays_so(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    let always = watcher(&rig, &endpoint).enable_again_if(async |_: Webhook| Ok(true));
    endpoint.set(&rig, WebhookState::Disabled).await;
    for _ in 0..2 {
        let pass = always.pass().await.unwrap();
        assert_eq!((pass.asked, pass.switched_off), (1, 0));
    }
    assert_eq!(changes(&rig), 1);

    // Also if that happens while the check runs.
    endpoint.set(&rig, WebhookState::Enabled).await;
    endpoint.go_down(&rig).await;
    let service = rig.service.clone();
    let late = watcher(&rig, &endpoint).enable_again_if(move |webhook: Webhook| {
        let service = service.clone();
        async move {
            let disable = WebhookUpdate::new().state(WebhookState::Disabled);
            service.update(webhook.id(), &disable).await?;
            Ok(true)
        }
    });
    let pass = late.pass().await.unwrap();
    assert_eq!((pass.switched_off, pass.enabled_again), (1, 0));
    assert_eq!((pass.asked, pass.failed), (2, 0));
    assert_eq!(endpoint.state(&rig).await, WebhookState::Disabled);
    assert_eq!(changes(&rig), 3);
}

async fn what_is_in_an_unknown_state_stays_so(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    endpoint.go_down(&rig).await;
    let watcher = watcher(&rig, &endpoint)
        .on_switched_off(async |_: Webhook| panic!("nobody has switched it off"))
        .enable_again_if(async |_: Webhook| Ok(true));
    for state in [r#""paused""#, "null", "7"] {
        let webhook = format!(r#"{{"id":"w","uri":"https://example.com","state":{state}}}"#);
        rig.google
            .fail(Call::WebhooksGet, 1, Fault::Body(200, webhook));
        let pass = watcher.pass().await.unwrap();
        assert_eq!((pass.asked, pass.switched_off), (1, 0), "{state}");
    }
    assert_eq!(changes(&rig), 0);
}

async fn a_check_that_fails_is_a_no(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    endpoint.go_down(&rig).await;
    let of = |check: fn() -> Answer| {
        watcher(&rig, &endpoint)
            .on_switched_off(async |_: Webhook| panic!("the app fails"))
            .enable_again_if(move |_: Webhook| async move { check() })
    };
    for (name, watcher) in [
        ("no", of(|| Ok(false))),
        ("an error", of(|| Err("no route to the host".into()))),
        ("a panic", of(|| panic!("the check fails"))),
    ] {
        let pass = watcher.pass().await.unwrap();
        assert_eq!((pass.switched_off, pass.enabled_again), (1, 0), "{name}");
        assert_eq!((pass.asked, changes(&rig)), (1, 0), "{name}");
    }
    // A panic before there is a future.
    let watcher = watcher(&rig, &endpoint)
        .enable_again_if(|_: Webhook| -> std::future::Ready<Answer> { panic!("it fails at once") });
    assert_eq!(watcher.pass().await.unwrap().enabled_again, 0);
    assert_eq!(of(|| Ok(true)).pass().await.unwrap().enabled_again, 1);
}

async fn a_webhook_that_is_gone_is_looked_for_further(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    let other = Endpoint::register(&rig).await;
    let watcher = watcher(&rig, &endpoint)
        .webhook(&other.id)
        .webhook(&other.id)
        .enable_again_if(async |_: Webhook| Ok(true));
    rig.service.delete(&endpoint.id).await.unwrap();
    other.go_down(&rig).await;
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.asked, pass.failed), (4, 0), "a 404 is an answer");
    assert_eq!((pass.switched_off, pass.enabled_again), (1, 1));
    assert_eq!(watcher.pass().await.unwrap().asked, 2);
    assert_eq!(changes(&rig), 1);
}

async fn an_outage_of_google_changes_nothing(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    endpoint.go_down(&rig).await;
    rig.start_batch(AT_ONCE).await;
    let enabling = || watcher(&rig, &endpoint).enable_again_if(async |_: Webhook| Ok(true));
    for fault in [
        Fault::Status(500),
        Fault::Status(401),
        Fault::CloseBefore,
        Fault::Truncated,
        Fault::Body(404, "<html>no such host</html>".to_owned()),
        Fault::Body(200, "{}".to_owned()),
    ] {
        rig.google.fail(Call::WebhooksGet, 1, fault.clone());
        let pass = enabling().pass().await.unwrap();
        assert_eq!((pass.failed, pass.switched_off), (1, 0), "{fault:?}");
        assert_eq!(
            pass.running, 1,
            "{fault:?}: jobs are asked about all the same"
        );
        rig.make_due().await;
    }
    for fault in [Fault::Status(400), Fault::Status(503), Fault::CloseBefore] {
        rig.google.fail(Call::WebhooksUpdate, 1, fault.clone());
        let watcher = enabling();
        let pass = watcher.pass().await.unwrap();
        assert_eq!((pass.failed, pass.enabled_again), (1, 0), "{fault:?}");
    }
    assert_eq!(
        endpoint.state(&rig).await,
        WebhookState::DisabledDueToFailedDeliveries
    );

    // The answer is lost, and the next look shows that it was done.
    rig.google.fail(Call::WebhooksUpdate, 1, Fault::CloseAfter);
    let watcher = enabling();
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.failed, pass.enabled_again), (1, 0));
    assert_eq!(endpoint.state(&rig).await, WebhookState::Enabled);
    assert_eq!(watcher.pass().await.unwrap().switched_off, 0);
}

async fn looks_keep_their_interval_and_the_quota(home: impl Home) {
    let rig = Rig::new(home).await;
    let [first, second] = [
        Endpoint::register(&rig).await,
        Endpoint::register(&rig).await,
    ];
    let both = || rig.watcher().webhook(&first.id).webhook(&second.id);
    let watcher = both();
    assert_eq!(watcher.pass().await.unwrap().asked, 2);
    assert_eq!(watcher.pass().await.unwrap().asked, 0, "5 minutes later");

    let watcher = both().per_minute(1);
    assert_eq!(watcher.pass().await.unwrap().asked, 1);
    assert_eq!(watcher.pass().await.unwrap().asked, 0);

    // Many jobs do not put a look off.
    rig.start_batch(AT_ONCE).await;
    let watcher = rig.watcher().webhook(&first.id).per_minute(1);
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.asked, pass.running), (1, 0));

    let limited = Fault::RetryAfter(429, "60".to_owned());
    rig.google.fail(Call::WebhooksGet, 1, limited);
    let pass = both().pass().await.unwrap();
    assert_eq!(
        (pass.asked, pass.failed),
        (1, 1),
        "Google asked for a pause"
    );
}

async fn only_who_does_the_work_looks(home: impl Home) {
    let rig = Rig::new(home).await;
    let endpoint = Endpoint::register(&rig).await;
    endpoint.go_down(&rig).await;
    let told = Seen::default();
    let telling = |name: &'static str| {
        let tell = told.clone();
        watcher(&rig, &endpoint).on_switched_off(move |_: Webhook| {
            tell.add(name);
            std::future::ready(())
        })
    };
    let stop = CancellationToken::new();
    let is_up = Arc::clone(&endpoint.is_up);
    let leader = telling("leader")
        .interval(Duration::from_millis(10))
        .enable_again_if(move |_: Webhook| std::future::ready(Ok(is_up.load(Ordering::SeqCst))));
    let leader = tokio::spawn(leader.run_until(stop.clone().cancelled_owned()));
    for _ in 0..2_000 {
        if !told.all().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = telling("second");
    assert!(second.pass().await.unwrap().is_elsewhere);
    endpoint.come_up();
    for _ in 0..2_000 {
        if endpoint.state(&rig).await == WebhookState::Enabled {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(endpoint.state(&rig).await, WebhookState::Enabled);
    stop.cancel();
    leader.await.unwrap().unwrap();
    assert_eq!(told.all(), ["leader"]);

    endpoint.go_down(&rig).await;
    assert_eq!(second.pass().await.unwrap().switched_off, 1);
    assert_eq!(told.all(), ["leader", "second"]);
}

async fn a_setting_without_a_webhook_is_named(home: impl Home) {
    let rig = Rig::new(home).await;
    for (watcher, part) in [
        (rig.watcher().webhook(""), "is empty"),
        (
            rig.watcher().on_switched_off(async |_: Webhook| {}),
            "looks at no webhook",
        ),
        (
            rig.watcher().enable_again_if(async |_: Webhook| Ok(true)),
            "looks at no webhook",
        ),
    ] {
        let error = watcher.pass().await.unwrap_err();
        assert_eq!(error.kind(), InboxErrorKind::Invalid);
        assert!(error.to_string().contains(part), "{error}");
    }
}

on_both! {
    the_app_is_told_once_that_google_has_switched_it_off
    it_is_enabled_again_when_the_app_says_so
    what_a_person_has_disabled_stays_so
    what_is_in_an_unknown_state_stays_so
    a_check_that_fails_is_a_no
    a_webhook_that_is_gone_is_looked_for_further
    an_outage_of_google_changes_nothing
    looks_keep_their_interval_and_the_quota
    only_who_does_the_work_looks
    a_setting_without_a_webhook_is_named
}
