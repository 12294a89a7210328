use std::time::Duration;

use gemini_webhooks_inbox::{Inbox, State};
use tokio::time::sleep;
use tower::ServiceExt as _;

#[tokio::test]
async fn works_a_batch_off() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?; // `:memory:` is refused
    let file = folder.path().join("webhooks.db");
    let inbox = Inbox::sqlite(file.to_str().ok_or("no text")?).await?;

    // Your app, and a signed request as above.
    let response = app(&inbox).oneshot(request()).await?;
    assert_eq!(response.status(), 200);

    // Your worker: it tries again at once, and ends when nothing is left.
    let nothing_is_left = async {
        let oldest = async || inbox.depth().await.map(|depth| depth.oldest);
        while let Ok(Some(_)) = oldest().await {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let worker = worker(&inbox).pauses(Duration::ZERO, Duration::ZERO);
    worker.run_until(nothing_is_left).await?;
    assert_eq!(inbox.entries().state(State::Done).count().await?, 1);
    Ok(())
}
