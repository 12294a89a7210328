//! A database without room.

use std::time::Duration;

use gemini_webhooks::replay::{Claimed, GuardErrorKind, ReplayGuard as _};
use gemini_webhooks_sqlx::SqliteGuard;
use gemini_webhooks_sqlx::sqlx::sqlite::SqlitePool;
use gemini_webhooks_sqlx::sqlx::{query, query_scalar};
use tokio::time::sleep;

use crate::app::{App, HANDLED};
use crate::database::{Database, Holder, pool};

/// Of at most a hundred small pages. An event with a long id needs a page of its own.
async fn small(database: &Database) -> (SqliteGuard, SqlitePool) {
    let options = database
        .options()
        .page_size(512)
        .pragma("max_page_count", "100");
    let pool = pool(options).await;
    let guard = SqliteGuard::new(pool.clone());
    guard.migrate().await.unwrap();
    (guard, pool)
}

fn long_id(number: usize) -> String {
    format!("msg_{number:0>200}")
}

/// Claims events until there is no room. Returns how many were claimed.
async fn fill(guard: &SqliteGuard, lease: Duration) -> usize {
    for number in 0..100 {
        let claim = Holder::of(&long_id(number)).claim_for(guard, lease).await;
        let Err(error) = claim else {
            continue;
        };
        assert_eq!(error.kind(), GuardErrorKind::Unavailable);
        let text = error.to_string();
        assert!(text.contains("claims.db is full"), "{text}");
        assert!(text.contains("run cleanup()"), "{text}");
        return number;
    }
    panic!("there is room for a hundred events");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_in_a_full_database_and_cleaning_up() {
    let database = Database::new();
    let (guard, _) = small(&database).await;
    let claimed = fill(&guard, Duration::from_millis(1)).await;
    assert!(claimed > 10, "{claimed} were claimed");
    let concerns = guard.ready().await.unwrap();
    let says_so = |concern: &String| concern.contains("max_page_count of 100 pages");
    assert!(concerns.iter().any(says_so), "{concerns:?}");

    let removed = guard.cleanup().await.unwrap();
    assert_eq!(usize::try_from(removed).unwrap(), claimed);
    let holder = Holder::of(&long_id(0));
    assert_eq!(holder.claim(&guard).await.unwrap(), Claimed::Claimed);
    let concerns = guard.ready().await.unwrap();
    assert!(!concerns.iter().any(says_so), "{concerns:?}");
}

/// What is in flight can be settled: its row is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_database_still_settles_and_releases() {
    let database = Database::new();
    let (guard, _) = small(&database).await;
    let (settled, released) = (Holder::of("settled"), Holder::of("released"));
    settled.claim(&guard).await.unwrap();
    released.claim(&guard).await.unwrap();
    fill(&guard, Duration::from_secs(60)).await;
    settled.settle(&guard).await.unwrap();
    released.release(&guard).await.unwrap();
    let copy = Holder::of("settled").claim(&guard).await.unwrap();
    assert_eq!(copy, Claimed::Settled);
}

/// The row of an event is gone when it is to be settled, as after the end of its lease, and there is no
/// room for another. The answer is sent, and the receiver tries again.
#[tokio::test(flavor = "multi_thread")]
async fn a_settle_in_a_full_database_is_made_later() {
    let database = Database::new();
    let (guard, pool) = small(&database).await;
    let app = App::new(guard.clone());
    let (id, within) = (long_id(1000), (guard, pool.clone()));
    let answer = app.deliver(&id, move |_| {
        let (guard, pool) = within.clone();
        async move {
            remove_all(&pool).await;
            fill(&guard, Duration::from_secs(60)).await;
            Ok(200)
        }
    });
    assert_eq!(answer.await, HANDLED);
    assert_eq!(settled(&pool).await, 0, "there was no room");
    remove_all(&pool).await;
    for _ in 0..100 {
        if settled(&pool).await > 0 {
            break;
        }
        sleep(Duration::from_millis(100)).await;
    }
    let copy = app.deliver(&id, async |_| panic!("it has been handled"));
    assert_eq!(copy.await, HANDLED);
}

async fn remove_all(pool: &SqlitePool) {
    let removal = query("DELETE FROM gemini_webhooks_claims");
    removal.execute(pool).await.unwrap();
}

async fn settled(pool: &SqlitePool) -> i64 {
    query_scalar("SELECT count(*) FROM gemini_webhooks_claims WHERE settled")
        .fetch_one(pool)
        .await
        .unwrap()
}
