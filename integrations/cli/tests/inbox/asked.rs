//! What the user agrees to is what is changed.

use gemini_webhooks_inbox::State;

use crate::home::{BATCH, Place, VIDEO, put, sqlite, work};
use crate::terminal::Terminal;

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_the_question_is_left_alone() {
    let place = Place::new_sqlite();
    let inbox = sqlite(&place).await;
    for id in ["dead_1", "dead_2", "dead_3"] {
        put(&inbox, id, BATCH.as_bytes()).await;
    }
    put(&inbox, "later", VIDEO.as_bytes()).await;
    work(&inbox).await;
    // It has a number between those of the others, and becomes a dead letter only while the user thinks.
    let second = inbox.entries().webhook_id("dead_2");
    assert_eq!(second.retry("a test").await.unwrap(), 1);

    let mut terminal = Terminal::start(&place.program(&["drop", "--state", "dead"]));
    terminal.shows("Drop 2 events? [y/N] ");
    put(&inbox, "dead_4", BATCH.as_bytes()).await;
    work(&inbox).await;
    let third = inbox.entries().webhook_id("dead_3");
    assert_eq!(third.retry("a test").await.unwrap(), 1);
    terminal.types("y\n");
    let (code, screen) = terminal.ended();
    assert_eq!(code, Some(0), "{screen}");
    assert!(screen.contains("1 event dropped"), "{screen}");
    let says = "1 event had changed meanwhile, and was left alone.";
    assert!(screen.contains(says), "{screen}");
    for (id, state) in [
        ("dead_1", State::Done),
        ("dead_2", State::Dead),
        ("dead_3", State::Waiting),
        ("dead_4", State::Dead),
    ] {
        let found = inbox.entries().webhook_id(id).list().await.unwrap();
        assert_eq!(found[0].state(), state, "{id}: {screen}");
    }
}
