//! What the watcher finds, and what it does not ask.

use std::time::Duration;

use gemini_webhooks::event::{JobId, JobKind};
use gemini_webhooks::testing::ManualClock;
use gemini_webhooks::testing::google::{
    BatchOutcome, Call, DeliveryFault, Fault, InteractionStatus, MockGoogle, VideoOutcome,
};
use gemini_webhooks::{Clock as _, SystemClock};
use gemini_webhooks_inbox::{InboxErrorKind, Progress, State};
use serde_json::json;

use crate::home::Home;
use crate::on_both;
use crate::rig::{AT_ONCE, LATER, Rig};

/// Every end that a job can come to, with the type of its event.
async fn end_one_of_each<H: Home>(rig: &Rig<H>, within: Duration) -> Vec<String> {
    let mut types = Vec::new();
    for (outcome, event) in [
        (BatchOutcome::Succeeded, "batch.succeeded"),
        (BatchOutcome::Failed, "batch.failed"),
        (BatchOutcome::Expired, "batch.expired"),
        (BatchOutcome::Cancelled, "batch.cancelled"),
    ] {
        let name = rig.start_batch(within).await;
        rig.google.finish_batch(&name, outcome).await.unwrap();
        types.push(event);
    }
    for (status, event) in [
        (InteractionStatus::Completed, "interaction.completed"),
        (InteractionStatus::Failed, "interaction.failed"),
        (InteractionStatus::Cancelled, "interaction.cancelled"),
        (
            InteractionStatus::RequiresAction,
            "interaction.requires_action",
        ),
        (
            InteractionStatus::Incomplete,
            "gemini-webhooks.interaction.incomplete",
        ),
        (
            InteractionStatus::BudgetExceeded,
            "gemini-webhooks.interaction.budget_exceeded",
        ),
    ] {
        let id = rig.start_interaction(within).await;
        rig.google.set_interaction(&id, status).await.unwrap();
        types.push(event);
    }
    for (outcome, event) in [
        (VideoOutcome::Generated, "video.generated"),
        (VideoOutcome::Failed, "gemini-webhooks.video.failed"),
    ] {
        let name = rig.start_video().await;
        let job = JobId::new(JobKind::Video, &name).unwrap();
        rig.inbox.expect(&job, within).await.unwrap();
        rig.google.finish_video(&name, outcome).await.unwrap();
        types.push(event);
    }
    types.into_iter().map(str::to_owned).collect()
}

async fn every_end_is_found_whose_event_was_lost(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.google.disturb(100, DeliveryFault::Lose);
    let mut types = end_one_of_each(&rig, AT_ONCE).await;
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.asked, pass.found, pass.failed), (12, 12, 0));
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 0);

    let mut seen = rig.work().await;
    let told: Vec<_> = rig.google.deliveries();
    for delivery in &told {
        // What Google would have brought, with the same data.
        let body: serde_json::Value = serde_json::from_slice(&delivery.body).unwrap();
        let line = format!("found {} {}", delivery.event_type, body["data"]);
        assert!(seen.contains(&line), "{line}: {seen:#?}");
    }
    seen.sort();
    types.sort();
    let seen: Vec<_> = seen
        .iter()
        .map(|line| line.split(' ').nth(1).unwrap())
        .collect();
    assert_eq!(seen, types);

    // Nothing is left to ask.
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.asked, pass.found), (0, 0));
}

async fn what_a_webhook_has_told_is_not_asked_about(home: impl Home) {
    let rig = Rig::new(home).await;
    let types = end_one_of_each(&rig, AT_ONCE).await;
    let silent = 3 + 1; // of our own types; and the video, which calls nobody
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.asked, pass.found), (silent, silent));
    let seen = rig.work().await;
    assert_eq!(seen.len(), types.len(), "{seen:#?}");
    assert_eq!(rig.asked("/v1/batches/"), 0);
    assert_eq!(rig.inbox.awaited().await.unwrap().open, 0);
}

async fn a_webhook_that_comes_after_the_watcher_is_a_copy(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.google
        .disturb(1, DeliveryFault::Delay(Duration::from_secs(3600)));
    let name = rig.start_batch(AT_ONCE).await;
    rig.google
        .finish_batch(&name, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert_eq!(rig.watcher().pass().await.unwrap().found, 1);
    rig.google.retry_now().await;
    assert!(rig.google.deliveries()[0].is_delivered);
    assert_eq!(rig.work().await.len(), 1);
    let entries = rig.inbox.entries().list().await.unwrap();
    assert!(entries[0].found() && entries.len() == 1);
    assert!(entries[0].history()[0].why().starts_with("found by asking"));
}

async fn nobody_is_asked_before_the_time_is_over(home: impl Home) {
    let rig = Rig::new(home).await;
    let name = rig.start_batch(LATER).await;
    let watcher = rig.watcher();
    assert_eq!(watcher.pass().await.unwrap().asked, 0);
    rig.make_overdue(LATER).await;
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.asked, pass.running), (1, 1));
    // Later again, by and by.
    assert_eq!(watcher.pass().await.unwrap().asked, 0);
    rig.make_due().await;
    assert_eq!(watcher.pass().await.unwrap().running, 1);
    rig.google.disturb(1, DeliveryFault::Lose);
    rig.google
        .finish_batch(&name, BatchOutcome::Failed)
        .await
        .unwrap();
    rig.make_due().await;
    assert_eq!(watcher.pass().await.unwrap().found, 1);
}

async fn a_job_that_is_gone_is_a_dead_letter(home: impl Home) {
    let rig = Rig::new(home).await;
    let gone = rig.start_batch(AT_ONCE).await;
    rig.google.forget_job(&gone).unwrap();
    let strange = JobId::new(JobKind::Interaction, "v1_of_another_project").unwrap();
    rig.inbox.expect(&strange, AT_ONCE).await.unwrap();
    let unaskable = JobId::new(JobKind::Video, "op7").unwrap();
    rig.inbox.expect(&unaskable, AT_ONCE).await.unwrap();
    let watcher = rig.watcher();
    for given_up in [1, 0, 2] {
        let pass = watcher.pass().await.unwrap();
        assert_eq!(pass.given_up, given_up, "one word is not enough");
        rig.make_due().await;
    }
    let dead = rig.inbox.entries().state(State::Dead).list().await.unwrap();
    let mut told: Vec<_> = dead
        .iter()
        .map(|entry| (entry.event().type_name().unwrap(), entry.history()[0].why()))
        .collect();
    told.sort_unstable();
    assert_eq!(told[0].0, "gemini-webhooks.batch.lost");
    assert!(told[0].1.contains("no such job"), "{told:?}");
    assert_eq!(told[1].0, "gemini-webhooks.interaction.lost");
    assert_eq!(told[2].0, "gemini-webhooks.video.lost");
    assert!(
        told[2].1.contains("is not the name of an operation"),
        "{told:?}"
    );
    let job = JobId::new(JobKind::Batch, &gone).unwrap();
    let known = rig.inbox.expectation(&job).await.unwrap().unwrap();
    assert_eq!(known.progress(), Progress::GivenUp);
    assert_eq!(rig.watcher().pass().await.unwrap().asked, 0);
}

async fn what_runs_on_and_on_is_a_dead_letter(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.start_batch(AT_ONCE).await;
    rig.make_overdue(Duration::from_secs(8 * 24 * 3600)).await;
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.running, pass.given_up), (1, 1));
    let dead = rig.inbox.entries().state(State::Dead).list().await.unwrap();
    assert!(
        dead[0].history()[0].why().contains("still runs"),
        "{dead:?}"
    );
}

async fn an_event_that_comes_after_a_dead_letter_is_handled(home: impl Home) {
    let rig = Rig::new(home).await;
    let id = rig.start_interaction(AT_ONCE).await;
    rig.make_overdue(Duration::from_secs(8 * 24 * 3600)).await;
    assert_eq!(rig.watcher().pass().await.unwrap().given_up, 1);
    rig.google
        .set_interaction(&id, InteractionStatus::Completed)
        .await
        .unwrap();
    let seen = rig.work().await;
    assert_eq!(
        seen,
        [format!("told interaction.completed {}", json!({"id": id}))]
    );
}

async fn the_quota_is_kept(home: impl Home) {
    let rig = Rig::new(home).await;
    for _ in 0..3 {
        rig.start_batch(AT_ONCE).await;
    }
    let watcher = rig.watcher().per_minute(2).concurrency(1);
    assert_eq!(watcher.pass().await.unwrap().asked, 2);
    assert_eq!(watcher.pass().await.unwrap().asked, 0);

    let limited = Fault::RetryAfter(429, "60".to_owned());
    rig.google.fail(Call::BatchesGet, 1, limited);
    rig.make_due().await;
    let watcher = rig.watcher().concurrency(1);
    let pass = watcher.pass().await.unwrap();
    assert_eq!((pass.asked, pass.failed), (1, 1));
    rig.make_due().await;
    assert_eq!(
        watcher.pass().await.unwrap().asked,
        0,
        "Google asked for a pause"
    );
    assert_eq!(rig.watcher().pass().await.unwrap().running, 3);
}

async fn an_outage_of_google_changes_nothing(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.lose_batch().await;
    for fault in [
        Fault::Status(500),
        Fault::Status(503),
        Fault::CloseBefore,
        Fault::CloseAfter,
        Fault::Truncated,
        Fault::Body(404, "<html>no such host</html>".to_owned()),
        Fault::Body(200, "{}".to_owned()),
        Fault::Status(401),
    ] {
        rig.google.fail(Call::BatchesGet, 1, fault.clone());
        let pass = rig.watcher().pass().await.unwrap();
        assert_eq!(
            (pass.failed, pass.found, pass.given_up),
            (1, 0, 0),
            "{fault:?}"
        );
        rig.make_due().await;
    }
    assert_eq!(rig.watcher().pass().await.unwrap().found, 1);
}

async fn one_watcher_at_a_time_does_the_work(home: impl Home) {
    let rig = Rig::new(home).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let first = rig.watcher().interval(Duration::from_millis(10));
    let first = tokio::spawn(first.run_until(stop.clone().cancelled_owned()));
    let leases = "SELECT count(*) FROM gemini_webhooks_inbox_leases";
    while rig.home.number(leases).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let second = rig.watcher();
    assert!(second.pass().await.unwrap().is_elsewhere);
    rig.lose_batch().await;
    while rig.inbox.awaited().await.unwrap().open > 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.cancel();
    first.await.unwrap().unwrap();
    assert!(
        !second.pass().await.unwrap().is_elsewhere,
        "it has left the work"
    );
    // One that died holds it until its lease ends.
    let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
    let soon = (now.unwrap() + Duration::from_secs(50)).as_millis();
    let held =
        format!("INSERT INTO gemini_webhooks_inbox_leases VALUES ('default', 'watch', '', {soon})");
    rig.home.execute(&held).await;
    assert!(second.pass().await.unwrap().is_elsewhere);
    // The clock of the database was set back since.
    rig.home
        .execute("UPDATE gemini_webhooks_inbox_leases SET held_until = held_until + 100000")
        .await;
    assert!(!second.pass().await.unwrap().is_elsewhere);
    rig.home.execute(&held).await;
    assert!(second.pass().await.unwrap().is_elsewhere);
    rig.home
        .execute("UPDATE gemini_webhooks_inbox_leases SET held_until = 1")
        .await;
    assert!(!second.pass().await.unwrap().is_elsewhere);
}

async fn a_full_inbox_takes_what_was_found_later(home: impl Home) {
    let rig = Rig::new(home).await;
    rig.google.disturb(2, DeliveryFault::Lose);
    for _ in 0..2 {
        let name = rig.start_batch(AT_ONCE).await;
        rig.google
            .finish_batch(&name, BatchOutcome::Succeeded)
            .await
            .unwrap();
    }
    let small = rig.home.open().max_waiting(1).await.unwrap();
    let watcher = small.watch(rig.service.clone()).concurrency(1);
    let full = watcher.pass().await.unwrap_err();
    assert_eq!(full.kind(), InboxErrorKind::Full);
    assert_eq!(rig.work().await.len(), 1);
    let pass = rig.watcher().pass().await.unwrap();
    assert_eq!((pass.asked, pass.found), (1, 1));
    assert_eq!(rig.work().await.len(), 1);
}

async fn googles_clock_may_differ(home: impl Home) {
    let clock = ManualClock::new(std::time::UNIX_EPOCH + Duration::from_secs(1_000_000));
    let google = MockGoogle::builder().clock(clock).start().await.unwrap();
    let rig = Rig::with(home, google).await;
    let name = rig.start_batch(AT_ONCE).await;
    // Stale, as the receiver sees it.
    rig.google
        .finish_batch(&name, BatchOutcome::Succeeded)
        .await
        .unwrap();
    assert!(!rig.google.deliveries()[0].is_delivered);
    assert_eq!(rig.watcher().pass().await.unwrap().found, 1);
    assert_eq!(rig.work().await.len(), 1);
}

async fn a_wrong_setting_is_named(home: impl Home) {
    let rig = Rig::new(home).await;
    let second = Duration::from_secs(1);
    for (watcher, part) in [
        (rig.watcher().interval(AT_ONCE), "interval is 0"),
        (
            rig.watcher().concurrency(0),
            "concurrency or per_minute is 0",
        ),
        (rig.watcher().concurrency(1_001), "above 1,000"),
        (
            rig.watcher().per_minute(0),
            "concurrency or per_minute is 0",
        ),
        (rig.watcher().pauses(AT_ONCE, second), "first pause is 0"),
        (
            rig.watcher().pauses(2 * second, second),
            "longer than the longest",
        ),
        (rig.watcher().lease(second), "lease is not longer"),
    ] {
        let error = watcher.pass().await.unwrap_err();
        assert_eq!(error.kind(), InboxErrorKind::Invalid);
        assert!(error.to_string().contains(part), "{error}");
        let run = watcher.run_until(std::future::pending()).await.unwrap_err();
        assert_eq!(run.to_string(), error.to_string());
    }
}

on_both! {
    every_end_is_found_whose_event_was_lost
    what_a_webhook_has_told_is_not_asked_about
    a_webhook_that_comes_after_the_watcher_is_a_copy
    nobody_is_asked_before_the_time_is_over
    a_job_that_is_gone_is_a_dead_letter
    what_runs_on_and_on_is_a_dead_letter
    an_event_that_comes_after_a_dead_letter_is_handled
    the_quota_is_kept
    an_outage_of_google_changes_nothing
    one_watcher_at_a_time_does_the_work
    a_full_inbox_takes_what_was_found_later
    googles_clock_may_differ
    a_wrong_setting_is_named
}
