use super::*;
use crate::client::ClientError;
use crate::client::shown::Hidden;

const KEY: &str = "fake-key-123";

fn answered(status: u16, body: &str) -> ClientError {
    let hidden = Hidden::new(KEY, None);
    ClientError::answered("batches.get", status, body.as_bytes(), None, &hidden)
}

#[test]
fn what_is_asked_for() {
    let long = format!("models/{}/operations/7", "x".repeat(1024));
    for (of_type, id, path) in [
        ("batch.succeeded", "batches/8kq2", Ok("batches/8kq2")),
        ("batch.completed", "8kq2", Ok("batches/8kq2")),
        (
            "interaction.requires_action",
            "v1_a",
            Ok("interactions/v1_a"),
        ),
        (
            "interaction.failed",
            "interactions/v1_a",
            Ok("interactions/v1_a"),
        ),
        (
            "video.generated",
            "models/veo/operations/7",
            Ok("models/veo/operations/7"),
        ),
        ("batch.expired", "a?b#c", Ok("batches/a%3Fb%23c")),
        (
            "video.generated",
            "7",
            Err("is not the name of an operation"),
        ),
        ("batch.failed", "..", Err("must not be")),
        ("batch.failed", "", Err("none")),
        ("batch.paused", "8kq2", Err("none")),
        ("video.generated", long.as_str(), Err("none")),
    ] {
        let body = serde_json::json!({"type": of_type, "data": {"id": id}});
        let job = Job::of(&GeminiEvent::parse(body.to_string()));
        let asked = match &job {
            None => Err("none".to_owned()),
            Some(job) => job.call().map(|call| call.path).map_err(|e| e.to_string()),
        };
        match (asked, path) {
            (Ok(asked), Ok(path)) => assert_eq!(asked, path, "{id}"),
            (Err(error), Err(part)) => assert!(error.contains(part), "{id}: {error}"),
            (asked, _) => panic!("{of_type} {id}: {asked:?}"),
        }
    }
    // The same last part in another model is another job.
    let video = |model| {
        let body = format!(
            r#"{{"type":"video.generated","data":{{"id":"models/{model}/operations/7"}}}}"#
        );
        Job::of(&GeminiEvent::parse(body)).unwrap()
    };
    assert_ne!(video("a"), video("b"));
    assert_eq!(video("a"), video("a"));
}

#[test]
fn an_error_says_what_to_do() {
    let body = r#"{"type":"batch.failed","data":{"id":"a\u202e2J"}}"#;
    let job = Job::of(&GeminiEvent::parse(body)).unwrap();
    for (why, part) in [
        (Why::call(answered(500, "")), "the service answered 500"),
        (Why::PerMinute(120), "raise `per_minute`"),
        (Why::Busy, "can be reached"),
        (Why::Paused(Duration::from_millis(2500)), "another 3 s"),
        (Why::Ended, "tokio runtime"),
    ] {
        let error = OwnershipError::new(&job, why);
        let shown = error.to_string();
        let start = r"it is not known whether batch a\u{202e}2J is a job of this project: ";
        assert!(shown.starts_with(start) && shown.contains(part), "{shown}");
        assert_eq!(error.client_error().is_some(), part.contains("500"));
    }
}

#[test]
fn outside_of_a_runtime_it_is_an_error() {
    let service = WebhookService::builder().api_key(KEY).build().unwrap();
    let event = GeminiEvent::parse(r#"{"type":"batch.failed","data":{"id":"7"}}"#);
    let ownership = service.ownership();
    let asked = ownership.owns(&event);
    let mut asked = std::pin::pin!(asked);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled = asked.as_mut().poll(&mut context);
    let std::task::Poll::Ready(Err(error)) = polled else {
        panic!("{polled:?}");
    };
    assert!(error.to_string().contains("tokio runtime"), "{error}");
    assert!(ownership.shared.lock().asking.is_empty());
}

/// A service whose answers never come, and how many requests reached it.
async fn silent() -> (WebhookService, Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            open.push(stream);
        }
    });
    let builder = WebhookService::builder().api_key(KEY).base_url(url);
    (builder.build().unwrap(), count)
}

#[tokio::test]
async fn few_ask_at_a_time_and_few_wait() {
    let (service, count) = silent().await;
    let ownership = service.ownership();
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..100 {
        let ownership = ownership.clone();
        let body = format!(r#"{{"type":"batch.failed","data":{{"id":"{number}"}}}}"#);
        asked.spawn(async move { ownership.owns(&GeminiEvent::parse(body)).await });
    }
    let errors = asked.join_all().await;
    let (late, busy): (Vec<_>, Vec<_>) = errors
        .into_iter()
        .map(Result::unwrap_err)
        .partition(|error| error.client_error().is_some());
    assert_eq!((late.len(), busy.len()), (AT_ONCE, 100 - AT_ONCE));
    let kinds = late.iter().filter_map(OwnershipError::client_error);
    for error in kinds {
        assert_eq!(error.kind(), ClientErrorKind::Timeout, "{error}");
    }
    assert_eq!(count.load(std::sync::atomic::Ordering::SeqCst), AT_ONCE);
    assert!(ownership.shared.lock().asking.is_empty());
}

#[tokio::test]
async fn a_question_ends_with_its_runtime() {
    let (service, _count) = silent().await;
    let ownership = service.ownership();
    let event = GeminiEvent::parse(r#"{"type":"batch.failed","data":{"id":"7"}}"#);
    let asked = {
        let (ownership, event) = (ownership.clone(), event.clone());
        // A runtime of its own, which ends while the question is under way.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let job = Job::of(&event).unwrap();
            let begun = runtime.block_on(async { ownership.begin(&job) });
            begun.unwrap()
        })
        .join()
        .unwrap()
    };
    let Begun::Asked(mut answer) = asked else {
        panic!("nobody has answered");
    };
    assert!(answer.wait_for(Option::is_some).await.is_err());
    assert!(ownership.shared.lock().asking.is_empty(), "{event:?}");
}
