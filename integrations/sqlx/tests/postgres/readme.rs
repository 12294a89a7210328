//! The app of the README, as it stands there.

use axum::body::Body;
use gemini_webhooks::{Clock as _, SystemClock, testing};
use gemini_webhooks_sqlx::sqlx::query_scalar;
use http::Request;
use tower::ServiceExt as _;

use crate::database::Schema;

const TEXT: &str = include_str!("readme_app.rs");
include!("readme_app.rs");

#[test]
fn the_readme_has_its_text() {
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&format!("```rust\n{TEXT}```")));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_counts_a_batch_once() {
    let schema = Schema::new().await;
    schema
        .execute("CREATE TABLE jobs (id text, completions integer)")
        .await;
    let event = testing::SAMPLE_EVENTS[0];
    let batch: serde_json::Value = serde_json::from_str(event).unwrap();
    let batch = batch["data"]["id"].as_str().unwrap();
    schema
        .execute(&format!("INSERT INTO jobs VALUES ('{batch}', 0)"))
        .await;
    let app = app(schema.pool(), testing::SECRET).await.unwrap();
    let deliver = async |id: &str, signed: &str| {
        let now = SystemClock.now().duration_since(std::time::UNIX_EPOCH);
        let secret = testing::SECRET.parse().unwrap();
        let mut request = Request::post("/gemini-callback")
            .body(Body::from(event))
            .unwrap();
        for (name, value) in testing::sign_v1(&secret, id, now.unwrap().as_secs(), signed) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        app.clone()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(deliver("msg_1", event).await, 200);
    assert_eq!(deliver("msg_1", event).await, 200);
    assert_eq!(deliver("msg_2", "something else").await, 400);
    let completions: i32 = query_scalar("SELECT completions FROM jobs")
        .fetch_one(&schema.pool())
        .await
        .unwrap();
    assert_eq!(completions, 1);

    // Without its table the work fails, and the event is not handled.
    schema.execute("ALTER TABLE jobs RENAME TO away").await;
    assert_eq!(deliver("msg_3", event).await, 500);
    schema.execute("ALTER TABLE away RENAME TO jobs").await;
    assert_eq!(deliver("msg_3", event).await, 200);
    assert_eq!(deliver("msg_3", event).await, 200);
    let completions: i32 = query_scalar("SELECT completions FROM jobs")
        .fetch_one(&schema.pool())
        .await
        .unwrap();
    assert_eq!(completions, 2);
}
